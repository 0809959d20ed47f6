"""The tag tree of a DM3 or DM4 file: structure and small values, no pixels.

All structure integers are big-endian, u32 in DM3 and u64 in DM4 (``S`` below); values follow the
byte-order flag of the file, pixels too (docs/upstream/rosettasciio-dm-big-endian.md)::

    file : u32 version | S size | u32 little_endian | group | 8 zero bytes
    group: u8 sorted | u8 open | S n | n entries
    entry: u8 kind (20 group, 21 data) | u16 len | latin-1 name | DM4: u64 bytes that follow | body
    data : "%%%%" | S ninfo | S info[ninfo] | payload
    info : t | 15,name,n,(name,t)*n struct | 20,<info of an element>,n array | 18,n string
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import CorruptFileError
from stemzarr.storage.reasons import reading

__all__ = ["EarlyEnd", "Tag", "TagData", "TagGroup", "TagTree", "read_tags"]

GROUP: Final = 20
DATA: Final = 21
STRUCT: Final = 15
STRING: Final = 18
ARRAY: Final = 20
TEXT: Final = 4
DELIMITER: Final = b"%%%%"

SIMPLE: Final = {
    2: "i2", 3: "i4", 4: "u2", 5: "u4", 6: "f4", 7: "f8",
    8: "u1", 9: "i1", 10: "u1", 11: "i8", 12: "u8",
}  # fmt: skip
"""numpy type of each simple type code; 8 is a truth value, 4 in an array is UTF-16 text."""
BOOLEAN: Final = 8

_MAX_DEPTH = 64
_MAX_TAGS = 1_000_000
_MAX_INFO = 65_536
_INLINE_BYTES = 64 * 1024
_NO_NAME_BYTES = 3
_LONGEST_NAME = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class TagData:
    """One value of the tree."""

    info: tuple[int, ...]
    """How the file describes the type."""
    dtype: np.dtype[Any]
    """The type of the value, or of an element of an array, in the file's byte order."""
    count: int | None
    """Number of elements of an array; None for a single value."""
    offset: int
    """First byte of the payload in the file."""
    payload: bytes | None
    """The bytes; None where they stay in the file: pixels and large arrays."""

    @property
    def nbytes(self) -> int:
        """Size of the payload, whether it is loaded or not."""
        return self.dtype.itemsize * (1 if self.count is None else self.count)

    @property
    def is_text(self) -> bool:
        """Whether the value is an array of UTF-16 code units."""
        return self.info[:2] == (ARRAY, TEXT)

    def array(self, payload: bytes | None = None) -> NDArray[Any]:
        """Return the elements without a copy: shape (count,), () for a single value.

        Parameters
        ----------
        payload
            The bytes, where they were left in the file.

        Raises
        ------
        ValueError
            The bytes were left in the file, and are not given.
        """
        data = self.payload if payload is None else payload
        if data is None:
            msg = f"{self.nbytes} bytes at {self.offset} were left in the file"
            raise ValueError(msg)
        shape = () if self.count is None else (self.count,)
        dtype, inner = self.dtype.subdtype or (self.dtype, ())
        if dtype.itemsize == 0:
            return np.zeros((*shape, *inner), dtype)
        return np.frombuffer(data, dtype).reshape((*shape, *inner))

    def text(self, payload: bytes | None = None) -> str:
        """Return an array of UTF-16 code units as text, without trailing zeros."""
        order = "utf-16-be" if self.dtype.byteorder == ">" else "utf-16-le"
        units = self.array(payload)
        return units.tobytes().decode(order, "replace").rstrip("\x00")

    def value(self) -> Any:  # noqa: ANN401 - whatever the tag holds
        """Return text, number, truth value, tuple (struct) or array; None if left in the file."""
        if self.payload is None:
            return None
        if self.is_text:
            return self.text()
        if self.info == (BOOLEAN,):
            return self.payload != b"\x00"
        values = self.array()
        return values.item() if values.ndim == 0 else values


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """One entry of a group."""

    name: str
    """Name as it is in the file, empty in lists; names may repeat."""
    body: TagGroup | TagData
    """The value, or the group."""
    declared: int | None = None
    """DM4: bytes of the entry as the file declares them, where that is wrong; else None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TagGroup:
    """A group of entries in the order of the file."""

    sorted: int = 1
    """The flag as it is in the file."""
    open: int = 0
    """The flag as it is in the file."""
    entries: list[Tag] = field(default_factory=list)
    """The entries; of a file that ended early, those that begin before its end."""

    def get(self, key: str | int) -> TagGroup | TagData | None:
        """Return the first body of that name, or that of that index; None if there is none."""
        if isinstance(key, int):
            return self.entries[key].body if 0 <= key < len(self.entries) else None
        return next((tag.body for tag in self.entries if tag.name == key), None)

    def find(self, *keys: str | int) -> TagGroup | TagData | None:
        """Return what is at a path of names and indices; None if there is nothing."""
        node: TagGroup | TagData | None = self
        for key in keys:
            node = node.get(key) if isinstance(node, TagGroup) else None
        return node

    def group(self, *keys: str | int) -> TagGroup:
        """Return the group at a path; an empty one if there is none."""
        node = self.find(*keys)
        return node if isinstance(node, TagGroup) else TagGroup()

    def value(self, *keys: str | int) -> Any:  # noqa: ANN401 - whatever the tag holds
        """Return the value at a path; None if there is none."""
        node = self.find(*keys)
        return node.value() if isinstance(node, TagData) else None

    def groups(self) -> Iterator[TagGroup]:
        """Iterate over the groups among the entries."""
        return (tag.body for tag in self.entries if isinstance(tag.body, TagGroup))


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyEnd:
    """Where a file ended before its tree did."""

    tag_path: str
    """The entry that is not complete."""
    offset: int
    """First byte of what is not there as a whole."""
    wanted: int
    """How many bytes were due from `offset` on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TagTree:
    """What a DM3 or DM4 file holds, as far as it goes."""

    version: int
    """3 or 4."""
    declared_size: int
    """The size field of the header; the tree ends 8 to 16 bytes later, by writer."""
    little_endian: bool
    """Byte order of the values."""
    root: TagGroup
    """The tree."""
    end: int
    """First byte after the tree."""
    file_size: int
    """Size of the file."""
    early_end: EarlyEnd | None = None
    """Where the file ended too early; None when the tree is complete."""


