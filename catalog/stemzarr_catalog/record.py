"""What the index keeps of a store, read from its metadata alone."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stemzarr.errors import DamagedStoreError, StemzarrError
from stemzarr.metadata.describe import describe_document
from stemzarr_catalog.fields import FIELDS
from stemzarr_catalog.origins import list_origins
from stemzarr_catalog.rows import list_fields, list_further_fields
from stemzarr_catalog.wording import format_value

if TYPE_CHECKING:
    from stemzarr.model import Document, Fact
    from stemzarr.store.format.schema import Nodes

__all__ = ["Record", "Signature", "flatten_tags", "read_digest", "read_record", "read_signature"]

Signature = str
"""Modification time and size of a store's ``zarr.json``: what tells that it has changed."""

_LONGEST_TEXT = 512
_LONGEST_LIST = 64
_OF_ENTRY = ("title", "kind", "dims", "shape", "dtype")
"""What an entry says of its main document."""
_BULKY = {"documents", "segments", "main"}

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One store as the index keeps it."""

    name: str
    """Name of the entry."""
    signature: Signature
    """What `read_signature` said before the store was read."""
    digest: str
    """Digest of its ``zarr.json``: a copy of a store has another signature and the same digest."""
    columns: Mapping[str, Fact]
    """Values of the built-in fields that are known."""
    more: Mapping[str, Fact]
    """Further flat attributes, and calibrations as ``det_x.scale``."""
    json: Json
    """The entry as ``ls --json`` prints it, without the path of the store."""
    header_hash: str
    """Digest of the source's bytes outside its pixels."""
    origin: str | None = None
    """Path of the source when it was ingested; None where the store does not say."""
    sample: str | None = None
    """Digest of samples of the source."""
    tags: Mapping[str, Any] = field(default_factory=dict)
    """The tag tree of the source."""

    def words(self) -> str:
        """Return the text that a search for words goes through, without the tag tree."""
        texts = [self.name, *(document["title"] for document in self.json["documents"])]
        texts += [str(v) for v in (*self.columns.values(), *self.more.values()) if _is_text(v)]
        # `200 keV` is what a person types, and no thousands apart.
        texts += [
            format_value(name, value).replace(",", "")
            for name, value in self.columns.items()
            if FIELDS[name].unit and name.endswith(f"_{FIELDS[name].unit}")
        ]
        return "\n".join(dict.fromkeys(texts))


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def read_signature(store: Path) -> Signature | None:
    """Return what tells whether a store has changed, or None where `store` is none."""
    try:
        status = (store / "zarr.json").stat()
    except OSError:
        return None
    return f"{status.st_mtime_ns}:{status.st_size}"


def read_digest(store: Path) -> str:
    """Return the digest of a store's ``zarr.json``, empty where it cannot be read."""
    import xxhash

    from stemzarr.storage.local import open_root

    try:
        return xxhash.xxh3_128_hexdigest(open_root(store).get("zarr.json"))
    except OSError:
        return ""


def read_record(store: Path, name: str) -> Record:
    """Read the row of a store.

    Raises
    ------
    SchemaVersionError
        A newer stemzarr wrote the store.
    DamagedStoreError, CorruptFileError
        Its metadata cannot be understood.
    """
    try:
        return _read(store, name)
    except StemzarrError:
        raise
    except Exception as error:
        # Bytes on a disk can be wrong in any way, and one store must not close the lake.
        said = f"its metadata cannot be read: {type(error).__name__}: {error}"
        raise DamagedStoreError(said, path=store, hint=f"stemzarr verify {name}") from error


def _unlisted_bytes(store: Path, nodes: Nodes) -> int:
    """Return the size of the files that no manifest lists: its own and the root's metadata."""
    from stemzarr.storage.local import open_root

    place = open_root(store)
    node = nodes["source/manifest"]
    chunk = node["chunk_grid"]["configuration"]["chunk_shape"][0]
    pieces = [f"source/manifest/c/{n}" for n in range(math.ceil(node["shape"][0] / chunk))]
    keys = ["zarr.json", "source/manifest/zarr.json", *pieces]
    return sum(place.stamp(key).size for key in keys)


def _read(store: Path, name: str) -> Record:
    from stemzarr.store import read_store
    from stemzarr.store.format.tree import read_nodes, read_small_array

    signature = read_signature(store) or ""
    nodes = read_nodes(store)
    opened = read_store(store)
    record = nodes["source"]["attributes"]
    main = opened.document
    files: dict[str, Any] = {}
    stored = None
    if "source/manifest" in nodes:
        files = json.loads(read_small_array(store, nodes, "source/manifest").tobytes())["files"]
        stored = sum(size for size, _ in files.values()) + _unlisted_bytes(store, nodes)
    documents = [
        {**describe_document(document), "main": document.index == opened.main}
        for document in opened.documents
    ]
    said = {
        "name": name,
        **{key: value for key, value in describe_document(main).items() if key in _OF_ENTRY},
        "facts": _facts({**main.facts, **main.attributes}),
        "statistics": _statistics(main),
        "source": {key: value for key, value in record.items() if key not in _BULKY},
        "documents": documents,
        "stored_bytes": stored,
        "origins": list_origins(record, main, opened.load_metadata(), files),
    }
    return Record(
        name=name,
        signature=signature,
        digest=read_digest(store),
        columns=list_fields(said),
        more=list_further_fields(said),
        json=said,
        header_hash=str(record.get("header_hash", "")),
        origin=record.get("path"),
        sample=record.get("sample_hash"),
        tags=opened.load_metadata(),
    )


def _facts(attributes: Mapping[str, Any]) -> dict[str, Fact]:
    """Return what a query can compare; a store of another program may hold anything."""
    return {
        key: value
        for key, value in attributes.items()
        if isinstance(value, str | int | float) and value != ""
    }


def _statistics(main: Document) -> dict[str, float]:
    """Return the statistics that the store keeps of its main document, where they are finite."""
    if main.statistics is None:
        return {}
    found = dataclasses.asdict(main.statistics)
    return {name: value for name, value in found.items() if math.isfinite(value)}


def flatten_tags(tags: Mapping[str, Any]) -> Iterator[tuple[str, Fact]]:
    """Give each leaf of a tag tree as its path, joined by dots, and its value.

    A list gives its elements under its own path where they are values, and under ``path.0``,
    ``path.1`` … where they are trees; long lists, which are pixels or look-up tables, give
    nothing, and long texts are cut.
    """
    waiting: list[tuple[str, Any]] = [("", tags)]
    while waiting:
        path, value = waiting.pop()
        start = f"{path}." if path else ""
        if isinstance(value, Mapping):
            waiting += [(f"{start}{key}", child) for key, child in reversed([*value.items()])]
        elif isinstance(value, list):
            if len(value) <= _LONGEST_LIST:
                waiting += [
                    (f"{start}{number}" if isinstance(child, Mapping | list) else path, child)
                    for number, child in reversed(list(enumerate(value)))
                ]
        elif isinstance(value, str):
            if value:
                yield _plain(path), _plain(value[:_LONGEST_TEXT])
        elif isinstance(value, int | float) and abs(value) <= sys.float_info.max:
            yield _plain(path), value


def _plain(text: str) -> str:
    """Return text that SQLite keeps as it is: without NUL and halves of surrogate pairs."""
    if text.isascii() and "\0" not in text:
        return text
    return text.encode(errors="replace").decode().replace("\0", "\ufffd")
