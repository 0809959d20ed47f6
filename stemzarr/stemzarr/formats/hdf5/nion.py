"""Nion Swift's items in HDF5 (``.nhdf``, and ``.h5`` of a project): a JSON text beside the values.

The values are read lazily; the text is described in `stemzarr.formats.nion.properties`. A data set
is complete where HDF5 stores what it declares.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import h5py

from stemzarr.formats.found import Found
from stemzarr.formats.hdf5.arrangement import Arrangement
from stemzarr.formats.hdf5.files import open_hdf5, walk
from stemzarr.formats.hdf5.tree import group_tree
from stemzarr.formats.nion.properties import Properties, parse_properties
from stemzarr.metadata.clean import clean_json

__all__ = ["NION"]

_ATTRIBUTE: Final = "properties"


def _describe(bare: Found, data: h5py.Dataset, properties: Properties) -> Found:
    return properties.describe(bare, f"{str(data.name).strip('/')}/{_ATTRIBUTE}")


def load_nion_metadata(path: Path) -> dict[str, Any]:
    """Return the tree of the file as clean JSON, of each item its properties in place of values.

    Raises
    ------
    CorruptFileError
        The file is damaged.
    """
    with open_hdf5(path) as file:
        tree = group_tree(file)
        for data, properties in _items(file):
            below = tree
            *groups, name = str(data.name).strip("/").split("/")
            for part in groups:
                below = below.setdefault(part, {})
            below[name] = {_ATTRIBUTE: clean_json(properties.tree)}
    return tree


def _items(file: h5py.File) -> Iterator[tuple[h5py.Dataset, Properties]]:
    for _, item in walk(file):
        if isinstance(item, h5py.Dataset) and _ATTRIBUTE in item.attrs:
            properties = parse_properties(clean_json(item.attrs[_ATTRIBUTE]))
            if properties is not None and properties.is_of_values:
                yield item, properties


NION: Final = Arrangement(name="nion", arrays=_items, describe=_describe, load=load_nion_metadata)
"""Nion Swift's items."""
