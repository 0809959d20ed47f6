"""The index of a lake: an SQLite file that is a cache of what is in the folders.

It is kept in rollback-journal mode, since SQLite's write-ahead log works neither on network file
systems nor in read-only folders, and opened again for each operation: no connection crosses a
thread or a fork, and no file stays open.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path

from stemzarr.errors import SchemaVersionError, StoreBusyError, WriteError
from stemzarr.storage.files import remove_file
from stemzarr.storage.reasons import writing
from stemzarr_catalog.rights import replace_by_own
from stemzarr_catalog.tables import (
    VERSION,
    add_columns,
    clear_tables,
    create_tables,
    forget_files,
    has_columns,
)

__all__ = ["Index"]

_WAIT_SECONDS = 60.0
_READ_CACHE = 2 * 1024**2
"""Bytes of pages that a reader keeps: allocating a page costs more than to read it again
into memory that is there, from the cache of the system."""
_WRITE_CACHE = 32 * 1024**2
"""Bytes of pages that a writer keeps, who changes a page many times before it is written."""


class Index:
    """The tables of one lake.

    Parameters
    ----------
    path
        The SQLite file; None keeps the tables in memory.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._memory: sqlite3.Connection | None = None
        if path is None:
            self._memory = sqlite3.connect(
                ":memory:", isolation_level=None, check_same_thread=False
            )
            create_tables(self._memory)
            weakref.finalize(self, self._memory.close)

    @classmethod
    def of(cls, content: bytes) -> Index:
        """Return an index in memory that is the content of an SQLite file."""
        index = cls(None)
        if index._memory is not None:
            index._memory.deserialize(content)
        return index

    def write_compact(self, dest: Path) -> int:
        """Write what the index says of entries into a new file, and return how many there are.

        What was deleted is not in it, nor what says of files of this machine when they changed.
        """
        with contextlib.closing(sqlite3.connect(dest, isolation_level=None)) as copy:
            with self.reading() as connection:
                connection.backup(copy)
            forget_files(copy)
            copy.execute("VACUUM")
            return int(copy.execute("SELECT count(*) FROM entry").fetchone()[0])

    def add_columns(self) -> None:
        """Add the columns of fields that are new since the index was made."""
        with self.writing() as connection:
            add_columns(connection)

    def copy_into_memory(self) -> Index:
        """Return an index in memory with the same content."""
        copy = Index(None)
        if copy._memory is not None:
            with self.reading() as connection:
                connection.backup(copy._memory)
        return copy

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Give a connection for a moment, through which nothing can be written.

        All that is read through it is of one moment. It is opened for writing where that is
        allowed, because only then can SQLite undo what a killed process left half done.

        Raises
        ------
        sqlite3.DatabaseError
            The file is not an index, or cannot be read here.
        """
        if self._memory is not None:
            with self._lock:
                yield self._memory
            return
        with _connect(self.path, "rw") as connection:
            connection.execute("PRAGMA query_only = 1")
            connection.execute("BEGIN")
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Give a connection inside one transaction, made durable when the block succeeds."""
        if self._memory is not None:
            with self._lock, _transaction(self._memory):
                yield self._memory
            return
        if self.path is not None and not self.path.exists():
            # SQLite would let nobody else write it, whatever the umask says.
            with writing(self.path):
                self.path.touch()
        with _connect(self.path, "rwc") as connection, _transaction(connection):
            if _version(connection) == 0:
                create_tables(connection)
            yield connection

    def is_current(self) -> bool:
        """Return whether the file can be used as it is; an older one must be rebuilt.

        Raises
        ------
        SchemaVersionError
            A newer stemzarr made it.
        """
        if self.path is not None and not self.path.is_file():
            return False
        try:
            with self.reading() as connection:
                version, complete = _version(connection), has_columns(connection)
        except sqlite3.DatabaseError:
            return False
        if version > VERSION:
            raise SchemaVersionError(
                f"has version {version}, this stemzarr knows {VERSION}",
                path=self.path,
                hint="update stemzarr",
            )
        return version == VERSION and complete

    def is_sound(self) -> bool:
        """Return whether every page of the file is as it should be."""
        try:
            with self.reading() as connection:
                answer = connection.execute("PRAGMA integrity_check(1)").fetchone()
        except sqlite3.DatabaseError:
            return False
        return bool(answer == ("ok",))

    def renew(self) -> None:
        """Put a copy in the place of the file, which then is this user's own; who calls it locks.

        Raises
        ------
        WriteError
            The file cannot be replaced.
        """
        if self.path is None:
            return
        if self.path.with_name(f"{self.path.name}-journal").exists():
            self.clear()  # a transaction was cut short, which a copy would not undo
            return
        replace_by_own(self.path)

    def clear(self) -> None:
        """Empty the index, whatever state it is in.

        Raises
        ------
        WriteError
            The file cannot be replaced.
        """
        if self.path is not None:
            with writing(self.path):
                for suffix in ("", "-journal"):
                    remove_file(self.path.with_name(self.path.name + suffix))
        with self.writing() as connection:
            if self._memory is not None:
                clear_tables(connection)


@contextlib.contextmanager
def _connect(path: Path | None, mode: str) -> Iterator[sqlite3.Connection]:
    if path is None:
        raise AssertionError
    address = f"{_address(path)}?mode={mode}"
    try:
        connection = sqlite3.connect(address, uri=True, timeout=_WAIT_SECONDS, isolation_level=None)
        try:
            cache = _WRITE_CACHE if mode == "rwc" else _READ_CACHE
            connection.execute(f"PRAGMA cache_size = -{cache // 1024}")
            yield connection
        finally:
            connection.close()
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            hint = "another process is writing it; try again later"
            raise StoreBusyError("the index is busy", path=path, hint=hint) from error
        if "no such" in str(error):
            # Its tables are not those that its version promises: it is as good as broken.
            raise sqlite3.DatabaseError(str(error)) from error
        if "full" in str(error) or "disk I/O" in str(error):
            hint = "free space there, or check the disk and its locks"
            raise WriteError(
                f"the index cannot be written: {error}", path=path, hint=hint
            ) from error
        raise


def _address(path: Path) -> str:
    """Return a path as SQLite takes it: the name of a server is a part of the path."""
    address = path.absolute().as_uri()
    is_share = not address.startswith("file:///")
    return address.replace("file://", "file:////", 1) if is_share else address


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
