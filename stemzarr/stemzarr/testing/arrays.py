"""Arrays that are made while they are written, so that their size does not matter for memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["StreamedArray", "flat_pieces"]

_PIECE_BYTES = 32 * 1024**2


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamedArray:
    """An array that comes in pieces."""

    shape: tuple[int, ...]
    """Shape of the whole."""
    dtype: np.dtype[Any]
    """Type of the values."""
    pieces: Callable[[], Iterable[NDArray[Any]]] | None = None
    """Gives the values in C order, cut anywhere; None stands for zeros, written as a hole."""

    @property
    def nbytes(self) -> int:
        """Size of the values in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    def to_array(self) -> NDArray[Any]:
        """Return the whole in memory."""
        if self.pieces is None:
            return np.zeros(self.shape, self.dtype)
        return np.concatenate([piece.reshape(-1) for piece in self.pieces()]).reshape(self.shape)


def flat_pieces(data: NDArray[Any] | StreamedArray) -> Iterator[NDArray[Any]]:
    """Iterate over the values in C order, in one-dimensional pieces of some MiB.

    Raises
    ------
    ValueError
        The array is one of zeros that are not made.
    """
    if isinstance(data, StreamedArray):
        if data.pieces is None:
            raise ValueError("an array of zeros has no pieces")
        for piece in data.pieces():
            yield piece.reshape(-1)
        return
    flat = np.ascontiguousarray(data).reshape(-1)
    step = max(1, _PIECE_BYTES // max(1, flat.itemsize))
    for start in range(0, flat.size, step):
        yield flat[start : start + step]
