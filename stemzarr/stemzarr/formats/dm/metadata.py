"""The whole tag tree of a DM file as JSON; `stemzarr.metadata.tags` says in which form."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final

import numpy as np

from stemzarr.formats.dm.tags import BOOLEAN, Tag, TagData, TagGroup, read_tags
from stemzarr.metadata.clean import clean_json
from stemzarr.metadata.tags import ENTRIES, TYPES, encoded_array, entry_list, is_mark, pointer_to
from stemzarr.storage.files import read_positioned

__all__ = ["metadata_of", "read_metadata", "type_name"]

_LONGEST_LIST = 64
_LARGEST_ARRAY = 64 * 1024**2
_DEFAULTS: Final = frozenset({"i4", "f8", "b1"})
_PIXELS: Final = "/ImageData/Data"


def read_metadata(path: Path) -> dict[str, Any]:
    """Return the whole tag tree of a DM file as clean JSON; see `stemzarr.metadata.tags`.

    Raises
    ------
    CorruptFileError, ReadError
        The file is no longer what it was.
    """
    return metadata_of(read_tags(path).root, path)


def metadata_of(root: TagGroup, path: Path) -> dict[str, Any]:
    """Return a tag tree as clean JSON.

    Parameters
    ----------
    root
        The tree.
    path
        The file that holds the arrays which the tree has left there.
    """
    cleaner = _Cleaner(path)
    tree = cleaner.group(root, "")
    if isinstance(tree, list):
        tree = entry_list(("", value) for value in tree)
    return {**tree, TYPES: cleaner.types}


def type_name(dtype: np.dtype[Any], codes: tuple[int, ...] = ()) -> str:
    """Return the name of a type: ``f4``, ``(i2,i2)`` for a struct, ``u1[4]`` for an array.

    Parameters
    ----------
    dtype
        The type.
    codes
        How the file describes it, which alone tells truth values from bytes.
    """
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return f"{type_name(base)}[{math.prod(shape)}]"
    if dtype.names is not None:
        return f"({','.join(type_name(dtype[name]) for name in dtype.names)})"
    return "b1" if codes == (BOOLEAN,) else dtype.str[1:]


class _Cleaner:
    """One walk over a tree, which gathers the types that JSON cannot say."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = path.stat().st_size
        self.types: dict[str, str] = {}

    def group(self, group: TagGroup, pointer: str) -> dict[str, Any] | list[Any]:
        names = [tag.name for tag in group.entries]
        if not any(names) and (names or not group.sorted):
            return [self.body(tag, pointer_to(pointer, n)) for n, tag in enumerate(group.entries)]
        if any(map(is_mark, names)) or len(set(names)) < len(names):
            place = pointer_to(pointer, ENTRIES)
            return entry_list(
                (tag.name, self.body(tag, pointer_to(place, n, 1)))
                for n, tag in enumerate(group.entries)
            )
        return {tag.name: self.body(tag, pointer_to(pointer, tag.name)) for tag in group.entries}

    def body(self, tag: Tag, pointer: str) -> Any:  # noqa: ANN401 - any JSON
        if isinstance(tag.body, TagGroup):
            return self.group(tag.body, pointer)
        return self.data(tag.body, pointer)

    def data(self, data: TagData, pointer: str) -> Any:  # noqa: ANN401 - any JSON
        payload = data.payload
        if payload is None:
            cut = data.offset + data.nbytes > self.size
            if cut or pointer.endswith(_PIXELS) or data.nbytes > _LARGEST_ARRAY:
                return encoded_array(data.dtype, data.count, offset=data.offset)
            payload = _load(self.path, data)
        if data.is_text:
            text = _exact_text(data, payload)
            if text is not None:
                return text
        values = data.array(payload)
        name = type_name(data.dtype, data.info[1:2] if data.count is not None else data.info)
        if data.count is not None:
            name = f"{name}[{data.count}]"
        single = None
        if data.count is None:
            single = _clean_value(values.tolist(), boolean=name == "b1")
        stated = isinstance(single, bool if name == "b1" else int | float)
        if name not in _DEFAULTS or not stated:
            self.types[pointer] = name
        if data.count is None:
            return single
        if data.count <= _LONGEST_LIST and data.dtype.kind != "V" and data.dtype.subdtype is None:
            return [_clean_value(value, boolean=name.startswith("b1")) for value in values.tolist()]
        return encoded_array(data.dtype, data.count, payload=payload)


def _load(path: Path, data: TagData) -> bytes:
    payload = bytearray(data.nbytes)
    read_positioned(path, memoryview(payload), data.offset)
    return bytes(payload)


def _exact_text(data: TagData, payload: bytes) -> str | None:
    """Return UTF-16 as text where it is text and nothing else; None for numbers."""
    encoding = "utf-16-be" if data.dtype.byteorder == ">" else "utf-16-le"
    try:
        text = payload.decode(encoding)
    except UnicodeDecodeError:
        return None
    visible = text.translate(_INVISIBLE)
    return text if visible.isprintable() else None


_INVISIBLE: Final = {ord(character): None for character in "\t\r\n\x00\u00a0\u3000\u2009"}
"""Characters of real texts that `str.isprintable` refuses."""


def _clean_value(value: Any, *, boolean: bool) -> Any:  # noqa: ANN401 - any JSON
    return bool(value) if boolean and value in (0, 1) else clean_json(value)
