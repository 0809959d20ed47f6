"""HyperSpy's HDF5 files, of any of their versions."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np

from stemzarr.formats.found import Found, slugs_of
from stemzarr.formats.hdf5.arrangement import Arrangement
from stemzarr.formats.hdf5.files import member, open_hdf5, read_masks
from stemzarr.formats.hdf5.tree import readable_attributes
from stemzarr.formats.labelling import FoundAxis, Hints
from stemzarr.metadata.clean import clean_json
from stemzarr.metadata.finding import number_or_nan, offset_or_nan, plain_text
from stemzarr.storage.objects import Stamp

__all__ = ["HSPY", "LISTS", "MARKS", "NOTHING"]

_METADATA: Final = ("metadata", "mapped_parameters")
_ORIGINAL: Final = ("original_metadata", "original_parameters")
_UNDEFINED: Final = ("t", "t.Undefined", "<undefined>")
LISTS: Final = ("_list_", "_tuple_")
MARKS: Final = (*LISTS, "_sig_", "_bs_", "_datetime_", "_ragged_", "_hspy_AxesManager_")
"""Begins of names to which HyperSpy gives a meaning."""
NOTHING: Final = "_None_"
"""How HyperSpy writes None, and a list without members."""
_MOST_VALUES = 2**20
_DEEPEST = 64


def _experiments(file: h5py.File) -> Iterator[tuple[h5py.Dataset, h5py.Group]]:
    """Yield the data and the group of each experiment that holds data."""
    for name in member(file, "Experiments", h5py.Group) or ():
        group = member(file, f"Experiments/{name}", h5py.Group)
        data = None if group is None else member(group, "data")
        if data is not None:
            yield data, group


def _describe(bare: Found, _data: h5py.Dataset, group: h5py.Group) -> Found:
    metadata = _child(group, _METADATA)
    return replace(
        bare,
        title=_title(metadata, str(group.name).rpartition("/")[2]),
        axes=_axes(group, tuple(axis.size for axis in bare.axes)),
        hints=Hints(signal_type=_signal_type(metadata)),
        metadata=metadata,
        original=_child(group, _ORIGINAL) if _is_of_dm(group) else {},
        **read_masks(group, "metadata/stemzarr", bare.base.shape),
    )


def _is_of_dm(group: h5py.Group) -> bool:
    """Return whether the original metadata of a signal are the tags of a DM file."""
    return any(f"{name}/ImageList" in group for name in _ORIGINAL)


def _title(metadata: Mapping[str, Any], name: str) -> str:
    general = metadata.get("General")
    title = general.get("title") if isinstance(general, Mapping) else None
    title = title or metadata.get("name") or name
    return "" if title == "__unnamed__" else str(title)


def _signal_type(metadata: Mapping[str, Any]) -> str:
    signal = metadata.get("Signal")
    found = signal.get("signal_type") if isinstance(signal, Mapping) else metadata.get("signal")
    return plain_text(found)


def load_hspy_metadata(path: Path) -> dict[str, Any]:
    """Return, for each signal by its slug, ``metadata`` and ``original_metadata`` as clean JSON.

    Raises
    ------
    CorruptFileError
        The file is damaged.
    """
    with open_hdf5(path) as file:
        found = HSPY.find(file, path, Stamp.of(path))
        return {
            slug: {
                "metadata": one.metadata,
                "original_metadata": _child(file[one.address].parent, _ORIGINAL),
                **_uneven(file[one.address].parent, one.axes),
            }
            for slug, one in zip(slugs_of(path, found), found, strict=True)
        }


def _uneven(group: h5py.Group, axes: Sequence[FoundAxis]) -> dict[str, Any]:
    """Return the whole description of the axes where a single scale does not describe one."""
    if not any(axis.uneven for axis in axes):
        return {}
    names = [name for name in group if re.fullmatch(r"axis-\d+|_list_\d+_axes", name)]
    return {"axes": {name: clean_json(_decode(group[name], 0)) for name in names}}


def _child(group: h5py.Group, names: tuple[str, ...]) -> dict[str, Any]:
    """Return the first of some child groups as clean JSON; nothing where there is none."""
    for name in names:
        item = member(group, name, h5py.Group)
        if item is not None:
            cleaned: dict[str, Any] = clean_json(_decode(item, 0))
            return cleaned
    return {}


def _axes(group: h5py.Group, shape: tuple[int, ...]) -> tuple[FoundAxis, ...]:
    """Return the axes of a signal, bare ones where the file describes none."""
    listed = group.get(f"_list_{len(shape)}_axes")
    described = [group.get(f"axis-{dim}") for dim in range(len(shape))]
    if isinstance(listed, h5py.Group) and None in described:
        described = [listed[name] for name in sorted(listed)][: len(shape)]
        described += [None] * (len(shape) - len(described))
    return tuple(
        _axis(_decode(item, 0) if isinstance(item, h5py.Group) else {}, size)
        for item, size in zip(described, shape, strict=True)
    )


def _axis(tags: Mapping[str, Any], size: int) -> FoundAxis:
    navigate = tags.get("navigate")
    axis = FoundAxis(
        size=size,
        name=_text(tags.get("name")),
        scale=number_or_nan(tags.get("scale")),
        offset=offset_or_nan(tags.get("offset")),
        units=_text(tags.get("units")),
        navigate=bool(navigate) if isinstance(navigate, (bool, np.bool_)) else None,
    )
    if "expression" in tags:
        uneven = f"positions by the expression {tags['expression']}"
        return replace(axis, scale=float("nan"), uneven=uneven)
    return axis.at(tags["axis"]) if "axis" in tags else axis


def _text(value: object) -> str:
    """Return text; HyperSpy once wrote names of its traits for what is undefined."""
    return value if isinstance(value, str) and value not in _UNDEFINED else ""


def _decode(group: h5py.Group, depth: int) -> dict[str, Any]:
    """Return a group as HyperSpy's tree: its prefixes undone, signals inside it left out."""
    tree: dict[str, Any] = {}
    for key, value in readable_attributes(group).items():
        name, decoded = _decode_attribute(key, value)
        tree[name] = decoded
    for key in group if depth < _DEEPEST else ():
        hard = isinstance(group.get(key, getlink=True), h5py.HardLink)
        if not hard or key.startswith(("_sig_", "_ragged_shapes_")):
            continue
        item = group[key]
        prefix, name = _split(key)
        if isinstance(item, h5py.Dataset):
            tree[name] = _decode_data(item)
        elif isinstance(item, h5py.Group):
            below = _decode(item, depth + 1)
            tree[name] = [below[part] for part in sorted(below)] if prefix else below
    return tree


