"""Calibration and facts set by hand: parsed, checked and put in the place of the source's own."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from stemzarr.errors import EntryNotFoundError, OptionError
from stemzarr.metadata.facts import FACTS, FactRow
from stemzarr.model import Axis, Brightness, Document, Fact, Source

__all__ = ["Change", "apply_facts", "expand_facts", "restore_facts"]

_SETTABLE = {fact.name: fact for fact in FACTS if fact.type != "flag"}
_AXIS_FIELDS = ("scale", "offset", "units")
_BY_HAND = "set by hand"
_DATE = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d|$)")
_PAIRS = {"det": ("det_y", "det_x"), "scan": ("scan_y", "scan_x")}

_Set = tuple[Document, Fact | None, Fact]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One value that was set by hand."""

    fact: str
    """What was set, as the user wrote it."""
    before: Fact | None
    """The value before; None where there was none."""
    after: Fact
    """The value now."""


def apply_facts(source: Source, facts: Mapping[str, Fact]) -> tuple[Source, tuple[Change, ...]]:
    """Return the source with values set by hand, and what changed.

    Parameters
    ----------
    source
        What is calibrated.
    facts
        Values by name: a fact such as ``camera_length_mm``, ``title``, an axis' field such as
        ``det_x.scale``, ``det_x.offset``, ``det_x.units``, or ``brightness.scale``,
        ``brightness.offset``, ``brightness.units``; of another document than the main one with
        its slug and a slash before it, such as ``survey/x.scale``. ``det`` and ``scan`` mean
        both of their axes. A new scale keeps the pixel at which the axis is zero, unless the
        offset is given too.

    Raises
    ------
    OptionError
        There is no such fact or axis, or the value does not fit.
    EntryNotFoundError
        There is no such document.
    """
    documents = {document.index: document for document in source.documents}
    changes: list[Change] = []
    for name, value in expand_facts(facts).items():
        slug, slash, fact = name.rpartition("/")
        document = source.find(slug) if slash else source.document
        current = documents[document.index]
        try:
            documents[document.index], before, after = _set(current, fact, value)
        except (OptionError, EntryNotFoundError) as error:
            raise OptionError(error.message, path=source.path, hint=error.hint) from error
        if before != after:
            changes.append(Change(fact=name, before=before, after=after))
            changes += _shift_offset(documents, document.index, name, current, facts)
    ordered = tuple(documents[document.index] for document in source.documents)
    return dataclasses.replace(source, documents=ordered), tuple(changes)


def restore_facts(source: Source, changes: Sequence[Change]) -> Source:
    """Return the source with the values that it had before some changes, whatever they were.

    Parameters
    ----------
    source
        What was revised.
    changes
        What was set, in the order in which it was.

    Raises
    ------
    EntryNotFoundError
        There is no such document or axis any more.
    """
    documents = {document.index: document for document in source.documents}
    for change in reversed(changes):
        slug, slash, fact = change.fact.rpartition("/")
        index = (source.find(slug) if slash else source.document).index
        documents[index] = _restore(documents[index], fact, change.before)
    ordered = tuple(documents[document.index] for document in source.documents)
    return dataclasses.replace(source, documents=ordered)


def _restore(document: Document, name: str, value: Fact | None) -> Document:
    """Return the document with one value put back; None where there was none."""
    owner, dot, field = name.partition(".")
    put: dict[str, Any] = {field: value}
    if name == "title":
        return dataclasses.replace(document, title=str(value))
    if not dot:
        facts = {key: known for key, known in document.facts.items() if key != name}
        paths = {key: path for key, path in document.fact_paths.items() if key != name}
        put_back = {} if value is None else {name: value}
        return dataclasses.replace(document, facts=facts | put_back, fact_paths=paths)
    if owner == "brightness":
        put = {field: getattr(Brightness(), field) if value is None else value}
        before = dataclasses.replace(document.brightness or Brightness(), **put)
        kept = None if value is None and before == Brightness() else before
        return dataclasses.replace(document, brightness=kept)
    changed = dataclasses.replace(document.axis(owner), **put)
    changed = dataclasses.replace(changed, calibrated=changed.units != "pixel")
    axes = tuple(changed if axis.name == owner else axis for axis in document.axes)
    return dataclasses.replace(document, axes=axes)


def expand_facts(facts: Mapping[str, Fact]) -> dict[str, Fact]:
    """Return the facts with ``det`` and ``scan`` written as their two axes.

    Parameters
    ----------
    facts
        Values by name, as `apply_facts` takes them.

    Returns
    -------
    dict
        The same values, each under the name of one axis.

    Raises
    ------
    OptionError
        An axis is given by itself and with its pair, as two values.
    """
    expanded: dict[str, Fact] = {}
    for name, value in facts.items():
        owner, dot, field = name.rpartition(".")
        slug, slash, pair = owner.rpartition("/")
        several = _PAIRS.get(pair, (pair,)) if dot else ()
        for one in [f"{slug}{slash}{axis}.{field}" for axis in several] or [name]:
            if one in expanded and expanded[one] != value:
                msg = f"{one} is given as {expanded[one]!r} and as {value!r}"
                raise OptionError(msg, hint="give it once")
            expanded[one] = value
    return expanded


