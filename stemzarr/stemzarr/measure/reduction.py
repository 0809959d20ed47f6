"""Reduces partial results, in a fixed order, to the statistics and previews of a document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemzarr.measure.accumulate import Partial
from stemzarr.measure.counts import COUNTS
from stemzarr.measure.measures import MEASURES, Measure
from stemzarr.measure.moments import Moments, merge_statistics
from stemzarr.measure.tiles import narrowest
from stemzarr.model import Statistics

__all__ = ["Reduction", "recorded_patterns"]


@dataclass(slots=True, kw_only=True)
class Reduction:
    """Takes partial results in the order of the document, and gives what they reduce to."""

    shape: tuple[int, ...]
    """Lengths of the document's dims."""
    dtype: np.dtype[Any]
    """Type of its values."""
    integral: bool = True
    """Whether every value so far is an integer."""
    histogram: NDArray[np.int64] = field(default_factory=lambda: np.zeros(COUNTS, np.int64))
    """Number of values equal to 0, 1, 2 …, of those that are counts."""
    moments: list[Moments] = field(default_factory=list)
    """Moments of the other values."""
    measured: dict[str, NDArray[Any]] = field(default_factory=dict)
    """What each measure has so far, by its name; of a large one its smallest and largest value."""

    def add(
        self, partial: Partial, boxes: Sequence[tuple[tuple[int, ...], tuple[int, ...]]]
    ) -> None:
        """Take what patterns add up to.

        Parameters
        ----------
        partial
            The partial results.
        boxes
            Start and shape of the boxes of the document that hold these patterns, in their order.
        """
        self.histogram[: len(partial.counts)] += partial.counts
        self.moments.append(partial.moments)
        self.integral = self.integral and partial.integral
        for measure in MEASURES:
            part = partial.measured.get(measure.name)
            if part is None:
                continue
            known = self.measured.get(measure.name)
            if measure.large:
                self.measured[measure.name] = _extend(known, part)
            elif measure.combine is None:
                self.measured[measure.name] = _place(known, part, self.shape[:2], boxes)
            else:
                combined = part if known is None else measure.combine(known, part)
                self.measured[measure.name] = combined

    @property
    def has_previews(self) -> bool:
        """Whether the document is a scan of which any pattern was recorded."""
        return all(measure.name in self.measured for measure in MEASURES)

    def statistics(self) -> Statistics:
        """Return exact statistics of all finite values; of the magnitude of complex ones."""
        return merge_statistics(self.histogram, self.moments)

    def previews(self, valid: NDArray[np.bool_] | None) -> dict[str, NDArray[Any]]:
        """Return the array of every measure but large ones, zeros where nothing was recorded.

        Parameters
        ----------
        valid
            (scan_y, scan_x) which patterns were recorded; all where it is None.
        """
        patterns = max(1, recorded_patterns(self.shape, valid))
        return {
            measure.name: self._finalize(measure, patterns)
            for measure in MEASURES
            if not measure.large
        }

    def totals(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return sum and maximum over all recorded patterns, (det_y, det_x)."""
        total, top = (
            self.measured.get(name, np.zeros(self.shape[2:]))
            for name in ("mean_diffraction", "max_diffraction")
        )
        return total.reshape(self.shape[2:]), top.reshape(self.shape[2:])

    def large_dtype(self, name: str) -> np.dtype[Any]:
        """Return the narrowest type that holds all values of a large measure."""
        return narrowest(self.measured[name]).dtype

    def _finalize(self, measure: Measure, patterns: int) -> NDArray[Any]:
        dtype = measure.dtype(self.dtype)
        shape = self.shape[2:] if measure.combine else self.shape[:2]
        if measure.name not in self.measured:
            return np.zeros(shape, dtype)
        array = measure.finalize(self.measured[measure.name], patterns)
        return np.asarray(array.reshape(shape) if measure.combine else array, dtype)


def recorded_patterns(shape: tuple[int, ...], valid: NDArray[np.bool_] | None) -> int:
    """Return the number of patterns of a scan of `shape` that were recorded."""
    return int(np.prod(shape[:2])) if valid is None else int(np.count_nonzero(valid))


def _extend(known: NDArray[Any] | None, part: NDArray[Any]) -> NDArray[Any]:
    """Return the smallest and the largest of all values; as floats where one is no integer."""
    ends = np.array([part.min(initial=0), part.max(initial=0)], part.dtype)
    if part.dtype.kind == "f":
        ends = np.array([*ends, 0.5])
    return ends if known is None else np.concatenate([known, ends])


def _place(
    known: NDArray[Any] | None,
    part: NDArray[Any],
    scan: tuple[int, ...],
    boxes: Sequence[tuple[tuple[int, ...], tuple[int, ...]]],
) -> NDArray[Any]:
    """Return an array over the scan into which a partial result is copied, box by box."""
    if known is None:
        known = np.zeros((*scan, *part.shape[1:]), part.dtype)
    array = known.astype(np.promote_types(known.dtype, part.dtype), copy=False)
    done = 0
    for (y, x, *_), (rows, columns, *_) in boxes:
        values = part[done : done + rows * columns]
        array[y : y + rows, x : x + columns] = values.reshape(rows, columns, *part.shape[1:])
        done += rows * columns
    return array
