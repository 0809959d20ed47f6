"""The accessor ``.stem`` of xarray Datasets; ``import stemzarr.accessor`` registers it.

Whatever stemzarr opens has it already.
"""

from __future__ import annotations

from typing import Any

import xarray as xr

from stemzarr.errors import OptionError
from stemzarr.labelled import from_dataset, to_dataset
from stemzarr.model import Document
from stemzarr.views import View, apply, virtual_image

__all__ = ["StemAccessor"]


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
            The ring is empty, or the Dataset is no 4D-STEM scan.
        """
        return virtual_image(self.document, inner=inner, outer=outer, center=center)
