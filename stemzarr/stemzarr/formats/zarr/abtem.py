"""Axes and facts of the Zarr folders that abTEM writes.

The attributes of the root hold, for ``array0``, ``array1`` …, the arguments of the object that it
was: ``kwargs0`` with a description of each ensemble axis and the sampling of the last two, which
``type0`` says the meaning of (``ComputableList.to_zarr`` in abTEM's ``array.py``).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from stemzarr.formats.labelling import FoundAxis
from stemzarr.metadata.finding import (
    Facts,
    offset_or_nan,
    plain_text,
    positive_number,
)

__all__ = ["abtem_axes", "abtem_facts"]

_UNITS: Final = {"Images": "Å", "DiffractionPatterns": "1/Å"}
"""Units of the last two dims, by the type of the object."""
_X_FIRST: Final = "abTEM keeps x before y: the rows here are its x"


def _arguments(root: Mapping[str, Any], name: str) -> tuple[Mapping[str, Any], str]:
    match = re.fullmatch(r"array(\d+)", name)
    if match is None:
        return {}, ""
    arguments = root.get(f"kwargs{match[1]}")
    kind = root.get(f"type{match[1]}")
    return (arguments, str(kind)) if isinstance(arguments, Mapping) else ({}, "")


def abtem_axes(
    root: Mapping[str, Any], name: str, shape: tuple[int, ...]
) -> tuple[tuple[FoundAxis, ...], tuple[str, ...]]:
    """Return the axes of an array and notes; nothing where abTEM did not write it.

    Parameters
    ----------
    root
        The attributes of the root.
    name
        Path of the array.
    shape
        Its lengths.
    """
    arguments, kind = _arguments(root, name)
    listed = arguments.get("ensemble_axes_metadata")
    sampling = arguments.get("sampling")
    if kind not in _UNITS or not isinstance(listed, list) or len(listed) + 2 != len(shape):
        return (), ()
    if not isinstance(sampling, list | tuple) or len(sampling) != 2:  # noqa: PLR2004 - x, y
        return (), ()
    ensemble = [
        _ensemble(one if isinstance(one, Mapping) else {}, size)
        for one, size in zip(listed, shape, strict=False)
    ]
    shifted = kind == "DiffractionPatterns" and arguments.get("fftshift") is True
    ordered = kind == "Images" or shifted
    base = [
        _base(label, step, size, _UNITS[kind], shifted=shifted, ordered=ordered)
        for label, step, size in zip("xy", sampling, shape[-2:], strict=True)
    ]
    return (*ensemble, *base), (_X_FIRST,)


def _base(
    label: str, step: object, size: int, units: str, *, shifted: bool, ordered: bool
) -> FoundAxis:
    """Return one of the last two axes: from its middle on where it is shifted."""
    scale = positive_number(step)
    if scale is None or not ordered:
        uneven = "" if ordered else "positions in the order of a Fourier transform"
        return FoundAxis(size=size, name=label, scale=math.nan, units=units, uneven=uneven)
    offset = -(size // 2) * scale if shifted else 0.0
    return FoundAxis(size=size, name=label, scale=scale, offset=offset, units=units)


def _ensemble(described: Mapping[str, Any], size: int) -> FoundAxis:
    return FoundAxis(
        size=size,
        name=plain_text(described.get("label")),
        scale=positive_number(described.get("sampling")) or math.nan,
        offset=offset_or_nan(described.get("offset")),
        units=plain_text(described.get("units")),
    )


def abtem_facts(root: Mapping[str, Any], name: str) -> Facts:
    """Return the beam energy (abTEM: eV) of an array and its path, nothing where it has none."""
    metadata = _arguments(root, name)[0].get("metadata")
    energy = positive_number(metadata.get("energy")) if isinstance(metadata, Mapping) else None
    if energy is None:
        return {}
    place = f"@kwargs{name.removeprefix('array')}/metadata/energy"
    return {"beam_energy_keV": (energy / 1e3, place)}
