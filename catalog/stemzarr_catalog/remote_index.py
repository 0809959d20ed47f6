"""The index of a lake that was published to a bucket or web server."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from stemzarr.errors import DamagedStoreError, SourceNotFoundError, WriteError
from stemzarr.options import PublishOptions
from stemzarr.storage.address import RemotePath
from stemzarr.storage.cached import work_folder
from stemzarr.storage.locks import FileLock
from stemzarr.storage.objects import get_or_none
from stemzarr.storage.remote import RemoteFolder
from stemzarr_catalog.entry import Entry
from stemzarr_catalog.index_manager import IndexManager
from stemzarr_catalog.intake_yaml import LARGEST, render_yaml
from stemzarr_catalog.search import rows
from stemzarr_catalog.snapshot import State, fetch_index, forget_index, read_state
from stemzarr_catalog.tables import NewRow, put_rows

__all__ = ["RemoteIndexManager", "bring_in_line", "refusal"]

_WAIT_SECONDS = 120.0
_COMMIT = "commit"


def refusal(path: Path) -> WriteError:
    """Return the error of whatever would change a lake that was published."""
    msg = "the lake was published, and is only read here"
    hint = "change the lake that it was published from, and 'stemzarr publish' that again"
    return WriteError(msg, path=path, hint=hint)


def bring_in_line(path: RemotePath) -> None:
    """Make a lake at an address, or list what was completed there and is in no index yet.

    Raises
    ------
    WriteError, ReadError
        It is on a web server, or nothing can be written or listed there.
    SchemaVersionError
        A newer stemzarr published there.
    """
    _check_bucket(path)
    RemoteIndexManager(path).commit()


def _check_bucket(path: Path) -> None:
    if str(path).startswith("http"):
        raise refusal(path)


class RemoteIndexManager(IndexManager):
    """The index of a published lake: a file on this machine, the one that ``lake.json`` names.

    Parameters
    ----------
    path
        Address of the lake.
    """

    def __init__(self, path: RemotePath) -> None:
        super().__init__(path, read_only=True, write_yaml=lambda _: None)
        self._place = RemoteFolder(path)
        self.state: State | None = None
        self._pending: dict[str, NewRow] = {}

    def check_writable(self) -> None:
        """Raise `WriteError`."""
        raise refusal(self.path)

    def check_ingest(self) -> None:
        """Raise `WriteError` where the lake is on a web server."""
        _check_bucket(self.path)

    @property
    def workplace(self) -> Path:
        """Folder of locks, and of what this machine remembers: one of this user."""
        return work_folder(self.path)

    @contextlib.contextmanager
    def remembering(self) -> Iterator[None]:
        """Hold what this machine remembers of the lake for a moment.

        Raises
        ------
        StoreBusyError, WriteError
            Another process holds it for minutes, or there is no folder for it.
        """
        path = self.workplace / ".catalog.lock"
        with FileLock(path, timeout_s=_WAIT_SECONDS, what="the catalog"):
            yield

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Let many entries be added; ``lake.json`` is moved now and then, and at the end.

        What is added and not listed after a crash is listed by the next one who ingests there.
        """
        self._together = True
        self._next.clear()
        try:
            yield
        finally:
            self._together = False
            if self._pending:
                self.commit()

    def update(self, name: str, *, former: str | None = None) -> None:
        """Add an entry whose store was completed.

        Raises
        ------
        DamagedStoreError
            It is not there.
        ReadError, WriteError, StoreBusyError
            It cannot be read, or the lake not be written.
        """
        from stemzarr_catalog.committing import read_row_at

        del former  # nothing is renamed there
        row = read_row_at(self._place, name)
        if row is None:
            path = self.path / "stores" / f"{name}.zarr"
            raise DamagedStoreError("is gone since it was completed", path=path)
        self._pending[name] = row
        self._add_pending()
        if self._is_due(_COMMIT):
            with self._timed(_COMMIT):
                self.commit()

    def _add_pending(self) -> None:
        """Know what was added and is not in the index yet."""
        if self._pending:
            if self.index.path is not None:
                self.index = self.index.copy_into_memory()
            with self.index.writing() as connection:
                put_rows(connection, list(self._pending.values()))

    def commit(self) -> None:
        """Move ``lake.json`` to an index of all that is there, and list that for intake.

        Raises
        ------
        ReadError, WriteError, StoreBusyError, SchemaVersionError
            Something cannot be read or written there.
        """
        from stemzarr_catalog.committing import Sent, commit

        stores = self.path / "stores"
        sent = {
            name: Sent(store=stores / f"{name}.zarr", digest=row.record.digest, notes=row.notes)
            for name, row in self._pending.items()
        }
        state = commit(self.path, self._place, sent, PublishOptions())
        self._pending.clear()
        while self.state is None or self.state.text != state.text:
            # Where others move it meanwhile, theirs is listed.
            self.refresh()
            text = self._render_yaml().encode()
            if get_or_none(self._place, "catalog.yaml") != text:
                self._place.put("catalog.yaml", text)
            state = self._read_state()

    def _render_yaml(self) -> str:
        found = self.ask(rows, "")
        return render_yaml(
            Entry(name, self.path / "stores" / f"{name}.zarr", record, notes)
            for name, record, notes in (found if len(found) <= LARGEST else ())
        )

    def refresh(self, *, thorough: bool = False) -> None:
        """Take the index that ``lake.json`` names now: one request, and one more for a new index.

        Raises
        ------
        SourceNotFoundError
            There is no published lake.
        SchemaVersionError, CorruptFileError, DamagedStoreError, ReadError
            Another version of stemzarr made it; it is damaged, or cannot be read.
        """
        del thorough
        state = self._read_state()
        if self.state is not None and self.state.text == state.text:
            return
        try:
            self.index = fetch_index(self._place, state)
        except DamagedStoreError:
            # It may be gone because the lake was published again in this moment.
            moved = self._read_state()
            if moved.text == state.text:
                raise
            self.index, state = fetch_index(self._place, moved), moved
        self.state = state
        self._add_pending()

    def rebuild(self) -> None:
        """Raise `WriteError`."""
        self.check_writable()

    def _read_state(self) -> State:
        state = read_state(self._place)
        if state is None:
            hint = "check the address; 'stemzarr publish LAKE ADDRESS' makes one"
            raise SourceNotFoundError("there is no published lake", path=self.path, hint=hint)
        return state

    def _mend(self, error: sqlite3.DatabaseError | WriteError) -> None:
        """Fetch the index again: the file on this machine is broken."""
        if self.state is None:
            raise error
        forget_index(self.state)
        self.index = fetch_index(self._place, self.state)
