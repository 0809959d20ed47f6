"""From the tree of a query to SQL with parameters: no text of a user becomes SQL."""

from __future__ import annotations

import calendar
import datetime as dt
import json
import re
import sqlite3
from collections.abc import Callable
from typing import Any

from stemzarr.errors import QueryError
from stemzarr_catalog.fields import (
    FIELDS,
    NUMBER,
    Field,
    field_of,
    nearest,
    nearest_fields,
    read_number,
)
from stemzarr_catalog.query import And, Comparison, Not, Operator, Or, Query, Words

__all__ = ["NEWEST", "Condition", "compile_query", "sort_column"]

NEWEST = "newest"
"""Orders by when entries were acquired, or else ingested."""

Condition = tuple[str, tuple[Any, ...]]
"""SQL over the table ``entry``, and the values of its parameters."""

_DENIED: dict[Operator, Operator] = {"!=": "=", "!~": "~"}
_ORDERED = ("<", "<=", ">", ">=")
_AMONG = "id IN ("
_COMMON = 2000
"""Rows from which a condition is common, so that looking at them all would take longer than
finding out."""
_DATE = re.compile(
    r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2})(?:[T ](\d{1,2})(?::(\d{2})(?::(\d{2}(?:\.\d+)?))?)?)?)?)?Z?"
)
_FLAGS = {"1": 1, "yes": 1, "true": 1, "0": 0, "no": 0, "false": 0}
_DOCUMENT_FIELDS = ("slug", "title", "kind", "dtype", "ndim")


def compile_query(query: Query, connection: sqlite3.Connection) -> Condition:
    """Return the condition that rows of ``entry`` fulfil.

    Parameters
    ----------
    query
        The tree.
    connection
        The index, which knows the fields that people added and the paths of tags.

    Raises
    ------
    QueryError
        A field, an operator or a value does not exist or does not fit; the message names the
        nearest that does.
    """
    return _compile(query, connection, denied=False)


def _compile(query: Query, connection: sqlite3.Connection, *, denied: bool) -> Condition:
    if isinstance(query, Not):
        return _compile(query.part, connection, denied=not denied)
    if isinstance(query, And) and not denied:
        return _all_of(query.parts, connection)
    if isinstance(query, And | Or):
        together = isinstance(query, And) != denied
        parts = [_compile(part, connection, denied=denied) for part in query.parts]
        return _join(parts, " AND " if together else " OR ", empty="1" if together else "0")
    if isinstance(query, Words):
        return _deny(_words(query), denied=denied)
    if query.operator in _DENIED:
        operator = _DENIED[query.operator]
        opposite = Comparison(query.scope, query.field, operator, query.values)
        return _compile(opposite, connection, denied=not denied)
    return _deny(_comparison(query, connection), denied=denied)


def _all_of(parts: tuple[Query, ...], connection: sqlite3.Connection) -> Condition:
    """Return the condition that all parts are true, which begins with the rarest of them.

    SQLite has no numbers by which it could choose, not even after ``ANALYZE``, which knows columns
    and neither words nor values: it would look up every entry with a common word, though only a
    handful are of that day.
    """
    compiled = [_compile(part, connection, denied=False) for part in parts]
    fewest, first = _COMMON, None
    for number, (part, condition) in enumerate(zip(parts, compiled, strict=True)):
        if len(parts) > 1 and _has_index(part, condition):
            found = _list_some(condition, connection)
            if len(found) < fewest:
                fewest, first, ids = len(found), number, found
    if first is not None:
        compiled[first] = "id IN (SELECT value FROM json_each(?))", (json.dumps(ids),)
    else:
        # Of common parts, words are the one whose entries come in the order of the table.
        first = next((n for n, part in enumerate(parts) if isinstance(part, Words)), None)
    if first is not None:
        # The plus keeps SQLite from beginning with another part.
        compiled = [(sql if n == first else f"+({sql})", v) for n, (sql, v) in enumerate(compiled)]
    return _join(compiled, " AND ", empty="1")


def _has_index(part: Query, condition: Condition) -> bool:
    """Return whether the entries of a condition are listed without looking at all of them."""
    if isinstance(part, Words):
        return True
    if not isinstance(part, Comparison) or condition[0].startswith("EXISTS"):
        return False
    field = field_of(part.field)
    if part.scope == "entry" and field is not None and field.type == "path":
        return False
    exact = part.operator in ("=", "known", *_ORDERED)
    return exact and all(value and "*" not in value for value in part.values)


