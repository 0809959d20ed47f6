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
from stemzarr.model import Statistics

__all__ = ["Reduction"]


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
    """What each measure has so far, by its name."""

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
            if measure.combine is None:
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
        """Return the array of every measure by its name, zeros where nothing was recorded.

        Parameters
        ----------
        valid
            (scan_y, scan_x) which patterns were recorded; all where it is None.
        """
        scan = np.prod(self.shape[:2]) if valid is None else np.count_nonzero(valid)
        patterns = max(1, int(scan))
        return {measure.name: self._finalize(measure, patterns) for measure in MEASURES}

    def _finalize(self, measure: Measure, patterns: int) -> NDArray[Any]:
        dtype = measure.dtype(self.dtype)
        shape = self.shape[2:] if measure.combine else self.shape[:2]
        if measure.name not in self.measured:
            return np.zeros(shape, dtype)
        array = measure.finalize(self.measured[measure.name], patterns)
        return np.asarray(array.reshape(shape) if measure.combine else array, dtype)


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
