"""Questions that the index answers."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stemzarr_catalog.fields import FIELDS, field_of, nearest
from stemzarr_catalog.names import casefold
from stemzarr_catalog.query import And, Comparison, Or, Query, parse_query
from stemzarr_catalog.sql import compile_query, sort_column
from stemzarr_catalog.tables import fetch

if TYPE_CHECKING:
    from stemzarr.model import Fact

__all__ = [
    "Brief",
    "Row",
    "Searchable",
    "briefs",
    "count",
    "facets",
    "hint_for",
    "names",
    "rows",
    "rows_from",
    "rows_of_size",
    "rows_with",
    "searchable",
    "unknown_values",
]

_MOST_SIMILAR = 20_000
_MANY = 1000
_AT_ONCE = 500
"""Parameters of one statement; SQLite may be built to take no more than 999."""


_FROM = " FROM entry JOIN detail USING (id)"
_ROW = "SELECT name, record, notes"

Row = tuple[str, str, str]
"""Name, record and notes of an entry, the last two as JSON text."""


def count(connection: sqlite3.Connection) -> int:
    """Return how many entries there are."""
    return int(fetch(connection, "SELECT count(*) FROM entry")[0][0])


def rows_with(connection: sqlite3.Connection, values: Mapping[str, Fact]) -> list[Row]:
    """Return name, record and notes of the entries whose columns have these values, by name.

    Names are compared with their case, unlike other texts.
    """
    exact = {"name": " COLLATE BINARY"}
    condition = " AND ".join(f'"{column}" = ?{exact.get(column, "")}' for column in values)
    sql = f"{_ROW}{_FROM} WHERE {condition} ORDER BY name"
    return [(row[0], row[1], row[2]) for row in fetch(connection, sql, tuple(values.values()))]


def rows_from(connection: sqlite3.Connection, origins: Sequence[str]) -> list[Row]:
    """Return the entries whose sources were at any of these paths when they were ingested."""
    found: list[Row] = []
    for start in range(0, len(origins), _AT_ONCE):
        some = origins[start : start + _AT_ONCE]
        sql = f"{_ROW}{_FROM} WHERE origin IN ({', '.join('?' * len(some))}) ORDER BY name"
        found += [(row[0], row[1], row[2]) for row in fetch(connection, sql, some)]
    return found


def rows_of_size(
    connection: sqlite3.Connection, size: int, headers: Sequence[str], sample: str | None = None
) -> list[Row]:
    """Return the entries whose sources have this size, one of two headers, and this sample.

    Early stores record no sample: they are among them. Without a sample, one entry is returned
    where there is any.
    """
    condition = "size = ? AND header_hash IN (?, ?) AND coalesce(sample = ?, 1)"
    most = -1 if sample else 1
    sql = f"{_ROW}{_FROM} WHERE {condition} ORDER BY name LIMIT {most}"
    found = fetch(connection, sql, (size, *headers, sample))
    return [(row[0], row[1], row[2]) for row in found]


def _renamed(connection: sqlite3.Connection, name: str) -> list[str]:
    """Return the names of the entries that had another name before, the one that is given."""
    sql = (
        "SELECT entry.name FROM entry JOIN detail USING (id), json_each(notes, '$.formerly') AS old"
        " WHERE old.value = ? ORDER BY entry.name"
    )
    return [found for (found,) in fetch(connection, sql, (name,))]


def _close_names(connection: sqlite3.Connection, name: str) -> list[str]:
    """Return names that are the same but for case, or spelled much alike."""
    same = fetch(connection, "SELECT name FROM entry WHERE folded = ?", (casefold(name),))
    if same:
        return [found for (found,) in same]
    known = fetch(connection, "SELECT name FROM entry LIMIT ?", (_MOST_SIMILAR,))
    return nearest(name, (found for (found,) in known))


def hint_for(connection: sqlite3.Connection, name: str) -> str:
    """Return what a person can do who asked for a name that no entry has."""
    now = _renamed(connection, name)
    if now:
        return f"it was renamed to {' and '.join(now)}"
    close = _close_names(connection, name)
    return f"did you mean {' or '.join(close)}" if close else "stemzarr ls lists all names"


def rows(
    connection: sqlite3.Connection,
    query: str,
    *,
    sort: str | None = None,
    limit: int | None = None,
    descending: bool = False,
) -> list[Row]:
    """Return name, record and notes of the entries that a query is true of."""
    ordered = _ordered(connection, query, sort, limit, descending=descending)
    return [(name, record, noted) for name, record, noted in _look_up(connection, _ROW, ordered)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """What a line of a list says of an entry."""

    name: str
    """Name of the entry."""
    title: str
    """Title of the main document."""
    kind: str
    """What it is."""
    shape: tuple[int, ...]
    """Lengths of its dims."""
    dtype: str
    """Type of its values."""
    size: int
    """Bytes of the source."""
    acquired: str
    """When it was acquired; empty where that is not known."""
    folder: str
    """Folder of its source; empty where that is not known."""
    tags: tuple[str, ...]
    """Tags that people gave it."""
    complete: bool
    """Whether its source holds all that it declares; also where that is not known."""


def briefs(
    connection: sqlite3.Connection,
    query: str,
    *,
    sort: str | None = None,
    limit: int | None = None,
    descending: bool = False,
) -> list[Brief]:
    """Return what a list says of the entries that a query is true of.

    Of a record only what is asked for is parsed: of thousands, the rest would take seconds.
    """
    ordered = _ordered(connection, query, sort, limit, descending=descending)
    sql = (
        "SELECT name, title, kind, record ->> '$.shape', dtype, size, acquired, folder,"
        " notes ->> '$.tags', complete"
    )
    return [
        Brief(
            name=name,
            title=title or "",
            kind=kind,
            shape=tuple(json.loads(shape)),
            dtype=dtype,
            size=size or 0,
            acquired=acquired or "",
            folder=folder or "",
            tags=tuple(json.loads(tags)),
            complete=complete != 0,
        )
        for name, title, kind, shape, dtype, size, acquired, folder, tags, complete in _look_up(
            connection, sql, ordered
        )
    ]


def _look_up(
    connection: sqlite3.Connection, sql: str, ordered: tuple[str, tuple[Any, ...]]
) -> Iterator[tuple[Any, ...]]:
    """Give a row of `sql` for each entry, in the order of another statement."""
    found = [entry for _, entry in fetch(connection, *ordered)]
    for start in range(0, len(found), _AT_ONCE):
        ids = found[start : start + _AT_ONCE]
        rows = fetch(connection, f"{sql}, id{_FROM} WHERE id IN ({', '.join('?' * len(ids))})", ids)
        by_id = {row[-1]: row[:-1] for row in rows}
        yield from (by_id[entry] for entry in ids)


def names(connection: sqlite3.Connection, query: str) -> list[str]:
    """Return the names of the entries that a query is true of, sorted."""
    return [name for name, _ in fetch(connection, *_ordered(connection, query))]


def _ordered(
    connection: sqlite3.Connection,
    query: str,
    sort: str | None = None,
    limit: int | None = None,
    *,
    descending: bool = False,
) -> tuple[str, tuple[Any, ...]]:
    """Return SQL that gives name and id of entries in their order, and its parameters."""
    condition, values = compile_query(parse_query(query), connection)
    direction = "DESC" if descending else "ASC"
    if limit is not None:
        some = f"SELECT id FROM entry WHERE {condition} LIMIT {_MANY}"
        ids = [entry for (entry,) in fetch(connection, some, values)]
        if len(ids) < _MANY:
            condition, values = "id IN (SELECT value FROM json_each(?))", (json.dumps(ids),)
        elif sort is None:
            # Going through the names in their order finds the first ones sooner than finding all.
            table = "entry INDEXED BY entry_by_name"
            sql = (
                f"SELECT name, id FROM {table} WHERE {condition} ORDER BY name {direction} LIMIT ?"
            )
            return sql, (*values, limit)
    column, sort_values = sort_column(sort or "name", connection)
    names = direction if sort in (None, "name") else "ASC"
    sql = (
        f"SELECT name, id FROM entry WHERE {condition}"
        f" ORDER BY {column} {direction} NULLS LAST, name {names} LIMIT ?"
    )
    return sql, (*values, *sort_values, -1 if limit is None else limit)


def unknown_values(connection: sqlite3.Connection, query: str) -> list[str]:
    """Return, for values of a query that no entry has, what was probably meant."""
    said = []
    for name, values, known in _asked_values(connection, parse_query(query)):
        for value in values:
            if value and "*" not in value and value.lower() not in map(str.lower, known):
                part_of = [text for text in known if value.lower() in text.lower()]
                close = nearest(value, known) or part_of[:3]
                hint = f"; did you mean {' or '.join(close)}" if close else ""
                said.append(f"no entry has {name}={value}{hint}")
    return said


def _asked_values(
    connection: sqlite3.Connection, query: Query
) -> Iterator[tuple[str, tuple[str, ...], list[str]]]:
    """Give each text field that a query wants to be equal to something, and the values it has."""
    if isinstance(query, And | Or):
        for part in query.parts:
            yield from _asked_values(connection, part)
    if not isinstance(query, Comparison) or query.scope != "entry" or query.operator != "=":
        return
    field = field_of(query.field)
    sql = (
        f'SELECT DISTINCT "{field.name}" FROM entry' if field else "SELECT DISTINCT tag FROM tagged"
    )
    if query.field.lower() == "tag" or (field is not None and field.type in ("text", "path")):
        found = [value for (value,) in fetch(connection, f"{sql} LIMIT {_MOST_SIMILAR}") if value]
        if field is not None and field.type == "path":
            found = list(dict.fromkeys(part for path in found for part in path.split("/") if part))
        yield query.field, query.values, found


@dataclass(frozen=True, slots=True, kw_only=True)
class Searchable:
    """What a query compares of an entry."""

    fields: dict[str, Fact]
    """Values of the built-in fields that are known."""
    more: dict[str, Fact]
    """Values of further fields, numbers as such."""
    words: tuple[str, str]
    """What words are searched in, but for the tags of the source: labels, and people's notes."""


