"""Centre of mass of every pattern, and the deflection of the beam that it tells (DPC).

The convention is that of LiberTEM: with ``flip`` the y component is negated first; then the
vectors are rotated by ``rotation`` degrees::

    com_y' =  cos(rotation) * com_y + sin(rotation) * com_x
    com_x' = -sin(rotation) * com_y + cos(rotation) * com_x

y points down on the screen and x to the right, so that a positive rotation turns vectors clockwise:
after 90 degrees one to the right, (y, x) = (0, 1), is one down, (1, 0). py4DSTEM's rotation has the
opposite sign, and a transposition in place of the flip.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import OptionError
from stemzarr.measure.tiles import sum_moments, tile_side
from stemzarr.model import Document
from stemzarr.pixels.resources import Resources
from stemzarr.views.counted import check_scan, map_counts
from stemzarr.views.detectors import make_detector
from stemzarr.views.slabs import Part
from stemzarr.views.virtual import find_center, find_center_pixel

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "Correction",
    "center_of_mass",
    "correct",
    "deflection",
    "find_correction",
    "measure_shifts",
]

Field = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Components (y, x) of vectors over the scan, each (scan_y, scan_x)."""
_BINS = 5
_LEAST = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """How vectors on the detector become vectors in the scan."""

    rotation: float = 0.0
    """Degrees, see the top of this module."""
    flip: bool = False
    """Whether the y component is negated before that."""


def center_of_mass(
    document: Document,
    *,
    center: tuple[float, float] | None = None,
    correction: Correction | None = None,
    resources: Resources | None = None,
    **detector: Any,  # noqa: ANN401 - as make_detector takes it
) -> xr.Dataset:
    """Return the centre of mass of every pattern, as its shift from a centre.

    Parameters
    ----------
    document
        A 4D scan.
    center
        What shifts are counted from, (det_y, det_x) in the units of the detector axes; by default
        the centre of the central disk. A ring is around it, too.
    correction
        Rotation and flip of the shifts; none by default.
    resources
        Threads, memory and progress of the pass over the pixels. The whole detector needs none
        where a store keeps the centres of mass.
    **detector
        `inner`, `outer`, `rect` or `mask`: the pixels that count, all by default.

    Returns
    -------
    xarray.Dataset
        ``com_y`` and ``com_x`` (scan_y, scan_x) float64 in the units of the detector axes, NaN
        where a pattern is empty; attributes say centre, detector and correction.

    Raises
    ------
    OptionError
        The detector holds no pixel, or vectors are to be rotated whose components have different
        units.
    UnsupportedDataError
        The document is not a 4D scan.
    """
    (y, x), attributes = measure_shifts(
        document, center=center, correction=correction, resources=resources, **detector
    )
    return label_field(document, {"com_y": y, "com_x": x}, attributes)


def measure_shifts(
    document: Document,
    *,
    center: tuple[float, float] | None = None,
    correction: Correction | None = None,
    resources: Resources | None = None,
    **detector: Any,  # noqa: ANN401 - as make_detector takes it
) -> tuple[Field, dict[str, Any]]:
    """Return the values of `center_of_mass` without labels, and its attributes.

    Raises
    ------
    OptionError, UnsupportedDataError
        As `center_of_mass` says.
    """
    check_scan(document)
    chosen = correction or Correction()
    origin = find_center(document) if center is None else center
    if any(value is not None for value in detector.values()) or document.measured is None:
        found = make_detector(document, center=origin, **detector)
        mask, attributes = found.mask, found.attributes
        pixels = _measure(document, mask, resources or Resources())
    elif {"com_y", "com_x"} <= set(document.measured.names):
        attributes = {"center": list(origin)}
        shifts, middle = document.measured, find_center_pixel(document)
        pixels = (shifts.load("com_y") + middle[0], shifts.load("com_x") + middle[1])
    else:
        attributes = {"center": list(origin)}
        mask = np.ones(document.shape[2:], bool)
        pixels = _measure(document, mask, resources or Resources())
    axes = document.axes[2:]
    y, x = (
        axis.offset + place * axis.scale - middle
        for axis, place, middle in zip(axes, pixels, origin, strict=True)
    )
    if chosen != Correction() and axes[0].units != axes[1].units:
        msg = f"det_y is in {axes[0].units}, det_x in {axes[1].units}"
        raise OptionError(msg, hint="calibrate both in the same units to rotate vectors")
    y, x = correct((y, x), chosen)
    return (y, x), attributes | {"rotation_deg": chosen.rotation, "flip": int(chosen.flip)}


def _measure(document: Document, mask: NDArray[np.bool_], resources: Resources) -> Field:
    """Return the centres of mass of the pixels under a mask, in pixels."""
    y, x = (np.full(document.shape[:2], np.nan) for _ in range(2))
    everything, side = bool(mask.all()), tile_side(mask.shape)

    def measure(values: NDArray[np.float64], place: tuple[slice, ...]) -> Part:
        if not everything:
            values *= mask
        patterns = values.reshape(-1, *mask.shape)
        tiles, moments = sum_moments(patterns, side)
        sums = tiles.sum(axis=(1, 2))
        means = np.full((len(sums), 2), np.nan)
        filled = (sums != 0)[:, np.newaxis]
        np.divide(moments, sums[:, np.newaxis], out=means, where=filled)
        return place, means.T.reshape(2, *values.shape[:2])

    for place, found in map_counts(measure, document, resources):
        y[place], x[place] = found
    return y, x


