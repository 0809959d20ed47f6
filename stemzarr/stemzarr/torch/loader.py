"""Loaders that count the batches they give, whatever their workers draw ahead."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Mapping
from typing import Any

from torch.utils.data import DataLoader

from stemzarr.errors import OptionError
from stemzarr.storage.client import is_connected
from stemzarr.torch.ahead import read_ahead
from stemzarr.torch.batch import take_batch
from stemzarr.torch.dataset import PatternDataset
from stemzarr.torch.sampler import PatternSampler

__all__ = ["PatternLoader", "make_loader"]


class _DrawnAhead(PatternSampler):
    """Leaves counting to its loader, which draws batches long before anyone takes them."""

    def __iter__(self) -> Iterator[list[int]]:
        return self.draw() if self.num_workers else self._read()

    def _read(self) -> Iterator[list[int]]:
        yield from read_ahead(self.dataset, self.list_batches())


class PatternLoader(DataLoader[Any]):
    """A loader of batches (batch_size, 1, det_y, det_x); use `make_loader` to make one.

    With targets, batches are tuples: patterns, labels by name (batch_size, …), numbers.

    Its state is that of its sampler, counted by the batches that were taken from the loader, so
    that Lightning's checkpoints resume in the middle of an epoch.
    """

    def __init__(self, patterns: PatternSampler, **options: Any) -> None:  # noqa: ANN401 - of torch
        workers = patterns.num_workers
        super().__init__(patterns.dataset, batch_sampler=patterns, num_workers=workers, **options)
        self.patterns = patterns

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """Give the batches that are left of the epoch; nothing begins before the first is taken."""
        yield from self.patterns.follow(super().__iter__())

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch the next iteration is, as `PatternSampler.set_epoch`."""
        self.patterns.set_epoch(epoch)

    def state_dict(self) -> dict[str, Any]:
        """Return epoch, batches that were taken of it, and what its order follows from."""
        return self.patterns.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where a state was saved, as `PatternSampler.load_state_dict`."""
        self.patterns.load_state_dict(state)


def make_loader(
    dataset: PatternDataset,
    batch_size: int = 64,
    *,
    shuffle: bool = True,
    seed: int = 0,
    drop_last: bool = False,
    num_workers: int = 0,
    **options: Any,  # noqa: ANN401 - whatever torch's loader takes
) -> PatternLoader:
    """Return a loader of batches (batch_size, 1, det_y, det_x), its sampler fitting its workers.

    Where the dataset has targets, batches are tuples of patterns, a dict of labels (batch_size, …)
    by name, and the numbers of the patterns in the dataset.

    Parameters
    ----------
    dataset, batch_size, shuffle, seed, drop_last
        As in `PatternSampler`.
    num_workers
        Processes that render; 0 renders in threads of this one, while earlier batches are used.
    options
        Further options of torch.utils.data.DataLoader, such as ``pin_memory``.

    Raises
    ------
    OptionError
        As in `PatternSampler`, or `options` has another sampler.
    """
    for name in ("sampler", "batch_sampler"):
        if options.get(name) is not None:
            msg = f"{name} is given, and the loader has a sampler of its own"
            hint = "leave it out: ranks and workers share the patterns by themselves"
            raise OptionError(msg, hint=hint)
    sampler = _DrawnAhead(
        dataset,
        batch_size,
        shuffle=shuffle,
        seed=seed,
        drop_last=drop_last,
        num_workers=num_workers,
    )
    options = {"collate_fn": take_batch, **options}
    if num_workers and is_connected() and options.get("multiprocessing_context") is None:
        # A process that is forked has none of the threads that read from addresses.
        forkserver = "forkserver" in multiprocessing.get_all_start_methods()
        options["multiprocessing_context"] = "forkserver" if forkserver else "spawn"
    return PatternLoader(sampler, **options)
