"""The index of a published lake: files that never change, and ``lake.json``, which names them.

Each publication puts an index under the digest of its bytes and then moves ``lake.json`` to it, if
that is still what it was when the index was made. So a reader has one state or another, whole, and
two publishers lose nothing of each other's.
"""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

import stemzarr
from stemzarr.errors import CorruptFileError, DamagedStoreError, SchemaVersionError
from stemzarr.storage.cached import drop_cached, find_cached, keep_cached
from stemzarr.storage.objects import get_or_none
from stemzarr.store.format.typed_json import Limit, misfits
from stemzarr_catalog.index import Index
from stemzarr_catalog.names import safe_name
from stemzarr_catalog.tables import VERSION, fetch

if TYPE_CHECKING:
    from stemzarr.storage.objects import Readable, Writable

__all__ = [
    "LAKE",
    "SNAPSHOTS",
    "State",
    "fetch_index",
    "forget_index",
    "put_snapshot",
    "read_state",
]

LAKE = "lake.json"
"""Name of the file that says which index is that of a published lake."""
SNAPSHOTS = "index"
"""Folder of the indexes."""
_FORM = 1
"""Version of ``lake.json``."""
_FRAME = 8 * 1024**2
"""Bytes of the index that are compressed, and unpacked, at a time."""
_LEVEL = 3
_AGAIN = "publish the lake again, which rebuilds it"

_Count = Annotated[int, Limit(most=2**62)]
_Key = Annotated[str, Limit(pattern=rf"{SNAPSHOTS}/[0-9a-f]{{64}}\.[a-z.]+")]


