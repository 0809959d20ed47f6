"""Metadata in HyperSpy's model, and dictionaries as HDF5 groups in the way HyperSpy reads them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import h5py
import numpy as np
from numpy.typing import NDArray

from stemzarr.formats.hdf5.writer import chunk_shape, masks_of
from stemzarr.formats.hspy.reader import MARKS, NOTHING
from stemzarr.metadata.facts import FACTS, rank_last
from stemzarr.model import Axis, Document, Fact, Source

__all__ = [
    "FOLDING",
    "axis_dict",
    "metadata_of",
    "name_tree",
    "signal_ndim",
    "write_array",
    "write_tree",
]

_SIGNAL_DIMS = {"spectrum-image": 1, "spectrum": 1, "profile": 1}
_LAST = ("dwell_time_s", "scan_rotation_deg", "instrument")
"""What a group has behind all other facts, so that the bytes of files stay."""
_LARGEST_INTEGER = 2**63
FOLDING: Final = {
    "unfolded": False,
    "signal_unfolded": False,
    "original_shape": None,
    "original_axes_manager": None,
}
"""What HyperSpy notes of a signal whose axes are as they were recorded."""


def signal_ndim(document: Document) -> int:
    """Return how many of the last axes HyperSpy takes as its signal space."""
    return _SIGNAL_DIMS.get(document.kind, min(2, len(document.axes)))


def axis_dict(axis: Axis, *, navigate: bool) -> dict[str, Any]:
    """Return an axis as HyperSpy stores it."""
    return {
        "_type": "UniformDataAxis",
        "name": axis.name,
        # Too long for one format where it is "pixel": docs/upstream/rosettasciio-semper-units.md
        "units": axis.units,
        "navigate": navigate,
        "is_binned": False,
        "offset": float(axis.offset),
        "scale": float(axis.scale),
        "size": axis.size,
    }


def metadata_of(
    source: Source, document: Document, provenance: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what is known of a document under the names of HyperSpy's metadata.

    Beam energy is in keV, camera length in mm, angles in mrad or degrees, exposure in s, current
    in nA, as HyperSpy has them.
    """
    facts = document.facts
    known = _arranged(facts)
    general = {
        "title": document.title or document.slug,
        "original_filename": source.path.name,
        **known.pop("General", {}),
        **_moment(str(facts.get("acquired", ""))),
    }
    metadata: dict[str, Any] = {
        "General": general,
        "Signal": _signal(document),
        "_HyperSpy": {"Folding": FOLDING},
        "stemzarr": {
            **facts,
            **document.attributes,
            "provenance": dict(provenance),
            **masks_of(document),
        },
        **known,
    }
    if document.kind == "4d-stem":
        instrument = metadata.setdefault("Acquisition_instrument", {})
        instrument.setdefault("TEM", {})["acquisition_mode"] = "STEM"
    return metadata


def _moment(acquired: str) -> dict[str, str]:
    """Return date, time and zone as HyperSpy keeps them apart, those that are known.

    Examples
    --------
    >>> _moment("2026-01-15T10:20:30+01:00")
    {'date': '2026-01-15', 'time': '10:20:30', 'time_zone': '+01:00'}
    >>> _moment("2026-01-15T10:20:30Z")
    {'date': '2026-01-15', 'time': '10:20:30', 'time_zone': 'UTC'}
    """
    date, _, clock = acquired.partition("T")
    time = re.split("[Z+-]", clock, maxsplit=1)[0]
    zone = clock.removeprefix(time)
    zone = "UTC" if zone in ("Z", "+00:00") else zone
    known = {"date": date, "time": time, "time_zone": zone if time else ""}
    return {name: value for name, value in known.items() if value}


def _arranged(facts: Mapping[str, Fact]) -> dict[str, Any]:
    """Return facts as a tree of HyperSpy's names, values before groups."""
    tree: dict[str, Any] = {}
    known = [fact for fact in FACTS if fact.hyperspy and fact.name in facts]
    known.sort(key=lambda fact: (fact.hyperspy.count("."), rank_last(fact, _LAST)))
    for fact in known:
        *above, name = fact.hyperspy.split(".")
        group = tree
        for part in above:
            group = group.setdefault(part, {})
        group[name] = facts[fact.name]
    return tree


