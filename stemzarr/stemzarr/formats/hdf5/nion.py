"""Nion Swift's items in HDF5 (``.nhdf``, and ``.h5`` of a project): a JSON text beside the values.

The values are read lazily. The text gives how many dims are scan and how many one datum, the
calibration of each, and the instrument. A data set is complete where HDF5 stores what it declares.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import h5py

from stemzarr.formats.found import Found
from stemzarr.formats.hdf5.arrangement import Arrangement
from stemzarr.formats.hdf5.files import open_hdf5, walk
from stemzarr.formats.hdf5.tree import group_tree
from stemzarr.formats.labelling import FoundAxis, Hints
from stemzarr.metadata.clean import clean_json
from stemzarr.metadata.finding import (
    Facts,
    find_numbers,
    finite_number,
    get_path,
    number_or_nan,
)
from stemzarr.model import Brightness, Fact

__all__ = ["NION"]

_ATTRIBUTE: Final = "properties"
_SIGNS: Final = ("dimensional_calibrations", "collection_dimension_count", "data_shape")


def _describe(bare: Found, data: h5py.Dataset, properties: Mapping[str, Any]) -> Found:
    shape = tuple(axis.size for axis in bare.axes)
    return replace(
        bare,
        title=str(properties.get("title") or ""),
        axes=_axes(properties, shape),
        hints=Hints(signal_type=_signal_type(properties, len(shape))),
        facts=_facts(properties, f"{str(data.name).strip('/')}/{_ATTRIBUTE}"),
        brightness=_brightness(properties),
    )


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
            below[name] = {_ATTRIBUTE: clean_json(properties)}
    return tree


def _items(file: h5py.File) -> Iterator[tuple[h5py.Dataset, dict[str, Any]]]:
    for _, item in walk(file):
        if isinstance(item, h5py.Dataset) and _ATTRIBUTE in item.attrs:
            properties = _parse(clean_json(item.attrs[_ATTRIBUTE]))
            if any(sign in properties for sign in _SIGNS):
                yield item, properties


def _parse(text: object) -> dict[str, Any]:
    try:
        tree = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        return {}
    return tree if isinstance(tree, dict) else {}


def _axes(properties: Mapping[str, Any], shape: tuple[int, ...]) -> tuple[FoundAxis, ...]:
    """Return the axes in the order of the disk: a sequence, the collection, the datum."""
    calibrations = properties.get("dimensional_calibrations")
    if not isinstance(calibrations, list) or len(calibrations) != len(shape):
        calibrations = [{}] * len(shape)
    datum = _datum_dims(properties, len(shape))
    sequence = bool(properties.get("is_sequence"))
    axes = []
    for dim, (size, given) in enumerate(zip(shape, calibrations, strict=True)):
        tags = given if isinstance(given, Mapping) else {}
        axes.append(
            FoundAxis(
                size=size,
                name="frame" if sequence and dim == 0 else "",
                scale=number_or_nan(tags.get("scale")),
                offset=finite_number(tags.get("offset")) or 0.0,
                units=str(tags.get("units") or ""),
                navigate=None if datum is None else dim < len(shape) - datum,
            )
        )
    return tuple(axes)


def _datum_dims(properties: Mapping[str, Any], ndim: int) -> int | None:
    count = properties.get("datum_dimension_count")
    return count if isinstance(count, int) and 0 < count <= ndim else None


def _signal_type(properties: Mapping[str, Any], ndim: int) -> str:
    """Return what one datum is, where its units do not say it."""
    two = _datum_dims(properties, ndim) == 2  # noqa: PLR2004 - a pattern or an image
    collection = properties.get("collection_dimension_count")
    return "diffraction" if two and isinstance(collection, int) and collection > 0 else ""


def _brightness(properties: Mapping[str, Any]) -> Brightness | None:
    """Return the calibration of the values, which stay as they are recorded."""
    given = properties.get("intensity_calibration")
    tags = given if isinstance(given, Mapping) else {}
    scale, offset = finite_number(tags.get("scale")), finite_number(tags.get("offset"))
    units = str(tags.get("units") or "")
    if scale in (None, 0.0, 1.0) and not offset and not units:
        return None
    return Brightness(scale=scale or 1.0, offset=offset or 0.0, units=units)


def _facts(properties: Mapping[str, Any], root: str) -> Facts:
    facts: dict[str, tuple[Fact, str]] = {
        fact: (value, "/".join((root, *path.split("."))))
        for fact, value, path in find_numbers("nion", lambda path: get_path(properties, path))
    }
    created = properties.get("created")
    if isinstance(created, str) and created[:4].isdigit():
        # Nion writes UTC without a zone
        facts["acquired"] = f"{created.removesuffix('Z')}+00:00", f"{root}/created"
    return facts


NION: Final = Arrangement(name="nion", arrays=_items, describe=_describe, load=load_nion_metadata)
"""Nion Swift's items."""