class _Json(TypedDict):
    """The form of ``lake.json``."""

    stemzarr_lake: _Count
    stemzarr: str
    tables: _Count
    version: _Count
    entries: _Count
    index: _Key
    size: _Count
    frames: list[_Count]
    digests: dict[str, str]
    previous: _Key | None


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What ``lake.json`` says."""

    text: bytes
    """The file itself."""
    version: int
    """How many states the lake has had."""
    index: str
    """Key of the index: an SQLite file, compressed as frames of zstd, named by its SHA-256."""
    size: int
    """Bytes of the index when it is unpacked."""
    frames: tuple[int, ...]
    """Bytes of each of its frames."""
    digests: Mapping[str, str]
    """SHA-256 of the index, and of the table for other programs where there is one, by key."""
    previous: str | None
    """Key of the index before."""
    tables: int
    """Version of the tables in the index."""
    stemzarr: str
    """Version of stemzarr that made it."""

    @property
    def digest(self) -> str:
        """SHA-256 of the index."""
        return self.digests[self.index]

    @property
    def has_table(self) -> bool:
        """Whether there is a table for other programs."""
        return any(key.endswith(".parquet") for key in self.digests)

    @property
    def cached(self) -> str:
        """Name under which the unpacked index is kept on this machine."""
        return f"{self.digest}.sqlite"


def read_state(place: Readable) -> State | None:
    """Return what ``lake.json`` says; None where there is none.

    Raises
    ------
    SchemaVersionError
        A newer stemzarr wrote it.
    CorruptFileError
        It says what cannot be understood.
    ReadError
        It cannot be read.
    """
    text, path = get_or_none(place, LAKE), place.root / LAKE
    if text is None:
        return None
    try:
        said: Any = json.loads(text)
    except ValueError:
        said = None
    form = said.get("stemzarr_lake") if isinstance(said, dict) else None
    if isinstance(form, int) and form > _FORM:
        msg = f"has version {form}, this stemzarr knows {_FORM}"
        raise SchemaVersionError(msg, path=path, hint="update stemzarr")
    wrong = misfits(said, _Json) or _contradictions(said)
    if wrong:
        raise CorruptFileError(f"is not that of a lake: {wrong[0]}", path=path, hint=_AGAIN)
    return _state(said, text)


def _state(said: _Json, text: bytes) -> State:
    names = ("version", "index", "size", "digests", "previous", "tables", "stemzarr")
    values: dict[str, Any] = {name: said[name] for name in names}  # type: ignore[literal-required]
    return State(text=text, frames=tuple(said["frames"]), **values)


def _contradictions(said: _Json) -> list[str]:
    """Return where what ``lake.json`` says does not fit together."""
    named = re.match(rf"{SNAPSHOTS}/([0-9a-f]*)", said["index"])
    if named is None or said["digests"].get(said["index"]) != named[1]:
        return ["digests: the index is not named by its digest"]
    if len(said["frames"]) != -(-said["size"] // _FRAME):
        return ["frames: they are not as many as the size says"]
    return []


def _check_tables(state: State, path: Path) -> None:
    if state.tables != VERSION:
        what = "a newer" if state.tables > VERSION else "an older"
        msg = f"its index was made by {what} stemzarr ({state.stemzarr})"
        hint = "update stemzarr" if state.tables > VERSION else _AGAIN
        raise SchemaVersionError(msg, path=path, hint=hint)


def fetch_index(place: Readable, state: State) -> Index:
    """Return the index of a state: the one that is kept on this machine, else by one request.

    Raises
    ------
    SchemaVersionError
        Another version of stemzarr made it.
    DamagedStoreError
        It is missing, or its bytes are not those that ``lake.json`` names.
    ReadError
        It cannot be read.
    """
    path = place.root / state.index
    _check_tables(state, path)
    kept = find_cached(state.cached, state.size)
    if kept is not None:
        try:
            return _with_all_columns(Index(kept))
        except sqlite3.DatabaseError:
            drop_cached(state.cached)
    packed = get_or_none(place, state.index)
    if packed is None:
        msg = "the index that lake.json names is missing"
        raise DamagedStoreError(msg, path=path, hint=_AGAIN)
    if hashlib.sha256(packed).hexdigest() != state.digest:
        msg = "the index is damaged: its bytes are not those that lake.json names"
        raise DamagedStoreError(msg, path=path, hint=_AGAIN)
    try:
        kept = keep_cached(state.cached, _unpack(packed, state))
        index = Index.of(b"".join(_unpack(packed, state))) if kept is None else Index(kept)
        index = _with_all_columns(index)
        _check_names(index)
    except (RuntimeError, ValueError, sqlite3.DatabaseError) as error:
        drop_cached(state.cached)
        msg = f"the index cannot be used: {error}"
        raise DamagedStoreError(msg, path=path, hint=_AGAIN) from error
    return index


def _check_names(index: Index) -> None:
    """Raise `ValueError` where an entry has a name that leads elsewhere as a part of a path."""
    with index.reading() as connection:
        for (name,) in fetch(connection, "SELECT name FROM entry"):
            if name != safe_name(name):
                msg = f"an entry is called {name!r}, which no store can be"
                raise ValueError(msg)


def _with_all_columns(index: Index) -> Index:
    """Return an index that knows every field; those that are new since it was made, of no entry.

    Raises
    ------
    sqlite3.DatabaseError
        The file is no index.
    """
    if index.is_current():
        return index
    copy = index.copy_into_memory()
    copy.add_columns()
    return copy


def forget_index(state: State) -> None:
    """Drop the index of a state that is kept on this machine, since it is broken."""
    drop_cached(state.cached)


def _unpack(packed: bytes, state: State) -> Iterator[bytes]:
    """Yield the bytes of an index frame by frame, none larger than it must be."""
    from numcodecs.zstd import decompress

    view, at, left = memoryview(packed), 0, state.size
    for length in state.frames:
        piece = bytearray(min(_FRAME, left))
        decompress(view[at : at + length], piece)
        yield bytes(piece)
        at, left = at + length, left - len(piece)


def put_snapshot(
    place: Writable, index: Index, previous: State | None, *, table: bytes | None
) -> State:
    """Put the index of a lake as it is now, and return the state that ``lake.json`` is to name.

    It is compact: nothing is in it that was deleted, or that says of files when they changed.

    Parameters
    ----------
    place
        The published lake.
    index
        Its index.
    previous
        The state before.
    table
        The entries as Parquet, for other programs; None where pyarrow is not installed.

    Raises
    ------
    WriteError
        It cannot be put.
    """
    with tempfile.TemporaryDirectory(prefix="stemzarr-") as folder:
        file = Path(folder, "index.sqlite")
        entries = index.write_compact(file)
        frames = list(_pack(file))
        size = file.stat().st_size
    packed = b"".join(frames)
    digest = hashlib.sha256(packed).hexdigest()
    keys = {f"{SNAPSHOTS}/{digest}.sqlite.zst": packed}
    if table is not None:
        keys[f"{SNAPSHOTS}/{digest}.parquet"] = table
    for key, content in keys.items():
        place.put(key, content)
    said: _Json = {
        "stemzarr_lake": _FORM,
        "stemzarr": stemzarr.__version__,
        "tables": VERSION,
        "version": 1 if previous is None else previous.version + 1,
        "entries": entries,
        "index": f"{SNAPSHOTS}/{digest}.sqlite.zst",
        "size": size,
        "frames": [len(frame) for frame in frames],
        "digests": {key: hashlib.sha256(content).hexdigest() for key, content in keys.items()},
        "previous": None if previous is None else previous.index,
    }
    return _state(said, f"{json.dumps(said, indent=1)}\n".encode())


def _pack(file: Path) -> Iterator[bytes]:
    """Yield a file as frames of zstd, which any program unpacks one after the other."""
    from numcodecs.zstd import compress

    with file.open("rb") as opened:
        while piece := opened.read(_FRAME):
            yield bytes(compress(piece, _LEVEL))
