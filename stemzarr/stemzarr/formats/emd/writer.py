"""EMD 1.0 files, as py4DSTEM and emdfile read them.

The groups follow https://emdatasets.com/format: a root with the calibration as metadata, and
below it the array with one vector a dim, of all its values, or of two for a dim of one pixel.
"""

from __future__ import annotations

import getpass
import uuid
from collections.abc import Sequence
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from stemzarr.formats.emd.calibration import UNITS, calibration_of
from stemzarr.formats.emd.reader import MARK, OURS
from stemzarr.formats.hdf5.writer import create_hdf5, masks_of, write_dataset
from stemzarr.metadata.tags import plain_tags
from stemzarr.model import CHANNEL, Axis
from stemzarr.registry import Exported, ExportRequest
from stemzarr.views.correcting import all_bad_pixels

__all__ = ["write_emd"]

_ROUNDINGS = 100


def write_emd(request: ExportRequest) -> Exported:
    """Write the main document as an EMD 1.0 file; a 4D scan becomes py4DSTEM's ``DataCube``.

    Reciprocal lengths are given in 1/Å, the only ones that py4DSTEM takes. Of a salvaged scan,
    ``valid`` in the metadata ``stemzarr`` says which patterns are there, as booleans (scan_y,
    scan_x); ``bad_pixels``, which pixels the file calls bad, and ``all_bad_pixels``, those and what
    an ingest found, as booleans (det_y, det_x), where there are some.
    """
    document = request.documents[0]
    cube = document.kind == "4d-stem"
    with create_hdf5(request.dest) as file:
        file.attrs.update(
            {
                MARK: "file",
                "version_major": 1,
                "version_minor": 0,
                "UUID": str(uuid.uuid4()),
                "authoring_program": "stemzarr",
                "authoring_user": _user(),
            }
        )
        root = _group(file, OURS[0], "root", "Root")
        bundle = _group(root, OURS[1], "metadatabundle")
        if cube:
            calibration = calibration_of(request.source, document)
            _write_metadata(bundle, "calibration", "Calibration", calibration)
            # py4DSTEM calibrates what these two name together.
            _write_item(bundle["calibration"], "_root_treepath", "")
            _write_texts(bundle["calibration"], "_target_paths", ["/datacube"])
        bad = all_bad_pixels(document)
        tags = {
            "facts": {**document.facts, **document.attributes},
            "provenance": request.lineage,
            "original_metadata": plain_tags(request.source.load_metadata()),
            **masks_of(document),
            **({} if bad is None else {"all_bad_pixels": bad}),
        }
        _write_metadata(bundle, OURS[2], "Metadata", tags)
        name = "datacube" if cube else document.slug
        array = _group(root, name, "array", "DataCube" if cube else "Array")
        channel = [Axis(name=CHANNEL, size=len(document.channels), units="")]
        dims = [*document.axes, *(channel if document.channels else ())]
        for place, axis in enumerate(dims):
            _write_dim(array, place, axis)
        data = write_dataset(
            array,
            "data",
            document.blocks,
            document.pattern_ndim,
            request.resources,
        )
        data.attrs["units"] = "pixel intensity"
    return Exported(shape=document.shape, dtype=document.dtype.name)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""


def _group(parent: h5py.Group, name: str, kind: str, python_class: str = "") -> h5py.Group:
    group = parent.create_group(name)
    group.attrs[MARK] = kind
    if python_class:
        group.attrs["python_class"] = python_class
    return group


def _write_dim(array: h5py.Group, place: int, axis: Axis) -> None:
    units, factor = UNITS.get(axis.units, (axis.units, 1.0))
    values = _two_values(axis, factor) if axis.size == 1 else axis.values() * factor
    vector = array.create_dataset(f"dim{place}", data=values)
    vector.attrs["name"] = axis.name
    vector.attrs["units"] = units


def _two_values(axis: Axis, factor: float) -> NDArray[np.float64]:
    """Return two values for one pixel, whose size a single one would not tell.

    emdfile extends two values by `numpy.arange`, which may round to one value too many; the second
    is then the next number that does not. Longer dims are written in full for the same reason.
    """
    first, second = (axis.offset + np.arange(2) * axis.scale) * factor
    for _ in range(_ROUNDINGS):
        step = second - first
        if np.arange(first, first + step, step).size == 1:
            break
        second = np.nextafter(second, first)
    return np.array([first, second])


def _write_metadata(bundle: h5py.Group, name: str, python_class: str, tree: dict[str, Any]) -> None:
    group = _group(bundle, name, "metadata", python_class)
    for key, value in tree.items():
        _write_item(group, key, value)


def _write_texts(group: h5py.Group, name: str, texts: Sequence[str]) -> None:
    """Write a list of texts as emdfile does."""
    below = group.create_group(name)
    below.attrs.update(type=np.bytes_("list_of_strings"), length=len(texts))
    for number, text in enumerate(texts):
        below.create_dataset(str(number), data=np.bytes_(text.encode()))


def _write_item(group: h5py.Group, name: str, value: Any) -> None:  # noqa: ANN401 - any JSON value, or an array
    """Write a value as emdfile's Metadata does, its type beside it."""
    key = name.replace("/", "∕") if name.strip(".") else f"_{len(group)}"  # noqa: RUF001
    if isinstance(value, dict | list | tuple):
        members = value if isinstance(value, dict) else dict(enumerate(value))
        below = group.create_group(key)
        below.attrs["type"] = np.bytes_("dict")
        for inner, item in members.items():
            _write_item(below, str(inner), item)
        return
    stored: Any
    if value is None:
        kind, stored = "None", np.bytes_("_None")
    elif isinstance(value, bool):
        kind, stored = "bool", value
    elif isinstance(value, int | float) and abs(value) < 2**63:
        kind, stored = "number", value
    elif isinstance(value, np.ndarray):
        kind, stored = "array", value
    else:
        kind, stored = "string", str(value).encode().replace(b"\0", b"")
    group.create_dataset(key, data=stored).attrs["type"] = np.bytes_(kind)