def _shift_offset(
    documents: dict[int, Document],
    index: int,
    name: str,
    before: Document,
    facts: Mapping[str, Fact],
) -> list[Change]:
    """Scale the offset of an axis with its scale, so that the pixel of zero stays where it is."""
    owner, _, field = name.rpartition(".")
    given = expand_facts(facts)
    if field != "scale" or owner.endswith("brightness") or f"{owner}.offset" in given:
        return []
    axis = before.axis(owner.rpartition("/")[2])
    if not axis.offset:
        return []
    offset = axis.offset * float(given[name]) / axis.scale
    documents[index], old, new = _set(documents[index], f"{axis.name}.offset", offset)
    return [Change(fact=f"{owner}.offset", before=old, after=new)]


def _set(document: Document, name: str, value: Fact) -> _Set:
    """Return the document with the value set, the value before, and the value now."""
    if name == "title":
        return dataclasses.replace(document, title=str(value)), document.title, str(value)
    owner, dot, field = name.partition(".")
    if dot and owner == "brightness":
        return _set_brightness(document, field, value)
    if dot:
        return _set_axis(document, owner, field, value)
    fact = _SETTABLE.get(name)
    if fact is None:
        known = ", ".join(sorted(_SETTABLE))
        hint = f"known: {known}, title, AXIS.scale, AXIS.offset, AXIS.units, brightness.scale …"
        raise OptionError(f"there is no fact {name!r}", hint=hint)
    if fact.type == "date":
        value = _date(name, str(value))
    elif fact.type == "text":
        value = str(value)
    elif not fact.or_text:
        value = _fact_number(fact, value)
    changed = dataclasses.replace(
        document,
        facts={**document.facts, name: value},
        fact_paths={**document.fact_paths, name: _BY_HAND},
    )
    return changed, document.facts.get(name), value


def _number(name: str, value: Fact, *, zero: bool = True) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or (not zero and number == 0):
        what = "a finite number" if zero else "a finite number other than 0"
        raise OptionError(f"{name} is {value!r}", hint=f"give {what}")
    return number


def _fact_number(fact: FactRow, value: Fact) -> float:
    """Return the number of a fact, which must be one that can be true."""
    number = _number(fact.name, value)
    if number < 0 and fact.least == "zero":
        raise OptionError(f"{fact.name} is {value!r}", hint="give a number of at least 0")
    if number <= 0 and fact.least == "above zero":
        raise OptionError(f"{fact.name} is {value!r}", hint="give a number above 0")
    return number


def _date(name: str, text: str) -> str:
    """Return a date, or date and time, which the catalog compares as text."""
    try:
        datetime.fromisoformat(text)
        known = _DATE.match(text) is not None
    except ValueError:
        known = False
    if not known:
        hint = "write it as 2026-01-15 or 2026-01-15T10:20:30"
        raise OptionError(f"{name} is {text!r}", hint=hint)
    return text


def _set_axis(document: Document, name: str, field: str, value: Fact) -> _Set:
    axis = document.axis(name)
    if field not in _AXIS_FIELDS:
        hint = f"it has {', '.join(f'{name}.{known}' for known in _AXIS_FIELDS)}"
        raise OptionError(f"an axis has no {field!r}", hint=hint)
    changes: dict[str, Any] = {field: _field_value(f"{name}.{field}", field, value)}
    if field == "units":
        changes["calibrated"] = changes["units"] != "pixel"
    elif field == "scale":
        changes["calibrated"] = axis.units != "pixel"
    axes: tuple[Axis, ...] = tuple(
        dataclasses.replace(other, **changes) if other.name == name else other
        for other in document.axes
    )
    return dataclasses.replace(document, axes=axes), getattr(axis, field), changes[field]


def _set_brightness(document: Document, field: str, value: Fact) -> _Set:
    if field not in _AXIS_FIELDS:
        raise OptionError(f"brightness has no {field!r}", hint="it has scale, offset, units")
    before = document.brightness
    changes: dict[str, Any] = {field: _field_value(f"brightness.{field}", field, value)}
    after = dataclasses.replace(before or Brightness(), **changes)
    changed = dataclasses.replace(document, brightness=after)
    return changed, None if before is None else getattr(before, field), changes[field]


def _field_value(name: str, field: str, value: Fact) -> Fact:
    if field == "units":
        text = str(value).strip()
        if not text:
            raise OptionError(f"{name} is empty", hint="write nm, 1/nm, mrad, eV or pixel")
        return text
    return _number(name, value, zero=field != "scale")
