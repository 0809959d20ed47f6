"""What a query may speak of: the fields of an entry, their types and units."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from stemzarr.errors import QueryError
from stemzarr.metadata.facts import FACTS, FactType
from stemzarr.metadata.units import UNITS, spell_unit, unit_factor

__all__ = [
    "FIELDS",
    "NUMBER",
    "RESERVED",
    "STATISTICS",
    "Field",
    "field_of",
    "nearest",
    "nearest_fields",
    "read_number",
]

NUMBER = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([^\d\s.].*)?")
"""A number, and the unit that may follow it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One property of an entry."""

    name: str
    """Name as the store's attributes spell it; also the column of the index and of tables."""
    type: FactType | Literal["path"]
    """How values compare; a path is equal to any run of its own folders."""
    unit: str = ""
    """Unit of the stored number, a key of `UNITS`; empty for bare numbers."""
    meaning: str = ""
    """What the field says, for lists of fields."""
    whole: bool = False
    """Whether the numbers are whole."""


_OF_ENTRIES = {
    "name": "name of the entry",
    "title": "title of the main document",
    "kind": "what the main document is",
    "dtype": "type of its values",
}
_OF_SOURCES = {
    "source": "name of the source",
    "folder": "folder of the source, or any run of its folders",
    "format": "format of the source",
    "layout": "order of the axes in the source",
    "hash": "digest of the source",
    "remark": "what a person wrote about it",
}
_COUNTS = {
    "scan_y": "scan positions down",
    "scan_x": "scan positions across",
    "det_y": "detector pixels down",
    "det_x": "detector pixels across",
    "y": "pixels down",
    "x": "pixels across",
    "energy": "energy channels",
    "frame": "frames of a stack",
    "ndim": "number of dims",
    "size": "size of the source",
    "stored": "size of the store",
    "documents": "documents in the store",
    "exports": "exports made from it",
}
STATISTICS = {
    "min": "smallest value",
    "max": "largest value",
    "mean": "mean of the values",
    "std": "their standard deviation",
    "zero_fraction": "fraction of the values that are zero",
}
"""Statistics of the main document that are fields, and what they mean."""


def _fields() -> Iterator[Field]:
    """Iterate over the fields: those of the table of facts, and what only an entry has."""
    yield from (Field(name=name, type="text", meaning=text) for name, text in _OF_ENTRIES.items())
    yield from _facts("text")
    for name, text in _OF_SOURCES.items():
        yield Field(name=name, type="path" if name == "folder" else "text", meaning=text)
    yield from _facts("number")
    for name, text in _COUNTS.items():
        unit = "B" if name in ("size", "stored") else ""
        yield Field(name=name, type="number", unit=unit, meaning=text, whole=True)
    for name, text in STATISTICS.items():
        yield Field(name=name, type="number", meaning=text)
    yield from _facts("date")
    yield Field(name="ingested", type="date", meaning="when it was ingested")
    yield from _facts("flag")
    yield Field(name="rebuildable", type="flag", meaning="whether the source can be given back")
    yield Field(name="virtual", type="flag", meaning="whether only labels are stored")


def _facts(kind: FactType) -> Iterator[Field]:
    for fact in FACTS:
        if fact.type == kind:
            yield Field(name=fact.name, type=kind, unit=fact.unit, meaning=fact.meaning)


FIELDS: Mapping[str, Field] = {field.name: field for field in _fields()}
"""Every field that the index keeps in a column of its own."""
RESERVED = ("tag", "has", "dims", "shape", "store", "record")
"""Columns of tables beside the fields: no field of people's own can be called so."""
_OTHER_WORDS = {word: fact.name for fact in FACTS for word in fact.words} | {
    "file": "source",
    "directory": "folder",
    "path": "folder",
    "filename": "source",
    "type": "kind",
    "comment": "remark",
    "note": "remark",
}
"""What people call a field, for hints; a field of their own may have such a name."""
_SHORT = 2


def _spellings() -> dict[str, str]:
    """Return the field of each accepted spelling, in lower case: with or without its unit."""
    spellings = {}
    for field in FIELDS.values():
        spellings[field.name.lower()] = field.name
        if field.unit and field.name.endswith(f"_{field.unit}"):
            spellings[field.name.removesuffix(f"_{field.unit}").lower()] = field.name
    return spellings


_SPELLINGS = _spellings()


def field_of(text: str) -> Field | None:
    """Return the field that `text` names, without regard to case, with or without its unit.

    Examples
    --------
    >>> field_of("Exposure").name
    'exposure_s'
    """
    name = _SPELLINGS.get(text.lower())
    return None if name is None else FIELDS[name]


def nearest(text: str, known: Iterable[str], count: int = 3) -> list[str]:
    """Return the known words that are spelled most like `text`, best first."""
    by_lower = {word.lower(): word for word in known}
    close = difflib.get_close_matches(text.lower(), by_lower, n=count, cutoff=0.5)
    return [by_lower[word] for word in close]


def nearest_fields(text: str, more: Iterable[str] = ()) -> list[str]:
    """Return the fields, among the built-in ones and `more`, that `text` most probably means.

    Examples
    --------
    >>> nearest_fields("voltage"), nearest_fields("kimd")
    (['beam_energy_keV'], ['kind', 'ndim'])
    """
    means = _OTHER_WORDS.get(text.lower())
    if means is not None:
        return [means]
    close = nearest(text, [*_SPELLINGS, *more])
    if not close:
        parts = {part for part in re.split(r"[\W_]+", text.lower()) if len(part) > _SHORT}
        close = [name for name in FIELDS if parts & set(name.lower().split("_"))]
    return list(dict.fromkeys(_SPELLINGS.get(name.lower(), name) for name in close))


def read_number(field: Field, text: str) -> float:
    """Return a number that a person wrote for a field, in the field's unit.

    Raises
    ------
    QueryError
        It is not a number, or has a unit of another quantity.

    Examples
    --------
    >>> read_number(FIELDS["camera_length_mm"], "12cm")
    120.0
    """
    match = NUMBER.fullmatch(text.strip())
    if match is None or not math.isfinite(float(match[1])):
        hint = f"write {field.name}=100{field.unit}, or a range as 100..200"
        raise QueryError(f"{field.name} is a number, not {text!r}", hint=hint)
    number, unit = float(match[1]), match[2]
    if unit is None:
        return number
    known = UNITS.get(field.unit, {})
    spelled = spell_unit(unit, field.unit)
    if spelled is None:
        hint = f"known units: {', '.join(known)}" if known else f"write {field.name}={match[1]}"
        raise QueryError(f"{field.name} has no unit {unit!r}", hint=hint)
    return number * unit_factor(spelled, field.unit)
