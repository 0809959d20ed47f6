"""Reading ahead of a training: each unit once, each pattern once, nothing left behind."""

from __future__ import annotations

import dataclasses
import math
import os
import threading
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stemzarr.model import ArrayBlocks, Axis, Document, dims_of_kind

torch = pytest.importorskip("torch")

from stemzarr.torch import PatternDataset, make_loader  # noqa: E402 - needs torch
from stemzarr.torch.ahead import count_at_once  # noqa: E402
from stemzarr.torch.cache import UnitCache  # noqa: E402
from stemzarr.torch.forking import _Gate, held_off_by_forks  # noqa: E402

SHAPE = (12, 20, 4, 4)
COUNT = SHAPE[0] * SHAPE[1]
VALUES = np.arange(COUNT, dtype=np.uint16).reshape(12, 20, 1, 1) * np.ones(SHAPE, np.uint16)


@dataclasses.dataclass(frozen=True)
class Watched(ArrayBlocks):
    """Blocks that count how often each is read, say so, and may fail."""

    block: tuple[int, ...] = (1, 4, 4, 4)
    reads: Counter[tuple[int, ...]] = dataclasses.field(default_factory=Counter)
    broken: tuple[int, ...] | None = None
    changed: threading.Condition = dataclasses.field(default_factory=threading.Condition)

    @property
    def block_shape(self) -> tuple[int, ...]:
        return self.block

    def read_into(self, out: NDArray[Any], start: Any) -> None:
        place = tuple(a // b for a, b in zip(start[:2], self.block[:2], strict=True))
        with self.changed:
            self.reads[place] += 1
            self.changed.notify_all()
        if place == self.broken:
            msg = "cannot be read"
            raise OSError(msg)
        super().read_into(out, start)


class Small(PatternDataset):
    """Patterns of which a process keeps few units."""

    slots = 8

    def units_in_memory(self, workers: int) -> int:
        return max(1, self.slots // max(1, workers))


def patterns(slots: int = 8, **fields: Any) -> tuple[Small, Watched]:
    """Return patterns that are their own numbers, and the blocks that they are read from."""
    blocks = Watched(VALUES, **fields)
    named = zip(dims_of_kind("4d-stem", 4), SHAPE, strict=True)
    axes = tuple(Axis(name=name, size=size) for name, size in named)
    document = Document(index=0, slug="scan", title="", kind="4d-stem", axes=axes, blocks=blocks)
    dataset = Small(document, threads=2)
    dataset.slots = slots
    return dataset, blocks


def numbers_of(batch: Any) -> list[int]:
    """Return which patterns a batch holds."""
    return [int(number) for number in batch[:, 0, 0, 0].tolist()]


@given(st.integers(1, 70), st.integers(1, 80), st.booleans(), st.integers(0, 9), st.integers(1, 5))
@settings(max_examples=40)
def test_an_epoch_reads_once_and_samples_once(
    slots: int, size: int, shuffle: bool, seed: int, width: int
) -> None:
    """Read-once and sample-once: every unit is rendered once and every pattern comes once.

    Whatever is kept, batch and order, as long as what is kept is enough for the order.
    """
    dataset, blocks = patterns(slots, block=(1, width, 4, 4))
    loader = make_loader(dataset, size, shuffle=shuffle, seed=seed)
    batches = [numbers_of(batch) for batch in list(loader)]
    assert sorted(n for batch in batches for n in batch) == list(range(COUNT))
    assert [len(batch) for batch in batches[:-1]] == [size] * (len(batches) - 1)
    assert set(blocks.reads.values()) == {1}
    assert len(blocks.reads) == 12 * math.ceil(20 / width)
    loader.set_epoch(0)
    assert batches == list(loader.patterns.draw())


@given(st.lists(st.integers(0, 6), max_size=30))
def test_units_in_use_are_counted(units: list[int]) -> None:
    """A unit is in use from its first pattern to its last, counted place by place."""
    spans = [(units.index(u), len(units) - units[::-1].index(u)) for u in set(units)]
    most = max((sum(a <= n < b for a, b in spans) for n in range(len(units))), default=0)
    assert count_at_once(np.array(units, np.int64)) == most


@given(st.integers(2, 40), st.integers(0, 99), st.integers(0, 2))
def test_a_shuffled_order_needs_half_of_what_is_kept(slots: int, seed: int, workers: int) -> None:
    """The other half is free for what comes next, so that reading ahead never waits for it."""
    dataset, _ = patterns(slots)
    loader = make_loader(dataset, 16, seed=seed, num_workers=workers)
    lanes = loader.patterns._order(0)
    for lane in lanes:
        units = dataset.units()[lane]
        kept = dataset.units_in_memory(workers)
        assert len(set(units)) <= kept or count_at_once(units) <= max(1, kept // 2)


def test_an_order_that_needs_more_than_is_kept_is_read_again() -> None:
    """Rows of a scan whose units hold several rows come in their order, with what it takes."""
    dataset, blocks = patterns(2, block=(4, 4, 4, 4))
    assert [n for b in make_loader(dataset, 10, shuffle=False) for n in numbers_of(b)] == list(
        range(COUNT)
    )
    assert max(blocks.reads.values()) > 1


def test_units_are_read_while_a_batch_is_used() -> None:
    """What later batches need is rendered before they are asked for, as much as is kept."""
    dataset, blocks = patterns(8)
    batches = iter(make_loader(dataset, 8, seed=2))
    first = numbers_of(next(batches))
    needed = {(n // 20, n % 20 // 4) for n in first}
    with blocks.changed:
        assert blocks.changed.wait_for(lambda: len(blocks.reads) > len(needed), timeout=60)
    del batches
    used = 3 * 8  # the batch that was taken, and two that wait
    assert len(blocks.reads) <= 8 + used


def test_nothing_is_left_of_an_iterator_that_is_dropped() -> None:
    """No thread runs on, after one batch, after an error of the loop, and after none."""
    dataset, _ = patterns(8)
    loader = make_loader(dataset, 8)
    before = threading.active_count()
    batches = iter(loader)
    next(batches)
    assert threading.active_count() > before
    del batches
    assert threading.active_count() == before
    iter(loader)
    for _ in loader:
        break
    assert threading.active_count() == before
    assert sum(len(batch) for batch in loader) == COUNT


def test_two_passes_at_once_and_single_patterns_do_not_disturb_each_other() -> None:
    """Each pass reads ahead for itself, and a pattern may be asked for in between."""
    dataset, _ = patterns(8)
    loader, other = make_loader(dataset, 16, seed=1), make_loader(dataset, 16, seed=1)
    for left, right in zip(loader, other, strict=True):
        assert numbers_of(left) == numbers_of(right)
        assert int(dataset[numbers_of(left)[0]][0, 0, 0]) == numbers_of(left)[0]


@given(st.integers(0, 11), st.integers(0, 4))
@settings(max_examples=10)
def test_an_error_arrives_at_the_batch_that_needs_it(row: int, column: int) -> None:
    """Batches before it are given as they are; the loader can be used again afterwards."""
    whole, _ = patterns()
    expected = [numbers_of(batch) for batch in make_loader(whole, 8, seed=3)]
    dataset, _ = patterns(8, broken=(row, column))
    failing = next(
        number
        for number, batch in enumerate(expected)
        if any((n // 20, n % 20 // 4) == (row, column) for n in batch)
    )
    loader = make_loader(dataset, 8, seed=3)
    for _ in range(2):
        before = threading.active_count()
        batches = iter(loader)
        taken = [numbers_of(next(batches)) for _ in range(failing)]
        assert taken == expected[:failing]
        with pytest.raises(OSError, match="cannot be read"):
            next(batches)
        assert threading.active_count() == before


def test_a_second_epoch_takes_what_is_kept() -> None:
    """Where all units fit, only the first epoch reads them."""
    dataset, blocks = patterns(60)
    loader = make_loader(dataset, 16)
    first, second = ([numbers_of(batch) for batch in loader] for _ in range(2))
    assert first != second
    assert set(blocks.reads.values()) == {1}


def test_what_gives_way_first_is_what_no_batch_needs() -> None:
    """A unit that was used up gives its buffer before those that were kept longer."""
    cache = UnitCache(2, 1, np.dtype("f4"))
    for key in (0, 1):
        buffer = cache.take_buffer()
        assert buffer is not None
        cache.keep(key, buffer, buffer.values, first=bool(key))
    assert cache.take_buffer() is not None
    assert cache.take(1) is None
    assert cache.take(0) is not None
    assert cache.take_buffer() is None


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of a fork beside threads
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_waits_for_what_renders() -> None:
    """A lock that is taken inside is free in every child, however often it is taken."""
    lock, ended = threading.Lock(), threading.Event()

    def render() -> None:
        while not ended.is_set():
            with held_off_by_forks(), lock:
                sum(range(2000))

    thread = threading.Thread(target=render)
    thread.start()
    try:
        for _ in range(10):
            child = os.fork()
            if not child:
                with held_off_by_forks():
                    os._exit(0 if lock.acquire(timeout=5) else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        ended.set()
        thread.join()


def test_a_closed_gate_lets_nobody_in() -> None:
    """Closing waits for those inside, and those outside wait for its opening."""
    gate, order = _Gate(), []
    with gate.passing():
        closing = threading.Thread(target=lambda: (gate.close(), order.append("closed")))
        closing.start()
        order.append("inside")
    closing.join()

    def pass_by() -> None:
        with gate.passing():
            order.append("passed")

    passing = threading.Thread(target=pass_by)
    passing.start()
    order.append("open")
    gate.open()
    passing.join()
    assert order == ["inside", "closed", "open", "passed"]
