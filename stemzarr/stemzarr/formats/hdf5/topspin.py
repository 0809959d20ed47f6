"""NanoMEGAS TopSpin's ``.app5`` files: HDF5 with a data set and an XML text for each pattern."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree as ET

import h5py
from numpy.typing import NDArray

from stemzarr.errors import CorruptFileError
from stemzarr.formats.found import Found
from stemzarr.formats.hdf5.arrangement import Arrangement
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
from stemzarr.metadata.finding import (
    Facts,
    find_numbers,
    finite_number,
    number_or_nan,
    offset_or_nan,
    positive_number,
)
from stemzarr.model import Fact
from stemzarr.storage.objects import Stamp

__all__ = ["TOPSPIN"]

_GUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_METRES_TO_NM = 1e9
_LAST = ("operator", "instrument")
"""Texts that stores have behind the specimen, so that their bytes stay."""


def _results(file: h5py.File) -> Iterator[tuple[h5py.Group | h5py.Dataset, h5py.Group]]:
    """Yield each result of each experiment, and the group of the experiment."""
    for group in _experiments(file):
        yield from ((group[name], group) for name in _guids(group))


def _experiments(file: h5py.File) -> Iterator[h5py.Group]:
    """Yield each group that has an XML record and results."""
    groups = [file]
    groups += [item for name in _guids(file) if isinstance(item := file[name], h5py.Group)]
    for group in groups:
        if isinstance(group.get("Metadata", getlink=True), h5py.HardLink) and _guids(group):
            yield group


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
        return {_root(group): _tree(_xml(group["Metadata"])) for group in _experiments(file)}


def _root(group: h5py.Group) -> str:
    return str(group.name).strip("/") or "experiment"


def _describe(bare: Found, item: h5py.Group | h5py.Dataset, group: h5py.Group) -> Found | None:
    record = _xml(group["Metadata"])
    one = _scan(bare, item) if isinstance(item, h5py.Group) else _image(bare, record)
    facts = _facts(_tree(record), _root(group))
    return one and replace(one, title=record.findtext("Title") or "", facts=facts)


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


def _facts(record: Mapping[str, Any], root: str) -> Facts:
    items: dict[str, tuple[object, str]] = {}
    for path, value in _leaves(record, root):
        if positive_number(value) is not None:
            items.setdefault(path.rpartition("/")[2], (value, path))
    numbers = find_numbers("topspin", lambda item: items.get(item, (None,))[0])
    facts: dict[str, tuple[Fact, str]] = {
        name: (number, items[item][1]) for name, number, item in numbers
    }
    texts = sorted(facts_in("topspin", "text"), key=lambda pair: rank_last(pair[0], _LAST))
    for fact, place in texts:
        for item in place.paths:
            text = record.get(item)
            if isinstance(text, str) and text:
                facts[fact.name] = text, f"{root}/{item}"
    # .NET's invariant culture: month, day, year
    date = re.fullmatch(
        r"(\d\d)/(\d\d)/(\d{4}) (\d\d:\d\d:\d\d)", str(record.get("CreatedDateTime"))
    )
    if date is not None:
        moment = f"{date[3]}-{date[1]}-{date[2]}T{date[4]}"
        facts["acquired"] = moment, f"{root}/CreatedDateTime"
    return facts


def _leaves(tree: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}/{key}")
        else:
            yield f"{prefix}/{key}", value


def _image(bare: Found, record: ET.Element) -> Found | None:
    """Return an image; its calibration is in the experiment's record."""
    if len(bare.base.shape) != 2:  # noqa: PLR2004 - an image
        return None
    name = bare.address.rpartition("/")[2]
    axes = [replace(axis, name=label) for axis, label in zip(bare.axes, "yx", strict=True)]
    for value in record.iter("Value"):
        calibration = value.find("Calibration")
        if len(value) and value[0].text == name and calibration is not None:
            axes = [_calibrated(axis, calibration, axis.name, "nm") for axis in axes]
    return replace(bare, axes=tuple(axes))


def _calibrated(axis: FoundAxis, calibration: ET.Element, name: str, units: str) -> FoundAxis:
    scale = number_or_nan(calibration.findtext(f"{name.upper()}/Scale"))
    offset = offset_or_nan(calibration.findtext(f"{name.upper()}/Offset"))
    factor = _METRES_TO_NM if units == "nm" else 1.0
    return replace(axis, scale=scale * factor, offset=offset * factor, units=units)


def _blocks(
    path: Path, stamp: Stamp, item: h5py.Group | h5py.Dataset
) -> tuple[Hdf5Blocks, tuple[str, ...]] | None:
    """Return the values of an image, or of a scan: groups 0, 1 … in the order of the beam."""
    if isinstance(item, h5py.Dataset):
        return data_set_blocks(path, stamp, item)
    count, first = len(item), item.get("0/Data")
    found = stored_dtype(first.dtype) if isinstance(first, h5py.Dataset) else None
    if found is None or found[1] or len(first.shape) != 2:  # noqa: PLR2004 - a pattern
        return None
    last = item.get(f"{count - 1}/Data")
    if not isinstance(last, h5py.Dataset) or last.shape != first.shape:
        msg = f"{item.name!r} does not hold {count} patterns of equal shape"
        raise CorruptFileError(msg, path=path, hint="the acquisition was broken off")
    shape = (count, *first.shape)
    blocks = TopspinBlocks(
        path=path,
        stamp=stamp,
        name=str(item.name),
        shape=shape,
        dtype=found[0],
        block_shape=contiguous_block(shape, found[0].itemsize),
    )
    return blocks, ()


def _scan(bare: Found, group: h5py.Group) -> Found:
    """Return a scan with the axes that the records of its patterns give."""
    calibration = _xml(group["0/Metadata"]).find("Calibration")
    frames, *plane = bare.axes
    detector = [replace(axis, name=f"k{x}") for axis, x in zip(plane, "yx", strict=True)]
    if calibration is not None:
        detector = [_detector(axis, calibration) for axis in detector]
    hints = Hints(
        signal_type="electron_diffraction",
        frames="TopSpin numbers the patterns in the order of the scan",
        scan=_scan_axes(group, frames.size),
        scan_evidence="the beam positions of the patterns",
    )
    return replace(bare, axes=(frames, *detector), hints=hints)


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


TOPSPIN: Final = Arrangement(
    name="app5",
    arrays=_results,
    describe=_describe,
    load=load_topspin_metadata,
    whole=True,
    blocks=_blocks,
)
"""Results of TopSpin's experiments."""
