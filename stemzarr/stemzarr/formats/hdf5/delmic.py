"""Delmic's (Odemis') HDF5 files: acquisitions of five dims, and a picture of the screen.

Every ``Acquisition…/ImageData/Image`` is read lazily, box by box; dims of one value are dropped.
A data set is complete where HDF5 stores what it declares.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import h5py
import numpy as np

from stemzarr.formats.found import Found
from stemzarr.formats.hdf5.arrangement import Arrangement
from stemzarr.formats.hdf5.files import member, own_data, value_at
from stemzarr.formats.labelling import FoundAxis, Hints
from stemzarr.metadata.finding import (
    Facts,
    finite_number,
    number_or_nan,
    plain_text,
    positive_number,
)
from stemzarr.pixels.reordered import SqueezedBlocks

__all__ = ["DELMIC"]

_IMAGE: Final = "ImageData/Image"
_DIMS: Final = "CTZYX"
_NAMES: Final = {"C": "Wavelength", "T": "Time", "A": "Angle", "Z": "Z", "Y": "Y", "X": "X"}
_NM_IN_M: Final = 1e9
_NDIM: Final = 5


def _describe(bare: Found, data: h5py.Dataset, group: h5py.Group) -> Found:
    shape = bare.base.shape
    dropped = tuple(dim for dim, size in enumerate(shape) if size == 1 and dim < _NDIM - 2)
    axes = tuple(axis for dim, axis in enumerate(_axes(group, data)) if dim not in dropped)
    spectra = "Wavelength" in [axis.name for axis in axes]
    name = str(group.name).strip("/")
    return replace(
        bare,
        title=plain_text(value_at(group, "PhysicalData/Title")) or name,
        base=SqueezedBlocks(bare.base, dropped) if dropped else bare.base,
        axes=axes,
        hints=Hints(signal_type="CL" if spectra else ""),
        facts=_facts(group, name),
    )


def _acquisitions(file: h5py.File) -> Iterator[tuple[h5py.Dataset, h5py.Group]]:
    """Yield the array and the group of each acquisition, in the order of their numbers."""
    names = [name for name in file if re.fullmatch(r"Acquisition\d+", name)]
    for name in sorted(names, key=lambda name: int(name.removeprefix("Acquisition"))):
        group = member(file, name, h5py.Group)
        data = None if group is None else member(group, _IMAGE)
        if data is not None and len(data.shape or ()) == _NDIM:
            yield data, group


DELMIC: Final = Arrangement(name="delmic", arrays=_acquisitions, describe=_describe)
"""Delmic's acquisitions, spectra and images."""


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
    scale = own_data(image, f"DimensionScale{label}")
    axis = FoundAxis(size=size, name=_NAMES[label])
    if scale is None or scale.dtype.kind not in "iuf":
        return axis
    if label in "CTA":
        units, factor = {"C": ("nm", _NM_IN_M), "T": ("s", 1.0), "A": ("rad", 1.0)}[label]
        return replace(axis, units=units).at(np.asarray(scale[()]) * factor)
    if scale.shape != ():
        return axis
    step = number_or_nan(scale[()]) * _NM_IN_M
    step = -step if label == "Y" else step  # Y points up
    centre = finite_number(value_at(image, f"{label}Offset")) or 0.0
    offset = centre * _NM_IN_M - (size - 1) / 2 * step
    return replace(axis, scale=step, offset=offset, units="nm")


def _facts(group: h5py.Group, name: str) -> Facts:
    """Return when the acquisition began, which is given as the position of the axis T."""
    seconds = positive_number(value_at(group, "ImageData/TOffset"))
    if seconds is None or seconds > dt.datetime(9000, 1, 1, tzinfo=dt.UTC).timestamp():
        return {}
    acquired = dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat()
    return {"acquired": (acquired, f"{name}/ImageData/TOffset")}
