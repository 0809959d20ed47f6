"""Epochs that are peeked at, left, resumed and shared: each pattern of each exactly once."""

from __future__ import annotations

import json
import multiprocessing
import warnings
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemzarr.errors import OptionError
from stemzarr.model import ArrayBlocks, Axis, Document, dims_of_kind

torch = pytest.importorskip("torch")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    lightning = pytest.importorskip("lightning")

from stemzarr.torch import PatternDataset, PatternSampler, make_loader  # noqa: E402 - needs torch

COUNT = 9 * 14


def patterns() -> PatternDataset:
    """Return patterns that have their own number in every pixel."""
    shape = (9, 14, 4, 4)
    values = np.arange(COUNT, dtype=np.float32).reshape(9, 14, 1, 1) * np.ones(shape, np.float32)
    axes = tuple(
        Axis(name=name, size=size)
        for name, size in zip(dims_of_kind("4d-stem", 4), shape, strict=True)
    )
    blocks = ArrayBlocks(values)
    document = Document(index=0, slug="scan", title="", kind="4d-stem", axes=axes, blocks=blocks)
    return PatternDataset(document)


def numbers_of(batches: Any) -> list[list[int]]:
    """Return which patterns some batches hold."""
    return [batch[:, 0, 0, 0].int().tolist() for batch in batches]


def one_of_two(rank: int, meeting: str, results: Any) -> None:
    """Join a group of two after the loader was made, and report an epoch of it."""
    loader = make_loader(patterns(), 8, seed=3)
    torch.distributed.init_process_group("gloo", meeting, rank=rank, world_size=2)
    results.put((len(loader), numbers_of(loader)))
    torch.distributed.destroy_process_group()


@pytest.mark.filterwarnings("ignore")
def test_two_processes_share_an_epoch_of_loaders_made_before_they_met(tmp_path: Path) -> None:
    """Ranks are asked for when iteration begins: together the two have every pattern once."""
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("fork" if "fork" in methods else "spawn")
    results = context.Queue()
    meeting = (tmp_path / "meeting").as_uri()
    ranks = [context.Process(target=one_of_two, args=(r, meeting, results)) for r in range(2)]
    for process in ranks:
        process.start()
    epochs = [results.get(timeout=240) for _ in ranks]
    for process in ranks:
        process.join()
    assert sorted(n for _, epoch in epochs for batch in epoch for n in batch) == list(range(COUNT))
    assert [length for length, _ in epochs] == [len(epoch) for _, epoch in epochs] == [8, 8]


@given(st.integers(1, 40), st.integers(0, 3), st.booleans(), st.data())
@settings(max_examples=15)
def test_an_epoch_continues_where_its_state_was_saved(
    size: int, epoch: int, shuffle: bool, data: st.DataObject
) -> None:
    """Batches before a state and after it, from JSON in another loader, are those of an epoch."""
    sizes = {"batch_size": size, "shuffle": shuffle, "seed": 5}
    whole = make_loader(patterns(), **sizes)
    whole.set_epoch(epoch)
    expected = numbers_of(whole)
    done = data.draw(st.integers(0, len(expected)))
    for make in (make_loader, PatternSampler):
        first, second = make(patterns(), **sizes), make(patterns(), **sizes)
        first.set_epoch(epoch)
        taken = list(islice(first, done))
        second.load_state_dict(json.loads(json.dumps(first.state_dict())))
        second.set_epoch(epoch)  # as Lightning does after loading
        taken += list(second)
        assert (numbers_of(taken) if make is make_loader else taken) == expected
        after = list(second)
        assert second.state_dict()["epoch"] == epoch + 2
        assert sum(map(len, after)) == COUNT
        assert len(second) == len(expected)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_look_at_the_first_batch_moves_nothing(workers: int) -> None:
    """What is peeked at, or drawn ahead by workers, comes again in the same epoch."""
    looked = make_loader(patterns(), 32, num_workers=workers)
    other = make_loader(patterns(), 32, num_workers=workers)
    for _ in range(2):
        first = numbers_of([next(iter(looked))])
    assert looked.state_dict()["epoch"] == 0
    epochs = [numbers_of(looked), numbers_of(looked)]
    assert epochs == [numbers_of(other), numbers_of(other)]
    assert epochs[0][0] == first[0]
    assert epochs[0] != epochs[1]


