"""A store in one file: a zip whose members are stored as they are.

The members begin and end where the directory at the end of the file says, so that any part of any
of them is read by its bytes alone, here or far away.
"""

from __future__ import annotations

import contextlib
import io
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import xxhash

from stemzarr.errors import CorruptFileError
from stemzarr.storage.foreign import is_foreign
from stemzarr.storage.objects import LONG_AGO, PartsByStamp, Readable, Stamp, changed

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["SUFFIX", "ZippedFolder"]

SUFFIX = ".zarr.zip"
_PIECE = 1024**2
_FAR_PIECE = 8 * 1024**2
_TAIL = 128 * 1024
_ODD_FLAGS = 0x09
"""Encrypted, or with a length behind the bytes instead of before them."""
_HEADER = 30
"""Least length of what is before the bytes of a member."""


class _Member(NamedTuple):
    """Where the bytes of a member are in the file."""

    offset: int
    size: int


class _Directory(NamedTuple):
    """What the end of the file says."""

    stamp: Stamp
    members: dict[str, _Member]


@dataclass(frozen=True, slots=True)
class ZippedFolder(PartsByStamp):
    """The members of a zip as a place for a store; it is read and not written."""

    place: Readable
    """Where the file is."""
    name: str
    """Its key there."""
    _kept: list[_Directory] = field(default_factory=list, compare=False, repr=False)

    _ahead: dict[str, bytearray] = field(default_factory=dict, compare=False, repr=False)

    def __reduce__(self) -> tuple[type[ZippedFolder], tuple[Readable, str]]:
        """Pickle where the file is."""
        return ZippedFolder, (self.place, self.name)

    @property
    def root(self) -> Path:
        """The file."""
        return self.place.root / self.name

    @property
    def far(self) -> bool:
        """Whether the file is far."""
        return self.place.far

    def expect(self, *keys: str) -> None:
        """Read small members of a file that is far, neighbours by one request, for `get`."""
        if not self.far:
            return
        with contextlib.suppress(FileNotFoundError):
            stamp, members = self._directory()
            wanted = {key: members[key] for key in keys if key in members}
            read = {k: bytearray(m.size) for k, m in wanted.items() if m.size <= _PIECE}
            ranges = [(wanted[key].offset, memoryview(content)) for key, content in read.items()]
            if ranges:
                self.place.read_ranges(self.name, ranges, stamp)
            self._ahead.update(read)

    def settle(self) -> None:
        """Do nothing: the file is whole or not there."""

    def get(self, key: str) -> bytes:
        """Return all bytes of a member.

        Raises
        ------
        FileNotFoundError, ReadError, SourceChangedError
            There is none, the file cannot be read, or it is another than before.
        """
        ahead = self._ahead.pop(key, None)
        return b"".join(map(bytes, self.stream(key))) if ahead is None else bytes(ahead)

    def stream(self, key: str) -> Iterator[memoryview]:
        """Yield the bytes of a member in pieces, each of which the next one overwrites.

        Raises
        ------
        FileNotFoundError, ReadError, SourceChangedError
            As `get`.
        """
        if key in self._ahead:
            yield memoryview(self._ahead.pop(key))
            return
        stamp, member = self._find(key)
        most = _FAR_PIECE if self.far else _PIECE
        buffer = memoryview(bytearray(min(most, member.size)))
        for begin in range(0, member.size, most):
            piece = buffer[: min(most, member.size - begin)]
            self.place.read_ranges(self.name, [(member.offset + begin, piece)], stamp)
            yield piece

    def read_ranges(self, key: str, ranges: Sequence[tuple[int, memoryview]], stamp: Stamp) -> None:
        """Fill buffers, each from its byte of a member on.

        Raises
        ------
        SourceChangedError, ReadError
            The file is another than before, or cannot be read.
        """
        own, member = self._find(key)
        if self._stamp_of(own, member) != stamp:
            raise changed(str(self.root / key), "opened")
        moved = [(member.offset + start, out) for start, out in ranges]
        self.place.read_ranges(self.name, moved, own)

    def stamp(self, key: str) -> Stamp:
        """Return the stamp of a member.

        Raises
        ------
        FileNotFoundError, ReadError, CorruptFileError
            There is none, or the file cannot be read.
        """
        return self._stamp_of(*self._find(key))

    def recall(self, key: str) -> Stamp:
        """Return the stamp of a member."""
        return self.stamp(key)

    def state(self, key: str, seen: Stamp) -> int | None:
        """Return what changes with the file; None where it is gone."""
        del key
        own = self._directory().stamp
        try:
            # A member that was just read was read of the file that has this stamp.
            known = seen == LONG_AGO or str(seen.version).startswith(f"{own.version}:")
            now = own if known else self.place.stamp(self.name)
        except FileNotFoundError:
            return None
        return xxhash.xxh3_64_intdigest(repr(now).encode())

    def list(self, prefix: str = "") -> Iterator[str]:
        """Yield the names of all members below a folder."""
        for key in self._directory().members:
            below = not prefix or key.startswith(f"{prefix}/")
            if below and not any(map(is_foreign, key.split("/"))):
                yield key

    def _find(self, key: str) -> tuple[Stamp, _Member]:
        directory = self._directory()
        if key not in directory.members:
            raise FileNotFoundError(str(self.root / key))
        return directory.stamp, directory.members[key]

    def _stamp_of(self, own: Stamp, member: _Member) -> Stamp:
        return Stamp(member.size, own.modified_ns, f"{own.version}:{member.offset}")

    def _directory(self) -> _Directory:
        """Return where the members are; the same as long as this place is used."""
        if not self._kept:
            self._kept.append(_read_directory(self.place, self.name))
        return self._kept[0]


