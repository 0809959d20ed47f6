"""The link from a scan to the survey image that it was chosen in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stemzarr.formats.dm.tags import TagData, TagGroup
from stemzarr.model import Fact

__all__ = ["SurveyLink", "find_survey", "unique_id"]

_EDGES = ("top", "left", "bottom", "right")
_ID_PARTS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class SurveyLink:
    """What a scan says of its survey image."""

    survey_id: tuple[int, ...] | None
    """``UniqueID`` of the survey image; None where the scan does not say."""
    rectangle: tuple[float, ...]
    """(top, left, bottom, right) of the scan in pixels of the survey image; empty if unknown."""

    def attributes(self) -> dict[str, Fact]:
        """Return the rectangle as flat attributes."""
        return {
            f"scan_rect_{edge}": value
            for edge, value in zip(_EDGES, self.rectangle, strict=bool(self.rectangle))
        }


def unique_id(node: TagGroup | TagData | None) -> tuple[int, ...] | None:
    """Return an image's identifier, four 32-bit numbers, from a group, struct or array.

    None where it is absent or all zeros, which is how GMS writes that there is none.
    """
    if isinstance(node, TagGroup):
        numbers = [node.value(index) for index in range(len(node.entries))]
    else:
        numbers = _numbers(node)
    known = len(numbers) == _ID_PARTS and all(isinstance(number, int) for number in numbers)
    if not known or not any(numbers):
        return None
    return tuple(int(number) % (1 << 32) for number in numbers)


def _numbers(node: TagGroup | TagData | None) -> list[Any]:
    if not isinstance(node, TagData) or node.payload is None or node.is_text:
        return []
    value = node.array().tolist()
    return list(value) if isinstance(value, list | tuple) else []


def find_survey(tags: TagGroup) -> SurveyLink | None:
    """Return what the tags of a scan (``ImageTags``) say of its survey image; None if nothing."""
    acquisition = tags.group("SI", "Acquisition")
    places: Sequence[TagGroup] = (
        acquisition.group("Survey Image"),
        *tags.group("SurveyImages").groups(),
    )
    for place in places:
        named = [unique_id(place.find(name)) for name in ("Unique Image ID", "UID", "UniqueID")]
        identifier = next((found for found in named if found is not None), None)
        corner = _numbers(place.find("Spectrum Image Rect"))
        corner = corner or _numbers(acquisition.find("Spectrum Image Rect"))
        usable = len(corner) == len(_EDGES) and all(isinstance(n, int | float) for n in corner)
        if identifier is not None or usable:
            return SurveyLink(survey_id=identifier, rectangle=tuple(corner) if usable else ())
    return None
