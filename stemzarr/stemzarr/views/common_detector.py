"""What two detectors have in common: a pattern as another detector would have counted it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import UnsupportedDataError
from stemzarr.measure.tiles import tile_grid
from stemzarr.metadata.optics import DETECTOR_UNITS, mrad_per_inverse_nm
from stemzarr.metadata.units import is_calibrated
from stemzarr.model import Document
from stemzarr.views.virtual import find_center_pixel

__all__ = ["CommonTiles", "DetectorPlane", "find_common", "plane_of"]

_LEAST_SHARE = 0.5
"""Share of both detectors that has to be common to them."""
_WHOLE = 1e-6
"""How near in pixels an edge is to that of a pixel that it is taken for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorPlane:
    """Where the pixels of a detector are, as seen from the centre of the central disk."""

    shape: tuple[int, int]
    """(det_y, det_x) lengths."""
    center: tuple[float, float]
    """Centre of the disk (det_y, det_x) in pixels."""
    steps: tuple[float, float]
    """(det_y, det_x) distance from a pixel to the next one, in `units`; not 0."""
    units: str
    """``1/nm``; ``mrad`` where the beam energy is not known; ``pixel`` where it is not calibrated;
    others as they are."""


def plane_of(document: Document) -> DetectorPlane:
    """Return where the pixels of a scan's detector are.

    Raises
    ------
    UnsupportedDataError
        Its axes have units that do not go together.
    """
    y, x = document.axes[2:4]
    energy = document.facts.get("beam_energy_keV")
    if y.units != x.units:
        msg = f"det_y is in {y.units}, det_x in {x.units}"
        raise UnsupportedDataError(msg, hint="calibrate both in the same units")
    factor, units = 1.0, y.units if is_calibrated(y.units) else "pixel"
    if units in DETECTOR_UNITS:
        angular, factor = DETECTOR_UNITS[units]
        units = "mrad" if angular else "1/nm"
        if angular and isinstance(energy, int | float) and energy > 0:
            factor, units = factor / mrad_per_inverse_nm(float(energy)), "1/nm"
    scales = [1.0 if units == "pixel" else axis.scale * factor or factor for axis in (y, x)]
    return DetectorPlane(
        shape=(y.size, x.size),
        center=find_center_pixel(document),
        steps=(scales[0], scales[1]),
        units=units,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CommonTiles:
    """A pattern in the tiles of another detector."""

    sums: NDArray[np.float64]
    """(tile_y, tile_x) what the other detector would have counted, as far as it is common."""
    chosen: NDArray[np.bool_]
    """(tile_y, tile_x) the tiles that the pattern covers whole."""


def find_common(
    pattern: NDArray[np.float64], seen: DetectorPlane, other: DetectorPlane, side: int
) -> CommonTiles:
    """Return a pattern as another detector would have counted it.

    Parameters
    ----------
    pattern
        (det_y, det_x) counts.
    seen
        The detector that counted them; each pixel is taken for even.
    other
        The other detector. Both are laid upon each other by the centres of their disks.
    side
        Side of its tiles in pixels.

    Raises
    ------
    UnsupportedDataError
        They cannot be compared: they have other units, are not calibrated and differ, or have
        less than half of either in common.
    """
    _check_units(seen, other)
    grid = tile_grid(other.shape, side)
    total, inside, shares = pattern, [], np.ones(2)
    for axis in (0, 1):
        edges = np.minimum(np.arange(grid[axis] + 1) * side, other.shape[axis])
        length = seen.shape[axis]
        ratio = other.steps[axis] / seen.steps[axis]
        places = (edges - 0.5 - other.center[axis]) * ratio + seen.center[axis] + 0.5
        whole = np.rint(places)
        places = np.where(np.abs(places - whole) < _WHOLE, whole, places)
        there = (places >= 0) & (places <= length)
        both = there[1:] & there[:-1]
        shares *= [
            np.abs(np.diff(places))[both].sum() / length,
            np.diff(edges)[both].sum() / other.shape[axis],
        ]
        inside.append(both)
        total = _integrate(total, places, axis)
    if shares.min() < _LEAST_SHARE:
        msg = (
            f"its detector and that of the pattern have only {shares[1]:.0%} and"
            f" {shares[0]:.0%} of their area in common"
        )
        raise UnsupportedDataError(msg, hint="half of both is needed")
    return CommonTiles(sums=total, chosen=inside[0][:, np.newaxis] & inside[1])


def _check_units(seen: DetectorPlane, other: DetectorPlane) -> None:
    if seen.units != other.units:
        msg = f"its detector is in {other.units}, and that of the pattern in {seen.units}"
        hint = "set scale and units of the detector, and beam_energy_keV: stemzarr calibrate"
        raise UnsupportedDataError(msg, hint=hint)
    if seen.units == "pixel" and seen.shape != other.shape:
        msg = f"neither its detector of {other.shape} pixels nor that of the pattern is calibrated"
        raise UnsupportedDataError(
            msg, hint="calibrate them: detectors of different shapes are compared by their units"
        )


def _integrate(
    values: NDArray[np.float64], places: NDArray[np.float64], axis: int
) -> NDArray[np.float64]:
    """Return sums between neighbouring places along an axis; places are counted in pixel edges."""
    moved = np.moveaxis(values, axis, 0)
    before = np.concatenate([np.zeros((1, moved.shape[1])), np.cumsum(moved, axis=0)])
    cut = np.clip(places, 0, len(moved))
    first = np.minimum(cut.astype(np.intp), len(moved) - 1)
    share = (cut - first)[:, np.newaxis]
    until = before[first] * (1 - share) + before[first + 1] * share
    return np.moveaxis(np.abs(np.diff(until, axis=0)), 0, axis)
