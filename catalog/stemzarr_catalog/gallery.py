"""One HTML page of a lake: pictures, facets, search and sorting, with no network and no server."""

from __future__ import annotations

import datetime as dt
import html
import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import stemzarr
from stemzarr.errors import StoreExistsError
from stemzarr.explorer.page import script_digest, script_json
from stemzarr.metadata.facts import FACTS
from stemzarr.metadata.units import UNITS
from stemzarr.model import Progress
from stemzarr.options import as_path
from stemzarr.storage.address import RemotePath
from stemzarr.storage.files import check_destination
from stemzarr.storage.local import put_text
from stemzarr_catalog.entry import Entry, EntryList
from stemzarr_catalog.fields import FIELDS
from stemzarr_catalog.lake import Lake
from stemzarr_catalog.pictures import read_pictures, render_png, to_base64
from stemzarr_catalog.salvaging import count_recovered
from stemzarr_catalog.search import Searchable

__all__ = ["describe_entries", "render_live_page", "render_site", "write_gallery"]

_MARK = '<meta name="generator" content="stemzarr gallery">'
_MANY = 1500
_SIZE, _SMALL_SIZE = 128, 64
"""Pixels of a picture, and of one among many: five thousand entries must stay a page."""

_PARTS = ("slug", "title", "kind", "dtype")
_FACTS = tuple(fact.name for fact in FACTS if fact.shown)


def write_gallery(  # noqa: PLR0913 - one argument for each option
    lake: Lake,
    dest: str | os.PathLike[str],
    query: str = "",
    *,
    title: str | None = None,
    overwrite: bool = False,
    paths: bool = False,
    progress: Progress | None = None,
) -> int:
    """Write one self-contained page of the entries that a query is true of.

    Parameters
    ----------
    lake
        The lake.
    dest
        The page; ``index.html`` in it where it is a folder. An older gallery is replaced.
    query
        Which entries are shown; all by default.
    title
        Title of the page; the name of the lake's folder by default.
    overwrite
        Whether a file that is not a gallery is replaced.
    paths
        Whether the page names the folders of this machine that stores and sources are in; by
        default it can be mailed, and says only which folders differ.
    progress
        Receives how many entries are done.

    Returns
    -------
    int
        How many entries the page shows.

    Raises
    ------
    StoreExistsError
        A file that is not a gallery exists at `dest`, or a device, a pipe or a socket.
    QueryError, WriteError
        The query cannot be understood, or the page not be written.
    """
    target = as_path(dest)
    target = target / "index.html" if target.is_dir() else target
    check_destination(target, overwrite=True)
    if target.exists() and not overwrite and not _is_gallery(target):
        hint = "choose another name, or --overwrite (overwrite=True) to replace it"
        raise StoreExistsError("exists already and is not a gallery", path=target, hint=hint)
    entries = lake.search(query)
    size = _SIZE if len(entries) <= _MANY else _SMALL_SIZE
    shown = []
    described_entries = describe_entries(lake, entries, query, paths=paths)
    for number, described in enumerate(described_entries, start=1):
        entry = entries[number - 1]
        pictures = [
            [picture.name.replace("_", " "), to_base64(render_png(picture, size))]
            for picture in read_pictures(entry.path, size)
        ]
        link = _link(entry.path, target.parent, paths=paths)
        shown.append({**described, "link": link, "pictures": pictures})
        if progress is not None:
            progress(number, len(entries))
    page = render_page(title or lake.path.name, shown, query)
    put_text(target, page, sync=False)
    return len(shown)


def describe_entries(
    lake: Lake, entries: EntryList, query: str = "", *, paths: bool
) -> Iterator[dict[str, Any]]:
    """Yield what the page knows of each entry, but for its pictures.

    Parameters
    ----------
    lake
        The lake.
    entries, query
        Entries of it, and the query that finds them.
    paths
        Whether folders of this machine are in it.
    """
    found = lake.searchable(query)
    items = {entry.name: found[entry.name] for entry in entries}
    folders = {item.fields["folder"] for item in items.values() if "folder" in item.fields}
    above = "" if paths else _common_folder(map(str, folders))
    for entry in entries:
        yield {**_describe(entry, paths=paths), **_searched(items[entry.name], above)}


def _is_gallery(path: Path) -> bool:
    with path.open("rb") as file:
        return _MARK.encode() in file.read(4096)


def _common_folder(folders: Iterable[str]) -> str:
    """Return the folders that all paths begin with, joined by slashes."""
    parts = [folder.split("/") for folder in folders]
    shared = itertools.takewhile(lambda names: len(set(names)) == 1, zip(*parts, strict=False))
    return "/".join(names[0] for names in shared)


def _searched(item: Searchable, above: str) -> dict[str, Any]:
    """Return what the search of the page compares, folders without those that all have."""
    fields, words = dict(item.fields), item.words
    folder = fields.get("folder")
    if above and isinstance(folder, str):
        last = above.rpartition("/")[2]
        below = folder[len(above) :].strip("/")
        fields["folder"] = f"{last}/{below}" if below and last else below or last
        words = (words[0].replace(folder, str(fields["folder"])), words[1])
    return {"fields": fields, "more": item.more, "said": words}