def _signal(document: Document) -> dict[str, Any]:
    """Return the signal's type (empty: others warn without their package) and its quantity."""
    signal: dict[str, Any] = {"signal_type": ""}
    if document.brightness is not None:
        brightness = document.brightness
        signal["quantity"] = f"Intensity ({brightness.units})" if brightness.units else "Intensity"
        signal["Noise_properties"] = {
            "Variance_linear_model": {
                "gain_factor": brightness.scale,
                "gain_offset": brightness.offset,
            }
        }
    return signal


def write_tree(tree: Mapping[str, Any], group: h5py.Group) -> None:
    """Write a dictionary of JSON values and arrays as HyperSpy's reader takes it apart again.

    Values become attributes, arrays data sets, dictionaries groups, lists data sets or groups
    whose names begin with ``_list_``. HyperSpy takes a dot for the end of a name, and HDF5 a slash
    for that of a group, so that look-alikes are in their place: U+2024 for each dot, and U+2215
    for a slash in the names of dictionaries, lists and arrays. So is U+02CD for the first sign of
    a name that HyperSpy would take for one of its own marks.
    """
    for name, value in tree.items():
        key = _name(str(name))
        if isinstance(value, Mapping):
            write_tree(value, group.require_group(_group_name(key)))
        elif isinstance(value, list | tuple):
            _write_list(value, _group_name(key), group)
        elif isinstance(value, np.ndarray):
            write_array(value, _group_name(key), group)
        else:  # HyperSpy gets numpy's numbers from it: docs/upstream/rosettasciio-nexus-numbers.md
            group.attrs[key] = _attribute(value)


def write_array(value: NDArray[Any], key: str, group: h5py.Group) -> None:
    """Write an array in chunks, without which HyperSpy opens no file lazily that holds one."""
    if not value.ndim:
        group.attrs[key] = value.item()
        return
    chunks = chunk_shape(tuple(max(1, size) for size in value.shape), value.itemsize, 1)
    # HDF5 takes chunks of an array without values only where it may grow.
    longest = None if value.size else tuple(None for _ in value.shape)
    group.create_dataset(key, data=value, chunks=chunks, maxshape=longest)


def _write_list(values: Sequence[Any], key: str, group: h5py.Group) -> None:
    kinds = {type(value) for value in values}
    if not values:
        group.attrs[f"_list_empty_{key}"] = NOTHING
    elif kinds == {str}:
        group.create_dataset(f"_list_{key}", data=list(values), dtype=h5py.string_dtype())
    elif kinds <= {int, float} and all(abs(value) < _LARGEST_INTEGER for value in values):
        group.create_dataset(f"_list_{key}", data=np.array(values))
    else:
        # HyperSpy sorts the members of a list by their names, as text:
        # docs/upstream/rosettasciio-hspy-lists.md
        width = len(str(len(values) - 1))
        members = {f"{number:0{width}d}": value for number, value in enumerate(values)}
        write_tree(members, group.require_group(f"_list_{len(values)}_{key}"))


def name_tree(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return a tree under the names, and with the values, that HyperSpy reads of `write_tree`."""
    if isinstance(value, list | tuple):
        return [name_tree(item) for item in value]
    if not isinstance(value, Mapping):
        return _attribute(value) if isinstance(value, str | int) else value
    named = {}
    for name, item in value.items():
        key, below = _name(str(name)), name_tree(item)
        named[_group_name(key) if isinstance(below, dict | list | np.ndarray) else key] = below
    return named


def _name(name: str) -> str:
    look_alike = name.replace(".", "․") or "_"  # noqa: RUF001 - on purpose
    return "ˍ" + look_alike[1:] if look_alike.startswith(MARKS) else look_alike


def _group_name(key: str) -> str:
    return key.replace("/", "∕")  # noqa: RUF001 - a look-alike on purpose


def _attribute(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if value is None:
        return NOTHING
    if isinstance(value, int) and not -_LARGEST_INTEGER <= value < 2 * _LARGEST_INTEGER:
        return str(value)
    if isinstance(value, str):
        return value.replace("\0", "")
    return value
