"""HDF5 files: dispatched by what is in them, not by their suffix.

Every data set is read lazily, box by box, and is complete where HDF5 stores what it declares. A
file may hold several scans: each is a document, and what is none is named in a note.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import h5py

from stemzarr.errors import (
    StemzarrError,
    UnknownFormatError,
    UnsupportedDataError,
)
from stemzarr.formats.dectris.reader import find_arina, load_arina_metadata, read_arina
from stemzarr.formats.emd.reader import find_emd
from stemzarr.formats.file_blocks import Stamp
from stemzarr.formats.found import FileFacts, Found, build_source
from stemzarr.formats.hdf5.delmic import find_delmic
from stemzarr.formats.hdf5.events import find_events
from stemzarr.formats.hdf5.files import foreign_links, is_beside, open_hdf5, walk
from stemzarr.formats.hdf5.h5ebsd import find_ebsd
from stemzarr.formats.hdf5.nion import find_nion, load_nion_metadata
from stemzarr.formats.hdf5.plain import choose_data_set, find_plain
from stemzarr.formats.hdf5.survey import Survey, describe_left_out, is_data, survey
from stemzarr.formats.hdf5.topspin import find_topspin, is_topspin, load_topspin_metadata
from stemzarr.formats.hdf5.tree import load_tree
from stemzarr.formats.hspy.reader import find_hspy, is_hspy, load_hspy_metadata
from stemzarr.metadata.clean import clean_json
from stemzarr.model import Source
from stemzarr.options import ReadOptions

__all__ = ["read_hdf5"]

_LIBRARY_SUFFIXES: Final = (".emd", ".nxs", ".de5", ".elid", ".dens")
"""Kinds of HDF5 that RosettaSciIO knows by their suffix."""
_WHOLE_FORMATS: Final = ("hspy", "app5", "emd")
"""Formats whose further data sets are results, so that they are named and not read."""
_IN_HSPY: Final = re.compile(
    r"/Experiments/[^/]+/(metadata|original_metadata|mapped_parameters|original_parameters"
    r"|axis-\d+|_list_\d+_axes)/"
)
"""Where small arrays are that HyperSpy's metadata hold."""


def read_hdf5(path: Path, options: ReadOptions) -> Source:
    """Return what an HDF5 file holds, without reading pixels.

    HyperSpy's, py4DSTEM's, NCEM's, TopSpin's, DECTRIS', Nion's, Delmic's, Gatan's and the EBSD
    programs' arrangements and counted electrons are known by their content; Velox and NeXus are
    read by RosettaSciIO. Of any other file every array of numbers is a document; the main one is
    the largest with four dims, else the largest that is not a picture of the screen.
    ``options.dataset`` takes one data set alone.

    Raises
    ------
    CorruptFileError
        The file is damaged, or declares more than it stores.
    EntryNotFoundError
        There is no data set of that path.
    UnsupportedDataError
        There is no data set of numbers, or its values are in a file elsewhere.
    """
    stamp = Stamp.of(path)
    with open_hdf5(path) as file:
        if "ImageList" in file:
            library, known = None, None
        elif options.dataset is not None:
            return _read_one(file, path, stamp, options)
        else:
            frames = read_arina(file, path, options)
            if frames is not None:
                return frames
            known = _find_known(file, path, stamp, options)
            library = None if known is not None else _library_of(file, path)
        if known is None and library is None and "ImageList" not in file:
            known = "hdf5", [], load_tree
        if known is not None:
            return _read_all(file, path, stamp, known, options)
    if library is None:
        from stemzarr.formats.dm.dm5 import read_dm5

        return read_dm5(path, options)
    source = _read_by_library(path, options, library)
    if source is not None:
        return source
    with open_hdf5(path) as file:
        return _read_all(file, path, stamp, ("hdf5", [], load_tree), options)


_Known = tuple[str, list[Found], Callable[[Path], dict[str, Any]]]


def _find_known(file: h5py.File, path: Path, stamp: Stamp, options: ReadOptions) -> _Known | None:
    """Return format, data sets and metadata of an arrangement that we know."""
    if is_hspy(file):
        return "hspy", find_hspy(file, path, stamp), load_hspy_metadata
    if is_topspin(file):
        return "app5", find_topspin(file, path, stamp), load_topspin_metadata
    frames = find_arina(file, path)
    if frames:
        return "arina", frames, load_arina_metadata
    events = find_events(file, path, stamp, options)
    for name, find, load in _ARRANGEMENTS:
        found = find(file, path, stamp)
        if found:
            return name, [*events, *found], load
    return ("hdf5", events, load_tree) if events else None


