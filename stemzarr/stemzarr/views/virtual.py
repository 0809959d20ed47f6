"""Virtual images: what a part of the detector counts at every scan position."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stemzarr.errors import UnsupportedDataError
from stemzarr.measure.disk import locate_disk
from stemzarr.model import Blocks, Document, Progress, read_box
from stemzarr.options import available_threads
from stemzarr.pixels.boxes import Box
from stemzarr.pixels.resources import Resources
from stemzarr.pixels.workers import Workers
from stemzarr.views.detectors import Detector, make_detector
from stemzarr.views.kernels import sum_dtype, working_dtype
from stemzarr.views.normalize import cast_checked
from stemzarr.views.overflow import check_integers, check_range
from stemzarr.views.slabs import Part, map_document
from stemzarr.views.tiled import TiledImage, sum_by_tiles
from stemzarr.views.view import View
from stemzarr.views.viewed import apply

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["find_center", "find_center_pixel", "label_scan", "sum_detector", "virtual_image"]

_MEMORY = 256 * 1024**2


def virtual_image(  # noqa: PLR0913 - what may vary, one by one
    document: Document,
    *,
    inner: float = 0.0,
    outer: float | None = None,
    center: Sequence[float] | None = None,
    rect: Sequence[float] | None = None,
    mask: ArrayLike | None = None,
    approximate: bool = False,
    threads: int | None = None,
    memory: int = _MEMORY,
    progress: Progress | None = None,
    client: Workers = None,
) -> xr.DataArray:
    """Return the sum over a ring, a rectangle or a mask of the detector at every scan position.

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
    rect, mask
        Other detectors, as in `make_detector`.
    approximate
        Whether tiles that the edge of the detector cuts through may count by the share of their
        pixels in it, where a store keeps tile sums; the result then has an error.
    threads, memory
        Threads and budget in bytes of the one pass over the values.
    progress
        Receives how many bytes of the detector's rectangle are done.
    client
        A ``dask.distributed.Client`` whose workers do it in place of threads.

    Returns
    -------
    xarray.DataArray
        (scan_y, scan_x) with calibrated coordinates, 0 where a salvage recovered nothing; exact
        integers for integer data. With `approximate` float64, and the attribute ``largest_error``
        is what no value is farther from the exact one than: it follows from the tile sums alone,
        and is 0 for a detector of whole tiles, and where there are no tile sums.

    Raises
    ------
    OptionError
        The detector holds no pixel, or has not its form.
    UnsupportedDataError
        The document is not a 4D scan, its values are complex, or a sum is too large for its type.

    Notes
    -----
    A detector of whole tiles is summed from the tile sums that a store keeps, any other from the
    pixels; integers are the same by both ways.
    """
    given = {"inner": inner, "outer": outer, "center": center, "rect": rect, "mask": mask}
    detector = _choose(document, **given)
    count = threads or available_threads()
    resources = Resources(threads=count, memory=memory, progress=progress, client=client)
    summed = _sum(document, detector, resources, approximate=approximate)
    attributes = {"long_name": "virtual image", **detector.attributes}
    image = summed.image
    if approximate:
        attributes["largest_error"] = summed.largest_error
        image = image.astype(np.float64)
    return label_scan(document, image, "virtual_image", attributes)


def sum_detector(
    document: Document,
    resources: Resources,
    **detector: Any,  # noqa: ANN401 - as virtual_image takes it
) -> NDArray[Any]:
    """Return the values of the exact `virtual_image`, (scan_y, scan_x), without labels.

    Parameters
    ----------
    document
        A 4D scan.
    resources
        Threads, memory and progress of the one pass over the values.
    **detector
        `inner`, `outer`, `center`, `rect` or `mask`.

    Raises
    ------
    OptionError, UnsupportedDataError
        As `virtual_image` says.
    """
    return _sum(document, _choose(document, **detector), resources).image


def _choose(document: Document, **given: Any) -> Detector:  # noqa: ANN401 - see make_detector
    """Return the pixels that are summed; by default a ring is around the central disk."""
    if document.kind != "4d-stem" or document.dtype.kind == "c":
        msg = f"the document {document.slug!r} is {document.kind} of {document.dtype}"
        raise UnsupportedDataError(msg, hint="virtual images need a 4D scan of real values")
    if given.get("center") is None:
        no_ring = given.get("inner", 0) <= 0 and given.get("outer") is None
        given["center"] = (0.0, 0.0) if no_ring else find_center(document)
    return make_detector(document, **given)


def _sum(
    document: Document, detector: Detector, resources: Resources, *, approximate: bool = False
) -> TiledImage:
    """Return the image and how far it may be off; 0 where a salvage recovered nothing."""
    summed = sum_by_tiles(document, detector.mask, resources, approximate=approximate)
    if summed is None:
        image = _sum_masked(document, detector.mask, resources)
        summed = TiledImage(image=image, largest_error=0.0)
    if document.valid is None:
        return summed
    kept = np.where(document.valid, summed.image, summed.image.dtype.type(0))
    return dataclasses.replace(summed, image=kept)


def label_scan(
    document: Document, image: NDArray[Any], name: str, attributes: Mapping[str, Any]
) -> xr.DataArray:
    """Return an image over the scan with its coordinates."""
    import xarray as xr

    coords = {
        axis.name: xr.Variable((axis.name,), axis.values(), axis.attributes())
        for axis in document.axes[:2]
    }
    return xr.DataArray(image, coords, document.dims[:2], name, dict(attributes))


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

    def sum_box(readable: Blocks, box: Box) -> Part:
        values = read_box(readable, box.start, box.shape)
        out: NDArray[np.generic] = np.empty(box.shape[:2], summing)
        for place in np.ndindex(*out.shape):
            out[place] = sum_pattern(values[place])
        return box.slices()[:2], out

    for place, sums_there in map_document(sum_box, ring.blocks, 2, resources):
        image[place] = sums_there
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
    y, x = find_center_pixel(document)
    y_axis, x_axis = document.axes[2:]
    return y_axis.offset + y * y_axis.scale, x_axis.offset + x * x_axis.scale


def find_center_pixel(document: Document) -> tuple[float, float]:
    """Return the same in pixels."""
    if document.measured is not None:
        return document.measured.disk["center_y"], document.measured.disk["center_x"]
    disk = locate_disk(document)
    return disk.center_y, disk.center_x
