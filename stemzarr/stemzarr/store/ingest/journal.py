"""The journal of an unfinished store: which shards are done, and their partial sums.

It is beside the tree that will become the store, in one hidden folder. Each line is JSON after
its own xxh3-64, so that a line cut off by a crash is distinguished from a whole one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import xxhash

from stemzarr.errors import OptionError, StemzarrError
from stemzarr.storage.address import RemotePath
from stemzarr.storage.cached import work_folder
from stemzarr.storage.files import follow_link, remove_abandoned, remove_file
from stemzarr.storage.fingerprints import digest_of
from stemzarr.storage.local import LocalFolder
from stemzarr.storage.locks import FileLock
from stemzarr.storage.objects import Writable
from stemzarr.storage.remote import RemoteFolder
from stemzarr.storage.revision import revising

__all__ = [
    "CLAIM",
    "Far",
    "Journal",
    "ShardRecord",
    "claim_of",
    "give_back",
    "hidden_path",
    "open_journal",
    "remove_unfinished",
    "revising_store",
    "store_lock",
    "unfinished_folder",
]

_JOURNAL, _TREE, _PARTS = "journal", "tree", "parts"

_REVISION_WAIT_S = 10.0

CLAIM = "claim"
"""Suffix of the file with what the claim of a store at an address says."""

Far: TypeAlias = tuple[RemoteFolder, Mapping[str, int]]
"""A place far away, and the sizes of what is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardRecord:
    """One shard that is written."""

    array: int
    """Place of its array in the plan."""
    number: int
    """Place of the shard in the array's grid."""
    path: str
    """Path of its file in the store."""
    size: int
    """Size of its file in bytes."""
    digest: str
    """xxh3-128 of its file, in hex."""
    chunks: str
    """xxh3-128 of the raw values of its chunks in C order, in hex, one after the other."""
    lengths: list[int]
    """Bytes of its chunks in C order, 0 for those that are not there."""
    partial: str | None
    """Name of the file with the partial sums of the shard."""
    partial_digest: str | None
    """xxh3-128 of that file, in hex."""


@dataclass(slots=True, kw_only=True)
class Journal:
    """The state of one ingest on disk; only one process writes it."""

    place: LocalFolder
    """Hidden folder of the unfinished ingest."""
    records: dict[tuple[int, int], ShardRecord]
    """Shards that are done, by array and number."""
    sync: bool
    """Whether each line is flushed to the disk."""
    check: Callable[..., None]
    """Raises where this process lost the right to write it; as `FileLock.check`."""
    dest: RemoteFolder | None = None
    """Where shards go at once, since the store will be there; None where it is on this machine."""

    @property
    def shards(self) -> Writable:
        """Where shards are written."""
        return self.tree if self.dest is None else self.dest

    @property
    def tree(self) -> LocalFolder:
        """What becomes the store, without the shards where these go to another place."""
        return LocalFolder(self.place.root / _TREE, parts=self.place.root / _PARTS)

    @property
    def partials(self) -> LocalFolder:
        """Partial sums of the shards."""
        return LocalFolder(self.place.root / "partials", parts=self.place.root / _PARTS)

    def add(self, record: ShardRecord) -> None:
        """Note that a shard is done.

        Raises
        ------
        StoreBusyError
            The lock was lost: the journal is another process's.
        WriteError
            It cannot be written.
        """
        self.check()
        self.place.append(_JOURNAL, _line(dataclasses.asdict(record)), sync=self.sync)
        self.records[record.array, record.number] = record

    def new_folder(self) -> Path:
        """Return a name for a folder of files that are needed until the ingest ends."""
        return self.place.root / _PARTS / uuid.uuid4().hex

    def remove_parts(self) -> None:
        """Remove unfinished files."""
        self.place.delete(_PARTS)

    def remove(self) -> None:
        """Remove all that is left of the unfinished ingest."""
        self.place.delete("")


def _line(content: dict[str, Any]) -> bytes:
    text = json.dumps(content, sort_keys=True).encode()
    return xxhash.xxh3_64_hexdigest(text).encode() + b" " + text + b"\n"


def _parse(line: bytes) -> dict[str, Any] | None:
    digest, _, text = line.partition(b" ")
    if xxhash.xxh3_64_hexdigest(text).encode() != digest:
        return None
    content: dict[str, Any] = json.loads(text)
    return content


def _read_record(line: bytes) -> ShardRecord | None:
    try:
        return ShardRecord(**(_parse(line) or {}))
    except TypeError:
        return None  # damaged, or whole and no record: the first line twice


