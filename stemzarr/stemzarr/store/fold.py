"""What the pixels of one shard fold to: sums, maxima, virtual images and exact statistics.

Counts (integers from 0 to 65535, also where they are stored as floats) are folded through their
histogram, from which every statistic follows exactly. The histogram of sparse counts is cheap:
where the largest count of a pixel among the patterns of a chunk is 0 or 1, its sum tells all, so
that only the other pixels are looked at one by one. All other values are folded in float64, chunk
by chunk in a fixed order, so that threads, clusters and resumed runs give the same bits.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemzarr.store.moments import Moments

__all__ = ["DiskMask", "ShardFold"]

_COUNTS = 65536
_PACKED_TOP = 7
_PACKED_BITS = 3
_PACKED_ROWS = 4
_PACKED_BINS = 1 << (_PACKED_BITS * _PACKED_ROWS)
_LANES = (64, 32, 16, 8)
_GLANCE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskMask:
    """The pixels of a pattern that bright field and annular dark field are summed over."""

    inside: NDArray[np.intp]
    """Flat indices of the pixels within the inner radius of the annulus, the disk's first."""
    disk: int
    """How many of them belong to the disk."""


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
    """Number of counts of each value, but for zeros and what `packed` and `ones` hold."""
    packed: NDArray[np.int64] = field(init=False)
    """Number of groups of four small counts, three bits each."""
    counted: int = 0
    """Number of values that were folded as counts."""
    ones: int = 0
    """Number of counts of 1 in pixels that never exceed it."""
    moments: Moments = field(default_factory=Moments)
    """Moments of the values that were not folded as counts."""
    integral: bool = True
    """Whether every value so far is an integer."""
    total: NDArray[Any] | None = None
    """Sum of all patterns, uint64 or float64, shape (pixels,)."""
    top: NDArray[Any] | None = None
    """Maximum of all patterns, shape (pixels,)."""
    images: list[NDArray[np.float64]] = field(default_factory=list)
    """For each chunk, (patterns, 3): total, bright field, annular dark field."""

    def __post_init__(self) -> None:
        """Begin with nothing."""
        self.histogram = np.zeros(_COUNTS, np.int64)
        self.packed = np.zeros(_PACKED_BINS, np.int64)

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
        top = counts.max(axis=0)
        total = sum_patterns(counts, int(top.max()))
        self.counted += counts.size
        self.ones += int(total.sum(dtype=np.uint64)) - self._count(counts, top, total)
        if self.mask is not None:
            self._keep(total, top, np.uint64)
            every = sum_pixels(counts, top)
            inside = counts.take(self.mask.inside, axis=1)
            self._keep_images(every, inside, np.uint64)

    def _count(self, counts: NDArray[Any], top: NDArray[Any], total: NDArray[Any]) -> int:
        """Put the pixels that exceed 1 into the histogram and return the sum of their counts."""
        busy = np.flatnonzero(top > 1)
        tops = top.take(busy)
        small, large = busy[tops <= _PACKED_TOP], busy[tops > _PACKED_TOP]
        packed = len(counts) // _PACKED_ROWS * _PACKED_ROWS
        if small.size and packed:
            rows = counts[:packed].take(small, axis=1)
            self.packed += np.bincount(pack_small(rows).ravel(), minlength=_PACKED_BINS)
        if small.size and packed < len(counts):
            self._bin(counts[packed:].take(small, axis=1))
        if large.size:
            self._bin(counts.take(large, axis=1))
        return int(total.take(busy).sum(dtype=np.uint64))

    def _bin(self, counts: NDArray[Any]) -> None:
        found = np.bincount(counts.ravel())
        self.histogram[: len(found)] += found

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
            self._keep(wide.sum(axis=0), top, np.float64)
            inside = wide.take(self.mask.inside, axis=1)
            self._keep_images(wide.sum(axis=1), inside, np.float64)

    def _keep(self, total: NDArray[Any], top: NDArray[Any], wide: type) -> None:
        top = top.astype(np.result_type(self.dtype.type(0).real), copy=False)
        if self.total is None or self.top is None:
            self.total, self.top = total.astype(wide), top.copy()
            return
        if self.total.dtype != wide:
            self.total = self.total.astype(np.float64)
        np.add(self.total, total, out=self.total, casting="same_kind")
        np.maximum(self.top, top, out=self.top)

    def _keep_images(self, every: NDArray[Any], inside: NDArray[Any], wide: type) -> None:
        assert self.mask is not None  # noqa: S101 - callers checked it
        disk = inside[:, : self.mask.disk].sum(axis=1, dtype=wide)
        dark = every - inside.sum(axis=1, dtype=wide)
        self.images.append(np.stack([every, disk, dark], axis=1).astype(np.float64))

    def counts(self) -> NDArray[np.int64]:
        """Return the histogram of all values that were folded as counts, zeros included."""
        histogram = self.histogram.copy()
        sides = self.packed.reshape((1 << _PACKED_BITS,) * _PACKED_ROWS)
        for side in range(_PACKED_ROWS):
            others = tuple(other for other in range(_PACKED_ROWS) if other != side)
            histogram[: _PACKED_TOP + 1] += sides.sum(axis=others)
        histogram[1] += self.ones
        histogram[0] = 0
        histogram[0] = self.counted - int(histogram.sum())
        return histogram

    def to_bytes(self) -> bytes:
        """Return what the chunks folded to, for the journal."""
        counts = self.counts()
        bins = int(np.flatnonzero(counts)[-1]) + 1 if counts.any() else 0
        parts: dict[str, NDArray[Any]] = {
            "counts": counts[:bins],
            "moments": self.moments.to_array(),
            "integral": np.array(self.integral),
        }
        if self.total is not None and self.top is not None:
            parts |= {"total": self.total, "top": self.top, "images": np.concatenate(self.images)}
        file = io.BytesIO()
        np.savez(file, allow_pickle=False, **parts)
        return file.getvalue()


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


