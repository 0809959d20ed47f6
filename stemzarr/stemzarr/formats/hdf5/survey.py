"""What the data sets of any HDF5 file are: data, pictures, axes and metadata, or nothing of ours.

Every data set of a file becomes a document, or is kept whole in the metadata tree (axes, lists
and small tables), or is named in a note. So nothing is left out in silence.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

import h5py

from stemzarr.formats.hdf5.files import outer_links, stored_dtype, walk
from stemzarr.formats.hdf5.tree import KEPT_VALUES
from stemzarr.metadata.clean import clean_json

__all__ = [
    "Survey",
    "axis_names",
    "colours_of",
    "describe_left_out",
    "is_data",
    "is_picture",
    "rank_of",
    "survey",
]

_SCAN_NDIM: Final = 4
_COLOURS: Final = (3, 4)
_LEAST_PICTURE: Final = 16
_LEAST_LINE: Final = 32
_MOST_NOTES: Final = 200
_SIDE_GROUPS: Final = frozenset(
    {
        *("metadata", "original_metadata", "metadatabundle", "mapped_parameters"),
        *("header", "properties", "attributes", "calibration", "calibrations", "nmlparameters"),
    }
)
"""Names of groups, in lower case, whose small arrays describe other data."""
_SIDE_PICTURES: Final = re.compile(
    r"preview|thumb(nail)?s?|screen ?shot|snapshot|schematic|histogram|icon|logo", re.IGNORECASE
)
_PLAIN_DIM: Final = re.compile(r"dim\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """The data sets of a file that its own arrangement does not account for."""

    data: tuple[str, ...]
    """Paths of arrays of numbers that are data, the most important first."""
    small: tuple[str, ...]
    """Paths of arrays of numbers that are kept in the metadata: axes, lists, short vectors."""
    aside: tuple[str, ...]
    """Paths of arrays that describe other data and are too large for the metadata."""
    notes: tuple[str, ...]
    """What is not an array of numbers, or is elsewhere, in words."""


def survey(file: h5py.File, taken: Collection[str] = ()) -> Survey:
    """Return what the data sets of a file are, those at or below the paths `taken` left out."""
    items = list(walk(file, frozenset(taken)))
    lengths = _lengths([*(file[one] for one in taken), *(item for _, item in items)])
    data: list[str] = []
    small: list[str] = []
    aside: list[str] = []
    notes = [
        f"{name!r} is a link to the file {link!r} and is left out: links are not followed"
        for name, link in outer_links([("", file), *items])
    ]
    for relative, item in items:
        name = f"/{relative}"
        if not isinstance(item, h5py.Dataset):
            continue
        if not is_data(item):
            notes += _foreign(name, item)
        elif _is_side(name, item, lengths):
            (small if item.size <= KEPT_VALUES else aside).append(name)
        else:
            data.append(name)
    data.sort(key=lambda name: rank_of(file[name]), reverse=True)
    return Survey(data=tuple(data), small=tuple(small), aside=tuple(aside), notes=tuple(notes))


def describe_left_out(file: h5py.File, names: Collection[str]) -> tuple[str, ...]:
    """Return a note for each data set that is left out, with the option that takes it."""
    shown = list(names)[:_MOST_NOTES]
    notes = [
        f"{describe(file[name])} is left out; --dataset {_option(name)} takes it" for name in shown
    ]
    more = len(names) - len(shown)
    if more:
        notes.append(f"{more} further data sets are left out; --dataset PATH takes one")
    return tuple(notes)


def _option(name: str) -> str:
    path = name.strip("/")
    return f'"{path}"' if re.search(r"[^\w./-]", path) else path


def describe(data: h5py.Dataset) -> str:
    """Return name, shape and type of a data set in words."""
    shape = " × ".join(map(str, data.shape))
    return f"data set {str(data.name).strip('/')!r} ({shape}, {data.dtype})"


def is_data(data: h5py.Dataset) -> bool:
    """Return whether a data set holds an array of plain numbers, or of colours."""
    return bool(data.shape) and 0 not in data.shape and stored_dtype(data.dtype) is not None


def is_picture(data: h5py.Dataset) -> bool:
    """Return whether a data set is a picture for people: a thumbnail, a screenshot, a drawing."""
    return colours_of(data) is not None or _SIDE_PICTURES.search(str(data.name)) is not None


def colours_of(data: h5py.Dataset) -> int | None:
    """Return the number of colours in the last dim of an image of bytes; None where it has none."""
    shape = data.shape
    if data.dtype != "u1" or len(shape) != 3 or shape[-1] not in _COLOURS:  # noqa: PLR2004 - y, x, colour
        return None
    marked = clean_json(data.attrs.get("IMAGE_SUBCLASS")) == "IMAGE_TRUECOLOR"
    return int(shape[-1]) if marked or min(shape[:2]) >= _LEAST_PICTURE else None


def rank_of(data: h5py.Dataset) -> tuple[bool, bool, int]:
    """Return by what the most important data set of a file is found: scans first, then size."""
    nbytes = math.prod(data.shape) * data.dtype.itemsize
    return not is_picture(data), len(data.shape) == _SCAN_NDIM, nbytes


def _lengths(items: Iterable[object]) -> frozenset[int]:
    """Return the lengths that a list beside the arrays of a file may have."""
    lengths: set[int] = set()
    for item in items:
        if isinstance(item, h5py.Dataset) and item.shape and _true_rank(item) > 1:
            shape = item.shape
            lengths.update(shape)
            lengths.update(n + 1 for n in shape)  # edges of bins
            lengths.add(math.prod(shape[:2]))
            lengths.add(math.prod(shape[:-2]))
    return frozenset(lengths)


def _true_rank(data: h5py.Dataset) -> int:
    return sum(n > 1 for n in data.shape)


def _is_side(name: str, data: h5py.Dataset, lengths: Collection[int]) -> bool:
    """Return whether an array only describes other data: an axis, a list, a calibration."""
    folders = {part.lower() for part in name.split("/")[:-1]}
    if folders & _SIDE_GROUPS:
        return True
    if _true_rank(data) > 1:
        return False
    last = name.rpartition("/")[2]
    named = _PLAIN_DIM.fullmatch(last) or last in axis_names(data.parent)
    known = data.size < _LEAST_LINE or data.size in lengths
    packed = data.dtype == "u1" and _SIDE_PICTURES.search(name)  # the bytes of a .jpg
    return bool(named or known or packed or h5py.h5ds.is_scale(data.id))


def axis_names(group: h5py.Group) -> list[str]:
    """Return the names of axes that a group has by NeXus' attribute ``axes``."""
    names = clean_json(group.attrs.get("axes"))
    if isinstance(names, str):
        names = names.split(":")
    return [str(name) for name in names] if isinstance(names, list) else []


def _foreign(name: str, data: h5py.Dataset) -> list[str]:
    """Return a note on what is not an array of numbers and too large for the metadata."""
    if not data.shape or 0 in data.shape or h5py.check_string_dtype(data.dtype) is not None:
        return []
    kept = data.size <= KEPT_VALUES and h5py.check_vlen_dtype(data.dtype) is None
    if kept or data.dtype.kind in "SU":
        return []
    what = "lists" if h5py.check_vlen_dtype(data.dtype) is not None else "rows of a table"
    return [
        f"{name.strip('/')!r} ({data.size} {what}) is left out: only arrays of numbers are read"
    ]
