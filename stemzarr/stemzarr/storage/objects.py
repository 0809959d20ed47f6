"""Bytes by keys below a root: what a store needs of the place where it is kept, one verb each.

Keys are relative paths with ``/``; the empty key is the root. `LocalFolder` is a folder of a file
system; another place has the same methods, and a case in `open_root`. An object that is missing
raises `FileNotFoundError`; whatever else fails, an error of stemzarr that names it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol, TypeAlias

__all__ = ["Address", "Readable", "Stamp", "is_key"]


class Stamp(NamedTuple):
    """What tells the object that has a key from one that had it before."""

    size: int
    """Size in bytes."""
    modified_ns: int
    """Time of the last change, in nanoseconds since 1970."""
    version: tuple[int, ...] | str = ()
    """What the place counts besides: an inode and its change time, an ETag."""


class Get(Protocol):
    """Whole objects."""

    def get(self, key: str) -> bytes:
        """Return all bytes of an object."""
        ...


class GetRange(Protocol):
    """Parts of objects."""

    def read_into(self, key: str, out: memoryview, start: int, stamp: Stamp) -> None:
        """Fill `out` from byte `start` on.

        Raises
        ------
        SourceChangedError
            The object does not have that stamp any more.
        """
        ...


class Stamped(Protocol):
    """Stamps of objects."""

    def stamp(self, key: str) -> Stamp:
        """Return the stamp of the object that has a key now."""
        ...


class Listed(Protocol):
    """Keys."""

    def list(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys of all objects below a prefix, but what systems leave in any folder."""
        ...


class Readable(Get, GetRange, Stamped, Listed, Protocol):
    """A place that stores are read from; hashable, picklable, used by many threads at once."""

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


Address: TypeAlias = "Path | Readable"
"""Where a store is: its folder, or a place whose root is the store."""


def is_key(key: str) -> bool:
    """Return whether a path cannot lead out of the root on any system."""
    parts = PurePosixPath(key).parts
    odd = {"..", "/"} & set(parts) or re.search(r"[\\:\x00]", key)
    return "/".join(parts) == key and not odd
