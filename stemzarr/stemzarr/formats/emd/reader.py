"""EMD files of Berkeley and of py4DSTEM (EMD 1.0), and older ones of either.

Arrays are read lazily, and are complete where HDF5 stores what it declares.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import h5py
import numpy as np

from stemzarr.formats.found import Found, reorder
from stemzarr.formats.hdf5.arrangement import Arrangement
from stemzarr.formats.hdf5.files import groups_of, member, read_masks
from stemzarr.formats.labelling import FoundAxis, Hints, Labels
from stemzarr.metadata.clean import clean_json
from stemzarr.metadata.finding import plain_text
from stemzarr.model import CHANNEL, Blocks
from stemzarr.pixels.packing import COLOUR_CHANNELS

__all__ = ["EMD", "MARK", "OURS"]

_DATA_NAMES: Final = ("data", "datacube", "realslice", "counted_datacube")
_GROUP_TYPES: Final = ("1", "array")
_PATTERNS: Final = ("VirtualDiffraction", "DiffractionSlice", "Probe")
_HYPERSPY: Final = ("microscope", "sample", "user", "comments")
"""Groups that HyperSpy makes in each of its files, empty or not."""
_FEWEST_AXES = 2
MARK: Final = "emd_group_type"
"""Attribute of groups that says what each is."""
OURS: Final = ("stemzarr_root", "metadatabundle", "stemzarr")
"""Groups, one in the other, of what stemzarr adds to the files that it exports."""


def _describe(bare: Found, _data: h5py.Dataset, group: h5py.Group) -> Found:
    base, channels, address = bare.base, bare.channels, str(group.name).strip("/")
    axes = _axes(group, tuple(axis.size for axis in bare.axes))
    if not channels and _is_colour(axes):
        axes, channels = axes[:-1], COLOUR_CHANNELS[: axes[-1].size]
    berkeley = "dim0" not in group
    if berkeley and _is_hyperspy(group.file, address):
        base, axes, berkeley = _reversed(base, len(axes)), axes[::-1], False
    python_class = clean_json(group.attrs.get("python_class"))
    pattern = python_class in _PATTERNS and len(axes) == _FEWEST_AXES
    return replace(
        bare,
        title=address.rpartition("/")[2],
        base=base,
        axes=axes,
        hints=Hints(signal_type="diffraction" if pattern else "", names_order=berkeley),
        channels=channels,
        **read_masks(group.file, "/".join(OURS), base.shape),
    )


def _is_hyperspy(file: h5py.File, address: str) -> bool:
    """Return whether HyperSpy wrote an array: it stores all dims in reverse, below ``signals``."""
    version = file.attrs.get("version_major"), file.attrs.get("version_minor")
    texts = all(isinstance(part, (str, bytes)) for part in version)
    return texts and address.startswith("signals/") and all(name in file for name in _HYPERSPY)


def _reversed(base: Blocks, ndim: int) -> Blocks:
    """Return an array with its dims in reverse, colours last as they are."""
    order = tuple(reversed(range(ndim)))
    return reorder(base, Labels(kind="array", axes=(), order=order))


def _is_colour(axes: tuple[FoundAxis, ...]) -> bool:
    """Return whether the last dim holds the colours of an image, as stemzarr exports them."""
    colours = range(3, len(COLOUR_CHANNELS) + 1)
    return len(axes) > _FEWEST_AXES and axes[-1].name == CHANNEL and axes[-1].size in colours


def _arrays(file: h5py.File) -> Iterator[tuple[h5py.Dataset, h5py.Group]]:
    """Yield data set and group of each group that the format marks as an array."""
    for _, group in groups_of(file):
        if str(clean_json(group.attrs.get(MARK))) not in _GROUP_TYPES:
            continue
        for name in _DATA_NAMES:
            data = member(group, name)
            if data is not None:
                yield data, group
                break


def _axes(group: h5py.Group, shape: tuple[int, ...]) -> tuple[FoundAxis, ...]:
    # EMD 1.0 counts its dim vectors from 0, Berkeley's from 1
    first = 0 if "dim0" in group else 1
    return tuple(_axis(group, f"dim{dim + first}", size) for dim, size in enumerate(shape))


def _axis(group: h5py.Group, name: str, size: int) -> FoundAxis:
    vector = member(group, name)
    if vector is None:
        return FoundAxis(size=size)
    axis = FoundAxis(
        size=size,
        name=plain_text(clean_json(vector.attrs.get("name"))),
        units=_units(plain_text(clean_json(vector.attrs.get("units")))),
    )
    return axis.at(_positions(vector, size))


def _positions(vector: h5py.Dataset, size: int) -> Any:  # noqa: ANN401 - whatever is there
    few = vector.size is not None and vector.size <= max(size, 2)
    return vector[()] if few and not vector.external and not vector.is_virtual else np.empty(0)


def _units(text: str) -> str:
    """Return units; Berkeley writes one letter after the other, as in ``[n_m]``."""
    return text[1:-1].replace("_", "") if text.startswith("[") and text.endswith("]") else text


EMD: Final = Arrangement(name="emd", arrays=_arrays, describe=_describe, whole=True)
"""Groups that are marked as arrays."""
