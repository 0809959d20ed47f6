"""Facts of an acquisition from metadata in HyperSpy's arrangement."""

from __future__ import annotations

import datetime as dt
import math
import re
import zoneinfo
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from stemzarr.metadata.facts import FACTS, FactRow, Place, facts_in, rank_last
from stemzarr.metadata.units import unit_factor
from stemzarr.model import Fact

__all__ = [
    "Facts",
    "facts_below",
    "facts_from_hyperspy",
    "find_numbers",
    "finite_number",
    "get_path",
    "iso_datetime",
    "number_or_nan",
    "offset_or_nan",
    "plain_text",
    "positive_number",
    "split_facts",
]

Facts = Mapping[str, tuple[Fact, str]]
"""Facts by their names, each with the path of its tag in the source's metadata."""

_ANY: Final = "TEM."
"""Begins the paths that are below any of the instruments."""
_LAST: Final = ("scan_rotation_deg", "exposure_s", "dwell_time_s", "spot_size")
"""What stores of HyperSpy's files have behind all other numbers, so that their bytes stay."""

_INSTRUMENTS: Final = (
    "Acquisition_instrument.TEM",
    "Acquisition_instrument.SEM",
    "TEM",  # as HyperSpy's files of versions 1.0 and 1.1 have it
    "SEM",
)


def facts_from_hyperspy(
    metadata: Mapping[str, Any], root: str = "metadata"
) -> tuple[dict[str, Fact], dict[str, str]]:
    """Return what is known of the acquisition, and where each fact is.

    Parameters
    ----------
    metadata
        A tree such as HyperSpy's ``signal.metadata``: ``General``, ``Acquisition_instrument`` …
    root
        Path of that tree in the source's metadata.

    Returns
    -------
    facts : dict
        Under the names of the store schema, in the units that the names bear. A value that is
        absent, no number, or zero where nothing can be zero is left out.
    paths : dict
        For each fact, the path of the tag, its parts divided by ``/``.
    """
    facts: dict[str, Fact] = {}
    paths: dict[str, str] = {}
    # What a user changed in HyperSpy outranks what stemzarr wrote beside it.
    hyperspy = (*_numbers(metadata), *_texts(metadata), *_date(metadata))
    for name, value, path in (*hyperspy, *_ours(metadata)):
        if name not in facts:
            facts[name] = value
            paths[name] = "/".join((root, *path.split(".")))
    return facts, paths


def _ours(metadata: Mapping[str, Any]) -> Iterator[tuple[str, Fact, str]]:
    """Yield the facts that stemzarr itself wrote beside HyperSpy's own metadata."""
    tree = metadata.get("stemzarr")
    if not isinstance(tree, Mapping):
        return
    for fact in FACTS:
        stated = tree.get(fact.name)
        value = finite_number(stated) if fact.type == "number" else stated
        if isinstance(value, bool) or fact.type == "flag":
            continue
        if isinstance(value, str | int | float) and value != "":
            yield fact.name, value, f"stemzarr.{fact.name}"


def _numbers(metadata: Mapping[str, Any]) -> Iterator[tuple[str, Fact, str]]:
    known = sorted(facts_in("hyperspy", "number"), key=lambda pair: rank_last(pair[0], _LAST))
    for instrument in (*_INSTRUMENTS, None):
        for fact, place in known:
            for path in _paths(place, instrument):
                unit = str(get_path(metadata, f"{path}_units"))
                value = read_number(fact, get_path(metadata, path), unit)
                if value is not None:
                    yield fact.name, value, path


def _paths(place: Place, instrument: str | None) -> Iterator[str]:
    """Iterate over the paths below an instrument, or over those that are below none."""
    for path in place.paths:
        if path.startswith(_ANY) and instrument is not None:
            yield f"{instrument}.{path.removeprefix(_ANY)}"
        elif not path.startswith(_ANY) and instrument is None:
            yield path


def read_number(fact: FactRow, value: object, unit: str = "") -> float | None:
    """Return a number of a file in the unit of its fact; None where it says nothing."""
    number = finite_number(value) if fact.least == "any" else positive_number(value)
    return None if number is None else number * unit_factor(unit, fact.unit)


