"""Accumulates measures and exact statistics of the patterns of one shard, or of any box.

Counts (integers from 0 to 65535, also where they are stored as floats) go through their histogram,
some chunks at once. All other values are summed in float64, chunk by chunk in a fixed order, so
that threads, clusters and resumed runs give the same bits.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemzarr.measure.counts import COUNTS, as_counts, fold_counts
from stemzarr.measure.disk_mask import DiskMask
from stemzarr.measure.measures import MEASURES, Patterns
from stemzarr.measure.moments import Moments
from stemzarr.measure.tiles import narrowest, sum_moments, tile_side

__all__ = ["PARTIAL_FORM", "Accumulator", "Partial"]

PARTIAL_FORM = 4
"""Number of the form of partial results, and of the masks that they are made with.

Whoever changes either raises it: an unfinished ingest of another form begins again, since its
journal would be misread. One of other measures does so by their names.
"""

_PIECE_BYTES = 4 * 1024**2


@dataclass(frozen=True, slots=True, kw_only=True)
class Partial:
    """What some chunks add up to, as the journal holds it."""

    counts: NDArray[np.int64]
    """Number of values equal to 0, 1, 2 …, of those that are counts."""
    moments: Moments
    """Moments of the other values."""
    integral: bool
    """Whether all values are integers."""
    measured: dict[str, NDArray[Any]]
    """Partial result of each measure by its name; none for documents that are not 4D scan."""

    def to_bytes(self) -> bytes:
        """Return all arrays under their names, as an ``.npz`` file."""
        file = io.BytesIO()
        arrays: dict[str, Any] = {
            "counts": self.counts,
            "moments": self.moments.to_array(),
            "integral": np.array(self.integral),
        }
        np.savez(file, **arrays, **self.measured)  # type: ignore[arg-type]
        return file.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> Partial:
        """Return what `to_bytes` gave."""
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = dict(file)
        return cls(
            counts=arrays.pop("counts"),
            moments=Moments.from_array(arrays.pop("moments")),
            integral=bool(arrays.pop("integral")),
            measured=arrays,
        )

    @staticmethod
    def measured_in(content: bytes, name: str) -> NDArray[Any]:
        """Return the partial result of one measure of what `to_bytes` gave, and read no other."""
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            found: NDArray[Any] = file[name]
        return found


@dataclass(slots=True, kw_only=True)
class Accumulator:
    """Adds up chunks as they come, in C order.

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
    """Number of values that are counts."""
    moments: Moments = field(default_factory=Moments)
    """Moments of the values that are not."""
    integral: bool = True
    """Whether every value so far is an integer."""
    combined: dict[tuple[str, bool], NDArray[Any]] = field(default_factory=dict)
    """Partial results over the detector by their measure, those of counts apart from others."""
    placed: dict[str, list[NDArray[Any]]] = field(default_factory=dict)
    """Partial results over the scan by their measure, some patterns after the other."""

    def __post_init__(self) -> None:
        """Begin with nothing."""
        self.histogram = np.zeros(COUNTS, np.int64)

    def add(
        self,
        values: NDArray[Any],
        chunks: Sequence[int],
        valid: NDArray[np.bool_] | None = None,
    ) -> None:
        """Add the next chunks.

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
            largest = int(sums.top.max())
            tiles, moments = self._sum_moments(counts, self.mask, largest)
            patterns = Patterns(
                values=counts,
                sums=tiles.sum(axis=(1, 2), dtype=np.uint64).astype(np.float64),
                disk_sums=self.mask.sum_counts(counts, largest),
                total=sums.total,
                top=sums.top,
                tiles=tiles,
                moments=moments,
                mask=self.mask,
            )
            self._measure(patterns, counted=True, recorded=bool(there.any()))

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
            tiles, moments = self._sum_moments(wide, self.mask, None)
            patterns = Patterns(
                values=wide,
                sums=wide.sum(axis=1),
                disk_sums=self.mask.sum_values(wide),
                total=wide.sum(axis=0),
                top=top,
                tiles=tiles,
                moments=moments,
                mask=self.mask,
            )
            self._measure(patterns, counted=False, recorded=True)

    @staticmethod
    def _sum_moments(
        values: NDArray[Any], mask: DiskMask, largest: int | None
    ) -> tuple[NDArray[Any], NDArray[np.float64]]:
        patterns = values.reshape(len(values), *mask.shape)
        return sum_moments(patterns, tile_side(mask.shape), largest)

    def _measure(self, patterns: Patterns, *, counted: bool, recorded: bool) -> None:
        for measure in MEASURES:
            if measure.combine is None:
                part = measure.chunk(patterns)
                self.placed.setdefault(measure.name, []).append(
                    narrowest(part) if measure.large else part
                )
            elif recorded:
                key, part = (measure.name, counted), measure.chunk(patterns)
                known = self.combined.get(key)
                self.combined[key] = part if known is None else measure.combine(known, part)

    def counts(self) -> NDArray[np.int64]:
        """Return the histogram of all values that are counts, zeros included."""
        histogram = self.histogram.copy()
        histogram[0] = 0
        histogram[0] = self.counted - int(histogram.sum())
        return histogram

    def partial(self) -> Partial:
        """Return what all chunks add up to."""
        counts = self.counts()
        bins = int(np.flatnonzero(counts)[-1]) + 1 if counts.any() else 0
        measured = {name: np.concatenate(parts) for name, parts in self.placed.items()}
        for measure in MEASURES:
            if measure.large and measure.name in measured:
                # Signed and unsigned integers together have become floats, as exact.
                measured[measure.name] = narrowest(measured[measure.name])
            # Sums of counts are exact as long as no other values are added to them.
            keys = [(measure.name, counted) for counted in (True, False)]
            parts = [self.combined[key] for key in keys if key in self.combined]
            if measure.combine is not None and parts:
                measured[measure.name] = functools.reduce(measure.combine, parts)
        return Partial(
            counts=counts[:bins], moments=self.moments, integral=self.integral, measured=measured
        )


def lowest(dtype: np.dtype[Any]) -> Any:  # noqa: ANN401 - a scalar of that type
    """Return the smallest value of a real type."""
    if dtype.kind == "b":
        return False
    return -np.inf if dtype.kind == "f" else np.iinfo(dtype).min
