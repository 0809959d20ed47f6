"""NanoMegas' ``.blo`` files, written by rosettasciio."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from rsciio.blockfile import file_writer

from stemzarr.errors import UnsupportedDataError
from stemzarr.exporters.hspy_metadata import axis_dict, metadata_of
from stemzarr.labelled import to_dataset
from stemzarr.model import Axis, Fact
from stemzarr.registry import Exported, ExportRequest
from stemzarr.views.virtual import virtual_image

__all__ = ["write_blo"]


def write_blo(request: ExportRequest) -> Exported:
    """Write a 4D scan of bytes as a ``.blo`` file, its sum over the detector as navigator.

    Raises
    ------
    UnsupportedDataError
        The document is no 4D scan, or its values are no bytes.
    """
    document = request.documents[0]
    if document.kind != "4d-stem" or document.dtype != np.uint8:
        msg = f"a .blo file holds 4D scans of uint8, and this is {document.kind} {document.dtype}"
        hint = "ask for the dtype uint8, which holds counts up to 255"
        raise UnsupportedDataError(msg, hint=hint)
    if document.shape[-2] != document.shape[-1]:
        msg = f"a .blo file holds square patterns, and these are {document.shape[-2:]}"
        raise UnsupportedDataError(msg, hint="cut them with --roi, or choose another format")
    labelled = to_dataset(document)
    chunked = labelled.chunk(labelled["intensity"].encoding["preferred_chunks"])
    total = virtual_image(document).to_numpy().astype(np.float64)
    navigator = np.round(255 * total / max(1.0, total.max())).astype(np.uint8)
    signal: dict[str, Any] = {
        "data": chunked["intensity"].data,
        "axes": [
            *(axis_dict(axis, navigate=True) for axis in document.axes[:2]),
            *(_on_camera(axis, document.facts) for axis in document.axes[2:]),
        ],
        "metadata": metadata_of(request.source, document, request.provenance),
        "original_metadata": {},
        "attributes": {"_lazy": True},
    }
    file_writer(request.dest, signal, navigator=navigator, show_progressbar=False)
    return Exported(shape=document.shape, dtype=document.dtype.name)


def _on_camera(axis: Axis, facts: Mapping[str, Fact]) -> dict[str, Any]:
    """Return a detector axis in cm on the camera, as the format has it, where that is known.

    Angles become lengths by the camera length, reciprocal lengths become angles by the
    wavelength; without these the axis is not calibrated.
    """
    centimetres = _centimetres(axis.units, facts)
    if centimetres is None:
        return axis_dict(axis, navigate=False) | {"units": None, "scale": 1.0, "offset": 0.0}
    scale, offset = axis.scale * centimetres, axis.offset * centimetres
    return axis_dict(axis, navigate=False) | {"units": "cm", "scale": scale, "offset": offset}


def _centimetres(units: str, facts: Mapping[str, Fact]) -> float | None:
    """Return how many cm on the camera one unit of the detector is."""
    length_mm, energy_keV = (facts.get(name) for name in ("camera_length_mm", "beam_energy_keV"))  # noqa: N806 - the unit's own letters
    if not isinstance(length_mm, int | float):
        return None
    if units == "mrad":
        return length_mm / 10 * 1e-3
    if units == "1/nm" and isinstance(energy_keV, int | float):
        return length_mm / 10 * _wavelength_nm(energy_keV)
    return None


def _wavelength_nm(energy_keV: float) -> float:  # noqa: N803 - the unit's own letters
    """Return the relativistic wavelength of electrons, h c / sqrt(E (E + 2 m c^2))."""
    return 1.23984198 / math.sqrt(energy_keV * (energy_keV + 2 * 510.99895))
