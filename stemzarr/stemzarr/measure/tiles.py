"""Tile sums: the detector in small squares, each summed exactly at every scan position.

A tile is a square of `tile_side` pixels a side; those at the high sides of a detector that tiles do
not divide are smaller. A virtual detector made of whole tiles is a sum of tile sums, so that it
needs about a hundredth of the pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["narrowest", "sum_moments", "sum_tiles", "tile_grid", "tile_side", "whole_tiles"]

_LEAST_SIDE = 8
_MOST_TILES = 32
_EXACT = 2**53
"""Up to which float64 holds every integer."""
_MOST_INT64 = 2**63
_GROUP_BYTES = 2 * 1024**2


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
    sums: NDArray[Any] = np.empty((len(values), *tile_grid(values.shape[1:], side)), summing)
    exact = summing.kind in "iu"
    for part in _groups(values):
        some = values[part]
        lines = _reduce_rows(some, side, summing) if exact else _add_rows(some, side)[0]
        sums[part] = _add_columns(lines, side, summing)
    return narrowest(sums) if values.dtype.kind in "iub" else sums


def sum_moments(
    values: NDArray[Any], side: int, largest: int | None = None
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Return tile sums and first moments of some patterns, in one pass.

    Parameters
    ----------
    values
        (n, det_y, det_x) counts as uint8 or uint16, or float64.
    side
        Side of a tile in pixels.
    largest
        The largest of counts; None for float64.

    Returns
    -------
    tuple
        The sums (n, tile_y, tile_x) of `sum_tiles`, not in their narrowest type; and the sums of
        row times value and of column times value, (n, 2), exact of counts.
    """
    if largest is None:
        return _sum_moments_of_floats(values, side)
    dtype, (height, width) = values.dtype, values.shape[1:]
    grid = tile_grid((height, width), side)
    lined = _holding_counts(dtype, largest * side)
    sums: NDArray[Any] = np.empty((len(values), *grid), _holding_counts(dtype, largest * side**2))
    moments = np.empty((len(values), 2))
    for part in _groups(values):
        lines = _reduce_rows(values[part], side, lined)
        sums[part] = _add_columns(lines, side, sums.dtype)
        # Of a whole row or column at once, in types that are no wider than these need.
        down = np.add.reduce(values[part], axis=2, dtype=_holding_counts(dtype, largest * width))
        across = np.add.reduce(lines, axis=1, dtype=_holding_counts(lined, largest * height))
        moments[part, 0] = down @ np.arange(height)
        moments[part, 1] = across @ np.arange(width)
    return sums, moments


def _holding_counts(dtype: np.dtype[Any], largest: int) -> np.dtype[Any]:
    """Return the narrowest type that holds a sum of counts, and what is added."""
    return np.promote_types(dtype, np.min_scalar_type(largest))


def _sum_moments_of_floats(
    values: NDArray[np.float64], side: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the same of float64, added in a fixed order."""
    grid = tile_grid(values.shape[1:], side)
    sums, moments = np.empty((len(values), *grid)), np.empty((len(values), 2))
    rows, columns = side * np.arange(grid[0]), np.arange(values.shape[2])
    for part in _groups(values):
        lines, inside = _add_rows(values[part], side)
        tiles = sums[part] = _add_columns(lines, side, lines.dtype)
        # A row is the first one of its tile, and as many more as `inside` counts.
        along = (tiles.sum(axis=2) * rows).sum(axis=1)
        moments[part, 0] = along + inside.reshape(len(inside), -1).sum(axis=1)
        moments[part, 1] = (lines.sum(axis=1) * columns).sum(axis=1)
    return sums, moments


def _groups(values: NDArray[Any]) -> Iterator[slice]:
    """Yield slices of patterns that stay in a processor's cache while they are summed."""
    few = max(1, _GROUP_BYTES // max(1, values[:1].nbytes))
    for first in range(0, len(values), few):
        yield slice(first, first + few)


def _reduce_rows(values: NDArray[Any], side: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the sums of integers over the rows of each tile, (n, tile_y, det_x)."""
    number, height, width = values.shape
    whole = height // side
    lines: NDArray[Any] = np.empty((number, math.ceil(height / side), width), dtype)
    tiled = values[:, : whole * side].reshape(number, whole, side, width)
    np.add.reduce(tiled, axis=2, dtype=dtype, out=lines[:, :whole])
    if whole * side < height:
        np.add.reduce(values[:, whole * side :], axis=1, dtype=dtype, out=lines[:, whole])
    return lines


def _add_rows(
    values: NDArray[np.float64], side: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the sums over the rows of each tile, and over row in the tile times value.

    Both are (n, tile_y, det_x), added in an order that depends on nothing but the place in the
    tile.
    """
    shape = (len(values), math.ceil(values.shape[1] / side), values.shape[2])
    lines, inside = np.zeros(shape), np.zeros(shape)
    for row in reversed(range(min(side, values.shape[1]))):
        part = values[:, row::side]
        some = lines[:, : part.shape[1]]
        np.add(some, part, out=some)
        if row:
            # What is in the n-th row of its tile is added n times.
            np.add(inside, lines, out=inside)
    return lines, inside


def _add_columns(lines: NDArray[Any], side: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the sums (n, tile_y, tile_x) of sums over rows."""
    *lead, columns = lines.shape
    if columns % side == 0 and dtype.kind != "f":
        # Copied so that the additions are of whole vectors, which takes half the time. Of floats
        # numpy would choose their order by the shape.
        apart = np.moveaxis(lines.reshape(*lead, columns // side, side), -1, 0)
        summed: NDArray[Any] = np.add.reduce(
            np.ascontiguousarray(apart, dtype), axis=0, dtype=dtype
        )
        return summed
    sums: NDArray[Any] = np.zeros((*lead, math.ceil(columns / side)), dtype)
    for column in range(min(side, columns)):
        part = lines[..., column::side]
        some = sums[..., : part.shape[-1]]
        np.add(some, part, out=some)
    return sums


def _summing_dtype(values: NDArray[Any], side: int) -> np.dtype[Any]:
    """Return the narrowest type that no sum of a tile exceeds, and no value."""
    if values.dtype.kind not in "iub":
        return np.dtype(np.float64)
    if not values.size:
        return np.dtype(np.uint8)
    most = side * side
    low, high = int(values.min()) * most, int(values.max()) * most
    if low < -_MOST_INT64 or high >= (2 if low >= 0 else 1) * _MOST_INT64:
        return np.dtype(np.float64)
    held = _holding(low, high)
    # Additions in a type that is narrower than that of the values would convert each of them.
    return held if values.dtype.kind == "b" else np.promote_types(values.dtype, held)


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
