"""Pictures: images, virtual images of scans, and curves of spectra, as ``.png``."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import OptionError, UnsupportedDataError
from stemzarr.formats.picture.drawing import draw_scale_bar, enlarge
from stemzarr.formats.picture.png import MOST_CHANNELS, encode_png
from stemzarr.model import ArrayBlocks, Document, read_all
from stemzarr.options import ExportOptions
from stemzarr.pixels.resources import Resources
from stemzarr.registry import Exported, ExportRequest
from stemzarr.views.colour_maps import colour_table
from stemzarr.views.render import ViewBlocks
from stemzarr.views.view import View
from stemzarr.views.virtual import sum_detector

__all__ = ["image_of", "view_of", "write_png"]

_BRIGHTEST = 99.9


def write_png(request: ExportRequest) -> Exported:
    """Write an image as a grey 8-bit picture, from its smallest value to the brightest 0.1 %.

    With the normalisation ``minmax`` it goes to the largest value instead. A 4D scan becomes the
    virtual image over its whole detector. Colour stays as it is; ``cmap`` gives some to values,
    ``zoom`` and ``scale_bar`` act as their names say. The first row is on top. A spectrum or
    profile is drawn as a curve between its axes.

    Raises
    ------
    OptionError
        A type is asked for: every picture has 8 bits; colours are asked for where there are some;
        or the picture is too small for a scale bar, or larger than 1 GiB.
    UnsupportedDataError
        The document has more dims than two, channels that are not colours, or units without
        letters.
    MissingDependencyError
        A curve is to be drawn, and matplotlib is not installed.
    """
    chosen = view_of(request.documents[0])
    if chosen.dtype is not None:
        msg = f"dtype is {chosen.dtype!r}, and every .png has 8 bits"
        raise OptionError(msg, hint="leave dtype out, or export .tif")
    if len(request.documents[0].axes) == 1:
        from stemzarr.formats.picture.plotted import plot_line

        _refuse_dress(request.options)
        return Exported(shape=plot_line(request.documents[0], request.dest), dtype="uint8")
    document = image_of(request)
    values = read_all(document.blocks)
    if len(document.channels) > MOST_CHANNELS:
        msg = f"a .png holds 4 channels at most, and these are {len(document.channels)}"
        raise UnsupportedDataError(msg, hint="export .tif or .npy")
    pixels = (
        values
        if document.channels and values.dtype == np.uint8
        else _to_bytes(values, whole=chosen.normalize == "minmax")
    )
    pixels = _dress(pixels, document, request.options)
    description = f"{document.title}: {_pixel_size(document, request.options.zoom)}"
    request.dest.write_bytes(encode_png(pixels, description=description))
    return Exported(shape=pixels.shape, dtype="uint8")


def _refuse_dress(options: ExportOptions) -> None:
    """Refuse what a picture of a curve has no place for: its axes say how long they are."""
    plain = ExportOptions()
    for name in ("scale_bar", "cmap", "zoom"):
        if getattr(options, name) != getattr(plain, name):
            msg = f"{name} is for images, and this is drawn as a curve"
            raise OptionError(msg, hint="leave it out")


def _dress(
    pixels: NDArray[np.uint8], document: Document, options: ExportOptions
) -> NDArray[np.uint8]:
    """Return a picture in the colours and the size that are asked for, with its scale bar."""
    if options.cmap is not None:
        if document.channels:
            msg = f"cmap {options.cmap!r} gives colours to values, and these are colours"
            raise OptionError(msg, hint="leave cmap out")
        pixels = colour_table(options.cmap, 256)[pixels]
    pixels = enlarge(pixels, options.zoom)
    if options.scale_bar:
        pixels = np.array(pixels)
        draw_scale_bar(pixels, document.axes[1], options.zoom)
    return pixels


def view_of(document: Document) -> View:
    """Return the view through which a document is seen."""
    blocks = document.blocks
    return blocks.view if isinstance(blocks, ViewBlocks) else View()


def _to_bytes(values: NDArray[Any], *, whole: bool) -> NDArray[np.uint8]:
    if values.dtype.kind == "b":
        return values.astype(np.uint8) * np.uint8(255)
    finite = values[np.isfinite(values)].astype(np.float64)
    low = finite.min(initial=0.0) if not finite.size else finite.min()
    high = np.percentile(finite, 100 if whole else _BRIGHTEST) if finite.size else 1.0
    high = high if high > low else low + 1.0
    scaled = (np.nan_to_num(values.astype(np.float64), nan=low) - low) * (255 / (high - low))
    pixels: NDArray[np.uint8] = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    return pixels


def _pixel_size(document: Document, zoom: int) -> str:
    y, x = document.axes
    return f"pixels of {y.scale / zoom:g} {y.units} × {x.scale / zoom:g} {x.units}"


def image_of(request: ExportRequest) -> Document:
    """Return the image of a request, of a scan that over its whole detector.

    Raises
    ------
    UnsupportedDataError
        It is neither image nor scan, or complex.
    """
    document = request.documents[0]
    if document.kind == "4d-stem":
        options = request.options
        image = sum_detector(document, Resources(threads=options.threads, memory=options.memory))
        return dataclasses.replace(
            document,
            kind="image",
            axes=document.axes[:2],
            blocks=ArrayBlocks(image),
            bad_pixels=None,
        )
    if len(document.axes) != 2 or document.dtype.kind == "c":  # noqa: PLR2004 - an image
        msg = f"the document {document.slug!r} is not an image but {document.kind} {document.dtype}"
        raise UnsupportedDataError(msg, hint="choose an image with --document, or another format")
    return document
