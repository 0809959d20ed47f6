"""Borrowed arrays: one owner at a time, memory used again."""

from __future__ import annotations

import threading
from contextlib import ExitStack, suppress

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stemzarr.pixels.buffers import borrow


@given(st.lists(st.tuples(st.integers(0, 5000), st.sampled_from(["u1", "f4", "c16"])), max_size=9))
def test_arrays_that_are_borrowed_together_share_no_memory(wanted: list[tuple[int, str]]) -> None:
    """Whatever is written into one array, all others that are still borrowed keep their values."""
    with ExitStack() as stack:
        arrays = [stack.enter_context(borrow((size,), dtype)) for size, dtype in wanted]
        for number, array in enumerate(arrays):
            array[...] = number
        for number, (array, (size, dtype)) in enumerate(zip(arrays, wanted, strict=True)):
            assert array.shape == (size,)
            assert array.dtype == dtype
            assert (array == number).all()


def test_memory_is_used_again_by_the_thread_that_gave_it_back() -> None:
    """The next array of a thread lies where its last one lay, that of another thread elsewhere."""
    with borrow((1000,), "u1") as first:
        place = first.ctypes.data
    with borrow((10, 25), "f4") as second:
        assert second.ctypes.data == place
        elsewhere: list[int] = []

        def other() -> None:
            with borrow((1000,), "u1") as array:
                elsewhere.append(array.ctypes.data)

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert elsewhere != [place]


def test_an_error_gives_the_memory_back() -> None:
    """A block that raises leaves its array to the next one."""
    places = []
    for _ in range(2):
        with suppress(ZeroDivisionError), borrow((77, 3), np.int16) as array:
            places.append(array.ctypes.data)
            array[...] = 1 // 0
    assert len(places) == 2
    assert len(set(places)) == 1
