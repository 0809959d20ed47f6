"""Calibration by a ring that was drawn on a pattern: onto a known spacing, or around the disk."""

from __future__ import annotations

import math
from typing import Any

from stemzarr.errors import OptionError
from stemzarr.model import Document, Fact

__all__ = ["calibrate_by_ring"]

_KINDS = ("spacing", "disk")


def calibrate_by_ring(document: Document, main: int, ring: dict[str, Any]) -> dict[str, Fact]:
    """Return the calibration of a detector that a ring on it means, as `revise` takes it.

    Parameters
    ----------
    document
        A 4D scan.
    main
        `Document.index` of the main document of its source.
    ring
        ``kind`` is ``"spacing"``: ``value`` is a lattice spacing in nm, whose reflections the ring
        goes through; or ``"disk"``: ``value`` is the semi-angle of convergence in mrad, and the
        ring the rim of the central disk. ``center_y``, ``center_x`` and ``radius`` are in pixels;
        pixel i has its center at i.

    Returns
    -------
    dict
        Step, origin and units of both detector axes; zero is at the center of the ring.

    Raises
    ------
    OptionError
        A number is missing, or not one that a ring can have.
    """
    if ring.get("kind") not in _KINDS:
        raise OptionError("a ring is on a spacing or around the disk", hint="give kind")
    value, radius = (_positive(ring, name) for name in ("value", "radius"))
    center = [_number(ring, name) for name in ("center_y", "center_x")]
    angle = ring["kind"] == "disk"
    scale = value / radius if angle else 1 / (value * radius)
    facts: dict[str, Fact] = {"det.scale": scale, "det.units": "mrad" if angle else "1/nm"}
    for name, middle in zip(("det_y", "det_x"), center, strict=True):
        facts[f"{name}.offset"] = -middle * scale
    prefix = "" if document.index == main else f"{document.slug}/"
    found = {f"{prefix}{name}": fact for name, fact in facts.items()}
    return {**found, "convergence_angle_mrad": value} if angle and not prefix else found


def _number(ring: dict[str, Any], name: str) -> float:
    value = ring.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise OptionError(f"{name} of the ring is not a number", hint="draw the ring again")
    return float(value)


def _positive(ring: dict[str, Any], name: str) -> float:
    value = _number(ring, name)
    if value <= 0:
        raise OptionError(f"{name} is {value:g}", hint="give a number above zero")
    return value
