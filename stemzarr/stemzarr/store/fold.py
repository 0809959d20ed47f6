"""What the pixels of one shard fold to: sums, maxima, virtual images and exact statistics.

Counts (integers from 0 to 65535, also where they are stored as floats) are folded through their
histogram, from which every statistic follows exactly. The histogram of sparse counts is cheap: of
all pixels that never exceed 2 among the patterns of a chunk, the sum and the number of counts that
are not zero tell how many are 1 and 2; only the other pixels are binned one by one. All other
values are folded in float64, chunk by chunk in a fixed order, so that threads, clusters and resumed
runs give the same bits.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemzarr.store.moments import Moments

__all__ = ["DiskMask", "Fold", "ShardFold"]

_COUNTS = 65536
_SMALL = 2
_WORDS = 2**32
_FLOAT32_INTEGERS = 2**24
_LANES = 64
_NEAR_BYTES = 512 * 1024
_GLANCE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskMask:
    """The pixels of a pattern that bright field and annular dark field are summed over."""

    shape: tuple[int, int]
    """Shape of a pattern."""
    window: tuple[slice, slice]
    """Rows and columns around all pixels within the inner radius of the annulus."""
    weights: NDArray[np.float32]
    """(pixels of the window, 2): 1 where a pixel belongs to the disk, and where it lies within the
    inner radius; else 0."""

    def sum_counts(self, counts: NDArray[Any], largest: int) -> NDArray[np.float64]:
        """Return the sums of counts over the disk and within the inner radius, (patterns, 2).

        A product of matrices is exact here: no sum of integers in it leaves its type's range.

        Parameters
        ----------
        counts
            (patterns, pixels), C-contiguous.
        largest
            The largest of them.
        """
        exact = np.float32 if largest * len(self.weights) < _FLOAT32_INTEGERS else np.float64
        cut: NDArray[Any] = self._cut(counts).astype(exact).reshape(len(counts), -1)
        return np.asarray(cut @ self.weights, np.float64)

    def sum_values(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the same of any values; their order is fixed, which that of a product is not."""
        cut = self._cut(values).reshape(len(values), -1)
        return np.stack([(cut * column).sum(axis=1) for column in self.weights.T], axis=1)

    def _cut(self, values: NDArray[Any]) -> NDArray[Any]:
        return values.reshape(-1, *self.shape)[:, *self.window]


