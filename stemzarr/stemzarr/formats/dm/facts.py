"""Acquisition facts of a DM image, under the names of the store schema."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any, Final

from stemzarr.formats.dm.tags import TagData, TagGroup
from stemzarr.metadata.dates import filetime_to_utc, parse_moment, parse_time
from stemzarr.metadata.facts import FactRow, Place, facts_in
from stemzarr.metadata.finding import facts_below
from stemzarr.metadata.units import unit_factor
from stemzarr.model import Fact

__all__ = ["find_facts", "image_facts"]

Found = tuple[str, Fact, str]
"""Name, value, and path of the tag below the root."""


def _finite(value: Any) -> float | None:  # noqa: ANN401 - whatever the tag holds
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _positive(value: Any) -> float | None:  # noqa: ANN401 - whatever the tag holds
    number = _finite(value)
    return number if number is not None and number > 0 else None


def _text(value: Any) -> str | None:  # noqa: ANN401 - whatever the tag holds
    return (value.strip() or None) if isinstance(value, str) else None


_DATES: Final = (
    ("DataBar/Acquisition Date", "DataBar/Acquisition Time"),
    ("SI/Acquisition/Date", "SI/Acquisition/Start time"),
    ("EELS/Acquisition/Date", "EELS/Acquisition/Start time"),
    ("EDS/Acquisition/Date", "EDS/Acquisition/Start time"),
    ("CL/Acquisition/Date", "CL/Acquisition/Start time"),
    ("CL/Acquisition/Acquisition begin", ""),
    ("CL/Acquisition/Acquisition_begin", ""),
    ("Timestamp", ""),
)
"""Date and time tags below ``ImageTags``, the most trusted first."""
_FILETIMES: Final = ("DataBar/Acquisition Time (OS)", "DataBar/System Info")
_MARKS: Final = ("Microscope Info", "DataBar", "Acquisition", "DigiScan")
"""Groups by which the tags of an image are known."""
_DEEPEST_PLANE: Final = 3
_ISO: Final = re.compile(r"(\d{4}-\d\d-\d\d)[T ]([0-9:.]+)")
_MICROSECONDS: Final = 1e6


def find_facts(
    root: TagGroup, index: int, *, scan_shape: tuple[int, int] | None = None
) -> dict[str, tuple[Fact, str]]:
    """Return what the tags of an image say of its acquisition, each with its path from the root.

    What is absent, zero where nothing can be zero, or ambiguous is left out.

    Parameters
    ----------
    root
        The tree.
    index
        Place of the image in ``ImageList``.
    scan_shape
        (height, width) of its scan, where it is one.
    """
    tags, prefix = root.group("ImageList", index, "ImageTags"), f"ImageList/[{index}]/ImageTags"
    facts = facts_below(prefix, {**_stack_facts(tags), **image_facts(tags)})
    if "acquired" not in facts:
        facts |= {name: (value, path) for name, value, path in _acquired(root)}
    if scan_shape is not None:
        complete = _complete(tags, scan_shape)
        facts |= {name: (value, f"{prefix}/{path}") for name, value, path in complete}
    return facts


def image_facts(tags: TagGroup) -> dict[str, tuple[Fact, str]]:
    """Return what the tags of one image say, each with the path of its tag below them.

    Parameters
    ----------
    tags
        The group ``ImageTags``.
    """
    facts: dict[str, tuple[Fact, str]] = {}
    for finder in (_listed, _optics, _scan_time, _acquired):
        for name, value, path in finder(tags):
            facts.setdefault(name, (value, path))
    return facts


def _stack_facts(tags: TagGroup) -> dict[str, tuple[Fact, str]]:
    """Return what all planes of a stack that StackBuilder made have in common, and when it began.

    It keeps the tags of each image under ``plane info``, or those of all under ``source``.
    """
    planes = [
        facts_below(f"plane info/{place}", found)
        for place, group in _plane_tags(tags.group("plane info"))
        if (found := image_facts(group))
    ]
    if not planes:
        source = image_facts(tags.group("source", "Tags at creation"))
        return facts_below("source/Tags at creation", source)
    return {
        name: fact
        for name, fact in planes[0].items()
        if name == "acquired" or all(name in one and one[name][0] == fact[0] for one in planes)
    }


def _plane_tags(planes: TagGroup) -> Iterator[tuple[str, TagGroup]]:
    """Iterate over the tags of each plane, which may be in a group of the plane's own."""
    for number, plane in enumerate(planes.entries):
        waiting = [(plane.name or f"[{number}]", plane.body, 0)]
        while waiting:
            place, group, depth = waiting.pop(0)
            if not isinstance(group, TagGroup) or depth > _DEEPEST_PLANE:
                continue
            if any(isinstance(group.get(mark), TagGroup) for mark in _MARKS):
                yield place, group
                break
            waiting += [(f"{place}/{tag.name}", tag.body, depth + 1) for tag in group.entries]


