"""Boxes cover a document once, and threads work on them in order."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemzarr.model import ArrayBlocks
from stemzarr.views import map_boxes, plan_boxes


class TiledBlocks(ArrayBlocks):
    """Blocks of one row of the scan."""

    @property
    def block_shape(self) -> tuple[int, ...]:
        return (1, *self.array.shape[1:])


@given(
    st.tuples(st.integers(1, 20), st.integers(1, 20), st.integers(1, 5), st.integers(1, 5)),
    st.integers(1, 4000),
    st.integers(1, 4),
    st.tuples(st.integers(1, 3), st.integers(1, 5)),
)
def test_boxes_cover_every_position_once(
    shape: tuple[int, ...], memory: int, threads: int, unit: tuple[int, int]
) -> None:
    """Whatever the budget, every value lies in exactly one box, and boxes are whole units."""
    blocks = TiledBlocks(np.zeros(shape, np.uint8))
    chunk = (min(unit[0], shape[0]), min(unit[1], shape[1]), *shape[2:])
    plan = plan_boxes(blocks, 2, memory=memory, threads=threads, unit=chunk)
    seen = np.zeros(shape, int)
    for box in plan.boxes:
        seen[box.slices()] += 1
        assert box.shape[2:] == shape[2:]
        for start, size in zip(box.start, chunk, strict=True):
            assert start % size == 0
    assert (seen == 1).all()
    assert [box.start for box in plan.boxes] == sorted(box.start for box in plan.boxes)


@pytest.mark.parametrize("threads", [1, 3])
def test_results_come_in_order(threads: int) -> None:
    """Results come in the order of the items, whichever thread is done first."""
    gate = threading.Event()

    def work(number: int) -> int:
        if number == 0 and threads > 1:
            gate.wait(10)
        else:
            gate.set()
        return number * number

    assert list(map_boxes(work, range(20), threads=threads)) == [n * n for n in range(20)]


def test_work_under_way_is_bounded() -> None:
    """No more items are taken than threads can work on and one that waits."""
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for number in range(50):
            taken += 1
            yield number

    results = map_boxes(lambda number: number, items(), threads=2)
    for done, _ in enumerate(results, start=1):
        assert taken <= done + 3


def test_an_error_stops_the_work() -> None:
    """The first error in the order of the items is raised, and no thread is left."""

    def work(number: int) -> int:
        if number == 3:
            msg = "broken"
            raise ValueError(msg)
        return number

    with pytest.raises(ValueError, match="broken"):
        list(map_boxes(work, range(10), threads=2))
