"""Gives the original file back from its store, byte for byte."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path

from stemzarr.errors import DamagedStoreError, UnsupportedDataError
from stemzarr.model import Progress, Source
from stemzarr.pixels.segments import iterate_segment
from stemzarr.registry import read_source
from stemzarr.storage.files import check_destination, publish
from stemzarr.store.format.form import SourceRecord
from stemzarr.store.ingest.run import ProgressCounter
from stemzarr.store.open import read_record, read_store
from stemzarr.store.upkeep.digest import digest_source
from stemzarr.store.virtual import read_options

__all__ = ["RebuildResult", "rebuild"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuildResult:
    """What was rebuilt."""

    dest: Path
    """The file."""
    nbytes: int
    """Its size."""
    exact: bool
    """Whether it equals the original byte for byte; a redacted store differs in its header."""
    seconds: float
    """Time that it took."""


def rebuild(
    path: Path, dest: Path, *, overwrite: bool = False, progress: Progress | None = None
) -> RebuildResult:
    """Write the original file again, and check it against the digest of the original.

    Parameters
    ----------
    path
        The store.
    dest
        The file; it appears when it is complete and checked.
    overwrite
        Whether a file that exists at `dest` is replaced.
    progress
        Receives how many bytes are written and checked.

    Raises
    ------
    UnsupportedDataError
        The store does not hold all bytes of its source.
    StoreExistsError
        Something exists at `dest`.
    DamagedStoreError
        A chunk is damaged, or what was written is not the original.
    WriteError
        The file cannot be written.
    """
    started = time.perf_counter()
    store, record = read_store(path), read_record(path)
    if not record["rebuildable"]:
        raise UnsupportedDataError(
            f"does not hold every byte of its source ({record['format']})",
            path=path,
            hint="only stores of DM3 and DM4 files can be rebuilt; keep the original",
        )
    outside = record["size"] - sum(segment.nbytes for segment in store.segments)
    if len(store.load_header()) != outside:
        raise UnsupportedDataError(
            f"does not hold the {outside} bytes of its source outside the pixels",
            path=path,
            hint="keep the original; stemzarr verify says whether the store is damaged",
        )
    check_destination(dest, overwrite=overwrite, source=path)
    pixels = sum(segment.nbytes for segment in store.segments)
    counter = ProgressCounter(total=2 * pixels, progress=progress)
    with publish(dest) as temporary:
        _write(store, record["size"], temporary, counter)
        if not record["redacted"]:
            _check(store, record, temporary, counter)
    return RebuildResult(
        dest=dest,
        nbytes=record["size"],
        exact=not record["redacted"],
        seconds=time.perf_counter() - started,
    )


def _write(store: Source, size: int, dest: Path, counter: ProgressCounter) -> None:
    header = memoryview(store.load_header())
    with dest.open("wb") as file:
        done = at = 0
        for start, nbytes in [*((s.offset, s.nbytes) for s in store.segments), (size, 0)]:
            file.seek(at)
            file.write(header[done : done + start - at])
            done += start - at
            at = start + nbytes
        for segment in store.segments:
            blocks = store.find(segment.document).blocks
            for offset, piece in iterate_segment(blocks, segment):
                file.seek(offset)
                file.write(piece)
                counter.add(len(piece))


def _check(store: Source, record: SourceRecord, written: Path, counter: ProgressCounter) -> None:
    """Raise unless the file has the digest that was taken of the original."""
    if "sha256" in record:
        with written.open("rb") as file:
            same = hashlib.file_digest(file, "sha256").hexdigest() == record["sha256"]
    else:
        again = read_source(written, read_options(record))
        same = digest_source(again, store, threads=1, counter=counter) == record["hash"]
    if not same:
        raise DamagedStoreError(
            "what was rebuilt is not the original",
            path=store.path,
            hint="stemzarr verify says what is damaged",
        )