def searchable(connection: sqlite3.Connection, query: str) -> dict[str, Searchable]:
    """Return what queries compare of the entries that one is true of, by name."""
    condition, values = compile_query(parse_query(query), connection)
    columns = ", ".join(f'entry."{name}"' for name in FIELDS)
    sql = (
        f"SELECT entry.id, labels, words.notes, {columns} FROM entry"
        f" JOIN words ON words.rowid = entry.id WHERE entry.id IN"
        f" (SELECT id FROM entry WHERE {condition})"
    )
    found = {}
    for entry, labels, notes, *row in fetch(connection, sql, values):
        extra = fetch(connection, "SELECT field, number, text FROM extra WHERE entry = ?", (entry,))
        fields = {n: v for n, v in zip(FIELDS, row, strict=True) if v is not None}
        more = {n: text if number is None else number for n, number, text in extra}
        found[fields["name"]] = Searchable(fields=fields, more=more, words=(labels, notes))
    return found


def facets(connection: sqlite3.Connection, field: str, query: str = "") -> dict[Fact | None, int]:
    """Return how often each value of a field occurs among the entries of a query."""
    condition, values = compile_query(parse_query(query), connection)
    known = field_of(field)
    if field.lower() == "tag":
        found = f"SELECT id FROM entry WHERE {condition}"
        sql = f"SELECT tag, count(DISTINCT entry) FROM tagged WHERE entry IN ({found}) GROUP BY tag"
    elif known is not None:
        sql = f'SELECT "{known.name}", count(*) FROM entry WHERE {condition} GROUP BY 1'
    else:
        column, sort_values = sort_column(field, connection)
        sql = f"SELECT {column}, count(*) FROM entry WHERE {condition} GROUP BY 1"
        values = (*sort_values, *values)
    counted = fetch(connection, sql, values)
    counted.sort(key=lambda pair: (pair[0] is None, -pair[1], str(pair[0])))
    whole = known is not None and FIELDS[known.name].type == "number"
    return {_plain(value) if whole else value: number for value, number in counted}


def _plain(value: Fact | None) -> Fact | None:
    """Return a whole number as an int: SQLite gives 300.0 for a column of real numbers."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
