"""Facts of an acquisition from metadata in HyperSpy's arrangement."""

from __future__ import annotations

import datetime as dt
import math
import re
import zoneinfo
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from stemzarr.model import Fact

__all__ = ["facts_from_hyperspy", "iso_datetime", "positive_number"]

_INSTRUMENTS: Final = (
    "Acquisition_instrument.TEM",
    "Acquisition_instrument.SEM",
    "TEM",  # as HyperSpy's files of versions 1.0 and 1.1 have it
    "SEM",
)

# fact: (paths below Acquisition_instrument.TEM, may be zero or less)
_NUMBERS: Final[dict[str, tuple[tuple[str, ...], bool]]] = {
    "beam_energy_keV": (("beam_energy",), False),
    "camera_length_mm": (("camera_length",), False),
    "convergence_angle_mrad": (("convergence_angle",), False),
    "magnification": (("magnification",), False),
    "probe_current_nA": (("beam_current",), False),
    "tilt_alpha_deg": (("Stage.tilt_alpha", "tilt_stage"), True),
    "tilt_beta_deg": (("Stage.tilt_beta",), True),
    "scan_rotation_deg": (("scan_rotation", "rotation"), True),
    "exposure_s": (
        (
            "Detector.Camera.exposure",
            "Camera.exposure",
            "Detector.Diffraction.exposure",
            "Detector.exposure",
            "Detector.EELS.exposure",
            "EELS.exposure",
            "exposure",
        ),
        False,
    ),
    "dwell_time_s": (("Detector.EELS.dwell_time", "dwell_time", "EELS.dwell_time"), False),
    "spot_size": (("spot_size",), False),
}
_TEXTS: Final[dict[str, tuple[str, ...]]] = {
    "instrument": (
        "Acquisition_instrument.TEM.microscope",
        "Acquisition_instrument.SEM.microscope",
    ),
    "detector": (
        "Acquisition_instrument.TEM.Detector.Camera.name",
        "Acquisition_instrument.TEM.Camera.name",
    ),
    "operator": ("General.authors",),
    "specimen": ("Sample.name", "Sample.description"),
}
_LOOSE: Final = (
    ("dwell_time_s", "Acquisition_instrument.dwell_time"),
    ("exposure_s", "Acquisition_instrument.Detector.integration_time"),
)

# what the older files of HyperSpy spell beside a value, as a factor to the unit of the fact
_FACTORS: Final[dict[tuple[str, str], float]] = {
    ("beam_energy_keV", "V"): 1e-3,
    ("probe_current_nA", "pA"): 1e-3,
    ("probe_current_nA", "uA"): 1e3,
    ("camera_length_mm", "m"): 1e3,
    ("camera_length_mm", "cm"): 10.0,
    ("dwell_time_s", "ms"): 1e-3,
    ("dwell_time_s", "us"): 1e-6,
    ("exposure_s", "ms"): 1e-3,
    ("convergence_angle_mrad", "rad"): 1e3,
}


def facts_from_hyperspy(
    metadata: Mapping[str, Any], root: str = "metadata"
) -> tuple[dict[str, Fact], dict[str, str]]:
    """Return what is known of the acquisition, and where each fact stands.

    Parameters
    ----------
    metadata
        A tree such as HyperSpy's ``signal.metadata``: ``General``, ``Acquisition_instrument`` …
    root
        Path of that tree in the source's metadata.

    Returns
    -------
    facts : dict
        Under the names of the store schema, in the units that the names bear. A value that is
        absent, no number, or zero where nothing can be zero is left out.
    paths : dict
        For each fact, the path of the tag, its parts divided by ``/``.
    """
    facts: dict[str, Fact] = {}
    paths: dict[str, str] = {}
    # What a user changed in HyperSpy outranks what stemzarr wrote beside it.
    hyperspy = (*_numbers(metadata), *_texts(metadata), *_date(metadata))
    for name, value, path in (*hyperspy, *_ours(metadata)):
        if name not in facts:
            facts[name] = value
            paths[name] = "/".join((root, *path.split(".")))
    return facts, paths


