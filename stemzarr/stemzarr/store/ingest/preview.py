"""Previews and statistics of a document, reduced from what its shards folded to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import CorruptFileError
from stemzarr.measure.counts import COUNTS
from stemzarr.measure.disk import Disk
from stemzarr.measure.fold import Fold
from stemzarr.measure.moments import merge_statistics, statistics_attributes
from stemzarr.model import Axis, Document, Statistics
from stemzarr.store.format.plan import ArrayPlan
from stemzarr.store.format.schema import group_node, prefix_of, stored_dims
from stemzarr.store.format.tree import Tree
from stemzarr.store.ingest.journal import ShardRecord

__all__ = ["SCAN_IMAGES", "Folded", "finish_patterns", "reduce_folds", "write_preview"]

SCAN_IMAGES = ("total_intensity", "bright_field", "annular_dark_field")
"""Names of the virtual images, in the order in which they are folded."""
_OME_UNITS = {
    "nm": "nanometer",
    "pm": "picometer",
    "µm": "micrometer",
    "um": "micrometer",
    "mm": "millimeter",
    "m": "meter",
    "Å": "angstrom",
    "angstrom": "angstrom",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """What a whole document folds to."""

    statistics: Statistics
    """Exact statistics of all finite values of the patterns that were recorded; of the magnitude
    where values are complex."""
    integral: bool
    """Whether every value is an integer."""
    mean: NDArray[Any] | None = None
    """(det_y, det_x) mean of those patterns, values that are not finite taken as 0; float32, or
    float64 where the source is."""
    top: NDArray[Any] | None = None
    """(det_y, det_x) maximum of those patterns, in the source's dtype."""
    images: NDArray[np.float64] | None = None
    """(3, scan_y, scan_x) virtual images in the order of `SCAN_IMAGES`."""


def _load(folds: Path, records: list[ShardRecord]) -> Iterator[Fold]:
    for record in records:
        file = folds / str(record.fold)
        try:
            yield Fold.from_bytes(file.read_bytes())
        except (OSError, ValueError, IndexError) as error:
            raise CorruptFileError(f"cannot be read: {error}", path=file) from error


def reduce_folds(
    folds: Path,
    records: list[ShardRecord],
    array: ArrayPlan,
    valid: NDArray[np.bool_] | None,
) -> Folded:
    """Return what the shards of an array fold to together, in the order of the grid.

    Parameters
    ----------
    folds
        Folder of the journal.
    records
        All shards of the array, by number.
    array
        How the array was cut.
    valid
        (scan_y, scan_x) which patterns were recorded; all where it is None.
    """
    histogram = np.zeros(COUNTS, np.int64)
    moments, integral = [], True
    total: NDArray[Any] | None = None
    top: NDArray[Any] | None = None
    images = np.zeros((*array.shape[:2], len(SCAN_IMAGES)))
    for record, fold in zip(records, _load(folds, records), strict=True):
        histogram[: len(fold.counts)] += fold.counts
        moments.append(fold.moments)
        integral = integral and fold.integral
        if fold.total is not None and fold.top is not None and fold.images is not None:
            total = fold.total if total is None else total + fold.total
            top = fold.top if top is None else np.maximum(top, fold.top)
            _place_images(images, fold.images, array, record.number)
    statistics = merge_statistics(histogram, moments)
    if total is None or top is None:
        return Folded(statistics=statistics, integral=integral)
    pattern = array.shape[2:]
    whole = array.shape[0] * array.shape[1]
    patterns = whole if valid is None else max(1, int(np.count_nonzero(valid)))
    mean, top = finish_patterns(total, top, patterns, np.dtype(array.dtype))
    return Folded(
        statistics=statistics,
        integral=integral,
        mean=mean.reshape(pattern),
        top=top.reshape(pattern),
        images=np.moveaxis(images, -1, 0),
    )


def finish_patterns(
    total: NDArray[Any], top: NDArray[Any], patterns: int, dtype: np.dtype[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return mean and maximum of all patterns from what they fold to.

    Parameters
    ----------
    total, top
        (pixels,) sum and maximum of the patterns, -inf where a pixel has no finite value.
    patterns
        How many there are.
    dtype
        Type of the source's values.
    """
    wide = np.float64 if dtype in (np.float64, np.complex128) else np.float32
    return np.asarray(total / patterns, wide), _finite_top(top)


def _finite_top(top: NDArray[Any]) -> NDArray[Any]:
    """Return the maxima with 0 for pixels that have no finite value; integers all have one."""
    if top.dtype.kind != "f":
        return top
    return np.where(np.isneginf(top), 0, top).astype(top.dtype)


def _place_images(
    images: NDArray[np.float64], folded: NDArray[Any], array: ArrayPlan, number: int
) -> None:
    done = 0
    for (y, x, *_), (rows, columns, *_) in array.chunks_of(array.shard_box(number)):
        part = folded[done : done + rows * columns]
        images[y : y + rows, x : x + columns] = part.reshape(rows, columns, -1)
        done += rows * columns


def write_preview(
    tree: Tree, document: Document, main: int, folded: Folded, disk: Disk | None
) -> None:
    """Write the group ``preview`` of a document, and note its nodes."""
    prefix = f"{prefix_of(document, main)}preview"
    attributes = statistics_attributes(folded.statistics)
    if folded.mean is not None and folded.top is not None and folded.images is not None:
        scan, detector = stored_dims(document, main)[:2], stored_dims(document, main)[2:]
        pictures = {"mean_diffraction": folded.mean, "max_diffraction": folded.top}
        for name, picture in pictures.items():
            tree.write_array(f"{prefix}/{name}", picture, detector, codec="zstd")
        for name, image in zip(SCAN_IMAGES, folded.images, strict=True):
            tree.write_array(f"{prefix}/{name}", image, scan, codec="zstd")
        attributes["ome"] = ome_block(document, scan)
    if disk is not None:
        attributes["disk"] = disk.attributes(document.shape[2:])
    tree.nodes[prefix] = group_node(attributes)


def ome_block(document: Document, dims: tuple[str, ...]) -> dict[str, Any]:
    """Return the OME-Zarr 0.5 metadata that show ``bright_field`` as an image.

    https://ngff.openmicroscopy.org/0.5/#multiscale-md
    """
    axes = document.axes[:2]
    scale = {"type": "scale", "scale": [abs(axis.scale) or 1.0 for axis in axes]}
    shift = {"type": "translation", "translation": [axis.offset for axis in axes]}
    dataset = {"path": "bright_field", "coordinateTransformations": [scale, shift]}
    named = [_ome_axis(axis, name) for axis, name in zip(axes, dims, strict=True)]
    image = {"name": document.title or document.slug, "axes": named, "datasets": [dataset]}
    return {"version": "0.5", "multiscales": [image]}


def _ome_axis(axis: Axis, name: str) -> dict[str, str]:
    unit = _OME_UNITS.get(axis.units)
    return {"name": name, "type": "space"} | ({"unit": unit} if unit else {})
