"""Facts formatted for people: the unit beside the value instead of in the name."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping

from stemzarr.metadata.facts import FACTS

__all__ = [
    "RECTANGLE",
    "format_bytes",
    "format_recovered",
    "format_rectangle",
    "format_value",
    "label",
]

RECTANGLE = ("scan_rect_top", "scan_rect_bottom", "scan_rect_left", "scan_rect_right")
"""Where a scan is in its survey image, in pixels of it."""

_DEGREE = "°"
_SIGNS = {"deg": _DEGREE}
_TIMES = {"magnification": "×"}
_UNITS = {f"_{fact.unit}": _SIGNS.get(fact.unit, fact.unit) for fact in FACTS if fact.unit}
_MINUTES = len("2026-11-22T12:00")
_STEP = 1000
_LARGE, _MILLION, _LARGEST = 10_000, 1_000_000, 10**15
_SMALLER = ((1e3, "ms"), (1e6, "µs"))


def _ending(name: str) -> str:
    return next((ending for ending in _UNITS if name.endswith(ending)), "")


def label(name: str) -> str:
    """Return the name of a fact in words.

    Examples
    --------
    >>> label("beam_energy_keV"), label("acquired")
    ('beam energy', 'acquired')
    """
    return name.removesuffix(_ending(name)).replace("_", " ")


def format_value(name: str, value: object) -> str:
    """Return the value of a fact as a person writes it.

    Six digits; of a quantity with its unit, thousands apart; dates to the minute in local time.

    Examples
    --------
    >>> format_value("beam_energy_keV", 300.0), format_value("exposure_s", 0.0005)
    ('300 keV', '0.5 ms')
    >>> format_value("tilt_alpha_deg", -0.0), format_value("magnification", 57000.0)
    ('0°', '57,000 ×')
    >>> format_value("acquired", "2026-01-15T10:20:30"), format_value("complete", 1)
    ('2026-01-15 10:20', 'yes')
    """
    if name in ("acquired", "ingested"):
        return _local(str(value))[:_MINUTES].replace("T", " ")
    if name == "complete":
        return "yes" if value else "no, the source ends early"
    unit = _TIMES.get(name) or _UNITS.get(_ending(name), "")
    if unit == "s" and isinstance(value, int | float):
        for factor, smaller in _SMALLER:
            if 0.1 / factor <= value < 100 / factor:
                return f"{_number(value * factor)} {smaller}"
    if not unit:
        return _number(value)
    return f"{_quantity(value)}{'' if unit == _DEGREE else ' '}{unit}"


def format_rectangle(facts: Mapping[str, object]) -> str | None:
    """Return where a scan is in its survey image; None where that is not known.

    Examples
    --------
    >>> format_rectangle(dict(zip(RECTANGLE, (32, 96, 40, 104))) | {"survey_document": "survey"})
    'rows 32 to 96, columns 40 to 104 of survey'
    """
    edges = [facts.get(name) for name in RECTANGLE]
    if not all(isinstance(edge, int | float) for edge in edges):
        return None
    top, bottom, left, right = map(_number, edges)
    where = facts.get("survey_document", "a survey image that is not in the file")
    return f"rows {top} to {bottom}, columns {left} to {right} of {where}"


def format_recovered(counts: tuple[int, int]) -> str:
    """Return how many patterns of how many a salvage recovered.

    Examples
    --------
    >>> format_recovered((2265, 4096))
    '2,265 of 4,096 patterns; the rest is masked'
    """
    return f"{counts[0]:,} of {counts[1]:,} patterns; the rest is masked"


def _local(date: str) -> str:
    """Return a date with a time zone in that of this machine, any other as it is."""
    try:
        moment = dt.datetime.fromisoformat(date)
    except ValueError:
        return date
    return date if moment.tzinfo is None else moment.astimezone().isoformat()


def _number(value: object) -> str:
    if isinstance(value, float) and math.isfinite(value):
        return f"{value + 0.0:.6g}"  # a negative zero is none
    return str(value)


def _quantity(value: object) -> str:
    """Return a number that has a unit: from ten thousand on with its thousands apart."""
    if not isinstance(value, int | float) or not _LARGE <= abs(value) < _LARGEST:
        return _number(value)
    return (
        f"{value:,.6g}" if isinstance(value, float) and abs(value) < _MILLION else f"{value:,.0f}"
    )


def format_bytes(count: float) -> str:
    """Return a size with three digits and a decimal unit.

    Examples
    --------
    >>> format_bytes(2_147_483_648), format_bytes(999)
    ('2.15 GB', '999 B')
    """
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if abs(value) < _STEP:
            return f"{value:.0f} B" if unit == "B" else f"{value:.3g} {unit}"
        value /= _STEP
    return f"{value:.3g} TB"
