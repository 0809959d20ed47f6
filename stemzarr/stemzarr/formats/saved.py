"""Datasets of ours that xarray wrote (``to_zarr``, ``to_netcdf``), with all their labels.

What an analysis selected or computed and kept with xarray has the variables and attributes of the
Dataset, so that it is read as the Dataset would be exported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, get_args

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.core import indexing

from stemzarr.errors import UnsupportedDataError
from stemzarr.labelled import from_dataset, sort_facts
from stemzarr.lazy import BlocksArray
from stemzarr.metadata.clean import clean_json
from stemzarr.model import CHANNEL, Blocks, Document, Kind, dims_of_kind

__all__ = ["MASKS", "SavedVariable", "is_saved", "label_saved"]

MASKS: Final = ("valid", "bad_pixels")
"""Variables that are masks of ``intensity``."""
_SCHEMA: Final = "stemzarr_schema"
"""Attribute of a store, which a copy that xarray made of one is not."""
_SCALED: Final = ("scale_factor", "add_offset")
"""Attributes by which xarray stores other numbers than it gives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedVariable:
    """One variable as the file has it."""

    dims: tuple[str, ...]
    """Names of its dims."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """Its attributes, as the format gives them."""
    read: Callable[[], NDArray[Any]] = lambda: np.empty(0)
    """Gives its values."""


def is_saved(attributes: Mapping[str, Any], intensity: SavedVariable | None) -> bool:
    """Return whether a group is a Dataset of a document, by its attributes and its main variable.

    Parameters
    ----------
    attributes
        Those of the group.
    intensity
        The variable of that name.
    """
    if intensity is None or clean_json(attributes.get("kind")) not in get_args(Kind):
        return False
    names = tuple(name for name in intensity.dims if name != CHANNEL)
    fits = any(names == dims_of_kind(kind, len(names)) for kind in get_args(Kind))
    return fits and not any(name in intensity.attributes for name in _SCALED)


def label_saved(
    attributes: Mapping[str, Any], variables: Mapping[str, SavedVariable], blocks: Blocks
) -> Document | None:
    """Return the document that a saved Dataset stands for; None where its labels are no grid.

    Parameters
    ----------
    attributes
        Those of the group.
    variables
        ``intensity``, coordinates and masks, by name.
    blocks
        The pixels of ``intensity``.
    """
    intensity = variables["intensity"]
    lazy = indexing.LazilyIndexedArray(BlocksArray(blocks, min(2, len(blocks.shape))))
    values: dict[str, xr.Variable] = {
        "intensity": xr.Variable(intensity.dims, lazy, _plain(intensity.attributes))
    }
    for name, variable in variables.items():
        if name in (*intensity.dims, *MASKS):
            values[name] = xr.Variable(variable.dims, variable.read(), _plain(variable.attributes))
    try:
        dataset = xr.Dataset(values, attrs=_plain(attributes))
        return sort_facts(from_dataset(dataset))
    except (UnsupportedDataError, ValueError):
        return None


def _plain(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes as xarray gave them: netCDF makes vectors of single numbers."""
    cleaned = {str(name): clean_json(value) for name, value in attributes.items()}
    single = {
        name: value[0] if isinstance(value, list) and len(value) == 1 else value
        for name, value in cleaned.items()
        if name != _SCHEMA and not name.startswith("_")
    }
    if "channel_names" in cleaned:
        names = cleaned["channel_names"]
        single["channel_names"] = [names] if isinstance(names, str) else names
    return single