_ARRANGEMENTS: Final = (
    ("delmic", find_delmic, load_tree),
    ("ebsd", find_ebsd, load_tree),
    ("nion", find_nion, load_nion_metadata),
    ("emd", find_emd, load_tree),
)
"""Name, finder of data sets, and loader of the metadata, of files of one kind each."""


def _read_all(
    file: h5py.File, path: Path, stamp: Stamp, known: _Known, options: ReadOptions
) -> Source:
    """Return the data sets of an arrangement, and what else the file holds."""
    name, found, load = known
    rest = survey(file, [one.address for one in found])
    if name in _WHOLE_FORMATS:
        lost = () if load is load_tree else (one for one in rest.small if not _IN_HSPY.match(one))
        notes = _left_out(file, (*rest.data, *rest.aside, *lost), rest)
    else:
        more, left, failures = find_plain(file, path, stamp, rest, first=not found)
        found = [*found, *more]
        if not found:
            _refuse_empty(file, path)
        notes = (*failures, *_left_out(file, (*left, *rest.aside), rest))
    found = [_count_chunks(file, one) for one in found]
    return build_source(path, _facts(path, stamp, name, load, notes), found, options)


def _left_out(file: h5py.File, names: Sequence[str], rest: Survey) -> tuple[str, ...]:
    return (*describe_left_out(file, names), *rest.notes)


def _facts(
    path: Path,
    stamp: Stamp,
    name: str,
    load: Callable[[Path], dict[str, Any]],
    notes: tuple[str, ...] = (),
) -> FileFacts:
    return FileFacts(
        format=name,
        stamp=stamp,
        load_metadata=functools.partial(load, path),
        notes=notes,
    )


def _count_chunks(file: h5py.File, found: Found) -> Found:
    """Return a data set with a note where HDF5 has not stored all of its chunks.

    A program that makes room for a scan and is stopped leaves them out, and they read as zeros.
    """
    data = file.get(found.address) if found.address else None
    if not isinstance(data, h5py.Dataset) or data.is_virtual or not data.chunks or data.external:
        return found
    total = math.prod(-(-n // chunk) for n, chunk in zip(data.shape, data.chunks, strict=True))
    stored = data.id.get_num_chunks()
    if stored >= total:
        return found
    fill = clean_json(data.fillvalue)
    note = f"{total - stored} of {total} chunks were never written and read as {fill}"
    return dataclasses.replace(found, notes=(*found.notes, note))


def _read_one(file: h5py.File, path: Path, stamp: Stamp, options: ReadOptions) -> Source:
    """Return the one data set that was asked for.

    Raises
    ------
    EntryNotFoundError
        There is no such data set.
    """
    wanted = "/" + str(options.dataset).strip("/")
    try:
        known = _find_known(file, path, stamp, options)
    except StemzarrError:
        # what is wrong with another data set does not matter here
        if not isinstance(file.get(wanted), h5py.Dataset) or not is_data(file[wanted]):
            raise
        known = None
    name, found, load = known or ("hdf5", [], load_tree)
    chosen = [one for one in found if wanted in (one.address, one.address.rpartition("/")[0])]
    if not chosen:
        chosen = [choose_data_set(file, path, stamp, str(options.dataset))]
    found = [_count_chunks(file, chosen[0])]
    return build_source(path, _facts(path, stamp, name, load), found, options)


def _library_of(file: h5py.File, path: Path) -> str | None:
    """Return the suffix of the plugin of RosettaSciIO that may know a file that leads nowhere."""
    suffix = ".velox" if _is_velox(file) else path.suffix.lower()
    if suffix not in (".velox", *_LIBRARY_SUFFIXES):
        return None
    groups = [file, *(item for _, item in walk(file) if isinstance(item, h5py.Group))]
    return None if any(any(True for _ in foreign_links(group)) for group in groups) else suffix


def _is_velox(file: h5py.File) -> bool:
    version = file.get("Version")
    if not isinstance(version, h5py.Dataset) or version.size != 1:
        return False
    try:
        tags = json.loads(str(clean_json(version[0])))
    except ValueError:
        return False
    return isinstance(tags, dict) and tags.get("format") in ("Velox", "DevelopersKit")


def _read_by_library(path: Path, options: ReadOptions, suffix: str) -> Source | None:
    from stemzarr.formats.rosettasciio.reader import read_rosettasciio

    try:
        return read_rosettasciio(path, options, suffix)
    except UnknownFormatError:
        return None


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
    raise UnsupportedDataError(msg, path=path, hint="the data may be in a file beside it")
