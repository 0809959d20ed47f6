"""Units rendered in the order of the batches that need them, while earlier batches are used.

One thread decides and assembles: it begins the units of coming batches wherever a buffer is free,
waits for those of its batch, copies their patterns, and frees the buffer of each unit that no
batch needs any more. A pool renders. All of it ends with the iterator.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from stemzarr.pixels.threads import map_in_threads
from stemzarr.torch.batch import Batch, LabelledBatch, ReadBatch, batch_of
from stemzarr.torch.cache import Buffer, rows_by_unit
from stemzarr.torch.dataset import PatternDataset

__all__ = ["count_at_once", "read_ahead"]

_ASSEMBLED = 2
"""Batches that may wait to be taken."""
_COMING = 32
"""Batches whose units may be begun before they are assembled."""


def read_ahead(
    dataset: PatternDataset, batches: Sequence[NDArray[np.int64]]
) -> Iterator[ReadBatch]:
    """Yield batches, read while those before them are used.

    Every unit is rendered once, and no more units are kept than the memory of the dataset holds.
    An order that needs more at once is read batch by batch, and what was dropped meanwhile again.

    Parameters
    ----------
    dataset
        The patterns.
    batches
        Numbers of the patterns of each batch.

    Raises
    ------
    Exception
        Whatever reading raised, at the batch that needs what could not be read.
    """
    if not batches:
        return
    with (
        ThreadPoolExecutor(dataset.threads, thread_name_prefix="stemzarr-render") as pool,
        contextlib.ExitStack() as foreseen,
    ):
        units = dataset.units()[np.concatenate(batches)]
        reader = None
        read: Callable[[NDArray[np.int64]], torch.Tensor] = dataset.fetch
        if count_at_once(units) <= dataset.units_in_memory(1):
            reader = _Reader(dataset, np.split(units, _ends(batches)), pool)
            read = reader.read
            foreseen.enter_context(dataset.foresee(reader.list_missing()))

        def assemble(numbers: NDArray[np.int64]) -> Batch | LabelledBatch:
            return batch_of(dataset.label(read(numbers), numbers))

        assembled = map_in_threads(assemble, batches, threads=1, ahead=_ASSEMBLED - 1)
        try:
            for numbers, patterns in zip(batches, assembled, strict=True):
                yield ReadBatch(numbers.tolist(), patterns)
            if reader is not None:
                reader.give_back()
        finally:
            # First, so that a batch which waits for what has not begun ends too.
            pool.shutdown(wait=False, cancel_futures=True)
            assembled.close()


def _ends(batches: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Return where each batch but the last ends."""
    return np.cumsum([len(numbers) for numbers in batches])[:-1]


def count_at_once(units: NDArray[np.int64]) -> int:
    """Return how many units are in use at most, each from its first pattern to its last.

    Parameters
    ----------
    units
        The unit of each pattern, in the order in which they are used, (N,).
    """
    places = np.arange(len(units))
    first = np.zeros(int(units.max(initial=0)) + 1, np.int64)
    last = first.copy()
    # Of several values for one place, the last stays.
    first[units[::-1]] = places[::-1]
    last[units] = places
    used = np.unique(units)
    begun = np.bincount(first[used], minlength=len(units) + 1)
    ended = np.bincount(last[used] + 1, minlength=len(units) + 1)
    return int(np.cumsum(begun - ended).max(initial=0))


class _Reader:
    """Reads batches in their order, each once, in one thread."""

    def __init__(
        self,
        dataset: PatternDataset,
        units: Sequence[NDArray[np.int64]],
        pool: ThreadPoolExecutor,
    ) -> None:
        self._dataset, self._pool = dataset, pool
        self._cache = dataset.take_cache()
        self._units = units
        self._left = np.bincount(np.concatenate(units))
        self._begun: dict[int, tuple[Buffer, Future[NDArray[Any]]]] = {}
        self._done = 0
        self._coming = self._list_units(units)
        self._next = next(self._coming, None)

    @staticmethod
    def _list_units(batches: Sequence[NDArray[np.int64]]) -> Iterator[tuple[int, int]]:
        """Yield number of the batch and unit, in the order in which batches are assembled."""
        for number, units in enumerate(batches):
            for unit, _ in rows_by_unit(units):
                yield number, unit

    def list_missing(self) -> Iterator[int]:
        """Yield the units that are rendered, in the order of their use."""
        order = dict.fromkeys(unit for _, unit in self._list_units(self._units))
        yield from (unit for unit in order if unit not in self._cache)

    def read(self, numbers: NDArray[np.int64]) -> torch.Tensor:
        """Return the next batch."""
        self._begin_coming()
        units, inside = self._dataset.locate(numbers)
        batch = self._dataset.allocate(len(numbers))
        for unit, rows in rows_by_unit(units):
            values = self._begun[unit][1].result()
            # One by one: a list of places would be copied twice.
            for row in rows:
                batch[row, 0] = values[inside[row]]
            self._left[unit] -= len(rows)
            if not self._left[unit]:
                self._free(unit)
        self._done += 1
        return torch.from_numpy(batch)

    def _free(self, unit: int) -> None:
        """Give up a unit that no batch needs, before those of an epoch that are yet to come."""
        buffer, future = self._begun.pop(unit)
        self._cache.keep(unit, buffer, future.result(), first=True)
        self._begin_coming()

    def _begin_coming(self) -> None:
        """Begin units of coming batches, as many as there are buffers for."""
        while self._next is not None:
            number, unit = self._next
            if number > self._done + _COMING or not self._begin(unit):
                return
            self._next = next(self._coming, None)

    def _begin(self, unit: int) -> bool:
        """Return whether a unit is kept, or there is a buffer that it is rendered into."""
        if unit in self._begun:
            return True
        kept = self._cache.take(unit)
        if kept is not None:
            future: Future[NDArray[Any]] = Future()
            future.set_result(kept[1])
            self._begun[unit] = kept[0], future
            return True
        buffer = self._cache.take_buffer()
        if buffer is None:
            return False
        rendering = self._pool.submit(self._dataset.render_unit, unit, buffer.values)
        self._begun[unit] = buffer, rendering
        return True

    def give_back(self) -> None:
        """Leave what is kept to the next epoch."""
        self._dataset.give_cache(self._cache)