def _read_directory(place: Readable, name: str) -> _Directory:
    """Return where the members of a zip are.

    Raises
    ------
    FileNotFoundError, ReadError
        There is no file, or it cannot be read.
    CorruptFileError
        It is no zip, or one whose members cannot be read in parts.
    """
    stamp = place.stamp(name)
    try:
        with zipfile.ZipFile(io.BufferedReader(_End(place, name, stamp), _PIECE)) as archive:
            infos, end = archive.infolist(), archive.start_dir
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        hint = "copy it again; the end of the file may be missing"
        raise CorruptFileError(
            f"is not a whole zip: {error}", path=place.root / name, hint=hint
        ) from None
    infos.sort(key=lambda info: info.header_offset)
    ends = [*(info.header_offset for info in infos), end][1:]
    members = {}
    for info, after in zip(infos, ends, strict=True):
        stored = info.compress_type == zipfile.ZIP_STORED and not info.flag_bits & _ODD_FLAGS
        if not stored or after - info.file_size < info.header_offset + _HEADER:
            msg = f"its member {info.filename} is not stored as it is"
            hint = "unpack it, or make it by stemzarr export"
            raise CorruptFileError(msg, path=place.root / name, hint=hint)
        if not info.is_dir():
            members[info.filename] = _Member(after - info.file_size, info.file_size)
    return _Directory(stamp, members)


class _End(io.RawIOBase):
    """A file of a place to read from, of which its end is read once."""

    def __init__(self, place: Readable, name: str, stamp: Stamp) -> None:
        self._place, self._name, self._stamp = place, name, stamp
        self._at = 0
        self._begin = max(0, stamp.size - _TAIL)
        self._tail = bytearray(stamp.size - self._begin)
        if self._tail:
            place.read_ranges(name, [(self._begin, memoryview(self._tail))], stamp)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._stamp.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: WriteableBuffer) -> int:
        out = memoryview(buffer).cast("B")
        count = max(0, min(len(out), self._stamp.size - self._at))
        if not count:
            return 0
        if self._at >= self._begin:
            out[:count] = self._tail[self._at - self._begin :][:count]
        else:
            self._place.read_ranges(self._name, [(self._at, out[:count])], self._stamp)
        self._at += count
        return count
