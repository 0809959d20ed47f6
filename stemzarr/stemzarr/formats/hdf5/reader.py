"""HDF5 files: dispatched by what is in them, not by their suffix.

Every data set is read lazily, box by box, and is complete where HDF5 stores what it declares. A
file may hold several scans: each is a document, and what is none is named in a note.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import h5py

from stemzarr.errors import (
    StemzarrError,
    UnknownFormatError,
    UnsupportedDataError,
)
from stemzarr.formats.dectris.reader import is_arina, load_arina_metadata, read_arina
from stemzarr.formats.emd.reader import EMD
from stemzarr.formats.found import FileFacts, Found, build_source
from stemzarr.formats.hdf5.arrangement import Arrangement
from stemzarr.formats.hdf5.delmic import DELMIC
from stemzarr.formats.hdf5.events import find_events
from stemzarr.formats.hdf5.files import (
    groups_of,
    is_beside,
    open_hdf5,
    outer_links,
    unwritten_chunks,
    value_at,
)
from stemzarr.formats.hdf5.h5ebsd import EBSD
from stemzarr.formats.hdf5.netcdf import NETCDF
from stemzarr.formats.hdf5.nion import NION
from stemzarr.formats.hdf5.plain import choose_data_set, find_plain
from stemzarr.formats.hdf5.survey import Survey, describe_left_out, is_data, survey
from stemzarr.formats.hdf5.topspin import TOPSPIN
from stemzarr.formats.hdf5.tree import load_tree
from stemzarr.formats.hspy.reader import HSPY
from stemzarr.metadata.clean import clean_json
from stemzarr.model import Source
from stemzarr.options import ReadOptions
from stemzarr.recognition import suffixes_of
from stemzarr.storage.objects import Stamp

__all__ = ["read_hdf5"]

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
        is_dm = "ImageList" in file
        if options.dataset is not None and not is_dm:
            return _read_one(file, path, stamp, options)
        frames = None if is_dm else read_arina(file, path, options)
        if frames is not None:
            return frames
        known = None if is_dm else _find_known(file, path, stamp, options)
        library = _library_of(file, path) if known is None and not is_dm else None
        if known is not None or not (is_dm or library):
            return _read_all(file, path, stamp, known or (_PLAIN, []), options)
    if library is None:
        from stemzarr.formats.dm.dm5 import read_dm5

        return read_dm5(path, options)
    source = _read_by_library(path, options, library)
    if source is not None:
        return source
    with open_hdf5(path) as file:
        return _read_all(file, path, stamp, (_PLAIN, []), options)


_PLAIN: Final = Arrangement(name="hdf5")
_ARINA: Final = Arrangement(name="arina", load=load_arina_metadata)
_PROGRAMS: Final = (HSPY, TOPSPIN)
"""Arrangements of which a file is as a whole, whatever its arrays are."""
_ARRANGEMENTS: Final = (NETCDF, DELMIC, EBSD, NION, EMD)
"""Arrangements of files in which one of the arrays holds numbers."""

_Known = tuple[Arrangement, list[Found]]


def _find_known(file: h5py.File, path: Path, stamp: Stamp, options: ReadOptions) -> _Known | None:
    """Return an arrangement that we know and its data sets."""
    for row in _PROGRAMS:
        if row.is_in(file):
            return row, row.find(file, path, stamp)
    if is_arina(file, path):
        return _ARINA, []
    events = find_events(file, path, stamp, options)
    for row in _ARRANGEMENTS:
        found = row.find(file, path, stamp)
        if found:
            return row, [*events, *found]
    return (_PLAIN, events) if events else None


def _read_all(
    file: h5py.File, path: Path, stamp: Stamp, known: _Known, options: ReadOptions
) -> Source:
    """Return the data sets of an arrangement, and what else the file holds."""
    row, found = known
    rest = survey(file, [name for one in found for name in (one.address, *one.uses)])
    if row.whole:
        lost = () if row.load is load_tree else (n for n in rest.small if not _IN_HSPY.match(n))
        notes = _left_out(file, (*rest.data, *rest.aside, *lost), rest)
    else:
        more, left, failures = find_plain(file, path, stamp, rest, first=not found)
        found = [*found, *more]
        if not found:
            _refuse_empty(file, path)
        notes = (*failures, *_left_out(file, (*left, *rest.aside), rest))
    return _source(file, path, row, found, options, notes)


def _source(
    file: h5py.File,
    path: Path,
    row: Arrangement,
    found: Sequence[Found],
    options: ReadOptions,
    notes: tuple[str, ...] = (),
) -> Source:
    facts = FileFacts(format=row.name, load_metadata=functools.partial(row.load, path), notes=notes)
    return build_source(path, facts, [_count_chunks(file, one) for one in found], options)


def _left_out(file: h5py.File, names: Sequence[str], rest: Survey) -> tuple[str, ...]:
    return (*describe_left_out(file, names), *rest.notes)


def _count_chunks(file: h5py.File, found: Found) -> Found:
    """Return a data set with a note where HDF5 has not stored all of its chunks."""
    data = file.get(found.address) if found.address else None
    if not isinstance(data, h5py.Dataset):
        return found
    unwritten, total = unwritten_chunks(data)
    if not unwritten:
        return found
    fill = clean_json(data.fillvalue)
    note = f"{unwritten} of {total} chunks were never written and read as {fill}"
    return dataclasses.replace(found, notes=(*found.notes, note))


def _read_one(file: h5py.File, path: Path, stamp: Stamp, options: ReadOptions) -> Source:
    """Return the one data set that was asked for.

    Raises
    ------
    EntryNotFoundError
        There is no such data set.
    """
    wanted = "/" + str(options.dataset).strip("/")
    frames = read_arina(file, path, options) if wanted in ("/entry", "/entry/data") else None
    if frames is not None:
        return frames
    try:
        known = _find_known(file, path, stamp, options)
    except StemzarrError:
        # what is wrong with another data set does not matter here
        if not isinstance(file.get(wanted), h5py.Dataset) or not is_data(file[wanted]):
            raise
        known = None
    row, found = known or (_PLAIN, [])
    chosen = [one for one in found if wanted in (one.address, one.address.rpartition("/")[0])]
    if not chosen:
        chosen = [choose_data_set(file, path, stamp, str(options.dataset))]
    return _source(file, path, row, chosen[:1], options)


def _library_of(file: h5py.File, path: Path) -> str | None:
    """Return the suffix of the plugin of RosettaSciIO that may know a file that leads nowhere."""
    suffix = ".velox" if _is_velox(file) else path.suffix.lower()
    if suffix != ".velox" and suffix not in suffixes_of("by_content"):
        return None
    links = outer_links(groups_of(file))
    return suffix if all(is_beside(name) for _, name in links) else None


def _is_velox(file: h5py.File) -> bool:
    version = value_at(file, "Version")
    if not isinstance(version, list) or len(version) != 1:
        return False
    try:
        tags = json.loads(str(version[0]))
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
    link = next((name for _, name in outer_links(groups_of(file))), None)
    if link is not None:
        msg = f"holds no data itself, only links to {link!r}"
        hint = "links to elsewhere are not followed"
        hint = f"read {link} instead" if is_beside(link) else hint
        raise UnsupportedDataError(msg, path=path, hint=hint)
    msg = "holds no data set of numbers"
    raise UnsupportedDataError(msg, path=path, hint="the data may be in a file beside it")
