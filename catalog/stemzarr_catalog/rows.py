"""Entries as rows of a table: one vocabulary for the index, for DataFrames and for Parquet.

A row is made of the record that the index keeps of a store, the one that its columns are filled
from, so that a field of queries and the column of its name hold the same.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from stemzarr_catalog.fields import FIELDS, STATISTICS, Field
from stemzarr_catalog.names import split_path
from stemzarr_catalog.notes import Notes

if TYPE_CHECKING:
    from stemzarr.model import Fact

__all__ = ["ColumnType", "list_fields", "list_further_fields", "make_row", "sort_into_columns"]

ColumnType = Literal["text", "number", "whole", "date", "flag", "texts", "sizes"]
"""What the values of a column are: texts, numbers, whole numbers, dates and times, flags, lists
of texts, or the lengths of dims."""

_LARGEST_INTEGER = 2**63
_OF_AXES = ("scale", "offset", "units")
_FORMS: Mapping[str, ColumnType] = {
    "tag": "texts",
    "has": "texts",
    "dims": "text",
    "shape": "sizes",
    "store": "text",
}
"""The columns beside the fields that every row has."""

Json = Mapping[str, Any]


def list_fields(record: Json) -> dict[str, Fact]:
    """Return the built-in fields that are known of a store, as the index keeps them.

    Parameters
    ----------
    record
        The store as ``ls --json`` prints it. A value of another type than its field is left out.
    """
    source, statistics = record["source"], record.get("statistics", {})
    candidates: dict[str, Any] = {
        **record["facts"],
        **dict(zip(record["dims"], record["shape"], strict=True)),
        **{key: record[key] for key in ("name", "title", "kind", "dtype")},
        "ndim": len(record["dims"]),
        "documents": len(record["documents"]),
        "source": source.get("name"),
        "folder": _folder(source.get("path")),
        **{key: source.get(key) for key in ("format", "size", "hash", "rebuildable")},
        "layout": (source.get("layout") or {}).get("order"),
        "ingested": (source.get("ingest") or {}).get("finished"),
        "virtual": bool(source.get("virtual", False)),
        "stored": record.get("stored_bytes"),
        **{key: statistics.get(key) for key in STATISTICS},
    }
    return {
        key: _for_sqlite(value)
        for key, value in candidates.items()
        if key in FIELDS and _fits(value, FIELDS[key].type)
    }


def list_further_fields(record: Json) -> dict[str, Fact]:
    """Return what a store says beside the built-in fields: other attributes, calibrations."""
    further: dict[str, Fact] = {k: v for k, v in record["facts"].items() if k not in FIELDS}
    main = next(document for document in record["documents"] if document["main"])
    for axis in main["axes"]:
        further |= {f"{axis['name']}.{key}": axis[key] for key in _OF_AXES}
    return further


def _folder(path: str | None) -> str | None:
    """Return the folder that a source was in, its parts joined by slashes on every system."""
    return "/".join(split_path(path)[:-1]) or None if path else None


def _for_sqlite(value: Fact) -> Fact:
    """Return a value that SQLite can hold: its integers have 64 bits."""
    if isinstance(value, bool):
        return int(value)
    return float(value) if isinstance(value, int) and abs(value) >= _LARGEST_INTEGER else value


def _fits(value: object, kind: str) -> bool:
    if kind in ("text", "date", "path"):
        return isinstance(value, str)
    return isinstance(value, int | float)


def make_row(record: Json, notes: Notes, results: Iterable[str], store: str) -> dict[str, Any]:
    """Return an entry as one flat row, under the names that queries know.

    Parameters
    ----------
    record
        The store as ``ls --json`` prints it.
    notes
        What people added.
    results
        Names of the results that were added.
    store
        Where the store is.

    Returns
    -------
    dict
        Every built-in field, None where it is not known: dates as datetimes, without the offset
        from UTC, as queries compare them; flags as booleans. Then what the store says besides,
        `tag` and `has` as lists, `dims`, `shape`, `store`, and people's own fields.
    """
    known = list_fields(record)
    known["exports"] = len(notes.exports)
    if notes.remark:
        known["remark"] = notes.remark
    return {
        **{name: _value(field, known.get(name)) for name, field in FIELDS.items()},
        **list_further_fields(record),
        **notes.fields,
        "tag": list(notes.tags),
        "has": list(results),
        "dims": " ".join(record["dims"]),
        "shape": list(record["shape"]),
        "store": store,
    }


def _value(field: Field, value: Fact | None) -> Any:  # noqa: ANN401 - as the field's type says
    """Return the value of a field as Python has it, rather than SQLite."""
    if value is None:
        return None
    if field.type == "date":
        return _moment(str(value))
    if field.type == "flag":
        return bool(value)
    if field.type == "number":
        return int(value) if field.whole else float(value)
    return value


def _moment(text: str) -> dt.datetime | None:
    """Return a date and time as the clock there showed it; None where it is not ISO 8601."""
    try:
        return dt.datetime.fromisoformat(text).replace(tzinfo=None)
    except ValueError:
        return None


def sort_into_columns(
    rows: Sequence[Mapping[str, Any]],
) -> dict[str, tuple[ColumnType, list[Any]]]:
    """Return the columns of rows, each with its type; the built-in ones even of no rows at all.

    A column of people's own values of several types is text.
    """
    columns: dict[str, tuple[ColumnType, list[Any]]] = {}
    known = {**{name: _type_of(field) for name, field in FIELDS.items()}, **_FORMS}
    for name in dict.fromkeys((*FIELDS, *(name for row in rows for name in row), *_FORMS)):
        values = [row.get(name) for row in rows]
        kind = known.get(name) or _type_of_values(values)
        convert = _CONVERT.get(kind, _unchanged)
        columns[name] = kind, [None if value is None else convert(value) for value in values]
    return columns


def _type_of(field: Field) -> ColumnType:
    if field.type == "path":
        return "text"
    return "whole" if field.whole else field.type


def _type_of_values(values: Iterable[Any]) -> ColumnType:
    """Return the type that values have in common, text where they have none."""
    found = [value for value in values if value is not None]
    kinds = {type(value) for value in found}
    if kinds == {bool}:
        return "flag"
    if kinds == {int} and all(abs(value) < _LARGEST_INTEGER for value in found):
        return "whole"
    return "number" if kinds and kinds <= {int, float} else "text"


def _unchanged(value: Any) -> Any:  # noqa: ANN401 - any value
    return value


_CONVERT: Mapping[ColumnType, Callable[[Any], Any]] = {"number": float, "text": str}
"""How a value of another type becomes one of the column's."""
