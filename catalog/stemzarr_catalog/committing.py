"""Shows what was published: an index of all that is there, and ``lake.json`` moved to it.

The index is that of the state before with the entries of this publication put in. Where somebody
else moved ``lake.json`` meanwhile, it is made again from theirs: so nobody's entries are lost.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from stemzarr.errors import (
    CorruptFileError,
    DamagedStoreError,
    ReadError,
    SchemaVersionError,
    StemzarrError,
    StoreBusyError,
)
from stemzarr.options import PublishOptions
from stemzarr.pixels.threads import map_in_threads
from stemzarr.storage.objects import Writable, get_or_none
from stemzarr.storage.probing import probe
from stemzarr.storage.publishing import swap
from stemzarr.storage.remote import RemoteFolder
from stemzarr_catalog import tables
from stemzarr_catalog.entry import Entry
from stemzarr_catalog.export import render_parquet
from stemzarr_catalog.index import Index
from stemzarr_catalog.names import safe_name
from stemzarr_catalog.notes import Notes
from stemzarr_catalog.record import read_digest, read_record
from stemzarr_catalog.search import rows
from stemzarr_catalog.snapshot import (
    LAKE,
    SNAPSHOTS,
    State,
    fetch_index,
    put_snapshot,
    read_state,
)

__all__ = ["Sent", "commit", "read_row_at"]

_TRIES = 200
_NO_TABLE = (
    "the table in Parquet, for DuckDB, pandas and others, is left out of the lake: pyarrow is not "
    "installed (pip install pyarrow, and publish again)"
)
_KEPT_S = 86400.0
"""How long an index is kept that ``lake.json`` does not name any more: somebody may read it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """An entry that is at the destination."""

    store: Path
    """The store that it was published from."""
    digest: str
    """Digest of the metadata of its root, as they were published."""
    notes: Notes
    """What people added, as it was published."""


def commit(
    target: Path,
    place: Writable,
    sent: Mapping[str, Sent],
    options: PublishOptions,
    *,
    refresh: Callable[[], Index] | None = None,
) -> State:
    """Move ``lake.json`` to an index of all that is at a destination.

    Parameters
    ----------
    target, place
        The destination.
    sent
        The entries that were published now, by name.
    options
        How many threads read what the index does not know.
    refresh
        Gives the index of a folder, which is a lake of its own, in line with its stores; at an
        address none is needed.

    Returns
    -------
    State
        What ``lake.json`` says then.

    Raises
    ------
    SchemaVersionError
        A newer stemzarr published there.
    StoreBusyError
        Others move ``lake.json`` all the time.
    ReadError, WriteError
        Something cannot be read or written there.

    Warns
    -----
    UserWarning
        pyarrow is not installed, so that there is no table in Parquet.
    """
    abilities = probe(place)
    for _ in range(_TRIES):
        text, state = _read_state(place)
        with tempfile.TemporaryDirectory(prefix="stemzarr-") as folder:
            index, changed = _index_of(place, state, sent, Path(folder), options, refresh)
            if state is not None and not changed and state.has_table:
                made = state
                break
            table = render_parquet(_entries(target, index))
            if state is not None and not changed and table is None:
                made = state
                break
            made = put_snapshot(place, index, state, table=table)
        if state is not None and made.digest == state.digest and made.has_table <= state.has_table:
            made = state
            break
        if not abilities.swaps:
            place.put(LAKE, made.text)
            break
        if swap(place, LAKE, text, made.text):
            break
    else:
        msg, hint = "others publish there all the time", "run the same command again"
        raise StoreBusyError(msg, path=target, hint=hint)
    if not made.has_table:
        warnings.warn(_NO_TABLE, stacklevel=2)
    _forget_old(place, made, redact=options.redact)
    return made


def _read_state(place: Writable) -> tuple[bytes | None, State | None]:
    """Return the bytes of ``lake.json`` and what they say; what makes no sense is replaced."""
    try:
        state = read_state(place)
    except CorruptFileError:
        return get_or_none(place, LAKE), None
    return (None, None) if state is None else (state.text, state)


