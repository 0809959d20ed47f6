"""Data sets of no known arrangement: each array of numbers is a document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import h5py
import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import EntryNotFoundError, StemzarrError, UnsupportedDataError
from stemzarr.formats.dectris.mask import find_flagged_pixels, join_masks, read_pixel_mask
from stemzarr.formats.found import Found
from stemzarr.formats.hdf5.arrangement import bare_found
from stemzarr.formats.hdf5.files import data_set_blocks, walk
from stemzarr.formats.hdf5.scales import found_axes
from stemzarr.formats.hdf5.survey import Survey, colours_of, is_data, is_picture, rank_of
from stemzarr.metadata.clean import clean_json
from stemzarr.model import Blocks
from stemzarr.pixels.packing import COLOUR_CHANNELS
from stemzarr.storage.objects import Stamp

__all__ = ["choose_data_set", "find_plain"]

_MOST_DOCUMENTS: Final = 100
_MOST_NAMED: Final = 12
_GENERIC: Final = frozenset({"data", "image", "array", "values", "counts", "intensity"})
"""Last names of data sets, in lower case, that say less than those of their groups."""


def find_plain(
    file: h5py.File, path: Path, stamp: Stamp, rest: Survey, *, first: bool
) -> tuple[list[Found], tuple[str, ...], tuple[str, ...]]:
    """Return the data sets that are documents, those that are too many, and notes of failures.

    Parameters
    ----------
    rest
        What no arrangement accounts for.
    first
        Whether nothing else is known of the file: then the most important data set must be
        readable, and small arrays are data where there are no others.

    Raises
    ------
    CorruptFileError, UnsupportedDataError, MissingDependencyError
        The most important data set of the file cannot be read.
    """
    names = rest.data or (rest.small if first else ())
    found: list[Found] = []
    failures: list[str] = []
    for name in names[:_MOST_DOCUMENTS]:
        try:
            found.append(_found(file[name], path, stamp, alone=first and len(names) == 1))
        except StemzarrError as error:
            if first and not found:
                raise
            failures.append(f"data set {name.strip('/')!r} is left out: {error.message}")
    return found, tuple(names[_MOST_DOCUMENTS:]), tuple(failures)


def choose_data_set(file: h5py.File, path: Path, stamp: Stamp, wanted: str) -> Found:
    """Return the data set of a path.

    Raises
    ------
    EntryNotFoundError
        There is no data set of numbers of that path; those that there are, are listed.
    UnsupportedDataError, CorruptFileError, MissingDependencyError
        Its values cannot be read.
    """
    names = list(_numbers(file))
    address = "/" + wanted.strip("/")
    if address not in names:
        msg = f"there is no data set of numbers {wanted!r}"
        raise EntryNotFoundError(msg, path=path, hint=f"it holds {_listed(names, file)}")
    return _found(file[address], path, stamp, alone=True)


def _numbers(file: h5py.File) -> Iterator[str]:
    for name, item in walk(file):
        if isinstance(item, h5py.Dataset) and is_data(item):
            yield f"/{name}"


def _listed(names: Sequence[str], file: h5py.File) -> str:
    """Return the data sets with their shapes, the most important first."""
    ranked = sorted(names, key=lambda name: rank_of(file[name]), reverse=True)
    shown = [f"{name} {'x'.join(map(str, file[name].shape))}" for name in ranked[:_MOST_NAMED]]
    more = f" and {len(ranked) - len(shown)} more" if len(ranked) > len(shown) else ""
    return (", ".join(shown) or "none") + more


def _found(data: h5py.Dataset, path: Path, stamp: Stamp, *, alone: bool) -> Found:
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
    bare, axes, colours = bare_found(blocks, str(data.name)), found_axes(data), colours_of(data)
    channels = bare.channels if colours is None else COLOUR_CHANNELS[:colours]
    return replace(
        bare,
        title=_title(bare.address, alone=alone),
        axes=axes if colours is None else axes[:-1],
        channels=channels,
        thumbnail=is_picture(data),
        computed=_is_processed(data),
        bad_pixels=None if channels else _bad_pixels(data, bare.base),
    )


def _bad_pixels(data: h5py.Dataset, frames: Blocks) -> NDArray[np.bool_] | None:
    """Return the pixels that the file calls bad, or that its detector flags in the frames."""
    mask = read_pixel_mask(data.file, str(data.parent.name))
    if frames.shape[1:] and data.file.get("entry/instrument/detector", getclass=True) is not None:
        return join_masks(find_flagged_pixels(frames), mask)
    return mask


def _is_processed(data: h5py.Dataset) -> bool:
    """Return whether a group around a data set is NeXus' ``NXprocess``, for results."""
    group = data.parent
    while group.name != "/":
        if clean_json(group.attrs.get("NX_class")) == "NXprocess":
            return True
        group = group.parent
    return False


def _title(name: str, *, alone: bool) -> str:
    """Return the name of a data set, or of its groups where its own says nothing."""
    *groups, last = name.strip("/").split("/")
    if last.lower() not in _GENERIC:
        return last
    return "" if alone else " ".join(groups)
