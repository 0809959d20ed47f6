"""Facts formatted for people: the unit beside the value instead of in the name."""

from __future__ import annotations

import datetime as dt
import math

from stemzarr.metadata.facts import FACTS

__all__ = ["format_bytes", "format_value", "label"]

_SIGNS = {"deg": "°"}
_UNITS = {f"_{fact.unit}": _SIGNS.get(fact.unit, fact.unit) for fact in FACTS if fact.unit}
_MINUTES = len("2026-11-22T12:00")
_STEP = 1000
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
    """Return the value of a fact: six digits, its unit, dates to the minute in local time.

    Examples
    --------
    >>> format_value("beam_energy_keV", 300.0), format_value("exposure_s", 0.0005)
    ('300 keV', '0.5 ms')
    >>> format_value("tilt_alpha_deg", -0.0)
    '0 °'
    >>> format_value("acquired", "2026-01-15T10:20:30"), format_value("complete", 1)
    ('2026-01-15 10:20', 'yes')
    """
    if name in ("acquired", "ingested"):
        return _local(str(value))[:_MINUTES].replace("T", " ")
    if name == "complete":
        return "yes" if value else "no, the source ends early"
    unit = _UNITS.get(_ending(name), "")
    if unit == "s" and isinstance(value, int | float):
        for factor, smaller in _SMALLER:
            if 0.1 / factor <= value < 100 / factor:
                return f"{_number(value * factor)} {smaller}"
    return f"{_number(value)} {unit}".rstrip()


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