def test_a_state_of_another_order_is_refused() -> None:
    """An epoch cannot continue with another batch size; a new epoch can begin with it."""
    first, second = make_loader(patterns(), 16), make_loader(patterns(), 32)
    next(iter(first))
    second.load_state_dict(first.state_dict())
    with pytest.raises(OptionError, match="batch_size = 16, now it is 32"):
        next(iter(second))
    second.set_epoch(1)
    assert sum(map(len, second)) == COUNT
    for state in ({}, None, {"epoch": 1, "batch": 2, "order": 3}):
        with pytest.raises(OptionError, match="not the state"):
            second.load_state_dict(state)  # type: ignore[arg-type]


def test_wrappers_of_torch_are_refused_with_the_way_out() -> None:
    """Subsets, joined datasets and samplers of torch are named, with what to use instead."""
    data = patterns()
    samples = torch.utils.data.DistributedSampler(data, num_replicas=2, rank=0)
    refused: list[tuple[Any, str]] = [
        (torch.utils.data.Subset(data, [1]), "take"),
        (torch.utils.data.ConcatDataset([data, data]), "PatternDataset\\(\\[first, second"),
        (samples, "use_distributed_sampler=False"),
        ([1, 2], "give a PatternDataset"),
    ]
    for wrapped, way in refused:
        for make in (make_loader, PatternSampler):
            with pytest.raises(OptionError, match=way):
                make(wrapped)
    with pytest.raises(OptionError, match="share the patterns"):
        make_loader(data, sampler=samples)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("workers", [0, 2])
def test_torchdata_resumes_an_epoch(workers: int) -> None:
    """A StatefulDataLoader with the sampler continues in mid-epoch, then with the next epoch."""
    stateful = pytest.importorskip("torchdata.stateful_dataloader").StatefulDataLoader
    expected = make_loader(patterns(), 10, num_workers=workers)
    epochs = [numbers_of(expected), numbers_of(expected)]
    samplers = [PatternSampler(patterns(), 10, num_workers=workers) for _ in range(2)]
    first, second = (
        stateful(patterns(), batch_sampler=sampler, num_workers=workers) for sampler in samplers
    )
    taken = list(islice(first, 5))
    second.load_state_dict(first.state_dict())
    assert numbers_of([*taken, *second]) == epochs[0]
    assert numbers_of(second) == epochs[1]


class Killed(Exception):  # noqa: N818 - what happens to a run, not an error of it
    """A run that ends in the middle."""


class Watcher(lightning.LightningModule):  # type: ignore[misc, name-defined]
    """Keeps which patterns it saw in each epoch, and may end in the middle."""

    def __init__(self, ends_after: int | None = None) -> None:
        super().__init__()
        self.level = torch.nn.Parameter(torch.zeros(()))
        self.seen: dict[int, list[int]] = {}
        self.ends_after = ends_after

    def training_step(self, batch: Any, _number: int) -> Any:
        if self.global_step == self.ends_after:
            raise Killed
        self.seen.setdefault(self.current_epoch, []).extend(*numbers_of([batch]))
        return ((batch - self.level) ** 2).mean()

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.0)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.leaves_open
@pytest.mark.parametrize("steps", [10, 8])
def test_a_lightning_run_that_is_killed_sees_each_pattern_once(tmp_path: Path, steps: int) -> None:
    """Resumed from a checkpoint in mid-epoch or at its end, epochs are whole and differ."""

    def trainer() -> Any:
        saving = lightning.pytorch.callbacks.ModelCheckpoint(
            dirpath=tmp_path,
            filename="last",
            every_n_train_steps=steps,
            save_on_train_epoch_end=False,
        )
        return lightning.Trainer(
            max_epochs=3,
            accelerator="cpu",
            logger=False,
            callbacks=[saving],
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )

    before, after = Watcher(ends_after=steps), Watcher()
    with pytest.raises(Killed):
        trainer().fit(before, make_loader(patterns(), 16))
    trainer().fit(after, make_loader(patterns(), 16), ckpt_path=tmp_path / "last.ckpt")
    epochs = [before.seen.get(n, []) + after.seen.get(n, []) for n in range(3)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(COUNT))] * 3
    assert epochs[0] != epochs[1] != epochs[2]
