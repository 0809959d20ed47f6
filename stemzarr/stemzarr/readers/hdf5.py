"""HDF5 files: dispatched by what stands in them, not by their suffix."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import h5py

from stemzarr.errors import EntryNotFoundError, UnknownFormatError, UnsupportedDataError
from stemzarr.model import Source
from stemzarr.options import ReadOptions
from stemzarr.readers.arina import find_arina, load_arina_metadata
from stemzarr.readers.emd import find_emd
from stemzarr.readers.found import FileFacts, Found, build_source
from stemzarr.readers.hdf5_files import (
    Stamp,
    data_set_blocks,
    foreign_links,
    is_beside,
    open_hdf5,
    stored_dtype,
    walk,
)
from stemzarr.readers.hdf5_scales import found_axes
from stemzarr.readers.hdf5_tree import load_tree
from stemzarr.readers.hspy import find_hspy, is_hspy, load_hspy_metadata
from stemzarr.readers.topspin import find_topspin, is_topspin, load_topspin_metadata

__all__ = ["read_hdf5"]

_MOST_NAMED = 12
_SCAN_NDIM = 4
_LIBRARY_SUFFIXES: Final = (".emd", ".nxs", ".de5", ".elid", ".dens")
"""Kinds of HDF5 that RosettaSciIO knows by their suffix."""


def read_hdf5(path: Path, options: ReadOptions) -> Source:
    """Return what an HDF5 file holds, without reading pixels.

    HyperSpy's, py4DSTEM's, NCEM's, TopSpin's, DECTRIS' and Gatan's arrangements are known by
    their content, Velox and NeXus are read by RosettaSciIO; of any other file one data set is
    taken: that of ``options.dataset``, else the largest with four dims, else the largest.

    Raises
    ------
    CorruptFileError
        The file is damaged, or declares more than it stores.
    EntryNotFoundError
        There is no data set of that path.
    UnsupportedDataError
        There is no data set of numbers, or its values lie in a file elsewhere.
    """
    stamp = Stamp.of(path)
    with open_hdf5(path) as file:
        is_dm5 = "ImageList" in file
        known = None if is_dm5 else _find_known(file, path, stamp)
        library = (
            not is_dm5 and known is None and options.dataset is None and _is_library(file, path)
        )
    if is_dm5:
        from stemzarr.readers.dm.dm5 import read_dm5

        return read_dm5(path, options)
    if library:
        source = _read_by_library(path, options)
        if source is not None:
            return source
    name, found, load = known or ("hdf5", [], load_tree)
    if known is None or options.dataset is not None:
        found = _choose(path, stamp, found, options)
    facts = FileFacts(
        format=name,
        size=stamp.size,
        modified_ns=stamp.modified_ns,
        load_metadata=functools.partial(load, path),
    )
    return build_source(path, facts, found, options)


_Known = tuple[str, list[Found], Callable[[Path], dict[str, Any]]]


def _find_known(file: h5py.File, path: Path, stamp: Stamp) -> _Known | None:
    """Return format, data sets and metadata of an arrangement that we know."""
    if is_hspy(file):
        return "hspy", find_hspy(file, path, stamp), load_hspy_metadata
    if is_topspin(file):
        return "app5", find_topspin(file, path, stamp), load_topspin_metadata
    frames = find_arina(file, path)
    if frames:
        return "arina", frames, load_arina_metadata
    arrays = find_emd(file, path, stamp)
    return ("emd", arrays, load_tree) if arrays else None


def _is_library(file: h5py.File, path: Path) -> bool:
    """Return whether RosettaSciIO may know the file, and nothing in it leads elsewhere."""
    if path.suffix.lower() not in _LIBRARY_SUFFIXES:
        return False
    groups = [file, *(item for _, item in walk(file) if isinstance(item, h5py.Group))]
    return not any(any(True for _ in foreign_links(group)) for group in groups)


def _read_by_library(path: Path, options: ReadOptions) -> Source | None:
    from stemzarr.readers.rosettasciio import read_rosettasciio

    try:
        return read_rosettasciio(path, options)
    except UnknownFormatError:
        return None


def _choose(path: Path, stamp: Stamp, known: Sequence[Found], options: ReadOptions) -> list[Found]:
    """Return the one data set that was asked for, or the one that matters most."""
    wanted = None if options.dataset is None else "/" + options.dataset.strip("/")
    for one in known:
        if wanted in (one.address, one.address.rpartition("/")[0]):
            return [one]
    with open_hdf5(path) as file:
        numbers = [
            f"/{name}"
            for name, item in walk(file)
            if isinstance(item, h5py.Dataset) and _is_data(item)
        ]
        if wanted is None:
            if not numbers:
                _refuse_empty(file, path)
            wanted = max(numbers, key=lambda name: _rank(file[name]))
        elif wanted not in numbers:
            msg = f"there is no data set of numbers {options.dataset!r}"
            raise EntryNotFoundError(msg, path=path, hint=f"it holds {_listed(numbers, file)}")
        return [_found(file[wanted], path, stamp)]


def _is_data(data: h5py.Dataset) -> bool:
    return bool(data.shape) and 0 not in data.shape and stored_dtype(data.dtype) is not None


def _rank(data: h5py.Dataset) -> tuple[bool, int]:
    return len(data.shape) == _SCAN_NDIM, math.prod(data.shape) * data.dtype.itemsize


def _listed(names: Sequence[str], file: h5py.File) -> str:
    """Return the data sets with their shapes, the largest first."""
    ranked = sorted(names, key=lambda name: _rank(file[name]), reverse=True)
    shown = [f"{name} {'x'.join(map(str, file[name].shape))}" for name in ranked[:_MOST_NAMED]]
    more = f" and {len(ranked) - len(shown)} more" if len(ranked) > len(shown) else ""
    return (", ".join(shown) or "none") + more


def _refuse_empty(file: h5py.File, path: Path) -> None:
    """Say why there is nothing to read: nothing at all, or only links to another file.

    Raises
    ------
    UnsupportedDataError
        Always.
    """
    groups = [file, *(item for _, item in walk(file) if isinstance(item, h5py.Group))]
    links = [
        link.filename
        for group in groups
        for name in group
        if isinstance(link := group.get(name, getlink=True), h5py.ExternalLink)
    ]
    if links:
        msg = f"holds no data itself, only links to {links[0]!r}"
        beside = is_beside(links[0])
        hint = f"read {links[0]} instead" if beside else "links to elsewhere are not followed"
        raise UnsupportedDataError(msg, path=path, hint=hint)
    msg = "holds no data set of numbers"
    raise UnsupportedDataError(msg, path=path, hint="the data may lie in a file beside it")


def _found(data: h5py.Dataset, path: Path, stamp: Stamp) -> Found:
    """Return a data set of no known arrangement.

    Raises
    ------
    UnsupportedDataError
        It holds no numbers.
    """
    blocks = data_set_blocks(path, stamp, data)
    if blocks is None:
        msg = f"{data.name!r} holds no numbers"
        raise UnsupportedDataError(msg, path=path, hint="choose another with --dataset")
    base, channels = blocks
    name = str(data.name)
    title = name.rpartition("/")[2]
    return Found(
        title="" if title in ("data", "Data") else title,
        base=base,
        axes=found_axes(data),
        channels=channels,
        address=name,
    )
