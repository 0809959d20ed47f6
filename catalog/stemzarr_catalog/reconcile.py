"""Bringing the index in line with the folders, which are the truth."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from stemzarr.errors import StemzarrError
from stemzarr.storage.foreign import is_foreign
from stemzarr_catalog import tables
from stemzarr_catalog.index import Index
from stemzarr_catalog.names import safe_name
from stemzarr_catalog.notes import Notes, read_notes
from stemzarr_catalog.record import (
    Signature,
    read_digest,
    read_record,
    read_signature,
)
from stemzarr_catalog.results import FOLDER as RESULTS
from stemzarr_catalog.results import find_results, read_result

__all__ = [
    "Changes",
    "added_signature",
    "apply_changes",
    "find_changes",
    "list_results",
    "list_stores",
    "read_added",
    "read_row",
]

_SMALL = 1000
"""Stores up to which every one is looked at on opening, which takes some milliseconds."""

_TICK_NS = 2_000_000_000
"""A folder that changed less than this long ago may change again within one tick of the clock."""

_BATCH = 200
"""Stores that are read between two transactions."""

Locked = Callable[[], AbstractContextManager[None]]


def list_stores(lake: Path) -> dict[str, Signature]:
    """Return the signature of each store by its name.

    What is hidden (unfinished or about to be deleted), a symbolic link, or has a name that no
    store can have, is not a store.
    """
    found = {}
    try:
        with os.scandir(lake / "stores") as listing:
            for item in listing:
                name = item.name.removesuffix(".zarr")
                if name == item.name or name != safe_name(name) or is_foreign(item.name):
                    continue
                if item.is_symlink():
                    # It would let the lake read, or delete, elsewhere.
                    continue
                signature = read_signature(Path(item.path))
                if signature is not None:
                    found[name] = signature
    except FileNotFoundError:
        return {}
    return found


def list_results(lake: Path) -> dict[str, str]:
    """List in the metadata of every store the results that people added to it.

    Returns
    -------
    dict
        Name → why that could not be done.
    """
    from stemzarr.store import renew_listing

    failed = {}
    for name in list_stores(lake):
        try:
            renew_listing(_store(lake, name))
        except StemzarrError as error:
            failed[name] = str(error)
    return failed


def note_signature(path: Path) -> str:
    """Return what tells whether a file of notes has changed; empty where there is none."""
    try:
        status = path.stat()
    except OSError:
        return ""
    return f"{status.st_mtime_ns}:{status.st_size}"


def added_signature(lake: Path, name: str) -> str:
    """Return what tells whether notes or results of an entry changed; empty without any."""
    notes = note_signature(lake / "notes" / f"{name}.json")
    results = note_signature(lake / RESULTS / name)
    return f"{notes} {results}" if results else notes


def _list_added(lake: Path) -> dict[str, str]:
    """Return the signature of what people added to each entry that has any of it."""
    names: set[str] = set()
    for folder, suffix in (("notes", ".json"), (RESULTS, "")):
        with contextlib.suppress(FileNotFoundError), os.scandir(lake / folder) as listing:
            names |= {
                item.name.removesuffix(suffix)
                for item in listing
                if item.name.endswith(suffix)
                and not (item.name.startswith(".") or is_foreign(item.name))
            }
    return {name: added_signature(lake, name) for name in names}


def read_added(lake: Path, name: str) -> tables.Added:
    """Return what people added to an entry beside its notes; a broken result is none."""
    signature, found = added_signature(lake, name), []
    for path in find_results(lake, name):
        with contextlib.suppress(StemzarrError):
            result = read_result(path)
            found.append((result.name, result.source_hash))
    return tables.Added(signature=signature, results=tuple(found))


def read_row(lake: Path, name: str) -> tuple[tables.NewRow, str]:
    """Read what the index keeps of a store and its notes.

    Returns
    -------
    tuple
        The row, and what is wrong with the notes, if anything: a broken file of notes takes no
        store out of the catalog.

    Raises
    ------
    SchemaVersionError, DamagedStoreError
        The store cannot be read.
    """
    record = read_record(_store(lake, name), name)
    notes, added, problem = _read_notes(lake, name)
    return tables.NewRow(record=record, notes=notes, added=added), problem


def _store(lake: Path, name: str) -> Path:
    return lake / "stores" / f"{name}.zarr"


def _read_notes(lake: Path, name: str) -> tuple[Notes, tables.Added, str]:
    """Return the notes of an entry, what else was added, and what is wrong with the notes."""
    added = read_added(lake, name)
    try:
        return read_notes(lake / "notes" / f"{name}.json"), added, ""
    except StemzarrError as error:
        return Notes(), added, str(error)


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What the index does not know yet."""

    stores: tuple[str, ...] = ()
    """Names of stores that are new or have changed, they or their notes."""
    notes: tuple[str, ...] = ()
    """Names of entries of which only the notes have changed."""
    touched: Mapping[str, Signature] = field(default_factory=dict)
    """New signatures of stores that were copied or touched and say the same as before."""
    gone: tuple[str, ...] = ()
    """Names of entries whose stores are not there any more."""
    moment: str | None = None
    """State of the folders of a large lake that was looked through; to be remembered."""

    @property
    def matter(self) -> bool:
        """Whether the index says anything that is not so."""
        return bool(self.stores or self.notes or self.gone)


