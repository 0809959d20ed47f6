"""Pixels as they lie in a source, and the way back: canonical arrays to the bytes of the disk.

The disk order of a segment is its canonical order with the last `Segment.rotation` dims first.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

__all__ = ["transpose_into"]

_TILE_BYTES = 64 * 1024


def transpose_into(out: NDArray[Any], matrix: NDArray[Any]) -> None:
    """Write the transpose of a matrix in tiles that stay in the cache.

    Parameters
    ----------
    out
        Writable array of shape (columns, rows) and of the same dtype.
    matrix
        Array of shape (rows, columns).
    """
    rows, columns = matrix.shape
    side = max(16, int((_TILE_BYTES / matrix.itemsize) ** 0.5))
    for row in range(0, rows, side):
        for column in range(0, columns, side):
            tile = matrix[row : row + side, column : column + side]
            out[column : column + side, row : row + side] = tile.T
