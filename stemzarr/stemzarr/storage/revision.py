"""Several files of a folder replaced as one: staged, listed, then put in place one by one."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

from stemzarr.errors import DamagedStoreError
from stemzarr.storage.files import (
    move,
    remove_tree,
    sync_folder,
    sync_path,
    write_file,
    writing,
)
from stemzarr.storage.locks import FileLock
from stemzarr.storage.objects import is_key

__all__ = ["REVISION", "finish_revision", "revising"]

REVISION = ".revision"
"""Begins the name of a folder in a store with the files of a revision that is under way."""
_COMMITTED = "committed"
"""File in it that lists them once all are there: from then on the revision counts."""


@contextlib.contextmanager
def revising(path: Path, lock: FileLock) -> Iterator[Path]:
    """Give a folder in a store for files that take the places of those of the same names.

    When the block succeeds, they are flushed and listed, and then put in place one by one, the
    root's metadata last. A crash before the list is complete leaves the store as it was; after
    it, whoever opens the store next finishes the work. The caller holds the store's lock; one that
    was lost meanwhile leaves the store as it was.

    Raises
    ------
    StoreBusyError
        The lock was lost.
    WriteError
        The store cannot be written.
    """
    with writing(path):
        for left in path.glob(f"{REVISION}*"):
            _remove_stage(left)
        # A name of its own: a reader may still be busy with the one before.
        stage = path / f"{REVISION}-{uuid.uuid4().hex[:8]}"
        try:
            yield stage
            lock.check(now=True)
            _commit(stage)
        except BaseException:
            with contextlib.suppress(OSError):
                _remove_stage(stage)
            raise
        finish_revision(path)


def _commit(stage: Path) -> None:
    files = sorted(p.relative_to(stage).as_posix() for p in stage.rglob("*") if p.is_file())
    if not files:
        return
    for name in files:
        sync_path(stage / name)
    ordered = sorted(files, key=lambda name: name == "zarr.json")
    fresh = stage / f"{_COMMITTED}.new"
    write_file(fresh, "\n".join(ordered).encode(), sync=True)
    fresh.replace(stage / _COMMITTED)
    sync_folder(stage)


def finish_revision(path: Path) -> None:
    """Put the files of committed revisions in place, the root's metadata last.

    A revision that a crash cut short is finished by whoever opens the store next; where that is
    another process at the same time, both do the same.

    Raises
    ------
    DamagedStoreError
        A list names what is elsewhere: no revision of ours did that.
    WriteError
        The store cannot be written.
    """
    for stage in sorted(path.glob(f"{REVISION}*")):
        try:
            names = (stage / _COMMITTED).read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError):
            continue
        _check_inside(path, stage, names)
        with writing(path):
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    move(stage / name, path / name)
            sync_folder(path)
            _remove_stage(stage)


def _remove_stage(stage: Path) -> None:
    """Remove a folder that another process may be removing at the same moment."""
    while stage.exists():
        with contextlib.suppress(FileNotFoundError):
            remove_tree(stage)


def _check_inside(path: Path, stage: Path, names: Sequence[str]) -> None:
    """Raise where a path would lead out of the store, by its words or through a link."""
    home = path.resolve()
    for name in names:
        ends = [stage, (path / name).parent, (stage / name).parent]
        if not is_key(name) or any(not end.resolve().is_relative_to(home) for end in ends):
            msg = f"its unfinished revision names {name!r}, which is not a file of a store"
            hint = f"do not trust this store; to open it all the same, remove {stage.name} in it"
            raise DamagedStoreError(msg, path=path, hint=hint)