def find_changes(lake: Path, index: Index, *, thorough: bool = False) -> Changes:
    """Compare the folders of a lake with its index.

    Parameters
    ----------
    lake
        The folder.
    index
        Its index, of the present version.
    thorough
        Whether to look at every store, however many there are.
    """
    moment = _moment(lake)
    with index.reading() as connection:
        quiet = tables.get_state(connection, "moment") == moment
        count = tables.fetch(connection, "SELECT count(*) FROM entry")[0][0]
        if quiet and count > _SMALL and not thorough:
            return Changes()
        known = tables.signatures(connection)
        digests = tables.digests(connection)
    stores, notes = list_stores(lake), _list_added(lake)
    changed, touched, noted = [], {}, []
    for name, signature in stores.items():
        before, noted_before = known.get(name, ("", ""))
        if signature != before:
            size, size_before = signature.split(":")[-1], before.split(":")[-1]
            same = size == size_before and digests.get(name) == read_digest(_store(lake, name))
            if not same:
                changed.append(name)
                continue
            touched[name] = signature
        if notes.get(name, "") != noted_before:
            noted.append(name)
    return Changes(
        stores=tuple(changed),
        notes=tuple(noted),
        touched=touched,
        gone=tuple(name for name in known if name not in stores),
        moment=moment if len(stores) > _SMALL and not quiet else None,
    )


def apply_changes(lake: Path, index: Index, changes: Changes, locked: Locked) -> None:
    """Bring the index in line with the folders of a lake.

    Parameters
    ----------
    lake
        The folder.
    index
        Its index.
    changes
        What `find_changes` found.
    locked
        Gives the lock under which the index is written.
    """
    for start in range(0, len(changes.stores), _BATCH):
        _put(lake, index, locked, changes.stores[start : start + _BATCH])
    for start in range(0, len(changes.notes), _BATCH):
        _put_notes(lake, index, locked, changes.notes[start : start + _BATCH])
    if changes.touched:
        with locked(), index.writing() as connection:
            for name, signature in changes.touched.items():
                tables.replace_signature(connection, name, signature)
    if changes.gone:
        _forget(lake, index, locked, changes.gone)
    moment = changes.moment
    if moment is not None and index.path is not None and _is_settled(index.path, moment):
        with locked(), index.writing() as connection:
            tables.set_state(connection, "moment", moment)


def _moment(lake: Path) -> str:
    """Return when something last came to, or went from, the folders of a lake."""
    times = []
    for folder in ("stores", "notes", RESULTS):
        try:
            times.append((lake / folder).stat().st_mtime_ns)
        except FileNotFoundError:
            times.append(0)
    return " ".join(map(str, times))


def _is_settled(index: Path, moment: str) -> bool:
    """Return whether the folders changed long enough ago that a further change would show.

    The present time is taken from the file system, whose clock may not be ours.
    """
    os.utime(index)
    now = index.stat().st_mtime_ns
    return all(now - int(changed) > _TICK_NS for changed in moment.split())


def _put(lake: Path, index: Index, locked: Locked, names: Sequence[str]) -> None:
    """Read stores, and then write their rows in one short transaction."""
    read: list[tuple[tables.NewRow, str]] = []
    broken: list[tuple[str, Signature, str, str]] = []
    for name in names:
        signature = read_signature(_store(lake, name)) or ""
        try:
            read.append(read_row(lake, name))
        except StemzarrError as error:
            noted = added_signature(lake, name)
            broken.append((name, signature, noted, str(error)))
    with locked(), index.writing() as connection:
        tables.put_rows(connection, [row for row, _ in read])
        for row, problem in read:
            if problem:
                name, signature = row.record.name, row.record.signature
                tables.put_problem(connection, name, signature, row.added.signature, problem)
        for name, signature, noted, problem in broken:
            tables.delete_entry(connection, name)
            tables.put_problem(connection, name, signature, noted, problem)


def _put_notes(lake: Path, index: Index, locked: Locked, names: Sequence[str]) -> None:
    """Read notes again, and then write them in one short transaction."""
    read = [(name, *_read_notes(lake, name)) for name in names]
    with locked(), index.writing() as connection:
        for name, notes, added, problem in read:
            tables.replace_notes(connection, name, notes, added)
            tables.delete_problem(connection, name)
            if problem:
                signature = read_signature(_store(lake, name)) or ""
                tables.put_problem(connection, name, signature, added.signature, problem)


def _forget(lake: Path, index: Index, locked: Locked, names: Sequence[str]) -> None:
    with locked(), index.writing() as connection:
        for name in names:
            # It may have come back while it was being replaced by another process.
            if read_signature(_store(lake, name)) is None:
                tables.delete_entry(connection, name)