def _list_some(condition: Condition, connection: sqlite3.Connection) -> list[int]:
    """Return the ids of entries that fulfil a condition, up to the number that is common."""
    sql, values = condition
    listing = (
        sql[len(_AMONG) : -1] if sql.startswith(_AMONG) else f"SELECT id FROM entry WHERE {sql}"
    )
    rows = connection.execute(f"{listing} LIMIT {_COMMON}", values)
    return [entry for (entry,) in rows]


def _among(table: str, where: Condition, connection: sqlite3.Connection) -> Condition:
    """Return the condition that an entry has a row in a table: common ones are asked one by one."""
    sql, values = where
    listing = f"SELECT entry FROM {table} WHERE {sql}"
    if len(_list_some((f"{_AMONG}{listing})", values), connection)) < _COMMON:
        return f"{_AMONG}{listing})", values
    rows = f"SELECT 1 FROM {table} INDEXED BY {table}_by_entry"
    return f"EXISTS ({rows} WHERE {table}.entry = entry.id AND ({sql}))", values


def _join(parts: list[Condition], word: str, empty: str) -> Condition:
    if not parts:
        return empty, ()
    sql = word.join(f"({part})" for part, _ in parts)
    return sql, tuple(value for _, values in parts for value in values)


def _deny(condition: Condition, *, denied: bool) -> Condition:
    """Deny a condition so that what is not known is denied too."""
    sql, values = condition
    return (f"({sql}) IS NOT TRUE", values) if denied else condition


def _words(words: Words) -> Condition:
    quoted = words.text.replace('"', '""')
    if not any(character.isalnum() for character in words.text):
        raise QueryError(
            f"{words.text!r} holds no letter or digit", hint="search for words, or use field~text"
        )
    match = f'"{quoted}"' if words.quoted else f'"{quoted}"*'
    return "id IN (SELECT rowid FROM words WHERE words MATCH ?)", (match,)


def _comparison(query: Comparison, connection: sqlite3.Connection) -> Condition:
    if query.scope != "entry":
        return _SCOPES[query.scope](query, connection)
    if query.field.lower() == "tag":
        tag = Field(name="tag", type="text")
        sql, values = _any_of(query, tag, "tag")
        if _asks_unknown(query):
            return "id NOT IN (SELECT entry FROM tagged)", ()
        return f"id IN (SELECT entry FROM tagged WHERE {sql})", values
    field = field_of(query.field)
    if field is not None:
        return _any_of(query, field, f'"{field.name}"')
    return _extra(query, connection)


def _any_of(query: Comparison, field: Field, column: str) -> Condition:
    """Return the condition that `column` fits one of the query's values."""
    compare = _COMPARE[field.type]
    parts = []
    for value in query.values:
        if value == "" and query.operator == "=":
            parts.append((f"{column} IS NULL", ()))
        else:
            parts.append(compare(field, column, query.operator, value))
    return _join(parts, " OR ", empty="0")


def _asks_unknown(query: Comparison) -> bool:
    return query.operator == "=" and query.values == ("",)


def _number(field: Field, column: str, operator: Operator, text: str) -> Condition:
    if operator == "~":
        raise _wrong_operator(field, operator, "= != < <= > >=")
    low, dots, high = text.partition("..")
    if dots and operator == "=":
        return f"{column} BETWEEN ? AND ?", (read_number(field, low), read_number(field, high))
    number = read_number(field, text)
    if operator == "=":
        # What was calibrated in float32, or converted between units, is equal to 6 digits.
        margin = abs(number) * 1e-6
        return f"{column} BETWEEN ? AND ?", (number - margin, number + margin)
    return f"{column} {operator} ?", (number,)


def _text(field: Field, column: str, operator: Operator, text: str) -> Condition:
    if operator in _ORDERED:
        raise _wrong_operator(field, operator, "= != ~ !~")
    if operator == "~":
        return f"{column} LIKE ? ESCAPE '\\'", (f"%{_like(text)}%",)
    if "*" in text:
        return f"{column} LIKE ? ESCAPE '\\'", (_like(text).replace("*", "%"),)
    return f"{column} = ? COLLATE NOCASE", (text,)


