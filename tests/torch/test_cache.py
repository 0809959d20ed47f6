"""Buffers for units: borrowed by one call at a time."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from stemzarr.torch.cache import UnitCache


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
