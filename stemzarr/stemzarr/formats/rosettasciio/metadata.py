"""Metadata of RosettaSciIO's plugins, arranged as HyperSpy does on loading."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from stemzarr.formats.rosettasciio.mrc_axes import find_record, read_record, record_facts
from stemzarr.metadata.finding import finite_number

__all__ = ["find_parts", "find_value", "map_metadata"]

_TEM: Final = "Acquisition_instrument.TEM"
_WRONG: Final = frozenset({("Blockfile", f"{_TEM}.camera_length")})
"""Metadata that a plugin derives in other units than the model that it fills has."""
_FURTHER: Final[dict[str, dict[str, tuple[str, Callable[[Any], Any] | None]]]] = {
    "TIA": {
        "ObjectInfo.ExperimentalDescription.Stem rotation_deg": (f"{_TEM}.scan_rotation", None),
        "ObjectInfo.ExperimentalDescription.Spot size": (f"{_TEM}.spot_size", finite_number),
        "ObjectInfo.ExperimentalConditions.MicroscopeConditions.AcceleratingVoltage": (
            f"{_TEM}.beam_energy",
            lambda volts: float(volts) * 1e-3,
        ),
    }
}
"""What a plugin's own mapping leaves out, by the plugin's name."""


def map_metadata(plugin: str, path: Path, signal: Mapping[str, Any]) -> dict[str, Any]:
    """Return a signal's metadata, with what HyperSpy would derive from the original on loading."""
    metadata = _merge(signal.get("metadata") or {}, {})
    original = signal.get("original_metadata") or {}
    mapping = {**(signal.get("mapping") or {}), **_FURTHER.get(plugin, {})}
    for key, (target, convert) in mapping.items():
        value = find_value(original, key)
        if value is None or (plugin, target) in _WRONG:
            continue
        try:
            derived = value if convert is None else convert(value)
        except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError):
            continue
        _put(metadata, target.split("."), derived)
    if plugin == "TIA":
        _name_dwell_time(metadata, original)
    beside = find_record(path) if plugin == "MRC" else None
    return _merge(record_facts(read_record(beside)), metadata) if beside else metadata


def _name_dwell_time(metadata: dict[str, Any], original: Mapping[str, Any]) -> None:
    """Call the exposure of an image that no camera took its dwell time too."""
    info = "ObjectInfo.AcquireInfo"
    if find_value(original, f"{info}.CameraNamePath") is None:
        value = find_value(original, f"{info}.DwellTimePath")
        if value is not None:
            _put(metadata, f"{_TEM}.dwell_time".split("."), value)


def find_parts(plugin: str, path: Path) -> tuple[Path, ...]:
    """Return the further files that a plugin reads with one of its format.

    Direct Electron's record, the values of a Ripple file.
    """
    if plugin == "MRC":
        record = find_record(path)
        return () if record is None else (record,)
    if plugin == "Ripple":
        beside = (path.with_suffix(suffix) for suffix in (".raw", ".RAW"))
        return tuple(one for one in beside if one.is_file())[:1]
    return ()


def find_value(tree: Mapping[str, Any], path: str) -> Any:  # noqa: ANN401 - whatever is there
    """Return what a tree holds at a dotted path, None where nothing does.

    Names are compared as HyperSpy spells them: blanks as underscores, without other signs.

    Examples
    --------
    >>> find_value({"High tension_kV": 200.0}, "High_tension_kV")
    200.0
    """
    value: Any = tree
    for part in path.split("."):
        if not isinstance(value, Mapping):
            return None
        if part not in value:
            part = next((key for key in value if _slug(key) == part), part)  # noqa: PLW2901
        value = value.get(part)
    return value


def _slug(key: object) -> str:
    return re.sub(r"[^\w-]", "", str(key).replace(" ", "_"), flags=re.ASCII)


def _merge(over: Mapping[str, Any], below: Mapping[str, Any]) -> dict[str, Any]:
    """Return two trees as one of dicts that may be written to; what `over` has outranks."""
    merged = {str(key): value for key, value in {**below, **over}.items()}
    for key, value in merged.items():
        if isinstance(value, Mapping):
            known = below.get(key)
            merged[key] = _merge(value, known if isinstance(known, Mapping) else {})
    return merged


def _put(tree: dict[str, Any], parts: Sequence[str], value: object) -> None:
    """Write a value at a path, unless something is there already."""
    for part in parts[:-1]:
        below = tree.setdefault(part, {})
        if not isinstance(below, dict):
            return
        tree = below
    tree.setdefault(parts[-1], value)
