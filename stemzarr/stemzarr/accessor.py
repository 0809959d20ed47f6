"""The accessor ``.stem`` of xarray Datasets; ``import stemzarr.accessor`` registers it.

Whatever stemzarr opens has it already.
"""

from __future__ import annotations

from typing import Any

import xarray as xr

from stemzarr.errors import OptionError
from stemzarr.labelled import from_dataset, to_dataset
from stemzarr.metadata.optics import mrad_per_inverse_nm
from stemzarr.model import Document
from stemzarr.views import View, apply, virtual_image
from stemzarr.views.notebook import document_html

__all__ = ["StemAccessor"]

_DETECTOR_UNITS = {
    "1/nm": (False, 1.0),
    "1/Å": (False, 10.0),
    "1/pm": (False, 1000.0),
    "1/µm": (False, 1e-3),
    "mrad": (True, 1.0),
    "rad": (True, 1e3),
    "µrad": (True, 1e-3),
}
"""Units of a detector axis → whether they are angles, and their size in mrad or 1/nm."""


@xr.register_dataset_accessor("stem")  # type: ignore[no-untyped-call]
class StemAccessor:
    """What can be asked of a 4D-STEM Dataset, in the units of its axes.

    Parameters
    ----------
    dataset
        With ``intensity``, as stemzarr opens it, or what an analysis selected from that.
    """

    def __init__(self, dataset: xr.Dataset) -> None:
        self._dataset = dataset

    @property
    def document(self) -> Document:
        """The Dataset as a document: what exporters, views and loaders take.

        Raises
        ------
        UnsupportedDataError
            There is no ``intensity``, or its dims and coordinates are those of no document.
        """
        return from_dataset(self._dataset)

    def _repr_html_(self) -> str:
        """Return what a notebook shows: title, axes and view; no value is read."""
        return document_html(self.document)

    def view(self, view: View | None = None, /, **recipe: Any) -> xr.Dataset:  # noqa: ANN401
        """Return the Dataset through a view, lazily, with exact coordinates.

        Parameters
        ----------
        view
            The recipe.
        **recipe
            The fields of a `View` instead: ``scan_step=2, downsample=2, method="fft"``.

        Returns
        -------
        xarray.Dataset
            Backed by dask; patterns are rendered when they are computed. Only a normalisation
            that needs statistics of the whole reads the values once at once.

        Raises
        ------
        OptionError, UnsupportedDataError
            The recipe cannot work, or does not fit the Dataset.
        """
        if view is not None and recipe:
            raise OptionError("a view and its fields exclude each other", hint="give one of them")
        chosen = view or View.from_json(recipe)
        rendered = to_dataset(apply(self.document, chosen))
        return rendered.chunk(rendered["intensity"].encoding["preferred_chunks"])

    def with_angles(self) -> xr.Dataset:
        """Return the Dataset with the detector in mrad and in 1/nm, whichever it has not.

        Returns
        -------
        xarray.Dataset
            With the further coordinates ``det_y_mrad`` and ``det_x_mrad``, or ``det_y_inverse_nm``
            and ``det_x_inverse_nm``, along the detector dims; the dims themselves stay as they
            are. An angle is wavelength times spatial frequency.

        Raises
        ------
        OptionError
            The beam energy is unknown, or the detector has units of neither kind.
        """
        energy = self._dataset.attrs.get("beam_energy_keV")
        if energy is None:
            raise OptionError(
                "the beam energy is not known",
                hint="set it: stemzarr calibrate NAME beam_energy_keV=200, or in ds.attrs",
            )
        per_inverse_nm = mrad_per_inverse_nm(float(energy))
        added = {}
        for dim in ("det_y", "det_x"):
            coordinate = self._dataset.coords[dim]
            units = str(coordinate.attrs.get("units", ""))
            if units not in _DETECTOR_UNITS:
                raise OptionError(
                    f"{dim} is in {units or 'no units'}, which are neither angles nor frequencies",
                    hint=f"calibrate it in one of {', '.join(_DETECTOR_UNITS)}",
                )
            angular, factor = _DETECTOR_UNITS[units]
            values = coordinate.to_numpy() * factor
            name, target = (f"{dim}_inverse_nm", "1/nm") if angular else (f"{dim}_mrad", "mrad")
            converted = values / per_inverse_nm if angular else values * per_inverse_nm
            attributes = {"units": target, "long_name": f"{coordinate.attrs.get('long_name', dim)}"}
            added[name] = (dim, converted, attributes)
        return self._dataset.assign_coords(added)

    def virtual_image(
        self,
        *,
        inner: float = 0.0,
        outer: float | None = None,
        center: tuple[float, float] | None = None,
    ) -> xr.DataArray:
        """Return the sum over a ring of the detector at every scan position, computed at once.

        Parameters
        ----------
        inner, outer
            Radii of the ring in the units of the detector axes; a pixel counts when its centre is
            at least `inner` and less than `outer` away from `center`. No `outer` means all beyond.
        center
            Position (det_y, det_x) in the units of the detector axes; by default the centre of
            mass of the bright central disk.

        Returns
        -------
        xarray.DataArray
            (scan_y, scan_x); integers for integer data, so that nothing overflows or rounds.

        Raises
        ------
        OptionError, UnsupportedDataError
            The ring is empty, `center` is not a pair of numbers, or this is not a 4D-STEM scan.
        """
        return virtual_image(self.document, inner=inner, outer=outer, center=center)
