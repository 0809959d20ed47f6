"""Gives an entry another name: its store, notes and results, the index and ``catalog.yaml``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from stemzarr.errors import StoreExistsError
from stemzarr.storage.address import RemotePath
from stemzarr.storage.cached import work_folder
from stemzarr.storage.files import move, remove_file
from stemzarr.storage.locks import FileLock
from stemzarr.storage.reasons import writing
from stemzarr_catalog.names import casefold, check_name
from stemzarr_catalog.notes import Notes, read_notes, write_notes
from stemzarr_catalog.results import results_folder

if TYPE_CHECKING:
    from stemzarr_catalog.entry import Entry
    from stemzarr_catalog.index_manager import IndexManager
    from stemzarr_catalog.lake import Lake

__all__ = ["locks_folder", "name_lock", "rename_entry"]

_WAIT_SECONDS = 10.0


def locks_folder(lake: Lake) -> Path:
    """Return where the locks of stores and names are: beside the stores, or a folder of this user.

    Raises
    ------
    WriteError
        The lake is at an address, and that folder cannot be made.
    """
    return work_folder(lake.stores) if isinstance(lake.stores, RemotePath) else lake.stores


def name_lock(lake: Lake, name: str, timeout_s: float) -> FileLock:
    """Return the lock that whoever writes or renames an entry of this name holds."""
    path = locks_folder(lake) / f".{casefold(name)}.name.lock"
    return FileLock(path, timeout_s=timeout_s, what=f"the name {name}")


def rename_entry(lake: Lake, manager: IndexManager, entry: Entry, new: str) -> None:
    """Rename an entry, which remembers its former name unless it is redacted.

    The notes are written under the new name before the store is renamed, and removed under the
    old one after it: a crash leaves the entry under one of both names, with its notes.

    Results follow the store.

    Raises
    ------
    OptionError
        The name is not safe on every system, or is reserved.
    StoreExistsError
        Another entry has it, or results are kept under it.
    StoreBusyError, WriteError
        Another process writes the entry, or it cannot be renamed.
    """
    from stemzarr.store.ingest.journal import store_lock

    check_name(new)
    if new == entry.name:
        return
    locks = [name_lock(lake, new, _WAIT_SECONDS), store_lock(entry.path, _WAIT_SECONDS)]
    with locks[0], locks[1], manager.locked():
        lake.refresh()
        target = lake.store_path(new)
        other = lake.find_folded(new)
        is_same = casefold(new) == casefold(entry.name)
        if not is_same and (other is not None or target.exists()):
            hint = "choose another name"
            raise StoreExistsError(f"another entry has the name {new!r}", path=target, hint=hint)
        moved = results_folder(lake.path, entry.name), results_folder(lake.path, new)
        if not is_same and moved[1].exists():
            msg = f"results of an entry that was called {new!r} are there"
            raise StoreExistsError(msg, path=moved[1], hint="move them elsewhere, or remove them")
        with writing(target):
            _move(entry, target, lake.notes_path(entry.name), lake.notes_path(new))
            if moved[0].is_dir():
                move(*moved)
        manager.update(new, former=entry.name)


def _move(entry: Entry, target: Path, said: Path, says: Path) -> None:
    """Rename a store, and its notes from one path to the other."""
    notes = read_notes(said)
    former = [name for name in (*notes.formerly, entry.name) if name != target.stem]
    is_redacted = bool(entry.source.get("redacted"))
    write_notes(says, dataclasses.replace(notes, formerly=() if is_redacted else tuple(former)))
    is_one = said.exists() and says.exists() and said.samefile(says)
    try:
        move(entry.path, target)
    except OSError:
        write_notes(says, notes if is_one else Notes())
        raise
    if not is_one:
        remove_file(said)
