"""Deletes an entry, or leaves it as it is where the system lets nobody delete it here."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from stemzarr.errors import StemzarrError, WriteError
from stemzarr.storage.files import move, remove_file, remove_tree
from stemzarr.storage.local import LocalFolder
from stemzarr.storage.reasons import write_error
from stemzarr_catalog.index_manager import IndexManager
from stemzarr_catalog.results import set_aside
from stemzarr_catalog.rights import may_write

__all__ = ["remove_entry"]


def remove_entry(
    manager: IndexManager, name: str, store: Path, notes: Path, results: Path | None
) -> None:
    """Delete a store, its notes, its folder of results where one is given, and its row.

    The store is first renamed, so that it is there entirely or not at all. What cannot be deleted
    is put back under its name, with its notes.

    Raises
    ------
    WriteError
        The store cannot be deleted; the entry stays.
    """
    _check_removable(name, store)
    aside = store.with_name(f".{store.name}.{os.getpid()}.{time.time_ns():x}.old")
    said: bytes | None = None
    try:
        with manager.locked():
            said = notes.read_bytes() if notes.is_file() else None
            move(store, aside)
            remove_file(notes)
            manager.forget(name)
        with contextlib.nullcontext() if results is None else set_aside(results):
            _delete(aside)
    except OSError as error:
        with contextlib.suppress(OSError, StemzarrError):
            _put_back(manager, name, (aside, store), (notes, said))
        if isinstance(error, StemzarrError):
            raise
        failed = Path(os.fsdecode(error.filename or store))
        if failed.is_relative_to(aside):
            failed = store / failed.relative_to(aside)
        raise _kept(name, failed, error) from error


def _delete(store: Path) -> None:
    """Delete a store, the root's metadata last: what is left of one is seen to be damaged."""
    if store.is_dir() and not store.is_symlink():
        for path in sorted(store.iterdir(), key=lambda path: path.name == "zarr.json"):
            remove_tree(path)
    remove_tree(store)


def _check_removable(name: str, store: Path) -> None:
    """Raise where a folder of a store lets nothing be deleted, before half of it is gone."""
    if store.is_symlink():
        return
    for folder, folders, files in os.walk(store):
        if (folders or files) and not may_write(Path(folder)):
            error = PermissionError(0, "its folder does not let this user delete what is in it")
            raise _kept(name, Path(folder), error)


def _put_back(
    manager: IndexManager, name: str, store: tuple[Path, Path], notes: tuple[Path, bytes | None]
) -> None:
    """Undo what was done of a removal."""
    with manager.locked():
        if store[0].exists() and not store[1].exists():
            move(*store)
        if notes[1] is not None and not notes[0].exists():
            LocalFolder(notes[0].parent).put(notes[0].name, notes[1])
        manager.update(name)


def _kept(name: str, path: Path, error: OSError) -> WriteError:
    """Return the error of a removal that was not done."""
    found = write_error(path, error)
    hint = f"the entry stays, and 'stemzarr verify {name}' says whether it is whole; {found.hint}"
    return WriteError(f"cannot be deleted: {error.strerror or error}", path=path, hint=hint)
