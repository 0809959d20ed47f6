"""Calibration as people write it: with units, under any spelling of a fact, or by physics."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from stemzarr.errors import OptionError, QueryError
from stemzarr.metadata.units import is_calibrated, normalise_units, quantity_of, unit_factor
from stemzarr.model import Fact
from stemzarr.store import Change
from stemzarr_catalog.fields import NUMBER, field_of, read_number

__all__ = ["plan_changes", "read_disk_radius", "read_spacing", "scale_by_disk", "spell_facts"]

_SPACING = re.compile(r"(?P<spacing>.+)@(?P<radius>[^@a-z]+?) *(px|pixels?)?")
_STEPS = ("scale", "offset")


def spell_facts(facts: Mapping[str, Fact]) -> dict[str, Fact]:
    """Return facts under their own names and in their own units.

    A fact may be written as a query writes it (``camera_length=12cm``), the step or origin of an
    axis with its unit (``det.scale=0.021/nm``), which sets the units of the axis too.

    Raises
    ------
    OptionError
        A number has a unit of another quantity, or one axis two different units.

    Examples
    --------
    >>> spell_facts({"camera_length": "12cm", "det.scale": "0.021/nm"})
    {'camera_length_mm': 120.0, 'det.scale': 0.021, 'det.units': '1/nm'}
    """
    spelled: dict[str, Fact] = {}
    for written, value in facts.items():
        slug, slash, name = written.rpartition("/")
        for fact, number in _spell(name, value).items():
            key = f"{slug}{slash}{fact}"
            if spelled.setdefault(key, number) != number:
                msg = f"{key} is given as {spelled[key]!r} and as {number!r}"
                raise OptionError(msg, hint="give it once")
    return spelled


def _spell(name: str, value: Fact) -> dict[str, Fact]:
    axis, dot, part = name.rpartition(".")
    match = NUMBER.fullmatch(value.strip()) if isinstance(value, str) else None
    if dot and part in _STEPS and match is not None and match[2]:
        units = normalise_units(match[2])
        if not is_calibrated(units) and axis != "brightness":
            hint = f"write {name}=0.021 and {axis}.units=1/nm, or {name}=0.021/nm"
            raise OptionError(f"{name}={value} has no unit of an axis", hint=hint)
        return {name: float(match[1]), f"{axis}.units": units}
    if dot and part == "units" and isinstance(value, str):
        return {name: normalise_units(value)}
    field = None if dot else field_of(name)
    if field is None:
        return {name: value}
    if match is not None and match[2] and field.type == "number" and isinstance(value, str):
        try:
            return {field.name: read_number(field, value)}
        except QueryError as error:
            raise OptionError(error.message, hint=error.hint) from error
    return {field.name: value}


def read_disk_radius(text: str) -> float:
    """Return an angle in mrad, such as ``20mrad`` or ``1.2deg``; a bare number is in mrad.

    Raises
    ------
    ValueError
        It is not an angle above zero.
    """
    return _quantity(text, "mrad", "angle")


def read_spacing(text: str) -> tuple[float, float]:
    """Return a lattice spacing in nm, and the radius in pixels at which its reflection is.

    Raises
    ------
    ValueError
        It is not written as ``0.224nm@31.5``.

    Examples
    --------
    >>> read_spacing("2.24Å@31.5px")
    (0.224, 31.5)
    """
    match = _SPACING.fullmatch(text.strip())
    if match is None:
        raise ValueError(text)
    radius = float(match["radius"])
    if not 0 < radius < float("inf"):
        raise ValueError(text)
    return _quantity(match["spacing"], "nm", "length"), radius


def _quantity(text: str, unit: str, quantity: str) -> float:
    match = NUMBER.fullmatch(text.strip())
    units = unit if match is None or match[2] is None else normalise_units(match[2])
    if match is None or quantity_of(units) != quantity or float(match[1]) <= 0:
        raise ValueError(text)
    ascii_units = units.replace("µ", "u").replace("Å", "A")
    number = float(match[1]) * _factor(ascii_units, unit)
    return float(f"{number:.12g}")


def _factor(units: str, unit: str) -> float:
    """Return what a number is multiplied by; lengths are known relative to mm."""
    if unit == "nm":
        return unit_factor(units, "mm") / unit_factor("nm", "mm")
    return unit_factor(units, unit)


def scale_by_disk(store: Path, angle_mrad: float) -> dict[str, Fact]:
    """Return the calibration of a detector by the convergence angle, from the central disk.

    The disk that the store found is the image of the aperture: its radius in pixels is the
    semi-angle of convergence, and its centre is zero.

    Parameters
    ----------
    store
        The store of a scan.
    angle_mrad
        Semi-angle of convergence in mrad.

    Raises
    ------
    OptionError
        No central disk was found in it.
    """
    from stemzarr.store.format.tree import read_nodes

    preview = read_nodes(store).get("preview", {})
    disk = preview.get("attributes", {}).get("disk") or {}
    if not disk.get("found"):
        hint = "give the step itself, such as det.scale=0.021/nm"
        raise OptionError("no central disk was found in it", path=store, hint=hint)
    scale = angle_mrad / disk["radius"]
    return {
        "convergence_angle_mrad": angle_mrad,
        "det.scale": scale,
        "det.units": "mrad",
        "det_y.offset": -disk["center_y"] * scale,
        "det_x.offset": -disk["center_x"] * scale,
    }


def plan_changes(store: Path, facts: Mapping[str, Fact]) -> tuple[Change, ...]:
    """Return what `revise` would change in a store; nothing is written.

    Raises
    ------
    OptionError, EntryNotFoundError, DamagedStoreError
        As `stemzarr.store.revise`.
    """
    from stemzarr.store import read_store
    from stemzarr.store.facts import apply_facts

    return apply_facts(read_store(store), facts)[1]
