"""Electron optics: scattering angle and spatial frequency of one detector pixel."""

from __future__ import annotations

import math

__all__ = ["DETECTOR_UNITS", "electron_wavelength_nm", "mrad_per_inverse_nm"]

DETECTOR_UNITS = {
    "1/nm": (False, 1.0),
    "1/Å": (False, 10.0),
    "1/pm": (False, 1000.0),
    "1/µm": (False, 1e-3),
    "mrad": (True, 1.0),
    "rad": (True, 1e3),
    "µrad": (True, 1e-3),
}
"""Units of a detector axis → whether they are angles, and their size in mrad or 1/nm."""

_PLANCK = 6.62607015e-34  # J s, exact since 2019
_CHARGE = 1.602176634e-19  # C, exact since 2019
_MASS = 9.1093837139e-31  # kg, CODATA 2022
_LIGHT = 299792458.0  # m/s, exact


def electron_wavelength_nm(beam_energy_keV: float) -> float:  # noqa: N803 - the unit's own letters
    """Return the relativistic wavelength of electrons in nm.

    Equation 2.5 of L. Reimer and H. Kohl, Transmission Electron Microscopy (Springer, 2008):
    lambda = h / sqrt(2 m E (1 + E / (2 m c^2))).

    Parameters
    ----------
    beam_energy_keV
        Kinetic energy in keV, positive.

    Examples
    --------
    >>> round(electron_wavelength_nm(300.0) * 1e3, 4)
    1.9687
    """
    energy = beam_energy_keV * 1e3 * _CHARGE
    momentum = math.sqrt(2 * _MASS * energy * (1 + energy / (2 * _MASS * _LIGHT**2)))
    return _PLANCK / momentum * 1e9


def mrad_per_inverse_nm(beam_energy_keV: float) -> float:  # noqa: N803 - the unit's own letters
    """Return the scattering angle in mrad of the spatial frequency 1/nm, for small angles.

    The angle of a frequency k is 2 asin(lambda k / 2); lambda k differs from it by less than
    0.1 % below 150 mrad.

    Examples
    --------
    >>> round(mrad_per_inverse_nm(200.0), 3)
    2.508
    """
    return electron_wavelength_nm(beam_energy_keV) * 1e3
