"""Exact statistics: from a histogram of counts, and from moments merged in a fixed order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemzarr.model import Statistics

__all__ = [
    "Moments",
    "PatternMoments",
    "join_statistics",
    "measure_patterns",
    "merge_statistics",
    "statistics_attributes",
]

_GROUP = 1024
_COUNT, _ZEROS, _LOW, _HIGH, _MEAN, _SPREAD, _LOG_MEAN, _LOG_SPREAD = range(8)
"""Places of the fields of `Moments` in an array."""


@dataclass(slots=True)
class Moments:
    """Moments of values and of log(1 + value), kept as means and sums of squared deviations.

    They are merged by the rule of Chan, Golub and LeVeque, "Algorithms for computing the sample
    variance", The American Statistician 37 (1983) 242, which stays exact where the mean is much
    larger than the spread. The order of merging is the caller's, and fixed.
    """

    count: int = 0
    """Number of values."""
    zeros: int = 0
    """Number of values that are exactly zero."""
    low: float = math.inf
    """Smallest value."""
    high: float = -math.inf
    """Largest value."""
    mean: float = 0.0
    """Mean of the values."""
    spread: float = 0.0
    """Sum of the squared deviations from the mean."""
    log_mean: float = 0.0
    """Mean of log(1 + value), negative values taken as 0."""
    log_spread: float = 0.0
    """Sum of the squared deviations from `log_mean`."""

    def add(self, values: NDArray[np.float64]) -> None:
        """Take in finite values of any shape."""
        if values.size:
            self.merge(Moments.from_array(_rows_of(values.reshape(1, -1))[0]))

    def merge(self, other: Moments) -> None:
        """Take in what was gathered elsewhere."""
        if not other.count:
            return
        total = self.count + other.count
        share = other.count / total
        weight = self.count * share
        step, log_step = other.mean - self.mean, other.log_mean - self.log_mean
        self.mean += step * share
        self.spread += other.spread + step * step * weight
        self.log_mean += log_step * share
        self.log_spread += other.log_spread + log_step * log_step * weight
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self.zeros += other.zeros
        self.count = total

    def statistics(self) -> Statistics:
        """Return what they say of the values; without any value, all are 0."""
        count = max(1, self.count)
        return Statistics(
            count=self.count,
            min=self.low if self.count else 0.0,
            max=self.high if self.count else 0.0,
            mean=self.mean,
            std=math.sqrt(max(0.0, self.spread) / count),
            zero_fraction=self.zeros / count,
            log1p_mean=self.log_mean,
            log1p_std=math.sqrt(max(0.0, self.log_spread) / count),
        )

    def to_array(self) -> NDArray[np.float64]:
        """Return all fields as float64, shape (8,)."""
        return np.array([getattr(self, name) for name in self.__slots__], np.float64)

    @classmethod
    def from_array(cls, values: NDArray[np.float64]) -> Moments:
        """Return what `to_array` gave."""
        count, zeros, *rest = (float(value) for value in values)
        return cls(int(count), int(zeros), *rest)


def measure_patterns(values: NDArray[Any]) -> NDArray[np.float64]:
    """Return the moments of each pattern, as rows of `Moments.to_array`, (positions, 8).

    Parameters
    ----------
    values
        (positions, pixels) real values; those that are not finite are left out.
    """
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        return np.concatenate([_rows_of(row[np.isfinite(row)][np.newaxis]) for row in values])
    return _rows_of(values)


def _rows_of(values: NDArray[Any]) -> NDArray[np.float64]:
    """Return the same of finite values."""
    if not values.size:
        return np.tile(Moments().to_array(), (len(values), 1))
    rows, size = np.empty((len(values), 8)), values.shape[1]
    wide = values.astype(np.float64, copy=False)
    means = wide.mean(axis=1)
    deviations = wide - means[:, np.newaxis]
    np.square(deviations, out=deviations)
    rows[:, _MEAN], rows[:, _SPREAD] = means, deviations.sum(axis=1)
    logs = np.maximum(wide, 0.0, out=deviations)
    np.log1p(logs, out=logs)
    log_means = logs.mean(axis=1)
    logs -= log_means[:, np.newaxis]
    np.square(logs, out=logs)
    rows[:, _LOG_MEAN], rows[:, _LOG_SPREAD] = log_means, logs.sum(axis=1)
    rows[:, _COUNT], rows[:, _ZEROS] = size, size - np.count_nonzero(values, axis=1)
    rows[:, _LOW], rows[:, _HIGH] = values.min(axis=1), values.max(axis=1)
    return rows


def _join(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the moments of all rows together, by the rule of `Moments`, all at once."""
    counts = rows[:, _COUNT]
    joined: NDArray[np.float64] = rows.sum(axis=0)
    joined[_LOW], joined[_HIGH] = rows[:, _LOW].min(), rows[:, _HIGH].max()
    for mean, spread in ((_MEAN, _SPREAD), (_LOG_MEAN, _LOG_SPREAD)):
        joined[mean] = (rows[:, mean] * counts).sum() / max(1.0, joined[_COUNT])
        joined[spread] += (counts * (rows[:, mean] - joined[mean]) ** 2).sum()
    return joined


