"""Tells whether a file is the one that a store can give back, by every byte of it."""

from __future__ import annotations

from pathlib import Path

import xxhash

from stemzarr.errors import CorruptFileError, LayoutError, OptionError, UnsupportedDataError
from stemzarr.model import Progress
from stemzarr.options import available_threads
from stemzarr.pixels.segments import differing_offsets
from stemzarr.registry import read_source
from stemzarr.store.ingest.run import ProgressCounter
from stemzarr.store.open import read_record, read_store
from stemzarr.store.upkeep.digest import digest_source
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
    header = xxhash.xxh3_128_hexdigest(source.load_header())
    if source.size != record["size"] or header != record["header_hash"]:
        return False
    total = sum(document.nbytes for document in held.documents)
    counter = ProgressCounter(total=total, progress=progress)
    digest = digest_source(source, held, threads=threads or available_threads(), counter=counter)
    return digest == record["hash"] and not any(differing_offsets(held, path))
