"""Rendered units that a process keeps."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["UnitCache"]

Key = tuple[int, int]


class UnitCache:
    """Keeps the units that were used last, in one piece of memory.

    Arrays that come and go among the buffers of decoding would leave holes in the heap: a process
    grew to three times what it kept.

    Parameters
    ----------
    slots
        How many units are kept.
    size
        Number of values of the largest unit.
    dtype
        Their type.
    """

    def __init__(self, slots: int, size: int, dtype: np.dtype[Any]) -> None:
        self._pool = np.empty((slots, size), dtype)
        self._kept: OrderedDict[Key, tuple[int, NDArray[Any]]] = OrderedDict()

    @property
    def nbytes(self) -> int:
        """Size of the units that are kept."""
        return sum(values.nbytes for _, values in self._kept.values())

    def get(self, key: Key) -> NDArray[Any] | None:
        """Return a unit, or None; what is returned holds until the next unit is kept."""
        if key not in self._kept:
            return None
        self._kept.move_to_end(key)
        return self._kept[key][1]

    def keep(self, key: Key, values: NDArray[Any]) -> None:
        """Copy a unit, in place of the one that was used least recently where there is no room."""
        slot = len(self._kept)
        if slot == len(self._pool):
            _, (slot, _) = self._kept.popitem(last=False)
        copy = self._pool[slot, : values.size].reshape(values.shape)
        np.copyto(copy, values)
        self._kept[key] = slot, copy