class PatternMoments:
    """Joins the moments of patterns in their order, in groups of a fixed number of patterns.

    How many patterns arrive at once does not change the result, so neither do threads or memory.
    """

    def __init__(self) -> None:
        self._waiting: NDArray[np.float64] = np.empty((0, 8))
        self._groups: list[NDArray[np.float64]] = []

    def add(self, rows: NDArray[np.float64]) -> None:
        """Take rows of `measure_patterns`."""
        self._waiting = np.concatenate([self._waiting, rows])
        while len(self._waiting) >= _GROUP:
            self._groups.append(_join(self._waiting[:_GROUP]))
            self._waiting = self._waiting[_GROUP:]

    def statistics(self) -> Statistics:
        """Return the statistics of all that was added; without any finite value, all are 0."""
        rest = [_join(self._waiting)] if len(self._waiting) else []
        rows = [*self._groups, *rest] or [Moments().to_array()]
        return Moments.from_array(_join(np.array(rows))).statistics()


def join_statistics(parts: Sequence[Statistics]) -> Statistics:
    """Return the statistics of the values of all parts together."""
    if len(parts) == 1:
        return parts[0]
    rows = [
        Moments(
            part.count,
            round(part.zero_fraction * part.count),
            part.min if part.count else math.inf,
            part.max if part.count else -math.inf,
            part.mean,
            part.std**2 * part.count,
            part.log1p_mean,
            part.log1p_std**2 * part.count,
        ).to_array()
        for part in parts
    ]
    return Moments.from_array(_join(np.array(rows))).statistics()


def moments_of_counts(histogram: NDArray[np.int64]) -> Moments:
    """Return the moments of counts, the sums exact in integers.

    Parameters
    ----------
    histogram
        Number of values equal to 0, 1, 2 …
    """
    present = np.flatnonzero(histogram)
    if not present.size:
        return Moments()
    numbers = [int(number) for number in histogram[present]]
    values = [int(value) for value in present]
    count = sum(numbers)
    total = sum(n * v for n, v in zip(numbers, values, strict=True))
    squares = sum(n * v * v for n, v in zip(numbers, values, strict=True))
    logs = [math.log1p(value) for value in values]
    log_mean = math.fsum(n * x for n, x in zip(numbers, logs, strict=True)) / count
    spread = math.fsum(n * (x - log_mean) ** 2 for n, x in zip(numbers, logs, strict=True))
    zeros = numbers[0] if values[0] == 0 else 0
    # Integer division keeps the exact variance of sums far beyond 2**53.
    exact = (count * squares - total * total) / count
    ends = float(values[0]), float(values[-1])
    return Moments(count, zeros, *ends, total / count, exact, log_mean, spread)


def merge_statistics(histogram: NDArray[np.int64], others: list[Moments]) -> Statistics:
    """Return the statistics of counts and of the rest, merged in the order given."""
    merged = moments_of_counts(histogram)
    for other in others:
        merged.merge(other)
    return merged.statistics()


def statistics_attributes(statistics: Statistics) -> dict[str, Any]:
    """Return the statistics as attributes of ``preview``."""
    return {name: getattr(statistics, name) for name in Statistics.__slots__}
