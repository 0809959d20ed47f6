"""The index of a lake that was published to a bucket or web server."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from stemzarr.errors import DamagedStoreError, SourceNotFoundError, WriteError
from stemzarr.storage.address import RemotePath
from stemzarr.storage.remote import RemoteFolder
from stemzarr_catalog.index_manager import IndexManager
from stemzarr_catalog.snapshot import State, fetch_index, forget_index, read_state

__all__ = ["RemoteIndexManager", "refusal"]


def refusal(path: Path) -> WriteError:
    """Return the error of whatever would change a lake that was published."""
    msg = "the lake was published, and is only read here"
    hint = "change the lake that it was published from, and 'stemzarr publish' that again"
    return WriteError(msg, path=path, hint=hint)


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

    def check_writable(self) -> None:
        """Raise `WriteError`."""
        raise refusal(self.path)

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