def _value(tags: TagGroup, path: str) -> Any:  # noqa: ANN401 - whatever the tag holds
    node = tags.find(*path.split("/")) if path else None
    return node.value() if isinstance(node, TagData) else None


def _listed(tags: TagGroup) -> Iterator[Found]:
    """Iterate over the facts that are one tag each."""
    for fact, place in facts_in("dm", "number", "text"):
        for path in place.paths:
            value = _convert(fact, place, _value(tags, path))
            if value is not None:
                yield fact.name, value, path


def _convert(fact: FactRow, place: Place, value: object) -> Fact | None:
    """Return the value of a tag as that of its fact; None where it says nothing."""
    if fact.type == "text":
        text = _text(value)
        return None if text is None else f"{place.prefix}{text}"
    number = _finite(value) if fact.least == "any" else _positive(value)
    if number is None:
        return _text(value) if fact.or_text else None
    return number / unit_factor(fact.unit, place.unit) if place.unit else number


def _optics(tags: TagGroup) -> Iterator[Found]:
    """Iterate over magnification and camera length, whose tags change meaning with the mode.

    In TEM diffraction the "magnification" is the camera length, in TEM imaging there is none, and
    the tag "STEM Camera Length" is then left over from the last time that the mode was used.
    """
    mode = (_text(_value(tags, "Microscope Info/Illumination Mode")) or "").upper()
    imaging = (_text(_value(tags, "Microscope Info/Imaging Mode")) or "").upper()
    magnification = _positive(_value(tags, "Microscope Info/Indicated Magnification"))
    camera_length = _positive(_value(tags, "Microscope Info/STEM Camera Length"))
    tem = mode.startswith("TEM")
    if tem and "DIFFRACTION" in imaging:
        if magnification is not None:
            yield "camera_length_mm", magnification, "Microscope Info/Indicated Magnification"
        return
    if magnification is not None:
        yield "magnification", magnification, "Microscope Info/Indicated Magnification"
    if camera_length is not None and not tem and mode != "SEM":
        yield "camera_length_mm", camera_length, "Microscope Info/STEM Camera Length"


def _scan_time(tags: TagGroup) -> Iterator[Found]:
    """Iterate over the time per position of an image that DigiScan made itself."""
    microseconds = _positive(_value(tags, "DigiScan/Sample Time"))
    if microseconds is not None and tags.get("SI") is None:
        yield "dwell_time_s", microseconds / _MICROSECONDS, "DigiScan/Sample Time"


def _acquired(tags: TagGroup) -> Iterator[Found]:
    """Iterate over the moment of acquisition, in every place that tells it."""
    others = [date for date in _every_date(tags) if date]
    for date_path, time_path in _DATES:
        date = _text(_value(tags, date_path)) or ""
        time = _text(_value(tags, time_path)) or ""
        if not time:
            date, time = _split(date)
        utc = None
        if date_path.startswith("DataBar"):
            ticks = (_finite(_value(tags, path)) for path in _FILETIMES)
            utc = next((filetime_to_utc(tick) for tick in ticks if tick is not None), None)
        moment = parse_moment(date, time, utc=utc, others=others)
        if moment is not None:
            yield "acquired", moment, date_path
    ticks_utc = _finite(_value(tags, _FILETIMES[0]))
    moment_utc = None if ticks_utc is None else filetime_to_utc(ticks_utc)
    if moment_utc is not None:
        yield "acquired", moment_utc.isoformat(), _FILETIMES[0]


def _split(text: str) -> tuple[str, str]:
    """Return date and time of a text that holds both, or only a date."""
    iso = _ISO.fullmatch(text)
    if iso is not None:
        return iso[1], iso[2]
    date, _, time = text.partition(" ")
    return (date, time) if parse_time(time) is not None else (text, "")


def _every_date(tags: TagGroup) -> Iterator[str]:
    """Iterate over all dates that the same computer wrote."""
    for path, _ in _DATES:
        yield _text(_value(tags, path)) or ""
    for step in tags.group("Processing").groups():
        yield (_text(step.value("Time")) or "").partition(" ")[0]


def _complete(tags: TagGroup, scan_shape: tuple[int, int]) -> Iterator[Found]:
    """Iterate over whether the scan reached its last position, where its tags speak of it."""
    path = "SI/Acquisition/Last pixel"
    last = _finite(_value(tags, path))
    sampling = tags.group("SI", "Acquisition", "Spatial Sampling")
    rows, columns = (_finite(sampling.value(f"{side} (pixels)")) for side in ("Height", "Width"))
    if last is not None and rows == scan_shape[0] and columns == scan_shape[1]:
        yield "complete", int(last >= math.prod(scan_shape)), path
