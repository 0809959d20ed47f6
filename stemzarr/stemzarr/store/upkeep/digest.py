"""Digests pixels from anywhere, cut as a store has them, to compare them with its own."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import xxhash

from stemzarr.model import Blocks, Document, Source
from stemzarr.pixels.threads import map_in_threads
from stemzarr.store.blocks import StoreBlocks
from stemzarr.store.format.plan import ArrayPlan, Box, box_shape
from stemzarr.store.ingest.run import ProgressCounter
from stemzarr.store.ingest.task import Workspace, digest_values, hash_values

__all__ = ["digest_shard", "digest_source", "plan_of"]

_BOX_BYTES = 128 * 1024**2


def digest_source(
    source: Source, held: Source, *, threads: int, counter: ProgressCounter
) -> str | None:
    """Return the digest of a source as a store records it, over its header and all its values.

    Parameters
    ----------
    source
        The source; it is read once.
    held
        What the store holds, whose cuts are taken.
    threads
        How many threads read and digest.
    counter
        Counts bytes of values.

    Returns
    -------
    str or None
        None where a document of the store is not in the source, or is of another form there.
    """
    known = {document.index: document for document in source.documents}
    workspace = Workspace(report=counter.add)
    jobs: list[tuple[Blocks, ArrayPlan, int]] = []
    for document in held.documents:
        other = known.get(document.index)
        if other is None or not isinstance(document.blocks, StoreBlocks):
            return None
        if (other.shape, other.dtype) != (document.shape, document.dtype):
            return None
        plan = plan_of(document, document.blocks, other.blocks)
        jobs += [(other.blocks, plan, number) for number in range(plan.shards)]

    def digest(job: tuple[Blocks, ArrayPlan, int]) -> bytes:
        return b"".join(each for _, each in digest_shard(*job, workspace))

    digests = map_in_threads(digest, jobs, threads=threads, ahead=math.inf)
    return hash_values(xxhash.xxh3_128_digest(source.load_header()), digests)


def plan_of(document: Document, blocks: StoreBlocks, other: Blocks | None) -> ArrayPlan:
    """Return how an array of a store is cut, its boxes those that suit the `other` blocks."""
    return ArrayPlan(
        document=document.index,
        slug=document.slug,
        path=blocks.array,
        shape=blocks.shape,
        dtype=blocks.dtype.str,
        pattern_ndim=document.pattern_ndim,
        chunk=blocks.chunk,
        shard=blocks.shard,
        box=box_shape(other or blocks, blocks.chunk, blocks.shard, _BOX_BYTES),
    )


def digest_shard(
    blocks: Blocks, plan: ArrayPlan, number: int, workspace: Workspace
) -> Iterator[tuple[Box, bytes]]:
    """Yield every chunk of a shard with the digest of its values, read in boxes.

    Parameters
    ----------
    blocks
        The pixels, in a store or not.
    plan
        How they are cut.
    number
        Place of the shard in the grid.
    workspace
        Gives memory and counts how much is done.
    """
    for box in plan.boxes(number):
        values = workspace.buffer.array(box[1], blocks.dtype)
        blocks.read_into(values, box[0])
        for start, shape in plan.chunks_of(box):
            ends = zip(start, box[0], shape, strict=True)
            inside = tuple(slice(a - o, a - o + n) for a, o, n in ends)
            yield (start, shape), digest_values(np.ascontiguousarray(values[inside]))
        workspace.advance(values.nbytes)
