"""The pixels of a store: chunks found through a cached index, read, checked and decoded.

A shard that is lost raises, and gives no zeros: docs/upstream/zarr-lost-shard.md.
"""

from __future__ import annotations

import functools
import itertools
import json
import math
import threading
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import DamagedStoreError, ReadError, SourceChangedError
from stemzarr.pixels.boxes import Box
from stemzarr.pixels.foresight import Run, foresee, keep, take
from stemzarr.storage.objects import LONG_AGO, NEAR, Readable, Stamp
from stemzarr.store.format.encode import ChunkCodec, codec_from_metadata
from stemzarr.store.format.manifest import known_lengths, size_of
from stemzarr.store.format.shard import (
    ABSENT,
    ShardIndex,
    index_bytes,
    index_of_lengths,
    lengths_of,
    read_index,
)

__all__ = ["StoreBlocks", "identity_of", "is_replaced"]

_INDEXES = 4096
_BATCH_BYTES = 4 * 1024**2
_RUN_BYTES = 8 * 1024**2
_NOW = Stamp(0, 2**63)
"""Newer than anything."""


_indexes: dict[tuple[Hashable, ...], ShardIndex] = {}
"""Indexes of shards of this process, by store, key, and what tells the store from another."""
_lock = threading.Lock()


class _Piece(NamedTuple):
    """The name of a chunk in this process."""

    array: tuple[Hashable, ...]
    """Its array, and what tells the store from another."""
    place: tuple[int, ...]
    """Its place in the grid of chunks."""


