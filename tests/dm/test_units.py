"""Units of any spelling become those that pint writes."""

import pint
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemzarr.metadata.units import is_calibrated, normalise_units, quantity_of

SPELLINGS = {
    "\u00b5m": [
        "um",
        "\u00b5m",
        "\u03bcm",
        "micron",
        "Microns",
        "u_m",
        "[u_m]",
        r"$\mu$m",
        "micrometre",
    ],
    "nm": ["nm", " nm ", "n_m", "[n_m]", "nanometer", "Nanometres", "nm\x00"],
    "\u00c5": ["A", "\u00c5", "\u212b", "Angstrom", "angstroms", r"$\AA$"],
    "1/nm": [
        "1/nm",
        "nm^-1",
        "nm-1",
        "nm\u207b\u00b9",
        "1 / nm",
        "/nm",
        "[n_m^-1]",
        "1/(nm)",
        "nm**-1",
    ],
    "1/\u00c5": ["1/A", "A^-1", "\u00c5\u207b\u00b9", "$A^{-1}$", "1/\u00c5", "inverse angstrom"],
    "mrad": ["mrad", "milliradian"],
    "deg": ["deg", "\u00b0", "degrees"],
    "eV": ["eV", "ev", "electron volts"],
    "keV": ["keV", "kev"],
    "MeV": ["MeV"],
    "meV": ["meV"],
    "s": ["s", "sec", "seconds"],
    "\u00b5s": ["us", "\u00b5s", "microseconds"],
    "pixel": ["", "px", "pixels", "Pixels", "<undefined>", "channels"],
}
CASES = [(spelling, short) for short, known in SPELLINGS.items() for spelling in known]


@pytest.mark.parametrize(("spelling", "short"), CASES)
def test_spellings(spelling: str, short: str) -> None:
    """Each spelling has one short form, which pint reads and writes the same way."""
    assert normalise_units(spelling) == short
    registry = pint.get_application_registry()
    assert registry.Unit(short) == registry.Unit(f"{registry.Unit(short):~}")


@given(st.text())
def test_any_text_has_a_form(text: str) -> None:
    """Any text gives a form that is its own form; unknown spellings come back."""
    units = normalise_units(text)
    assert normalise_units(units) == units
    quantity_of(units)


def test_case_tells_prefixes_apart() -> None:
    """Capital letters are no slip in a symbol: nothing is guessed."""
    assert normalise_units("Mm") == "Mm"
    assert quantity_of(normalise_units("MeV")) == quantity_of(normalise_units("meV")) == "energy"


def test_counting_is_no_calibration() -> None:
    """Pixels, inverse pixels and nothing at all calibrate nothing."""
    for text in ("", "px", "1/px", "channels", None):
        assert not is_calibrated(normalise_units(text))
    assert is_calibrated("nm")
    assert is_calibrated("\u00b5n")
