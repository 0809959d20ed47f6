"""HDF5 files opened with care: no links to elsewhere, no data sets of absurd size."""

from __future__ import annotations

import contextlib
import importlib
import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import (
    CorruptFileError,
    MissingDependencyError,
    UnsupportedDataError,
)
from stemzarr.formats.file_blocks import FileBlocks, parsing
from stemzarr.metadata.clean import clean_json
from stemzarr.model import box_of
from stemzarr.pixels.boxes import fill_box
from stemzarr.pixels.packing import COLOUR_CHANNELS
from stemzarr.storage.objects import Stamp

__all__ = [
    "Hdf5Blocks",
    "data_set_blocks",
    "member",
    "open_hdf5",
    "own_data",
    "read_masks",
    "stored_dtype",
    "unwritten_chunks",
    "value_at",
    "walk",
]

_DEEPEST = 64
_MOST_OBJECTS = 200_000
_CHUNK_CACHE = 64 * 1024**2
_ROW_BYTES = 16 * 1024**2
_LARGEST_RATIO = 10_000
_SMALL = 1024**3


@contextlib.contextmanager
def open_hdf5(path: Path) -> Iterator[h5py.File]:
    """Open an HDF5 file for looking around in it, and close it.

    Raises
    ------
    CorruptFileError
        The file, or what the block reads from it, contradicts the format.
    """
    hint = "it may be truncated or still being written; copy it again"
    with parsing(path, "is not a readable HDF5 file", hint), h5py.File(path, "r") as file:
        yield file


def walk(
    file: h5py.File, pruned: Collection[str] = ()
) -> Iterator[tuple[str, h5py.Group | h5py.Dataset]]:
    """Yield path and object of everything in a file, each object once, no link to another file.

    Parameters
    ----------
    pruned
        Paths, with a leading slash, of what is left out with all below it.

    Raises
    ------
    CorruptFileError
        Groups are nested too deep or are too many to be true.
    """
    seen = {h5py.h5o.get_info(file.id).addr}
    pending: list[tuple[str, h5py.Group, int]] = [("", file, 0)]
    while pending:
        prefix, group, depth = pending.pop()
        below = []
        for name in group:
            hard = isinstance(group.get(name, getlink=True), h5py.HardLink)
            if not hard or f"/{prefix}{name}" in pruned:
                continue
            item = group[name]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen or not isinstance(item, (h5py.Group, h5py.Dataset)):
                continue
            seen.add(address)
            if len(seen) > _MOST_OBJECTS or depth > _DEEPEST:
                msg = f"holds more than {_MOST_OBJECTS} objects or {_DEEPEST} nested groups"
                raise CorruptFileError(msg, path=file.filename, hint="name one with --dataset")
            yield f"{prefix}{name}", item
            if isinstance(item, h5py.Group):
                below.append((f"{prefix}{name}/", item, depth + 1))
        pending.extend(reversed(below))


def member(
    group: h5py.Group, path: str, kind: type[h5py.Group | h5py.Dataset] = h5py.Dataset
) -> Any:  # noqa: ANN401 - a group or a data set
    """Return what a group holds itself at a path, not by a link; None where it has no such.

    Parameters
    ----------
    kind
        What it must be: a data set, or a group.
    """
    item: Any = group
    for name in path.strip("/").split("/"):
        held = isinstance(item, h5py.Group)
        if not held or not isinstance(item.get(name, getlink=True), h5py.HardLink):
            return None
        item = item[name]
    return item if isinstance(item, kind) else None


def own_data(group: h5py.Group, path: str) -> Any:  # noqa: ANN401 - a data set
    """Return a data set below a group whose values are in the file itself; None where none is."""
    data = member(group, path)
    return None if data is None or data.external or data.is_virtual else data


def value_at(group: h5py.Group, path: str) -> Any:  # noqa: ANN401 - any JSON
    """Return the value of a data set below a group as clean JSON; None where there is none."""
    data = own_data(group, path)
    return None if data is None else clean_json(data[()])