def _ours(metadata: Mapping[str, Any]) -> Iterator[tuple[str, Fact, str]]:
    """Yield the facts that stemzarr itself wrote beside HyperSpy's own metadata."""
    tree = metadata.get("stemzarr")
    if not isinstance(tree, Mapping):
        return
    for name in _NUMBERS:
        value = finite_number(tree.get(name))
        if value is not None:
            yield name, value, f"stemzarr.{name}"
    for name in ("acquired", "session", "software", *_TEXTS):
        told = tree.get(name)
        if isinstance(told, str | int | float) and not isinstance(told, bool) and told != "":
            yield name, told, f"stemzarr.{name}"


def _numbers(metadata: Mapping[str, Any]) -> Iterator[tuple[str, Fact, str]]:
    for instrument in _INSTRUMENTS:
        for name, (places, signed) in _NUMBERS.items():
            for place in places:
                path = f"{instrument}.{place}"
                value = _number(metadata, path, name, signed=signed)
                if value is not None:
                    yield name, value, path
    for name, path in _LOOSE:
        value = _number(metadata, path, name, signed=False)
        if value is not None:
            yield name, value, path


def _number(metadata: Mapping[str, Any], path: str, name: str, *, signed: bool) -> float | None:
    found = _get(metadata, path)
    value = finite_number(found) if signed else positive_number(found)
    if value is None:
        return None
    units = _get(metadata, f"{path}_units")
    return value * _FACTORS.get((name, str(units)), 1.0)


def _texts(metadata: Mapping[str, Any]) -> Iterator[tuple[str, Fact, str]]:
    for name, places in _TEXTS.items():
        for path in places:
            value = _get(metadata, path)
            if isinstance(value, str) and value.strip():
                yield name, value.strip(), path


def _date(metadata: Mapping[str, Any]) -> Iterator[tuple[str, Fact, str]]:
    for root in ("General.", ""):
        parts = [_get(metadata, f"{root}{part}") for part in ("date", "time", "time_zone")]
        acquired = iso_datetime(*(part if isinstance(part, str) else "" for part in parts))
        if acquired:
            yield "acquired", acquired, f"{root}date"


def _get(tree: Mapping[str, Any], path: str) -> object:
    """Return what stands at a dotted path, None where nothing does."""
    value: Any = tree
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value


def finite_number(value: object) -> float | None:
    """Return a finite number from a number, its text, or an array of one; None otherwise."""
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) and len(value) == 1:
        value = value[0]
    if isinstance(value, bool) or value is None:
        return None
    try:
        number = float(value)  # type: ignore[arg-type]  # whatever it is, float says so
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def positive_number(value: object) -> float | None:
    """Return a number above zero: instruments write 0 for what they do not know."""
    number = finite_number(value)
    return number if number is not None and number > 0 else None


def iso_datetime(date: str, time: str = "", zone: str = "") -> str:
    """Return date and time as ISO 8601, the date alone where the time is unreadable.

    Returns
    -------
    str
        Empty where the date is no ISO date: a guess would be an invention.

    Examples
    --------
    >>> iso_datetime("2015-12-01", "15:43:09.828000", "UTC")
    '2015-12-01T15:43:09.828000+00:00'
    >>> iso_datetime("2015-12-01", "15:43:09", "-07:00")
    '2015-12-01T15:43:09-07:00'
    >>> iso_datetime("12/01/2015")
    ''
    """
    try:
        day = dt.date.fromisoformat(date.strip())
    except ValueError:
        return ""
    # nanoseconds, which some detectors count, are more than datetime holds
    clock = re.sub(r"(\.\d{6})\d+", r"\1", time.strip())
    try:
        moment = dt.time.fromisoformat(clock)
    except ValueError:
        return day.isoformat()
    combined = dt.datetime.combine(day, moment)
    if combined.tzinfo is None:
        combined = combined.replace(tzinfo=_zone(zone.strip()))
    return combined.isoformat()


def _zone(name: str) -> dt.tzinfo | None:
    """Return the zone of an offset such as ``+01:00`` or a name such as ``Europe/London``."""
    if name.upper() in ("UTC", "Z"):
        return dt.UTC
    try:
        return dt.datetime.strptime(name, "%z").tzinfo if name else None
    except ValueError:
        pass
    try:
        return zoneinfo.ZoneInfo(name)
    except (ValueError, OSError):  # no such zone, or a system that knows none
        return None
