"""What describes a published lake beside its stores: for intake, for people, for catalogues."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

from stemzarr.explorer.page import render_single_page
from stemzarr.options import PublishOptions
from stemzarr.pixels.threads import map_in_threads
from stemzarr.storage.objects import Writable, get_or_none
from stemzarr_catalog.citation import CITATION, Citation, read_citation, render_toml
from stemzarr_catalog.citing import citation_files
from stemzarr_catalog.entry import Entry, EntryList
from stemzarr_catalog.export import COLLECTION, json_bytes, stac_collection, stac_files, stac_item
from stemzarr_catalog.gallery import render_site
from stemzarr_catalog.intake_yaml import LARGEST, render_yaml
from stemzarr_catalog.lake import YAML, Lake
from stemzarr_catalog.opening import open_lake
from stemzarr_catalog.pictures import read_pictures, render_png

__all__ = ["EXPLORER", "PAGE", "PICTURES", "STAC", "put_site"]

PAGE = "index.html"
"""The page of a published lake."""
EXPLORER = "explorer.html"
"""The page that opens a store beside it."""
PICTURES = "pictures"
"""Folder of the pictures on the page."""
STAC = "stac"
"""Folder of the STAC collection of a published lake."""
_COLLECTION_NAME = "stemzarr-published"
_SIZE = 128

_Files = Iterator[tuple[str, bytes]]
"""Keys of files, and what is in them."""


def put_site(
    lake: Lake, target: Path, place: Writable, stores: Mapping[str, Path], options: PublishOptions
) -> None:
    """Put what describes all entries of a published lake, as far as it is not there already.

    Parameters
    ----------
    lake
        The lake that was published from, whose ``lake.toml`` says who made the data; where it has
        none, that of an earlier publication counts.
    target, place
        The published lake.
    stores
        By the names of entries that were published now, the stores that they came from.
    options
        How many threads put files.

    Raises
    ------
    ReadError, WriteError
        Something cannot be read or written there.
    """
    published = open_lake(target)
    entries, citation = published.search(), read_citation(lake.path) or read_citation(target)

    def put(file: tuple[str, bytes]) -> None:
        key, content = file
        if get_or_none(place, key) != content:
            place.put(key, content, sync=options.sync)

    def put_all(files: _Files) -> None:
        for _ in map_in_threads(put, files, threads=options.threads):
            pass

    put_all(_pictures(_to_draw(entries, stores, _names(place, PICTURES))))
    listed = entries if len(entries) <= LARGEST else ()
    put_all(iter([(YAML, render_yaml(listed).encode())]))
    if citation is not None:
        put_all(_cited(citation, entries))
        drawn = _to_draw(entries, stores, _names(place, STAC))
        put_all(_stac(published, entries, drawn, citation))
    put_all(iter([(EXPLORER, render_single_page("stemzarr").encode())]))
    title = target.name if citation is None else citation.title
    page = render_site(published, title, sorted(place.list(PICTURES)), EXPLORER)
    put_all(iter([(PAGE, page.encode())]))


def _names(place: Writable, folder: str) -> set[str]:
    """Return the names of entries that a folder has files of."""
    return {key.split("/")[1] for key in place.list(folder)}


def _to_draw(
    entries: EntryList, stores: Mapping[str, Path], there: set[str]
) -> Iterator[tuple[Entry, Path]]:
    """Yield entries that were published now, or have no files yet, and where pictures are read."""
    for entry in entries:
        if entry.name in stores or entry.name not in there:
            yield entry, stores.get(entry.name, entry.path)


def _pictures(drawn: Iterator[tuple[Entry, Path]]) -> _Files:
    for entry, store in drawn:
        for picture in read_pictures(store, _SIZE):
            yield f"{PICTURES}/{entry.name}/{picture.name}.png", render_png(picture, _SIZE)


def _cited(citation: Citation, entries: EntryList) -> _Files:
    yield CITATION, render_toml(citation).encode()
    today = dt.datetime.now(dt.UTC).date()
    for name, text in citation_files(citation, entries, today).items():
        yield name, text.encode()


def _stac(
    published: Lake, entries: EntryList, drawn: Iterator[tuple[Entry, Path]], citation: Citation
) -> _Files:
    for entry, store in drawn:
        _, files = stac_files(entry, _href(entry), _COLLECTION_NAME, store)
        yield from ((f"{STAC}/{key}", content) for key, content in files.items())
    items = [{**stac_item(one, _href(one)), "collection": _COLLECTION_NAME} for one in entries]
    collection = stac_collection(published.path.name, items, citation)
    yield f"{STAC}/{COLLECTION}", json_bytes(collection)


def _href(entry: Entry) -> str:
    return f"../../stores/{quote(entry.name)}.zarr"
