"""The accessor ``.stem`` of xarray Datasets; ``import stemzarr.accessor`` registers it.

Whatever stemzarr opens has it already.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from stemzarr.bridges.hand_over import HandOver
from stemzarr.errors import MissingDependencyError, OptionError
from stemzarr.labelled import from_dataset, to_dataset
from stemzarr.model import Document
from stemzarr.options import ColourMap, ExportOptions
from stemzarr.pixels.resources import Resources
from stemzarr.pixels.workers import Workers
from stemzarr.views import View, apply, virtual_image
from stemzarr.views.angles import add_angles
from stemzarr.views.deflection import Correction, center_of_mass, deflection
from stemzarr.views.likeness import likeness
from stemzarr.views.notebook import document_html
from stemzarr.views.patterns import mean_pattern, pattern, radial_profile
from stemzarr.views.plot import plot_scan
from stemzarr.views.view import BadPixels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from stemzarr.explorer.notebook import ExplorerWidget
    from stemzarr.exporting import ExportResult

__all__ = ["StemAccessor"]


@xr.register_dataset_accessor("stem")  # type: ignore[no-untyped-call]
class StemAccessor(HandOver):
    """What can be asked of a 4D-STEM Dataset, in the units of its axes.

    Parameters
    ----------
    dataset
        With ``intensity``, as stemzarr opens it, or what an analysis selected from that.

    Examples
    --------
    In those below ``scan`` is ``stemzarr.open("scan.dm4")``. A part of it will do as well:

    >>> scan.isel(scan_x=slice(0, 4)).stem.pattern(1, 2).dims
    ('det_y', 'det_x')
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

        See Also
        --------
        stemzarr.View : The fields, in the order in which they are applied.

        Examples
        --------
        >>> scan.stem.view(scan_step=2, downsample=2, method="fft").intensity.shape
        (4, 5, 8, 8)
        """
        if view is not None and recipe:
            raise OptionError("a view and its fields exclude each other", hint="give one of them")
        chosen = view or View.from_json(recipe)
        rendered = to_dataset(apply(self.document, chosen))
        rendered.encoding = {k: v for k, v in self._dataset.encoding.items() if k == "source"}
        return rendered.chunk(rendered["intensity"].encoding["preferred_chunks"])

    def export(
        self,
        dest: str | os.PathLike[str],
        *,
        format: str | None = None,  # noqa: A002 - named as the option is
        **options: Any,  # noqa: ANN401 - the fields of ExportOptions
    ) -> ExportResult:
        """Write the Dataset, as it was opened, selected or computed, into a file.

        Parameters
        ----------
        dest
            The file; it appears when it is complete.
        format
            Name of the exporter; by default the suffix of `dest` decides.
        **options
            The fields of `stemzarr.ExportOptions`, such as ``overwrite=True``.

        Returns
        -------
        ExportResult
            As `stemzarr.export`; its provenance says what of the file was taken.

        Raises
        ------
        StoreExistsError, UnknownFormatError, UnsupportedDataError, OptionError
            As `stemzarr.export`, or the Dataset stands for no document.
        """
        from stemzarr.exporting import export

        return export(self._dataset, dest, format=format, options=ExportOptions(**options))

    def widen(self) -> xr.Dataset:
        """Return the Dataset with values that can be subtracted, multiplied and summed.

        Counts are small unsigned integers, which wrap in numpy and dask without a word: 3 - 5 is
        65534, and 300 · 300 is 24464.

        Returns
        -------
        xarray.Dataset
            ``intensity`` as int64, as float64 where it has more than 32 bits or is uint32, as it
            is where it is no integer; lazily, so that nothing is read.
        """
        array = self._dataset["intensity"]
        if array.dtype.kind not in "biu":
            return self._dataset
        small = array.dtype.itemsize < np.dtype(np.uint32).itemsize or array.dtype == np.int32
        if array.chunks is None:
            preferred = array.encoding.get("preferred_chunks", {})
            array = array.chunk({dim: preferred.get(dim, -1) for dim in array.dims})
        wide = array.astype(np.int64 if small else np.float64, keep_attrs=True)
        return self._dataset.assign(intensity=wide)

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

        Examples
        --------
        >>> scan.stem.with_angles().det_x_mrad.attrs["units"]
        'mrad'
        """
        return add_angles(self._dataset)

    def _mended(self, bad_pixels: BadPixels | None) -> Document:
        return apply(self.document, View(bad_pixels=bad_pixels))

    def virtual_image(  # noqa: PLR0913 - what may vary, one by one
        self,
        *,
        inner: float = 0.0,
        outer: float | None = None,
        center: Sequence[float] | None = None,
        rect: Sequence[float] | None = None,
        mask: ArrayLike | None = None,
        approximate: bool = False,
        bad_pixels: BadPixels | None = None,
        client: Workers = None,
    ) -> xr.DataArray:
        """Return the sum over a part of the detector at every scan position, computed at once.

        Parameters
        ----------
        inner, outer
            Radii of a ring in the units of the detector axes; a pixel counts when its centre is
            at least `inner` and less than `outer` away from `center`. No `outer` means all beyond.
        center
            Position (det_y, det_x) in the units of the detector axes; by default the centre of the
            bright central disk.
        rect
            (top, bottom, left, right) in the same units instead, the upper ends left out.
        mask
            (det_y, det_x) booleans instead.
        approximate
            Whether tile sums that a store keeps may stand for the pixels at the edge of the
            detector; the attribute ``largest_error`` then says how far off a value may be.
        bad_pixels
            ``mask`` leaves out those that were found, too, and ``median`` replaces all by their
            neighbours; by default those that the file names are left out.
        client
            A ``dask.distributed.Client`` whose workers do it; the result has the same bits.

        Returns
        -------
        xarray.DataArray
            (scan_y, scan_x); integers for integer data, so that nothing overflows or rounds. A
            detector that is made of whole tiles takes a hundredth of the time.

        Raises
        ------
        OptionError, UnsupportedDataError
            The detector is empty or has not its form, or this is not a 4D-STEM scan.

        See Also
        --------
        center_of_mass, dpc : Where the intensity is, in place of how much.

        Examples
        --------
        >>> scan.stem.virtual_image(outer=0.05).dims
        ('scan_y', 'scan_x')
        >>> scan.stem.virtual_image(mask=scan.stem.mean_pattern() > 1).dtype
        dtype('uint32')
        """
        return virtual_image(
            self._mended(bad_pixels),
            inner=inner,
            outer=outer,
            center=center,
            rect=rect,
            mask=mask,
            approximate=approximate,
            client=client,
        )

    def center_of_mass(
        self,
        *,
        mask: ArrayLike | None = None,
        center: tuple[float, float] | None = None,
        rotation: float = 0.0,
        flip: bool = False,
        bad_pixels: BadPixels | None = None,
        client: Workers = None,
        **ring: Any,  # noqa: ANN401 - radii, or rect
    ) -> xr.Dataset:
        """Return the centre of mass of every pattern, as its shift from a centre.

        Parameters
        ----------
        mask
            (det_y, det_x) booleans: the pixels that count; all by default.
        center
            What shifts are counted from, in the units of the detector axes; by default the centre
            of the central disk.
        rotation, flip
            Rotation of the shifts in degrees, clockwise on the screen, and whether their y
            component is negated before, as LiberTEM has them.
        bad_pixels, client
            As in `virtual_image`.
        **ring
            `inner`, `outer` or `rect` in place of `mask`, as in `virtual_image`.

        Returns
        -------
        xarray.Dataset
            ``com_y`` and ``com_x`` (scan_y, scan_x) in the units of the detector axes, NaN where a
            pattern is empty. Of the whole detector they are there in a store.

        Raises
        ------
        OptionError, UnsupportedDataError
            The detector is empty or has not its form, its axes have units that do not go
            together, or this is not a 4D-STEM scan.

        See Also
        --------
        dpc : The mean subtracted, the rotation of the scan undone.

        Examples
        --------
        >>> sorted(scan.stem.center_of_mass(outer=0.1))
        ['com_x', 'com_y']
        """
        correction = Correction(rotation=rotation, flip=flip)
        how = {"mask": mask, "resources": Resources(client=client), **ring}
        document = self._mended(bad_pixels)
        return center_of_mass(document, center=center, correction=correction, **how)

    def dpc(
        self,
        *,
        rotation: float | None = None,
        flip: bool | None = None,
        bad_pixels: BadPixels | None = None,
        client: Workers = None,
        **how: Any,  # noqa: ANN401 - as in center_of_mass
    ) -> xr.Dataset:
        """Return the deflection of the beam at every position (differential phase contrast).

        Parameters
        ----------
        rotation, flip
            As in `center_of_mass`; where neither is given, those that leave the least curl.
        bad_pixels, client
            As in `virtual_image`.
        **how
            The other arguments of `center_of_mass`.

        Returns
        -------
        xarray.Dataset
            ``com_y``, ``com_x``, ``magnitude`` and ``direction``, the mean subtracted; attributes
            say rotation and flip. Negative divergence is at atoms, as in LiberTEM.

        Raises
        ------
        OptionError, UnsupportedDataError
            As `center_of_mass`, or the scan is too small to have a curl.

        See Also
        --------
        center_of_mass : The shifts as they are.

        Examples
        --------
        >>> scan.stem.dpc(rotation=12.5, flip=False).attrs["rotation_deg"]
        12.5
        """
        how["resources"] = Resources(client=client)
        return deflection(self._mended(bad_pixels), rotation=rotation, flip=flip, **how)

    def radial_profile(
        self,
        region: str | ArrayLike = "",
        *,
        center: Sequence[float] | None = None,
        client: Workers = None,
    ) -> xr.DataArray:
        """Return the mean intensity over rings around a centre, (radius,).

        Parameters
        ----------
        region
            Which positions, as in `mean_pattern`.
        center, client
            As in `virtual_image`.

        Returns
        -------
        xarray.DataArray
            Mean of the pixels of each ring; ``radius`` is in the units of the detector.

        Raises
        ------
        OptionError, UnsupportedDataError
            The region is not one of the scan, or this is not a 4D-STEM scan.

        Examples
        --------
        >>> scan.stem.radial_profile("scan_y=0:2").dims
        ('radius',)
        """
        resources = Resources(client=client)
        return radial_profile(self.document, region, center=center, resources=resources)

    def pattern(self, y: int, x: int) -> xr.DataArray:
        """Return the pattern (det_y, det_x) at a scan position, counted from 0.

        Raises
        ------
        OptionError, UnsupportedDataError
            There is no such position, or this is not a 4D-STEM scan.

        Examples
        --------
        >>> scan.stem.pattern(3, 4).sizes["det_y"]
        16
        """
        return pattern(self.document, y, x)

    def mean_pattern(self, region: str | ArrayLike = "", *, client: Workers = None) -> xr.DataArray:
        """Return the mean pattern (det_y, det_x) of the scan or of a region of it.

        Parameters
        ----------
        region
            ``scan_y=10:20,scan_x=5:9`` as in a view's `roi`, or booleans (scan_y, scan_x).
        client
            As in `virtual_image`.

        Raises
        ------
        OptionError, UnsupportedDataError
            The region is not one of the scan, or this is not a 4D-STEM scan.

        Examples
        --------
        >>> bright = scan.stem.virtual_image(outer=0.05)
        >>> scan.stem.mean_pattern(bright > bright.mean()).dims
        ('det_y', 'det_x')
        """
        return mean_pattern(self.document, region, Resources(client=client))

    def likeness(
        self, like: tuple[int, int] | ArrayLike, *, client: Workers = None
    ) -> xr.DataArray:
        """Return how much each pattern resembles one, from -1 to 1, (scan_y, scan_x).

        Parameters
        ----------
        like
            Its position (scan_y, scan_x), or a pattern (det_y, det_x).
        client
            As in `virtual_image`.

        Raises
        ------
        OptionError, UnsupportedDataError
            There is no such position or pattern, or this is not a 4D-STEM scan.

        Examples
        --------
        >>> round(float(scan.stem.likeness((2, 3))[2, 3]), 3)
        1.0
        """
        return likeness(self.document, like, Resources(client=client))

    def explore(self, *, height: int = 760) -> ExplorerWidget:
        """Return the explorer as a widget of a notebook: patterns under the pointer, detectors.

        Parameters
        ----------
        height
            Of the widget, in pixels of the screen.

        Returns
        -------
        ExplorerWidget
            Its ``position`` (scan_y, scan_x), ``region`` (top, left, bottom, right) and
            ``detectors`` follow the page, and the page follows them where they are set.

        Raises
        ------
        MissingDependencyError
            anywidget is not installed.
        """
        try:
            from stemzarr.explorer.notebook import explore_document
        except ModuleNotFoundError as error:
            if error.name not in ("anywidget", "ipywidgets", "traitlets"):
                raise
            msg, hint = "a widget needs anywidget", "pip install 'stemzarr[notebook]'"
            raise MissingDependencyError(msg, hint=hint) from error
        return explore_document(self.document, height=height)

    def plot(self, image: xr.DataArray | None = None, *, cmap: ColourMap = "gray") -> Figure:
        """Return a figure of an image over the scan and the mean pattern, with scale bars.

        Parameters
        ----------
        image
            (scan_y, scan_x), such as a virtual image; the bright field by default.
        cmap
            ``gray``, ``gray-inverted``, ``viridis``, ``cividis`` or ``inferno``.

        Raises
        ------
        OptionError, MissingDependencyError, UnsupportedDataError
            The image is not one over the scan, there is no matplotlib, or this is not a 4D scan.
        """
        return plot_scan(self.document, image, cmap=cmap)
