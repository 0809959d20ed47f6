"""How the formats spell units, and how pint writes the same ones short."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from typing import Final, Literal

__all__ = [
    "UNITS",
    "Quantity",
    "is_calibrated",
    "normalise_units",
    "quantity_of",
    "spell_unit",
    "unit_factor",
]

Quantity = Literal["length", "reciprocal length", "angle", "energy", "time", "none", "other"]

UNCALIBRATED: Final = "pixel"
"""What pint calls a unit of nothing but counting."""

# Multiples of the smallest unit, which are whole numbers, so that no quotient is rounded twice.
_LENGTHS = {"pm": 1.0, "A": 1e2, "nm": 1e3, "um": 1e6, "mm": 1e9, "cm": 1e10, "m": 1e12}
_TIMES = {"ns": 1.0, "us": 1e3, "ms": 1e6, "s": 1e9, "min": 6e10, "h": 3.6e12}
_ENERGIES = {"eV": 1.0, "keV": 1e3, "kV": 1e3, "MeV": 1e6, "V": 1.0}
_CURRENTS = {"pA": 1.0, "nA": 1e3, "uA": 1e6, "A": 1e12}
_ANGLES = {"urad": 1.0, "mrad": 1e3, "rad": 1e6, "deg": math.pi / 180 * 1e6}
_BYTES = {
    "B": 1.0,
    **{f"{prefix}B": 1000.0**power for power, prefix in enumerate("kMGT", start=1)},
    **{f"{prefix}iB": 1024.0**power for power, prefix in enumerate("KMGT", start=1)},
}
UNITS: Final[Mapping[str, Mapping[str, float]]] = {
    "keV": _ENERGIES,
    "mm": _LENGTHS,
    "s": _TIMES,
    "nA": _CURRENTS,
    "mrad": _ANGLES,
    "deg": _ANGLES,
    "B": _BYTES,
}
"""For the unit of a fact, the units of its quantity, each as a multiple of a common one."""

_MICRO = "\N{MICRO SIGN}"
_ANGSTROM = "\N{LATIN CAPITAL LETTER A WITH RING ABOVE}"

_METRES = {"p": "pico", "n": "nano", _MICRO: "micro", "m": "milli", "c": "centi", "": ""}
_VOLTS = {"m": "milli", "k": "kilo", "M": "mega", "": ""}
_SECONDS = {"n": "nano", _MICRO: "micro", "m": "milli", "": ""}
_RADIANS = {_MICRO: "micro", "m": "milli", "": ""}


def _spellings() -> dict[str, str]:
    """Return short name of each spelling; words in lower case, symbols as they are."""
    table = {"": UNCALIBRATED}
    for names, prefixes, symbol in (
        (("metre", "meter"), _METRES, "m"),
        (("electronvolt", "electron volt", "electron_volt"), _VOLTS, "eV"),
        (("second",), _SECONDS, "s"),
        (("radian",), _RADIANS, "rad"),
    ):
        for short, long in prefixes.items():
            known = [short + symbol, *(long + name + s for name in names for s in ("", "s"))]
            if short == _MICRO:
                known.append("u" + symbol)
            table |= dict.fromkeys(known, short + symbol)
    for short, known_as in {
        UNCALIBRATED: "px pix pixel pixels channel channels point points slice slices none "
        "<undefined> undefined",
        _ANGSTROM: f"{_ANGSTROM} A Ang angstrom angstroms angstroem",
        f"{_MICRO}m": "micron microns um u_m",
        "nm": "n_m",
        "pm": "p_m",
        "mm": "m_m",
        "eV": "ev EV Ev",
        "keV": "kev KeV KEV",
        "s": "sec secs",
        "ms": "msec",
        f"{_MICRO}s": "usec u_s",
        "min": "minute minutes",
        "deg": "deg degs degree degrees \N{DEGREE SIGN}",
        "count": "counts count cts",
        "K": "kelvin",
    }.items():
        table |= dict.fromkeys(known_as.split(), short)
    return table


_SPELLINGS: Final = _spellings()
_LONGEST_SYMBOL = 3
_QUANTITIES: Final[dict[str, Quantity]] = {
    UNCALIBRATED: "none",
    "deg": "angle",
    _ANGSTROM: "length",
    "min": "time",
    **dict.fromkeys((prefix + "m" for prefix in _METRES), "length"),
    **dict.fromkeys((prefix + "rad" for prefix in _RADIANS), "angle"),
    **dict.fromkeys((prefix + "eV" for prefix in _VOLTS), "energy"),
    **dict.fromkeys((prefix + "s" for prefix in _SECONDS), "time"),
}
_INVERSE = re.compile(
    r"(?:1?\s*/\s*\(?(?P<over>[^()/^]+?)\)?"
    r"|(?:inverse|reciprocal)[ _](?P<word>[^()/^]+)"
    r"|\(?(?P<power>[^()/^*]+?)\)?\s*(?:\^|\*\*)?\s*\{?\(?\s*-\s*1(?:\.0)?\s*\)?\}?)"
)


def _clean(text: str) -> str:
    """Return `text` in one Unicode form, without TeX, brackets and outer space."""
    text = text.replace("\N{SUPERSCRIPT MINUS}", "-").replace("\N{MINUS SIGN}", "-")
    text = unicodedata.normalize("NFKC", text).replace("\N{GREEK SMALL LETTER MU}", _MICRO)
    for tex, plain in (("$", ""), (r"\mu", _MICRO), (r"\AA", _ANGSTROM), ("\x00", "")):
        text = text.replace(tex, plain)
    return text.strip().removeprefix("[").removesuffix("]").strip()


def _symbol(text: str) -> str | None:
    words = len(text) > _LONGEST_SYMBOL
    return _SPELLINGS.get(text.lower() if words and text not in _SPELLINGS else text)


def normalise_units(text: str | None) -> str:
    """Return units as pint writes them short.

    Parameters
    ----------
    text
        Units as a source spells them. A lone ``A`` is the ångström: no axis is in amperes.

    Returns
    -------
    str
        ``nm``, ``1/nm``, ``mrad``, ``eV`` …; ``pixel`` for no units at all; a spelling that
        nobody knows comes back as it is, without its outer space.

    Examples
    --------
    >>> normalise_units("um"), normalise_units("A^-1"), normalise_units("")
    ('µm', '1/Å', 'pixel')
    """
    cleaned = _clean(text or "")
    known = _symbol(cleaned)
    if known is not None:
        return known
    match = _INVERSE.fullmatch(cleaned)
    if match is not None:
        below = _symbol((match["over"] or match["word"] or match["power"]).strip())
        if below is not None:
            return f"1/{below}"
    return cleaned


def quantity_of(units: str) -> Quantity:
    """Return what normalised units measure; ``other`` where we do not know them.

    Examples
    --------
    >>> quantity_of("1/nm"), quantity_of("µm"), quantity_of("pixel")
    ('reciprocal length', 'length', 'none')
    """
    if units.startswith("1/"):
        below = _QUANTITIES.get(units.removeprefix("1/"), "other")
        if below == "none":
            return "none"
        return "reciprocal length" if below == "length" else "other"
    return _QUANTITIES.get(units, "other")


def is_calibrated(units: str) -> bool:
    """Return whether normalised units say more than the number of pixels."""
    return quantity_of(units) != "none"


def unit_factor(unit: str, target: str) -> float:
    """Return what a number in `unit` is multiplied by to be in `target`.

    One of them is the unit of a fact. The factor is 1 where they have no quantity in common.

    Examples
    --------
    >>> unit_factor("V", "keV"), unit_factor("m", "mm"), unit_factor("", "s")
    (0.001, 1000.0, 1.0)
    """
    sizes = UNITS.get(target, UNITS.get(unit, {}))
    return sizes[unit] / sizes[target] if unit in sizes and target in sizes else 1.0


def spell_unit(text: str, target: str) -> str | None:
    """Return the unit that `text` means beside `target`, in any case where that is clear.

    Examples
    --------
    >>> spell_unit("µs", "s"), spell_unit("kv", "keV")
    ('us', 'kV')
    """
    known = UNITS.get(target, {})
    plain = text.strip().replace("µ", "u").replace("μ", "u").replace("°", "deg").replace("Å", "A")
    if plain in known:
        return plain
    same = [name for name in known if name.lower() == plain.lower()]
    return same[0] if len(same) == 1 else None
