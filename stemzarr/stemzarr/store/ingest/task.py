"""The unit of work: one shard, read, measured and encoded by one thread or cluster worker."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from stemzarr.measure.accumulate import Accumulator
from stemzarr.measure.disk_mask import DiskMask
from stemzarr.model import Blocks, box_of
from stemzarr.pixels import boxes
from stemzarr.pixels.buffers import Buffer
from stemzarr.pixels.foresight import foresee
from stemzarr.storage.objects import Writable
from stemzarr.store.format.encode import ChunkCodec
from stemzarr.store.format.plan import ArrayPlan, Box
from stemzarr.store.format.shard import ShardWriter
from stemzarr.store.ingest.journal import ShardRecord

__all__ = ["Cancelled", "ShardTask", "Workspace"]


class Cancelled(Exception):  # noqa: N818 - no error, the user asked for it
    """The ingest was interrupted."""


@dataclass(slots=True)
class Workspace:
    """What the threads of an ingest keep from shard to shard."""

    stop: threading.Event = field(default_factory=threading.Event)
    """Set when work should end as soon as it can."""
    report: Callable[[int], None] | None = None
    """Receives the bytes of values that were written."""
    buffer: Buffer = field(default_factory=Buffer)
    """Memory of the box that a thread works on."""

    def advance(self, nbytes: int) -> None:
        """Report values that are done."""
        if self.report is not None:
            self.report(nbytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardTask:
    """All that is needed to write one shard, on any machine that sees source and store."""

    place: int
    """Place of the array in the plan."""
    number: int
    """Place of the shard in the array's grid."""
    array: ArrayPlan
    """How the array is cut."""
    blocks: Blocks
    """The pixels."""
    codec: ChunkCodec
    """How chunks are encoded."""
    tree: Writable
    """The store."""
    partials: Writable | None
    """Where the partial sums of previews and statistics go; None where none are wanted."""
    mask: DiskMask | None
    """Pixels of the virtual images, for scans."""
    valid: NDArray[np.bool_] | None
    """(scan_y, scan_x) mask of the patterns that were recorded; None where all were."""
    bad: NDArray[np.bool_] | None
    """(det_y, det_x) mask of the pixels that are bad; None where none is."""
    sync: bool
    """Whether the shard is flushed to the disk."""

    @property
    def nbytes(self) -> int:
        """Bytes of the shard's values."""
        shape = self.array.shard_box(self.number)[1]
        return math.prod(shape) * np.dtype(self.array.dtype).itemsize

    def run(self, workspace: Workspace) -> ShardRecord:
        """Write the shard and say what it holds.

        Raises
        ------
        ReadError, SourceChangedError
            The pixels cannot be read.
        WriteError
            The shard cannot be written.
        """
        path = self.array.shard_path(self.number)
        with self.tree.writing(path, sync=self.sync) as sink:
            shard = ShardWriter(sink, math.prod(self.array.inner_grid))
            digests, sums = self._write(shard, workspace)
            digest = shard.finish()
        name, partial_digest = self._write_partial(sums)
        return ShardRecord(
            array=self.place,
            number=self.number,
            path=path,
            size=shard.size,
            digest=digest,
            chunks=b"".join(digests).hex(),
            lengths=list(shard.lengths),
            partial=name,
            partial_digest=partial_digest,
        )

    def _write(self, shard: ShardWriter, workspace: Workspace) -> tuple[list[bytes], Accumulator]:
        """Write all chunks, and return the digests of their values and what they add up to."""
        dtype = np.dtype(self.array.dtype)
        lead = len(self.array.shape) - self.array.pattern_ndim
        pixels = math.prod(self.array.shape[lead:])
        bad = None if self.bad is None else self.bad.reshape(-1)
        sums = Accumulator(pixels=pixels, dtype=dtype, mask=self.mask, bad=bad)
        digests: list[bytes] = []
        with foresee((self.blocks, boxes.Box(*box)) for box in self.array.boxes(self.number)):
            for box in self.array.boxes(self.number):
                if workspace.stop.is_set():
                    raise Cancelled
                values = workspace.buffer.array(box[1], dtype)
                self.blocks.read_into(values, box[0])
                digests += self._write_chunks(shard, box, values)
                if self.partials is not None:
                    sizes = [math.prod(n[:lead]) for _, n in self.array.chunks_of(box)]
                    sums.add(values.reshape(-1, pixels), sizes, self._valid_in(box))
                workspace.advance(values.nbytes)
        return digests, sums

    def _valid_in(self, box: Box) -> NDArray[np.bool_] | None:
        """Return which patterns of a box were recorded, in its order."""
        if self.valid is None:
            return None
        part = box_of(*box)
        return self.valid[part[: self.valid.ndim]].reshape(-1)

    def _write_chunks(self, shard: ShardWriter, box: Box, values: NDArray[Any]) -> list[bytes]:
        """Append the chunks of a box to the shard, and return the digests of their values."""
        origin, digests = box[0], []
        for start, shape in self.array.chunks_of(box):
            ends = zip(start, origin, shape, strict=True)
            inside = tuple(slice(a - o, a - o + n) for a, o, n in ends)
            chunk = np.ascontiguousarray(values[inside])
            digests.append(digest_values(chunk))
            shard.append(
                self.array.chunk_number(start), *self.codec.encode(pad(chunk, self.array.chunk))
            )
        return digests

    def _write_partial(self, sums: Accumulator) -> tuple[str | None, str | None]:
        if self.partials is None:
            return None, None
        name = f"{self.place}-{self.number}"
        content = sums.partial().to_bytes()
        with self.partials.writing(name, sync=self.sync) as sink:
            sink.write(content)
        return name, xxhash.xxh3_128_hexdigest(content)


def digest_values(chunk: NDArray[Any]) -> bytes:
    """Return the xxh3-128 of the values of a C-contiguous chunk."""
    return xxhash.xxh3_128_digest(chunk.reshape(-1).view(np.uint8).data)


def hash_values(header: bytes, digests: Iterable[bytes]) -> str:
    """Return the digest of a source from that of its header and those of all chunks, in order."""
    state = xxhash.xxh3_128(header)
    for digest in digests:
        state.update(digest)
    return state.hexdigest()


def pad(chunk: NDArray[Any], shape: Sequence[int]) -> NDArray[Any]:
    """Return `chunk` filled up with zeros at the high sides to `shape`."""
    if chunk.shape == tuple(shape):
        return chunk
    padded = np.zeros(shape, chunk.dtype)
    padded[tuple(slice(n) for n in chunk.shape)] = chunk
    return padded
