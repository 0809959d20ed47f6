"""NanoMEGAS TopSpin's ``.app5`` files: HDF5 with a data set and an XML text for each pattern."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import h5py
from numpy.typing import NDArray

from stemzarr.errors import CorruptFileError
from stemzarr.formats.file_blocks import Stamp
from stemzarr.formats.found import Found
from stemzarr.formats.hdf5.files import (
    Hdf5Blocks,
    contiguous_block,
    data_set_blocks,
    fill,
    open_hdf5,
    stored_dtype,
)
from stemzarr.formats.labelling import FoundAxis, Hints
from stemzarr.metadata.clean import clean_text
from stemzarr.metadata.facts import facts_in, rank_last
from stemzarr.metadata.finding import find_numbers, finite_number, positive_number
from stemzarr.model import Fact

__all__ = ["find_topspin", "is_topspin", "load_topspin_metadata"]

_GUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_METRES_TO_NM = 1e9
_LAST = ("operator", "instrument")
"""Texts that stores have behind the specimen, so that their bytes stay."""


def is_topspin(file: h5py.File) -> bool:
    """Return whether a file has TopSpin's arrangement."""
    return any(True for _ in _experiments(file))


def _experiments(file: h5py.File) -> Iterator[tuple[h5py.Group, list[str]]]:
    """Yield each group that has an XML record, with the names of its results."""
    groups = [file]
    groups += [item for name in _guids(file) if isinstance(item := file[name], h5py.Group)]
    for group in groups:
        record = group.get("Metadata", getlink=True)
        results = _guids(group)
        if isinstance(record, h5py.HardLink) and results:
            yield group, results


def _guids(group: h5py.Group) -> list[str]:
    return [
        name
        for name in group
        if _GUID.fullmatch(name) and isinstance(group.get(name, getlink=True), h5py.HardLink)
    ]


def load_topspin_metadata(path: Path) -> dict[str, Any]:
    """Return the record of each experiment as clean JSON.

    Raises
    ------
    CorruptFileError
        The file is damaged.
    """
    with open_hdf5(path) as file:
        return {_root(group): _tree(_xml(group["Metadata"])) for group, _ in _experiments(file)}


def _root(group: h5py.Group) -> str:
    return str(group.name).strip("/") or "experiment"


def find_topspin(file: h5py.File, path: Path, stamp: Stamp) -> list[Found]:
    """Return the images and scans of all experiments in a file."""
    found = []
    for group, results in _experiments(file):
        record = _xml(group["Metadata"])
        facts, paths = _facts(_tree(record), _root(group))
        title = record.findtext("Title") or ""
        for name in results:
            item = group[name]
            one = (
                _scan(path, stamp, item)
                if isinstance(item, h5py.Group)
                else _image(path, stamp, item, record)
            )
            if one is not None:
                base, axes, hints = one
                found.append(
                    Found(
                        title=title,
                        base=base,
                        axes=axes,
                        hints=hints,
                        facts=facts,
                        fact_paths=paths,
                        address=str(item.name),
                    )
                )
    return found


def _xml(data: h5py.Dataset) -> ET.Element:
    """Return an XML text; its declaration may name an encoding that it does not have."""
    text = data[()]
    plain = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    return ET.fromstring(re.sub(r"^\s*<\?xml[^>]*\?>", "", plain))  # noqa: S314 - see the import


def _tree(element: ET.Element) -> dict[str, Any]:
    """Return an element's children as a tree; lists of items that have a name become objects."""
    tree: dict[str, Any] = {}
    for child in element:
        name = child.findtext("Name") if child.tag == "Item" else None
        value_of = child.find("Value") if name else child
        source = child if value_of is None else value_of
        key = clean_text(name or child.tag)
        while key in tree:
            key += "'"
        tree[key] = _tree(source) if len(source) else clean_text((source.text or "").strip())
    return tree


def _facts(record: Mapping[str, Any], root: str) -> tuple[dict[str, Fact], dict[str, str]]:
    facts: dict[str, Fact] = {}
    paths: dict[str, str] = {}
    items: dict[str, tuple[object, str]] = {}
    for path, value in _leaves(record, root):
        if positive_number(value) is not None:
            items.setdefault(path.rpartition("/")[2], (value, path))
    for name, number, item in find_numbers("topspin", lambda item: items.get(item, (None,))[0]):
        facts[name], paths[name] = number, items[item][1]
    texts = sorted(facts_in("topspin", "text"), key=lambda pair: rank_last(pair[0], _LAST))
    for fact, place in texts:
        for item in place.paths:
            text = record.get(item)
            if isinstance(text, str) and text:
                facts[fact.name], paths[fact.name] = text, f"{root}/{item}"
    # .NET's invariant culture: month, day, year
    date = re.fullmatch(
        r"(\d\d)/(\d\d)/(\d{4}) (\d\d:\d\d:\d\d)", str(record.get("CreatedDateTime"))
    )
    if date is not None:
        facts["acquired"] = f"{date[3]}-{date[1]}-{date[2]}T{date[4]}"
        paths["acquired"] = f"{root}/CreatedDateTime"
    return facts, paths


