"""What the pixels of one shard fold to: sums, maxima, virtual images and exact statistics.

Counts (integers from 0 to 65535, also where they are stored as floats) are folded through their
histogram, some chunks at once. All other values are folded in float64, chunk by chunk in a fixed
order, so that threads, clusters and resumed runs give the same bits.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemzarr.measure.counts import COUNTS, DiskMask, as_counts, fold_counts
from stemzarr.measure.moments import Moments

__all__ = ["FOLD_FORM", "Fold", "ShardFold"]

FOLD_FORM = 2
"""Number of the form of what shards accumulate, and of the masks that it is made with.

Whoever changes either raises it: an unfinished ingest of another form begins again, since its
journal would be misread.
"""

_PIECE_BYTES = 4 * 1024**2


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
    bad
        (pixels,) which pixels enter nothing, and are 0 in sums and maxima; None where all count.
    """

    pixels: int
    dtype: np.dtype[Any]
    mask: DiskMask | None
    bad: NDArray[np.bool_] | None = None
    histogram: NDArray[np.int64] = field(init=False)
    """Number of counts of each value but 0."""
    counted: int = 0
    """Number of values that were folded as counts."""
    moments: Moments = field(default_factory=Moments)
    """Moments of the values that were not folded as counts."""
    integral: bool = True
    """Whether every value so far is an integer."""
    counts_total: NDArray[np.uint64] = field(init=False)
    """Sum of the patterns that were folded as counts, shape (pixels,)."""
    values_total: NDArray[np.float64] | None = None
    """Sum of the other patterns."""
    top: NDArray[Any] | None = None
    """Maximum of all patterns, shape (pixels,)."""
    images: list[NDArray[np.float64]] = field(default_factory=list)
    """Some patterns after the other, (patterns, 3): total, bright field, annular dark field."""

    def __post_init__(self) -> None:
        """Begin with nothing."""
        self.histogram = np.zeros(COUNTS, np.int64)
        self.counts_total = np.zeros(self.pixels, np.uint64)

    def add(
        self,
        values: NDArray[Any],
        chunks: Sequence[int],
        valid: NDArray[np.bool_] | None = None,
    ) -> None:
        """Fold the next chunks.

        Parameters
        ----------
        values
            (patterns, pixels), C-contiguous, of `dtype`.
        chunks
            Number of patterns of each chunk.
        valid
            (patterns,) which of them were recorded; all where it is None. The others enter
            nothing, and are 0 in the images.
        """
        there = np.ones(len(values), bool) if valid is None else valid
        if self.bad is not None:
            values = np.where(self.bad, values.dtype.type(0), values)
        if not there.all():
            values = np.where(there[:, np.newaxis], values, values.dtype.type(0))
        first = 0
        for piece in self._pieces(chunks):
            part = slice(first, first + sum(piece))
            self._add_piece(values[part], piece, there[part])
            first = part.stop

    def _pieces(self, chunks: Sequence[int]) -> Iterator[list[int]]:
        """Yield runs of chunks that together are small enough to work on."""
        most = max(1, _PIECE_BYTES // (max(1, self.pixels) * self.dtype.itemsize))
        piece: list[int] = []
        for patterns in chunks:
            if piece and sum(piece) + patterns > most:
                yield piece
                piece = []
            piece.append(patterns)
        if piece:
            yield piece

    def _add_piece(
        self, values: NDArray[Any], chunks: Sequence[int], there: NDArray[np.bool_]
    ) -> None:
        counts = as_counts(values)
        if counts is not None:
            self._add_counts(counts, there)
        elif len(chunks) > 1:
            cuts = np.cumsum(chunks)[:-1]
            for part, kept in zip(np.split(values, cuts), np.split(there, cuts), strict=True):
                self._add_piece(part, [len(part)], kept)
        else:
            # Sums of the largest floats may overflow; what is not finite is left out at the end.
            with np.errstate(over="ignore", invalid="ignore"):
                self._add_values(values, there)

    def _add_counts(self, counts: NDArray[Any], there: NDArray[np.bool_]) -> None:
        sums = fold_counts(counts, self.histogram)
        # Zeros are what is left of all values, so that those of missing patterns and of bad pixels
        # need no more.
        bad = 0 if self.bad is None else int(np.count_nonzero(self.bad))
        self.counted += int(np.count_nonzero(there)) * (self.pixels - bad)
        if self.mask is not None:
            self.counts_total += sums.total
            if there.any():
                self._keep_top(sums.top)
            disk = self.mask.sum_counts(counts, int(sums.top.max()))
            self._keep_images(sums.every.astype(np.float64), disk)

    def _add_values(self, values: NDArray[Any], there: NDArray[np.bool_]) -> None:
        real = np.abs(values) if values.dtype.kind == "c" else values
        wide = real.astype(np.float64)
        finite = np.isfinite(wide)
        finite &= there[:, np.newaxis]
        if self.bad is not None:
            finite &= ~self.bad
        if finite.all():
            finite_values = wide
        else:
            finite_values = wide[finite]
            wide[~finite] = 0.0
        self.integral = self.integral and bool((np.rint(finite_values) == finite_values).all())
        self.moments.add(finite_values)
        if self.mask is not None:
            top = np.where(finite, real, lowest(real.dtype)).max(axis=0)
            if self.bad is not None:
                top[self.bad] = 0
            total = wide.sum(axis=0)
            self.values_total = total if self.values_total is None else self.values_total + total
            self._keep_top(top)
            self._keep_images(wide.sum(axis=1), self.mask.sum_values(wide))

    def _keep_top(self, top: NDArray[Any]) -> None:
        if self.top is None:
            self.top = top.astype(self.dtype.type(0).real.dtype)
        else:
            # Counts of booleans come as bytes; every maximum is a value of the type itself.
            np.maximum(self.top, top, out=self.top, casting="unsafe")

    def _keep_images(self, every: NDArray[np.float64], sums: NDArray[np.float64]) -> None:
        self.images.append(np.stack([every, sums[:, 0], every - sums[:, 1]], axis=1))

    @property
    def total(self) -> NDArray[Any]:
        """Sum of all patterns, shape (pixels,)."""
        if self.values_total is None:
            return self.counts_total
        return self.counts_total + self.values_total

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
            parts += [self.total, self.top, np.concatenate(self.images)]
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


def lowest(dtype: np.dtype[Any]) -> Any:  # noqa: ANN401 - a scalar of that type
    """Return the smallest value of a real type."""
    if dtype.kind == "b":
        return False
    return -np.inf if dtype.kind == "f" else np.iinfo(dtype).min
