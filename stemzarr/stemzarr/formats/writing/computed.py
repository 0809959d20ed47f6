"""Images that are computed from a scan: centre of mass, DPC, profile, likeness, and one pattern."""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stemzarr.formats.writing.labelling_images import label_image
from stemzarr.model import Axis, Document
from stemzarr.options import ExportOptions
from stemzarr.pixels.resources import Resources
from stemzarr.views.deflection import deflection, measure_shifts
from stemzarr.views.likeness import likeness
from stemzarr.views.patterns import pattern, radial_profile

__all__ = ["COMPUTED", "compute_image", "take_pattern"]

_BRIGHTEST = 99.9
_HUES = 256


def compute_image(document: Document, options: ExportOptions, resources: Resources) -> Document:
    """Return the image that the options name, one of `COMPUTED`, as a document in memory.

    Its values are float32, and the attribute ``image_units`` says of which units; DPC is a colour
    image: its hue is the direction of the deflection, red to the right and then clockwise, and its
    brightness the magnitude.

    Raises
    ------
    OptionError, UnsupportedDataError
        As the function of `stemzarr.views` that computes it.
    """
    return COMPUTED[str(options.image)](document, options, resources)


def take_pattern(document: Document, options: ExportOptions) -> Document:
    """Return the pattern at the position that the options name, with its values as they are."""
    y, x = options.at or (0, 0)
    values = pattern(document, y, x).to_numpy()
    place: dict[str, Any] = {"at_scan_y": y, "at_scan_x": x}
    return label_image(document, "pattern", values, kind="diffraction", attributes=place)


def _shift(
    document: Document, options: ExportOptions, resources: Resources
) -> dict[str, NDArray[Any]]:
    (y, x), _ = measure_shifts(document, center=options.center, resources=resources)
    return {"com-y": y, "com-x": x, "com-magnitude": np.hypot(y, x)}


def _shifted(document: Document, options: ExportOptions, resources: Resources) -> Document:
    name = str(options.image)
    values = _shift(document, options, resources)[name].astype(np.float32)
    units = document.axes[2 if name == "com-y" else 3].units
    return label_image(
        document, name.replace("-", " "), values, attributes={"image_units": units}, counts=False
    )


def _deflected(document: Document, options: ExportOptions, resources: Resources) -> Document:
    found = deflection(document, center=options.center, resources=resources)
    magnitude, direction = (found[name].to_numpy() for name in ("magnitude", "direction"))
    finite = np.isfinite(magnitude)
    top = np.percentile(magnitude[finite], _BRIGHTEST) if finite.any() else 1.0
    wheel = np.array([colorsys.hsv_to_rgb(hue / _HUES, 1, 1) for hue in range(_HUES)])
    hue = np.nan_to_num(direction) / (2 * np.pi) * _HUES
    value = np.clip(np.nan_to_num(magnitude) / (top or 1.0), 0, 1)
    colors = wheel[np.rint(hue).astype(int) % _HUES] * value[..., np.newaxis]
    attributes: dict[str, Any] = {
        "image_units": document.axes[3].units,
        "largest": float(top),
        "rotation_deg": float(found.attrs["rotation_deg"]),
        "flip": int(found.attrs["flip"]),
    }
    return label_image(
        document,
        "dpc",
        np.rint(255 * colors).astype(np.uint8),
        attributes=attributes,
        counts=False,
        channels=("red", "green", "blue"),
    )


def _profiled(document: Document, options: ExportOptions, resources: Resources) -> Document:
    found = radial_profile(document, center=options.center, resources=resources)
    radius = found["radius"].to_numpy()
    step = float(radius[1] - radius[0]) if len(radius) > 1 else 1.0
    detector = document.axes[3]
    axis = Axis(
        name="x",
        size=len(radius),
        scale=step,
        units=detector.units,
        calibrated=detector.calibrated,
        long_name="radius",
    )
    values = found.to_numpy().astype(np.float32)
    return label_image(document, "radial profile", values, kind="profile", axes=[axis])


def _alike(document: Document, options: ExportOptions, resources: Resources) -> Document:
    y, x = options.at or (0, 0)
    values = likeness(document, (y, x), resources).to_numpy()
    place: dict[str, Any] = {"at_scan_y": y, "at_scan_x": x}
    return label_image(document, "likeness", values, attributes=place, counts=False)


COMPUTED: Final[dict[str, Callable[[Document, ExportOptions, Resources], Document]]] = {
    "com-y": _shifted,
    "com-x": _shifted,
    "com-magnitude": _shifted,
    "dpc": _deflected,
    "radial-profile": _profiled,
    "likeness": _alike,
}
"""What computes each image that is no preview."""
