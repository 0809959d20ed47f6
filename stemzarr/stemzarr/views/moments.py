"""Statistics of all values of a document in one pass: exact, parallel and the same at any size."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import UnsupportedDataError
from stemzarr.measure.moments import PatternMoments, measure_patterns
from stemzarr.model import Blocks, Statistics, read_box
from stemzarr.pixels.boxes import Box
from stemzarr.pixels.resources import Resources
from stemzarr.views.slabs import map_document

__all__ = ["measure_blocks"]

_CACHE_VALUES = 64 * 1024


def measure_blocks(
    blocks: Blocks,
    pattern_ndim: int,
    resources: Resources,
    *,
    valid: NDArray[np.bool_] | None = None,
    bad: NDArray[np.bool_] | None = None,
) -> Statistics:
    """Return the statistics of all finite values, from one pass in threads and bounded memory.

    Parameters
    ----------
    blocks
        Real values.
    pattern_ndim
        How many of the last dims are one pattern.
    resources
        Threads and memory of the pass.
    valid
        Which patterns were recorded, with the shape of the leading dims; all where it is None.
    bad
        Which pixels do not count, with the shape of a pattern; all count where it is None.

    Raises
    ------
    UnsupportedDataError
        The values are complex.
    """
    if blocks.dtype.kind == "c":
        msg = "complex values have no statistics"
        raise UnsupportedDataError(msg, hint="choose normalize='none'")
    pixels = math.prod(blocks.shape[len(blocks.shape) - pattern_ndim :])

    def measure_box(readable: Blocks, box: Box) -> NDArray[np.float64]:
        if valid is not None and not valid[box.slices()[: valid.ndim]].any():
            return np.empty((0, 8))
        patterns = read_box(readable, box.start, box.shape).reshape(-1, pixels)
        if valid is not None:
            patterns = patterns[valid[box.slices()[: valid.ndim]].reshape(-1)]
        if bad is not None:
            patterns = patterns[:, ~bad.reshape(-1)]
        few = max(1, _CACHE_VALUES // pixels)
        parts = [patterns[i : i + few] for i in range(0, len(patterns), few)]
        return np.concatenate([np.empty((0, 8)), *map(measure_patterns, parts)])

    moments = PatternMoments()
    for found in map_document(measure_box, blocks, pattern_ndim, resources):
        moments.add(found)
    return moments.statistics()
