"""From shapes to chunks, shards and buffers: pure, so that it can be shown and tested.

Chunk and shard shapes follow from shape, dtype, kind and layout alone: the same source gives the
same store whatever the memory, threads or cluster. The budget decides only how much is read at
once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stemzarr.model import Blocks, Document, RotatedBlocks, Source
from stemzarr.options import Codec, IngestOptions
from stemzarr.pixels.boxes import cut, fill_box

__all__ = ["ArrayPlan", "Box", "StorePlan", "box_shape", "chunk_shape", "plan_store", "shard_shape"]

CHUNK_BYTES = 1024**2
"""Target of a chunk: one random pattern decodes in under a millisecond, and the ratio of the
codecs is within 0.1 % of what larger chunks give."""
_LEAST_SHARD = 64 * 1024**2
_MOST_SHARD = 512 * 1024**2
_SHARDS = 256
_SHARD_PATTERNS = 64
_BOX_BYTES = 4 * 1024**2
_RATIO = {"zstd": 8.0, "lz4": 6.0, "none": 1.0}
_BYTES_PER_SECOND = {"zstd": 0.45e9, "lz4": 0.65e9, "none": 0.9e9}

Box = tuple[tuple[int, ...], tuple[int, ...]]
"""First corner and shape of a box of values."""


def chunk_shape(shape: Sequence[int], itemsize: int, pattern_ndim: int) -> tuple[int, ...]:
    """Return the shape of chunks: runs of whole patterns of about 1 MiB, at least one.

    Parameters
    ----------
    shape
        Lengths of the dims in canonical order.
    itemsize
        Bytes of one value.
    pattern_ndim
        How many of the last dims are one pattern.

    Examples
    --------
    >>> chunk_shape((128, 128, 256, 256), 2, 2)
    (1, 8, 256, 256)
    >>> chunk_shape((60, 50, 10, 10), 2, 2)
    (60, 50, 10, 10)
    """
    lead = len(shape) - pattern_ndim
    sizes = [max(1, size) for size in shape]
    return fill_box(sizes, CHUNK_BYTES // itemsize, least=(*[1] * lead, *sizes[lead:]), even=True)


def shard_shape(
    shape: Sequence[int], itemsize: int, chunk: Sequence[int], pattern_ndim: int
) -> tuple[int, ...]:
    """Return the shape of shards: whole rows of 64-512 MiB, or a part where a row is larger.

    Parameters
    ----------
    shape, itemsize, chunk, pattern_ndim
        As in `chunk_shape`, and its result.
    """
    lead = len(shape) - pattern_ndim
    sizes = [max(1, size) for size in shape]
    total = math.prod(sizes) * itemsize
    pattern = math.prod(sizes[lead:]) * itemsize
    target = min(max(total // _SHARDS, _LEAST_SHARD, _SHARD_PATTERNS * pattern), _MOST_SHARD)
    row = math.prod(sizes[1:]) * itemsize if lead else total
    if row <= _MOST_SHARD:
        target = max(target, row)
    grid = [math.ceil(n / c) for n, c in zip(sizes, chunk, strict=True)]
    counts = fill_box(grid, target // (math.prod(chunk) * itemsize), even=True)
    return tuple(n * c for n, c in zip(counts, chunk, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayPlan:
    """How the pixels of one document are cut."""

    document: int
    """`Document.index`."""
    slug: str
    """`Document.slug`."""
    path: str
    """Path of the array in the store, such as ``intensity``."""
    shape: tuple[int, ...]
    """Lengths of the dims in canonical order."""
    dtype: str
    """numpy type string of the values."""
    pattern_ndim: int
    """How many of the last dims are one pattern."""
    chunk: tuple[int, ...]
    """Lengths of a chunk."""
    shard: tuple[int, ...]
    """Lengths of a shard, multiples of the chunk's."""
    box: tuple[int, ...]
    """Lengths of what is read at once, multiples of the chunk's."""
    transposed: bool = False
    """Whether the source keeps each pixel of all patterns together, so that it is first split by
    shards into a temporary file of the same size."""

    @property
    def grid(self) -> tuple[int, ...]:
        """How many shards there are along each dim."""
        return tuple(math.ceil(n / s) for n, s in zip(self.shape, self.shard, strict=True))

    @property
    def shards(self) -> int:
        """How many shards there are."""
        return math.prod(self.grid)

    @property
    def inner_grid(self) -> tuple[int, ...]:
        """How many chunks a shard has along each dim, those outside the array counted in."""
        return tuple(s // c for s, c in zip(self.shard, self.chunk, strict=True))

    @property
    def nbytes(self) -> int:
        """Bytes of all values."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    @property
    def box_bytes(self) -> int:
        """Bytes of a box."""
        return math.prod(self.box) * np.dtype(self.dtype).itemsize

    @property
    def chunk_bytes(self) -> int:
        """Bytes of a chunk."""
        return math.prod(self.chunk) * np.dtype(self.dtype).itemsize

    def shard_index(self, number: int) -> tuple[int, ...]:
        """Return the place of a shard in the grid."""
        return tuple(int(place) for place in np.unravel_index(number, self.grid))

    def shard_path(self, number: int) -> str:
        """Return the path of a shard's file in the store."""
        return "/".join([self.path, "c", *map(str, self.shard_index(number))])

    def shard_box(self, number: int) -> Box:
        """Return corner and shape of a shard's values, clipped to the array."""
        start = tuple(i * s for i, s in zip(self.shard_index(number), self.shard, strict=True))
        ends = zip(start, self.shard, self.shape, strict=True)
        return start, tuple(min(n, size - a) for a, n, size in ends)

    def boxes(self, number: int) -> Iterator[Box]:
        """Yield the boxes in which a shard is read; together they are its values."""
        return cut(*self.shard_box(number), self.box)

    def chunks_of(self, box: Box) -> Iterator[Box]:
        """Yield the chunks of a box in C order, each clipped to the array."""
        return cut(*box, self.chunk)

    def chunk_number(self, start: Sequence[int]) -> int:
        """Return the place of the chunk at `start` in the index of its shard."""
        number = 0
        for first, shard, chunk in zip(start, self.shard, self.chunk, strict=True):
            number = number * (shard // chunk) + first % shard // chunk
        return number

    def describe(self) -> dict[str, Any]:
        """Return the plan as JSON."""
        return {
            "document": self.slug,
            "path": self.path,
            "shape": list(self.shape),
            "dtype": np.dtype(self.dtype).name,
            "nbytes": self.nbytes,
            "chunk": list(self.chunk),
            "chunk_bytes": self.chunk_bytes,
            "shard": list(self.shard),
            "shards": self.shards,
            "read_bytes": self.box_bytes,
            "temporary_bytes": self.nbytes if self.transposed else 0,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class StorePlan:
    """How a source becomes a store, before anything is read."""

    arrays: tuple[ArrayPlan, ...]
    """One for each document, in the order of the source."""
    codec: Codec
    """Compression of the pixels."""
    threads: int
    """Threads or worker processes that work at once, fewer than asked for where the budget holds no
    more buffers; 1 on a cluster, whose every worker has the whole budget."""
    memory: int
    """Bytes of buffers at most."""
    virtual: bool = False
    """Whether no pixels are copied."""

    @property
    def nbytes(self) -> int:
        """Bytes of all values of all documents."""
        return sum(array.nbytes for array in self.arrays)

    def describe(self) -> dict[str, Any]:
        """Return the plan as JSON, with what size and time to expect of counted data."""
        copied = 0 if self.virtual else self.nbytes
        rate = _BYTES_PER_SECOND[self.codec] * self.threads
        return {
            "arrays": [array.describe() for array in self.arrays],
            "codec": self.codec,
            "threads": self.threads,
            "memory": self.memory,
            "source_bytes": self.nbytes,
            "expected_bytes": round(copied / _RATIO[self.codec]),
            "expected_seconds": round(copied / rate, 1),
            "virtual": self.virtual,
        }


def _working_bytes(array: ArrayPlan) -> int:
    """Return what one thread holds beside its box: a chunk encoded, padded, measured; the sums.

    Those of tiles are a few bytes for each 64 pixels of a shard, and in memory three times while
    they are put together.
    """
    itemsize = np.dtype(array.dtype).itemsize
    pattern = math.prod(array.shape[len(array.shape) - array.pattern_ndim :])
    tiled = math.prod(array.shard) // 64 * min(2 * itemsize, 8) if array.pattern_ndim > 1 else 0
    return 4 * array.chunk_bytes + (16 + itemsize) * pattern + 3 * tiled


def box_shape(
    blocks: Blocks, chunk: Sequence[int], shard: Sequence[int], budget: int
) -> tuple[int, ...]:
    """Return what to read at once: the source's own blocks, else about 4 MiB, within `budget`.

    A box is a run of chunks in C order, so that the bytes of a shard do not depend on it.

    Parameters
    ----------
    blocks
        The pixels.
    chunk, shard
        How they are cut in the store.
    budget
        Bytes of the read buffer; a single chunk is read even where it is larger.
    """
    shape, itemsize = blocks.shape, blocks.dtype.itemsize
    chunk_bytes = math.prod(chunk) * itemsize
    cuts = zip(shard, shape, chunk, strict=True)
    most = [max(1, math.ceil(min(s, n) / c)) for s, n, c in cuts]
    preferred = zip(most, blocks.block_shape, chunk, strict=True)
    wanted = [min(m, max(1, math.ceil(b / c))) for m, b, c in preferred]
    first = next((dim for dim, count in enumerate(wanted) if count > 1), len(wanted))
    least = fill_box((*wanted[: first + 1], *most[first + 1 :]), budget // chunk_bytes)
    counts = fill_box(most, min(_BOX_BYTES, budget) // chunk_bytes, least=least)
    return tuple(n * c for n, c in zip(counts, chunk, strict=True))


def _is_transposed(blocks: Blocks, pattern_ndim: int) -> bool:
    return isinstance(blocks, RotatedBlocks) and blocks.rotation == pattern_ndim


def _least_box(array: ArrayPlan) -> int:
    """Return what one thread should read at once: a chunk, or where it transposes, a shard.

    A smaller part of a shard that is pixel after pixel costs as much to read as all of it.
    """
    if not array.transposed:
        return array.chunk_bytes
    shard = math.prod(array.shard) * np.dtype(array.dtype).itemsize
    return max(array.chunk_bytes, min(shard, _LEAST_SHARD))


def plan_array(document: Document, path: str, budget: int) -> ArrayPlan:
    """Return how a document is cut, reading `budget` bytes at once at most.

    Parameters
    ----------
    document
        What is stored.
    path
        Path of its array in the store.
    budget
        Bytes of the read buffer; a single chunk is read even where it is larger.
    """
    shape, itemsize = document.shape, document.dtype.itemsize
    chunk = chunk_shape(shape, itemsize, document.pattern_ndim)
    shard = shard_shape(shape, itemsize, chunk, document.pattern_ndim)
    several = any(s < n for s, n in zip(shard, shape, strict=True))
    return ArrayPlan(
        document=document.index,
        slug=document.slug,
        path=path,
        shape=shape,
        dtype=document.dtype.str,
        pattern_ndim=document.pattern_ndim,
        chunk=chunk,
        shard=shard,
        box=box_shape(document.blocks, chunk, shard, budget),
        transposed=several and _is_transposed(document.blocks, document.pattern_ndim),
    )


def plan_store(source: Source, options: IngestOptions) -> StorePlan:
    """Return how `source` becomes a store with `options`; nothing is read.

    Parameters
    ----------
    source
        What a reader recognised.
    options
        Budget, threads and codec.
    """
    paths = {
        document.index: "intensity"
        if document.index == source.main
        else f"documents/{document.slug}/intensity"
        for document in source.documents
    }
    least = [plan_array(doc, paths[doc.index], 0) for doc in source.documents]
    need = max(_least_box(array) + _working_bytes(array) for array in least)
    wanted = options.workers or (1 if options.scheduler else options.threads)
    threads = max(1, min(wanted, options.memory // need))
    share = options.memory // threads
    arrays = tuple(
        plan_array(document, array.path, share - _working_bytes(array))
        for document, array in zip(source.documents, least, strict=True)
    )
    return StorePlan(
        arrays=arrays,
        codec=options.codec,
        threads=threads,
        memory=options.memory,
        virtual=options.virtual,
    )
