"""The tables of an index, and the rows of an entry in them.

What queries compare is in the narrow table ``entry``; what is only shown, in ``detail``, so
that a search does not read it.
"""

from __future__ import annotations

import json
import math
import sqlite3
import zlib
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stemzarr_catalog.fields import FIELDS
from stemzarr_catalog.names import casefold
from stemzarr_catalog.notes import Notes
from stemzarr_catalog.record import Record, Signature, flatten_tags
from stemzarr_catalog.rows import list_fields

if TYPE_CHECKING:
    from stemzarr.model import Fact

__all__ = [
    "VERSION",
    "Added",
    "NewRow",
    "add_columns",
    "clear_tables",
    "create_tables",
    "delete_entry",
    "delete_problem",
    "digests",
    "drop_unused_tags",
    "fetch",
    "forget_files",
    "forget_signatures",
    "get_state",
    "has_columns",
    "notes_text",
    "put_problem",
    "put_rows",
    "replace_notes",
    "replace_signature",
    "set_state",
    "signatures",
]

VERSION = 9
"""Version of the tables below; an index of another, older version is rebuilt."""

_NOCASE = "TEXT COLLATE NOCASE"
_SQL_TYPE = {
    "text": _NOCASE,
    "path": _NOCASE,
    "date": "TEXT",
    "number": "REAL",
    "flag": "INTEGER",
}
_TABLES: tuple[str, ...] = (
    "entry",
    "document",
    "extra",
    "tagged",
    "tag_path",
    "tag_value",
    "tag_posting",
)
_TABLES += ("entry_tags", "words", "problem", "state", "result", "mean_tiles")


def _column(name: str) -> str:
    field = FIELDS[name]
    kind = "INTEGER" if field.whole else _SQL_TYPE[field.type]
    return f'"{name}" {kind}'


def _statements() -> list[str]:
    columns = ", ".join(_column(name) for name in FIELDS)
    return [
        (
            f"CREATE TABLE entry (id INTEGER PRIMARY KEY, folded TEXT, signature TEXT, digest TEXT,"
            f" noted TEXT, header_hash TEXT, origin TEXT, sample TEXT, {columns})"
        ),
        "CREATE TABLE detail (id INTEGER PRIMARY KEY, record TEXT, notes TEXT)",
        "CREATE UNIQUE INDEX entry_by_exact_name ON entry (name COLLATE BINARY)",
        "CREATE INDEX entry_by_folded ON entry (folded)",
        "CREATE INDEX entry_by_origin ON entry (origin)",
        "CREATE INDEX entry_by_sample ON entry (sample)",
        *(f'CREATE INDEX "entry_by_{name}" ON entry ("{name}")' for name in FIELDS),
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
        "CREATE INDEX extra_by_entry ON extra (entry, field)",
        "CREATE INDEX extra_by_number ON extra (field, number)",
        "CREATE INDEX extra_by_text ON extra (field, text)",
        "CREATE TABLE tagged (tag TEXT COLLATE NOCASE, entry INTEGER)",
        "CREATE INDEX tagged_by_tag ON tagged (tag, entry)",
        "CREATE INDEX tagged_by_entry ON tagged (entry)",
        "CREATE TABLE result (name TEXT COLLATE NOCASE, entry INTEGER)",
        "CREATE INDEX result_by_name ON result (name, entry)",
        "CREATE INDEX result_by_entry ON result (entry)",
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
        ("CREATE TABLE mean_tiles (entry INTEGER PRIMARY KEY, digest TEXT, plane TEXT, sums BLOB)"),
        f"PRAGMA user_version = {VERSION}",
    ]


def create_tables(connection: sqlite3.Connection) -> None:
    """Make all tables in an empty file."""
    for statement in _statements():
        connection.execute(statement)


def has_columns(connection: sqlite3.Connection) -> bool:
    """Return whether every field has its column, also those that are new in the table of facts."""
    return {row[1] for row in fetch(connection, "PRAGMA table_info(entry)")} >= {*FIELDS}


def add_columns(connection: sqlite3.Connection) -> None:
    """Add the columns of fields that are new since the tables were made, filled from the records.

    What an older version did not read from stores is not known of their entries.
    """
    there = {row[1] for row in fetch(connection, "PRAGMA table_info(entry)")}
    added = [name for name in FIELDS if name not in there]
    for name in added:
        connection.execute(f"ALTER TABLE entry ADD COLUMN {_column(name)}")
    for entry, record in fetch(connection, "SELECT id, record FROM detail"):
        known = list_fields(json.loads(record))
        for name in [name for name in added if name in known]:
            connection.execute(f'UPDATE entry SET "{name}" = ? WHERE id = ?', (known[name], entry))


def forget_files(connection: sqlite3.Connection) -> None:
    """Forget when files changed, and what is wrong with them on this machine."""
    connection.execute("UPDATE entry SET signature = '', noted = ''")
    for table in ("problem", "state"):
        connection.execute(f"DELETE FROM {table}")


def clear_tables(connection: sqlite3.Connection) -> None:
    """Empty all tables."""
    for table in _TABLES:
        connection.execute(f"DELETE FROM {table}")