def sum_patterns(counts: NDArray[Any], largest: int) -> NDArray[Any]:
    """Return the sum over patterns, in the narrowest type that cannot overflow.

    Parameters
    ----------
    counts
        (patterns, pixels), uint8 or uint16.
    largest
        The largest of them.
    """
    bound = len(counts) * largest
    wide = np.uint16 if bound < _COUNTS else np.uint32 if bound < 2**32 else np.uint64
    total: NDArray[Any] = np.add.reduce(counts, axis=0, dtype=wide)
    return total


def sum_pixels(counts: NDArray[Any], top: NDArray[Any]) -> NDArray[np.uint64]:
    """Return the sum of each pattern.

    Adding lanes of a pattern in 16 bits is three times as fast as widening every value; the
    maxima of the pixels tell beforehand whether any lane could overflow.

    Parameters
    ----------
    counts
        (patterns, pixels), uint8 or uint16.
    top
        (pixels,) maximum over the patterns.
    """
    patterns, pixels = counts.shape
    for lanes in _LANES:
        if pixels % lanes or counts.dtype != np.uint16:
            continue
        bound = top.reshape(lanes, -1).sum(axis=0, dtype=np.uint32)
        if int(bound.max()) < _COUNTS:
            split = counts.reshape(patterns, lanes, -1)
            partial = np.add.reduce(split, axis=1, dtype=np.uint16)
            return np.asarray(partial.sum(axis=1, dtype=np.uint64))
    return np.asarray(counts.sum(axis=1, dtype=np.uint64))


def pack_small(counts: NDArray[Any]) -> NDArray[np.uint16]:
    """Return codes of four counts below 8 each, three bits a count.

    Parameters
    ----------
    counts
        (patterns, pixels), the number of patterns a multiple of four.
    """
    codes = counts[0::_PACKED_ROWS].astype(np.uint16)
    for row in range(1, _PACKED_ROWS):
        shifted = counts[row::_PACKED_ROWS].astype(np.uint16)
        shifted <<= row * _PACKED_BITS
        codes |= shifted
    return codes