def _leaves(tree: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}/{key}")
        else:
            yield f"{prefix}/{key}", value


_Parts = tuple[Any, tuple[FoundAxis, ...], Hints]


def _image(path: Path, stamp: Stamp, data: h5py.Dataset, record: ET.Element) -> _Parts | None:
    """Return an image; its calibration is in the experiment's record."""
    blocks = data_set_blocks(path, stamp, data)
    if blocks is None or len(blocks[0].shape) != 2:  # noqa: PLR2004 - an image
        return None
    name = str(data.name).rpartition("/")[2]
    axes = [FoundAxis(size=size, name=axis) for size, axis in zip(data.shape, "yx", strict=True)]
    for value in record.iter("Value"):
        calibration = value.find("Calibration")
        if len(value) and value[0].text == name and calibration is not None:
            axes = [_calibrated(axis, calibration, axis.name, "nm") for axis in axes]
    return blocks[0], tuple(axes), Hints()


def _calibrated(axis: FoundAxis, calibration: ET.Element, name: str, units: str) -> FoundAxis:
    scale = finite_number(calibration.findtext(f"{name.upper()}/Scale"))
    offset = finite_number(calibration.findtext(f"{name.upper()}/Offset"))
    factor = _METRES_TO_NM if units == "nm" else 1.0
    return FoundAxis(
        size=axis.size,
        name=axis.name,
        scale=float("nan") if scale is None else scale * factor,
        offset=(offset or 0.0) * factor,
        units=units,
    )


def _scan(path: Path, stamp: Stamp, group: h5py.Group) -> _Parts | None:
    """Return a scan: groups named 0, 1 … in the order in which the beam visited them."""
    count = len(group)
    first = group.get("0/Data")
    found = stored_dtype(first.dtype) if isinstance(first, h5py.Dataset) else None
    if found is None or found[1] or len(first.shape) != 2:  # noqa: PLR2004 - a pattern
        return None
    last = group.get(f"{count - 1}/Data")
    if not isinstance(last, h5py.Dataset) or last.shape != first.shape:
        msg = f"{group.name!r} does not hold {count} patterns of equal shape"
        raise CorruptFileError(msg, path=path, hint="the acquisition was broken off")
    shape = (count, *first.shape)
    blocks = TopspinBlocks(
        path=path,
        stamp=stamp,
        name=str(group.name),
        shape=shape,
        dtype=found[0],
        block_shape=contiguous_block(shape, found[0].itemsize),
    )
    scan = _scan_axes(group, count)
    calibration = _xml(group["0/Metadata"]).find("Calibration")
    detector = [FoundAxis(size=n, name=f"k{x}") for n, x in zip(first.shape, "yx", strict=True)]
    if calibration is not None:
        detector = [_detector(axis, calibration) for axis in detector]
    hints = Hints(
        signal_type="electron_diffraction",
        frames="TopSpin numbers the patterns in the order of the scan",
        scan=scan,
        scan_evidence="the beam positions of the patterns",
    )
    return blocks, (FoundAxis(size=count), *detector), hints


def _detector(axis: FoundAxis, calibration: ET.Element) -> FoundAxis:
    """Return a detector axis; TopSpin writes ``Angle`` for radians."""
    name = axis.name[-1]
    units = calibration.findtext(f"{name.upper()}/Type/Text") or ""
    return _calibrated(axis, calibration, name, "rad" if units == "Angle" else units)


def _scan_axes(group: h5py.Group, count: int) -> tuple[FoundAxis, FoundAxis] | None:
    """Return the scan axes from the positions of the first row and of the next one's start."""
    xs: list[float] = []
    rows = [0.0]
    for number in range(count):
        place = _position(group[f"{number}/Metadata"])
        if place is None:
            return None
        if xs and place[1] != rows[0]:
            rows.append(place[1])
            break
        rows[0] = place[1]
        xs.append(place[0])
    if count % len(xs):
        return None
    return _uniform("y", rows, count // len(xs)), _uniform("x", xs, len(xs))


def _uniform(name: str, places: Sequence[float], size: int) -> FoundAxis:
    step = (places[-1] - places[0]) / (len(places) - 1) if len(places) > 1 else 0.0
    return FoundAxis(
        size=size,
        name=name,
        scale=round(step, 12) * _METRES_TO_NM,
        offset=places[0] * _METRES_TO_NM,
        units="nm",
    )


def _position(data: h5py.Dataset) -> tuple[float, float] | None:
    """Return x and y in metres at which the beam was asked to be."""
    for item in _xml(data).iter("Item"):
        if item.findtext("Name") == "RequestedBeamPosition":
            x = finite_number(item.findtext("Value/X"))
            y = finite_number(item.findtext("Value/Y"))
            return None if x is None or y is None else (x, y)
    return None


class TopspinBlocks(Hdf5Blocks):
    """Patterns (frame, det_y, det_x), each a data set of its own below a group."""

    __slots__ = ()

    def fill(self, out: NDArray[Any], start: Sequence[int]) -> None:
        """Fill `out` with the box of its shape at `start`."""
        with self.open() as group:
            for place, pattern in enumerate(out):
                fill(group[f"{start[0] + place}/Data"], pattern, tuple(start[1:]))