def open_journal(
    folder: Path,
    identity: dict[str, Any],
    check: Callable[..., None],
    *,
    sync: bool,
    far: Far | None = None,
) -> tuple[Journal, str]:
    """Return the journal in `folder`, and why it begins again (empty where it continues).

    Parameters
    ----------
    folder
        Hidden folder of the ingest; it is made where it is missing.
    identity
        JSON of all that the shards depend on: the source, the options, the plan.
    check
        Raises where this process lost the right to write the journal; as `FileLock.check`.
    sync
        Whether lines are flushed to the disk.
    far
        Where the shards go, and the sizes of those that are there, which nobody else writes; None
        where they go into the folder.

    Notes
    -----
    A shard counts as done when its line is whole, and its file and its partial sums have the
    digests in that line. Of a shard far away, which was sent with its digest, the size is compared.
    """
    dest, sizes = far or (None, {})
    journal = Journal(place=LocalFolder(folder), records={}, sync=sync, check=check, dest=dest)
    lines: list[bytes] = []
    with contextlib.suppress(OSError):
        lines = journal.place.get(_JOURNAL).splitlines()
    head = _parse(lines[0]) if lines else None
    reason = _difference(head, identity) if lines or (folder / _TREE).exists() else ""
    journal.remove_parts()
    remove_abandoned(folder.parent)
    if head == identity:
        for record in filter(None, map(_read_record, lines[1:])):
            if _is_whole(journal, record, sizes):
                journal.records[record.array, record.number] = record
        # A line that a crash cut off must not swallow the next one.
        _write_lines(journal, identity)
        return journal, ""
    journal.remove()
    _write_lines(journal, identity)
    return journal, reason


def hidden_path(dest: Path, suffix: str) -> Path:
    """Return the path of something that belongs to a store and is not in it: beside it, hidden.

    Of a store at an address it is in a folder of this user.

    Raises
    ------
    WriteError
        That folder cannot be made.
    """
    if isinstance(dest, RemotePath):
        return work_folder(dest.parent) / f".{dest.name}.{suffix}"
    end = follow_link(dest)
    return end.with_name(f".{end.name}.{suffix}")


def unfinished_folder(dest: Path) -> Path:
    """Return the hidden folder of the ingest that makes a store."""
    return hidden_path(dest, "ingest")


def store_lock(dest: Path, timeout_s: float = 0.0) -> FileLock:
    """Return the lock that whoever writes a store holds, of those on this machine."""
    path = hidden_path(dest, "lock")
    return FileLock(path, timeout_s=timeout_s, what=f"the store {dest.name}")


@contextlib.contextmanager
def revising_store(path: Path) -> Iterator[LocalFolder]:
    """Hold the lock of a store, and give a folder for what replaces files of it, as `revising`.

    Raises
    ------
    StoreBusyError
        Another process holds the lock, or took it over.
    DamagedStoreError, WriteError
        As `LocalFolder.settle` and `revising`.
    OptionError
        The store is one file.
    """
    if path.is_file():
        msg, hint = "is a store in one file, which is read and not changed", "unpack it first"
        raise OptionError(msg, path=path, hint=hint)
    with store_lock(path, _REVISION_WAIT_S) as lock:
        LocalFolder(path).settle()
        with revising(path, lock.check) as stage:
            yield stage


def remove_unfinished(dest: Path) -> None:
    """Remove what a process left that was killed after it had shown a store, or before it began.

    Where another process is writing the store, or nothing can be written, all stays.
    """
    lock = store_lock(dest)
    remove_abandoned(lock.path.parent)
    left = (unfinished_folder(dest), hidden_path(dest, CLAIM), lock.path)
    if any(path.exists() for path in left):
        with contextlib.suppress(StemzarrError, OSError), lock:
            LocalFolder(unfinished_folder(dest)).delete("")
            give_back(dest)


def claim_of(dest: RemotePath) -> tuple[RemoteFolder, str]:
    """Return the object beside a store at an address that says who writes there."""
    return RemoteFolder(RemotePath(dest.parent)), f".{dest.name}.ingest"


def give_back(dest: Path) -> None:
    """Let others write at an address that this machine had claimed.

    Raises
    ------
    WriteError
        The claim cannot be deleted.
    """
    if isinstance(dest, RemotePath) and hidden_path(dest, CLAIM).exists():
        place, key = claim_of(dest)
        place.delete(key)
        remove_file(hidden_path(dest, CLAIM))


def _write_lines(journal: Journal, identity: dict[str, Any]) -> None:
    records = [dataclasses.asdict(record) for record in journal.records.values()]
    content = b"".join(_line(item) for item in [identity, *records])
    journal.place.put(_JOURNAL, content, sync=journal.sync)


def _difference(head: dict[str, Any] | None, identity: dict[str, Any]) -> str:
    if head is None:
        return "an unfinished ingest was found damaged and started again"
    changed = [name for name in identity if head.get(name) != identity[name]]
    what = " and ".join(changed) or "version"
    return f"an unfinished ingest was started again: the {what} changed"


def _is_whole(journal: Journal, record: ShardRecord, sizes: Mapping[str, int]) -> bool:
    if journal.dest is not None:
        if sizes.get(record.path) != record.size:
            return False
    elif not _has(journal.tree, record.path, record.digest):
        return False
    if record.partial is None or record.partial_digest is None:
        return True
    return _has(journal.partials, record.partial, record.partial_digest)


def _has(place: LocalFolder, key: str, digest: str) -> bool:
    try:
        return digest_of(place, key)[1] == digest
    except OSError:
        return False
