"""What a query may speak of: the fields of an entry, their types and units."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = [
    "FIELDS",
    "UNITS",
    "Field",
    "FieldType",
    "field_of",
    "nearest",
    "nearest_fields",
    "spell_unit",
]

FieldType = Literal["text", "number", "date", "flag"]

_LENGTH = {"pm": 1e-12, "A": 1e-10, "nm": 1e-9, "um": 1e-6, "mm": 1e-3, "cm": 1e-2, "m": 1.0}
_TIME = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}
_ENERGY = {"eV": 1.0, "keV": 1e3, "kV": 1e3, "MeV": 1e6, "V": 1.0}
_CURRENT = {"pA": 1e-12, "nA": 1e-9, "uA": 1e-6, "A": 1.0}
_ANGLE = {"urad": 1e-6, "mrad": 1e-3, "rad": 1.0, "deg": 0.017453292519943295}
_BYTES = {
    "B": 1.0,
    **{f"{prefix}B": 1000.0**power for power, prefix in enumerate("kMGT", start=1)},
    **{f"{prefix}iB": 1024.0**power for power, prefix in enumerate("KMGT", start=1)},
}

UNITS: Mapping[str, Mapping[str, float]] = {
    "keV": _ENERGY,
    "mm": _LENGTH,
    "s": _TIME,
    "nA": _CURRENT,
    "mrad": _ANGLE,
    "deg": _ANGLE,
    "B": _BYTES,
}
"""For the unit of a field, the units that a query may use, each as a multiple of a common one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One property of an entry."""

    name: str
    """Name as the store's attributes spell it; also the column of the index."""
    type: FieldType
    """How values compare."""
    unit: str = ""
    """Unit of the stored number, a key of `UNITS`; empty for bare numbers."""
    meaning: str = ""
    """What the field says, for lists of fields."""


_NUMBERS = {
    "beam_energy_keV": ("keV", "energy of the beam"),
    "camera_length_mm": ("mm", "camera length"),
    "convergence_angle_mrad": ("mrad", "semi-angle of convergence"),
    "magnification": ("", "indicated magnification"),
    "exposure_s": ("s", "exposure of one frame"),
    "dwell_time_s": ("s", "time spent at one scan position"),
    "probe_current_nA": ("nA", "current of the probe"),
    "spot_size": ("", "index of the spot size"),
    "scan_rotation_deg": ("deg", "rotation of the scan"),
    "tilt_alpha_deg": ("deg", "stage tilt alpha"),
    "tilt_beta_deg": ("deg", "stage tilt beta"),
    "scan_y": ("", "scan positions down"),
    "scan_x": ("", "scan positions across"),
    "det_y": ("", "detector pixels down"),
    "det_x": ("", "detector pixels across"),
    "y": ("", "pixels down"),
    "x": ("", "pixels across"),
    "energy": ("", "energy channels"),
    "frame": ("", "frames of a stack"),
    "ndim": ("", "number of dims"),
    "size": ("B", "size of the source"),
    "stored": ("B", "size of the store"),
    "documents": ("", "documents in the store"),
    "exports": ("", "exports made from it"),
}
_TEXTS = {
    "name": "name of the entry",
    "title": "title of the main document",
    "kind": "what the main document is",
    "dtype": "type of its values",
    "instrument": "microscope",
    "detector": "camera or detector",
    "operator": "who acquired it",
    "specimen": "what was looked at",
    "session": "session as the source names it",
    "software": "program that wrote the source",
    "source": "name of the source",
    "format": "format of the source",
    "layout": "order of the axes in the source",
    "hash": "digest of the source",
    "remark": "what a person wrote about it",
}

FIELDS: Mapping[str, Field] = {
    field.name: field
    for field in (
        *(Field(name=name, type="text", meaning=text) for name, text in _TEXTS.items()),
        *(
            Field(name=name, type="number", unit=unit, meaning=text)
            for name, (unit, text) in _NUMBERS.items()
        ),
        Field(name="acquired", type="date", meaning="when it was acquired"),
        Field(name="ingested", type="date", meaning="when it was ingested"),
        Field(name="complete", type="flag", meaning="whether the source holds all it declares"),
        Field(name="rebuildable", type="flag", meaning="whether the source can be given back"),
        Field(name="virtual", type="flag", meaning="whether only labels are stored"),
    )
}
"""Every field that the index keeps in a column of its own."""


_OTHER_WORDS = {
    "voltage": "beam_energy_keV",
    "high_tension": "beam_energy_keV",
    "microscope": "instrument",
    "camera": "detector",
    "user": "operator",
    "sample": "specimen",
    "material": "specimen",
    "date": "acquired",
    "time": "acquired",
    "day": "acquired",
    "file": "source",
    "filename": "source",
    "type": "kind",
    "comment": "remark",
    "note": "remark",
}
"""What people call a field, for hints; a field of their own may have such a name."""
_SHORT = 2


def _spellings() -> dict[str, str]:
    """Return the field of each accepted spelling, in lower case: with or without its unit."""
    spellings = {}
    for field in FIELDS.values():
        spellings[field.name.lower()] = field.name
        if field.unit and field.name.endswith(f"_{field.unit}"):
            spellings[field.name.removesuffix(f"_{field.unit}").lower()] = field.name
    return spellings


_SPELLINGS = _spellings()


def field_of(text: str) -> Field | None:
    """Return the field that `text` names, without regard to case, with or without its unit.

    Examples
    --------
    >>> field_of("Exposure").name
    'exposure_s'
    """
    name = _SPELLINGS.get(text.lower())
    return None if name is None else FIELDS[name]


def spell_unit(text: str, field: Field) -> str | None:
    """Return the unit of a field that `text` means, without regard to case where that is clear.

    Examples
    --------
    >>> spell_unit("µs", FIELDS["exposure_s"]), spell_unit("kv", FIELDS["beam_energy_keV"])
    ('us', 'kV')
    """
    known = UNITS.get(field.unit, {})
    plain = text.strip().replace("µ", "u").replace("μ", "u").replace("°", "deg").replace("Å", "A")
    if plain in known:
        return plain
    same = [name for name in known if name.lower() == plain.lower()]
    return same[0] if len(same) == 1 else None


def nearest(text: str, known: Iterable[str], count: int = 3) -> list[str]:
    """Return the known words that are spelled most like `text`, best first."""
    by_lower = {word.lower(): word for word in known}
    close = difflib.get_close_matches(text.lower(), by_lower, n=count, cutoff=0.5)
    return [by_lower[word] for word in close]


def nearest_fields(text: str, more: Iterable[str] = ()) -> list[str]:
    """Return the fields, among the built-in ones and `more`, that `text` most probably means.

    Examples
    --------
    >>> nearest_fields("voltage"), nearest_fields("kimd")
    (['beam_energy_keV'], ['kind', 'ndim'])
    """
    means = _OTHER_WORDS.get(text.lower())
    if means is not None:
        return [means]
    close = nearest(text, [*_SPELLINGS, *more])
    if not close:
        parts = {part for part in re.split(r"[\W_]+", text.lower()) if len(part) > _SHORT}
        close = [name for name in FIELDS if parts & set(name.lower().split("_"))]
    return list(dict.fromkeys(_SPELLINGS.get(name.lower(), name) for name in close))
