"""What a lake remembers of files beyond its stores: copies of their sources, and moved folders.

A store records the file that it was made from. That another file holds the same bytes is found by
reading it; ``known.jsonl`` in the lake keeps the answer, so that it is read once. The log can be
deleted: what it said is found again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xxhash

from stemzarr.model import Source
from stemzarr.storage.fingerprints import combine_digests, digest_files, file_states, sample_files
from stemzarr.storage.local import put_text
from stemzarr.storage.reasons import writing
from stemzarr.store import recorded_digest
from stemzarr_catalog.names import split_path
from stemzarr_catalog.rights import may_write, replace_by_own

if TYPE_CHECKING:
    from stemzarr_catalog.entry import Entry

__all__ = ["NO_HEADER", "TICK_NS", "Given", "Known", "KnownFile", "key_of"]

NO_HEADER = xxhash.xxh3_128_hexdigest(b"")
"""Digest of the header of formats that have none."""

TICK_NS = 2_000_000_000
"""Other file systems keep times less exactly; the coarsest, FAT, to two seconds."""

_HIDDEN = "blake2b:"

State = tuple[tuple[int, int], ...]
"""Size and modification time of every file of an acquisition."""


class Given:
    """A source that is to be ingested, and what tells it apart, found when it is asked for.

    Parameters
    ----------
    source
        What a reader recognised.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.path = source.path

    @cached_property
    def state(self) -> State:
        """Size and time of each of its files."""
        return tuple((state.size, state.modified_ns) for state in file_states(self.source))

    @cached_property
    def header(self) -> str:
        """Digest of the bytes outside its pixels; `NO_HEADER` where there is none."""
        return xxhash.xxh3_128_hexdigest(self.source.load_header())

    @cached_property
    def sample(self) -> str:
        """Digest of samples of its files."""
        return sample_files(self.source.files)

    @cached_property
    def content(self) -> str:
        """Digest of all bytes of all its files: reads them."""
        return combine_digests(digest_files(self.source.files))

    def is_in_state(self, state: State, header: str, *, exact: bool = True) -> bool:
        """Return whether size, time and header are those that were recorded."""
        tolerance = 0 if exact else TICK_NS
        return header in (self.header, NO_HEADER) and (
            len(state) == len(self.state)
            and all(
                size == now and abs(time - time_now) <= tolerance
                for (size, time), (now, time_now) in zip(state, self.state, strict=True)
            )
        )

    def is_that_of(self, record: dict[str, Any], *, exact: bool = True) -> bool:
        """Return whether a store was made from files of this size, time and header."""
        header = str(record.get("header_hash", ""))
        if record.get("files"):
            state = tuple((file["size"], file["modified_ns"]) for file in record["files"])
            return self.is_in_state(state, header, exact=exact)
        sums = (sum(size for size, _ in self.state), max(time for _, time in self.state))
        return header == self.header and sums == (record.get("size"), record.get("modified_ns"))


def key_of(entry: Entry) -> str:
    """Return what tells the source of an entry from all others, as far as its store records it."""
    record = entry.source
    if record.get("hash"):
        return f"{record['hash']} {recorded_digest(record) or ''}"
    return f"{record.get('path')} {record.get('size')} {record.get('modified_ns')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownFile:
    """A file that was found to hold the same bytes as the source of an entry."""

    path: str
    """Where it is; a digest of that where the entry is redacted."""
    state: State
    """Size and time of its files."""
    header: str
    """Digest of the bytes outside its pixels."""
    sample: str
    """Digest of samples of its files."""
    content: str | None
    """Digest of all bytes, where it was taken."""
    key: str
    """`key_of` the entry."""
    hash: str | None
    """The digest ``hash`` of the entry, by which it is found."""
    origin: str | None
    """The path that a virtual entry names, by which it is found."""


