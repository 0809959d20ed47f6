"""The catalog for other programs: STAC items, a table in Parquet, files for a citation."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import stemzarr
from stemzarr.errors import MissingDependencyError
from stemzarr.metadata.dates import utc_now
from stemzarr.options import as_path
from stemzarr.storage.address import RemotePath
from stemzarr.storage.files import check_destination, publish
from stemzarr.storage.local import LocalFolder
from stemzarr_catalog.citation import LICENCES, Citation, needed_citation, read_citation
from stemzarr_catalog.citing import citation_files
from stemzarr_catalog.entry import Entry
from stemzarr_catalog.pictures import read_pictures, render_png
from stemzarr_catalog.rows import sort_into_columns

if TYPE_CHECKING:
    from stemzarr_catalog.lake import Lake

__all__ = [
    "COLLECTION",
    "export_citation",
    "export_parquet",
    "export_stac",
    "json_bytes",
    "render_parquet",
    "stac_collection",
    "stac_files",
    "stac_item",
]

_STAC = "1.1.0"
_DATACUBE = "https://stac-extensions.github.io/datacube/v2.2.0/schema.json"
_FILE = "https://stac-extensions.github.io/file/v2.1.0/schema.json"
_ZARR = "application/vnd+zarr"
_PREVIEW = 256
COLLECTION = "collection.json"
"""File of a STAC collection."""


def stac_item(entry: Entry, href: str) -> dict[str, Any]:
    """Return an entry as a STAC item.

    Parameters
    ----------
    entry
        The entry.
    href
        Address of its store.

    Notes
    -----
    A scan has no place on Earth, so its geometry is null, as the specification allows
    (https://github.com/radiantearth/stac-spec/blob/v1.1.0/item-spec/item-spec.md). Facts keep
    their names behind ``stemzarr:``; dims and coordinates are those of the datacube extension.
    """
    source, document = entry.source, entry.document
    acquired = entry.facts.get("acquired") or (source.get("ingest") or {}).get("finished")
    properties: dict[str, Any] = {
        "datetime": _instant(str(acquired)) if acquired else None,
        "title": entry.title,
        "stemzarr:kind": entry.kind,
        "stemzarr:dtype": entry.dtype,
        "stemzarr:shape": list(entry.shape),
        **{f"stemzarr:{key}": value for key, value in entry.facts.items()},
        "stemzarr:source": {key: source.get(key) for key in ("name", "format", "size", "hash")},
        "cube:dimensions": {axis["name"]: _dimension(axis) for axis in document["axes"]},
        "cube:variables": {"intensity": {"type": "data", "dimensions": list(entry.dims)}},
    }
    if properties["datetime"] is None:
        # STAC wants a range where there is no instant; nothing at all is known here.
        properties |= {"start_datetime": _NEVER, "end_datetime": _instant(utc_now())}
    if "instrument" in entry.facts:
        properties["instruments"] = [str(entry.facts["instrument"])]
    if entry.notes.tags:
        properties["keywords"] = list(entry.notes.tags)
    if entry.notes.remark:
        properties["description"] = entry.notes.remark
    asset: dict[str, Any] = {"href": href, "type": _ZARR, "roles": ["data"], "title": entry.title}
    if entry.stored_bytes:
        asset["file:size"] = entry.stored_bytes
    return {
        "type": "Feature",
        "stac_version": _STAC,
        "stac_extensions": [_DATACUBE, _FILE],
        "id": entry.name,
        "geometry": None,
        "properties": properties,
        "links": [],
        "assets": {"store": asset},
    }


_NEVER = "1970-01-01T00:00:00Z"


def _instant(text: str) -> str | None:
    """Return ISO 8601 text as RFC 3339 in UTC; local time without a zone is taken as UTC."""
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    return moment.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")


def _dimension(axis: dict[str, Any]) -> dict[str, Any]:
    last = axis["offset"] + axis["scale"] * max(0, axis["size"] - 1)
    extent = sorted((axis["offset"], last))
    dimension: dict[str, Any] = {"type": "other", "extent": extent, "unit": axis["units"]}
    return dimension | ({"step": abs(axis["scale"])} if axis["scale"] else {})


def export_stac(
    lake: Lake, folder: str | os.PathLike[str], query: str = "", *, overwrite: bool = False
) -> int:
    """Write a static STAC collection: ``collection.json``, and an item with a thumbnail an entry.

    Parameters
    ----------
    lake
        The lake.
    folder
        The folder to make.
    query
        Which entries are written; all by default.
    overwrite
        Whether a folder that is there is replaced.

    Returns
    -------
    int
        How many items were written.

    Raises
    ------
    StoreExistsError
        Something exists at `folder`.
    QueryError, WriteError
        The query cannot be understood, or the files not be written.
    """
    target = as_path(folder)
    check_destination(target, overwrite=overwrite)
    entries = lake.search(query)
    title, citation = lake.path.name, read_citation(lake.path)
    with publish(target, sync=False) as temporary:
        temporary.mkdir()
        place, items, name = LocalFolder(temporary), [], _collection_id(target)
        for entry in entries:
            item, files = stac_files(entry, _href(entry, target), name, entry.path)
            items.append(item)
            for key, content in files.items():
                place.put(key, content)
        place.put(COLLECTION, json_bytes(stac_collection(title, items, citation)))
    return len(items)


def _href(entry: Entry, target: Path) -> str:
    """Return the address of a store as seen from its item, one folder below the collection."""
    if isinstance(entry.path, RemotePath):
        return str(entry.path)
    try:
        return quote(Path(os.path.relpath(entry.path, target / entry.name)).as_posix())
    except ValueError:
        return entry.path.as_uri()


def stac_files(
    entry: Entry, href: str, collection: str, store: Path
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return an entry as a STAC item of a collection, and the files that are it, by their keys.

    Parameters
    ----------
    entry
        The entry.
    href
        Address of its store, as seen from the item.
    collection
        Name of the collection.
    store
        Where its pictures are read from.
    """
    item = {**stac_item(entry, href), "collection": collection}
    files, pictures = {}, read_pictures(store, _PREVIEW)
    for picture in pictures:
        name = f"{picture.name}.png"
        files[f"{entry.name}/{name}"] = render_png(picture, _PREVIEW)
        role = "thumbnail" if picture is pictures[0] else "overview"
        item["assets"][picture.name] = {
            "href": f"./{name}",
            "type": "image/png",
            "roles": [role],
            "title": picture.name.replace("_", " "),
        }
    item["links"] = [
        {"rel": rel, "href": f"../{COLLECTION}", "type": "application/json"}
        for rel in ("root", "parent", "collection")
    ]
    files[f"{entry.name}/{entry.name}.json"] = json_bytes(item)
    return item, files


def _collection_id(target: Path) -> str:
    return f"stemzarr-{hashlib.sha256(target.name.encode()).hexdigest()[:8]}"


def stac_collection(
    title: str, items: list[dict[str, Any]], citation: Citation | None
) -> dict[str, Any]:
    """Return the collection of some items, with what a lake says of who made the data."""
    moments = sorted(filter(None, (item["properties"]["datetime"] for item in items)))
    interval = [moments[0], moments[-1]] if moments else [_NEVER, None]
    kinds = sorted({item["properties"]["stemzarr:kind"] for item in items})
    links = [{"rel": "root", "href": "./collection.json", "type": "application/json"}]
    links += [
        {"rel": "item", "href": f"./{item['id']}/{item['id']}.json", "type": "application/geo+json"}
        for item in items
    ]
    collection = {
        "type": "Collection",
        "stac_version": _STAC,
        "id": items[0]["collection"] if items else "stemzarr",
        "title": title,
        "description": f"Electron microscopy data, catalogued by stemzarr {stemzarr.__version__}",
        "license": "other",
        "extent": {
            "spatial": {"bbox": [[-180.0, -90.0, 180.0, 90.0]]},
            "temporal": {"interval": [interval]},
        },
        "summaries": {"stemzarr:kind": kinds},
        "links": links,
    }
    return collection if citation is None else _cited(collection, citation)


def _cited(collection: dict[str, Any], citation: Citation) -> dict[str, Any]:
    """Return a collection with what the lake says of who made the data and who may use them."""
    licence = {"rel": "license", "href": citation.licence_url, "type": "text/html"}
    links = [*collection["links"], licence]
    if citation.doi:
        links.append({"rel": "cite-as", "href": f"https://doi.org/{citation.doi}"})
    said = {
        "title": citation.title,
        "description": citation.description or collection["description"],
        "license": citation.licence if citation.licence in LICENCES else "other",
        "providers": [{"name": one.name, "roles": ["producer"]} for one in citation.creators],
        "links": links,
    }
    keywords = {"keywords": list(citation.keywords)} if citation.keywords else {}
    return {**collection, **said, **keywords}


def json_bytes(content: dict[str, Any]) -> bytes:
    """Return JSON as a file that people can read."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()


def export_citation(
    lake: Lake, folder: str | os.PathLike[str], query: str = "", *, overwrite: bool = False
) -> int:
    """Write what others need to cite the data: RO-Crate, DataCite, ``CITATION.cff``, a README.

    Parameters
    ----------
    lake
        The lake; its ``lake.toml`` says who made the data.
    folder
        The folder to make.
    query
        Which entries are described; all by default.
    overwrite
        Whether files of the same names are replaced in a folder that is there.

    Returns
    -------
    int
        How many entries are described.

    Raises
    ------
    OptionError
        The lake has no ``lake.toml``.
    CorruptFileError
        It cannot be understood.
    StoreExistsError
        Something exists at `folder`.
    QueryError, WriteError
        The query cannot be understood, or the files not be written.
    """
    target, citation = as_path(folder), needed_citation(lake.path)
    if target.exists() and not (overwrite and target.is_dir()):
        check_destination(target, overwrite=False)
    entries = lake.search(query)
    place = LocalFolder(target)
    today = dt.datetime.now(dt.UTC).date()
    for name, text in citation_files(citation, entries, today).items():
        place.put(name, text.encode())
    return len(entries)


def export_parquet(
    lake: Lake, dest: str | os.PathLike[str], query: str = "", *, overwrite: bool = False
) -> int:
    """Write the entries of a query as one Parquet table, with the columns of `to_dataframe`.

    A column ``record`` has all that is known of an entry, as JSON. The built-in columns are there
    whatever is known, so that tables of several lakes have one schema.

    Returns
    -------
    int
        How many rows were written.

    Raises
    ------
    MissingDependencyError
        pyarrow is not installed.
    StoreExistsError
        Something exists at `dest`.
    QueryError, WriteError
        The query cannot be understood, or the file not be written.
    """
    target = as_path(dest)
    check_destination(target, overwrite=overwrite)
    entries = lake.search(query)
    content = _render_rows([_full_row(entry, entry.json()) for entry in entries])
    if content is None:
        msg = "Parquet needs pyarrow, which is not installed"
        raise MissingDependencyError(msg, hint="pip install pyarrow")
    with publish(target) as temporary:
        temporary.write_bytes(content)
    return len(entries)


def render_parquet(entries: Iterable[tuple[Entry, str]]) -> bytes | None:
    """Return entries, each with the place of its store, as `export_parquet` writes them.

    None where pyarrow is not installed.
    """
    return _render_rows([_full_row(entry, entry.said(store)) for entry, store in entries])


def _full_row(entry: Entry, said: dict[str, Any]) -> dict[str, Any]:
    """Return the row of an entry, with all that is known of it as JSON."""
    record = json.dumps(said, ensure_ascii=False)
    return {**entry.row(), "store": said["store"], "record": record}


def _render_rows(rows: list[dict[str, Any]]) -> bytes | None:
    """Return a table in Parquet; None where pyarrow is not installed."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        return None
    types = {
        "number": pa.float64(),
        "whole": pa.int64(),
        "flag": pa.bool_(),
        "date": pa.timestamp("us"),
        "texts": pa.list_(pa.string()),
        "sizes": pa.list_(pa.int64()),
    }
    columns = {
        name: pa.array(values, types.get(kind, pa.string()))
        for name, (kind, values) in sort_into_columns(rows).items()
    }
    columns.setdefault("record", pa.array([], pa.string()))
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, compression="zstd")
    return sink.getvalue()