def get_state(connection: sqlite3.Connection, key: str) -> str | None:
    """Return what was noted under `key`."""
    row = connection.execute("SELECT value FROM state WHERE key = ?", (key,)).fetchone()
    return None if row is None else str(row[0])


def set_state(connection: sqlite3.Connection, key: str, value: str) -> None:
    """Note `value` under `key`."""
    connection.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (key, value))


def signatures(connection: sqlite3.Connection) -> dict[str, tuple[Signature, str]]:
    """Return for each entry, and each store with a problem, the signatures of store and notes."""
    return {
        name: (signature, noted)
        for table in ("problem", "entry")
        for name, signature, noted in fetch(
            connection, f"SELECT name, signature, noted FROM {table}"
        )
    }


def forget_signatures(connection: sqlite3.Connection) -> None:
    """Let every entry look changed, so that it is read again."""
    connection.execute("UPDATE entry SET signature = '', digest = ''")
    connection.execute("DELETE FROM problem")
    connection.execute("DELETE FROM state")


def drop_unused_tags(connection: sqlite3.Connection) -> None:
    """Forget values and paths of tags that no source has any more."""
    for table, users, column in (
        ("tag_value", "tag_posting", "value"),
        ("tag_path", "tag_value", "path"),
    ):
        used = f"SELECT 1 FROM {users} WHERE {users}.{column} = {table}.id"
        connection.execute(f"DELETE FROM {table} WHERE NOT EXISTS ({used})")


def digests(connection: sqlite3.Connection) -> dict[str, str]:
    """Return the digest of each entry's ``zarr.json``."""
    return dict(fetch(connection, "SELECT name, digest FROM entry"))


def replace_signature(connection: sqlite3.Connection, name: str, signature: Signature) -> None:
    """Note that a store was copied or touched and says the same as before."""
    connection.execute("UPDATE entry SET signature = ? WHERE name = ?", (signature, name))


def put_problem(
    connection: sqlite3.Connection, name: str, signature: str, noted: str, error: str
) -> None:
    """Note what is wrong with a store, or its notes, as they are now."""
    connection.execute(
        "INSERT OR REPLACE INTO problem VALUES (?, ?, ?, ?)", (name, signature, noted, error)
    )


def delete_problem(connection: sqlite3.Connection, name: str) -> None:
    """Forget what was wrong with a store or its notes."""
    connection.execute("DELETE FROM problem WHERE name = ?", (name,))