def groups_of(file: h5py.File) -> Iterator[tuple[str, h5py.Group]]:
    """Yield path and object of every group of a file, the root first."""
    yield "", file
    yield from ((name, item) for name, item in walk(file) if isinstance(item, h5py.Group))


def outer_links(groups: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield the path of each link to another file, and the name of that file."""
    for path, group in groups:
        for name in group if isinstance(group, h5py.Group) else ():
            link = group.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                yield f"{path}/{name}".strip("/"), link.filename


def is_beside(name: str) -> bool:
    """Return whether a file name has no folder in it, on any system.

    Examples
    --------
    >>> is_beside("scan_data_000001.h5"), is_beside("../secret.h5"), is_beside("C:x.h5")
    (True, False, False)
    """
    return name not in ("", ".", "..") and all(
        len(pure.parts) == 1 and not pure.drive
        for pure in (PurePosixPath(name), PureWindowsPath(name))
    )


def check_data_set(data: h5py.Dataset, path: Path) -> None:
    """Refuse a data set whose values are in another file, or that cannot be what it declares.

    Raises
    ------
    UnsupportedDataError
        The values are outside the file.
    CorruptFileError
        Far more values are declared than the stored bytes can hold.
    MissingDependencyError
        The values are compressed in a way that h5py cannot undo.
    """
    if data.external or (
        data.is_virtual and any(s.file_name != "." for s in data.virtual_sources())
    ):
        msg = f"the values of {data.name!r} are in another file"
        raise UnsupportedDataError(
            msg, path=path, hint="copy them into one file, for example with h5repack"
        )
    stored = 0 if data.is_virtual else data.id.get_storage_size()
    declared = data.size * data.dtype.itemsize
    if not data.is_virtual and declared > stored * _LARGEST_RATIO + _SMALL:
        msg = f"{data.name!r} declares {declared} bytes of values and stores {stored}"
        raise CorruptFileError(
            msg, path=path, hint="the acquisition was broken off, or the file holds no data at all"
        )
    _check_filters(data, path)


def _check_filters(data: h5py.Dataset, path: Path) -> None:
    filters = data.id.get_create_plist()
    codes = [filters.get_filter(number)[0] for number in range(filters.get_nfilters())]
    if all(h5py.h5z.filter_avail(code) for code in codes):
        return
    _register_filters()
    missing = [code for code in codes if not h5py.h5z.filter_avail(code)]
    if missing:
        msg = f"{data.name!r} is compressed by the HDF5 filter {missing[0]}, which is not installed"
        raise MissingDependencyError(msg, path=path, hint="pip install hdf5plugin")


def _register_filters() -> None:
    """Let HDF5 decode what detectors and other programs compress by filters of their own."""
    importlib.import_module("hdf5plugin")


def stored_dtype(dtype: np.dtype[Any]) -> tuple[np.dtype[Any], tuple[str, ...]] | None:
    """Return the type of plain values and the names of colour channels; None for no numbers.

    Colours are structures of equal unsigned fields named R, G, B (and A).
    """
    if dtype.kind in "iufcb" and dtype.itemsize <= 16:  # noqa: PLR2004 - complex128, no longdouble
        wide = dtype.kind == "f" and dtype.itemsize > 8  # noqa: PLR2004 - float64
        return None if wide else (dtype.newbyteorder("<"), ())
    if dtype.names is None or dtype.fields is None:
        return None
    names = tuple(name.upper() for name in dtype.names)
    types = {dtype.fields[name][0] for name in dtype.names}
    if names not in (("R", "G", "B"), ("R", "G", "B", "A")) or len(types) != 1:
        return None
    base: np.dtype[Any] = types.pop()
    return (base.newbyteorder("<"), COLOUR_CHANNELS[: len(names)]) if base.kind == "u" else None


def read_masks(group: h5py.Group, path: str, shape: Sequence[int]) -> dict[str, Any]:
    """Return the masks that stemzarr exported to a group below another, by their names.

    Parameters
    ----------
    shape
        That of the array: ``valid`` has its first two dims, ``bad_pixels`` its last two.
    """
    masks = {}
    for name, fitting in (("valid", shape[:2]), ("bad_pixels", shape[-2:])):
        item = own_data(group, f"{path}/{name}")
        if item is not None and item.shape == tuple(fitting) and item.dtype == np.bool_:
            masks[name] = item[()]
    return masks


def unwritten_chunks(data: h5py.Dataset) -> tuple[int, int]:
    """Return how many chunks of a data set were never written, and how many there are.

    A program that makes room for a scan and is stopped leaves them out, and they read as zeros.
    """
    if data.is_virtual or not data.chunks or data.external:
        return 0, 0
    total = math.prod(-(-n // chunk) for n, chunk in zip(data.shape, data.chunks, strict=True))
    return max(0, total - data.id.get_num_chunks()), total


@dataclass(frozen=True, slots=True, kw_only=True)
class Hdf5Blocks(FileBlocks):
    """Values of one data set, or of a group of them. h5py lets threads in one at a time.

    The file is opened for each read, in half a millisecond: HDF5 keeps the state of an open file,
    so that a file rewritten in place would be read through its old state, and cannot be rewritten
    by this process at all.
    """

    name: str
    """Path of the data set, or the group, in the file."""

    @contextlib.contextmanager
    def open(self) -> Iterator[Any]:
        """Give the open data set or group, and close the file."""
        _register_filters()
        with h5py.File(self.path, "r", rdcc_nbytes=_CHUNK_CACHE) as file:
            yield file[self.name]

    def fill(self, out: NDArray[Any], start: Sequence[int]) -> None:
        """Fill `out` with the box of its shape at `start`."""
        with self.open() as data:
            fill(data, out, start)

    def failure(self) -> tuple[str, str]:
        """Return what is said where HDF5 fails, and what to do about it."""
        return f"cannot decode {self.name!r}", "the file is damaged; copy it again"


def fill(data: h5py.Dataset, out: NDArray[Any], start: Sequence[int]) -> None:
    """Fill `out` with a box of `data`, without a copy where the memory allows it."""
    if data.dtype.names is not None:
        box = box_of(start[:-1], out.shape[:-1])
        colours = np.ascontiguousarray(data[box])
        plain = colours.view(colours.dtype[0]).reshape(*colours.shape, -1)
        np.copyto(out, plain[..., start[-1] : start[-1] + out.shape[-1]])
    elif data.dtype.newbyteorder("<") == out.dtype and out.flags.c_contiguous and data.shape:
        data.read_direct(out, source_sel=box_of(start, out.shape))
    else:
        np.copyto(out, data[box_of(start, out.shape)], casting="same_kind")


def data_set_blocks(
    path: Path, stamp: Stamp, data: h5py.Dataset
) -> tuple[Hdf5Blocks, tuple[str, ...]] | None:
    """Return the blocks of a data set and the names of its colours; None where it has no numbers.

    Raises
    ------
    CorruptFileError, UnsupportedDataError, MissingDependencyError
        The values cannot be read.
    """
    found = stored_dtype(data.dtype)
    if found is None or not data.shape or 0 in data.shape:
        return None
    check_data_set(data, path)
    dtype, colours = found
    shape = (*data.shape, len(colours)) if colours else data.shape
    chunk = data.chunks or contiguous_block(data.shape, data.dtype.itemsize)
    blocks = Hdf5Blocks(
        path=path,
        stamp=stamp,
        name=str(data.name),
        shape=shape,
        dtype=dtype,
        block_shape=(*chunk, *shape[len(chunk) :]),
    )
    return blocks, colours


def contiguous_block(shape: Sequence[int], itemsize: int) -> tuple[int, ...]:
    """Return a box of about 16 MiB that is one run of bytes, or few.

    Examples
    --------
    >>> contiguous_block((256, 256, 256, 256), 2)
    (1, 128, 256, 256)
    """
    return fill_box(shape, _ROW_BYTES // itemsize)
