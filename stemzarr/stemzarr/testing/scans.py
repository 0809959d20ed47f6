"""Counted 4D-STEM scans that look like real ones, made row by row.

A scan of a polycrystal: each position is in one grain, each grain has a zone axis of its own, so
that its pattern is a bright central disk, Bragg disks on a lattice, and a faint diffuse halo.
Counts are Poisson distributed. Drawing every pixel again would be slow, so every grain has two
pools of draws from half its mean each; a pattern is the sum of one of either pool, which is again
Poisson distributed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from stemzarr.testing.arrays import StreamedArray

__all__ = ["CountedScan", "synthetic_scan"]

_POOL_BYTES = 32 * 1024**2
_PIECE_BYTES = 16 * 1024**2
_DRAWS = range(4, 49)
_GRAINS = 5
_HOT_PIXELS = 3
_MOST_COUNTS = 60
"""Of one draw, so that a sum of two fits every integer type."""


@dataclass(frozen=True)
class CountedScan:
    """The recipe of a scan; equal recipes give equal counts."""

    scan_shape: tuple[int, int]
    """Scan positions (scan_y, scan_x)."""
    detector_shape: tuple[int, int]
    """Detector pixels (det_y, det_x)."""
    dtype: np.dtype[Any]
    """Type of the counts, which never exceed 127."""
    seed: int
    """Seed of all that is random."""

    @cached_property
    def means(self) -> NDArray[np.float32]:
        """Mean counts of every grain, shape (grain, det_y, det_x)."""
        rng = np.random.default_rng([self.seed, 1])
        height, width = self.detector_shape
        y, x = np.mgrid[:height, :width].astype(np.float32)
        y, x = y - (height - 1) / 2, x - (width - 1) / 2
        side = min(height, width)
        radius = 0.07 * side
        halo = 0.06 * np.exp(-np.hypot(y, x) / (0.18 * side))
        means = np.empty((_GRAINS, height, width), np.float32)
        for grain in range(_GRAINS):
            spots = list(_lattice(rng, 0.22 * side))
            # What a grain diffracts is missing in its direct beam: bright field shows the grains.
            direct = np.clip(20 - sum(strength for *_, strength in spots), 5, 13)
            means[grain] = halo + direct * _disk(np.hypot(y, x), radius)
            for spot_y, spot_x, strength in spots:
                means[grain] += strength * _disk(np.hypot(y - spot_y, x - spot_x), radius)
        return means

    @cached_property
    def pools(self) -> NDArray[Any]:
        """Draws of half the mean, shape (2, grain, draw, det_y, det_x)."""
        rng = np.random.default_rng([self.seed, 2])
        pattern_bytes = max(1, self.means[0].size * self.dtype.itemsize)
        room = _POOL_BYTES // (2 * _GRAINS * pattern_bytes)
        draws = min(max(room, _DRAWS.start), _DRAWS.stop)
        shape = (2, draws, *self.means.shape)
        drawn = np.empty(shape, self.dtype)
        for index in np.ndindex(2, draws):
            drawn[index] = np.minimum(rng.poisson(self.means / 2), _MOST_COUNTS)
        hot = rng.integers(0, self.detector_shape, (_HOT_PIXELS, 2))
        drawn[0][..., hot[:, 0], hot[:, 1]] = _MOST_COUNTS
        return np.ascontiguousarray(drawn.swapaxes(1, 2))

    @cached_property
    def grain_map(self) -> NDArray[np.intp]:
        """Grain at every position, shape (scan_y, scan_x): the cells of a Voronoi diagram."""
        rng = np.random.default_rng([self.seed, 3])
        rows, columns = self.scan_shape
        seeds = rng.random((4 * _GRAINS, 2)) * self.scan_shape
        y = np.arange(rows)[:, np.newaxis, np.newaxis] - seeds[:, 0]
        x = np.arange(columns)[:, np.newaxis] - seeds[:, 1]
        nearest = np.stack([np.argmin(row**2 + x**2, axis=-1) for row in y])
        return nearest % _GRAINS

    def pieces(self) -> Iterator[NDArray[Any]]:
        """Iterate over the patterns in scan order, in arrays (position, det_y, det_x)."""
        pools, grain_map = self.pools, self.grain_map
        step = max(1, _PIECE_BYTES // max(1, pools[0, 0, 0].nbytes))
        for row, grains in enumerate(grain_map):
            rng = np.random.default_rng([self.seed, 4, row])
            draws = rng.integers(0, pools.shape[2], (2, len(grains)))
            for start in range(0, len(grains), step):
                span = slice(start, start + step)
                piece = pools[0, grains[span], draws[0, span]]
                piece += pools[1, grains[span], draws[1, span]]
                yield piece


def _disk(distance: NDArray[np.float32], radius: float) -> NDArray[np.float32]:
    """Return 1 inside the radius, falling to 0 over one pixel at its rim."""
    rim: NDArray[np.float32] = np.clip(radius - distance + 0.5, 0, 1)
    return rim


def _lattice(rng: np.random.Generator, spacing: float) -> Iterator[tuple[float, float, float]]:
    """Iterate over (y, x, mean counts) of the Bragg disks of a randomly turned lattice."""
    angle = rng.uniform(0, np.pi)
    first = spacing * rng.uniform(0.85, 1.15) * np.array([np.sin(angle), np.cos(angle)])
    turned = angle + np.deg2rad(rng.uniform(60, 90))
    second = spacing * rng.uniform(0.85, 1.15) * np.array([np.sin(turned), np.cos(turned)])
    for h in range(-2, 3):
        for k in range(-2, 3):
            if h or k:
                y, x = h * first + k * second
                yield y, x, rng.uniform(0.2, 2.0) * np.exp(-(h * h + k * k) / 4)


def synthetic_scan(
    scan_shape: tuple[int, int],
    detector_shape: tuple[int, int],
    dtype: DTypeLike = np.uint16,
    *,
    seed: int = 0,
) -> StreamedArray:
    """Return a counted 4D-STEM scan of any size, made while it is read.

    Parameters
    ----------
    scan_shape
        Scan positions (scan_y, scan_x).
    detector_shape
        Detector pixels (det_y, det_x).
    dtype
        Type of the counts, which stay below 128.
    seed
        Equal seeds give equal counts.

    Returns
    -------
    StreamedArray
        Shape (scan_y, scan_x, det_y, det_x): 70-95 % zeros, a bright central disk, Bragg disks of
        a few grains, a few hot pixels. Its pieces hold whole patterns, never more than one row.
    """
    scan = CountedScan(scan_shape, detector_shape, np.dtype(dtype), seed)
    return StreamedArray(shape=(*scan_shape, *detector_shape), dtype=scan.dtype, pieces=scan.pieces)
