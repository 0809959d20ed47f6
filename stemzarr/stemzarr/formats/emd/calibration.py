"""What py4DSTEM calls the calibration of a scan: pixel sizes, the origin, the probe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from stemzarr.model import Document, Source
from stemzarr.store.format.tree import read_nodes

__all__ = ["UNITS", "calibration_of"]

UNITS: Final = {
    "pixel": ("pixels", 1.0),
    "1/nm": ("A^-1", 0.1),
    "1/Å": ("A^-1", 1.0),
    "Å": ("A", 1.0),
}
"""Units of an axis → what py4DSTEM takes for them, and the factor."""


def calibration_of(source: Source, document: Document) -> dict[str, Any]:
    """Return the items of py4DSTEM's `Calibration` that are known of a 4D scan.

    It has one pixel size for both directions, here that along x, and calls rows x. The origin
    (``qx0``, ``qy0``) and the radius of the central disk (``probe_semiangle``) are in pixels: the
    origin is where both detector axes are zero, else the centre of the disk that the store keeps.

    Parameters
    ----------
    source
        Where the document is from.
    document
        Of the kind ``4d-stem``.
    """
    calibration: dict[str, Any] = {}
    for letter, name in (("R", "scan_x"), ("Q", "det_x")):
        axis = document.axis(name)
        units, factor = UNITS.get(axis.units, (axis.units, 1.0))
        calibration[f"{letter}_pixel_size"] = axis.scale * factor
        calibration[f"{letter}_pixel_units"] = units
    disk = _disk_of(source, document)
    middle = None if disk is None else (float(disk["center_y"]), float(disk["center_x"]))
    origin = _zero_of(document) or middle
    if origin is not None:
        for name, place in zip(("qx0", "qy0"), origin, strict=True):
            calibration[name] = calibration[f"{name}_mean"] = place
    if disk is not None:
        calibration["probe_semiangle"] = float(disk["radius"])
    angle = document.facts.get("convergence_angle_mrad")
    if angle is not None:
        calibration["convergence_semiangle_mrad"] = angle
    return calibration


def _zero_of(document: Document) -> tuple[float, float] | None:
    """Return the pixel of zero on both detector axes, where it is inside the detector."""
    places = []
    for axis in (document.axis("det_y"), document.axis("det_x")):
        place = -axis.offset / axis.scale
        if not (axis.calibrated and 0 < place < axis.size - 1):
            return None
        places.append(place)
    return places[0], places[1]


def _disk_of(source: Source, document: Document) -> Mapping[str, Any] | None:
    """Return the central disk that a store keeps, where the document has all of its detector."""
    disk: Mapping[str, Any] | None = None
    if document.measured is not None:
        disk = document.measured.disk
    elif source.format == "stemzarr" and document.index == source.main:
        nodes = read_nodes(source.path)
        pixels = nodes.get("intensity", {}).get("shape", ())
        if list(pixels[-2:]) == list(document.shape[-2:]):
            disk = nodes.get("preview", {}).get("attributes", {}).get("disk")
    return disk if disk and disk.get("found") else None
