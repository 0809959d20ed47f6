"""The shard file: chunks one after the other, then the index of where they are, with a crc32c.

The index holds an offset and a length (uint64, little-endian) for every chunk in C order; chunks
that are outside the array have both set to 2**64 - 1.
https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed/index.html
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import xxhash
from numpy.typing import NDArray

from stemzarr.errors import DamagedStoreError
from stemzarr.storage.objects import Readable, Sink, Stamp
from stemzarr.store.format.encode import CRC_BYTES, ChunkCodec, crc_matches, with_crc

__all__ = [
    "ABSENT",
    "ShardIndex",
    "ShardWriter",
    "index_bytes",
    "index_of_lengths",
    "lengths_of",
    "read_index",
    "sharding_metadata",
]

ABSENT = 2**64 - 1
"""Offset and length of a chunk that is not there."""
_INDEX_CODECS: list[dict[str, Any]] = [
    {"name": "bytes", "configuration": {"endian": "little"}},
    {"name": "crc32c"},
]


def sharding_metadata(chunk: Sequence[int], codec: ChunkCodec) -> list[dict[str, Any]]:
    """Return the codec chain of a sharded array as it is in ``zarr.json``."""
    configuration = {
        "chunk_shape": list(chunk),
        "codecs": codec.metadata(),
        "index_codecs": _INDEX_CODECS,
        "index_location": "end",
    }
    return [{"name": "sharding_indexed", "configuration": configuration}]


def index_bytes(chunks: int) -> int:
    """Return the length of the index of a shard of that many chunks, its crc32c included."""
    return 16 * chunks + CRC_BYTES


class ShardWriter:
    """Writes one shard.

    Parameters
    ----------
    sink
        Takes its bytes.
    chunks
        How many chunks a shard has, those outside the array counted in.
    """

    def __init__(self, sink: Sink, chunks: int) -> None:
        self.size = 0
        self._index: NDArray[np.uint64] = np.full((chunks, 2), ABSENT, "<u8")
        self._digest = xxhash.xxh3_128()
        self._sink = sink

    def append(self, number: int, *pieces: bytes) -> None:
        """Write the encoded bytes of a chunk."""
        start = self.size
        for piece in pieces:
            self._write(piece)
        self._index[number] = start, self.size - start

    @property
    def lengths(self) -> tuple[int, ...]:
        """Bytes of all chunks in C order, 0 for those that are not there; empty if out of order."""
        return lengths_of(self._index) or ()

    def finish(self) -> str:
        """Write the index, and return the xxh3-128 of the shard in hex."""
        self._write(with_crc(self._index.tobytes()))
        return self._digest.hexdigest()

    def _write(self, piece: bytes) -> None:
        self._digest.update(piece)
        self._sink.write(piece)
        self.size += len(piece)


class ShardIndex(NamedTuple):
    """Where the chunks of a shard are, and which state of the shard that holds of."""

    stamp: Stamp | None
    """The stamp of the shard when its index was read; None where nothing was read of it yet."""
    places: NDArray[np.uint64]
    """(chunks, 2) offset and length of every chunk."""


def lengths_of(places: NDArray[np.uint64]) -> tuple[int, ...] | None:
    """Return the bytes of all chunks of a shard, 0 for those that are not there.

    Parameters
    ----------
    places
        (chunks, 2) offset and length of every chunk.

    Returns
    -------
    tuple of int or None
        None where the chunks do not follow each other in C order, from the first byte on.
    """
    there = places[:, 0] != ABSENT
    lengths = np.where(there, places[:, 1], 0).astype(np.int64)
    offsets = (np.cumsum(lengths) - lengths).astype(np.uint64)
    return tuple(lengths.tolist()) if (places[there, 0] == offsets[there]).all() else None


def index_of_lengths(lengths: Sequence[int]) -> ShardIndex:
    """Return where the chunks of a shard are by what `lengths_of` gave; nothing of it is read."""
    known = np.array(lengths, np.uint64)
    places = np.stack([np.cumsum(known, dtype=np.uint64) - known, known], axis=1)
    places[known == 0] = ABSENT
    return ShardIndex(None, places)


def read_index(store: Readable, key: str, chunks: int, size: Callable[[], int]) -> ShardIndex:
    """Return where the chunks of a shard are.

    Parameters
    ----------
    store, key
        The shard.
    chunks
        How many chunks it has.
    size
        Gives the bytes that it must have.

    Raises
    ------
    FileNotFoundError, ReadError, SourceChangedError
        The shard is missing, cannot be read, or is replaced at this moment.
    DamagedStoreError
        It is too short, or the checksum of its index does not fit.
    """
    path = store.root / key
    length = index_bytes(chunks)
    stored = bytearray(length)
    stamp = store.read_end(key, memoryview(stored), size)
    if stamp.size < length:
        raise DamagedStoreError(f"has {stamp.size} bytes, its index alone has {length}", path=path)
    if not crc_matches(memoryview(stored)):
        raise DamagedStoreError("the checksum of the shard's index does not fit", path=path)
    index = np.frombuffer(stored, "<u8", count=2 * chunks).reshape(chunks, 2)
    there = index[:, 0] != ABSENT
    if (index[there].sum(axis=1) > stamp.size - length).any():
        raise DamagedStoreError("the shard's index points beyond its chunks", path=path)
    return ShardIndex(stamp, index)
