"""Regions of a scan and its detector, as text, resolved against calibrated axes."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from stemzarr.errors import OptionError
from stemzarr.model import Axis

__all__ = ["Bound", "Span", "format_roi", "parse_roi", "resolve_span"]

_DIMS = ("scan_y", "scan_x", "det_y", "det_x")
_EXAMPLE = "write scan_y=10:50,det_x=-1nm:1nm or det_x=-0.5/nm:0.5/nm"
_BOUND = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(\S*)\s*")

_LENGTHS = {"pm": 1e-12, "Å": 1e-10, "A": 1e-10, "nm": 1e-9, "µm": 1e-6, "um": 1e-6, "mm": 1e-3}
_UNITS = {name: ("length", factor) for name, factor in (_LENGTHS | {"m": 1.0}).items()}
_UNITS |= {f"1/{name}": ("per length", 1 / size) for name, (_, size) in list(_UNITS.items())}
_UNITS |= {"rad": ("angle", 1.0), "mrad": ("angle", 1e-3), "deg": ("angle", math.pi / 180)}
# In pixels. DM files keep scales in single precision, in which 2.1 nm is a little less than the
# 2.1 that people write; at the far end of a large axis the two are some 1e-4 of a pixel apart.
_SLACK = 1e-3


@dataclass(frozen=True, slots=True)
class Bound:
    """One end of a region."""

    value: float
    """Where the end is."""
    units: str = "pixel"
    """Units of `value`; ``pixel`` counts from 0, negative numbers from the end."""

    def __str__(self) -> str:
        """Return the bound as `parse_roi` reads it."""
        number = repr(self.value).removesuffix(".0")
        if self.units == "pixel":
            return number
        joined = _BOUND.fullmatch(number + self.units)
        # Units such as 1/nm would lengthen the number that they follow.
        return f"{number}{'' if joined and joined[2] == self.units else ' '}{self.units}"


@dataclass(frozen=True, slots=True)
class Span:
    """The part of one axis that a view keeps."""

    dim: str
    """Name of the dim."""
    start: Bound | None
    """First end, None for the begin of the axis."""
    stop: Bound | None
    """Last end, None for the end of the axis."""

    def __str__(self) -> str:
        """Return the span as `parse_roi` reads it."""
        return f"{self.dim}={self.start or ''}:{self.stop or ''}"


def parse_roi(text: str) -> tuple[Span, ...]:
    """Return the spans of a region such as ``scan_y=10:50,det_x=-1nm:1nm``.

    Bare numbers are pixels and select as a Python slice does: the last one is left out, negative
    ones count from the end. Numbers with units select every pixel whose centre is between the
    two, ends included; a thousandth of a pixel does not count. ``0.1/nm`` means ``0.1 1/nm``.
    Either end may be missing.

    Raises
    ------
    OptionError
        The text has another form, names another dim, or names one twice.

    Examples
    --------
    >>> [str(span) for span in parse_roi("scan_y=10:50, det_x=-1nm:")]
    ['scan_y=10:50', 'det_x=-1nm:']
    """
    spans = tuple(_parse_span(part) for part in text.split(",") if part.strip())
    names = [span.dim for span in spans]
    if len(set(names)) < len(names):
        msg = f"the region {text!r} names a dim twice"
        raise OptionError(msg, hint=_EXAMPLE)
    return tuple(sorted(spans, key=lambda span: _DIMS.index(span.dim)))


def format_roi(spans: tuple[Span, ...]) -> str:
    """Return spans as the text that `parse_roi` reads."""
    return ",".join(str(span) for span in spans)


def _parse_span(text: str) -> Span:
    name, equals, ends = text.partition("=")
    first, colon, last = ends.partition(":")
    name = name.strip()
    if not equals or not colon or name not in _DIMS:
        msg = f"{text.strip()!r} is not part of a region"
        raise OptionError(msg, hint=f"{_EXAMPLE}; the dims are {', '.join(_DIMS)}")
    return Span(name, _parse_bound(first), _parse_bound(last))


def _parse_bound(text: str) -> Bound | None:
    if not text.strip():
        return None
    match = _BOUND.fullmatch(text)
    if match is None:
        msg = f"{text.strip()!r} is not an end of a region"
        raise OptionError(msg, hint=_EXAMPLE)
    value, units = float(match[1]), match[2].replace("\u03bc", "µ") or "pixel"
    if not math.isfinite(value):
        msg = f"{text.strip()!r} is out of range"
        raise OptionError(msg, hint=_EXAMPLE)
    if units in ("px", "pixels"):
        units = "pixel"
    if units.startswith("/"):
        units = f"1{units}"
    if units == "pixel" and value != int(value):
        msg = f"{text.strip()!r} is not a whole number of pixels"
        raise OptionError(msg, hint=_EXAMPLE)
    return Bound(value, units)


def resolve_span(span: Span, axis: Axis) -> tuple[int, int]:
    """Return first pixel and one past the last pixel of `axis` that are in `span`.

    Raises
    ------
    OptionError
        Nothing of the axis is there, or the units do not fit the axis.
    """
    low, high = span.start, span.stop
    if axis.scale < 0 and not any(end is not None and end.units == "pixel" for end in (low, high)):
        low, high = high, low
    start, stop = _first(low, axis), _past_last(high, axis)
    if stop <= start:
        values = axis.values()
        msg = f"the region {span} holds no pixel of {axis.name}"
        where = f"{axis.size} pixels from {values[0]:.6g} to {values[-1]:.6g} {axis.units}"
        raise OptionError(msg, hint=f"the axis has {where}")
    return start, stop


def _first(bound: Bound | None, axis: Axis) -> int:
    if bound is None:
        return 0
    if bound.units == "pixel":
        return slice(int(bound.value), None).indices(axis.size)[0]
    return max(0, math.ceil(_position(bound, axis) - _SLACK))


def _past_last(bound: Bound | None, axis: Axis) -> int:
    if bound is None:
        return axis.size
    if bound.units == "pixel":
        return slice(None, int(bound.value)).indices(axis.size)[1]
    return min(axis.size, math.floor(_position(bound, axis) + _SLACK) + 1)


def _position(bound: Bound, axis: Axis) -> float:
    """Return where a calibrated bound is on the axis, in pixels."""
    kind, factor = _UNITS.get(bound.units, (bound.units, 1.0))
    axis_kind, axis_factor = _UNITS.get(axis.units, (axis.units, 1.0))
    if kind != axis_kind:
        msg = f"{bound} does not fit the axis {axis.name}, which is in {axis.units}"
        hint = "give pixels" if axis.units == "pixel" else f"give pixels or {axis.units}"
        raise OptionError(msg, hint=hint)
    place = (bound.value * factor / axis_factor - axis.offset) / axis.scale
    # So far outside that it may be infinite, it is just outside.
    return min(max(place, -1.0), float(axis.size))
