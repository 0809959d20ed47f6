"""Bytes by keys below a root: what a store needs of the place where it is kept, one verb each.

Keys are relative paths with ``/``; the empty key is the root. `LocalFolder` is a folder of a file
system; another place has the same methods, and a case in `open_root`. An object that is missing
raises `FileNotFoundError`; whatever else fails, a `ReadError` or `WriteError` that names it. No
verb renames: what many objects have in common appears by `Publish`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol, Self, TypeAlias

from stemzarr.errors import DamagedStoreError, SourceChangedError
from stemzarr.storage.reasons import reading

__all__ = [
    "LONG_AGO",
    "NEAR",
    "Address",
    "PartsByStamp",
    "Publish",
    "Readable",
    "Sink",
    "Stamp",
    "Stream",
    "Writable",
    "get_or_none",
    "is_key",
]


class Stamp(NamedTuple):
    """What tells the object that has a key from one that had it before."""

    size: int
    """Size in bytes."""
    modified_ns: int
    """Time of the last change, in nanoseconds since 1970."""
    version: tuple[int, ...] | str = ()
    """What the place counts besides: an inode and its change time, an ETag."""

    @classmethod
    def of(cls, path: Path) -> Self:
        """Return size and time of a file or folder, which a copy of it may keep.

        Raises
        ------
        ReadError
            It is missing, or cannot be looked at.
        """
        with reading(path):
            status = path.stat()
        return cls(status.st_size, status.st_mtime_ns)

    def check(self, path: Path) -> None:
        """Raise where a file has not the size and time any more that are stamped.

        Raises
        ------
        SourceChangedError, ReadError
            It has another size or time, or cannot be looked at.
        """
        if Stamp.of(path) != self:
            raise changed(path, "recognised")


LONG_AGO = Stamp(0, 0)
"""Older than anything."""
NEAR = 64 * 1024
"""Bytes between two parts of an object that take less time than a request."""


class Get(Protocol):
    """Whole objects."""

    def get(self, key: str) -> bytes:
        """Return all bytes of an object."""
        ...


class Stream(Protocol):
    """Whole objects, piece by piece."""

    def stream(self, key: str) -> Iterator[memoryview]:
        """Yield the bytes of an object in pieces, each of which the next one may overwrite."""
        ...


class GetRanges(Protocol):
    """Parts of objects."""

    def read_ranges(self, key: str, ranges: Sequence[tuple[int, memoryview]], stamp: Stamp) -> None:
        """Fill buffers, each from its byte of an object on.

        Raises
        ------
        SourceChangedError
            The object does not have that stamp any more.
        """
        ...


class ReadEnd(Protocol):
    """The ends of objects, where those of Zarr have their index."""

    def read_end(self, key: str, out: memoryview, size: Callable[[], int]) -> Stamp:
        """Fill a buffer with the last bytes of an object, and return the stamp of the object.

        Parameters
        ----------
        key
            The object.
        out
            The buffer; nothing is read where the object is shorter.
        size
            Gives the size that the object must have, for a place that would have to ask for it.
        """
        ...


class ReadFirst(Protocol):
    """Parts of objects that nothing but the size is known of."""

    def read_first(self, key: str, ranges: Sequence[tuple[int, memoryview]], size: int) -> Stamp:
        """Fill buffers, each from its byte of an object on, and return the stamp of the object.

        Raises
        ------
        DamagedStoreError
            The object has another size.
        """
        ...


class Stamped(Protocol):
    """Stamps of objects."""

    def stamp(self, key: str) -> Stamp:
        """Return the stamp of the object that has a key now."""
        ...


class PartsByStamp(GetRanges, ReadEnd, ReadFirst, Stamped, Protocol):
    """Parts of objects, of a place that gives a stamp without a request."""

    @property
    def root(self) -> Path:
        """Where the place is."""
        ...

    def read_end(self, key: str, out: memoryview, size: Callable[[], int]) -> Stamp:
        """Fill a buffer with the last bytes of an object, and return its stamp.

        Raises
        ------
        FileNotFoundError, ReadError, SourceChangedError
            It is missing, cannot be read, or is replaced at this moment.
        """
        del size  # the stamp says it, and whether it is right
        stamp = self.stamp(key)
        if stamp.size >= len(out):
            self.read_ranges(key, [(stamp.size - len(out), out)], stamp)
        return stamp

    def read_first(self, key: str, ranges: Sequence[tuple[int, memoryview]], size: int) -> Stamp:
        """Fill buffers, each from its byte of an object on, and return its stamp.

        Raises
        ------
        FileNotFoundError, ReadError, SourceChangedError
            It is missing, cannot be read, or is replaced at this moment.
        DamagedStoreError
            It has another size than it must have.
        """
        stamp = self.stamp(key)
        check_size(self.root / key, stamp.size, size)
        self.read_ranges(key, ranges, stamp)
        return stamp


class Watched(Protocol):
    """What tells that others have changed a place."""

    def recall(self, key: str) -> Stamp:
        """Return the stamp that an object had when `get` gave it last, or that it has now."""
        ...

    def state(self, key: str, seen: Stamp) -> int | None:
        """Return what changes as objects below a key come and go; None where none is there.

        Parameters
        ----------
        key
            A folder.
        seen
            Stamp of an object below it that was just read. Where it is older than the metadata of
            the root, which are written last, a place may answer as of when those were read.
        """
        ...


class Listed(Protocol):
    """Keys."""

    def list(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys of all objects below a prefix, but what systems leave in any folder."""
        ...