@dataclass(slots=True, kw_only=True)
class ShardFold:
    """What the chunks of one shard fold to, as they come, in C order.

    Parameters
    ----------
    pixels
        Number of pixels of a pattern.
    dtype
        Type of the values.
    mask
        Pixels of the virtual images; None where only statistics are wanted.
    """

    pixels: int
    dtype: np.dtype[Any]
    mask: DiskMask | None
    histogram: NDArray[np.int64] = field(init=False)
    """Number of counts of each value but 0."""
    counted: int = 0
    """Number of values that were folded as counts."""
    moments: Moments = field(default_factory=Moments)
    """Moments of the values that were not folded as counts."""
    integral: bool = True
    """Whether every value so far is an integer."""
    total: NDArray[Any] | None = None
    """Sum of patterns, uint64 or float64, shape (pixels,); the latest ones wait in 16 bits."""
    top: NDArray[Any] | None = None
    """Maximum of all patterns, shape (pixels,)."""
    images: list[NDArray[np.float64]] = field(default_factory=list)
    """For each chunk, (patterns, 3): total, bright field, annular dark field."""
    _near: NDArray[np.uint16] | None = None
    _bound: int = 0

    def __post_init__(self) -> None:
        """Begin with nothing."""
        self.histogram = np.zeros(_COUNTS, np.int64)

    def add(self, values: NDArray[Any]) -> None:
        """Fold one chunk.

        Parameters
        ----------
        values
            (patterns, pixels), C-contiguous, of `dtype`.
        """
        counts = as_counts(values)
        if counts is not None:
            self._add_counts(counts)
            return
        # Sums of the largest floats may overflow; what is not finite is left out at the end.
        with np.errstate(over="ignore", invalid="ignore"):
            self._add_values(values)

    def _add_counts(self, counts: NDArray[Any]) -> None:
        top, total, every, bound = reduce_counts(counts)
        self.counted += counts.size
        self._count(counts, top, int(every.sum()))
        if self.mask is not None:
            self._keep_counts(total, bound)
            self._keep_top(top)
            sums = self.mask.sum_counts(counts, bound // len(counts))
            self._keep_images(every.astype(np.float64), sums)

    def _count(self, counts: NDArray[Any], top: NDArray[Any], total: int) -> None:
        """Put a chunk into the histogram, given the sum of its counts."""
        large = np.flatnonzero(top > _SMALL)
        there = int(np.count_nonzero(counts))
        if large.size:
            found = np.bincount(counts.take(large, axis=1).ravel())
            self.histogram[: len(found)] += found
            total -= int(found @ np.arange(len(found)))
            there -= int(found[1:].sum())
        twos = total - there
        self.histogram[1] += there - twos
        self.histogram[2] += twos

    def _add_values(self, values: NDArray[Any]) -> None:
        real = np.abs(values) if values.dtype.kind == "c" else values
        wide = real.astype(np.float64)
        finite = np.isfinite(wide)
        if finite.all():
            finite_values = wide
        else:
            finite_values = wide[finite]
            wide[~finite] = 0.0
        self.integral = self.integral and bool((np.rint(finite_values) == finite_values).all())
        self.moments.add(finite_values)
        if self.mask is not None:
            top = np.where(finite, real, lowest(real.dtype)).max(axis=0)
            self.total = self._sum() + wide.sum(axis=0)
            self._keep_top(top)
            self._keep_images(wide.sum(axis=1), self.mask.sum_values(wide))

    def _keep_counts(self, total: NDArray[Any], bound: int) -> None:
        """Add the sum of a chunk; in 16 bits as long as they hold it, which is much faster."""
        if self._near is not None and self._bound + bound < _COUNTS:
            np.add(self._near, total, out=self._near)
            self._bound += bound
            return
        self.total = self._sum()
        if bound < _COUNTS:
            self._near, self._bound = total, bound
        else:
            self.total = self.total + total

    def _sum(self) -> NDArray[Any]:
        """Return the sum of all patterns so far, and begin the one in 16 bits anew."""
        total = np.zeros(self.pixels, np.uint64) if self.total is None else self.total
        if self._near is not None:
            total = total + self._near
        self._near, self._bound = None, 0
        return total

    def _keep_top(self, top: NDArray[Any]) -> None:
        if self.top is None:
            self.top = top.astype(self.dtype.type(0).real.dtype)
        else:
            np.maximum(self.top, top, out=self.top, casting="same_kind")

    def _keep_images(self, every: NDArray[np.float64], sums: NDArray[np.float64]) -> None:
        self.images.append(np.stack([every, sums[:, 0], every - sums[:, 1]], axis=1))

    def counts(self) -> NDArray[np.int64]:
        """Return the histogram of all values that were folded as counts, zeros included."""
        histogram = self.histogram.copy()
        histogram[0] = 0
        histogram[0] = self.counted - int(histogram.sum())
        return histogram

    def to_bytes(self) -> bytes:
        """Return what the chunks folded to, for the journal."""
        counts = self.counts()
        bins = int(np.flatnonzero(counts)[-1]) + 1 if counts.any() else 0
        parts: list[NDArray[Any]] = [
            counts[:bins],
            self.moments.to_array(),
            np.array(self.integral),
        ]
        if self.top is not None:
            parts += [self._sum(), self.top, np.concatenate(self.images)]
        file = io.BytesIO()
        for part in parts:
            np.save(file, part, allow_pickle=False)
        return file.getvalue()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """What a shard folded to, as the journal holds it."""

    counts: NDArray[np.int64]
    """Number of values equal to 0, 1, 2 …, of those that are counts."""
    moments: Moments
    """Moments of the other values."""
    integral: bool
    """Whether all values are integers."""
    total: NDArray[Any] | None = None
    """(pixels,) sum of the patterns."""
    top: NDArray[Any] | None = None
    """(pixels,) maximum of the patterns."""
    images: NDArray[np.float64] | None = None
    """(patterns, 3) total, bright field, annular dark field."""

    @classmethod
    def from_bytes(cls, content: bytes) -> Fold:
        """Return what `ShardFold.to_bytes` gave."""
        file, parts = io.BytesIO(content), []
        while file.tell() < len(content):
            parts.append(np.load(file, allow_pickle=False))
        names = ("total", "top", "images")
        pictures = dict(zip(names, parts[3:], strict=False))
        moments = Moments.from_array(parts[1])
        return cls(counts=parts[0], moments=moments, integral=bool(parts[2]), **pictures)


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
    return values.astype(np.uint16) if values.max() < _COUNTS else None


def _counts_of_floats(values: NDArray[Any]) -> NDArray[np.uint16] | None:
    first = values.reshape(-1)[:_GLANCE].astype(np.float64)
    if not ((first >= 0) & (first < _COUNTS) & (np.rint(first) == first)).all():
        return None
    with np.errstate(invalid="ignore"):
        counts = values.astype(np.uint16)
    return counts if (counts == values).all() else None


def lowest(dtype: np.dtype[Any]) -> Any:  # noqa: ANN401 - a scalar of that type
    """Return the smallest value of a real type."""
    if dtype.kind == "b":
        return False
    return -np.inf if dtype.kind == "f" else np.iinfo(dtype).min


def reduce_counts(
    counts: NDArray[Any],
) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.uint64], int]:
    """Return maximum and sum over the patterns, the sum of each pattern, and a bound of the sums.

    All three are taken of one part of the pixels after the other, each small enough for the
    cache, and added in 16 bits where the maxima tell that nothing can overflow: widening every
    value would take three times as long.

    Parameters
    ----------
    counts
        (patterns, pixels), C-contiguous, uint8 or uint16.

    Returns
    -------
    tuple
        (pixels,) maximum; (pixels,) sum, in the narrowest type that cannot overflow; (patterns,)
        sum; what no sum over the patterns exceeds.
    """
    patterns, pixels = counts.shape
    lanes = math.gcd(pixels, _LANES)
    cube = counts.reshape(patterns, lanes, pixels // lanes)
    step = max(1, lanes * _NEAR_BYTES // max(1, counts.nbytes))
    top = np.empty(cube.shape[1:], counts.dtype)
    total = np.empty(cube.shape[1:], np.uint16)
    every = np.zeros(patterns, np.uint64)
    bound = 0
    for first in range(0, lanes, step):
        part, inside = cube[:, first : first + step], slice(first, first + step)
        np.maximum.reduce(part, axis=0, out=top[inside])
        largest = int(top[inside].max())
        bound = max(bound, patterns * largest)
        np.add.reduce(part, axis=0, dtype=np.uint16, out=total[inside])
        narrow = np.uint16 if step * largest < _COUNTS else np.uint64
        every += np.add.reduce(part, axis=1, dtype=narrow).sum(axis=1, dtype=np.uint64)
    if bound < _COUNTS:
        return top.reshape(-1), total.reshape(-1), every, bound
    wide = np.uint32 if bound < _WORDS else np.uint64
    return top.reshape(-1), np.add.reduce(counts, axis=0, dtype=wide), every, bound
