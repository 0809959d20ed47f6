"""How large a store will be, from a few chunks of its source."""

from __future__ import annotations

import math

import numpy as np

from stemzarr.model import Source, read_box
from stemzarr.store.encode import find_codec
from stemzarr.store.plan import ArrayPlan, Box, StorePlan
from stemzarr.store.task import pad

__all__ = ["expected_bytes"]

_CHUNKS = 4
_BYTES = 16 * 1024**2


def expected_bytes(source: Source, plan: StorePlan) -> int:
    """Return about how many bytes the pixels will take, from chunks that are read and encoded.

    At most four chunks of each document, evenly spread, which takes a fraction of a second; a
    single one where the values of a chunk lie apart in the source.

    Parameters
    ----------
    source
        What a reader recognised.
    plan
        How it becomes a store.

    Raises
    ------
    ReadError, SourceChangedError
        The chunks cannot be read.
    """
    if plan.virtual:
        return 0
    return sum(_expected_of(source, plan, array) for array in plan.arrays)


def _expected_of(source: Source, plan: StorePlan, array: ArrayPlan) -> int:
    """Return the same of one array."""
    dtype = np.dtype(array.dtype)
    document = source.find(array.document)
    apart = document.layout is not None and document.layout.order == "scan-fast"
    codec = find_codec(plan.codec, dtype, array.chunk)
    read = written = 0
    for start, shape in _spread_chunks(array, 1 if apart else _CHUNKS):
        values = read_box(document.blocks, start, shape)
        read += values.nbytes
        written += sum(map(len, codec.encode(pad(values, array.chunk))))
    return round(array.nbytes * written / read) if read else 0


def _spread_chunks(array: ArrayPlan, most: int) -> list[Box]:
    """Return some chunks, each from the middle of an equal part of the array."""
    if not array.nbytes:
        return []
    grid = [math.ceil(n / c) for n, c in zip(array.shape, array.chunk, strict=True)]
    whole = math.prod(grid)
    count = min(whole, most, max(1, _BYTES // array.chunk_bytes))
    boxes = []
    for part in range(count):
        place = np.unravel_index((2 * part + 1) * whole // (2 * count), grid)
        start = tuple(int(p) * c for p, c in zip(place, array.chunk, strict=True))
        ends = zip(start, array.chunk, array.shape, strict=True)
        boxes.append((start, tuple(min(c, n - a) for a, c, n in ends)))
    return boxes
