"""Reusable buffers: scratch arrays out of memory that a thread keeps.

Allocating memory is expensive: the system finds and clears each page when it is first touched, and
a heap that large arrays come from and go back to in any order grows. So a thread keeps a few
buffers.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

__all__ = ["Buffer", "borrow"]

_LARGEST = 16 * 1024**2
_MOST = 4


class Buffer(threading.local):
    """Memory for one large array at a time; every thread has its own, which goes with it."""

    def __init__(self) -> None:
        self._values = np.empty(0, np.uint8)

    def array(self, shape: Sequence[int], dtype: DTypeLike) -> NDArray[Any]:
        """Return a C-contiguous array with no defined values, in memory that the next one takes."""
        nbytes = math.prod(shape) * np.dtype(dtype).itemsize
        if self._values.nbytes < nbytes:
            self._values = np.empty(0, np.uint8)  # the old memory goes before the new one comes
            self._values = np.empty(nbytes, np.uint8)
        return self._values[:nbytes].view(dtype).reshape(tuple(shape))


class _Buffers(threading.local):
    """The buffers of one thread that nobody uses now; they go with the thread."""

    def __init__(self) -> None:
        self.free: list[NDArray[np.uint8]] = []


_buffers = _Buffers()


@contextlib.contextmanager
def borrow(shape: Sequence[int], dtype: DTypeLike) -> Iterator[NDArray[Any]]:
    """Give an array with no defined values, which must not be used after the block.

    Parameters
    ----------
    shape, dtype
        Of the array, which is C-contiguous.
    """
    dtype = np.dtype(dtype)
    nbytes = math.prod(shape) * dtype.itemsize
    buffer = _take(nbytes)
    try:
        yield buffer[:nbytes].view(dtype).reshape(tuple(shape))
    finally:
        if buffer.nbytes <= _LARGEST:
            _buffers.free.append(buffer)


def _take(nbytes: int) -> NDArray[np.uint8]:
    """Return the smallest free buffer that is large enough, or a new one."""
    free = _buffers.free
    fitting = [place for place, buffer in enumerate(free) if buffer.nbytes >= nbytes]
    if fitting:
        return free.pop(min(fitting, key=lambda place: free[place].nbytes))
    if len(free) >= _MOST:
        free.pop(min(range(len(free)), key=lambda place: free[place].nbytes))
    return np.empty(nbytes, np.uint8)