class _FileEndsError(Exception):
    """The file ends inside an entry."""

    def __init__(self, offset: int, wanted: int) -> None:
        super().__init__(offset, wanted)
        self.offset = offset
        self.wanted = wanted


class _Parser:
    """One pass over the structure; every length is checked before anything is allocated."""

    def __init__(self, file: BinaryIO, path: Path, size: int) -> None:
        self.file = file
        self.path = path
        self.size = size
        self.position = 0
        self.last = 0
        self.tags = 0
        self.trail: list[str] = []
        self.order: Literal["<", ">"] = "<"
        self.length = struct.Struct(">I")
        self.version = 0

    def tag_path(self) -> str:
        return "/".join(map(_readable, self.trail)) or "root"

    def corrupt(self, found: str, at: int | None = None) -> CorruptFileError:
        """Return an error about what is at a byte, by default that which was read last."""
        where = self.last if at is None else at
        msg = f"{found} at byte {where}, tag {self.tag_path()}"
        return CorruptFileError(msg, path=self.path, hint="copy the file again from its origin")

    def take(self, count: int) -> bytes:
        if count > self.size - self.position:
            raise _FileEndsError(self.position, count)
        data = self.file.read(count)
        if len(data) < count:
            raise _FileEndsError(self.position, count)
        self.last = self.position
        self.position += count
        return data

    def skip(self, count: int) -> None:
        if count > self.size - self.position:
            raise _FileEndsError(self.position, count)
        self.position += count
        self.file.seek(self.position)

    def take_length(self) -> int:
        (value,) = self.length.unpack(self.take(self.length.size))
        return int(value)

    def header(self) -> tuple[int, int]:
        first = self.take(4)
        self.version = int.from_bytes(first, "big")
        if self.version not in (3, 4):
            found = first.decode("latin-1")
            raise self.corrupt(f"{found!r} instead of version 3 or 4 of DigitalMicrograph's format")
        self.length = struct.Struct(">Q" if self.version == 4 else ">I")  # noqa: PLR2004
        declared = self.take_length()
        flag = int.from_bytes(self.take(4), "big")
        if flag not in (0, 1):
            raise self.corrupt(f"byte-order flag {flag} instead of 0 or 1")
        self.order = "<" if flag else ">"
        return declared, flag

    def group(self, entries: list[Tag]) -> None:
        count = self.take_length()
        least = _NO_NAME_BYTES + (self.length.size if self.version == 4 else 0)  # noqa: PLR2004
        self.tags += count
        if self.tags > _MAX_TAGS:
            raise self.corrupt(f"a group of {count} entries, more than {_MAX_TAGS} in all,")
        if len(self.trail) > _MAX_DEPTH:
            raise self.corrupt(f"more than {_MAX_DEPTH} nested groups")
        if count * least > self.size - self.position:
            raise _FileEndsError(self.position, count * least)
        for index in range(count):
            self.entry(entries, index)

    def entry(self, entries: list[Tag], index: int) -> None:
        self.trail.append(f"[{index}]")
        begin = self.position
        kind, length = struct.unpack(">BH", self.take(3))
        name = self.take(length).decode("latin-1")
        if name:
            self.trail[-1] = name
        declared = self.take_length() if self.version == 4 else None  # noqa: PLR2004
        start = self.position
        if kind == GROUP:
            is_sorted, is_open = self.take(2)
            group = TagGroup(sorted=is_sorted, open=is_open)
            entries.append(Tag(name=name, body=group))
            self.group(group.entries)
        elif kind == DATA:
            self.data(entries, name)
        else:
            raise self.corrupt(f"entry of kind {kind} instead of {GROUP} or {DATA}", begin)
        if declared is not None and declared != self.position - start:
            entries[-1] = Tag(name=name, body=entries[-1].body, declared=declared)
        self.trail.pop()

    def data(self, entries: list[Tag], name: str) -> None:
        delimiter = self.take(4)
        if delimiter != DELIMITER:
            raise self.corrupt(f"{delimiter!r} instead of {DELIMITER!r}")
        count = self.take_length()
        if not 0 < count <= _MAX_INFO:
            raise self.corrupt(f"a type description of {count} numbers")
        info = struct.unpack(
            f">{count}{self.length.format[-1]}", self.take(count * self.length.size)
        )
        dtype, elements = self.type_of(info)
        body = TagData(info=info, dtype=dtype, count=elements, offset=self.position, payload=None)
        pixels = name == "Data" and self.trail[-2:-1] == ["ImageData"]
        if pixels or body.nbytes > _INLINE_BYTES or body.nbytes > self.size - self.position:
            entries.append(Tag(name=name, body=body))
            self.skip(body.nbytes)
            return
        payload = self.take(body.nbytes)
        body = TagData(info=info, dtype=dtype, count=elements, offset=body.offset, payload=payload)
        entries.append(Tag(name=name, body=body))

    def type_of(self, info: tuple[int, ...]) -> tuple[np.dtype[Any], int | None]:
        """Return type and number of elements of a description; None for a single value."""
        is_array = info[0] == ARRAY
        try:
            dtype, used = self.element(info, 1 if is_array else 0)
            count = info[used] if is_array else None
        except IndexError:
            raise self.corrupt(f"a type description that ends early: {info[:16]}") from None
        if is_array and dtype.itemsize == 0:
            raise self.corrupt("an array of values without size")
        if used + is_array != len(info):
            raise self.corrupt(f"a type description that goes on too long: {info[:16]}")
        return dtype, count

    def element(self, info: tuple[int, ...], at: int) -> tuple[np.dtype[Any], int]:
        """Return the type described from index `at` on, and the index after it."""
        code = info[at]
        if code in SIMPLE:
            return np.dtype(SIMPLE[code]).newbyteorder(self.order), at + 1
        if code == STRING:
            return self.repeated(np.dtype("u1"), info[at + 1]), at + 2
        if code == ARRAY:
            base, after = self.element(info, at + 1)
            return self.repeated(base, info[after]), after + 1
        if code == STRUCT:
            fields: list[tuple[str, np.dtype[Any]]] = []
            after = at + 3
            for number in range(info[at + 2]):
                base, after = self.element(info, after + 1)
                fields.append((f"f{number}", base))
            return np.dtype(fields), after
        raise self.corrupt(f"unknown type {code}")

    def repeated(self, base: np.dtype[Any], count: int) -> np.dtype[Any]:
        if count * base.itemsize > self.size:
            raise _FileEndsError(self.position, count * base.itemsize)
        if count > np.iinfo(np.int32).max // max(1, base.itemsize):
            raise self.corrupt(f"an element of {count} values")
        return np.dtype((base, (count,)))


