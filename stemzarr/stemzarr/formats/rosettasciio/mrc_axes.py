"""Axes of ``.mrc`` files: by the header, or by the record that Direct Electron writes beside."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from stemzarr.formats.labelling import FoundAxis
from stemzarr.metadata.clean import clean_json
from stemzarr.metadata.finding import finite_number, positive_number

__all__ = ["correct_mrc_axes", "find_record", "read_record", "record_facts"]

_LARGEST_RECORD: Final = 2**22
_NM_PER_ANGSTROM: Final = 0.1
_ON = ("enable", "true", "on", "1")

MrcAxes = tuple[tuple[FoundAxis, ...], tuple[str, ...]]


def correct_mrc_axes(
    path: Path, original: Mapping[str, Any], axes: tuple[FoundAxis, ...]
) -> MrcAxes:
    """Return the axes of an MRC file, and notes on what its header or record leaves open.

    Parameters
    ----------
    path
        The file. Direct Electron's record ``<name>_info.txt`` is looked for beside it.
    original
        RosettaSciIO's ``original_metadata`` of it, with the header as ``std_header``.
    axes
        The axes as RosettaSciIO gives them; their sizes and names are kept.
    """
    beside = find_record(path)
    if beside is not None:
        return _from_record(path, read_record(beside), beside.name, axes)
    if "fei_header" in original:
        return axes, ()
    return _from_header(original.get("std_header") or {}, axes)


def find_record(path: Path) -> Path | None:
    """Return Direct Electron's record of the acquisition that a file belongs to, if it is there.

    ``20241021_00405_movie.mrc``, ``…_final.mrc`` and ``…_0_Virt #0_total_sum.mrc`` share
    ``20241021_00405_info.txt``.
    """
    stem = path.stem
    while "_" in stem:
        stem = stem.rpartition("_")[0]
        beside = path.with_name(f"{stem}_info.txt")
        if beside.is_file():
            return beside
    return None


def read_record(path: Path) -> dict[str, str]:
    """Return the lines ``name = value`` of a record."""
    with path.open("rb") as file:
        text = file.read(_LARGEST_RECORD).decode("utf-8", "replace")
    pairs = (line.partition("=") for line in text.splitlines())
    return {name.strip(): value.strip() for name, divided, value in pairs if divided}


def _from_record(
    path: Path, record: Mapping[str, str], name: str, axes: tuple[FoundAxis, ...]
) -> MrcAxes:
    """Return the axes that a record describes: the last two are on the detector or the scan."""
    role = _plane(path, record, axes)
    scan = ("Specimen Pixel Size {} (nanometers)", "nm", ("y", "x"))
    detector = ("Diffraction Pixel Size {}", "1/nm", ("ky", "kx"))
    found = list(axes)
    notes: list[str] = []
    planes = {2: role} if len(axes) in (2, 3) else {4: "scan", 2: "detector"}
    for end, plane in planes.items():
        key, units, names = scan if plane == "scan" else detector
        for dim, side in zip((len(axes) - end, len(axes) - end + 1), "YX", strict=True):
            wanted = key.format(side)
            step = positive_number(record.get(wanted))
            found[dim] = FoundAxis(
                size=axes[dim].size,
                name=names["YX".index(side)],
                scale=math.nan if step is None else step,
                units=units,
            )
            if step is None:
                stated = record.get(wanted) or "nothing"
                notes.append(f"{name} says {stated} for {wanted!r}, so it is not calibrated here")
    if len(axes) == 3:  # noqa: PLR2004 - frame, y, x
        found[0] = _frames(record, axes[0])
    return tuple(found), tuple(notes)


def _plane(path: Path, record: Mapping[str, str], axes: Sequence[FoundAxis]) -> str:
    """Return what the images of a file are on: ``detector`` in diffraction, else ``scan`` (nm)."""
    label = path.stem.lower()
    if re.search(r"virt|[_ ]ext", label):
        return "scan"
    sizes = tuple(axis.size for axis in axes[-2:])
    scan = tuple(int(positive_number(record.get(f"Scan - Size {side}")) or 0) for side in "YX")
    image = tuple(
        int(positive_number(record.get(f"Image Size {side} (pixels)")) or 0) for side in "YX"
    )
    if sizes == scan != image:
        return "scan"
    return "detector" if _diffracts(record) else "scan"


def _diffracts(record: Mapping[str, str]) -> bool:
    """Return whether the camera saw diffraction: under a scan, or with a camera length."""
    mode = finite_number(record.get("Instrument Project TEMorSTEM Mode"))
    scanning = record.get("Scan - Enable", "").lower() in _ON
    stem = scanning if mode in (None, -1) else mode != 0
    length = positive_number(record.get("Instrument Project Camera Length (centimeters)"))
    return stem or length is not None


def _frames(record: Mapping[str, str], axis: FoundAxis) -> FoundAxis:
    """Return the time axis of a movie: each frame is the sum of so many that the camera took."""
    rate = positive_number(record.get("Frames Per Second"))
    summed = positive_number(record.get("Autosave Movie Sum Count")) or 1.0
    step = math.nan if rate is None else summed / rate
    return FoundAxis(size=axis.size, name="time", scale=step, units="s", navigate=True)


def record_facts(record: Mapping[str, str]) -> dict[str, Any]:
    """Return what a record says of the acquisition, in HyperSpy's arrangement."""
    tem: dict[str, Any] = {}
    for name, key, factor in (
        ("beam_energy", "Instrument Accelerating Voltage (V)", 1e-3),
        ("magnification", "Instrument Project Magnification", 1.0),
        ("camera_length", "Instrument Project Camera Length (centimeters)", 10.0),
        ("dwell_time", "Scan - Dwell Time (microseconds)", 1e-6),
    ):
        value = positive_number(record.get(key))
        if value is not None:
            tem[name] = value * factor
    if record.get("Scan - Enable", "").lower() not in _ON:
        tem.pop("dwell_time", None)
    moment = positive_number(record.get("Timestamp (seconds since Epoch)"))
    general: dict[str, Any] = {}
    if moment is not None:
        taken = dt.datetime.fromtimestamp(moment, dt.UTC)
        general = {
            "date": taken.date().isoformat(),
            "time": taken.time().isoformat(),
            "time_zone": "UTC",
        }
    exposure = positive_number(record.get("Frame Exposure Time (nanoseconds)"))
    camera: dict[str, Any] = {"name": record.get("Camera Model", "")}
    if exposure is not None:
        camera["exposure"] = exposure * 1e-9
    rotation = finite_number(record.get("Scan - Rotation"))
    if rotation is not None and "dwell_time" in tem:
        tem["scan_rotation"] = rotation
    tem["Detector"] = {"Camera": camera}
    return {"General": general, "Acquisition_instrument": {"TEM": tem}}


