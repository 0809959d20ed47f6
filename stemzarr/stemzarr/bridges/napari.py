"""A reader for napari: scans, images and stacks as lazy layers in calibrated units.

``napari.yaml`` beside this file is its manifest. napari is not imported here.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemzarr.bridges.lazily import lazy_values
from stemzarr.errors import UnsupportedDataError
from stemzarr.labelled import to_dataset
from stemzarr.model import Axis, Document
from stemzarr.options import as_path
from stemzarr.registry import is_data, read_source

__all__ = ["get_reader", "read_layers"]

Layer = tuple[Any, dict[str, Any], str]
"""Values, arguments, and kind of a layer, as napari takes them."""
_COLOURS = (3, 4)
_SCAN_IMAGE = "bright_field"


def get_reader(path: str | list[str]) -> Callable[[str], list[Layer]] | None:
    """Return what reads a path; None where stemzarr does not, or where several become a stack."""
    if not isinstance(path, str) or not is_data(Path(path)):
        return None
    return read_layers


def read_layers(path: str) -> list[Layer]:
    """Return the main document of a store or file as layers of napari; no pixel is read.

    Patterns of a scan are a layer (scan_y, scan_x, det_y, det_x). Where its store keeps previews,
    below them is the bright field (scan_y, scan_x, 1, 1), which moves with them. A spectrum image
    is (energy, scan_y, scan_x). Scales, offsets, units and names of the axes are those of the
    document; its facts are the metadata of the layer.

    Raises
    ------
    UnsupportedDataError
        The main document is a spectrum or a profile, which are no images.
    """
    source = read_source(as_path(path))
    document = source.document
    others = [each.slug for each in source.documents if each is not document and not each.thumbnail]
    if others:
        warnings.warn(
            f"{source.path.name} holds {', '.join(others)} besides {document.slug}, which is shown",
            stacklevel=2,
        )
    if len(document.axes) < 2:  # noqa: PLR2004 - an image
        msg = f"the document {document.slug!r} is a {document.kind}, and napari shows images"
        hint = "open it in Python: stemzarr.open(path).intensity.plot()"
        raise UnsupportedDataError(msg, path=source.path, hint=hint)
    values: Any = lazy_values(to_dataset(document), document)
    axes = document.axes
    if document.kind == "spectrum-image":
        axes, values = (axes[2], *axes[:2]), values.transpose(2, 0, 1)
    shown = _arguments(document, axes, document.title or source.path.stem)
    if document.channels:
        shown["rgb"] = len(document.channels) in _COLOURS
        if not shown["rgb"]:
            shown["channel_axis"] = len(axes)
    return [*_scan_image(document), (values, shown, "image")]


def _scan_image(document: Document) -> list[Layer]:
    """Return the image over the scan that a store keeps, as wide as the detector it belongs to."""
    measured = document.measured
    if measured is None or _SCAN_IMAGE not in measured.names:
        return []
    image: NDArray[Any] = measured.load(_SCAN_IMAGE)[:, :, np.newaxis, np.newaxis]
    wide = (*document.axes[:2], *map(_whole, document.axes[2:]))
    return [(image, _arguments(document, wide, _SCAN_IMAGE.replace("_", " ")), "image")]


def _whole(axis: Axis) -> Axis:
    """Return an axis of one pixel that covers all pixels of another."""
    centre = axis.offset + axis.scale * (axis.size - 1) / 2
    return Axis(
        name=axis.name, size=1, scale=axis.scale * axis.size, offset=centre, units=axis.units
    )


def _arguments(document: Document, axes: tuple[Axis, ...], name: str) -> dict[str, Any]:
    return {
        "name": name,
        "scale": [axis.scale for axis in axes],
        "translate": [axis.offset for axis in axes],
        "axis_labels": [axis.name for axis in axes],
        "units": [axis.units for axis in axes],
        "metadata": dict(document.group_attributes()),
    }
