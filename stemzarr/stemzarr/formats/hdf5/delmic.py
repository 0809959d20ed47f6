"""Delmic's (Odemis') HDF5 files: acquisitions of five dims, and a picture of the screen.

Every ``Acquisition…/ImageData/Image`` is read lazily, box by box; dims of one value are dropped.
A data set is complete where HDF5 stores what it declares.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import h5py
import numpy as np

from stemzarr.formats.file_blocks import Stamp
from stemzarr.formats.found import Found
from stemzarr.formats.hdf5.files import data_set_blocks, member
from stemzarr.formats.labelling import FoundAxis, Hints
from stemzarr.formats.reordered import SqueezedBlocks
from stemzarr.metadata.clean import clean_json
from stemzarr.metadata.finding import finite_number
from stemzarr.model import Fact

__all__ = ["find_delmic"]

_IMAGE: Final = "ImageData/Image"
_DIMS: Final = "CTZYX"
_NAMES: Final = {"C": "Wavelength", "T": "Time", "A": "Angle", "Z": "Z", "Y": "Y", "X": "X"}
_NM_IN_M: Final = 1e9
_NDIM: Final = 5


def find_delmic(file: h5py.File, path: Path, stamp: Stamp) -> list[Found]:
    """Return the acquisitions of a file, nothing where it is none of Delmic's."""
    found = []
    for name, group in _acquisitions(file):
        data = group[_IMAGE]
        blocks = data_set_blocks(path, stamp, data)
        if blocks is None:
            continue
        base = blocks[0]
        dropped = tuple(dim for dim, size in enumerate(base.shape) if size == 1 and dim < _NDIM - 2)
        axes = tuple(axis for dim, axis in enumerate(_axes(group, data)) if dim not in dropped)
        facts, paths = _facts(group, name)
        spectra = "Wavelength" in [axis.name for axis in axes]
        found.append(
            Found(
                title=_title(group) or name,
                base=SqueezedBlocks(base, dropped) if dropped else base,
                axes=axes,
                hints=Hints(signal_type="CL" if spectra else ""),
                facts=facts,
                fact_paths=paths,
                address=str(data.name),
            )
        )
    return found


def _acquisitions(file: h5py.File) -> Iterator[tuple[str, h5py.Group]]:
    """Yield name and group of each acquisition, in the order of their numbers."""
    names = [name for name in file if re.fullmatch(r"Acquisition\d+", name)]
    for name in sorted(names, key=lambda name: int(name.removeprefix("Acquisition"))):
        group = member(file, name, h5py.Group)
        data = None if group is None else group.get(_IMAGE)
        if isinstance(data, h5py.Dataset) and len(data.shape or ()) == _NDIM:
            yield name, group


def _axes(group: h5py.Group, data: h5py.Dataset) -> list[FoundAxis]:
    labels = [
        dim.label if dim.label in _NAMES else default
        for dim, default in zip(data.dims, _DIMS, strict=True)
    ]
    return [
        _axis(group["ImageData"], label, size)
        for label, size in zip(labels, data.shape, strict=True)
    ]


def _axis(image: h5py.Group, label: str, size: int) -> FoundAxis:
    """Return one axis; Delmic gives lengths in metres, and for Z, Y, X the step and the centre."""
    scale = image.get(f"DimensionScale{label}")
    axis = FoundAxis(size=size, name=_NAMES[label])
    if not isinstance(scale, h5py.Dataset) or scale.dtype.kind not in "iuf":
        return axis
    if label in "CTA":
        units, factor = {"C": ("nm", _NM_IN_M), "T": ("s", 1.0), "A": ("rad", 1.0)}[label]
        known = FoundAxis(size=size, name=_NAMES[label], units=units)
        return known.at(np.asarray(scale[()]) * factor)
    if scale.shape != ():
        return axis
    step = (finite_number(scale[()]) or math.nan) * _NM_IN_M
    step = -step if label == "Y" else step  # Y points up
    centre = image.get(f"{label}Offset")
    middle = finite_number(centre[()]) if isinstance(centre, h5py.Dataset) else None
    offset = (middle or 0.0) * _NM_IN_M - (size - 1) / 2 * step
    return FoundAxis(size=size, name=axis.name, scale=step, offset=offset, units="nm")


def _title(group: h5py.Group) -> str:
    title = group.get("PhysicalData/Title")
    text = clean_json(title[()]) if isinstance(title, h5py.Dataset) else ""
    return text if isinstance(text, str) else ""


def _facts(group: h5py.Group, name: str) -> tuple[dict[str, Fact], dict[str, str]]:
    """Return when the acquisition began, which is given as the position of the axis T."""
    data = group.get("ImageData/TOffset")
    seconds = finite_number(data[()]) if isinstance(data, h5py.Dataset) and not data.shape else None
    if not seconds or not 0 < seconds < dt.datetime(9000, 1, 1, tzinfo=dt.UTC).timestamp():
        return {}, {}
    acquired = dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat()
    return {"acquired": acquired}, {"acquired": f"{name}/ImageData/TOffset"}
