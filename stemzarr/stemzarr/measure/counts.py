"""Counts, integers from 0 to 65535, measured at the speed of the memory.

Counts are measured by their histogram, from which every statistic follows exactly. It is cheap
where counts are sparse: of a pixel that never exceeds 2 among a group of patterns, the sum and the
number of counts that are not zero tell how many are 1 and 2; only the other pixels are binned one
by one. The rest are a few reductions of large arrays in narrow types: threads that count at one
time lose more by taking turns at Python's lock between small steps than by missing the cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["COUNTS", "CountSums", "as_counts", "fold_counts", "holding"]

COUNTS = 65536
"""What counts stay below."""
_SMALL = 2
_GROUP = 8
_BINNED = 2**15
_GLANCE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class CountSums:
    """What some patterns of counts add up to."""

    top: NDArray[Any]
    """(pixels,) maximum over the patterns."""
    total: NDArray[Any]
    """(pixels,) sum over the patterns."""


def as_counts(values: NDArray[Any]) -> NDArray[Any] | None:
    """Return the values as uint8 or uint16 where nothing is lost by that, else None."""
    kind, itemsize = values.dtype.kind, values.dtype.itemsize
    if kind == "b":
        return values.view(np.uint8)
    if kind not in "iu" or not values.size:
        return _counts_of_floats(values) if kind == "f" and values.size else None
    if kind == "i" and values.min() < 0:
        return None
    if itemsize <= np.dtype(np.uint16).itemsize:
        return values.view(f"u{itemsize}")
    return values.astype(np.uint16) if values.max() < COUNTS else None


def _counts_of_floats(values: NDArray[Any]) -> NDArray[np.uint16] | None:
    first = values.reshape(-1)[:_GLANCE].astype(np.float64)
    if not ((first >= 0) & (first < COUNTS) & (np.rint(first) == first)).all():
        return None
    with np.errstate(invalid="ignore"):
        counts = values.astype(np.uint16)
    return counts if (counts == values).all() else None


def fold_counts(counts: NDArray[Any], histogram: NDArray[np.int64]) -> CountSums:
    """Return the sums of some patterns, and count their values, but the zeros, in `histogram`.

    Parameters
    ----------
    counts
        (patterns, pixels), C-contiguous, uint8 or uint16.
    histogram
        Number of counts of each value, (`COUNTS`,); is added to.
    """
    patterns, pixels = counts.shape
    whole = patterns - patterns % _GROUP
    parts = [
        _fold_groups(part.reshape(-1, size, pixels), histogram)
        for part, size in ((counts[:whole], _GROUP), (counts[whole:], patterns - whole))
        if part.size
    ]
    tops, totals = zip(*parts, strict=True)
    return CountSums(
        top=np.maximum.reduce(tops, axis=0),
        # Each is as narrow as its own patterns allow, which is too narrow for both.
        total=np.add.reduce(totals, axis=0, dtype=np.uint64),
    )


def _fold_groups(
    groups: NDArray[Any], histogram: NDArray[np.int64]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return maximum and sum over all patterns of (groups, patterns, pixels)."""
    number, patterns, _ = groups.shape
    tops = np.maximum.reduce(groups, axis=1)
    top = np.maximum.reduce(tops, axis=0)
    largest = int(top.max())
    totals = np.add.reduce(groups, axis=1, dtype=holding(groups, patterns, largest))
    wide = np.uint16 if number * patterns * largest < COUNTS else np.uint64
    total = np.add.reduce(totals, axis=0, dtype=wide)
    _count(groups, tops, int(total.sum(dtype=np.uint64)), histogram)
    return top, total


def _count(
    groups: NDArray[Any], tops: NDArray[Any], total: int, histogram: NDArray[np.int64]
) -> None:
    """Count values in `histogram`, given the maxima of groups and the sum of all."""
    there = int(np.count_nonzero(groups))
    for values in _larger(groups, tops):
        found = np.bincount(values)
        histogram[: len(found)] += found
        total -= int(found @ np.arange(len(found)))
        there -= int(found[1:].sum())
    twos = total - there
    histogram[1] += there - twos
    histogram[2] += twos


def _larger(groups: NDArray[Any], tops: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield the counts of all pixels that exceed 2 somewhere in their group, some at a time."""
    _, patterns, pixels = groups.shape
    flat, large = groups.reshape(-1), np.flatnonzero(tops > _SMALL)
    if 2 * large.size > tops.size:
        for start in range(0, flat.size, _BINNED):
            yield flat[start : start + _BINNED]
        return
    first = large + large // pixels * ((patterns - 1) * pixels)
    steps = np.arange(patterns)[:, np.newaxis] * pixels
    for start in range(0, first.size, _BINNED // patterns):
        yield flat.take(first[start : start + _BINNED // patterns] + steps).reshape(-1)


def holding(counts: NDArray[Any], number: int, largest: int) -> np.dtype[Any]:
    """Return the narrowest type that holds the sum of that many counts."""
    return np.promote_types(counts.dtype, np.min_scalar_type(number * largest))