def _index_of(
    place: Writable,
    state: State | None,
    sent: Mapping[str, Sent],
    folder: Path,
    options: PublishOptions,
    refresh: Callable[[], Index] | None,
) -> tuple[Index, bool]:
    """Return an index of all that is at a destination, and whether it may have changed."""
    if not isinstance(place, RemoteFolder):
        if refresh is None:
            msg = "a folder has an index of its own"
            raise TypeError(msg)
        return refresh(), True
    known, index = _fetch(place, state), Index(folder / "lake.sqlite")
    if known is None:
        index.clear()
    else:
        known.write_compact(folder / "lake.sqlite")
    changed = _bring_in_line(index, place, sent, options)
    return index, changed or known is None


def _fetch(place: RemoteFolder, state: State | None) -> Index | None:
    """Return the index of the state before; None where it must be made from the stores again."""
    if state is None:
        return None
    try:
        return fetch_index(place, state)
    except DamagedStoreError:
        return None
    except SchemaVersionError:
        if state.tables > tables.VERSION:
            raise
        return None


def _bring_in_line(
    index: Index, place: RemoteFolder, sent: Mapping[str, Sent], options: PublishOptions
) -> bool:
    """Put entries in an index, and those at the destination that it does not know.

    Returns
    -------
    bool
        Whether anything in it is different now.
    """
    with index.reading() as connection:
        known = {
            name: (digest, notes)
            for name, digest, notes in tables.fetch(
                connection, "SELECT name, digest, notes FROM entry JOIN detail USING (id)"
            )
        }
    names = [name.removesuffix(".zarr") for name in place.names("stores")]
    listed = {name for name in names if name == safe_name(name)}
    new = [name for name, one in sent.items() if known.get(name) != _state_of(one)]
    others = sorted(listed - known.keys() - sent.keys())
    gone = known.keys() - listed - sent.keys()

    def read(name: str) -> tables.NewRow | None:
        return _read_sent(place, name, sent[name]) if name in sent else read_row_at(place, name)

    read_rows = [*map_in_threads(read, [*new, *others], threads=options.threads)]
    found = [row for row in read_rows if row is not None]
    with index.writing() as connection:
        for name in gone:
            tables.delete_entry(connection, name)
        tables.put_rows(connection, found)
    return bool(found or gone)


def _state_of(one: Sent) -> tuple[str, str]:
    """Return what tells a row from another one of the same entry, as the index has it."""
    return one.digest, tables.notes_text(one.notes)


def _read_sent(place: RemoteFolder, name: str, one: Sent) -> tables.NewRow:
    """Read the row of an entry from the store that it came from, unless its copy is another."""
    equal = read_digest(one.store) == one.digest
    store = one.store if equal else place.root / "stores" / f"{name}.zarr"
    record = dataclasses.replace(read_record(store, name), digest=one.digest)
    return tables.NewRow(record=record, notes=one.notes, added=tables.Added(signature=""))


def read_row_at(place: RemoteFolder, name: str) -> tables.NewRow | None:
    """Read the row of a store that is at an address; None where it is not complete."""
    store = place.root / "stores" / f"{name}.zarr"
    try:
        record = read_record(store, name)
    except ReadError:
        raise
    except StemzarrError:
        return None
    record = dataclasses.replace(record, digest=read_digest(store))
    notes = _parse_notes(get_or_none(place, f"notes/{name}.json"))
    return tables.NewRow(record=record, notes=notes, added=tables.Added(signature=""))


def _parse_notes(text: bytes | None) -> Notes:
    """Return what a file of notes says; a broken one takes no store out of the catalog."""
    try:
        return Notes() if text is None else Notes.from_json(json.loads(text))
    except (ValueError, TypeError, AttributeError):
        return Notes()


def _entries(target: Path, index: Index) -> Iterator[tuple[Entry, str]]:
    """Yield the entries of an index, each with the place of its store below the lake."""
    with index.reading() as connection:
        for name, record, notes in rows(connection, ""):
            where = f"stores/{name}.zarr"
            yield Entry(name, target / where, record, notes), where


def _forget_old(place: Writable, state: State, *, redact: bool) -> None:
    """Delete indexes that are neither named nor so young that somebody may be reading them.

    Those that may say what was redacted go at once.
    """
    named = {*state.digests} if redact else {*state.digests, state.previous}
    for key in [key for key in place.list(SNAPSHOTS) if key not in named]:
        if redact or time.time() - place.stamp(key).modified_ns / 1e9 > _KEPT_S:
            place.delete(key)
