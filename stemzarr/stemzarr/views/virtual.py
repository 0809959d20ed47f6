"""Virtual images: what a ring of the detector counts at every scan position."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import OptionError, UnsupportedDataError
from stemzarr.measure.disk import locate_disk
from stemzarr.model import Blocks, Document, Progress, read_box
from stemzarr.options import available_threads
from stemzarr.pixels.boxes import Box
from stemzarr.pixels.resources import Resources
from stemzarr.views.kernels import sum_dtype, working_dtype
from stemzarr.views.normalize import cast_checked
from stemzarr.views.overflow import check_integers, check_range
from stemzarr.views.slabs import map_document
from stemzarr.views.view import View
from stemzarr.views.viewed import apply

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["find_center", "virtual_image"]

_MEMORY = 256 * 1024**2


def virtual_image(  # noqa: PLR0913 - what may vary, one by one
    document: Document,
    *,
    inner: float = 0.0,
    outer: float | None = None,
    center: tuple[float, float] | None = None,
    threads: int | None = None,
    memory: int = _MEMORY,
    progress: Progress | None = None,
) -> xr.DataArray:
    """Return the sum over a ring of the detector at every scan position.

    Parameters
    ----------
    document
        A 4D scan.
    inner, outer
        Radii of the ring in the units of the detector axes; a pixel counts when its centre is at
        least `inner` and less than `outer` away from `center`. No `outer` means all beyond.
    center
        Position (det_y, det_x) in the units of the detector axes; by default the centre of the
        bright central disk. Without radii it does not matter.
    threads, memory
        Threads and budget in bytes of the one pass over the values.
    progress
        Receives how many bytes of the ring's rectangle are done.

    Returns
    -------
    xarray.DataArray
        (scan_y, scan_x) with calibrated coordinates; exact integers for integer data.

    Raises
    ------
    OptionError
        The ring holds no pixel, or `center` is not a pair of numbers.
    UnsupportedDataError
        The document is not a 4D scan, its values are complex, or a sum is too large for its type.
    """
    import xarray as xr

    if document.kind != "4d-stem" or document.dtype.kind == "c":
        msg = f"the document {document.slug!r} is {document.kind} of {document.dtype}"
        raise UnsupportedDataError(msg, hint="virtual images need a 4D scan of real values")
    whole = inner <= 0 and outer is None
    if center is None:
        center = (0.0, 0.0) if whole else find_center(document)
    elif np.shape(center) != (2,):
        msg = f"center is {center!r}"
        raise OptionError(msg, hint="give (det_y, det_x) in the units of the detector axes")
    mask = _ring(document, inner, math.inf if outer is None else outer, center)
    resources = Resources(threads=threads or available_threads(), memory=memory, progress=progress)
    image = _sum_masked(document, mask, resources)
    coords = {
        axis.name: xr.Variable((axis.name,), axis.values(), axis.attributes())
        for axis in document.axes[:2]
    }
    attributes = {"long_name": "virtual image", "inner": inner, "center": list(center)}
    attributes |= {} if outer is None else {"outer": outer}
    return xr.DataArray(image, coords, document.dims[:2], "virtual_image", attributes)


def _ring(
    document: Document, inner: float, outer: float, center: tuple[float, float]
) -> NDArray[np.bool_]:
    y, x = (axis.values() - place for axis, place in zip(document.axes[2:], center, strict=True))
    distance = np.hypot(y[:, np.newaxis], x[np.newaxis, :])
    mask: NDArray[np.bool_] = (distance >= inner) & (distance < outer)
    if document.bad_pixels is not None:
        mask &= ~document.bad_pixels
    if not mask.any():
        units = document.axes[3].units
        msg = f"the ring from {inner:g} to {outer:g} {units} holds no pixel of the detector"
        raise OptionError(msg, hint=f"the detector reaches to {distance.max():.4g} {units}")
    return mask


def _sum_masked(
    document: Document, mask: NDArray[np.bool_], resources: Resources
) -> NDArray[np.generic]:
    """Return the sums of the pixels under a mask, reading only the rectangle that encloses it."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, left = int(rows[0]), int(columns[0])
    window = mask[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1]
    dtype = document.dtype
    summing = np.float64 if dtype.kind == "f" else sum_dtype(dtype, max(2, int(mask.sum())))
    bottom, right = top + window.shape[0], left + window.shape[1]
    ring = apply(document, View(roi=f"det_y={top}:{bottom},det_x={left}:{right}"))
    image: NDArray[np.generic] = np.empty(document.shape[:2], summing)

    sum_pattern = _summer(window, dtype, np.dtype(summing))

    def sum_box(readable: Blocks, box: Box) -> None:
        values = read_box(readable, box.start, box.shape)
        out = image[box.slices()[:2]]
        for place in np.ndindex(*box.shape[:2]):
            out[place] = sum_pattern(values[place])

    for _ in map_document(sum_box, ring.blocks, 2, resources):
        pass
    if dtype.kind != "f":
        return image
    sums: NDArray[np.generic] = np.empty(image.shape, working_dtype(dtype))
    cast_checked(image, sums.dtype, sums)
    return sums


def _summer(
    window: NDArray[np.bool_], dtype: np.dtype[Any], summing: np.dtype[Any]
) -> Callable[[NDArray[Any]], np.generic]:
    """Return what sums the pixels of a pattern under a window, in the type `summing`."""
    everything, weights = bool(window.all()), window.astype(dtype)

    def add(pattern: NDArray[Any]) -> np.generic:
        taken = pattern if everything else pattern * weights
        total: np.generic = taken.sum(dtype=summing)
        check_integers(taken, np.asarray(total))
        return total

    def add_floats(pattern: NDArray[Any]) -> np.generic:
        with np.errstate(invalid="ignore", over="ignore"):
            total = add(pattern)
            if np.isfinite(total):
                return total
            # A product with zero keeps what is not finite outside the window.
            inside: NDArray[np.generic] = pattern[window]
            whole: np.generic = inside.sum(dtype=summing)
        if np.isfinite(inside).all():
            check_range(whole, summing)
        return whole

    return add_floats if dtype.kind == "f" else add


def find_center(document: Document) -> tuple[float, float]:
    """Return the centre of the bright central disk, (det_y, det_x) in the units of the axes.

    It is that of the disk which the previews of a store are made with.
    """
    disk = locate_disk(document)
    y_axis, x_axis = document.axes[2:]
    return (
        y_axis.offset + disk.center_y * y_axis.scale,
        x_axis.offset + disk.center_x * x_axis.scale,
    )
