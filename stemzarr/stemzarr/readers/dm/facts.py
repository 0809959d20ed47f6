"""Acquisition facts of a DM image, under the names of the store schema."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from stemzarr.model import Fact
from stemzarr.readers.dm.tags import TagData, TagGroup

__all__ = ["find_facts"]

Convert = Callable[[Any], Fact | None]


def _positive(factor: float = 1.0) -> Convert:
    def convert(value: Any) -> float | None:  # noqa: ANN401 - whatever the tag holds
        number = _finite(value)
        return number * factor if number is not None and number > 0 else None

    return convert


def _finite(value: Any) -> float | None:  # noqa: ANN401 - whatever the tag holds
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _text(value: Any) -> str | None:  # noqa: ANN401 - whatever the tag holds
    return (value.strip() or None) if isinstance(value, str) else None


_SOURCES: Final[Mapping[str, tuple[tuple[str, Convert], ...]]] = {
    "beam_energy_keV": (("Microscope Info/Voltage", _positive(1e-3)),),
    "camera_length_mm": (("Microscope Info/STEM Camera Length", _positive()),),
    "magnification": (("Microscope Info/Indicated Magnification", _positive()),),
    "exposure_s": (
        ("Acquisition/Parameters/High Level/Exposure (s)", _positive()),
        ("Acquisition/Parameters/Detector/exposure (s)", _positive()),
    ),
    "dwell_time_s": (("SI/Acquisition/Pixel time (s)", _positive()),),
    "probe_current_nA": (("Microscope Info/Probe Current (nA)", _positive()),),
    "scan_rotation_deg": (("DigiScan/Rotation", _finite),),
    "tilt_alpha_deg": (("Microscope Info/Stage Position/Stage Alpha", _finite),),
    "tilt_beta_deg": (("Microscope Info/Stage Position/Stage Beta", _finite),),
    "instrument": (("Microscope Info/Name", _text), ("Microscope Info/Microscope", _text)),
    "detector": (("Acquisition/Device/Name", _text), ("DataBar/Device Name", _text)),
    "operator": (("Microscope Info/Operator", _text), ("Session Info/Operator", _text)),
    "specimen": (("Microscope Info/Specimen", _text), ("Session Info/Specimen", _text)),
}
"""For each fact, the tags below ``ImageTags`` that may hold it, the most trusted first."""


def find_facts(root: TagGroup, index: int) -> tuple[dict[str, Fact], dict[str, str]]:
    """Return what the tags of an image say of its acquisition, and the path of each tag.

    Parameters
    ----------
    root
        The tree.
    index
        Place of the image in ``ImageList``.
    """
    tags = root.group("ImageList", index, "ImageTags")
    facts: dict[str, Fact] = {}
    paths: dict[str, str] = {}
    for fact, sources in _SOURCES.items():
        for path, convert in sources:
            node = tags.find(*path.split("/"))
            value = convert(node.value()) if isinstance(node, TagData) else None
            if value is not None:
                facts[fact] = value
                paths[fact] = f"ImageList/[{index}]/ImageTags/{path}"
                break
    return facts, paths
