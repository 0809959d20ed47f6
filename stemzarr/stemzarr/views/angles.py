"""The detector in mrad and in 1/nm, by the wavelength of the beam."""

from __future__ import annotations

import xarray as xr

from stemzarr.errors import OptionError
from stemzarr.metadata.optics import DETECTOR_UNITS, mrad_per_inverse_nm

__all__ = ["add_angles"]


def add_angles(dataset: xr.Dataset) -> xr.Dataset:
    """Return a Dataset with its detector dims in the kind of units that they have not.

    Raises
    ------
    OptionError
        The beam energy is unknown, or the detector has units of neither kind.
    """
    energy = dataset.attrs.get("beam_energy_keV")
    if energy is None:
        raise OptionError(
            "the beam energy is not known",
            hint="set it: stemzarr calibrate NAME beam_energy_keV=200, or in ds.attrs",
        )
    per_inverse_nm = mrad_per_inverse_nm(float(energy))
    added = {}
    for dim in ("det_y", "det_x"):
        coordinate = dataset.coords[dim]
        units = str(coordinate.attrs.get("units", ""))
        if units not in DETECTOR_UNITS:
            raise OptionError(
                f"{dim} is in {units or 'no units'}, which are neither angles nor frequencies",
                hint=f"calibrate it in one of {', '.join(DETECTOR_UNITS)}",
            )
        angular, factor = DETECTOR_UNITS[units]
        values = coordinate.to_numpy() * factor
        name, target = (f"{dim}_inverse_nm", "1/nm") if angular else (f"{dim}_mrad", "mrad")
        converted = values / per_inverse_nm if angular else values * per_inverse_nm
        attributes = {"units": target, "long_name": f"{coordinate.attrs.get('long_name', dim)}"}
        added[name] = (dim, converted, attributes)
    return dataset.assign_coords(added)