def _describe(entry: Entry, *, paths: bool) -> dict[str, Any]:
    """Return what the page knows of an entry; short keys, since there are thousands."""
    source = entry.source
    return {
        "name": entry.name,
        "title": entry.title,
        "kind": entry.kind,
        "dims": entry.dims,
        "shape": entry.shape,
        "dtype": entry.dtype,
        "facts": {key: entry.facts[key] for key in _FACTS if key in entry.facts},
        "axes": entry.document["axes"],
        "documents": [
            [document["title"], document["kind"], document["shape"]]
            for document in entry.documents
            if not document["main"]
        ],
        "parts": [
            {**{key: document[key] for key in _PARTS}, "ndim": len(document["dims"])}
            for document in entry.documents
        ],
        "source": source.get("name"),
        "size": source.get("size"),
        "stored": entry.stored_bytes,
        "ingested": (source.get("ingest") or {}).get("finished"),
        "tags": entry.notes.tags,
        "remark": entry.notes.remark,
        "own": dict(entry.notes.fields),
        "recovered": count_recovered(entry.path) if entry.facts.get("complete") == 0 else None,
        "store": str(entry.path) if paths else None,
        "link": None,
    }


def _link(store: Path, folder: Path, *, paths: bool) -> str | None:
    """Return the address of a store as seen from the page: relative, so that both can be moved.

    None where the way there would tell the folders of this machine, and is not asked for.
    """
    if isinstance(store, RemotePath):
        return str(store)
    try:
        way = Path(os.path.relpath(store, folder)).as_posix()
    except ValueError:
        # On Windows there is no way from one drive to another.
        return store.as_uri() if paths else None
    return f"./{quote(way)}" if paths or not way.startswith("..") else None


def render_page(title: str, entries: list[dict[str, Any]], query: str = "") -> str:
    """Return the page; whatever is in the entries is text there and never markup or code."""
    return _render(title, entries, {"query": query, "live": False}, "img-src data:")[0]


def render_site(lake: Lake, title: str, pictures: Iterable[str], explorer: str) -> str:
    """Return the page of a published lake, beside whose stores and pictures it is.

    Parameters
    ----------
    lake
        The published lake.
    title
        Title of the page.
    pictures
        Paths of PNG files below the page, ``…/NAME/PICTURE.png``.
    explorer
        Name of the page beside it that opens stores.
    """
    by_name: dict[str, list[list[str]]] = {}
    for path in pictures:
        _, name, file = path.rsplit("/", 2)
        label = file.removesuffix(".png").replace("_", " ")
        by_name.setdefault(name, []).append([label, f"./{quote(path)}"])
    shown = [
        {
            **described,
            "link": f"./{explorer}?store={quote('stores/' + described['name'])}.zarr",
            "pictures": by_name.get(described["name"], []),
        }
        for described in describe_entries(lake, lake.search(), paths=False)
    ]
    return _render(title, shown, {"query": "", "live": False}, "img-src 'self' data:")[0]


def render_live_page(title: str) -> tuple[str, str]:
    """Return the page that asks its server for entries and pictures, and its policy."""
    more = "img-src 'self' data:; connect-src 'self'"
    return _render(title, [], {"query": "", "live": True}, more)


def _render(
    title: str, entries: list[dict[str, Any]], more: dict[str, Any], allowed: str
) -> tuple[str, str]:
    """Return a page, and the policy that allows its own script and what is `allowed` besides."""
    folder = Path(__file__).parent
    names = ("gallery_query.js", "gallery.js")
    script = "".join((folder / name).read_text(encoding="utf-8") for name in names)
    style = (folder / "gallery.css").read_text(encoding="utf-8")
    now = dt.datetime.now(dt.UTC).isoformat(timespec="minutes")
    about = {
        "title": title,
        "made": now,
        "version": stemzarr.__version__,
        "fields": {name: [field.type, field.unit] for name, field in FIELDS.items()},
        "units": UNITS,
        **more,
    }
    policy = (
        f"default-src 'none'; {allowed}; style-src '{script_digest(style)}';"
        f" script-src '{script_digest(script)}'; base-uri 'none'; form-action 'none'"
    )
    page = "".join(
        (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
            _MARK,
            f'\n<meta http-equiv="Content-Security-Policy" content="{policy}">\n',
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
            f"<title>{html.escape(title)}</title>\n",
            '<link rel="icon" href="data:,">\n',
            f"<style>{style}</style>\n</head>\n<body>\n",
            '<div id="page"><noscript>This page needs JavaScript.</noscript></div>\n',
            f'<script type="application/json" id="about">{script_json(about)}</script>\n',
            f'<script type="application/json" id="entries">{script_json(entries)}</script>\n',
            f"<script>{script}</script>\n</body>\n</html>\n",
        )
    )
    return page, policy
