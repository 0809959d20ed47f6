"""Units rendered in the order of the batches that need them, while earlier batches are used.

One thread decides and assembles: it begins the units of coming batches wherever a buffer is free,
waits for those of its batch, copies their patterns by one call, and frees the buffers of units that
no batch needs any more. A pool renders. All of it ends with the iterator.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from stemzarr.pixels.threads import map_in_threads
from stemzarr.torch.batch import Batch, LabelledBatch, ReadBatch, batch_of
from stemzarr.torch.cache import BatchMemory, Buffer
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
        # All at once: batch by batch this took a twentieth of the time under Python's lock.
        units, inside = dataset.locate(np.concatenate(batches))
        reader = None
        read: Callable[[NDArray[np.int64]], torch.Tensor] = dataset.fetch
        if count_at_once(units) <= dataset.units_in_memory(1):
            reader = _Reader(dataset, units, inside, _ends(batches), pool)
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
    """Return how many patterns there are up to the end of each batch."""
    return np.cumsum([len(numbers) for numbers in batches])


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
        units: NDArray[np.int64],
        inside: NDArray[np.int64],
        ends: NDArray[np.int64],
        pool: ThreadPoolExecutor,
    ) -> None:
        self._dataset, self._pool = dataset, pool
        self._units, self._inside, self._ends = units, inside, ends.tolist()
        self._cache = dataset.take_cache()
        self._memory = BatchMemory(self._cache.dtype)
        self._patterns = self._cache.size // math.prod(dataset.shape[1:])
        """Patterns that a buffer has memory for."""
        self._left = np.bincount(units)
        self._places = np.full(len(self._left), -1)
        """Where the first pattern of each unit is in the cache; -1 of units that are not begun."""
        self._begun: dict[int, tuple[Buffer, Future[NDArray[Any]]]] = {}
        self._done = 0
        found, firsts = np.unique(units, return_index=True)
        in_order = np.argsort(firsts)
        self._order = found[in_order].tolist()
        self._needed = np.searchsorted(ends, firsts[in_order], side="right").tolist()
        self._number = 0  # of the units of the order, how many are begun

    def list_missing(self) -> Iterator[int]:
        """Yield the units that are rendered, in the order of their use."""
        yield from (unit for unit in self._order if unit not in self._cache)

    def read(self, numbers: NDArray[np.int64]) -> torch.Tensor:
        """Return the next batch."""
        stop = self._ends[self._done]
        part = slice(stop - len(numbers), stop)
        units, inside = self._units[part], self._inside[part]
        batch = self._memory.array((len(numbers), *self._dataset.shape[1:]))
        copied = 0
        while copied < len(numbers):
            self._begin_coming()
            copied += self._copy(units[copied:], inside[copied:], batch[copied:, 0])
        self._done += 1
        return torch.from_numpy(batch)

    def _copy(self, units: NDArray[np.int64], inside: NDArray[np.int64], out: NDArray[Any]) -> int:
        """Copy the patterns before the first whose unit is not begun; return how many."""
        firsts = self._places[units]
        count = int(np.argmin(firsts)) if firsts.min() < 0 else len(units)
        used, patterns = np.unique(units[:count], return_counts=True)
        for unit in used.tolist():
            self._begun[unit][1].result()
        self._cache.copy_patterns(firsts[:count] + inside[:count], out[:count])
        self._left[used] -= patterns
        for unit in used[self._left[used] == 0].tolist():
            # No batch needs it: it gives way before those of an epoch that are yet to come.
            buffer, future = self._begun.pop(unit)
            self._cache.keep(unit, buffer, future.result(), first=True)
        return count

    def _begin_coming(self) -> None:
        """Begin units of coming batches, as many as there are buffers for."""
        while self._number < len(self._order):
            unit, batch = self._order[self._number], self._needed[self._number]
            if batch > self._done + _COMING or not self._begin(unit):
                return
            self._number += 1

    def _begin(self, unit: int) -> bool:
        """Return whether a unit is kept, or there is a buffer that it is rendered into."""
        kept = self._cache.take(unit)
        if kept is not None:
            buffer, values = kept
            future: Future[NDArray[Any]] = Future()
            future.set_result(values)
        else:
            free = self._cache.take_buffer()
            if free is None:
                return False
            buffer = free
            future = self._pool.submit(self._dataset.render_unit, unit, buffer.values)
        self._begun[unit] = buffer, future
        self._places[unit] = buffer.place * self._patterns
        return True

    def give_back(self) -> None:
        """Leave what is kept to the next epoch."""
        self._dataset.give_cache(self._cache)