def find_numbers(
    format_name: str, get: Callable[[str], object]
) -> Iterator[tuple[str, float, str]]:
    """Iterate over the numbers that a file of a format has: name, value, path.

    Parameters
    ----------
    format_name
        Format as `FactRow.found` names it.
    get
        Gives what the file has at a path, None where it has nothing.
    """
    for fact, place in facts_in(format_name, "number"):
        for path in place.paths:
            value = read_number(fact, get(path), place.unit)
            if value is not None:
                yield fact.name, value, path
                break


def _texts(metadata: Mapping[str, Any]) -> Iterator[tuple[str, Fact, str]]:
    for fact, place in facts_in("hyperspy", "text"):
        for path in place.paths:
            value = get_path(metadata, path)
            if isinstance(value, str) and value.strip():
                yield fact.name, value.strip(), path


def _date(metadata: Mapping[str, Any]) -> Iterator[tuple[str, Fact, str]]:
    for root in ("General.", ""):
        parts = [get_path(metadata, f"{root}{part}") for part in ("date", "time", "time_zone")]
        acquired = iso_datetime(*(part if isinstance(part, str) else "" for part in parts))
        if acquired:
            yield "acquired", acquired, f"{root}date"


def get_path(tree: Mapping[str, Any], path: str) -> object:
    """Return what is at a dotted path, None where nothing does."""
    value: Any = tree
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value


def split_facts(facts: Facts) -> tuple[dict[str, Fact], dict[str, str]]:
    """Return the values of facts, and the paths of the tags of those that have one."""
    return (
        {name: value for name, (value, _) in facts.items()},
        {name: place for name, (_, place) in facts.items() if place},
    )


def facts_below(path: str, facts: Facts) -> dict[str, tuple[Fact, str]]:
    """Return facts with the paths of their tags below another path."""
    return {name: (value, f"{path}/{place}") for name, (value, place) in facts.items()}


def finite_number(value: object) -> float | None:
    """Return a finite number from a number, its text, or an array of one; None otherwise."""
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) and len(value) == 1:
        value = value[0]
    if isinstance(value, bool) or value is None:
        return None
    try:
        number = float(value)  # type: ignore[arg-type]  # whatever it is, float says so
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def positive_number(value: object) -> float | None:
    """Return a number above zero: instruments write 0 for what they do not know."""
    number = finite_number(value)
    return number if number is not None and number > 0 else None


def number_or_nan(value: object) -> float:
    """Return a finite number, NaN where there is none: a step that is not known."""
    number = finite_number(value)
    return math.nan if number is None else number


def offset_or_nan(value: object) -> float:
    """Return an offset: 0 where none is said, NaN where what is said is no finite number."""
    return 0.0 if value is None else number_or_nan(value)


def plain_text(value: object) -> str:
    """Return text, nothing where a value is none."""
    return value if isinstance(value, str) else ""


def iso_datetime(date: str, time: str = "", zone: str = "") -> str:
    """Return date and time as ISO 8601, the date alone where the time is unreadable.

    Returns
    -------
    str
        Empty where the date is not an ISO date: a guess would be an invention.

    Examples
    --------
    >>> iso_datetime("2015-12-01", "15:43:09.828000", "UTC")
    '2015-12-01T15:43:09.828000+00:00'
    >>> iso_datetime("2015-12-01", "15:43:09", "-07:00")
    '2015-12-01T15:43:09-07:00'
    >>> iso_datetime("12/01/2015")
    ''
    """
    try:
        day = dt.date.fromisoformat(date.strip())
    except ValueError:
        return ""
    # nanoseconds, which some detectors count, are more than datetime holds
    clock = re.sub(r"(\.\d{6})\d+", r"\1", time.strip())
    try:
        moment = dt.time.fromisoformat(clock)
    except ValueError:
        return day.isoformat()
    combined = dt.datetime.combine(day, moment)
    if combined.tzinfo is None:
        combined = combined.replace(tzinfo=_zone(zone.strip()))
    return combined.isoformat()


def _zone(name: str) -> dt.tzinfo | None:
    """Return the zone of an offset such as ``+01:00`` or a name such as ``Europe/London``."""
    if name.upper() in ("UTC", "Z"):
        return dt.UTC
    try:
        return dt.datetime.strptime(name, "%z").tzinfo if name else None
    except ValueError:
        pass
    try:
        return zoneinfo.ZoneInfo(name)
    except (ValueError, OSError):  # no such zone, or a system that knows none
        return None