class _Chunk(NamedTuple):
    """Where a chunk is."""

    place: tuple[int, ...]
    """In the grid of chunks."""
    key: str
    """Its shard."""
    stamp: Stamp | None
    """Stamp of the shard; None where nothing was read of it yet."""
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
        self, corner: tuple[int, ...], stop: Sequence[int], *, again: bool
    ) -> Iterator[tuple[tuple[int, ...], memoryview]]:
        """Yield place and bytes of every chunk of a box, some MiB of a shard read by one call."""
        places = self._places(corner, stop)
        if self.store.far:
            yield from self._far_chunks(Box(corner, _lengths(corner, stop)), places, again=again)
            return
        batch: list[_Chunk] = []
        nbytes = 0
        for place in places:
            chunk = self._find(place)
            same = batch and (chunk.key, chunk.stamp) == (batch[0].key, batch[0].stamp)
            if batch and not (same and nbytes + chunk.length <= _BATCH_BYTES):
                yield from self._read(batch, again=again)
                batch, nbytes = [], 0
            batch.append(chunk)
            nbytes += chunk.length
        if batch:
            yield from self._read(batch, again=again)

    def _places(self, corner: Sequence[int], stop: Sequence[int]) -> Iterator[tuple[int, ...]]:
        """Return the places of the chunks of a box, in C order."""
        edges = zip(corner, stop, self.chunk, strict=True)
        return itertools.product(*(range(a // c, math.ceil(b / c)) for a, b, c in edges))

    def _far_chunks(
        self, box: Box, places: Iterator[tuple[int, ...]], *, again: bool
    ) -> Iterator[tuple[tuple[int, ...], memoryview]]:
        """Yield place and bytes of chunks that are kept, were foreseen, or are now."""
        with foresee([] if again else [(self, box)]):
            for place in places:
                piece = self._piece(place)
                stored = None if again else take(piece)
                if stored is None:
                    [(_, stored)] = self._read([self._find(place)], again=again)
                    keep(piece, stored)
                yield place, stored

    @property
    def far(self) -> bool:
        """Whether the store is far."""
        return self.store.far

    def _piece(self, place: tuple[int, ...]) -> _Piece:
        return _Piece((self.store, self.array, self.written_ns, self.identity), place)

    def list_pieces(self, box: Box) -> Iterator[_Piece]:
        """Yield the chunks of a box."""
        stop = [a + n for a, n in zip(box.start, box.shape, strict=True)]
        return map(self._piece, self._places(box.start, stop))

    def cut_runs(self, pieces: Iterable[_Piece]) -> Iterator[Run]:
        """Yield chunks, those that are near each other in their shard together.

        Raises
        ------
        DamagedStoreError, ReadError, SourceChangedError
            The index of a shard cannot be read.
        """
        run: list[_Chunk] = []
        for piece in pieces:
            chunk = self._find(piece.place)
            if run and not _continues(run, chunk):
                yield self._run(run)
                run = []
            run.append(chunk)
        if run:
            yield self._run(run)

    def _run(self, chunks: list[_Chunk]) -> Run:
        def read() -> list[memoryview]:
            return [stored for _, stored in self._read(chunks, again=False)]

        pieces = [self._piece(chunk.place) for chunk in chunks]
        return Run(pieces, sum(chunk.length for chunk in chunks), read)

    def _read(
        self, batch: list[_Chunk], *, again: bool
    ) -> Iterator[tuple[tuple[int, ...], memoryview]]:
        first = batch[0]
        stored = memoryview(bytearray(sum(chunk.length for chunk in batch)))
        try:
            self._read_ranges(first, _ranges(batch, stored))
        except (OSError, SourceChangedError) as error:
            with _lock:
                _indexes.pop(self._index_key(first.key), None)
            if self.store.far and isinstance(error, ReadError):
                raise
            # A shard may be another by now, one that a person put back; or the store may be.
            if isinstance(error, SourceChangedError) and not again:
                raise
            if first.stamp is None:
                self._check_same()
            raise self._damaged(first.place, error) from error
        for chunk in batch:
            yield chunk.place, stored[: chunk.length]
            stored = stored[chunk.length :]

    def _read_ranges(self, chunk: _Chunk, ranges: list[tuple[int, memoryview]]) -> None:
        """Read parts of the shard of a chunk, which is looked at where that was not done yet."""
        if chunk.stamp is not None:
            self.store.read_ranges(chunk.key, ranges, chunk.stamp)
            return
        size = size_of(self.store, self.identity, chunk.key)
        stamp = self.store.read_first(chunk.key, ranges, size)
        self._check_same(stamp)
        with _lock:
            index = _indexes.get(self._index_key(chunk.key))
            if index is not None:
                _indexes[self._index_key(chunk.key)] = index._replace(stamp=stamp)

    def _find(self, place: tuple[int, ...]) -> _Chunk:
        """Return where the chunk at a place of the grid of chunks is."""
        key, index = self._index_at(place)
        number = 0
        for p, s, c in zip(place, self.shard, self.chunk, strict=True):
            number = number * (s // c) + p % (s // c)
        offset, length = index.places[number].tolist()
        if offset == ABSENT:
            raise self._damaged(place, "the chunk is missing from its shard")
        return _Chunk(place, key, index.stamp, offset, length)

    def _index_at(self, place: tuple[int, ...]) -> tuple[str, ShardIndex]:
        """Return the shard that the chunk at a place is in, and its index."""
        cuts = zip(place, self.shard, self.chunk, strict=True)
        key = "/".join((self.array, "c", *(str(p // (s // c)) for p, s, c in cuts)))
        return key, _indexes.get(self._index_key(key)) or self._open_shard(key, place)

    def chunk_lengths(self, start: Sequence[int]) -> tuple[int, ...] | None:
        """Return the bytes of all chunks of the shard that a value is in, by its index.

        Raises
        ------
        DamagedStoreError, SourceChangedError
            The index cannot be read.
        """
        place = tuple(a // c for a, c in zip(start, self.chunk, strict=True))
        return lengths_of(self._index_at(place)[1].places)

    def _index_key(self, key: str) -> tuple[Hashable, ...]:
        return self.store, key, self.written_ns, self.identity, self.shard, self.chunk

    def _open_shard(self, key: str, place: tuple[int, ...]) -> ShardIndex:
        """Return the index of a shard, and keep it: that of the manifest far away, else its own."""
        chunks = math.prod(s // c for s, c in zip(self.shard, self.chunk, strict=True))
        try:
            size = functools.partial(size_of, self.store, self.identity, key)
            lengths = known_lengths(self.store, self.identity, key) if self.store.far else ()
            if len(lengths) == chunks and sum(lengths) + index_bytes(chunks) == size():
                index = index_of_lengths(lengths)
            else:
                index = read_index(self.store, key, chunks, size)
        except OSError as error:
            if self.store.far and isinstance(error, ReadError):
                raise
            self._check_same()
            raise self._damaged(place, error) from error
        if index.stamp is not None:
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


def _lengths(corner: Sequence[int], stop: Sequence[int]) -> tuple[int, ...]:
    return tuple(b - a for a, b in zip(corner, stop, strict=True))


def _continues(run: list[_Chunk], chunk: _Chunk) -> bool:
    """Return whether one request should fetch a chunk together with those before it."""
    first, last = run[0], run[-1]
    return (
        (chunk.key, chunk.stamp) == (first.key, first.stamp)
        and 0 <= chunk.offset - (last.offset + last.length) <= NEAR
        and chunk.offset + chunk.length - first.offset <= _RUN_BYTES
    )


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
