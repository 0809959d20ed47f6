"""The central disk of a scan, found from a sparse sample of its patterns."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemzarr.model import Document, read_box
from stemzarr.store.counts import DiskMask

__all__ = ["Disk", "disk_mask", "find_disk", "sample_mean"]

_SAMPLES = 32
_SAMPLED_RUN = 64
_SAMPLED_BYTES = 32 * 1024**2
_LEVELS = np.linspace(0.1, 0.9, 33)
_ANNULUS = 1.5
_FALLBACK = 8.0
_FINEST = 1024
"""Pixels along a side of a pattern in which the disk is looked for; larger ones are binned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """The disk that bright field is summed over, in pixels of the detector."""

    center_y: float
    """Row of its centre."""
    center_x: float
    """Column of its centre."""
    radius: float
    """Its radius; the pixels up to it belong to bright field."""
    inner: float
    """Inner radius of the annulus; all pixels farther than that belong to dark field."""
    found: bool
    """Whether it was found in the data; else it is a guess in the middle of the detector."""

    def attributes(self) -> dict[str, float | int]:
        """Return the disk as an attribute of ``preview``."""
        return {
            "center_y": self.center_y,
            "center_x": self.center_x,
            "radius": self.radius,
            "annulus_inner": self.inner,
            "found": int(self.found),
        }


def sample_mean(document: Document) -> NDArray[np.float64]:
    """Return the mean of a few patterns of the scan, shape (det_y, det_x).

    They are spread over the scan, but for a transposed source: it keeps each pixel of all patterns
    together, so that a run of patterns in the middle costs no more to read than a single one.
    """
    rows, columns, *pattern = document.shape
    pattern_bytes = max(1, math.prod(pattern) * document.dtype.itemsize)
    if document.layout is not None and document.layout.order == "scan-fast":
        run = max(1, min(columns, _SAMPLED_RUN, _SAMPLED_BYTES // pattern_bytes))
        corners = [(rows // 2, (columns - run) // 2)]
    else:
        run = 1
        count = max(1, min(_SAMPLES, 4 * _SAMPLED_BYTES // pattern_bytes))
        corners = [divmod(place, columns) for place in _spread(rows * columns, count)]
    total = np.zeros(pattern)
    for y, x in corners:
        box = read_box(document.blocks, (y, x, 0, 0), (1, run, *pattern))
        # Sums of the largest floats may overflow; then there is no disk to be found.
        with np.errstate(over="ignore", invalid="ignore"):
            for values in box[0]:
                total += _finite(values)
    return total / (run * len(corners))


def _finite(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.kind not in "fc":
        return values
    real = np.abs(values) if values.dtype.kind == "c" else values
    return np.asarray(np.nan_to_num(real, nan=0.0, posinf=0.0, neginf=0.0))


def _spread(size: int, count: int) -> list[int]:
    """Return `count` places spread evenly over `size`, away from the ends."""
    count = min(size, count)
    return [int((2 * place + 1) * size / (2 * count)) for place in range(count)]


def find_disk(mean: NDArray[np.float64]) -> Disk:
    """Return the bright central disk of a mean diffraction pattern.

    Its radius is the one that changes least with the threshold, as in py4DSTEM's
    ``get_probe_size``; its centre is that of the mass above the threshold, near the brightest
    region, so that Bragg disks and hot pixels do not move it.

    Parameters
    ----------
    mean
        (det_y, det_x) mean of some patterns.
    """
    factor = max(1, min(*mean.shape, math.ceil(max(mean.shape) / _FINEST)))
    found = _find_disk(_binned(mean, factor))
    return dataclasses.replace(
        found,
        center_y=found.center_y * factor + (factor - 1) / 2,
        center_x=found.center_x * factor + (factor - 1) / 2,
        radius=found.radius * factor,
        inner=found.inner * factor,
    )


def _binned(image: NDArray[np.float64], factor: int) -> NDArray[np.float64]:
    """Return the mean of every square of `factor` pixels a side; what is left over is dropped."""
    if factor == 1:
        return image
    rows, columns = (size // factor for size in image.shape)
    whole = image[: rows * factor, : columns * factor]
    binned: NDArray[np.float64] = whole.reshape(rows, factor, columns, factor).mean(axis=(1, 3))
    return binned


def _find_disk(mean: NDArray[np.float64]) -> Disk:
    smooth = _median(mean)
    peak = float(smooth.max(initial=0.0))
    if not peak > float(np.median(smooth)):
        return _guess(mean.shape)
    areas = np.array([np.count_nonzero(smooth > level * peak) for level in _LEVELS])
    radii = np.sqrt(areas / math.pi)
    change = np.abs(np.gradient(radii))
    flat = int(np.argmin(_running_mean(change)))
    radius, level = float(radii[flat]), float(_LEVELS[flat]) * peak
    if radius <= 0.5 or radius > min(mean.shape) / 2:  # noqa: PLR2004 - under a pixel
        return _guess(mean.shape)
    y, x = np.unravel_index(int(np.argmax(_box_sum(smooth, max(1, int(radius))))), mean.shape)
    rows, columns = _grid(mean.shape)
    near = (np.hypot(rows - y, columns - x) <= 2 * radius) & (smooth > level)
    if not near.any():
        return _guess(mean.shape)
    return Disk(
        center_y=float(rows[near].mean()),
        center_x=float(columns[near].mean()),
        radius=float(math.sqrt(np.count_nonzero(near) / math.pi)),
        inner=float(_ANNULUS * math.sqrt(np.count_nonzero(near) / math.pi)),
        found=True,
    )


def _grid(shape: tuple[int, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    grid = np.indices(shape, np.float64)
    return grid[0], grid[1]


def _guess(shape: tuple[int, ...]) -> Disk:
    radius = max(1.0, min(shape) / _FALLBACK)
    return Disk(
        center_y=(shape[0] - 1) / 2,
        center_x=(shape[1] - 1) / 2,
        radius=radius,
        inner=_ANNULUS * radius,
        found=False,
    )


def _running_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    padded = np.pad(values, 1, mode="edge")
    smoothed: NDArray[np.float64] = (padded[:-2] + padded[1:-1] + padded[2:]) / 3
    return smoothed


def _median(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the median of the 3x3 neighbourhood of each pixel, which removes hot pixels."""
    padded = np.pad(image, 1, mode="edge")
    rows, columns = image.shape
    shifted = [padded[dy : dy + rows, dx : dx + columns] for dy in range(3) for dx in range(3)]
    result: NDArray[np.float64] = np.median(np.stack(shifted), axis=0)
    return result


def _box_sum(image: NDArray[np.float64], reach: int) -> NDArray[np.float64]:
    """Return the sum over the square of ``2 reach + 1`` pixels around each pixel."""
    summed = image
    for axis in (0, 1):
        width = [(0, 0), (0, 0)]
        width[axis] = (reach + 1, reach)
        running = np.cumsum(np.pad(summed, width), axis=axis)
        size, span = image.shape[axis], 2 * reach + 1
        high = np.take(running, np.arange(span, span + size), axis=axis)
        summed = high - np.take(running, np.arange(size), axis=axis)
    return summed


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
