"""Single patterns, their mean over a region, and its profile along the radius."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stemzarr.errors import OptionError
from stemzarr.model import Document, read_box
from stemzarr.pixels.resources import Resources
from stemzarr.views.counted import check_scan, map_counts
from stemzarr.views.view import View
from stemzarr.views.viewed import apply
from stemzarr.views.virtual import find_center

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["mean_pattern", "pattern", "radial_profile", "read_pattern"]


def pattern(document: Document, y: int, x: int) -> xr.DataArray:
    """Return one pattern as it was recorded.

    Parameters
    ----------
    document
        A 4D scan.
    y, x
        Its position in the scan, counted from 0; negative ones from the end.

    Returns
    -------
    xarray.DataArray
        (det_y, det_x) in the type of the source, with the coordinates of its position.

    Raises
    ------
    OptionError, UnsupportedDataError
        There is no such position, or the document is not a 4D scan.
    """
    values = read_pattern(document, y, x)
    place = [_position(document, dim, value) for dim, value in enumerate((y, x))]
    named = zip(document.axes[:2], place, strict=True)
    position = {axis.name: axis.offset + at * axis.scale for axis, at in named}
    return _label(document, values, "intensity", {**document.intensity_attributes()}, position)


def read_pattern(document: Document, y: int, x: int) -> NDArray[Any]:
    """Return the values (det_y, det_x) of one pattern; its labels would take xarray."""
    check_scan(document)
    place = [_position(document, dim, value) for dim, value in enumerate((y, x))]
    values: NDArray[Any] = read_box(document.blocks, (*place, 0, 0), (1, 1, *document.shape[2:]))
    return values.reshape(document.shape[2:])


def _position(document: Document, dim: int, value: int) -> int:
    size, name = document.shape[dim], document.dims[dim]
    try:
        place = operator.index(value)
    except TypeError:
        place = size
    if not -size <= place < size:
        msg = f"there is no position {value!r} along {name}"
        raise OptionError(msg, hint=f"it has {size} positions, counted from 0")
    return place % size


def mean_pattern(
    document: Document, region: str | ArrayLike = "", resources: Resources | None = None
) -> xr.DataArray:
    """Return the mean of all recorded patterns, or of those of a region.

    Parameters
    ----------
    document
        A 4D scan.
    region
        As in ``View(roi=...)``, such as ``scan_y=10:20,scan_x=5:9``, or booleans
        (scan_y, scan_x).
    resources
        Threads, memory and progress of the pass over the pixels of the region.

    Returns
    -------
    xarray.DataArray
        (det_y, det_x) float64; bad pixels that the file names are 0.

    Raises
    ------
    OptionError, UnsupportedDataError
        The region holds no recorded pattern or has not its form, or this is not a 4D scan.
    """
    check_scan(document)
    chosen, part = _choose(document, region)
    count = int(np.count_nonzero(chosen))
    if not count:
        msg = "the region holds no pattern that was recorded"
        raise OptionError(msg, hint=f"the scan has {document.shape[:2]} positions")
    rows, columns = (np.flatnonzero(np.any(chosen, axis=axis)) for axis in (1, 0))
    top, left = int(rows[0]), int(columns[0])
    spans = f"scan_y={top}:{int(rows[-1]) + 1},scan_x={left}:{int(columns[-1]) + 1}"
    kept = chosen[top:, left:]
    total = np.zeros(part.shape[2:])

    def add(values: NDArray[np.float64], place: tuple[slice, ...]) -> NDArray[np.float64]:
        summed: NDArray[np.float64] = values[kept[place]].sum(axis=0)
        return summed

    for some in map_counts(add, apply(part, View(roi=spans)), resources or Resources()):
        total += some
    attributes = {"long_name": "mean intensity", "patterns": count}
    return _label(part, total / count, "mean_pattern", attributes, {})


def _choose(document: Document, region: str | ArrayLike) -> tuple[NDArray[np.bool_], Document]:
    """Return which positions are chosen, and the document that they are positions of."""
    if isinstance(region, str):
        part = apply(document, View(roi=region))
        chosen = np.ones(part.shape[:2], bool)
    else:
        part, chosen = document, np.array(region)
        if chosen.shape != document.shape[:2] or chosen.dtype.kind != "b":
            msg = f"region is {chosen.dtype} of shape {chosen.shape}"
            raise OptionError(msg, hint=f"give booleans of shape {document.shape[:2]}, or a text")
    return (chosen if part.valid is None else chosen & part.valid), part


def radial_profile(
    document: Document,
    region: str | ArrayLike = "",
    *,
    center: Sequence[float] | None = None,
    resources: Resources | None = None,
) -> xr.DataArray:
    """Return the mean intensity over rings around a centre.

    Parameters
    ----------
    document, region, resources
        As in `mean_pattern`.
    center
        (det_y, det_x) in the units of the detector axes; by default that of the central disk.

    Returns
    -------
    xarray.DataArray
        (radius,) float64: the mean over the good pixels from half a pixel below to half a pixel
        above each radius, in the units of the detector axes; NaN where there are none.

    Raises
    ------
    OptionError, UnsupportedDataError
        As `mean_pattern`; or the detector axes have different units.
    """
    import xarray as xr

    axes = document.axes[2:4]
    check_scan(document)
    if axes[0].units != axes[1].units:
        msg = f"det_y is in {axes[0].units}, det_x in {axes[1].units}"
        raise OptionError(msg, hint="calibrate both in the same units")
    middle = find_center(document) if center is None else center
    mean = mean_pattern(document, region, resources)
    y, x = (mean[axis.name].to_numpy() - at for axis, at in zip(axes, middle, strict=True))
    step = min(abs(axis.scale) or 1.0 for axis in axes)
    rings = np.rint(np.hypot(y[:, np.newaxis], x) / step).astype(np.intp)
    bad = document.bad_pixels
    good = np.ones(rings.shape, bool) if bad is None or bad.shape != rings.shape else ~bad
    counts = np.bincount(rings[good], minlength=int(rings.max()) + 1)
    sums = np.bincount(rings[good], mean.to_numpy()[good], minlength=len(counts))
    profile = np.divide(sums, counts, out=np.full(len(counts), np.nan), where=counts > 0)
    radius = xr.Variable(("radius",), np.arange(len(counts)) * step, {"units": axes[1].units})
    attributes = {"long_name": "mean intensity", "center": list(middle)}
    return xr.DataArray(profile, {"radius": radius}, ("radius",), "radial_profile", attributes)


def _label(
    document: Document,
    values: NDArray[Any],
    name: str,
    attributes: Mapping[str, Any],
    position: Mapping[str, float],
) -> xr.DataArray:
    import xarray as xr

    axes = document.axes[2:4]
    coords: dict[str, Any] = {
        axis.name: xr.Variable((axis.name,), axis.values(), axis.attributes()) for axis in axes
    }
    return xr.DataArray(values, coords | dict(position), document.dims[2:], name, dict(attributes))
