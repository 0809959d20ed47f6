"""netCDF 4 as xarray writes it of a Dataset of ours: read with all its labels."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import h5py
import numpy as np
from numpy.typing import NDArray

from stemzarr.formats.found import Found
from stemzarr.formats.hdf5.arrangement import Arrangement
from stemzarr.formats.hdf5.tree import readable_attributes
from stemzarr.formats.saved import MASKS, SavedVariable, is_saved, label_saved

__all__ = ["NETCDF"]

_NO_VARIABLE: Final = "This is a netCDF dimension but not a netCDF variable"


def _arrays(file: h5py.File) -> Iterator[tuple[Any, Any]]:
    """Give ``intensity`` with the variables of the file, where they are a Dataset of ours."""
    attributes = readable_attributes(file)
    if "kind" not in attributes or not isinstance(file.get("intensity"), h5py.Dataset):
        return
    variables = {
        name: _variable(name, data)
        for name, data in file.items()
        if isinstance(data, h5py.Dataset) and _is_variable(data)
    }
    if is_saved(attributes, variables.get("intensity")):
        yield file["intensity"], (attributes, variables)


def _is_variable(data: h5py.Dataset) -> bool:
    return not str(readable_attributes(data).get("NAME", "")).startswith(_NO_VARIABLE)


def _variable(name: str, data: h5py.Dataset) -> SavedVariable:
    scales = [data.dims[dim] for dim in range(len(data.shape))]
    dims = tuple(str(one[0].name).rpartition("/")[2] if len(one) else name for one in scales)
    attributes = readable_attributes(data)
    kept = {key: value for key, value in attributes.items() if key not in _OF_HDF5}
    return SavedVariable(dims=dims, attributes=kept, read=functools.partial(_values, data))


_OF_HDF5: Final = ("CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST", "coordinates", "dtype")
"""Attributes by which HDF5 and xarray keep what is no label."""


def _values(data: h5py.Dataset) -> NDArray[Any]:
    return np.asarray(data[()])


def _describe(bare: Found, _data: Any, record: Any) -> Found | None:  # noqa: ANN401 - of h5py
    attributes, variables = record
    document = label_saved(attributes, variables, bare.base)
    if document is None:
        return None
    uses = tuple(f"/{name}" for name in (*MASKS, *document.dims) if name in variables)
    return replace(bare, title=document.title, document=document, uses=uses)


NETCDF: Final = Arrangement(name="hdf5", arrays=_arrays, describe=_describe)
"""Datasets of documents, at the root of a file."""
