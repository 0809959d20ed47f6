"""Tile sums: the detector in small squares, each summed exactly at every scan position.

A tile is a square of `tile_side` pixels a side; those at the high sides of a detector that tiles do
not divide are smaller. A virtual detector made of whole tiles is a sum of tile sums, so that it
needs about a hundredth of the pixels.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["narrowest", "sum_tiles", "tile_grid", "tile_side", "whole_tiles"]

_LEAST_SIDE = 8
_MOST_TILES = 32
_EXACT = 2**53
"""Up to which float64 holds every integer."""
_MOST_INT64 = 2**63


def tile_side(detector: tuple[int, ...]) -> int:
    """Return the side of the tiles of a detector, in pixels.

    Parameters
    ----------
    detector
        (det_y, det_x) lengths.

    Examples
    --------
    At least 8 pixels, and at most 32 tiles along each side.

    >>> [tile_side(shape) for shape in ((128, 128), (256, 256), (512, 512), (514, 1030))]
    [8, 8, 16, 33]
    """
    return max(_LEAST_SIDE, math.ceil(max(detector) / _MOST_TILES))


def tile_grid(detector: tuple[int, ...], side: int) -> tuple[int, int]:
    """Return the number of tiles along (det_y, det_x), the smaller ones at the high sides too.

    Examples
    --------
    >>> tile_grid((256, 60), 8)
    (32, 8)
    """
    return math.ceil(detector[0] / side), math.ceil(detector[1] / side)


def sum_tiles(values: NDArray[Any], side: int) -> NDArray[Any]:
    """Return the sums of all tiles of some patterns.

    Parameters
    ----------
    values
        (n, det_y, det_x) patterns, real or bool.
    side
        Side of a tile in pixels, as `tile_side` gives it.

    Returns
    -------
    numpy.ndarray
        (n, tile_y, tile_x). Of integers and bool exact, in the narrowest type that holds them
        all; float64 where integers are so large that a sum might not fit 64 bits. Of floats
        float64, added in an order that depends on nothing but the place in the tile.
    """
    summing = _summing_dtype(values, side)
    # Rows first: they are contiguous, so that most of the additions are of whole vectors.
    sums = _add_strided(_add_strided(values, side, 1, summing), side, 2, summing)
    return narrowest(sums) if values.dtype.kind in "iub" else sums


def _add_strided(
    values: NDArray[Any], side: int, axis: int, summing: np.dtype[Any]
) -> NDArray[Any]:
    """Return the sums of each `side` neighbours along an axis, fewer at its end."""
    shape = list(values.shape)
    shape[axis] = math.ceil(shape[axis] / side)
    sums: NDArray[Any] = np.zeros(shape, summing)
    before: tuple[slice, ...] = (slice(None),) * axis
    for first in range(min(side, values.shape[axis])):
        part = values[(*before, slice(first, None, side))]
        some = sums[(*before, slice(part.shape[axis]))]
        np.add(some, part, out=some, casting="unsafe")
    return sums


def _summing_dtype(values: NDArray[Any], side: int) -> np.dtype[Any]:
    """Return the narrowest type that no sum of a tile exceeds."""
    if values.dtype.kind not in "iub" or not values.size:
        return np.dtype(np.float64 if values.dtype.kind not in "iub" else np.uint8)
    most = side * side
    low, high = int(values.min()) * most, int(values.max()) * most
    if low < -_MOST_INT64 or high >= (2 if low >= 0 else 1) * _MOST_INT64:
        return np.dtype(np.float64)
    return _holding(low, high)


def _holding(low: int, high: int) -> np.dtype[Any]:
    if low >= 0:
        return np.min_scalar_type(high)
    return np.promote_types(np.min_scalar_type(low), np.min_scalar_type(-high - 1))


def narrowest(values: NDArray[Any]) -> NDArray[Any]:
    """Return integers in the narrowest type that holds them all, unsigned unless one is negative.

    Floats that all are integers within ±2**53 become integers; any others stay what they are.

    Examples
    --------
    >>> narrowest(np.array([0.0, 300.0])).dtype, narrowest(np.array([0.5])).dtype
    (dtype('uint16'), dtype('float64'))
    """
    if not values.size:
        return values.astype(np.uint8)
    low, high = values.min(), values.max()
    if values.dtype.kind == "f":
        fits = low >= -_EXACT and high <= _EXACT  # false for NaN
        if not (fits and np.array_equal(np.rint(values), values)):
            return values
    return values.astype(_holding(min(0, int(low)), max(0, int(high))), copy=False)


def whole_tiles(mask: NDArray[np.bool_], side: int) -> NDArray[np.bool_] | None:
    """Return which tiles a mask is made of, (tile_y, tile_x); None where it cuts through one.

    Parameters
    ----------
    mask
        (det_y, det_x) chosen pixels.
    side
        Side of a tile in pixels.

    Examples
    --------
    >>> whole_tiles(np.ones((16, 8), bool), 8).tolist(), whole_tiles(np.eye(8, dtype=bool), 8)
    ([[True], [True]], None)
    """
    chosen = sum_tiles(mask[np.newaxis], side)[0]
    size = sum_tiles(np.ones((1, *mask.shape), bool), side)[0]
    tiles = np.asarray(chosen > 0)
    return tiles if np.array_equal(chosen[tiles], size[tiles]) else None
