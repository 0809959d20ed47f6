"""Buffers for units: borrowed by one call at a time."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from stemzarr.torch.cache import BatchMemory, UnitCache  # noqa: E402 - needs torch


def test_room_is_lent_once_though_a_call_was_interrupted() -> None:
    """What an interrupted call still holds is given to no other, and comes back but once."""
    cache = UnitCache(4, 1, np.dtype("f4"))
    interrupted = cache.borrow(2)
    interrupted.__enter__()
    with cache.borrow(2) as buffers:
        for number, buffer in enumerate(buffers):
            buffer.values[:] = number
            cache.keep((0, number), buffer, buffer.values)
        interrupted.__exit__(None, None, None)
    with cache.borrow(1) as (buffer,):
        buffer.values[:] = 99
        cache.keep((0, 9), buffer, buffer.values)
    kept = [cache.get((0, number)) for number in (0, 1, 9)]
    assert [None if values is None else values[0] for values in kept] == [0, 1, 99]


def test_memory_of_a_batch_is_used_again_once_nothing_refers_to_it() -> None:
    """As long as any view of its tensor lives, by whichever library, another batch is elsewhere."""
    memory, shape = BatchMemory(np.dtype("f4")), (4, 1, 2, 3)
    batch = torch.from_numpy(memory.array(shape))
    place, view = batch.data_ptr(), batch[2].numpy()[0]
    del batch
    others = [memory.array(shape) for _ in range(3)]
    assert all(other.ctypes.data != place for other in others)
    view[:] = 7
    assert not any((other == 7).all() for other in others)
    del view
    assert memory.array((3, 1, 2, 3)).ctypes.data == place


def test_patterns_are_copied_from_their_places() -> None:
    """Places count through the memory of all buffers, taken or not."""
    cache = UnitCache(3, 2 * 4, np.dtype("f4"))
    for _ in range(3):
        buffer = cache.take_buffer()
        assert buffer is not None
        buffer.values[:] = np.arange(8) + 8 * buffer.place
    out = np.empty((4, 2, 2), np.float32)
    cache.copy_patterns(np.array([5, 0, 3, 3]), out)
    np.testing.assert_array_equal(out.reshape(4, 4)[:, 0], [20, 0, 12, 12])
