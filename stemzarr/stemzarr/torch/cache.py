"""Rendered units that a process keeps."""

from __future__ import annotations

import contextlib
import math
import weakref
from collections import OrderedDict, deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["BatchMemory", "Buffer", "UnitCache", "rows_by_unit"]

Key = Hashable
_KEPT = 3
"""Batches whose memory is kept: two wait to be taken while one is used."""


@dataclass(slots=True, eq=False)
class Buffer:
    """Memory for one unit."""

    values: NDArray[Any]
    """Flat values, as many as the largest unit has."""
    place: int = 0
    """Its place among all buffers."""
    taken: bool = False
    """Whether a unit is kept in it."""


class UnitCache:
    """Keeps the units that were used last, in buffers from one pool of memory.

    Arrays that come and go among the buffers of decoding would leave holes in the heap: a process
    grew to three times what it kept. A call that was interrupted may hold what it borrowed for
    as long as its traceback lives, so that a cache is best dropped then.

    Parameters
    ----------
    slots
        How many units it can hold.
    size
        Number of values of the largest unit.
    dtype
        Their type.

    Attributes
    ----------
    slots
        How many units it can hold.
    size, dtype
        Number of values of the largest unit, and their type.
    """

    def __init__(self, slots: int, size: int, dtype: np.dtype[Any]) -> None:
        self._pool = np.empty((slots, size), dtype)
        self.slots, self.size, self.dtype = slots, size, dtype
        self._free = [Buffer(values=values, place=n) for n, values in enumerate(self._pool)]
        self._kept: OrderedDict[Key, tuple[Buffer, NDArray[Any]]] = OrderedDict()

    @property
    def nbytes(self) -> int:
        """Size of the units that are kept."""
        return sum(values.nbytes for _, values in self._kept.values())

    def __contains__(self, key: Key) -> bool:
        return key in self._kept

    def get(self, key: Key) -> NDArray[Any] | None:
        """Return a unit, or None; what is returned is valid until buffers are borrowed."""
        if key not in self._kept:
            return None
        self._kept.move_to_end(key)
        return self._kept[key][1]

    @contextlib.contextmanager
    def borrow(self, number: int) -> Iterator[list[Buffer]]:
        """Borrow buffers for some units, in place of those that were used least recently.

        Parameters
        ----------
        number
            How many, at most `slots`. What nothing is kept in when the block ends is given back.
        """
        borrowed = [self._make_room() for _ in range(number)]
        try:
            yield borrowed
        finally:
            self._free += [buffer for buffer in borrowed if not buffer.taken]

    def _make_room(self) -> Buffer:
        """Return a free buffer, or that of the unit that was used least recently."""
        if self._free:
            return self._free.pop()
        _, (buffer, _) = self._kept.popitem(last=False)
        return Buffer(values=buffer.values, place=buffer.place)

    def take_buffer(self) -> Buffer | None:
        """Return a buffer for good, in place of another unit; None where all are taken."""
        return self._make_room() if self._free or self._kept else None

    def take(self, key: Key) -> tuple[Buffer, NDArray[Any]] | None:
        """Return a unit for good, with its buffer; `keep` brings it back."""
        return self._kept.pop(key, None)

    def keep(self, key: Key, buffer: Buffer, values: NDArray[Any], *, first: bool = False) -> None:
        """Keep a unit that is in a borrowed buffer; `first` gives way before all others."""
        buffer.taken = True
        self._kept[key] = buffer, values
        if first:
            self._kept.move_to_end(key, last=False)

    def copy_patterns(self, places: NDArray[np.int64], out: NDArray[Any]) -> None:
        """Copy patterns out of buffers that were taken, all by one call.

        Parameters
        ----------
        places
            (N,) which patterns, counted through the memory of all buffers.
        out
            (N, det_y, det_x), C-contiguous.
        """
        patterns = self._pool.reshape(-1, math.prod(out.shape[1:]))
        # Another mode than the default copies straight; the places are within.
        np.take(patterns, places, axis=0, out=out.reshape(len(out), -1), mode="clip")


class BatchMemory:
    """Memory for batches, used again once nothing refers to a batch any more.

    The system clears each page that it gives, which takes longer than copying the patterns.

    Parameters
    ----------
    dtype
        Type of the values.
    """

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._dtype = dtype
        self._free: deque[NDArray[Any]] = deque(maxlen=_KEPT)

    def array(self, shape: tuple[int, ...]) -> NDArray[Any]:
        """Return a C-contiguous array with no defined values, its memory its own while it lives."""
        try:
            memory = self._free.pop()
        except IndexError:
            memory = np.empty(0, self._dtype)
        if memory.size < math.prod(shape):
            memory = np.empty(math.prod(shape), self._dtype)
        # A tensor of it refers to this very array, which every view of the tensor keeps alive.
        given = memory[: math.prod(shape)].reshape(shape)
        weakref.finalize(given, self._free.append, memory).atexit = False
        return given


def rows_by_unit(units: NDArray[np.int64]) -> Iterator[tuple[int, list[int]]]:
    """Yield each unit, in the order of its first row, and the rows that are of it."""
    found, firsts, which = np.unique(units, return_index=True, return_inverse=True)
    in_order = np.argsort(which, kind="stable")
    rows_of = np.split(in_order, np.cumsum(np.bincount(which))[:-1])
    for number in np.argsort(firsts).tolist():
        yield int(found[number]), rows_of[number].tolist()