def _split(key: str) -> tuple[str, str]:
    """Return the prefix and the name of a key such as ``_list_3_detectors``."""
    for prefix in LISTS:
        if key.startswith(prefix):
            rest = key.removeprefix(prefix)
            count, _, name = rest.partition("_")
            return prefix, name if count.isdigit() and name else rest
    return ("_hspy_", key) if key.startswith("_hspy_AxesManager_") else ("", key)


def _decode_attribute(key: str, value: object) -> tuple[str, object]:
    for prefix in LISTS:
        if key.startswith(f"{prefix}empty_"):
            return key.removeprefix(f"{prefix}empty_"), []
    if key.startswith("_bs_") and isinstance(value, (np.void, np.ndarray, np.bytes_)):
        return key.removeprefix("_bs_"), value.tobytes()
    if key.startswith("_datetime_") and isinstance(value, str):
        return key.removeprefix("_datetime_"), _decode_datetime(value)
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray) and value.dtype.kind == "S":
        value = [item.decode("utf-8", "replace") for item in value.ravel().tolist()]
    return key, None if isinstance(value, str) and value == NOTHING else value


def _decode_datetime(text: str) -> str:
    """Return ISO 8601 from a Python expression such as ``datetime.date(1991, 10, 1)``."""
    kind, _, numbers = text.partition("(")
    known = {"date": dt.date, "time": dt.time, "datetime": dt.datetime}
    try:
        parts = [int(part) for part in numbers.removesuffix(")").split(",")]
        return str(known[kind.rpartition(".")[2]](*parts).isoformat())
    except (ValueError, TypeError, KeyError, OverflowError):
        return text


def _decode_data(data: h5py.Dataset) -> object:
    if data.external or data.is_virtual or data.size is None or data.size > _MOST_VALUES:
        return f"{data.dtype} values of shape {data.shape}"
    values = data[()]
    if isinstance(values, np.ndarray) and values.dtype.kind in "SO":
        return [
            item.decode("utf-8", "replace") if isinstance(item, bytes) else item
            for item in values.ravel().tolist()
        ]
    return values


HSPY: Final = Arrangement(
    name="hspy", arrays=_experiments, describe=_describe, load=load_hspy_metadata, whole=True
)
"""HyperSpy's signals."""
