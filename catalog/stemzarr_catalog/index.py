"""The index of a lake: an SQLite file that is a cache of what stands in the folders.

It is kept in rollback-journal mode, since SQLite's write-ahead log works neither on network file
systems nor in read-only folders, and opened for each operation anew: no connection crosses a
thread or a fork, and no file stays open.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
import zlib
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stemzarr.errors import SchemaVersionError
from stemzarr.model import Fact
from stemzarr_catalog.fields import FIELDS
from stemzarr_catalog.names import fold
from stemzarr_catalog.notes import Notes
from stemzarr_catalog.record import Record, Signature, flatten_tags

__all__ = ["Index"]

VERSION = 1
"""Version of the tables below; an index of another, older version is built anew."""

_WAIT_SECONDS = 60.0
_SQL_TYPE = {"text": "TEXT COLLATE NOCASE", "date": "TEXT", "number": "REAL", "flag": "INTEGER"}
_INTEGERS = {"scan_y", "scan_x", "det_y", "det_x", "y", "x", "energy", "frame"}
_INTEGERS |= {"ndim", "size", "stored", "documents", "exports"}
_TABLES: tuple[str, ...] = (
    "entry",
    "document",
    "extra",
    "tagged",
    "tag_path",
    "tag_value",
    "tag_posting",
)
_TABLES += ("entry_tags", "words", "problem", "state")


def _column(name: str) -> str:
    kind = "INTEGER" if name in _INTEGERS else _SQL_TYPE[FIELDS[name].type]
    return f'"{name}" {kind}'


def _statements() -> list[str]:
    columns = ", ".join(_column(name) for name in FIELDS)
    return [
        (
            f"CREATE TABLE entry (id INTEGER PRIMARY KEY, folded TEXT, signature TEXT, noted TEXT,"
            f" header_hash TEXT, record TEXT, notes TEXT, {columns})"
        ),
        "CREATE UNIQUE INDEX entry_by_name ON entry (name COLLATE BINARY)",
        "CREATE INDEX entry_by_folded ON entry (folded)",
        "CREATE INDEX entry_by_header ON entry (header_hash)",
        *(
            f'CREATE INDEX "entry_by_{name}" ON entry ("{name}")'
            for name in FIELDS
            if name != "name"
        ),
        (
            "CREATE TABLE document (entry INTEGER, slug TEXT, title TEXT COLLATE NOCASE,"
            " kind TEXT COLLATE NOCASE, dtype TEXT COLLATE NOCASE, ndim INTEGER)"
        ),
        "CREATE INDEX document_by_entry ON document (entry)",
        (
            "CREATE TABLE extra (entry INTEGER, own INTEGER, field TEXT COLLATE NOCASE,"
            " number REAL,"
            " text TEXT COLLATE NOCASE)"
        ),
        "CREATE INDEX extra_by_entry ON extra (entry)",
        "CREATE INDEX extra_by_number ON extra (field, number)",
        "CREATE INDEX extra_by_text ON extra (field, text)",
        "CREATE TABLE tagged (tag TEXT COLLATE NOCASE, entry INTEGER)",
        "CREATE INDEX tagged_by_tag ON tagged (tag, entry)",
        "CREATE INDEX tagged_by_entry ON tagged (entry)",
        "CREATE TABLE tag_path (id INTEGER PRIMARY KEY, path TEXT UNIQUE)",
        (
            "CREATE TABLE tag_value (id INTEGER PRIMARY KEY, path INTEGER, number REAL, text TEXT,"
            " UNIQUE (path, text))"
        ),
        "CREATE INDEX tag_value_by_number ON tag_value (path, number)",
        (
            "CREATE TABLE tag_posting (value INTEGER, entry INTEGER, PRIMARY KEY (value, entry))"
            " WITHOUT ROWID"
        ),
        "CREATE TABLE entry_tags (entry INTEGER PRIMARY KEY, packed BLOB)",
        (
            "CREATE VIRTUAL TABLE words USING fts5 (labels, metadata, notes,"
            " tokenize = 'unicode61 remove_diacritics 2')"
        ),
        "CREATE TABLE problem (name TEXT PRIMARY KEY, signature TEXT, noted TEXT, error TEXT)",
        "CREATE TABLE state (key TEXT PRIMARY KEY, value TEXT)",
        f"PRAGMA user_version = {VERSION}",
    ]


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
            _create(self._memory)

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

        It is opened for writing where that is allowed, because only then can SQLite undo what a
        killed process left half done.

        Raises
        ------
        sqlite3.DatabaseError
            The file is no index, or cannot be read here.
        """
        if self._memory is not None:
            with self._lock:
                yield self._memory
            return
        connection = _connect(self.path, "rw")
        try:
            connection.execute("PRAGMA query_only = 1")
            yield connection
        finally:
            connection.close()

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Give a connection inside one transaction, made durable when the block succeeds."""
        if self._memory is not None:
            with self._lock, _transaction(self._memory):
                yield self._memory
            return
        connection = _connect(self.path, "rwc")
        try:
            with _transaction(connection):
                if _version(connection) == 0:
                    _create(connection)
                yield connection
        finally:
            connection.close()

    def is_current(self) -> bool:
        """Tell whether the file can be used as it is; an older one must be built anew.

        Raises
        ------
        SchemaVersionError
            A newer stemzarr made it.
        """
        if self.path is not None and not self.path.is_file():
            return False
        try:
            with self.reading() as connection:
                version = _version(connection)
        except sqlite3.DatabaseError:
            return False
        if version > VERSION:
            raise SchemaVersionError(
                f"has version {version}, this stemzarr knows {VERSION}",
                path=self.path,
                hint="update stemzarr",
            )
        return version == VERSION

    def clear(self) -> None:
        """Empty the index, whatever state it is in."""
        if self.path is not None:
            for suffix in ("", "-journal"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        with self.writing() as connection:
            if self._memory is not None:
                for table in _TABLES:
                    connection.execute(f"DELETE FROM {table}")


def _connect(path: Path | None, mode: str) -> sqlite3.Connection:
    if path is None:
        raise AssertionError
    address = f"{path.absolute().as_uri()}?mode={mode}"
    connection = sqlite3.connect(address, uri=True, timeout=_WAIT_SECONDS, isolation_level=None)
    connection.execute("PRAGMA cache_size = -32768")
    return connection


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


def _create(connection: sqlite3.Connection) -> None:
    for statement in _statements():
        connection.execute(statement)


def get_state(connection: sqlite3.Connection, key: str) -> str | None:
    """Return what was noted under `key`."""
    row = connection.execute("SELECT value FROM state WHERE key = ?", (key,)).fetchone()
    return None if row is None else str(row[0])


def set_state(connection: sqlite3.Connection, key: str, value: str) -> None:
    """Note `value` under `key`."""
    connection.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (key, value))


def signatures(connection: sqlite3.Connection) -> dict[str, tuple[Signature, str]]:
    """Return for each entry, and each store with a problem, the signatures of store and notes."""
    sql = (
        "SELECT name, signature, noted FROM problem UNION SELECT name, signature, noted FROM entry"
    )
    return {name: (signature, noted) for name, signature, noted in connection.execute(sql)}


def put_problem(
    connection: sqlite3.Connection, name: str, signature: str, noted: str, error: str
) -> None:
    """Note what is wrong with a store, or its notes, as they are now."""
    connection.execute(
        "INSERT OR REPLACE INTO problem VALUES (?, ?, ?, ?)", (name, signature, noted, error)
    )


def delete_entry(connection: sqlite3.Connection, name: str) -> None:
    """Forget an entry; none of that name is no error."""
    connection.execute("DELETE FROM problem WHERE name = ?", (name,))
    row = connection.execute(
        "SELECT id FROM entry WHERE name = ? COLLATE BINARY", (name,)
    ).fetchone()
    if row is None:
        return
    for table in ("document", "extra", "tagged"):
        connection.execute(f"DELETE FROM {table} WHERE entry = ?", row)
    _delete_tags(connection, row[0])
    connection.execute("DELETE FROM words WHERE rowid = ?", row)
    connection.execute("DELETE FROM entry WHERE id = ?", row)


def _delete_tags(connection: sqlite3.Connection, entry: int) -> None:
    row = connection.execute("SELECT packed FROM entry_tags WHERE entry = ?", (entry,)).fetchone()
    if row is None:
        return
    values = array("q", zlib.decompress(row[0]))
    connection.executemany(
        "DELETE FROM tag_posting WHERE value = ? AND entry = ?",
        ((value, entry) for value in values),
    )
    connection.execute("DELETE FROM entry_tags WHERE entry = ?", (entry,))


def put_record(connection: sqlite3.Connection, record: Record, notes: Notes, noted: str) -> None:
    """Write the row of a store, in place of an earlier one of the same name."""
    delete_entry(connection, record.name)
    values: dict[str, Any] = {
        **record.columns,
        **_noted_columns(notes),
        "folded": fold(record.name),
        "signature": record.signature,
        "noted": noted,
        "header_hash": record.header_hash,
        "record": json.dumps(record.json, ensure_ascii=False),
        "notes": json.dumps(notes.json(), ensure_ascii=False),
    }
    names = ", ".join(f'"{name}"' for name in values)
    marks = ", ".join("?" * len(values))
    cursor = connection.execute(
        f"INSERT INTO entry ({names}) VALUES ({marks})",
        tuple(values.values()),
    )
    entry = cursor.lastrowid or 0
    connection.executemany(
        "INSERT INTO document VALUES (?, ?, ?, ?, ?, ?)",
        (
            (entry, d["slug"], d["title"], d["kind"], d["dtype"], len(d["dims"]))
            for d in record.json["documents"]
        ),
    )
    _put_extra(connection, entry, record.more, own=False)
    metadata = _put_tags(connection, entry, record.tags)
    connection.execute(
        "INSERT INTO words (rowid, labels, metadata, notes) VALUES (?, ?, ?, ?)",
        (entry, record.words(), metadata, ""),
    )
    _put_notes(connection, entry, notes)


def replace_notes(connection: sqlite3.Connection, name: str, notes: Notes, noted: str) -> None:
    """Write anew what people added to an entry; none of that name is no error."""
    row = connection.execute("SELECT id FROM entry WHERE name = ? COLLATE BINARY", (name,))
    found = row.fetchone()
    if found is None:
        return
    columns = _noted_columns(notes)
    connection.execute(
        "UPDATE entry SET noted = ?, notes = ?, remark = ?, exports = ? WHERE id = ?",
        (
            noted,
            json.dumps(notes.json(), ensure_ascii=False),
            columns.get("remark"),
            columns["exports"],
            found[0],
        ),
    )
    connection.execute("DELETE FROM tagged WHERE entry = ?", found)
    connection.execute("DELETE FROM extra WHERE entry = ? AND own", found)
    _put_notes(connection, found[0], notes)


def _noted_columns(notes: Notes) -> dict[str, Fact]:
    remark: dict[str, Fact] = {"remark": notes.remark} if notes.remark else {}
    return {**remark, "exports": len(notes.exports)}


def _put_notes(connection: sqlite3.Connection, entry: int, notes: Notes) -> None:
    connection.executemany("INSERT INTO tagged VALUES (?, ?)", ((tag, entry) for tag in notes.tags))
    _put_extra(connection, entry, notes.fields, own=True)
    texts = [*notes.tags, notes.remark, *(v for v in notes.fields.values() if isinstance(v, str))]
    connection.execute("UPDATE words SET notes = ? WHERE rowid = ?", ("\n".join(texts), entry))


def _put_extra(
    connection: sqlite3.Connection, entry: int, values: Mapping[str, Fact], *, own: bool
) -> None:
    connection.executemany(
        "INSERT INTO extra VALUES (?, ?, ?, ?, ?)",
        ((entry, int(own), name, *(_number_and_text(value))) for name, value in values.items()),
    )


def _number_and_text(value: Fact) -> tuple[float | None, str]:
    """Return how a value compares as a number, and as text."""
    if isinstance(value, str):
        try:
            return float(value), value
        except ValueError:
            return None, value
    return float(value), json.dumps(value)


def _put_tags(connection: sqlite3.Connection, entry: int, tags: Mapping[str, Any]) -> str:
    """Write the tag tree of an entry and return its texts, each once, for the search of words."""
    leaves = dict.fromkeys(flatten_tags(tags))
    if not leaves:
        return ""
    paths = _path_ids(connection, {path for path, _ in leaves})
    rows = [(paths[path], *_number_and_text(value)) for path, value in leaves]
    connection.executemany(
        "INSERT OR IGNORE INTO tag_value (path, number, text) VALUES (?, ?, ?)", rows
    )
    values = set()
    for path, _, text in rows:
        found = connection.execute(
            "SELECT id FROM tag_value WHERE path = ? AND text = ?", (path, text)
        )
        values.add(int(found.fetchone()[0]))
    ordered = array("q", sorted(values))
    connection.executemany("INSERT INTO tag_posting VALUES (?, ?)", ((v, entry) for v in ordered))
    connection.execute(
        "INSERT INTO entry_tags VALUES (?, ?)", (entry, zlib.compress(ordered.tobytes()))
    )
    return "\n".join(dict.fromkeys(value for _, value in leaves if isinstance(value, str)))


def _path_ids(connection: sqlite3.Connection, paths: Iterable[str]) -> dict[str, int]:
    ids = {}
    for path in paths:
        connection.execute("INSERT OR IGNORE INTO tag_path (path) VALUES (?)", (path,))
        found = connection.execute("SELECT id FROM tag_path WHERE path = ?", (path,))
        ids[path] = int(found.fetchone()[0])
    return ids


def fetch(
    connection: sqlite3.Connection, sql: str, values: Sequence[Any] = ()
) -> list[tuple[Any, ...]]:
    """Return all rows of a query."""
    return connection.execute(sql, values).fetchall()
