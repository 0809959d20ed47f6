"""Exact statistics: from a histogram of counts, and from moments merged in a fixed order."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemzarr.model import Statistics

__all__ = ["Moments", "merge_statistics"]


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
            self.merge(_moments_of(values))

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

    def to_array(self) -> NDArray[np.float64]:
        """Return all fields as float64, shape (8,)."""
        return np.array(
            [
                self.count,
                self.zeros,
                self.low,
                self.high,
                self.mean,
                self.spread,
                self.log_mean,
                self.log_spread,
            ],
            np.float64,
        )

    @classmethod
    def from_array(cls, values: NDArray[np.float64]) -> Moments:
        """Return what `to_array` gave."""
        count, zeros, *rest = (float(value) for value in values)
        return cls(int(count), int(zeros), *rest)


def _moments_of(values: NDArray[np.float64]) -> Moments:
    flat = values.reshape(-1)
    mean = float(flat.mean())
    deviations = flat - mean
    np.square(deviations, out=deviations)
    spread = float(deviations.sum())
    logs = np.maximum(flat, 0.0, out=deviations)
    np.log1p(logs, out=logs)
    log_mean = float(logs.mean())
    logs -= log_mean
    np.square(logs, out=logs)
    return Moments(
        flat.size,
        flat.size - int(np.count_nonzero(flat)),
        float(flat.min()),
        float(flat.max()),
        mean,
        spread,
        log_mean,
        float(logs.sum()),
    )


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
    """Return the statistics of counts and of the rest, merged in the order given.

    Where there is no finite value at all, everything is 0.
    """
    merged = moments_of_counts(histogram)
    for other in others:
        merged.merge(other)
    if not merged.count:
        merged = Moments(low=0.0, high=0.0)
    count = max(1, merged.count)
    return Statistics(
        count=merged.count,
        min=merged.low,
        max=merged.high,
        mean=merged.mean,
        std=math.sqrt(max(0.0, merged.spread) / count),
        zero_fraction=merged.zeros / count,
        log1p_mean=merged.log_mean,
        log1p_std=math.sqrt(max(0.0, merged.log_spread) / count),
    )


def statistics_attributes(statistics: Statistics) -> dict[str, Any]:
    """Return the statistics as attributes of ``preview``."""
    return {name: getattr(statistics, name) for name in Statistics.__slots__}