def _from_header(header: Mapping[str, Any], axes: tuple[FoundAxis, ...]) -> MrcAxes:
    """Return the axes of the cell in the header: Å over so many pixels, origin in Å."""
    if not header:
        return axes, ()
    numbers = {key: finite_number(clean_json(value)) for key, value in header.items()}
    dims = [side for side in "ZYX" if (numbers.get(f"N{side}") or 0) > 1]
    if len(dims) != len(axes):
        dims = list("ZYX")[-len(axes) :] if len(axes) <= len("ZYX") else []
    steps = {side: _step(numbers, side) for side in dims}
    notes: list[str] = []
    plane = [steps[side] for side in dims if side in "YX"]
    if plane and all(step == _NM_PER_ANGSTROM for step in plane):
        notes.append(
            "the header says 1 Å a pixel, as programs write that know no calibration: it is not "
            "taken; set it with stemzarr calibrate NAME x.scale=0.1 x.units=nm"
        )
        steps = dict.fromkeys(steps, math.nan)
    elif any(math.isnan(step) for step in plane):
        notes.append("the header gives no size of a pixel, so the images are not calibrated")
    found = list(axes)
    for dim, side in enumerate(dims):
        units = "nm" if side in "YX" else axes[dim].units
        origin = numbers.get(f"{side}ORIGIN") or 0.0
        found[dim] = replace(
            axes[dim],
            name=side.lower(),
            scale=steps[side],
            offset=origin * _NM_PER_ANGSTROM,
            units=units,
        )
    return tuple(found), tuple(notes)


def _step(numbers: Mapping[str, float | None], side: str) -> float:
    """Return the pixel in nm; NaN where the cell is empty or less, or has no pixels."""
    length, pixels = numbers.get(f"{side}len"), numbers.get(f"M{side}")
    if not length or not pixels or length < 0 or pixels < 0:
        return math.nan
    step = length / pixels
    return _NM_PER_ANGSTROM if math.isclose(step, 1.0, rel_tol=1e-6) else step * _NM_PER_ANGSTROM
