"""A sparse sample of the patterns of a scan, taken before the pass over all of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemzarr.model import Document, read_box
from stemzarr.pixels.boxes import Box
from stemzarr.pixels.foresight import foresee

__all__ = ["Sample", "take_sample"]

_SAMPLES = 32
_SAMPLED_RUN = 64
_SAMPLED_BYTES = 32 * 1024**2


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What some patterns have in common."""

    mean: NDArray[np.float64]
    """(det_y, det_x) mean of the patterns; values that are not finite count 0."""
    peaks: NDArray[np.float64]
    """(det_y, det_x) share of the patterns in which a pixel exceeds all its neighbours."""


def take_sample(document: Document) -> Sample:
    """Return what a few patterns of a 4D scan have in common.

    They are spread over the scan, but for a transposed source: it keeps each pixel of all patterns
    together, so that a run of patterns in the middle costs no more to read than a single one.
    """
    total, peaks = np.zeros(document.shape[2:]), np.zeros(document.shape[2:])
    count = 0
    # Sums of the largest floats may overflow; then there is no disk to be found.
    with np.errstate(over="ignore", invalid="ignore"):
        for values in _patterns(document):
            finite = _finite(values)
            total += finite
            peaks += finite > _neighbours(finite)
            count += 1
    return Sample(mean=total / max(1, count), peaks=peaks / max(1, count))


def _patterns(document: Document) -> Iterator[NDArray[Any]]:
    """Yield the patterns of the sample."""
    rows, columns, *pattern = document.shape
    pattern_bytes = max(1, math.prod(pattern) * document.dtype.itemsize)
    if document.layout is not None and document.layout.order == "scan-fast":
        run = max(1, min(columns, _SAMPLED_RUN, _SAMPLED_BYTES // pattern_bytes))
        corners = [(rows // 2, (columns - run) // 2)]
    else:
        run = 1
        count = max(1, min(_SAMPLES, 4 * _SAMPLED_BYTES // pattern_bytes))
        corners = [divmod(place, columns) for place in _spread(rows * columns, count)]
    boxes = [Box((y, x, 0, 0), (1, run, *pattern)) for y, x in corners]
    with foresee((document.blocks, box) for box in boxes):
        for box in boxes:
            yield from read_box(document.blocks, box.start, box.shape)[0]


def _spread(size: int, count: int) -> list[int]:
    """Return `count` places spread evenly over `size`, away from the ends."""
    count = min(size, count)
    return [int((2 * place + 1) * size / (2 * count)) for place in range(count)]


def _finite(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.kind not in "fc":
        return values
    real = np.abs(values) if values.dtype.kind == "c" else values
    return np.asarray(np.nan_to_num(real, nan=0.0, posinf=0.0, neginf=0.0))


def _neighbours(values: NDArray[Any]) -> NDArray[Any]:
    """Return the largest of the up to eight neighbours of each pixel; its own where it has none."""
    beside = _shifted_max(values, 1)
    if values.shape[0] < 2:  # noqa: PLR2004 - a single row
        return beside
    if values.shape[1] < 2:  # noqa: PLR2004 - a single column
        return _shifted_max(values, 0)
    around: NDArray[Any] = np.maximum(beside, _shifted_max(np.maximum(values, beside), 0))
    return around


def _shifted_max(values: NDArray[Any], axis: int) -> NDArray[Any]:
    """Return the larger of both neighbours along an axis."""
    moved = np.moveaxis(values, axis, 0)
    if len(moved) < 2:  # noqa: PLR2004 - there is no neighbour
        return values
    largest = np.empty_like(moved)
    largest[0], largest[-1] = moved[1], moved[-2]
    np.maximum(moved[:-2], moved[2:], out=largest[1:-1])
    return np.moveaxis(largest, 0, axis)
