"""DM5 files: the tree of a DM4 file, kept in HDF5."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from stemzarr.formats.dm.reader import read_dm
from stemzarr.formats.dm.tags import TagData, TagGroup, read_tags
from stemzarr.options import ReadOptions

__all__ = ["write_dm5"]


def write_dm5(dm4: Path) -> Path:
    """Write the tree of a DM4 file as DM5 beside it, pixels as data sets, and return its path."""
    path = dm4.with_suffix(".dm5")
    source = read_dm(dm4, ReadOptions())
    content = dm4.read_bytes()
    with h5py.File(path, "w") as file:
        _write_group(file, read_tags(dm4).root, content)
        for segment in source.segments:
            group = file[f"ImageList/[{segment.document}]/ImageData"]
            dims = [
                group["Dimensions"].attrs[f"[{n}]"] for n in range(len(group["Dimensions"].attrs))
            ]
            values = np.frombuffer(
                content,
                segment.dtype,
                segment.nbytes // np.dtype(segment.dtype).itemsize,
                segment.offset,
            )
            packed = segment.encoding == "packed-complex"
            shape = (*dims[:0:-1], dims[0] // 2 + 1) if packed else dims[::-1]
            group.create_dataset("Data", data=values.reshape(shape), chunks=True)
    return path


def _write_group(group: h5py.Group, tags: TagGroup, content: bytes) -> None:
    unnamed = 0
    for tag in tags.entries:
        name = tag.name.replace("/", ":")
        if not name:
            name, unnamed = f"[{unnamed}]", unnamed + 1
        if isinstance(tag.body, TagGroup):
            _write_group(group.create_group(name), tag.body, content)
        elif tag.body.payload is not None:
            group.attrs[name] = _attribute(tag.body)


def _attribute(data: TagData) -> Any:  # noqa: ANN401 - whatever HDF5 takes
    if data.is_text:
        return np.bytes_(data.text().encode())
    return data.array() if data.count or data.count is None else h5py.Empty("u2")
