"""Rendered units that a process keeps."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["UnitCache"]

Key = tuple[int, int]


class UnitCache:
    """Keeps the units that were used last, in one piece of memory, and lends room to make them in.

    Arrays that come and go among the buffers of decoding would leave holes in the heap: a process
    grew to three times what it kept.

    Parameters
    ----------
    slots
        How many units there is room for.
    size
        Number of values of the largest unit.
    dtype
        Their type.
    """

    def __init__(self, slots: int, size: int, dtype: np.dtype[Any]) -> None:
        self._pool = np.empty((slots, size), dtype)
        self._free = list(range(slots))
        self._kept: OrderedDict[Key, tuple[int, NDArray[Any]]] = OrderedDict()

    @property
    def slots(self) -> int:
        """How many units there is room for."""
        return len(self._pool)

    @property
    def nbytes(self) -> int:
        """Size of the units that are kept."""
        return sum(values.nbytes for _, values in self._kept.values())

    def get(self, key: Key) -> NDArray[Any] | None:
        """Return a unit, or None; what is returned holds until room is lent."""
        if key not in self._kept:
            return None
        self._kept.move_to_end(key)
        return self._kept[key][1]

    @contextlib.contextmanager
    def lend(self, number: int) -> Iterator[list[NDArray[Any]]]:
        """Lend flat room for some units, in place of those that were used least recently.

        Parameters
        ----------
        number
            How many, at most `slots`. Those that are not kept when the block ends are given back.
        """
        while len(self._free) < number:
            _, (slot, _) = self._kept.popitem(last=False)
            self._free.append(slot)
        lent, self._free = self._free[:number], self._free[number:]
        self._lent = dict(enumerate(lent))
        try:
            yield [self._pool[slot] for slot in lent]
        finally:
            self._free += self._lent.values()

    def keep(self, key: Key, place: int, values: NDArray[Any]) -> None:
        """Keep a unit that lies in the room that was lent at `place`."""
        self._kept[key] = self._lent.pop(place), values
