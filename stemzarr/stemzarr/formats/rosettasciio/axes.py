"""Axes as RosettaSciIO's plugins give them, believed only where the file says so.

A plugin that finds no calibration puts 1, -1 or 0 there, some with units. What its format's own
record says is read here; where that says nothing, the axis is not calibrated, and a note says why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from stemzarr.formats.labelling import FoundAxis
from stemzarr.formats.rosettasciio.mrc_axes import correct_mrc_axes
from stemzarr.metadata.clean import clean_json
from stemzarr.metadata.finding import finite_number, offset_or_nan
from stemzarr.metadata.units import is_calibrated, normalise_units

__all__ = ["Axes", "find_axes"]

_UNKNOWN_STEP: Final = -1.0
"""What microscopes' programs, and RosettaSciIO after them, write for a step that is not known."""

Axes = tuple[tuple[FoundAxis, ...], tuple[str, ...]]
"""Axes in the order of the disk, and notes on them."""


def find_axes(plugin: str, path: Path, signal: Mapping[str, Any], shape: Sequence[int]) -> Axes:
    """Return the axes of a signal in the order of the array, and what is to be said of them.

    Parameters
    ----------
    plugin
        RosettaSciIO's name of the format.
    path
        The file, for records that are located beside it.
    signal
        What the plugin gave: ``axes``, ``original_metadata`` …
    shape
        Shape of its array; axes that do not fit it are left bare.
    """
    axes, notes = _described(signal.get("axes") or (), shape)
    correct = _CORRECTIONS.get(plugin)
    if correct is None:
        return axes, notes
    original = signal.get("original_metadata") or {}
    corrected, more = correct(path, original, axes)
    return corrected, (*notes, *more)


def _described(described: Sequence[Mapping[str, Any]], shape: Sequence[int]) -> Axes:
    if len(described) != len(shape):
        bare = tuple(FoundAxis(size=size) for size in shape)
        if not described:
            return bare, ()
        wrong = f"RosettaSciIO names {len(described)} axes of {len(shape)}: none is calibrated here"
        return bare, (wrong,)
    places = [axis.get("index_in_array", dim) for dim, axis in enumerate(described)]
    ordered = [
        axis for _, _, axis in sorted(zip(places, range(len(shape)), described, strict=True))
    ]
    found = [
        _axis(axis, dim, size) for dim, (axis, size) in enumerate(zip(ordered, shape, strict=True))
    ]
    return tuple(axis for axis, _ in found), tuple(note for _, note in found if note)


def _axis(described: Mapping[str, Any], dim: int, size: int) -> tuple[FoundAxis, str]:
    """Return one axis, and a note where its calibration cannot be kept."""
    bare = FoundAxis(
        size=size,
        name=_text(described.get("name")),
        units=_text(described.get("units")),
        navigate=bool(described["navigate"]) if "navigate" in described else None,
    )
    if "axis" in described:
        return bare.at(described["axis"]), ""
    if "expression" in described:
        uneven = f"positions by the expression {described['expression']}"
        return replace(bare, scale=float("nan"), uneven=uneven), ""
    label = repr(bare.name) if bare.name else str(dim)
    scale = finite_number(clean_json(described.get("scale")))
    offset = offset_or_nan(described.get("offset"))
    note, calibrated = "", is_calibrated(normalise_units(bare.units)) and size > 1
    if not scale and calibrated:
        note = f"axis {label} has units ({bare.units}) and no step, so it is not calibrated here"
    elif scale == _UNKNOWN_STEP and not offset and calibrated:
        note = f"axis {label} has a step of -1, which stands for one that is not known"
        scale = None
    known = replace(bare, scale=float("nan") if scale is None else scale, offset=offset)
    return known, note


def _text(value: object) -> str:
    return value if isinstance(value, str) and not value.startswith("<") else ""


def _blockfile(_path: Path, original: Mapping[str, Any], axes: tuple[FoundAxis, ...]) -> Axes:
    """Return the axes of a ``.blo``: 0 pixels per 100 cm say that the camera is not calibrated."""
    header = original.get("blockfile_header") or {}
    if finite_number(clean_json(header.get("SDP"))):
        return axes, ()
    bare = tuple(
        replace(axis, scale=float("nan")) if axis.name in ("dx", "dy") else axis for axis in axes
    )
    return bare, ()


def _quadstar(_path: Path, _original: Mapping[str, Any], axes: tuple[FoundAxis, ...]) -> Axes:
    """Return the axes of Quadstar's files: 1 s is given where there is no time."""
    return tuple(
        replace(axis, scale=float("nan")) if (axis.units, axis.scale) == ("s", 1.0) else axis
        for axis in axes
    ), ()


_CORRECTIONS: Final[dict[str, Callable[[Path, Mapping[str, Any], tuple[FoundAxis, ...]], Axes]]] = {
    "Blockfile": _blockfile,
    "MRC": correct_mrc_axes,
    "Quadstar": _quadstar,
}
"""What is known better than by a plugin, by its name."""
