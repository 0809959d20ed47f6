"""DM tag trees from Python values, and their bytes."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

from stemzarr.errors import UnsupportedDataError
from stemzarr.formats.dm.tags import DATA, DELIMITER, GROUP, Tag, TagData, TagGroup
from stemzarr.formats.dm.values import ByteOrder, make_data

__all__ = ["ByteOrder", "make_group", "make_tag", "write_tree"]

_DM4 = 4


def make_group(tree: Mapping[str, Any] | list[Any] | TagGroup, order: ByteOrder) -> TagGroup:
    """Return a group from a mapping of names, or from a list of unnamed values.

    Parameters
    ----------
    tree
        Mappings and lists become groups, text becomes UTF-16, numpy scalars and 1-D arrays keep
        their type (structured ones become structs), tuples become structs, ``bytes`` an array of
        u8; a `TagGroup` or `TagData` is written as it is, which also allows names to repeat.
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
    return Tag(name=name, body=make_data(value, order))


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
