"""Tells whether a file is the one that a store can give back, by every byte of it."""

from __future__ import annotations

import math
from pathlib import Path

import xxhash

from stemzarr.errors import CorruptFileError, LayoutError, OptionError, UnsupportedDataError
from stemzarr.model import Blocks, Progress, Source
from stemzarr.options import available_threads
from stemzarr.pixels.segments import differing_offsets
from stemzarr.pixels.threads import map_in_threads
from stemzarr.registry import read_source
from stemzarr.store.blocks import StoreBlocks
from stemzarr.store.format.plan import ArrayPlan
from stemzarr.store.ingest.run import ProgressCounter
from stemzarr.store.ingest.task import Workspace
from stemzarr.store.open import read_record, read_store
from stemzarr.store.upkeep.verify import digest_shard, plan_of
from stemzarr.store.virtual import read_options

__all__ = ["is_source_of"]

_OTHER = (CorruptFileError, LayoutError, OptionError, UnsupportedDataError)
"""What a file raises that cannot be understood as another one was."""


def is_source_of(
    path: Path, store: Path, *, threads: int | None = None, progress: Progress | None = None
) -> bool:
    """Return whether a file holds the very bytes of the one that a store can give back.

    Its size, the digest of all bytes outside its pixels, that of all its values, cut as the
    chunks of the store are, and packed pixels as they are in the file.

    Parameters
    ----------
    path
        The file; it is read once.
    store
        A store whose source is rebuildable; of its pixels only packed ones are read.
    threads
        How many threads read and digest; all processors by default.
    progress
        Progress callback: bytes of values compared, and in all.

    Raises
    ------
    ReadError, SourceChangedError, DamagedStoreError
        The file or the store cannot be read.
    """
    record, held = read_record(store), read_store(store)
    try:
        source = read_source(path, read_options(record))
    except _OTHER:
        return False
    header = xxhash.xxh3_128_digest(source.load_header())
    if source.size != record["size"] or header.hex() != record["header_hash"]:
        return False
    cuts = _cuts(source, held)
    if cuts is None:
        return False
    state = xxhash.xxh3_128(header)
    for digest in _digest_all(cuts, threads or available_threads(), progress):
        state.update(digest)
    same: bool = state.hexdigest() == record["hash"]
    return same and not any(differing_offsets(held, path))


def _cuts(source: Source, held: Source) -> list[tuple[Blocks, ArrayPlan]] | None:
    """Return the pixels of every document with the cut of the store; None where one differs."""
    known = {document.index: document for document in source.documents}
    cuts: list[tuple[Blocks, ArrayPlan]] = []
    for document in held.documents:
        other = known.get(document.index)
        if other is None or not isinstance(document.blocks, StoreBlocks):
            return None
        if (other.shape, other.dtype) != (document.shape, document.dtype):
            return None
        cuts.append((other.blocks, plan_of(document, document.blocks, other.blocks)))
    return cuts


def _digest_all(
    cuts: list[tuple[Blocks, ArrayPlan]], threads: int, progress: Progress | None
) -> list[bytes]:
    """Return the digests of all chunks in canonical order, those of a shard joined."""
    counter = ProgressCounter(total=sum(plan.nbytes for _, plan in cuts), progress=progress)
    workspace = Workspace(report=counter.add)

    def digest(job: tuple[Blocks, ArrayPlan, int]) -> bytes:
        return b"".join(d for _, d in digest_shard(*job, workspace))

    jobs = [(blocks, plan, number) for blocks, plan in cuts for number in range(plan.shards)]
    return list(map_in_threads(digest, jobs, threads=threads, ahead=math.inf))
