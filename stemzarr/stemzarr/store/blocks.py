"""The pixels of a store: chunks found through a cached index, read, checked and decoded."""

from __future__ import annotations

import functools
import itertools
import json
import math
import threading
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import DamagedStoreError, ReadError, SourceChangedError
from stemzarr.storage.objects import LONG_AGO, Readable, Stamp
from stemzarr.store.format.encode import ChunkCodec, codec_from_metadata
from stemzarr.store.format.manifest import size_of
from stemzarr.store.format.shard import ABSENT, ShardIndex, read_index

__all__ = ["StoreBlocks", "identity_of", "is_replaced"]

_INDEXES = 4096
_BATCH_BYTES = 4 * 1024**2
_FAR_BATCH_BYTES = 16 * 1024**2
_NOW = Stamp(0, 2**63)
"""Newer than anything."""


_indexes: dict[tuple[Hashable, ...], ShardIndex] = {}
"""Indexes of shards of this process, by store, key, and what tells the store from another."""
_lock = threading.Lock()


class _Chunk(NamedTuple):
    """Where a chunk is."""

    place: tuple[int, ...]
    """In the grid of chunks."""
    key: str
    """Its shard."""
    stamp: Stamp
    """Stamp of the shard."""
    offset: int
    """Its first byte in the shard."""
    length: int
    """Its bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreBlocks:
    """The pixels of one array of a store; a lost or changed chunk raises, it never reads as 0."""

    store: Readable
    """The store."""
    array: str
    """Path of the array in it."""
    shape: tuple[int, ...]
    """Lengths of the dims."""
    dtype: np.dtype[Any]
    """Type of the values."""
    chunk: tuple[int, ...]
    """Lengths of a chunk."""
    shard: tuple[int, ...]
    """Lengths of a shard."""
    codec: ChunkCodec
    """How chunks are encoded."""
    written_ns: int | None = None
    """When the folder of the shards was filled; None where it was not there."""
    identity: str = ""
    """What `identity_of` says of the store's record; empty where nothing is known of it."""

    @property
    def block_shape(self) -> tuple[int, ...]:
        """One chunk."""
        return self.chunk

    @classmethod
    def from_node(
        cls, store: Readable, array: str, node: dict[str, Any], identity: str = ""
    ) -> Self:
        """Return the blocks of the array that a ``zarr.json`` describes."""
        dtype = np.dtype(node["data_type"])
        sharding = node["codecs"][0]["configuration"]
        return cls(
            store=store,
            array=array,
            shape=tuple(node["shape"]),
            dtype=dtype,
            chunk=tuple(sharding["chunk_shape"]),
            shard=tuple(node["chunk_grid"]["configuration"]["chunk_shape"]),
            codec=codec_from_metadata(sharding["codecs"], dtype),
            written_ns=store.state(f"{array}/c", LONG_AGO),
            identity=identity,
        )

    def read_into(self, out: NDArray[Any], start: Sequence[int]) -> None:
        """Fill `out` with the box of ``out.shape`` whose first corner is at `start`.

        Raises
        ------
        DamagedStoreError
            A shard is missing or a chunk does not fit its checksum; the message names the chunk
            and the range of patterns in it.
        SourceChangedError
            Another store has taken the place of the one that was opened, or it was removed.
        """
        if not out.size:
            return
        try:
            self._fill(out, tuple(start))
        except SourceChangedError:
            self._check_same()
            self._fill(out, tuple(start), again=True)

    def _fill(self, out: NDArray[Any], corner: tuple[int, ...], *, again: bool = False) -> None:
        stop = tuple(a + n for a, n in zip(corner, out.shape, strict=True))
        scratch: NDArray[Any] | None = None
        for chunk, stored in self._chunks(corner, stop, again=again):
            first = tuple(p * c for p, c in zip(chunk, self.chunk, strict=True))
            target, inside = self._overlap(out, corner, stop, first)
            try:
                if target.shape == self.chunk and target.flags.c_contiguous:
                    self.codec.decode(stored, target)
                    continue
                if scratch is None:
                    scratch = np.empty(self.chunk, self.dtype)
                self.codec.decode(stored, scratch)
            except DamagedStoreError as error:
                raise self._damaged(chunk, error) from error
            np.copyto(target, scratch[inside])

    def _check_same(self, seen: Stamp = _NOW) -> None:
        """Raise where these labels would be put on the pixels of another store."""
        now = self.store.state(f"{self.array}/c", seen)
        if now == self.written_ns:
            return
        is_there = self.store.state("", _NOW) is not None
        if now is None and is_there:
            return  # what is missing is reported shard by shard
        if self.identity and _identity_now(self.store, now) == self.identity:
            return  # a system or a person left a file among the shards
        what = "was replaced" if is_there else "was removed"
        msg = f"the store {what} since it was opened"
        raise SourceChangedError(msg, path=self.store.root, hint="open it again")

    def _overlap(
        self,
        out: NDArray[Any],
        corner: Sequence[int],
        stop: Sequence[int],
        first: Sequence[int],
    ) -> tuple[NDArray[Any], tuple[slice, ...]]:
        """Return the part of `out` that a chunk fills, and where that part is in the chunk."""
        target, inside = [], []
        for a, b, f, c in zip(corner, stop, first, self.chunk, strict=True):
            low, high = max(a, f), min(b, f + c)
            target.append(slice(low - a, high - a))
            inside.append(slice(low - f, high - f))
        return out[tuple(target)], tuple(inside)

    def _chunks(
        self, corner: Sequence[int], stop: Sequence[int], *, again: bool
    ) -> Iterator[tuple[tuple[int, ...], memoryview]]:
        """Yield place and bytes of every chunk of a box, some MiB of a shard read by one call."""
        batch: list[_Chunk] = []
        nbytes, most = 0, _FAR_BATCH_BYTES if self.store.far else _BATCH_BYTES
        edges = zip(corner, stop, self.chunk, strict=True)
        places = itertools.product(*(range(a // c, math.ceil(b / c)) for a, b, c in edges))
        for place in places:
            chunk = self._find(place)
            same = batch and (chunk.key, chunk.stamp) == (batch[0].key, batch[0].stamp)
            if batch and not (same and nbytes + chunk.length <= most):
                yield from self._read(batch, again=again)
                batch, nbytes = [], 0
            batch.append(chunk)
            nbytes += chunk.length
        if batch:
            yield from self._read(batch, again=again)

    def _read(
        self, batch: list[_Chunk], *, again: bool
    ) -> Iterator[tuple[tuple[int, ...], memoryview]]:
        first = batch[0]
        stored = memoryview(bytearray(sum(chunk.length for chunk in batch)))
        try:
            self.store.read_ranges(first.key, _ranges(batch, stored), first.stamp)
        except (OSError, SourceChangedError) as error:
            with _lock:
                _indexes.pop(self._index_key(first.key), None)
            if self.store.far and isinstance(error, ReadError):
                raise
            # A shard may be another by now, one that a person put back; or the store may be.
            if isinstance(error, SourceChangedError) and not again:
                raise
            raise self._damaged(first.place, error) from error
        for chunk in batch:
            yield chunk.place, stored[: chunk.length]
            stored = stored[chunk.length :]

    def _find(self, place: tuple[int, ...]) -> _Chunk:
        """Return where the chunk at a place of the grid of chunks is."""
        shard, number = [], 0
        for p, s, c in zip(place, self.shard, self.chunk, strict=True):
            outer, inner = divmod(p, s // c)
            shard.append(str(outer))
            number = number * (s // c) + inner
        key = f"{self.array}/c/{'/'.join(shard)}"
        index = _indexes.get(self._index_key(key)) or self._open_shard(key, place)
        offset, length = index.places[number].tolist()
        if offset == ABSENT:
            raise self._damaged(place, "the chunk is missing in its shard")
        return _Chunk(place, key, index.stamp, offset, length)

    def _index_key(self, key: str) -> tuple[Hashable, ...]:
        return self.store, key, self.written_ns, self.identity, self.shard, self.chunk

    def _open_shard(self, key: str, place: tuple[int, ...]) -> ShardIndex:
        """Read the index of a shard, and keep it."""
        chunks = math.prod(s // c for s, c in zip(self.shard, self.chunk, strict=True))
        try:
            size = functools.partial(size_of, self.store, self.identity, key)
            index = read_index(self.store, key, chunks, size)
        except OSError as error:
            if self.store.far and isinstance(error, ReadError):
                raise
            self._check_same()
            raise self._damaged(place, error) from error
        self._check_same(index.stamp)
        with _lock:
            while len(_indexes) >= _INDEXES:
                del _indexes[next(iter(_indexes))]
            _indexes[self._index_key(key)] = index
        return index

    def _damaged(self, place: tuple[int, ...], why: str | BaseException) -> DamagedStoreError:
        if isinstance(why, DamagedStoreError):
            why = why.message
        elif isinstance(why, FileNotFoundError):
            why = "its shard is missing"
        first = [p * c for p, c in zip(place, self.chunk, strict=True)]
        last = [min(f + c, n) for f, c, n in zip(first, self.chunk, self.shape, strict=True)]
        box = ", ".join(f"{a}:{b}" for a, b in zip(first, last, strict=True))
        return DamagedStoreError(
            f"chunk {'/'.join(map(str, place))} of {self.array}, values [{box}], is damaged: {why}",
            path=self.store.root,
            hint="the rest stays readable; restore the shard from a copy or ingest again",
        )


def identity_of(record: Mapping[str, Any]) -> str:
    """Return what tells a store from one that takes its place: its pixels and its ingest."""
    return f"{record.get('hash')} {record['ingest']['finished']}"


def is_replaced(store: Readable, array: str, written_ns: int | None, identity: str) -> bool:
    """Return whether an array is there, and is not that of the store which was opened."""
    now = store.state(f"{array}/c", _NOW)
    return now not in (None, written_ns) and _identity_now(store, now) != identity


@functools.lru_cache(maxsize=64)
def _identity_now(store: Readable, _state: int | None) -> str:
    try:
        return identity_of(json.loads(store.get("source/zarr.json"))["attributes"])
    except (OSError, ValueError, TypeError, KeyError):
        return ""


def _ranges(batch: list[_Chunk], out: memoryview) -> list[tuple[int, memoryview]]:
    """Return where chunks are in their shard, neighbours as one range, each with its buffer."""
    ranges, begin, end = [], 0, 0
    for chunk, following in itertools.zip_longest(batch, batch[1:]):
        end += chunk.length
        after = chunk.offset + chunk.length
        if following is None or following.offset != after:
            ranges.append((after - (end - begin), out[begin:end]))
            begin = end
    return ranges
