"""Nion Swift's items in HDF5 (``.nhdf``, and ``.h5`` of a project): a JSON text beside the values.

The values are read lazily. The text gives how many dims are scan and how many one datum, the
calibration of each, and the instrument. A data set is complete where HDF5 stores what it declares.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import h5py

from stemzarr.formats.file_blocks import Stamp
from stemzarr.formats.found import Found
from stemzarr.formats.hdf5.files import data_set_blocks, open_hdf5, walk
from stemzarr.formats.hdf5.tree import group_tree
from stemzarr.formats.labelling import FoundAxis, Hints
from stemzarr.metadata.clean import clean_json
from stemzarr.metadata.finding import find_numbers, finite_number
from stemzarr.model import Brightness, Fact

__all__ = ["find_nion", "load_nion_metadata"]

_ATTRIBUTE: Final = "properties"
_SIGNS: Final = ("dimensional_calibrations", "collection_dimension_count", "data_shape")


def find_nion(file: h5py.File, path: Path, stamp: Stamp) -> list[Found]:
    """Return the items of a file, nothing where it is none of Nion Swift's."""
    found = []
    for data, properties in _items(file):
        blocks = data_set_blocks(path, stamp, data)
        if blocks is None:
            continue
        base, channels = blocks
        name = str(data.name).strip("/")
        facts, paths = _facts(properties, f"{name}/{_ATTRIBUTE}")
        ndim = len(base.shape) - bool(channels)
        found.append(
            Found(
                title=str(properties.get("title") or ""),
                base=base,
                axes=_axes(properties, base.shape[:ndim]),
                hints=Hints(signal_type=_signal_type(properties, ndim)),
                channels=channels,
                facts=facts,
                fact_paths=paths,
                brightness=_brightness(properties),
                address=str(data.name),
            )
        )
    return found


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
        scale = finite_number(tags.get("scale"))
        axes.append(
            FoundAxis(
                size=size,
                name="frame" if sequence and dim == 0 else "",
                scale=float("nan") if scale is None else scale,
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


def _facts(properties: Mapping[str, Any], root: str) -> tuple[dict[str, Fact], dict[str, str]]:
    facts: dict[str, Fact] = {}
    paths: dict[str, str] = {}
    for fact, value, path in find_numbers("nion", lambda path: _get(properties, path)):
        facts[fact] = value
        paths[fact] = "/".join((root, *path.split(".")))
    created = properties.get("created")
    if isinstance(created, str) and created[:4].isdigit():
        # Nion writes UTC without a zone
        facts["acquired"] = f"{created.removesuffix('Z')}+00:00"
        paths["acquired"] = f"{root}/created"
    return facts, paths


def _get(tree: Mapping[str, Any], place: str) -> object:
    value: Any = tree
    for part in place.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