def _path(field: Field, column: str, operator: Operator, text: str) -> Condition:
    """Compare folders; one that does not begin at the root is any run of folders of the path."""
    plain = text.replace("\\", "/")
    if operator != "=" or not plain.strip("/"):
        return _text(field, column, operator, plain)
    start = "/" if re.match(r"/|[A-Za-z]:", plain) else "%/"
    below = _like(plain.rstrip("/")).replace("*", "%")
    return f"'/' || {column} || '/' LIKE ? ESCAPE '\\'", (f"{start}{below}/%",)


def _like(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _flag(field: Field, column: str, operator: Operator, text: str) -> Condition:
    if operator != "=":
        raise _wrong_operator(field, operator, "= !=")
    if text.lower() not in _FLAGS:
        raise QueryError(f"{field.name} is yes or no, not {text!r}", hint=f"write {field.name}=yes")
    return f"{column} = ?", (_FLAGS[text.lower()],)


def _date(field: Field, column: str, operator: Operator, text: str) -> Condition:
    """Compare dates; a date that leaves parts out is a whole year, month or day."""
    if operator == "~":
        return f"{column} LIKE ? ESCAPE '\\'", (f"%{_like(text)}%",)
    low, dots, high = text.partition("..")
    if dots and operator == "=":
        return f"{column} >= ? AND {column} < ?", (_period(field, low)[0], _period(field, high)[1])
    first, after = _period(field, text)
    if operator == "=":
        return f"{column} >= ? AND {column} < ?", (first, after)
    if operator == "<=":
        return f"{column} < ?", (after,)
    return f"{column} {operator} ?", (first,)


def _period(field: Field, text: str) -> tuple[str, str]:
    """Return first instant of a date and the first behind it, in the form of the index."""
    match = _DATE.fullmatch(text.strip())
    if match is None:
        hint = f"write {field.name}>=2026-01-31, or a range as 2026-01..2026-03"
        raise QueryError(f"{field.name} is a date, not {text!r}", hint=hint)
    year, month, day, hour, minute = (int(part or 0) for part in match.groups()[:5])
    second = match[6]
    try:
        start = dt.datetime(year, month or 1, day or 1, hour, minute, int(float(second or 0)))  # noqa: DTZ001 - sources write local time without a zone
        return _bounds(start, match.groups())
    except (ValueError, OverflowError) as error:
        raise QueryError(f"{text!r} is not a date: {error}", hint="write 2026-01-31") from error


def _bounds(start: dt.datetime, parts: tuple[str | None, ...]) -> tuple[str, str]:
    """Return `start` and the end of the year, month, day … that `parts` leave open."""
    _, month, day, hour, minute, second = parts
    if month is None:
        return f"{start.year:04d}", f"{start.year + 1:04d}"
    if day is None:
        days = calendar.monthrange(start.year, start.month)[1]
        return start.isoformat()[:7], (start + dt.timedelta(days=days)).isoformat()[:7]
    if hour is None:
        return start.isoformat()[:10], (start + dt.timedelta(days=1)).isoformat()[:10]
    step = {"hours": 1} if minute is None else {"minutes": 1} if second is None else {"seconds": 1}
    end = start + dt.timedelta(**step)
    return start.isoformat(), end.isoformat()


_COMPARE: dict[str, Callable[[Field, str, Operator, str], Condition]] = {
    "number": _number,
    "text": _text,
    "path": _path,
    "flag": _flag,
    "date": _date,
}


def _wrong_operator(field: Field, operator: str, known: str) -> QueryError:
    kinds = {"number": "a number", "flag": "yes or no", "date": "a date"}
    message = f"{field.name} is {kinds.get(field.type, 'a text')} and does not take {operator!r}"
    nearest_one = "=" if operator == "~" else "~"
    return QueryError(message, hint=f"did you mean {nearest_one}; it takes {known}")


def _document(query: Comparison, connection: sqlite3.Connection) -> Condition:
    name = query.field.lower()
    if name not in _DOCUMENT_FIELDS:
        close = nearest(name, _DOCUMENT_FIELDS, 1)
        hint = f"did you mean {close[0]}; " if close else ""
        known = ", ".join(_DOCUMENT_FIELDS)
        raise QueryError(f"documents have no field {query.field!r}", hint=f"{hint}known: {known}")
    field = Field(name=name, type="number" if name == "ndim" else "text")
    return _among("document", _any_of(query, field, name), connection)


def _extra(query: Comparison, connection: sqlite3.Connection) -> Condition:
    """Compare a field that people added, or that the index keeps in no column of its own."""
    name = query.field
    known = connection.execute("SELECT 1 FROM extra WHERE field = ? LIMIT 1", (name,)).fetchone()
    if known is None:
        raise _unknown_field(name, connection)
    if _asks_unknown(query):
        return "id NOT IN (SELECT entry FROM extra WHERE field = ?)", (name,)
    sql, values = _untyped(query)
    return _among("extra", (f"field = ? AND ({sql})", (name, *values)), connection)


def _untyped(query: Comparison) -> Condition:
    """Compare values that are numbers here and texts there."""
    number = Field(name=query.field, type="number")
    text = Field(name=query.field, type="text")
    parts = []
    for value in query.values:
        if query.operator in _ORDERED:
            parts.append(_number(number, "number", query.operator, value))
            continue
        parts.append(_text(text, "text", query.operator, value))
        if query.operator == "=" and NUMBER.fullmatch(value) and "*" not in value:
            parts.append(_number(number, "number", "=", value))
        low, dots, high = value.partition("..")
        if query.operator == "=" and dots and NUMBER.fullmatch(low) and NUMBER.fullmatch(high):
            parts.append(_number(number, "number", "=", value))
    return _join(parts, " OR ", empty="0")


def _unknown_field(name: str, connection: sqlite3.Connection) -> QueryError:
    more = [row[0] for row in connection.execute("SELECT DISTINCT field FROM extra")]
    close = nearest_fields(name, [*more, "tag"])
    if close:
        hint = f"did you mean {' or '.join(close)}"
    else:
        hint = f"known: {', '.join([*FIELDS, 'tag'])}"
    return QueryError(f"there is no field {name!r}", hint=hint)


def _tag(query: Comparison, connection: sqlite3.Connection) -> Condition:
    """Compare a tag of the source; a path may leave out its beginning."""
    paths = "SELECT id FROM tag_path WHERE path = ? COLLATE NOCASE OR path LIKE ? ESCAPE '\\'"
    wanted = (query.field, f"%.{_like(query.field)}")
    if connection.execute(f"{paths} LIMIT 1", wanted).fetchone() is None:
        raise _unknown_tag(query.field, connection)
    sql, values = ("1", ()) if query.operator == "known" else _untyped(query)
    found = f"SELECT id FROM tag_value WHERE path IN ({paths}) AND ({sql})"
    return (
        f"id IN (SELECT entry FROM tag_posting WHERE value IN ({found}))",
        (*wanted, *values),
    )


def _unknown_tag(path: str, connection: sqlite3.Connection) -> QueryError:
    last = path.rsplit(".", 1)[-1].lower()
    ends: dict[str, str] = {}
    for (known,) in connection.execute("SELECT path FROM tag_path ORDER BY length(path)"):
        ends.setdefault(known.rsplit(".", 1)[-1].lower(), known)
    close = [ends[end] for end in nearest(last, ends)]
    hint = f"did you mean {' or '.join(close)}" if close else "stemzarr show NAME --metadata"
    return QueryError(f"no source has a tag {path!r}", hint=hint)


def _result(query: Comparison, _connection: sqlite3.Connection) -> Condition:
    sql, values = _text(Field(name="result", type="text"), "name", "=", query.field)
    return f"id IN (SELECT entry FROM result WHERE {sql})", values


_SCOPES = {"tag": _tag, "document": _document, "result": _result}


def sort_column(name: str, connection: sqlite3.Connection) -> Condition:
    """Return what entries are ordered by, and its parameters.

    Raises
    ------
    QueryError
        There is no such field.
    """
    if name == NEWEST:
        return "coalesce(acquired, ingested)", ()
    field = field_of(name)
    if field is not None:
        return f'"{field.name}"', ()
    known = connection.execute("SELECT 1 FROM extra WHERE field = ? LIMIT 1", (name,)).fetchone()
    if known is None:
        raise _unknown_field(name, connection)
    return "(SELECT coalesce(number, text) FROM extra WHERE entry = entry.id AND field = ?)", (
        name,
    )
