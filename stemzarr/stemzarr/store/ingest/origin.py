"""The files that a store is made from: they must not change meanwhile, and are digested on the way.

A format that a store gives back byte for byte needs no digest of its file: the store holds all its
bytes. Of any other, the digest is taken by a thread that reads along with the ingest, so that a
large file comes from its disk once.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import xxhash

from stemzarr.errors import SourceChangedError
from stemzarr.model import Progress, Source
from stemzarr.storage.address import RemotePath
from stemzarr.storage.fingerprints import (
    FileState,
    combine_digests,
    digest_files,
    file_states,
    sample_files,
)
from stemzarr.store.format.form import FilesRecord

__all__ = ["Origin", "recorded_digest"]

_LEAD_BYTES = 256 * 1024**2
"""How far the digest may be ahead of the ingest, and the size up to which it comes after it."""


class _StoppedError(Exception):
    """The ingest failed, so that no digest is needed."""


class Origin:
    """The files of one source while a store is made from it.

    Parameters
    ----------
    source
        What a reader recognised.
    digested
        Whether all bytes of its files are digested; those of a store at an address never are.

    Raises
    ------
    SourceChangedError, ReadError
        A file changed since it was recognised, or cannot be looked at.
    """

    def __init__(self, source: Source, *, digested: bool) -> None:
        self._source = source
        self._digested = digested and not isinstance(source.path, RemotePath)
        self._states = file_states(source)
        self._digests: tuple[str, ...] = ()
        self._turn = threading.Condition()
        self._allowed: float = _LEAD_BYTES
        self._read = 0
        self._stopped = False
        # The size of a store is that of its root's metadata.
        if source.format != "stemzarr" and not any(path.is_dir() for path in source.files):
            _require_same(source, (source.size, source.modified_ns), _sums(self._states))

    @property
    def identity(self) -> str:
        """Digest of the names, sizes and times of all files."""
        return xxhash.xxh3_128_hexdigest(repr(self._states).encode())

    def check(self) -> None:
        """Raise where a file is no longer the one that was recognised.

        Raises
        ------
        SourceChangedError, ReadError
            A file changed, is gone, or cannot be looked at.
        """
        now = file_states(self._source)
        if now != self._states:
            _require_same(self._source, _sums(self._states), _sums(now))
            _require_same(self._source, self._states, now)

    @contextlib.contextmanager
    def following(self, progress: Progress | None) -> Iterator[Progress | None]:
        """Digest the files while the block reads them, which calls what this gives.

        Raises
        ------
        SourceChangedError, ReadError
            A file changed, is gone, or cannot be read.
        """
        if not self._digested or _sums(self._states)[0] <= _LEAD_BYTES:
            yield progress
            self.check()
            if self._digested:
                self._digests = digest_files(self._source.files)
            return
        with ThreadPoolExecutor(1, thread_name_prefix="stemzarr-digest") as pool:
            found: Future[tuple[str, ...]] = pool.submit(
                digest_files, self._source.files, self._wait
            )
            try:
                yield self._advance(progress)
            except BaseException:
                self._allow(0, stop=True)
                raise
            self._allow(float("inf"))
            self.check()
            self._digests = found.result()

    def _advance(self, progress: Progress | None) -> Progress:
        size = _sums(self._states)[0]

        def advance(done: int, total: int) -> None:
            self._allow(size * done / max(1, total) + _LEAD_BYTES)
            if progress is not None:
                progress(done, total)

        return advance

    def _allow(self, nbytes: float, *, stop: bool = False) -> None:
        with self._turn:
            self._allowed, self._stopped = nbytes, stop
            self._turn.notify_all()

    def _wait(self, nbytes: int) -> None:
        with self._turn:
            self._turn.wait_for(lambda: self._stopped or self._read < self._allowed)
            if self._stopped:
                raise _StoppedError
            self._read += nbytes

    def record(self, *, redact: bool) -> FilesRecord:
        """Return what a store records of the files, as JSON; redacted, no folder is named.

        Raises
        ------
        ReadError
            A file cannot be read.
        """
        digests: Sequence[str | None] = self._digests or [None] * len(self._states)
        names = (state.name.rpartition("/")[2] if redact else state.name for state in self._states)
        return {
            "files": [
                {
                    "name": name,
                    "size": state.size,
                    "modified_ns": state.modified_ns,
                    "xxh3": digest,
                }
                for state, name, digest in zip(self._states, names, digests, strict=True)
            ],
            "sample_hash": sample_files(self._source.files),
        }


def recorded_digest(record: Mapping[str, Any]) -> str | None:
    """Return the digest of all bytes of all files of a source, as its store records it.

    None where it records none: the store gives the file back byte for byte, is virtual, or was
    written by an early version.
    """
    digests = [file.get("xxh3") for file in record.get("files") or ()]
    return combine_digests(digests) if digests and None not in digests else None


def _sums(states: tuple[FileState, ...]) -> tuple[int, int]:
    return sum(state.size for state in states), max(state.modified_ns for state in states)


def _require_same(source: Source, before: tuple[Any, ...], now: tuple[Any, ...]) -> None:
    if before == now:
        return
    resized = before[0] != now[0] and isinstance(before[0], int)
    sizes = f": {before[0]} bytes then, {now[0]} now" if resized else ""
    raise SourceChangedError(
        f"changed since it was recognised{sizes}",
        path=source.path,
        hint="wait until it is complete, then try again",
    )
