"""A scan at a glance: an image over the scan and the mean pattern, with scale bars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import MissingDependencyError, OptionError
from stemzarr.model import Axis, Document
from stemzarr.options import ColourMap, check_choice
from stemzarr.views.colour_maps import colour_table
from stemzarr.views.counted import check_scan
from stemzarr.views.marks import disk_rings
from stemzarr.views.patterns import mean_pattern
from stemzarr.views.scale_bar import choose_bar
from stemzarr.views.virtual import virtual_image

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

__all__ = ["plot_scan"]

_BRIGHTEST = 99.9
_RING = "#40e0ff"


def plot_scan(
    document: Document, image: xr.DataArray | None = None, *, cmap: ColourMap = "gray"
) -> Figure:
    """Return a figure of an image over the scan, and of the mean pattern on a logarithmic scale.

    Rings are the central disk and the radii of the previews that a store keeps, dotted but for the
    rim of a disk that was found.

    Parameters
    ----------
    document
        A 4D scan.
    image
        (scan_y, scan_x) what to show; by default the bright field that a store keeps, else the sum
        over the whole detector.
    cmap
        Colours of the values, those of ``export --cmap``.

    Raises
    ------
    OptionError
        The image is not one over the scan, or there is no such map of colours.
    MissingDependencyError
        matplotlib is not installed.
    UnsupportedDataError
        The document is not a 4D scan.
    """
    try:
        from matplotlib import pyplot as plt
        from matplotlib.colors import ListedColormap
        from matplotlib.patches import Circle
    except ImportError as error:
        hint = "pip install 'stemzarr[plot]'"
        raise MissingDependencyError("plots need matplotlib", hint=hint) from error
    check_scan(document)
    check_choice("cmap", cmap, ColourMap)
    colours = ListedColormap(colour_table(cmap, 256) / 255)
    name, values = _image_of(document, image)
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 5), layout="constrained")
    mean = np.log1p(np.maximum(_pattern_of(document), 0))
    _draw(left, values, document.axes[1], name, colours)
    _draw(right, mean, document.axes[3], "mean pattern", colours)
    if document.measured is not None:
        for ring in disk_rings(document.measured.disk, mean.shape):
            how = ":" if ring.dotted else "-"
            right.add_patch(
                Circle((ring.x, ring.y), ring.radius, fill=False, color=_RING, linestyle=how)
            )
    figure.suptitle(document.title)
    return figure


def _image_of(document: Document, image: xr.DataArray | None) -> tuple[str, NDArray[Any]]:
    """Return the name and the values of the image."""
    if image is not None:
        if image.dims != document.dims[:2]:
            msg = f"the image has dims {image.dims}"
            raise OptionError(msg, hint=f"give one with dims {document.dims[:2]}")
        return str(image.name or "image").replace("_", " "), image.to_numpy()
    measured = document.measured
    if measured is not None and "bright_field" in measured.names:
        return "bright field", measured.load("bright_field")
    return "total intensity", virtual_image(document).to_numpy()


def _pattern_of(document: Document) -> NDArray[Any]:
    measured = document.measured
    if measured is not None and "mean_diffraction" in measured.names:
        return measured.load("mean_diffraction")
    return mean_pattern(document).to_numpy()


def _draw(where: Any, values: NDArray[Any], axis: Axis, title: str, colours: Any) -> None:  # noqa: ANN401
    """Draw an image with its first row on top, and a scale bar."""
    finite = values[np.isfinite(values)]
    top = float(np.percentile(finite, _BRIGHTEST)) if finite.size else 1.0
    where.imshow(values, cmap=colours, origin="upper", vmax=top, interpolation="nearest")
    bar = choose_bar(axis)
    height, width = values.shape
    place = (0.05 * width, 0.95 * height - 0.5)
    where.plot([place[0], place[0] + bar.pixels], [place[1]] * 2, color="white", linewidth=3)
    where.text(place[0], place[1] - 0.02 * height, bar.label, color="white", va="bottom")
    where.set_title(title)
    where.set_axis_off()
