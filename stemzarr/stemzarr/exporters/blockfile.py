"""NanoMegas' ``.blo`` files: one byte a pixel, a serial number before each pattern.

The header is that which rosettasciio reads (``rsciio/blockfile``); all numbers are little-endian.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import UnsupportedDataError
from stemzarr.exporters.positioned import PositionedWriter
from stemzarr.model import Axis, Blocks, Document, Fact
from stemzarr.registry import Exported, ExportRequest
from stemzarr.scratch import borrow
from stemzarr.views.boxes import Box
from stemzarr.views.slabs import map_document

__all__ = ["write_blo"]

_HEADER = struct.Struct("<6sHIII5H2dIHId176x")
_NAVIGATOR_OFFSET = 0x1000
_FLAGS = 131141
_ALIGNMENT = 16
_NO_DATE = 25570.0
_PATTERN_MARK = 0x55AA
_LARGEST = 2**16 - 1
_NANOMETRES = {"nm": 1.0, "Å": 0.1, "pm": 1e-3, "µm": 1e3, "mm": 1e6}


def write_blo(request: ExportRequest) -> Exported:
    """Write a 4D scan of bytes as a ``.blo`` file, its sum over the detector as navigator.

    Raises
    ------
    UnsupportedDataError
        The document is no 4D scan, its values are no bytes, or it has more positions or pixels
        along a dim than the format counts.
    """
    document = request.documents[0]
    _check(document)
    scan_nm, per_cm, notes = _calibration(document)
    size_y, size_x, _, pixels = document.shape
    offset = _NAVIGATOR_OFFSET + size_y * size_x
    offset += -offset % _ALIGNMENT
    header = _HEADER.pack(
        *(b"IMGBLO", 0x0102, _NAVIGATOR_OFFSET, offset, _FLAGS),
        *(pixels, 0, size_x, size_y, 0),
        *(scan_nm[1], scan_nm[0], 0, per_cm, 0, _NO_DATE),
    )
    request.dest.write_bytes(header)
    totals = _write_patterns(request, offset)
    navigator = np.round(255 * totals / max(1.0, totals.max())).astype(np.uint8)
    with PositionedWriter(request.dest) as file:
        file.write(navigator.data, _NAVIGATOR_OFFSET)
    return Exported(shape=document.shape, dtype=document.dtype.name, notes=notes)


def _check(document: Document) -> None:
    if document.kind != "4d-stem" or document.dtype != np.uint8:
        msg = f"a .blo file holds 4D scans of uint8, and this is {document.kind} {document.dtype}"
        hint = "ask for the dtype uint8, which holds counts up to 255"
        raise UnsupportedDataError(msg, hint=hint)
    if document.shape[-2] != document.shape[-1]:
        msg = f"a .blo file holds square patterns, and these are {document.shape[-2:]}"
        raise UnsupportedDataError(msg, hint="cut them with --roi, or choose another format")
    if max(document.shape) > _LARGEST:
        msg = f"a .blo file counts to {_LARGEST} along a dim, and this is {document.shape}"
        raise UnsupportedDataError(msg, hint="cut it with --roi, or choose another format")


def _write_patterns(request: ExportRequest, offset: int) -> NDArray[np.float64]:
    """Write all patterns in threads, each behind its mark and number; return their sums."""
    document, options = request.documents[0], request.options
    columns, pattern = document.shape[1], document.shape[2:]
    record = np.dtype([("mark", "<u2"), ("number", "<u4"), ("pixels", "u1", pattern)])

    with PositionedWriter(request.dest) as file:

        def write_box(readable: Blocks, box: Box) -> NDArray[np.float64]:
            first, count = box.start[0] * columns + box.start[1], math.prod(box.shape[:2])
            with borrow(box.shape, np.uint8) as values, borrow((count,), record) as records:
                readable.read_into(values, box.start)
                records["mark"] = _PATTERN_MARK
                records["number"] = np.arange(first, first + count)
                records["pixels"] = values.reshape(count, *pattern)
                content = records.view(np.uint8).data
                file.write(content, offset + first * record.itemsize)
                total: NDArray[np.float64] = values.reshape(count, -1).sum(axis=1, dtype=np.float64)
                return total

        sums, done = [], 0
        for part in map_document(
            write_box,
            document.blocks,
            document.pattern_ndim,
            memory=options.memory,
            threads=options.threads,
        ):
            sums.append(part)
            done += len(part) * math.prod(pattern)
            if request.progress is not None:
                request.progress(done, document.nbytes)
    return np.concatenate(sums)


def _calibration(document: Document) -> tuple[list[float], int, tuple[str, ...]]:
    """Return the scan steps in nm, detector pixels per 100 cm, and what could not be kept.

    The format knows nothing but nm for the scan and one number of 16 bits for the detector, where
    0 says that it is not calibrated.
    """
    notes = []
    if document.valid is not None:
        missing = int(document.valid.size - document.valid.sum())
        notes.append(f"{missing} patterns that are missing stand as zeros, which no .blo can say")
    scan, detector = document.axes[:2], document.axes[3]
    scan_nm = [axis.scale * _NANOMETRES.get(axis.units, math.nan) for axis in scan]
    if math.isnan(sum(scan_nm)):
        scan_nm = [1.0, 1.0]
        notes.append(f"a .blo file has its scan in nm, so that in {scan[1].units} is not kept")
    centimetres = _centimetres(detector, document.facts)
    per_cm = 100 / centimetres if centimetres else 0.0
    if not centimetres:
        notes.append(
            "a .blo file has its detector in cm on the camera, which is not known here, so that "
            "its calibration is not kept"
        )
    elif not 1 <= per_cm <= _LARGEST:
        per_cm = 0.0
        notes.append(
            f"a .blo file cannot hold detector pixels of {centimetres * 1e4:.3g} µm on the camera "
            "(15.3 µm at least), so that their calibration is not kept"
        )
    return scan_nm, round(per_cm), tuple(notes)


def _centimetres(axis: Axis, facts: Mapping[str, Fact]) -> float | None:
    """Return the size of a detector pixel in cm on the camera, None where it is not known.

    Angles become lengths by the camera length, reciprocal lengths become angles by the
    wavelength.
    """
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