def _readable(name: str) -> str:
    """Return a name for a message, whatever bytes it is made of."""
    shown = name if name.isprintable() else ascii(name)[1:-1]
    return (
        shown if len(shown) <= _LONGEST_NAME else f"{shown[:_LONGEST_NAME]}\N{HORIZONTAL ELLIPSIS}"
    )


def read_tags(path: Path) -> TagTree:
    """Read the tag tree of a DM3 or DM4 file; arrays of pixels stay in the file.

    Returns
    -------
    TagTree
        The tree; where the file ends too early, what is before its end.

    Raises
    ------
    CorruptFileError
        The bytes are not a tag tree; the message names tag and byte.
    ReadError
        The operating system could not read the file.
    """
    with reading(path), path.open("rb") as file:
        return _parse(file, path, path.stat().st_size)


def _parse(file: BinaryIO, path: Path, size: int) -> TagTree:
    parser = _Parser(file, path, size)
    entries: list[Tag] = []
    declared, flag, is_sorted, is_open = 0, 1, 1, 0
    early_end = None
    try:
        declared, flag = parser.header()
        is_sorted, is_open = parser.take(2)
        parser.group(entries)
    except _FileEndsError as end:
        early_end = EarlyEnd(tag_path=parser.tag_path(), offset=end.offset, wanted=end.wanted)
    return TagTree(
        version=parser.version,
        declared_size=declared,
        little_endian=flag == 1,
        root=TagGroup(sorted=is_sorted, open=is_open, entries=entries),
        end=parser.position,
        file_size=size,
        early_end=early_end,
    )