def delete_entry(connection: sqlite3.Connection, name: str) -> None:
    """Forget an entry; a name that does not exist is not a failure."""
    delete_problem(connection, name)
    row = connection.execute(
        "SELECT id FROM entry WHERE name = ? COLLATE BINARY", (name,)
    ).fetchone()
    if row is None:
        return
    for table in ("document", "extra", "tagged", "result", "mean_tiles"):
        connection.execute(f"DELETE FROM {table} WHERE entry = ?", row)
    _delete_tags(connection, row[0])
    connection.execute("DELETE FROM words WHERE rowid = ?", row)
    connection.execute("DELETE FROM detail WHERE id = ?", row)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """What people added to an entry beside the store, and how to see that it changed."""

    signature: str
    """Signature of the file of notes and of the folder of results."""
    results: tuple[tuple[str, str], ...] = ()
    """Name of each result, and the digest of the source that it was computed from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRow:
    """What is to be written of one store."""

    record: Record
    """What the store says."""
    notes: Notes
    """What people added."""
    added: Added
    """What else people added."""


def put_rows(connection: sqlite3.Connection, rows: Sequence[NewRow]) -> None:
    """Write the rows of stores, in place of earlier ones of the same names.

    Many stores have most tags in common, so that many rows at once take a fraction of the time.
    """
    ids = {_put_entry(connection, row): row for row in rows}
    texts = _put_tags(connection, {entry: row.record.tags for entry, row in ids.items()})
    connection.executemany(
        "INSERT INTO words (rowid, labels, metadata, notes) VALUES (?, ?, ?, '')",
        ((entry, row.record.words(), texts[entry]) for entry, row in ids.items()),
    )
    for entry, row in ids.items():
        _put_notes(connection, entry, row.notes, row.added)


def _put_entry(connection: sqlite3.Connection, row: NewRow) -> int:
    """Write all of a row but its words and its tag tree, and return its id."""
    record, notes = row.record, row.notes
    delete_entry(connection, record.name)
    values: dict[str, Any] = {
        **record.columns,
        **_noted_columns(notes),
        "folded": casefold(record.name),
        "signature": record.signature,
        "digest": record.digest,
        "noted": row.added.signature,
        "header_hash": record.header_hash,
        "origin": record.origin,
        "sample": record.sample,
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
    connection.execute(
        "INSERT INTO detail VALUES (?, ?, ?)",
        (entry, json.dumps(record.json, ensure_ascii=False), notes_text(notes)),
    )
    _put_extra(connection, entry, record.more, own=False)
    return entry


def replace_notes(connection: sqlite3.Connection, name: str, notes: Notes, added: Added) -> None:
    """Write again what people added to an entry; a name that does not exist is not a failure."""
    row = connection.execute("SELECT id FROM entry WHERE name = ? COLLATE BINARY", (name,))
    found = row.fetchone()
    if found is None:
        return
    columns = _noted_columns(notes)
    connection.execute(
        "UPDATE entry SET noted = ?, remark = ?, exports = ? WHERE id = ?",
        (added.signature, columns.get("remark"), columns["exports"], found[0]),
    )
    connection.execute("UPDATE detail SET notes = ? WHERE id = ?", (notes_text(notes), found[0]))
    connection.execute("DELETE FROM tagged WHERE entry = ?", found)
    connection.execute("DELETE FROM extra WHERE entry = ? AND own", found)
    connection.execute("DELETE FROM result WHERE entry = ?", found)
    _put_notes(connection, found[0], notes, added)


def notes_text(notes: Notes) -> str:
    """Return what people added as the index keeps it."""
    return json.dumps(notes.json(), ensure_ascii=False)


def _noted_columns(notes: Notes) -> dict[str, Fact]:
    remark: dict[str, Fact] = {"remark": notes.remark} if notes.remark else {}
    return {**remark, "exports": len(notes.exports)}


def _put_notes(connection: sqlite3.Connection, entry: int, notes: Notes, added: Added) -> None:
    connection.executemany("INSERT INTO tagged VALUES (?, ?)", ((tag, entry) for tag in notes.tags))
    own_source = "SELECT ?, id FROM entry WHERE id = ? AND hash = ?"
    connection.executemany(
        f"INSERT INTO result {own_source}",
        ((name, entry, source_hash) for name, source_hash in added.results),
    )
    _put_extra(connection, entry, notes.fields, own=True)
    own = (value for value in notes.fields.values() if isinstance(value, str))
    texts = [*notes.tags, notes.remark, *own, *notes.formerly]
    texts += [
        name
        for name, _ in fetch(connection, "SELECT name, entry FROM result WHERE entry = ?", (entry,))
    ]
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
    return (_number(value) if isinstance(value, str) else float(value)), _text(value)


def _text(value: Fact) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _put_tags(
    connection: sqlite3.Connection, trees: Mapping[int, Mapping[str, Any]]
) -> dict[int, str]:
    """Write tag trees by entry and return their texts, each once, for the search of words."""
    values: dict[tuple[str, str], Fact] = {}
    leaves: dict[int, list[tuple[str, str]]] = {}
    texts: dict[int, str] = {}
    for entry, tree in trees.items():
        found = dict.fromkeys(flatten_tags(tree))
        leaves[entry] = [(path, _text(value)) for path, value in found]
        values.update(zip(leaves[entry], (value for _, value in found), strict=True))
        words = dict.fromkeys(value for _, value in found if isinstance(value, str))
        texts[entry] = "\n".join(words)
    known = _value_ids(connection, values)
    postings: list[tuple[int, int]] = []
    packed: list[tuple[int, bytes]] = []
    for entry, tags in leaves.items():
        ids = sorted({known[tag] for tag in tags})
        postings += ((value, entry) for value in ids)
        if ids:
            packed.append((entry, zlib.compress(array("q", ids).tobytes())))
    # In the order of the table, neighbours fall into the same pages.
    connection.executemany("INSERT INTO tag_posting VALUES (?, ?)", sorted(postings))
    connection.executemany("INSERT INTO entry_tags VALUES (?, ?)", packed)
    return texts


def _value_ids(
    connection: sqlite3.Connection, values: Mapping[tuple[str, str], Fact]
) -> dict[tuple[str, str], int]:
    """Return the id of each path and text of a tag, new ones added."""
    paths = _path_ids(connection, {path for path, _ in values})
    names = {number: path for path, number in paths.items()}
    # One statement for all, handed over as JSON: a source has hundreds.
    rows = json.dumps(
        [
            (paths[path], _number(value) if isinstance(value, str) else float(value), text)
            for (path, text), value in values.items()
        ]
    )
    connection.execute(
        "INSERT OR IGNORE INTO tag_value (path, number, text)"
        " SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?)",
        (rows,),
    )
    found = fetch(
        connection,
        "SELECT tag_value.id, tag_value.path, text FROM json_each(?) AS leaf CROSS JOIN tag_value"
        " ON tag_value.path = leaf.value ->> 0 AND tag_value.text = leaf.value ->> 2",
        (rows,),
    )
    return {(names[path], text): number for number, path, text in found}


def _path_ids(connection: sqlite3.Connection, paths: Iterable[str]) -> dict[str, int]:
    listed = (json.dumps(sorted(paths)),)
    sql = "INSERT OR IGNORE INTO tag_path (path) SELECT value FROM json_each(?)"
    connection.execute(sql, listed)
    known = "SELECT path, id FROM tag_path WHERE path IN (SELECT value FROM json_each(?))"
    return dict(fetch(connection, known, listed))


def fetch(
    connection: sqlite3.Connection, sql: str, values: Sequence[Any] = ()
) -> list[tuple[Any, ...]]:
    """Return all rows of a query."""
    return connection.execute(sql, values).fetchall()