class Sizes(Protocol):
    """Sizes of objects."""

    def sizes(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        """Yield each key that `list` would, with the size of its object in bytes."""
        ...


class Put(Protocol):
    """Whole objects, in place of those that have the key."""

    def put(self, key: str, content: bytes, *, sync: bool = False) -> None:
        """Put an object; with `sync`, it is there after a crash of the machine."""
        ...


class Sink(Protocol):
    """What takes the bytes of an object one piece after the other."""

    def write(self, piece: bytes, /) -> object:
        """Take a piece."""
        ...


class PutPieces(Protocol):
    """Objects that are too large for memory."""

    def writing(self, key: str, *, sync: bool = False) -> AbstractContextManager[Sink]:
        """Give a sink for an object, which appears when the block ends and only then.

        Several may write one key at a time: one of the objects is there afterwards, whole.
        """
        ...


class PutIfAbsent(Protocol):
    """Objects that only one can put."""

    def put_if_absent(self, key: str, content: bytes, *, sync: bool = False) -> bool:
        """Put an object unless there is one, and return whether it is there by this call."""
        ...


class Delete(Protocol):
    """Objects that go."""

    def delete(self, key: str) -> None:
        """Delete an object and all that are below its key; nothing there is no error."""
        ...


class Flush(Protocol):
    """What was put without `sync`, kept."""

    def flush(self, key: str) -> None:
        """Return when an object, or the list of those right below a key, outlives a crash."""
        ...


class Publish(Protocol):
    """Many objects that appear as one."""

    def publish(self, dest: Path, *, sync: bool) -> None:
        """Show all objects below `dest` instead of what is there, the root's metadata last."""
        ...


class Readable(Get, Stream, GetRanges, ReadEnd, ReadFirst, Stamped, Watched, Listed, Protocol):
    """A place that stores are read from; hashable, picklable, used by many threads at once."""

    @property
    def far(self) -> bool:
        """Whether every question costs a request to a server."""
        ...

    def expect(self, *keys: str) -> None:
        """Begin to read objects that `get` is asked for next, all at once."""
        ...

    def __hash__(self) -> int:
        """Places with one root are one."""
        ...

    @property
    def root(self) -> Path:
        """The root, as messages name it."""
        ...

    def settle(self) -> None:
        """Put in place what a process that died had begun to put in place."""
        ...


class Writable(Readable, Sizes, Put, PutPieces, PutIfAbsent, Delete, Flush, Protocol):
    """A place that a store is written into."""


def changed(path: Path | str, since: str) -> SourceChangedError:
    """Return the error for what is another object than it was."""
    return SourceChangedError(f"changed since it was {since}", path=path, hint="open it again")


def check_size(path: Path, found: int, expected: int) -> None:
    """Raise where an object of a store has another size than it must have.

    Raises
    ------
    DamagedStoreError
        It has.
    """
    if found != expected:
        raise DamagedStoreError(f"has {found} bytes instead of {expected}", path=path)


Address: TypeAlias = "Path | Readable"
"""Where a store is: its folder, or a place whose root is the store."""


def get_or_none(place: Get, key: str) -> bytes | None:
    """Return all bytes of an object; None where there is none.

    Raises
    ------
    ReadError
        It cannot be read.
    """
    try:
        return place.get(key)
    except FileNotFoundError:
        return None


def is_key(key: str) -> bool:
    """Return whether a path cannot lead out of the root on any system."""
    parts = PurePosixPath(key).parts
    odd = {"..", "/"} & set(parts) or re.search(r"[\\:\x00]", key)
    return "/".join(parts) == key and not odd