def correct(field: Field, correction: Correction) -> Field:
    """Return vectors flipped and rotated."""
    y, x = field
    if correction.flip:
        y = -y
    angle = math.radians(correction.rotation)
    cosine, sine = math.cos(angle), math.sin(angle)
    return cosine * y + sine * x, cosine * x - sine * y


def find_correction(field: Field, steps: tuple[float, float] = (1.0, 1.0)) -> Correction:
    """Return the rotation and flip after which a field has least curl.

    A purely electrostatic field has none. Of the two rotations 180 degrees apart that give the
    same curl, the one is taken by which the divergence has its longer tail at negative values: the
    beam is deflected towards atoms. Both rules are LiberTEM's (`guess_corrections`), the angle
    follows from the sums of squares instead of a search in steps of 1 degree.

    Parameters
    ----------
    field
        Vectors over the scan; positions without a finite one do not count.
    steps
        Distance of neighbouring positions along (scan_y, scan_x).

    Raises
    ------
    OptionError
        The scan has less than 3 positions along a side.
    """
    if min(field[0].shape) < _LEAST:
        msg = f"a scan of {field[0].shape} positions has no curl"
        raise OptionError(msg, hint="give rotation and flip")
    least = []
    for flip in (False, True):
        curl, divergence = _derivatives(correct(field, Correction(flip=flip)), steps)
        squares, cross = (curl @ curl, divergence @ divergence), curl @ divergence
        # The sum of squares of cos * curl + sin * divergence is a cosine of twice the angle.
        angle = math.degrees(math.atan2(-2 * cross, squares[1] - squares[0])) / 2
        curl_left = sum(squares) - math.hypot(squares[0] - squares[1], 2 * cross)
        least.append((curl_left, flip, angle))
    _, flip, angle = min(least)
    _, divergence = _derivatives(correct(field, Correction(rotation=angle, flip=flip)), steps)
    reach = np.abs(divergence).max(initial=0.0)
    counts, _ = np.histogram(divergence, range=(-reach, reach or 1.0), bins=_BINS)
    if counts[0] < counts[-1]:
        angle += 180 if angle <= 0 else -180
    return Correction(rotation=angle, flip=flip)


def _derivatives(
    field: Field, steps: tuple[float, float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return finite curl and divergence of all positions but those of the last row and column."""
    y, x = field
    curl = np.gradient(y, steps[1], axis=1) - np.gradient(x, steps[0], axis=0)
    divergence = np.gradient(y, steps[0], axis=0) + np.gradient(x, steps[1], axis=1)
    kept = np.isfinite(curl) & np.isfinite(divergence)
    kept[-1], kept[:, -1] = False, False
    return curl[kept], divergence[kept]


def deflection(
    document: Document,
    *,
    rotation: float | None = None,
    flip: bool | None = None,
    resources: Resources | None = None,
    **how: Any,  # noqa: ANN401 - as center_of_mass takes it
) -> xr.Dataset:
    """Return the deflection of the beam at every position: differential phase contrast.

    Parameters
    ----------
    document
        A 4D scan.
    rotation, flip
        As in `Correction`; found by least curl where neither is given.
    resources
        As in `center_of_mass`.
    **how
        `center` and the detector, as in `center_of_mass`.

    Returns
    -------
    xarray.Dataset
        ``com_y``, ``com_x``, their ``magnitude`` in the units of the detector axes, and their
        ``direction`` in radians, 0 to the right and growing downwards; the mean over the scan is
        taken as the beam that is not deflected, and subtracted. Attributes say rotation and flip.

    Raises
    ------
    OptionError, UnsupportedDataError
        As `center_of_mass` and `find_correction`.
    """
    measured = center_of_mass(document, resources=resources, **how)
    y, x = (measured[name].to_numpy() for name in ("com_y", "com_x"))
    units = [axis.units for axis in document.axes[2:]]
    if units[0] != units[1]:
        msg = f"det_y is in {units[0]}, det_x in {units[1]}"
        raise OptionError(msg, hint="calibrate both in the same units to rotate vectors")
    kept = np.isfinite(y) & np.isfinite(x)
    field = tuple(part - part[kept].mean() if kept.any() else part for part in (y, x))
    steps = [abs(axis.scale) or 1.0 for axis in document.axes[:2]]
    if rotation is None and flip is None:
        found = find_correction((field[0], field[1]), (steps[0], steps[1]))
    else:
        found = Correction(rotation=rotation or 0.0, flip=bool(flip))
    y, x = correct((field[0], field[1]), found)
    parts = {"com_y": y, "com_x": x, "magnitude": np.hypot(y, x), "direction": np.arctan2(y, x)}
    attributes = {**measured.attrs, "rotation_deg": found.rotation, "flip": int(found.flip)}
    dataset = label_field(document, parts, attributes)
    dataset["direction"].attrs["units"] = "rad"
    return dataset


def label_field(
    document: Document, parts: Mapping[str, NDArray[Any]], attributes: Mapping[str, Any]
) -> xr.Dataset:
    """Return arrays over the scan as a Dataset, in the units of the detector axes."""
    import xarray as xr

    coords = {
        axis.name: xr.Variable((axis.name,), axis.values(), axis.attributes())
        for axis in document.axes[:2]
    }
    units = {"com_y": document.axes[2].units}
    variables = {
        name: xr.Variable(
            document.dims[:2], values, {"units": units.get(name, document.axes[3].units)}
        )
        for name, values in parts.items()
    }
    return xr.Dataset(variables, coords, dict(attributes))
