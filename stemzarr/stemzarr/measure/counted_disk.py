"""The pixels that the central disk and the annulus around it select."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from stemzarr.measure.counts import DiskMask
from stemzarr.measure.disk import Disk

__all__ = ["disk_mask"]


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
        shape=(shape[0], shape[1]), window=(window[0], window[1]), flags=np.stack(pixels)
    )


def _extent(flags: NDArray[np.bool_]) -> slice:
    places = np.flatnonzero(flags)
    return slice(int(places[0]), int(places[-1]) + 1) if places.size else slice(0, 0)
