"""The pixels that the central disk and the annulus around it select."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemzarr.measure.counts import holding
from stemzarr.measure.disk import Disk

__all__ = ["DiskMask", "disk_mask"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskMask:
    """The pixels of a pattern that bright field and annular dark field are summed over."""

    disk: Disk
    """The disk and the annulus that they belong to."""
    shape: tuple[int, int]
    """Shape of a pattern."""
    window: tuple[slice, slice]
    """Rows and columns around all pixels within the inner radius of the annulus."""
    flags: NDArray[np.bool_]
    """(2, rows, columns) of the window: pixels of the disk, and those within the inner radius."""

    def sum_counts(self, counts: NDArray[Any], largest: int) -> NDArray[np.float64]:
        """Return the sums of counts over the disk and within the inner radius, (patterns, 2).

        Parameters
        ----------
        counts
            (patterns, pixels), C-contiguous.
        largest
            The largest of them.
        """
        cut = self._cut(counts).reshape(len(counts), -1)
        wide = holding(counts, cut.shape[1], largest)
        # No product of matrices: it would start threads of its own beside those of the ingest.
        sums = [
            np.add.reduce(cut * flags.reshape(-1).astype(counts.dtype), axis=1, dtype=wide)
            for flags in self.flags
        ]
        return np.stack(sums, axis=1).astype(np.float64)

    def sum_values(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the same of any values, added in a fixed order."""
        cut = self._cut(values)
        sums = [(cut * flags).reshape(len(values), -1).sum(axis=1) for flags in self.flags]
        return np.stack(sums, axis=1)

    def _cut(self, values: NDArray[Any]) -> NDArray[Any]:
        return values.reshape(-1, *self.shape)[:, *self.window]


def disk_mask(disk: Disk, shape: tuple[int, ...]) -> DiskMask:
    """Return the pixels that `disk` selects on a detector of `shape`."""
    around = [
        range(max(0, math.floor(c - disk.inner)), min(n, math.ceil(c + disk.inner) + 1))
        for c, n in zip((disk.center_y, disk.center_x), shape, strict=True)
    ]
    rows, columns = (np.asarray(span, np.float64) for span in around)
    distance = np.hypot(rows[:, np.newaxis] - disk.center_y, columns - disk.center_x)
    inside = distance <= disk.inner
    cut = (_extent(inside.max(axis=1, initial=False)), _extent(inside.max(axis=0, initial=False)))
    window = tuple(
        slice(span.start + part.start, span.start + part.stop)
        for span, part in zip(around, cut, strict=True)
    )
    pixels = [distance[cut] <= radius for radius in (disk.radius, disk.inner)]
    return DiskMask(
        disk=disk,
        shape=(shape[0], shape[1]),
        window=(window[0], window[1]),
        flags=np.stack(pixels),
    )


def _extent(flags: NDArray[np.bool_]) -> slice:
    places = np.flatnonzero(flags)
    return slice(int(places[0]), int(places[-1]) + 1) if places.size else slice(0, 0)
