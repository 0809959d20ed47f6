"""Spectra and profiles as pictures: a curve between axes with their units."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stemzarr.errors import MissingDependencyError, UnsupportedDataError
from stemzarr.formats.spectrum.line import label_axis, label_values
from stemzarr.model import Document, read_box

__all__ = ["plot_line"]

_INCHES = (8.0, 4.5)
_DPI = 150


def plot_line(document: Document, dest: Path) -> tuple[int, int]:
    """Draw a document of one axis into a ``.png``, and return its size (height, width).

    Raises
    ------
    MissingDependencyError
        matplotlib is not installed.
    UnsupportedDataError
        The values are complex.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        hint = "pip install 'stemzarr[plot]', or export .msa or .csv"
        raise MissingDependencyError(
            "a picture of a spectrum needs matplotlib", hint=hint
        ) from error
    values = read_box(document.blocks, (0,), document.shape)
    if np.iscomplexobj(values):
        raise UnsupportedDataError("complex values have no curve", hint="export .npy or .hspy")
    figure = Figure(figsize=_INCHES, dpi=_DPI, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot(document.axes[0].values(), values, linewidth=1)
    axes.set_xlabel(label_axis(document))
    axes.set_ylabel(label_values(document))
    axes.set_title(document.title or document.slug)
    axes.margins(x=0)
    canvas.print_figure(dest, format="png")
    width, height = canvas.get_width_height()
    return height, width
