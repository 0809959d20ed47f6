"""Axes of plain HDF5 data sets: dimension scales, and NeXus' ``axes``."""

from __future__ import annotations

import h5py

from stemzarr.formats.hdf5.files import member
from stemzarr.formats.hdf5.survey import axis_names
from stemzarr.formats.labelling import FoundAxis
from stemzarr.metadata.clean import clean_json
from stemzarr.metadata.finding import plain_text

__all__ = ["found_axes"]


def found_axes(data: h5py.Dataset) -> tuple[FoundAxis, ...]:
    """Return the axes of a data set, bare ones where the file says nothing of them."""
    named = axis_names(data.parent)
    named = named if len(named) == len(data.shape) else [""] * len(data.shape)
    axes = []
    for dim, size in enumerate(data.shape):
        scale = _dimension_scale(data, dim)
        if scale is None and named[dim]:
            scale = member(data.parent, named[dim])
        label = data.dims[dim].label or named[dim]
        axes.append(_axis(scale, label if label != "." else "", size))
    return tuple(axes)


def _dimension_scale(data: h5py.Dataset, dim: int) -> h5py.Dataset | None:
    scales = data.dims[dim]
    return scales[0] if len(scales) else None


def _axis(scale: h5py.Dataset | None, label: str, size: int) -> FoundAxis:
    if scale is None:
        return FoundAxis(size=size, name=label)
    axis = FoundAxis(
        size=size,
        name=label or str(scale.name or "").rpartition("/")[2],
        units=plain_text(clean_json(scale.attrs.get("units"))),
    )
    plain = scale.shape == (size,) and not scale.external and not scale.is_virtual
    return axis.at(scale[()]) if plain else axis
