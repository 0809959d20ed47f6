"""Batches in an order that is random for training and cheap for the disk."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import ConcatDataset, Sampler, Subset

from stemzarr.errors import OptionError
from stemzarr.options import check_whole
from stemzarr.torch.dataset import PatternDataset

__all__ = ["PatternSampler"]

_Batch = TypeVar("_Batch")


class PatternSampler(Sampler[list[int]]):
    """Gives batches of pattern numbers: units of the disk shuffled, then patterns of neighbours.

    Units come in random order, and the patterns of each are spread at random over as many units as
    half the memory of a dataset holds; where all units fit, over the whole epoch. Every pattern
    comes exactly once an epoch, over all ranks together, and every unit is decoded once, up to
    those that two ranks or workers share. Units are needed at an even rate, so that they can be
    read ahead. Use it as the ``batch_sampler`` of a loader.

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
        Workers of the loader, so that each gets batches of units of its own.
    rank, world_size
        Place among the processes that train together. By default torch.distributed is asked
        whenever an iteration begins, so that the sampler may be made before the processes know
        each other.

    Raises
    ------
    OptionError
        A number is not a whole one or too small, `rank` is not below `world_size`, or the dataset
        is not a `PatternDataset`.

    Notes
    -----
    An iteration that reaches its end begins the next epoch; one that is left early, such as a look
    at the first batch, changes nothing. `set_epoch` says which epoch comes next. `state_dict` and
    `load_state_dict` resume in the middle of an epoch, with torchdata's StatefulDataLoader too.
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
        _check_patterns(dataset)
        self.dataset = dataset
        self.batch_size = check_whole("batch_size", batch_size, 1)
        self.shuffle = shuffle
        self.seed = check_whole("seed", seed, 0)
        self.drop_last = drop_last
        self.num_workers = check_whole("num_workers", num_workers, 0)
        _place(rank, world_size)
        self._place = rank, world_size
        self._epoch = 0
        self._first = 0  # batch that the next iteration begins with
        self._taken = 0  # batches that the last iteration came to
        self._saved: Mapping[str, Any] = {}

    @property
    def sampler(self) -> PatternSampler:
        """Itself: Lightning looks here for whom to tell the epoch."""
        return self

    @property
    def rank(self) -> int:
        """Place among the processes that train together, as it is now."""
        return _place(*self._place)[0]

    @property
    def world_size(self) -> int:
        """How many processes train together, as it is now."""
        return _place(*self._place)[1]

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch the next iteration is; the present one keeps its place.

        Raises
        ------
        OptionError
            It is not a whole number of at least 0.
        """
        if check_whole("epoch", epoch, 0) != self._epoch:
            self._epoch, self._first, self._taken = int(epoch), 0, 0

    def state_dict(self) -> dict[str, Any]:
        """Return epoch, batches that the last iteration gave of it, and what its order is of."""
        return {"epoch": self._epoch, "batch": self._taken, "order": self._describe_order()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where a state was saved: the next iteration gives the batches that are left.

        In the middle of an epoch, the iteration refuses to begin where batch size, seed, workers,
        ranks or patterns are not those of the state, since it would repeat or miss patterns.

        Raises
        ------
        OptionError
            It is not a state of a sampler.
        """
        try:
            epoch, batch, self._saved = state["epoch"], state["batch"], dict(state["order"])
        except (KeyError, TypeError, ValueError):
            msg = "this is not the state of a PatternSampler or of a loader of make_loader"
            raise OptionError(msg, hint="give what its state_dict() returned") from None
        self._epoch = check_whole("epoch", epoch, 0)
        self._first = self._taken = check_whole("batch", batch, 0)

    def _describe_order(self) -> dict[str, int]:
        """Return all that the order of an epoch follows from."""
        return {
            "patterns": len(self.dataset),
            "batch_size": self.batch_size,
            "shuffle": int(self.shuffle),
            "seed": self.seed,
            "drop_last": int(self.drop_last),
            "num_workers": self.num_workers,
            "world_size": self.world_size,
            "units_mixed": self._units_mixed(),
        }

    def _check_order(self) -> None:
        """Refuse to continue an epoch in another order."""
        for name, now in self._describe_order().items():
            if self._saved.get(name) != now:
                msg = f"the state was saved with {name} = {self._saved.get(name)}, now it is {now}"
                hint = "use the same again, or begin a whole epoch with set_epoch"
                raise OptionError(msg, hint=hint)

    def __len__(self) -> int:
        """Return how many batches a whole epoch has."""
        if self.drop_last:
            return len(self.dataset) // self.world_size // self.batch_size
        low, high = self._share()
        return math.ceil((high - low) / self.batch_size)

    def _share(self) -> tuple[int, int]:
        """Return which part of the order of all patterns is that of this rank."""
        count, (rank, size) = len(self.dataset), _place(*self._place)
        return count * rank // size, count * (rank + 1) // size

    def __iter__(self) -> Iterator[list[int]]:
        return self.follow(self.draw())

    def follow(self, batches: Iterator[_Batch]) -> Iterator[_Batch]:
        """Give batches of an iteration; count them, and begin the next epoch after the last."""
        epoch = self._epoch
        self._taken = self._first
        for number, batch in enumerate(batches, self._first + 1):
            self._taken = number
            yield batch
        if self._epoch == epoch:
            self.set_epoch(epoch + 1)

    def draw(self) -> Iterator[list[int]]:
        """Give the batches that are left of the present epoch, which goes on being the present."""
        for part in self.list_batches():
            yield part.tolist()

    def list_batches(self) -> list[NDArray[np.int64]]:
        """Return the batches that are left of the present epoch, which goes on being the present.

        Raises
        ------
        OptionError
            The epoch was begun in another order.
        """
        if self._first:
            self._check_order()
        return self._cut(self._order(self._epoch))[self._first :]

    def _order(self, epoch: int) -> list[NDArray[np.int64]]:
        """Return the patterns of this rank in the order of an epoch, shared out among workers."""
        low, high = self._share()
        if not self.shuffle or low == high:
            return [np.arange(low, high)]
        units = self.dataset.units()
        rng = np.random.default_rng([self.seed, epoch])
        places = rng.permutation(int(units.max()) + 1)[units]
        order = np.argsort(places, kind="stable")[low:high]
        rng = np.random.default_rng([self.seed, epoch + 1, self.rank])
        lanes = np.array_split(order, max(1, self.num_workers))
        return [self._mix(lane, units[lane], rng) for lane in lanes]

    def _mix(
        self, order: NDArray[np.int64], units: NDArray[np.int64], rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Spread the patterns of each unit over those that follow it.

        Between two patterns of a unit, no more others come than twice those that are mixed: what
        one process keeps, even where it keeps those that were used last.
        """
        if not len(order):
            return order
        numbers = np.concatenate([[0], np.cumsum(units[1:] != units[:-1])])
        spread = rng.random(len(order)) * self._units_mixed()
        if numbers[-1] < self.dataset.units_in_memory(self.num_workers):
            return order[np.argsort(spread)]
        return order[np.argsort(numbers + spread)]

    def _units_mixed(self) -> int:
        """Return over how many units the patterns of one are spread."""
        return max(1, self.dataset.units_in_memory(self.num_workers) // 2)

    def _cut(self, lanes: list[NDArray[np.int64]]) -> list[NDArray[np.int64]]:
        """Return full batches of the lanes in turn, then batches of what is left of all."""
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
        return parts[: len(self)]


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


_WAYS_OUT: dict[type, str] = {
    Subset: "choose patterns with dataset.take(masks) or split_blocks(dataset)",
    ConcatDataset: "give all sources to one dataset: PatternDataset([first, second])",
    Sampler: "ranks share the patterns without it: Trainer(use_distributed_sampler=False); to "
    "predict or overfit, give torch's DataLoader(dataset, batch_size=…)",
}


def _check_patterns(dataset: object) -> None:
    if not isinstance(dataset, PatternDataset):
        ways = (hint for kind, hint in _WAYS_OUT.items() if isinstance(dataset, kind))
        msg = f"{type(dataset).__name__} is not a PatternDataset, whose patterns can be ordered"
        raise OptionError(msg, hint=next(ways, "give a PatternDataset"))
