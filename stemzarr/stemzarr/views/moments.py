"""Statistics of all values of a document in one pass: exact, parallel and the same at any size."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import UnsupportedDataError
from stemzarr.model import Blocks, Statistics, read_box
from stemzarr.views.boxes import Box, map_boxes, plan_boxes

__all__ = ["Moments", "measure_blocks", "measure_patterns"]

_GROUP = 1024
_CACHE_VALUES = 64 * 1024


def measure_patterns(values: NDArray[Any]) -> NDArray[np.float64]:
    """Return what each pattern adds to the statistics.

    Parameters
    ----------
    values
        (positions, pixels) real values.

    Returns
    -------
    numpy.ndarray
        (positions, 7) float64: smallest, largest, number of zeros, mean, sum of squared distances
        from that mean, and the last two again of log(1 + value) with negative values taken as 0.
    """
    found = np.empty((len(values), 7))
    found[:, 0], found[:, 1] = values.min(axis=1), values.max(axis=1)
    found[:, 2] = values.shape[1] - np.count_nonzero(values, axis=1)
    exact = values.astype(np.float64)
    logs = np.log1p(np.maximum(exact, 0))
    found[:, 3], found[:, 4] = _mean_and_spread(exact)
    found[:, 5], found[:, 6] = _mean_and_spread(logs)
    return found


def _mean_and_spread(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Return mean and sum of squared distances from it along the last dim, spoiling `values`."""
    means = values.mean(axis=1)
    values -= means[:, np.newaxis]
    values *= values
    return means, values.sum(axis=1)


class Moments:
    """Joins what patterns add, in their order and in groups of a fixed number of patterns.

    How many patterns arrive at once does not change the result, so neither do threads or memory.

    Parameters
    ----------
    pixels
        Number of values of each pattern.
    """

    def __init__(self, pixels: int) -> None:
        self._pixels = pixels
        self._waiting: NDArray[np.float64] = np.empty((0, 7))
        self._groups: list[NDArray[np.float64]] = []
        self._sizes: list[int] = []

    def add(self, found: NDArray[np.float64]) -> None:
        """Take rows of `measure_patterns`."""
        self._waiting = np.concatenate([self._waiting, found])
        while len(self._waiting) >= _GROUP:
            self._close(self._waiting[:_GROUP])
            self._waiting = self._waiting[_GROUP:]

    def _close(self, rows: NDArray[np.float64]) -> None:
        counts = np.full(len(rows), float(self._pixels))
        self._groups.append(_join(rows, counts))
        self._sizes.append(len(rows) * self._pixels)

    def statistics(self) -> Statistics:
        """Return the statistics of all that was added."""
        if len(self._waiting):
            self._close(self._waiting)
            self._waiting = self._waiting[:0]
        total = _join(np.array(self._groups), np.array(self._sizes, np.float64))
        count = sum(self._sizes)
        low, high, zeros, mean, spread, log_mean, log_spread = map(float, total)
        return Statistics(
            count=count,
            min=low,
            max=high,
            mean=mean,
            std=math.sqrt(spread / count),
            zero_fraction=zeros / count,
            log1p_mean=log_mean,
            log1p_std=math.sqrt(log_spread / count),
        )


def _join(rows: NDArray[np.float64], counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Join the moments of parts with `counts` values each (Chan, Golub and LeVeque 1983)."""
    joined = np.empty(7)
    joined[0], joined[1] = rows[:, 0].min(), rows[:, 1].max()
    joined[2] = rows[:, 2].sum()
    for column in (3, 5):
        means = rows[:, column]
        mean = (means * counts).sum() / counts.sum()
        joined[column] = mean
        joined[column + 1] = rows[:, column + 1].sum() + (counts * (means - mean) ** 2).sum()
    return joined


def measure_blocks(blocks: Blocks, pattern_ndim: int, *, threads: int, memory: int) -> Statistics:
    """Return the statistics of all values, from one pass in threads and bounded memory.

    Parameters
    ----------
    blocks
        Real values.
    pattern_ndim
        How many of the last dims are one pattern.
    threads
        Boxes that are read and measured at once.
    memory
        Budget in bytes.

    Raises
    ------
    UnsupportedDataError
        The values are complex.
    """
    if blocks.dtype.kind == "c":
        msg = "complex values have no statistics"
        raise UnsupportedDataError(msg, hint="choose normalize='none'")
    pixels = math.prod(blocks.shape[len(blocks.shape) - pattern_ndim :])
    plan = plan_boxes(blocks, pattern_ndim, memory=memory, threads=threads)

    def measure_box(box: Box) -> NDArray[np.float64]:
        patterns = read_box(blocks, box.start, box.shape).reshape(-1, pixels)
        few = max(1, _CACHE_VALUES // pixels)
        parts = [patterns[i : i + few] for i in range(0, len(patterns), few)]
        return np.concatenate([measure_patterns(part) for part in parts])

    moments = Moments(pixels)
    for found in map_boxes(measure_box, plan.boxes, threads=plan.threads):
        moments.add(found)
    return moments.statistics()
