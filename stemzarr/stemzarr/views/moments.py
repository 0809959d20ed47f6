"""Statistics of all values of a document in one pass: exact, parallel and the same at any size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import UnsupportedDataError
from stemzarr.model import Blocks, Statistics, read_box
from stemzarr.pixels.boxes import Box
from stemzarr.views.slabs import map_document

__all__ = ["Moments", "join_statistics", "measure_blocks", "measure_patterns"]

_GROUP = 1024
_CACHE_VALUES = 64 * 1024
_COUNT, _LOW, _HIGH, _ZEROS, _MEAN, _SPREAD, _LOG_MEAN, _LOG_SPREAD = range(8)


def measure_patterns(values: NDArray[Any]) -> NDArray[np.float64]:
    """Return what each pattern adds to the statistics.

    Parameters
    ----------
    values
        (positions, pixels) real values; those that are not finite are left out.

    Returns
    -------
    numpy.ndarray
        (positions, 8) float64: number of values, smallest, largest, number of zeros, mean, sum of
        squared distances from that mean, and the last two again of log(1 + value) with negative
        values taken as 0.
    """
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        rows = [measure_patterns(row[np.isfinite(row)][np.newaxis]) for row in values]
        return np.concatenate(rows)
    found = np.zeros((len(values), 8))
    if values.size == 0:
        found[:, _LOW], found[:, _HIGH] = math.inf, -math.inf
        return found
    found[:, _COUNT] = values.shape[1]
    found[:, _LOW], found[:, _HIGH] = values.min(axis=1), values.max(axis=1)
    found[:, _ZEROS] = values.shape[1] - np.count_nonzero(values, axis=1)
    exact = values.astype(np.float64)
    logs = np.log1p(np.maximum(exact, 0))
    found[:, _MEAN], found[:, _SPREAD] = _mean_and_spread(exact)
    found[:, _LOG_MEAN], found[:, _LOG_SPREAD] = _mean_and_spread(logs)
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
    """

    def __init__(self) -> None:
        self._waiting: NDArray[np.float64] = np.empty((0, 8))
        self._groups: list[NDArray[np.float64]] = []

    def add(self, found: NDArray[np.float64]) -> None:
        """Take rows of `measure_patterns`."""
        self._waiting = np.concatenate([self._waiting, found])
        while len(self._waiting) >= _GROUP:
            self._groups.append(_join(self._waiting[:_GROUP]))
            self._waiting = self._waiting[_GROUP:]

    def statistics(self) -> Statistics:
        """Return the statistics of all that was added; without any finite value, all are 0."""
        rest = [_join(self._waiting)] if len(self._waiting) else []
        rows = [*self._groups, *rest] or measure_patterns(np.empty((1, 0)))
        return _to_statistics(_join(np.array(rows)))


def join_statistics(parts: Sequence[Statistics]) -> Statistics:
    """Return the statistics of the values of all parts together."""
    rows = [
        (
            part.count,
            part.min if part.count else math.inf,
            part.max if part.count else -math.inf,
            part.zero_fraction * part.count,
            part.mean,
            part.std**2 * part.count,
            part.log1p_mean,
            part.log1p_std**2 * part.count,
        )
        for part in parts
    ]
    return parts[0] if len(parts) == 1 else _to_statistics(_join(np.array(rows)))


def _to_statistics(total: NDArray[np.float64]) -> Statistics:
    count = int(total[_COUNT])
    if not count:
        total = np.zeros(8)
    several = max(1, count)
    return Statistics(
        count=count,
        min=float(total[_LOW]),
        max=float(total[_HIGH]),
        mean=float(total[_MEAN]),
        std=math.sqrt(total[_SPREAD] / several),
        zero_fraction=float(total[_ZEROS]) / several,
        log1p_mean=float(total[_LOG_MEAN]),
        log1p_std=math.sqrt(total[_LOG_SPREAD] / several),
    )


def _join(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Join the moments of parts (Chan, Golub and LeVeque, The American Statistician 37, 242)."""
    counts = rows[:, _COUNT]
    joined: NDArray[np.float64] = rows.sum(axis=0)
    joined[_LOW], joined[_HIGH] = rows[:, _LOW].min(), rows[:, _HIGH].max()
    for mean, spread in ((_MEAN, _SPREAD), (_LOG_MEAN, _LOG_SPREAD)):
        joined[mean] = (rows[:, mean] * counts).sum() / max(1.0, joined[_COUNT])
        joined[spread] += (counts * (rows[:, mean] - joined[mean]) ** 2).sum()
    return joined


def measure_blocks(
    blocks: Blocks,
    pattern_ndim: int,
    *,
    threads: int,
    memory: int,
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
    threads
        Boxes that are read and measured at once.
    memory
        Budget in bytes.
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
        patterns = read_box(readable, box.start, box.shape).reshape(-1, pixels)
        if valid is not None:
            patterns = patterns[valid[box.slices()[: valid.ndim]].reshape(-1)]
        if bad is not None:
            patterns = patterns[:, ~bad.reshape(-1)]
        few = max(1, _CACHE_VALUES // pixels)
        parts = [patterns[i : i + few] for i in range(0, len(patterns), few)]
        return np.concatenate([np.empty((0, 8)), *map(measure_patterns, parts)])

    moments = Moments()
    for found in map_document(measure_box, blocks, pattern_ndim, memory=memory, threads=threads):
        moments.add(found)
    return moments.statistics()
