"""The metadata of an HDF5 file as clean JSON: groups, attributes and small data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py

from stemzarr.formats.hdf5.files import open_hdf5
from stemzarr.metadata.clean import clean_json

__all__ = ["KEPT_VALUES", "group_tree", "load_tree"]

_DEEPEST = 64
KEPT_VALUES = 65_536
"""How many values a data set has at most that is kept in the tree."""


def load_tree(path: Path) -> dict[str, Any]:
    """Return all groups, attributes and small data sets of a file as clean JSON.

    A group is an object; an attribute is under ``@name``, a data set's value under its name,
    or, where it has more than 65536 values, its shape and type. Links are named, not followed.

    Raises
    ------
    CorruptFileError
        The file is damaged.
    """
    with open_hdf5(path) as file:
        return group_tree(file)


def group_tree(group: h5py.Group, depth: int = 0) -> dict[str, Any]:
    """Return a group and all below it as clean JSON."""
    tree = _attributes(group)
    for name in group:
        link = group.get(name, getlink=True)
        if isinstance(link, h5py.HardLink):
            item = group[name]
            if isinstance(item, h5py.Group):
                tree[name] = group_tree(item, depth + 1) if depth < _DEEPEST else "…"
            elif isinstance(item, h5py.Dataset):
                tree[name] = _data_set(item)
        else:
            file = f"{link.filename}:" if isinstance(link, h5py.ExternalLink) else ""
            tree[name] = {"link": f"{file}{link.path}"}
    return tree


def _attributes(item: h5py.Group | h5py.Dataset) -> dict[str, Any]:
    return {f"@{name}": clean_json(value) for name, value in readable_attributes(item).items()}


def readable_attributes(item: h5py.Group | h5py.Dataset) -> dict[str, Any]:
    """Return the attributes of an object; those of types that h5py cannot read say so."""
    found: dict[str, Any] = {}
    for name in item.attrs:
        try:
            found[name] = item.attrs[name]
        except (OSError, TypeError, ValueError) as error:
            found[name] = f"unreadable: {error}"
    return found


def _data_set(data: h5py.Dataset) -> Any:  # noqa: ANN401 - any JSON
    attributes = _attributes(data)
    lists = h5py.check_vlen_dtype(data.dtype) is not None  # each may be of any length
    if lists or data.external or data.is_virtual or data.size is None or data.size > KEPT_VALUES:
        shape = None if data.shape is None else list(data.shape)
        return {**attributes, "shape": shape, "dtype": str(data.dtype)}
    value = clean_json(data[()])
    return {**attributes, "value": value} if attributes else value
