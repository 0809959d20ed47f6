"""Several files of a folder replaced as one: staged, listed, then put in place one by one."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from stemzarr.storage.local import COMMITTED, REVISION, LocalFolder, remove_stage
from stemzarr.storage.reasons import writing

__all__ = ["revising"]


@contextlib.contextmanager
def revising(path: Path, check: Callable[..., None]) -> Iterator[LocalFolder]:
    """Give a folder in a store for files that take the places of those of the same names.

    When the block succeeds, they are flushed and listed, and then put in place one by one, the
    root's metadata last. A crash before the list is complete leaves the store as it was; after
    it, whoever opens the store next finishes the work. The caller holds the store's lock; one that
    was lost meanwhile leaves the store as it was.

    Parameters
    ----------
    path
        The store.
    check
        Raises where the lock was lost, as `FileLock.check`.

    Raises
    ------
    StoreBusyError
        The lock was lost.
    WriteError
        The store cannot be written.
    """
    with writing(path):
        for left in path.glob(f"{REVISION}*"):
            remove_stage(left)
        # A name of its own: a reader may still be busy with the one before.
        stage = path / f"{REVISION}-{uuid.uuid4().hex[:8]}"
        files = LocalFolder(stage, parts=stage)
        try:
            yield files
            check(now=True)
            _commit(files)
        except BaseException:
            with contextlib.suppress(OSError):
                remove_stage(stage)
            raise
        LocalFolder(path).settle()


def _commit(stage: LocalFolder) -> None:
    names = sorted(sorted(stage.list()), key=lambda name: name == "zarr.json")
    if not names:
        return
    for name in names:
        stage.flush(name)
    with stage.writing(COMMITTED, sync=True) as file:
        file.write("\n".join(names).encode())
    stage.flush("")
