"""The pixels of a store: chunks found through a cached index, read, checked and decoded."""

from __future__ import annotations

import functools
import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import DamagedStoreError, SourceChangedError
from stemzarr.storage.files import read_positioned
from stemzarr.store.format.encode import ChunkCodec, codec_from_metadata
from stemzarr.store.format.shard import ABSENT, read_index

__all__ = ["StoreBlocks", "identity_of"]

_INDEXES = 4096
_RUN_BYTES = 4 * 1024**2


@functools.lru_cache(maxsize=_INDEXES)
def _index_of(path: Path, chunks: int, _state: tuple[int, ...]) -> NDArray[np.uint64]:
    return read_index(path, chunks)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreBlocks:
    """The pixels of one array of a store; a lost or changed chunk raises, it never reads as 0."""

    store: Path
    """Folder of the store."""
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
    def from_node(cls, store: Path, array: str, node: dict[str, Any], identity: str = "") -> Self:
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
            written_ns=_time_of(store / array / "c"),
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
        self._check_same()
        corner = tuple(start)
        stop = tuple(a + n for a, n in zip(corner, out.shape, strict=True))
        scratch: NDArray[Any] | None = None
        for chunk, stored in self._chunks(corner, stop):
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

    def _check_same(self) -> None:
        """Raise where these labels would be put on the pixels of another store."""
        now = _time_of(self.store / self.array / "c")
        if now == self.written_ns:
            return
        if now is None and self.store.is_dir():
            return  # what is missing is told of shard by shard
        if self.identity and _identity_now(self.store, now) == self.identity:
            return  # a system or a person left a file among the shards
        what = "was replaced" if self.store.is_dir() else "was removed"
        msg = f"the store {what} since it was opened"
        raise SourceChangedError(msg, path=self.store, hint="open it again")

    def _overlap(
        self,
        out: NDArray[Any],
        corner: Sequence[int],
        stop: Sequence[int],
        first: Sequence[int],
    ) -> tuple[NDArray[Any], tuple[slice, ...]]:
        """Return the part of `out` that a chunk fills, and where that part lies in the chunk."""
        target, inside = [], []
        for a, b, f, c in zip(corner, stop, first, self.chunk, strict=True):
            low, high = max(a, f), min(b, f + c)
            target.append(slice(low - a, high - a))
            inside.append(slice(low - f, high - f))
        return out[tuple(target)], tuple(inside)

    def _chunks(
        self, corner: Sequence[int], stop: Sequence[int]
    ) -> Iterator[tuple[tuple[int, ...], memoryview]]:
        """Yield place and bytes of every chunk of a box, neighbours read by one call."""
        run: list[tuple[tuple[int, ...], int, int]] = []
        last: Path | None = None
        edges = zip(corner, stop, self.chunk, strict=True)
        places = itertools.product(*(range(a // c, math.ceil(b / c)) for a, b, c in edges))
        for place in places:
            path, offset, length = self._find(place)
            if run and (path != last or not _follows(run, offset, length)):
                yield from self._read(last, run)
                run = []
            run.append((place, offset, length))
            last = path
        if run:
            yield from self._read(last, run)

    def _read(
        self, path: Path | None, run: list[tuple[tuple[int, ...], int, int]]
    ) -> Iterator[tuple[tuple[int, ...], memoryview]]:
        assert path is not None  # noqa: S101 - a run has a file
        start = run[0][1]
        stored = memoryview(bytearray(run[-1][1] + run[-1][2] - start))
        try:
            read_positioned(path, stored, start)
        except (OSError, RuntimeError) as error:
            raise self._damaged(run[0][0], error) from error
        for place, offset, length in run:
            yield place, stored[offset - start : offset - start + length]

    def _find(self, place: tuple[int, ...]) -> tuple[Path, int, int]:
        """Return file, offset and length of the chunk at a place of the grid of chunks."""
        per = [s // c for s, c in zip(self.shard, self.chunk, strict=True)]
        path = self._shard_path(tuple(p // n for p, n in zip(place, per, strict=True)))
        inside = tuple(p % n for p, n in zip(place, per, strict=True))
        number = 0
        for i, n in zip(inside, per, strict=True):
            number = number * n + i
        try:
            state = path.stat()
            known = (state.st_ino, state.st_size, state.st_mtime_ns)
            index = _index_of(path, math.prod(per), known)
        except OSError as error:
            raise self._damaged(place, error) from error
        offset, length = (int(value) for value in index[number])
        if offset == ABSENT:
            raise self._damaged(place, "the chunk is missing in its shard")
        return path, offset, length

    def _shard_path(self, place: tuple[int, ...]) -> Path:
        return self.store.joinpath(*self.array.split("/"), "c", *map(str, place))

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
            path=self.store,
            hint="the rest stays readable; restore the shard from a copy or ingest again",
        )


def identity_of(record: Mapping[str, Any]) -> str:
    """Return what tells a store from one that takes its place: its pixels and its ingest."""
    return f"{record.get('hash')} {record['ingest']['finished']}"


@functools.lru_cache(maxsize=64)
def _identity_now(store: Path, _state: int | None) -> str:
    try:
        return identity_of(json.loads((store / "source/zarr.json").read_bytes())["attributes"])
    except (OSError, ValueError, TypeError, KeyError):
        return ""


def _time_of(folder: Path) -> int | None:
    """Return when something last came to, or went from, a folder; None where there is none."""
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return None


def _follows(run: list[tuple[tuple[int, ...], int, int]], offset: int, length: int) -> bool:
    _, last, size = run[-1]
    return offset == last + size and offset + length - run[0][1] <= _RUN_BYTES