@dataclass(slots=True)
class Known:
    """The log of one lake."""

    path: Path
    """The file."""
    locked: Callable[[], AbstractContextManager[None]]
    """Holds the lake while something is added."""
    _stamp: tuple[int, int, int] | None = None
    _files: dict[str, KnownFile] = field(default_factory=dict)
    _moves: dict[str, str] = field(default_factory=dict)

    def _read(self) -> None:
        try:
            status = self.path.stat()
        except OSError:
            self._stamp, self._files, self._moves = None, {}, {}
            return
        stamp = (status.st_ino, status.st_size, status.st_mtime_ns)
        if stamp == self._stamp:
            return
        self._stamp, self._files, self._moves = stamp, {}, {}
        for line in self.path.read_bytes().splitlines():
            # A line that a crash cut off says nothing.
            with contextlib.suppress(ValueError, KeyError, TypeError):
                self._take(json.loads(line))

    def _take(self, item: dict[str, Any]) -> None:
        if "moved" in item:
            self._moves[str(item["moved"])] = str(item["to"])
            return
        state = tuple((int(size), int(time)) for size, time in item.pop("state"))
        known = KnownFile(**item, state=state)
        self._files[known.path] = known

    def find(self, path: str) -> Iterator[KnownFile]:
        """Give what is known of the file at a path."""
        self._read()
        for key in (path, hidden_path(path)):
            if key in self._files:
                yield self._files[key]

    def alike(self, sample: str) -> list[KnownFile]:
        """Return the files whose samples have a digest."""
        self._read()
        return [known for known in self._files.values() if known.sample == sample]

    def earlier_paths(self, path: str) -> Iterator[str]:
        """Give the paths at which a file was before folders were moved, the nearest first."""
        self._read()
        for old, new in self._moves.items():
            below = _below(path, new)
            if below is not None:
                yield _join(old, below)

    def add(self, known: KnownFile) -> None:
        """Remember a file.

        Raises
        ------
        WriteError
            The lake cannot be written.
        """
        self._append(asdict(known))

    def add_move(self, old: str, new: str) -> None:
        """Remember that what was below one folder is below another.

        Files there are then known by size, time and samples, and not read again.

        Raises
        ------
        WriteError
            The lake cannot be written.
        """
        self._read()
        if self._moves.get(old) != new:
            self._append({"moved": old, "to": new})

    def paths_of(self, entry: Entry) -> set[str]:
        """Return where the source of an entry and its copies are, as far as that is not hidden."""
        self._read()
        copies = {one.path for one in self._files.values() if one.key == key_of(entry)}
        return {path for path in (*copies, entry.source.get("path")) if path} - {
            path for path in copies if path.startswith(_HIDDEN)
        }

    def hide(self, entry: Entry, others: Iterable[str] = ()) -> None:
        """Keep digests in place of the paths of a source and its copies, which are still known.

        A moved folder is forgotten, unless a file of another entry was found by it.

        Parameters
        ----------
        entry
            The entry, as it is before it is redacted.
        others
            Paths of the sources of other entries, which are not hidden.

        Raises
        ------
        WriteError
            The lake cannot be written.
        """
        self._read()
        record, key = entry.source, key_of(entry)
        if record.get("path") and record.get("hash"):
            origin = KnownFile(
                path=record["path"],
                state=tuple(
                    (file["size"], file["modified_ns"]) for file in record.get("files", ())
                ),
                header=record["header_hash"],
                sample=record.get("sample_hash", ""),
                content=recorded_digest(record),
                key=key,
                hash=record["hash"],
                origin=None,
            )
            self._files[origin.path] = origin
        hidden = [
            replace(known, path=hidden_path(known.path), origin=None)
            if known.key == key and not known.path.startswith(_HIDDEN)
            else known
            for known in self._files.values()
        ]
        open_paths = [*others, *(one.path for one in hidden if not one.path.startswith(_HIDDEN))]
        lines: list[dict[str, Any]] = [
            {"moved": old, "to": new}
            for old, new in self._moves.items()
            if any(_below(path, folder) for path in open_paths for folder in (old, new))
        ]
        lines += map(asdict, hidden)
        text = "".join(f"{json.dumps(line)}\n" for line in lines)
        with self.locked():
            put_text(self.path, text)
        self._stamp = None

    def _append(self, item: dict[str, Any]) -> None:
        with self.locked(), writing(self.path):
            if self.path.exists() and not may_write(self.path):
                replace_by_own(self.path)
            with self.path.open("ab") as file:
                # What a crash cut off must not swallow this line.
                start = b"" if not file.tell() or self._ends_a_line() else b"\n"
                file.write(start + json.dumps(item).encode() + b"\n")

    def _ends_a_line(self) -> bool:
        with self.path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read() == b"\n"


def hidden_path(path: str) -> str:
    """Return what stands for a path where the path itself must not be kept."""
    return f"{_HIDDEN}{hashlib.blake2b(path.encode(), digest_size=16).hexdigest()}"


def _below(path: str, folder: str) -> Sequence[str] | None:
    parts, start = split_path(path), _folder_parts(folder)
    return parts[len(start) :] if parts[: len(start)] == start else None


def _folder_parts(folder: str) -> list[str]:
    parts = split_path(folder)
    return parts[:-1] if len(parts) > 1 and not parts[-1] else parts


def _join(folder: str, below: Sequence[str]) -> str:
    separator = "\\" if "\\" in folder and not folder.startswith("/") else "/"
    return separator.join([*_folder_parts(folder), *below])
