"""The DM5 reader: the tag tree of DM4, kept in HDF5.

Groups are groups and leaf tags attributes; entries of lists are named ``[0]``, ``[1]`` …; text is
bytes in UTF-8 or latin-1; ``ImageData/Data`` is a data set whose shape is slowest-first already.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from stemzarr.errors import CorruptFileError, UnsupportedDataError
from stemzarr.formats.dm.documents import read_documents
from stemzarr.formats.dm.image import DMPixels
from stemzarr.formats.dm.kinds import Meaning
from stemzarr.formats.dm.metadata import metadata_of
from stemzarr.formats.dm.tags import ARRAY, Tag, TagData, TagGroup, TagTree
from stemzarr.formats.dm.values import describe_type, make_data
from stemzarr.formats.found import refuse_dataset
from stemzarr.formats.hdf5.files import Hdf5Blocks, data_set_blocks, open_hdf5
from stemzarr.model import Blocks, Source, main_document
from stemzarr.options import ReadOptions
from stemzarr.pixels.reordered import ReorderedBlocks, SqueezedBlocks
from stemzarr.storage.objects import Stamp

__all__ = ["read_dm5"]

_VERSION = 5
_LIST_ENTRY = re.compile(r"\[(\d+)\]")
_MAX_DEPTH = 64
_MAX_TAGS = 1_000_000


def read_dm5(path: Path, options: ReadOptions) -> Source:
    """Read what a DM5 file holds, without touching pixels.

    Raises
    ------
    CorruptFileError, LayoutError, OptionError
        As `read_dm`.
    UnsupportedDataError
        The pixels are in another file, as those of K3-IS do.
    """
    refuse_dataset(path, options)
    stamp = Stamp.of(path)
    with open_hdf5(path) as file:
        tree = _read_tree(file, path, stamp.size)
        bases = dict(_bases(file, path, stamp))
    open_base = functools.partial(_open_base, bases, path)
    found = read_documents(tree, options, path=path, open_base=open_base)
    if not found.documents:
        raise CorruptFileError("it holds no image", path=path, hint="open it in its own program")
    return Source(
        path=path,
        format="dm5",
        size=stamp.size,
        modified_ns=stamp.modified_ns,
        documents=found.documents,
        main=main_document(found.documents),
        load_metadata=functools.partial(_read_metadata, path),
        notes=found.notes,
    )


def _read_metadata(path: Path) -> dict[str, Any]:
    with open_hdf5(path) as file:
        tree = _read_tree(file, path, path.stat().st_size)
    return metadata_of(tree.root, path)


def _read_tree(file: h5py.File, path: Path, size: int) -> TagTree:
    root = _Walk(path).group(file, 0)
    return TagTree(
        version=_VERSION,
        declared_size=size,
        little_endian=True,
        root=root,
        end=size,
        file_size=size,
    )


class _Walk:
    """One walk over the groups of a file, with a bound on depth and number of tags."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tags = 0

    def group(self, group: h5py.Group, depth: int) -> TagGroup:
        named: list[tuple[str, TagGroup | TagData]] = []
        for name in group:
            if isinstance(group.get(name, getlink=True), h5py.HardLink):
                item = group[name]
                if isinstance(item, h5py.Dataset):
                    named.append((name, _data_set(item)))
                elif isinstance(item, h5py.Group):
                    named.append((name, self.group(item, self.deeper(depth, group))))
        named += [(name, _attribute(group.attrs[name])) for name in group.attrs]
        self.tags += len(named)
        if self.tags > _MAX_TAGS:
            msg = f"holds more than {_MAX_TAGS} tags"
            raise CorruptFileError(msg, path=self.path, hint="open it in its own program")
        numbers = [_LIST_ENTRY.fullmatch(name) for name, _ in named]
        if named and all(numbers):
            ordered = sorted(zip(numbers, named, strict=True), key=_list_index)
            return TagGroup(sorted=0, entries=[Tag(name="", body=pair[1]) for _, pair in ordered])
        return TagGroup(entries=[Tag(name=name, body=body) for name, body in named])

    def deeper(self, depth: int, group: h5py.Group) -> int:
        if depth >= _MAX_DEPTH:
            msg = f"more than {_MAX_DEPTH} nested groups at {group.name}"
            raise CorruptFileError(msg, path=self.path, hint="open it in its own program")
        return depth + 1


def _list_index(item: tuple[re.Match[str] | None, Any]) -> int:
    return int(item[0][1]) if item[0] is not None else 0


def _attribute(value: Any) -> TagData:  # noqa: ANN401 - whatever an attribute holds
    if isinstance(value, np.bytes_ | bytes):
        return make_data(_decode(bytes(value)), "<")
    if isinstance(value, str):
        return make_data(_decode(value.encode("utf-8", "surrogateescape")), "<")
    array = np.asarray(value)
    if array.dtype.kind in "SO":
        texts = [_decode(v) if isinstance(v, bytes) else str(v) for v in array.reshape(-1)]
        return make_data("\n".join(texts), "<")
    try:
        return make_data(array.reshape(-1) if array.ndim else array[()], "<")
    except UnsupportedDataError:
        return make_data(str(array.tolist()), "<")


def _decode(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _data_set(data: h5py.Dataset) -> TagData:
    """Return a data set as a tag whose values stay in the file."""
    try:
        info = describe_type(data.dtype)
    except UnsupportedDataError:
        info = ()
    return TagData(
        info=(ARRAY, *info, data.size or 0),
        dtype=data.dtype,
        count=data.size or 0,
        offset=data.id.get_offset() or 0,
        payload=None,
    )


def _bases(file: h5py.File, path: Path, stamp: Stamp) -> Iterator[tuple[int, Hdf5Blocks]]:
    """Iterate over index and values of the images; those elsewhere are left out."""
    images = file["ImageList"]
    indices = sorted(int(m[1]) for name in images if (m := _LIST_ENTRY.fullmatch(name)))
    for place, index in enumerate(indices):
        data = images.get(f"[{index}]/ImageData/Data")
        if isinstance(data, h5py.Dataset):
            found = data_set_blocks(path, stamp, data)
            if found is not None:
                yield place, found[0]


def _open_base(
    bases: dict[int, Hdf5Blocks], path: Path, index: int, pixels: DMPixels, meaning: Meaning
) -> Blocks:
    """Return the values of an image in canonical order."""
    base = bases.get(index)
    if base is None or base.shape != pixels.packed_shape:
        shape = None if base is None else base.shape
        msg = f"ImageList/[{index}] has dims {pixels.shape} and a data set of shape {shape}"
        raise UnsupportedDataError(msg, path=path, hint="save it as dm4 in GMS")
    turn, ndim = meaning.rotation, len(base.shape)
    added = len(meaning.disk_shape) - ndim
    if added < 0:
        return SqueezedBlocks(base, (0,))  # the one row of an image of height 1
    if added == 0 and turn == 0:
        return base
    scan = meaning.scan_shape if added else None
    pattern_ndim = len(meaning.disk_shape) - len(("scan_y", "scan_x"))
    order = (*range(turn, ndim), *range(turn))
    return ReorderedBlocks(base=base, order=order, scan=scan, pattern_ndim=pattern_ndim)
