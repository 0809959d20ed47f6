"""Batches in an order that is random for training and cheap for the disk."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Sampler

from stemzarr.errors import OptionError
from stemzarr.options import check_whole
from stemzarr.torch.dataset import PatternDataset, take_batch

__all__ = ["PatternSampler", "make_loader"]


class PatternSampler(Sampler[list[int]]):
    """Gives batches of pattern numbers: units of the disk shuffled, then patterns in a buffer.

    As many randomly chosen units as fit the memory of a dataset form a buffer, whose patterns are
    shuffled. Every pattern comes exactly once an epoch, over all ranks together, and every unit
    is decoded once, up to those that two ranks or workers share. Use it as the ``batch_sampler``
    of a loader.

    Parameters
    ----------
    dataset
        The patterns.
    batch_size
        Patterns of a batch.
    shuffle
        Whether the order is random; otherwise it is that of the scans.
    seed
        The same seed and epoch give the same order, for any number of runs.
    drop_last
        Whether a last, smaller batch is left out. All ranks then have equally many batches, which
        distributed training needs.
    num_workers
        Workers of the loader, so that each gets batches of buffers of its own.
    rank, world_size
        Place among the processes that train together; those of torch.distributed by default.

    Raises
    ------
    OptionError
        A number is not a whole one or too small, or `rank` is not below `world_size`.

    Notes
    -----
    Every pass over it is a new epoch; `set_epoch` says which one comes next.
    """

    def __init__(  # noqa: PLR0913 - what varies between trainings, one by one
        self,
        dataset: PatternDataset,
        batch_size: int = 64,
        *,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
        num_workers: int = 0,
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        self.dataset = dataset
        self.batch_size = check_whole("batch_size", batch_size, 1)
        self.shuffle = shuffle
        self.seed = check_whole("seed", seed, 0)
        self.drop_last = drop_last
        self.num_workers = check_whole("num_workers", num_workers, 0)
        self.rank, self.world_size = _place(rank, world_size)
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch the next pass is.

        Raises
        ------
        OptionError
            It is not a whole number of at least 0.
        """
        self._epoch = check_whole("epoch", epoch, 0)

    def __len__(self) -> int:
        if self.drop_last:
            return len(self.dataset) // self.world_size // self.batch_size
        low, high = self._share()
        return math.ceil((high - low) / self.batch_size)

    def _share(self) -> tuple[int, int]:
        """Return which part of the order of all patterns is that of this rank."""
        count = len(self.dataset)
        return count * self.rank // self.world_size, count * (self.rank + 1) // self.world_size

    def __iter__(self) -> Iterator[list[int]]:
        rng = np.random.default_rng([self.seed, self._epoch])
        self._epoch += 1
        low, high = self._share()
        if low == high:
            return
        if not self.shuffle:
            yield from self._cut([np.arange(low, high)])
            return
        units = self.dataset.units()
        places = rng.permutation(int(units.max()) + 1)[units]
        order = np.argsort(places, kind="stable")[low:high]
        rng = np.random.default_rng([self.seed, self._epoch, self.rank])
        lanes = np.array_split(order, max(1, self.num_workers))
        yield from self._cut([self._mix(lane, units[lane], rng) for lane in lanes])

    def _mix(
        self, order: NDArray[np.int64], units: NDArray[np.int64], rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Shuffle patterns within runs of as many units as one process keeps."""
        if not len(order):
            return order
        changes = np.concatenate([[0], np.cumsum(units[1:] != units[:-1])])
        buffers = changes // self.dataset.units_in_memory(self.num_workers)
        return order[np.lexsort((rng.random(len(order)), buffers))]

    def _cut(self, lanes: list[NDArray[np.int64]]) -> Iterator[list[int]]:
        """Give full batches of the lanes in turn, and batches of what is left of all at the end."""
        size = self.batch_size
        full = [len(lane) // size for lane in lanes]
        rest = np.concatenate(
            [lane[count * size :] for lane, count in zip(lanes, full, strict=True)]
        )
        parts = [
            lane[turn * size : (turn + 1) * size]
            for turn in range(max(full))
            for lane, count in zip(lanes, full, strict=True)
            if turn < count
        ]
        parts += [rest[start : start + size] for start in range(0, len(rest), size)]
        for part in parts[: len(self)]:
            yield part.tolist()


def _place(rank: int | None, world_size: int | None) -> tuple[int, int]:
    """Return rank and number of the processes that train together."""
    together = torch.distributed.is_available() and torch.distributed.is_initialized()
    if rank is None:
        rank = torch.distributed.get_rank() if together else 0
    if world_size is None:
        world_size = torch.distributed.get_world_size() if together else 1
    rank, size = check_whole("rank", rank, 0), check_whole("world_size", world_size, 1)
    if rank >= size:
        msg = f"rank is {rank}, and world_size is {size}"
        raise OptionError(msg, hint="give both; ranks count from 0 and are below world_size")
    return rank, size


def make_loader(
    dataset: PatternDataset,
    batch_size: int = 64,
    *,
    shuffle: bool = True,
    seed: int = 0,
    drop_last: bool = False,
    num_workers: int = 0,
    **options: Any,  # noqa: ANN401 - whatever torch's loader takes
) -> DataLoader[torch.Tensor]:
    """Return a loader of batches (batch_size, 1, det_y, det_x), its sampler fitting its workers.

    Parameters
    ----------
    dataset, batch_size, shuffle, seed, drop_last
        As in `PatternSampler`.
    num_workers
        Processes that render; 0 renders in threads of this one.
    options
        Further options of torch.utils.data.DataLoader, such as ``pin_memory``.

    Raises
    ------
    OptionError
        As in `PatternSampler`.
    """
    sampler = PatternSampler(
        dataset,
        batch_size,
        shuffle=shuffle,
        seed=seed,
        drop_last=drop_last,
        num_workers=num_workers,
    )
    options = {"collate_fn": take_batch, **options}
    return DataLoader(dataset, batch_sampler=sampler, num_workers=sampler.num_workers, **options)
