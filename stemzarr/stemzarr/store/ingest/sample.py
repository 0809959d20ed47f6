"""What a few chunks tell before an ingest: the codec that suits them, and the size of the store."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from stemzarr.model import Blocks, Source, read_box
from stemzarr.options import Codec
from stemzarr.store.format.encode import SHUFFLES, ChunkCodec, find_codec
from stemzarr.store.format.plan import ArrayPlan, Box, StorePlan
from stemzarr.store.ingest.task import pad

__all__ = ["choose_codec", "expected_bytes"]

_CHUNKS = 4
_BYTES = 16 * 1024**2
_WORTH = 0.98


def choose_codec(blocks: Blocks, array: ArrayPlan, choice: Codec) -> ChunkCodec:
    """Return the codec with the shuffle that suits the values, judged by four chunks at most.

    Counts become smallest where their bits are shuffled, the noise of a camera where its bytes
    are, which is also faster. The same values always give the same codec.

    Parameters
    ----------
    blocks
        The pixels.
    array
        How they are cut.
    choice
        ``zstd``, ``lz4`` or ``none``.

    Raises
    ------
    ReadError, SourceChangedError
        The chunks cannot be read.
    """
    codecs = _candidates(blocks, array, choice)
    if len(codecs) == 1:
        return codecs[0]
    sizes, _ = _measure(blocks, array, codecs)
    return codecs[_best(sizes)]


def _candidates(blocks: Blocks, array: ArrayPlan, choice: Codec) -> list[ChunkCodec]:
    """Return the codecs to choose from, the usual one first."""
    codec = find_codec(choice, blocks.dtype, array.chunk)
    if codec.name == "none" or codec.itemsize == 1:
        return [codec]
    return [dataclasses.replace(codec, shuffle=shuffle) for shuffle in SHUFFLES]


def _measure(blocks: Blocks, array: ArrayPlan, codecs: list[ChunkCodec]) -> tuple[list[int], int]:
    """Return the size of some chunks by each codec, and that of their values."""
    sizes, read = [0] * len(codecs), 0
    for start, shape in _spread_chunks(array):
        # From the middle of equal parts of the array, as they are encoded.
        chunk = pad(read_box(blocks, start, shape), array.chunk)
        read += chunk.nbytes
        for place, codec in enumerate(codecs):
            sizes[place] += sum(map(len, codec.encode(chunk)))
    return sizes, read


def _best(sizes: list[int]) -> int:
    """Return which codec makes chunks smallest; the first one unless another is worth it."""
    best = min(range(len(sizes)), key=sizes.__getitem__)
    return best if sizes[best] < _WORTH * sizes[0] else 0


def expected_bytes(source: Source, plan: StorePlan) -> int:
    """Return about how many bytes the pixels will take, from chunks that are read and encoded.

    At most four chunks of each document, evenly spread, which takes a fraction of a second.

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
    return sum(
        _expected_of(source.find(array.document).blocks, array, plan.codec) for array in plan.arrays
    )


def _expected_of(blocks: Blocks, array: ArrayPlan, choice: Codec) -> int:
    """Return the same of one array."""
    sizes, read = _measure(blocks, array, _candidates(blocks, array, choice))
    return round(array.nbytes * sizes[_best(sizes)] / read) if read else 0


def _spread_chunks(array: ArrayPlan) -> list[Box]:
    if not array.nbytes:
        return []
    grid = [math.ceil(n / c) for n, c in zip(array.shape, array.chunk, strict=True)]
    whole = math.prod(grid)
    count = min(whole, _CHUNKS, max(1, _BYTES // array.chunk_bytes))
    boxes = []
    for part in range(count):
        place = np.unravel_index((2 * part + 1) * whole // (2 * count), grid)
        start = tuple(int(p) * c for p, c in zip(place, array.chunk, strict=True))
        ends = zip(start, array.chunk, array.shape, strict=True)
        boxes.append((start, tuple(min(c, n - a) for a, c, n in ends)))
    return boxes
