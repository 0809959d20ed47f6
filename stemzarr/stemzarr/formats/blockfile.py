"""NanoMegas' ``.blo`` files, written by rosettasciio."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from rsciio.blockfile import file_writer

from stemzarr.errors import UnsupportedDataError
from stemzarr.formats.hspy.metadata import axis_dict, metadata_of
from stemzarr.labelled import to_dataset
from stemzarr.model import Axis, Document, Fact
from stemzarr.pixels.resources import Resources
from stemzarr.registry import Exported, ExportRequest
from stemzarr.views.virtual import sum_detector

__all__ = ["write_blo"]

_LARGEST = 2**16 - 1
_LENGTHS = ("nm", "Å", "pm", "µm", "um", "mm", "m")


def write_blo(request: ExportRequest) -> Exported:
    """Write a 4D scan of bytes as a ``.blo`` file, its sum over the detector as navigator.

    Raises
    ------
    UnsupportedDataError
        The document is not a 4D scan, its values are not bytes, or it has more positions or pixels
        along a dim than the format counts.
    """
    document = request.documents[0]
    _check(document)
    axes, notes = _calibration(document)
    labelled = to_dataset(document)
    chunked = labelled.chunk(labelled["intensity"].encoding["preferred_chunks"])
    total = sum_detector(document, Resources()).astype(np.float64)
    signal: dict[str, Any] = {
        "data": chunked["intensity"].data,
        "axes": axes,
        "metadata": metadata_of(request.source, document, request.lineage),
        "original_metadata": {},
        "attributes": {"_lazy": True},
    }
    navigator = np.round(255 * total / max(1.0, total.max())).astype(np.uint8)
    file_writer(request.dest, signal, navigator=navigator, show_progressbar=False)
    return Exported(shape=document.shape, dtype=document.dtype.name, notes=notes)


def _check(document: Document) -> None:
    if document.kind != "4d-stem":
        msg = f"a .blo file holds 4D scans, and this is of kind {document.kind!r}"
        raise UnsupportedDataError(msg, hint="choose another format")
    if document.dtype != np.uint8:
        msg = f"a .blo file holds uint8, and this is {document.dtype}"
        hint = "ask for the dtype uint8, which holds counts up to 255"
        raise UnsupportedDataError(msg, hint=hint)
    if document.shape[-2] != document.shape[-1]:
        msg = f"a .blo file holds square patterns, and these are {document.shape[-2:]}"
        raise UnsupportedDataError(msg, hint="cut them with --roi, or choose another format")
    if max(document.shape) > _LARGEST:
        msg = f"a .blo file counts to {_LARGEST} along a dim, and this is {document.shape}"
        raise UnsupportedDataError(msg, hint="cut it with --roi, or choose another format")


_ON_CAMERA: Final = {"m": 100.0, "cm": 1.0, "mm": 0.1, "\N{MICRO SIGN}m": 1e-4}
"""Units that a detector on the camera has, in cm; a pixel of less than a µm is none."""


def _calibration(document: Document) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """Return the axes as rosettasciio takes them, and what of them the format cannot keep.

    It knows nothing but nm for the scan, and for the detector the pixels per 100 cm of the camera
    as a number of 16 bits, where 0 says that it is not calibrated: pixels of infinite size.
    """
    notes = []
    if document.valid is not None:
        missing = int(document.valid.size - document.valid.sum())
        notes.append(
            f"{missing} patterns that are missing are written as zeros, which a .blo cannot mark"
        )
    scan = [axis_dict(axis, navigate=True) for axis in document.axes[:2]]
    if any(axis.units not in _LENGTHS for axis in document.axes[:2]):
        scan = [axis | {"units": "nm", "scale": 1.0, "offset": 0.0} for axis in scan]
        units = document.axes[1].units
        notes.append(f"a .blo file has its scan in nm, so that in {units} is not kept")
    pixel = _centimetres(document.axes[3], document.facts)
    if pixel is None:
        notes.append(
            "a .blo file has its detector in cm on the camera, which is not known here, so that "
            "its calibration is not kept"
        )
    elif not 1 <= 100 / pixel <= _LARGEST:
        notes.append(
            f"a .blo file cannot hold detector pixels of {pixel * 1e4:.3g} µm on the camera "
            "(15.3 µm at least), so that their calibration is not kept"
        )
        pixel = None
    on_camera = {"units": "cm", "scale": pixel or math.inf, "offset": 0.0}
    detector = [axis_dict(axis, navigate=False) | on_camera for axis in document.axes[2:]]
    return [*scan, *detector], tuple(notes)


def _centimetres(axis: Axis, facts: Mapping[str, Fact]) -> float | None:
    """Return the size of a detector pixel in cm on the camera, None where it is not known.

    Lengths are those on the camera. Angles become lengths by the camera length, reciprocal lengths
    become angles by the wavelength.
    """
    if axis.calibrated and axis.units in _ON_CAMERA:
        return axis.scale * _ON_CAMERA[axis.units]
    length_mm, energy_keV = (facts.get(name) for name in ("camera_length_mm", "beam_energy_keV"))  # noqa: N806 - the unit's own letters
    if not isinstance(length_mm, int | float):
        return None
    if axis.units == "mrad":
        return axis.scale * length_mm / 10 * 1e-3
    if axis.units == "1/nm" and isinstance(energy_keV, int | float):
        return axis.scale * length_mm / 10 * _wavelength_nm(energy_keV)
    return None


def _wavelength_nm(energy_keV: float) -> float:  # noqa: N803 - the unit's own letters
    """Return the relativistic wavelength of electrons, h c / sqrt(E (E + 2 m c^2))."""
    return 1.23984198 / math.sqrt(energy_keV * (energy_keV + 2 * 510.99895))
