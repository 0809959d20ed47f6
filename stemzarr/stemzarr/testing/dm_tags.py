"""DM tag trees from Python values, and their bytes."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, Literal

import numpy as np

from stemzarr.errors import UnsupportedDataError
from stemzarr.readers.dm.tags import (
    ARRAY,
    BOOLEAN,
    DATA,
    DELIMITER,
    GROUP,
    STRUCT,
    TEXT,
    Tag,
    TagData,
    TagGroup,
)

__all__ = ["ByteOrder", "make_group", "make_tag", "write_tree"]

ByteOrder = Literal["<", ">"]

_CODES = {
    "i2": 2, "i4": 3, "u2": TEXT, "u4": 5, "f4": 6, "f8": 7,
    "b1": BOOLEAN, "i1": 9, "u1": 10, "i8": 11, "u8": 12,
}  # fmt: skip
_DM4 = 4


def make_group(tree: Mapping[str, Any] | list[Any] | TagGroup, order: ByteOrder) -> TagGroup:
    """Return a group from a mapping of names, or from a list of unnamed values.

    Parameters
    ----------
    tree
        Mappings and lists become groups, text becomes UTF-16, numpy scalars and 1-D arrays keep
        their type (structured ones become structs), tuples become structs, ``bytes`` an array of
        u8; a `TagGroup` or `TagData` stands as it is, which also allows names to repeat.
    order
        Byte order of the values.

    Raises
    ------
    UnsupportedDataError
        A value has no form in a DM file.
    """
    if isinstance(tree, TagGroup):
        return tree
    if isinstance(tree, Mapping):
        entries = [make_tag(name, value, order) for name, value in tree.items()]
        return TagGroup(sorted=1, entries=entries)
    return TagGroup(sorted=0, entries=[make_tag("", value, order) for value in tree])


def make_tag(name: str, value: Any, order: ByteOrder) -> Tag:  # noqa: ANN401 - any value
    """Return an entry of that name; see `make_group` for the values."""
    if isinstance(value, TagData):
        return Tag(name=name, body=value)
    if isinstance(value, Mapping | list | TagGroup):
        return Tag(name=name, body=make_group(value, order))
    return Tag(name=name, body=_make_data(value, order))


def _make_data(value: Any, order: ByteOrder) -> TagData:  # noqa: ANN401 - any value
    if isinstance(value, str):
        encoding = "utf-16-le" if order == "<" else "utf-16-be"
        value = np.frombuffer(value.encode(encoding), f"{order}u2")
    elif isinstance(value, bytes):
        value = np.frombuffer(value, "u1")
    elif isinstance(value, tuple):
        members = [np.asarray(_typed(member)) for member in value]
        dtype = np.dtype([(f"f{number}", member.dtype) for number, member in enumerate(members)])
        value = np.array(tuple(member.item() for member in members), dtype)[()]
    array = np.asarray(_typed(value))
    if array.ndim > 1:
        raise UnsupportedDataError(f"a tag cannot hold an array of shape {array.shape}")
    array = array.astype(array.dtype.newbyteorder(order))
    count = array.size if array.ndim else None
    info = _describe(array.dtype)
    return TagData(
        info=info if count is None else (ARRAY, *info, count),
        dtype=_as_stored(array.dtype),
        count=count,
        offset=0,
        payload=array.tobytes(),
    )


def _typed(value: Any) -> Any:  # noqa: ANN401 - any value
    """Give plain Python integers the narrowest of the types that DM uses for them."""
    if isinstance(value, bool) or not isinstance(value, int):
        return value
    for kind in (np.int32, np.uint32, np.int64, np.uint64):
        if np.iinfo(kind).min <= value <= np.iinfo(kind).max:
            return kind(value)
    raise UnsupportedDataError(f"a tag cannot hold the integer {value}")


def _as_stored(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return a type with bytes for truth values, as a reader finds it."""
    if dtype.names is not None:
        members = [
            (f"f{number}", _as_stored(dtype[name])) for number, name in enumerate(dtype.names)
        ]
        return np.dtype(members)
    return np.dtype(np.uint8) if dtype.kind == "b" else dtype


def _describe(dtype: np.dtype[Any]) -> tuple[int, ...]:
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return (ARRAY, *_describe(base), int(np.prod(shape)))
    if dtype.names is not None:
        members = [(0, *_describe(dtype[name])) for name in dtype.names]
        return (STRUCT, 0, len(members), *(code for member in members for code in member))
    code = _CODES.get(dtype.str[1:])
    if code is None:
        raise UnsupportedDataError(f"a tag cannot hold values of type {dtype}")
    return (code,)


def write_tree(
    file: BinaryIO,
    root: TagGroup,
    *,
    version: int,
    write_payload: Callable[[BinaryIO, TagData], None] | None = None,
) -> None:
    """Write a group and all below it.

    Parameters
    ----------
    file
        Open for writing, at the place of the group.
    root
        The group.
    version
        3 or 4.
    write_payload
        Writes the payload of data that hold none.
    """
    _Writer(file, version, write_payload).group(root)


class _Writer:
    def __init__(
        self,
        file: BinaryIO,
        version: int,
        write_payload: Callable[[BinaryIO, TagData], None] | None,
    ) -> None:
        self.file = file
        self.dm4 = version == _DM4
        self.letter = "Q" if self.dm4 else "I"
        self.write_payload = write_payload

    def lengths(self, *values: int) -> bytes:
        return struct.pack(f">{len(values)}{self.letter}", *values)

    def group(self, group: TagGroup) -> None:
        self.file.write(bytes([group.sorted, group.open]) + self.lengths(len(group.entries)))
        for tag in group.entries:
            self.entry(tag)

    def entry(self, tag: Tag) -> None:
        name = tag.name.encode("latin-1")
        kind = GROUP if isinstance(tag.body, TagGroup) else DATA
        self.file.write(struct.pack(">BH", kind, len(name)) + name)
        if self.dm4:
            self.file.write(self.lengths(self.size(tag.body, tag.declared)))
        if isinstance(tag.body, TagGroup):
            self.group(tag.body)
            return
        info = tag.body.info
        self.file.write(DELIMITER + self.lengths(len(info), *info))
        if tag.body.payload is not None:
            self.file.write(tag.body.payload)
        elif self.write_payload is not None:
            self.write_payload(self.file, tag.body)
        else:
            raise UnsupportedDataError(f"the payload of {tag.name!r} was left in its file")

    def size(self, body: TagGroup | TagData, declared: int | None = None) -> int:
        """Return how many bytes a body takes, or what another writer took it for."""
        width = 8 if self.dm4 else 4
        if declared is not None:
            return declared
        if isinstance(body, TagData):
            return len(DELIMITER) + width * (1 + len(body.info)) + body.nbytes
        return 2 + width + sum(self.entry_size(tag) for tag in body.entries)

    def entry_size(self, tag: Tag) -> int:
        return 3 + len(tag.name.encode("latin-1")) + (8 if self.dm4 else 0) + self.size(tag.body)
