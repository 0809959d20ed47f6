"""The index of a lake kept up to date, whole, and readable where nothing can be written."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from stemzarr.errors import StemzarrError, WriteError
from stemzarr.storage.files import remove_tree
from stemzarr.storage.locks import FileLock
from stemzarr.storage.reasons import denied, is_unwritable, write_error
from stemzarr_catalog import tables
from stemzarr_catalog.index import Index
from stemzarr_catalog.reconcile import apply_changes, find_changes, read_row
from stemzarr_catalog.rights import may_write

__all__ = ["IndexManager"]

_WAIT_SECONDS = 120.0
_LISTING, _DUE = "listing", "due"
"""State of the index that says that ``catalog.yaml`` lists less than the index does."""
_SHARE = 20.0
"""While many entries change, what grows with the lake is done one part in this of the time."""
_LEFT_ALONE_SECONDS = 3600.0
_LEFT_BEHIND = (
    *("stores/.*.old", "stores/.*.partial", "notes/.*.partial", ".*.partial"),
    *("results/.*.old", "results/*/.*.old", "results/*/.*.partial"),
)
"""What killed processes may leave in a lake."""
"""Age from which a folder that was moved aside has no owner any more who could move it back."""

_RIGHTS = "check its owner and its permissions"

_T = TypeVar("_T")
_P = ParamSpec("_P")


class IndexManager:
    """The index of one lake, and the right to write it.

    Parameters
    ----------
    path
        Folder of the lake.
    read_only
        Whether to leave its files alone.
    write_yaml
        Is called, with the lake locked, when the index changed: it writes ``catalog.yaml``.

    Notes
    -----
    The index is a cache. One that another user made, and this one cannot write, is replaced where
    the folder can be written. Elsewhere a copy in memory is corrected instead, and `obstacle` says
    what is in the way; where it is broken, it is rebuilt.
    """

    def __init__(self, path: Path, *, read_only: bool, write_yaml: Callable[[bool], None]) -> None:
        self.path = path
        self.obstacle: StemzarrError | None = None
        self._asked = read_only
        self._file = path / "catalog.sqlite"
        self.index = Index(self._file)
        self._write_yaml = write_yaml
        self._held = threading.local()
        self._together = False
        self._next: dict[str, float] = {}

    @property
    def read_only(self) -> bool:
        """Whether the files of the lake are left alone."""
        return self._asked or self.obstacle is not None

    def check_writable(self) -> None:
        """Raise `WriteError` where the lake is open for reading only."""
        if self.obstacle is not None:
            why = self.obstacle
            msg = f"the lake is open for reading only: {why.message}"
            raise WriteError(msg, path=why.path, hint=why.hint)
        if self._asked:
            hint = "open it where it can be written"
            raise WriteError("the lake is open for reading only", path=self.path, hint=hint)

    def check_ingest(self) -> None:
        """Raise `WriteError` where no entry can be added."""
        self.check_writable()

    @property
    def workplace(self) -> Path:
        """Folder of locks, and of what this machine remembers: the lake itself."""
        return self.path

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lake for a moment: for the index, the YAML and notes, never for pixels.

        Within it, the same thread may hold it again.

        Raises
        ------
        StoreBusyError
            Another process holds it for minutes.
        WriteError
            The lake cannot be written.
        """
        self.check_writable()
        if getattr(self._held, "lock", None) is not None:
            yield
            return
        lock = FileLock(self.path / ".catalog.lock", timeout_s=_WAIT_SECONDS, what="the catalog")
        with lock:
            self._held.lock = lock
            try:
                yield
            finally:
                self._held.lock = None

    def remembering(self) -> contextlib.AbstractContextManager[None]:
        """Hold what this machine remembers of the lake, as `locked`."""
        return self.locked()

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Let many entries change, each in the same time in any lake.

        The index has every entry at once. The folders are looked through, and ``catalog.yaml`` is
        written, now and then and at the end; after a crash, by whoever opens the lake next.
        """
        self._together = True
        self._next.clear()
        try:
            yield
        except BaseException:
            self._together = False
            with contextlib.suppress(OSError, StemzarrError, sqlite3.Error):
                self._list(self._is_listing_due())
            raise
        self._together = False
        self._list(self._is_listing_due())

    def _is_due(self, what: str) -> bool:
        return not self._together or time.monotonic() >= self._next.get(what, 0.0)

    @contextlib.contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        """Put off what the block does for a multiple of the time that it takes."""
        began = time.monotonic()
        yield
        ended = time.monotonic()
        self._next[what] = ended + _SHARE * (ended - began)

    def _is_listing_due(self) -> bool:
        return not self.read_only and self.ask(tables.get_state, _LISTING) == _DUE

    def _list(self, changed: bool) -> None:  # noqa: FBT001 - one answer, no option
        """Write ``catalog.yaml`` where the index changed, or note that this is to be done."""
        if not self._is_due(_LISTING):
            return
        with self._timed(_LISTING):
            self._write_yaml(changed)
        if changed and self._is_listing_due():
            with self.locked():
                self.write(tables.set_state, _LISTING, "")

    def refresh(self, *, thorough: bool = False) -> None:
        """Bring the index in line with the folders.

        Where something cannot be written that was in the way before, it is tried again.
        """
        if not thorough and not self._is_due("refresh"):
            return
        with self._timed("refresh"):
            self._refresh(thorough=thorough)

    def _refresh(self, *, thorough: bool) -> None:
        if not self._asked:
            self.obstacle = None
            try:
                if self.index.path is None:
                    self.index = Index(self._file)
                self._claim()
                self._refresh_file(thorough=thorough)
            except (OSError, sqlite3.OperationalError) as error:
                self.obstacle = self._in_the_way(error)
                if self.obstacle is None:
                    raise
        if self.read_only:
            self._refresh_memory(thorough=thorough)

    def _claim(self) -> None:
        """Make the index one that this user can write, or raise for what is in the way."""
        for path in (self.path, self._file):
            if may_write(path) or not path.exists():
                continue
            if path == self._file and may_write(self.path):
                # Another user made it; the folder lets us put our own in its place.
                with self.locked():
                    self.index.renew()
                continue
            raise denied(path)

    def _in_the_way(self, error: Exception) -> StemzarrError | None:
        """Return an error that means that the lake cannot be written here, as one of ours."""
        if isinstance(error, sqlite3.OperationalError):
            if not any(words in str(error) for words in ("readonly", "unable to open")):
                return None
            hint = f"{_RIGHTS}, or remove it: it is rebuilt from the stores"
            return WriteError(f"the index cannot be written: {error}", path=self._file, hint=hint)
        if isinstance(error, WriteError) and isinstance(error.__cause__, sqlite3.Error):
            return error
        cause = error.__cause__ if isinstance(error, StemzarrError) else error
        if not isinstance(cause, OSError) or not is_unwritable(cause):
            return None
        if isinstance(error, StemzarrError):
            return error
        return write_error(Path(os.fsdecode(cause.filename or self.path)), cause)

    def _refresh_file(self, *, thorough: bool) -> None:
        if not self.index.is_current():
            with self.locked():
                if not self.index.is_current():
                    self.index.clear()
        try:
            changed = self._reconcile(thorough=thorough)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            with self.locked():
                self.index.clear()
            changed = self._reconcile(thorough=True)
        # It locks the lake itself, where it has something to write.
        self._list(changed or self._is_listing_due())

    def _reconcile(self, *, thorough: bool) -> bool:
        changes = find_changes(self.path, self.index, thorough=thorough)
        apply_changes(self.path, self.index, changes, self.locked)
        return changes.matter

    def _refresh_memory(self, *, thorough: bool) -> None:
        """Use the file as it is, or a corrected copy in memory where the folders say else."""
        try:
            if not self.index.is_current():
                self.index = Index(None)
            changes = find_changes(self.path, self.index, thorough=thorough)
            if not changes.matter:
                return
            if self.index.path is not None:
                self.index = self.index.copy_into_memory()
            apply_changes(self.path, self.index, changes, contextlib.nullcontext)
        except (sqlite3.DatabaseError, WriteError):
            self.index = Index(None)
            changes = find_changes(self.path, self.index, thorough=True)
            apply_changes(self.path, self.index, changes, contextlib.nullcontext)

    def rebuild(self) -> None:
        """Rebuild the index and ``catalog.yaml``, and remove what killed processes left behind."""
        with self.locked():
            if self.index.is_sound():
                # Others may be reading: no row goes before its successor is there.
                with self.index.writing() as connection:
                    tables.forget_signatures(connection)
            else:
                self.index.clear()
            self._sweep()
        self._refresh_file(thorough=True)
        with self.locked():
            with self.index.writing() as connection:
                tables.drop_unused_tags(connection)
            self._write_yaml(True)  # noqa: FBT003 - says that the index changed

    def start_over(self) -> None:
        """Make the index from nothing: a database keeps what was deleted from it for a while."""
        with self.locked():
            self.index.clear()
        self._refresh_file(thorough=True)
        with self.locked():
            self._write_yaml(True)  # noqa: FBT003 - says that the index changed

    def _sweep(self) -> None:
        """Remove stores that were moved aside to be deleted, and half-written small files."""
        now = time.time()
        for pattern in _LEFT_BEHIND:
            for path in self.path.glob(pattern):
                with contextlib.suppress(OSError):
                    if now - path.lstat().st_ctime > _LEFT_ALONE_SECONDS:
                        remove_tree(path)

    def ask(
        self,
        question: Callable[Concatenate[sqlite3.Connection, _P], _T],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _T:
        """Return what a question finds in the index; one that is broken is rebuilt, once."""
        try:
            with self.index.reading() as connection:
                return question(connection, *args, **kwargs)
        except (sqlite3.DatabaseError, WriteError) as error:
            self._mend(error)
        with self.index.reading() as connection:
            return question(connection, *args, **kwargs)

    def _mend(self, error: sqlite3.DatabaseError | WriteError) -> None:
        """Make an index that can be asked of one that raised, or raise that again."""
        if isinstance(error, sqlite3.OperationalError | WriteError):
            # It cannot even be read here: what it says is read from the stores.
            found = self._in_the_way(error)
            if found is None or self.index.path is None:
                raise error
            self.obstacle = self.obstacle or found
        if self.read_only:
            self.index = Index(None)
            self._refresh_memory(thorough=True)
        else:
            self.rebuild()

    def write(
        self,
        change: Callable[Concatenate[sqlite3.Connection, _P], None],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> None:
        """Change the index in one transaction; the caller holds the lake."""
        with self.index.writing() as connection:
            change(connection, *args, **kwargs)
            lock = getattr(self._held, "lock", None)
            if lock is not None:
                lock.check(now=True)

    def forget(self, name: str) -> None:
        """Drop an entry whose store is gone; the caller holds the lake."""
        self.write(tables.delete_entry, name)
        self._list(True)  # noqa: FBT003 - says that the index changed

    def update(self, name: str, *, former: str | None = None) -> None:
        """Bring one entry in line with its store, after it was written, revised or renamed.

        Parameters
        ----------
        name
            The entry.
        former
            The name that it had before, which goes.
        """
        row, problem = read_row(self.path, name)

        def put(connection: sqlite3.Connection) -> None:
            if former is not None:
                tables.delete_entry(connection, former)
            tables.put_rows(connection, [row])
            if problem:
                signature = row.record.signature
                tables.put_problem(connection, name, signature, row.added.signature, problem)
            if self._together:
                tables.set_state(connection, _LISTING, _DUE)

        with self.locked():
            self.write(put)
            self._list(True)  # noqa: FBT003 - says that the index changed
