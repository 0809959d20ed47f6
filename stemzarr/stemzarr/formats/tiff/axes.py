"""What the axes of a TIFF file mean: by ImageJ's or OME's record, or that of its instrument."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from stemzarr.formats.labelling import FoundAxis
from stemzarr.metadata.finding import finite_number, plain_text, positive_number
from stemzarr.metadata.units import is_calibrated, normalise_units

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage, TiffPageSeries

__all__ = ["IMAGEJ_LETTERS", "calibrate_axes", "resolution_note"]

_NAMES: Final = {"X": "x", "Y": "y", "Z": "z", "T": "time", "C": "channel", "S": "channel"}
_CENTIMETER: Final = 3
IMAGEJ_LETTERS: Final = {"\N{MICRO SIGN}": "\\u00B5", "\u00c5": "\\u00C5"}
"""Letters of units beyond ASCII, as ImageJ spells them out."""

_Record = Mapping[str, tuple[float, float, str]]
"""Step, offset and units by the letter of an axis."""


def calibrate_axes(
    series: TiffPageSeries,
    number: int,
    letters: str,
    axes: Sequence[FoundAxis],
    original: Mapping[str, Any],
) -> tuple[FoundAxis, ...]:
    """Return the axes of a series, named by their letters.

    Parameters
    ----------
    series
        tifffile's series.
    number
        Its place in the file.
    letters
        tifffile's letters of the axes, without that of the colours.
    axes
        The axes as RosettaSciIO gives them: an instrument's own record outranks the others.
    original
        RosettaSciIO's ``original_metadata``.
    """
    tiff = series.keyframe.parent
    if len(letters) >= 2 and _exchanged(tiff.flags, original) and letters[-2:] == "YX":  # noqa: PLR2004 - y, x
        high, wide = axes[-2:]
        axes = (
            *axes[:-2],
            replace(high, scale=wide.scale, offset=wide.offset, units=wide.units),
            replace(wide, scale=high.scale, offset=high.offset, units=high.units),
        )
    record = {**_imagej(series, tiff), **_ome(tiff, number)}
    return tuple(_axis(axis, letter, record) for axis, letter in zip(axes, letters, strict=True))


def _axis(axis: FoundAxis, letter: str, record: _Record) -> FoundAxis:
    named = replace(axis, name=_NAMES.get(letter, ""), navigate=None)
    known = is_calibrated(normalise_units(axis.units)) or axis.uneven
    if known:
        return named
    # RosettaSciIO gives the spacing of slices to times: docs/upstream/rosettasciio-tiff-times.md
    if letter not in record:
        return named if letter in "XY" else replace(named, scale=math.nan, offset=0.0)
    step, offset, units = record[letter]
    return replace(named, scale=step, offset=offset, units=units)


def _exchanged(flags: set[str], original: Mapping[str, Any]) -> bool:
    """Return whether RosettaSciIO gives the calibration of x to y, and that of y to x."""
    if "tvips" in flags:
        return "PixelSizeX" in (original.get("TVIPS") or {})
    return "fei" in flags or "sis" in flags


def _imagej(series: TiffPageSeries, tiff: TiffFile) -> _Record:
    """Return what ImageJ says: pixels per unit, ``spacing`` and ``finterval``."""
    stated = tiff.imagej_metadata if tiff.is_imagej else None
    if not stated:
        return {}
    unit = _unit(stated.get("unit"))
    record = {}
    for letter, tag, units in (
        ("X", "XResolution", unit),
        ("Y", "YResolution", _unit(stated.get("yunit")) or unit),
    ):
        step = _step(series.keyframe, tag)
        origin = finite_number(stated.get(f"{letter.lower()}origin")) or 0.0
        record[letter] = (step, -origin * step if origin else 0.0, units)
    spacing = finite_number(stated.get("spacing"))
    if spacing:
        record["Z"] = (spacing, 0.0, _unit(stated.get("zunit")) or unit)
    interval = positive_number(stated.get("finterval"))
    if interval:
        record["T"] = (interval, 0.0, _unit(stated.get("tunit")) or "s")
    return record


def _unit(value: object) -> str:
    """Return a unit as ImageJ writes it, with its letters beyond ASCII spelled out undone."""
    unit = plain_text(value)
    for letter, spelled in IMAGEJ_LETTERS.items():
        unit = unit.replace(spelled, letter)
    return unit


def _step(page: TiffPage, tag: str) -> float:
    """Return the unit over the pixels in it; NaN where the tag says nothing."""
    value = page.tags.valueof(tag)
    if not isinstance(value, tuple) or len(value) != 2 or 0 in value:  # noqa: PLR2004 - a fraction
        return math.nan
    return float(value[1] / value[0])


def _ome(tiff: TiffFile, number: int) -> _Record:
    """Return what OME-XML says of an image: physical sizes and the increment of time."""
    text = tiff.ome_metadata if tiff.is_ome else None
    if not text or "<!ENTITY" in text:
        return {}
    try:
        images = [one for one in ET.fromstring(text) if one.tag.rpartition("}")[2] == "Image"]  # noqa: S314 - no entities in it
    except ET.ParseError:
        return {}
    pixels = [one for image in images[number : number + 1] for one in image]
    record = {}
    for one in pixels:
        for letter, name, units in (
            *((side, f"PhysicalSize{side}", "\N{MICRO SIGN}m") for side in "XYZ"),
            ("T", "TimeIncrement", "s"),
        ):
            step = positive_number(one.get(name))
            if step is not None:
                record[letter] = (step, 0.0, one.get(f"{name}Unit") or units)
    return record


def resolution_note(page: TiffPage, axes: Sequence[FoundAxis]) -> tuple[str, ...]:
    """Return a note where an uncalibrated image has pixels per cm, which may be for print."""
    if any(is_calibrated(normalise_units(axis.units)) for axis in axes):
        return ()
    step = _step(page, "XResolution")
    if page.tags.valueof("ResolutionUnit") != _CENTIMETER or math.isnan(step):
        return ()
    note = (
        f"the file says {1 / step:.6g} pixels per cm, which may be for print and is not taken; "
        "stemzarr calibrate sets the scale"
    )
    return (note,)
