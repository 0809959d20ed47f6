"""Small pictures of a store: what was looked at, and how it diffracts."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import OptionError, StemzarrError, UnsupportedDataError
from stemzarr.formats.picture.drawing import draw_scale_bar
from stemzarr.formats.picture.png import encode_png
from stemzarr.model import CHANNEL, Axis, Document, Source, read_box
from stemzarr.views.marks import Frame, Mark, Ring, disk_rings, frames_of, trace

__all__ = [
    "LEVELS",
    "MARK",
    "Picture",
    "draw_marks",
    "palette",
    "picture_of",
    "read_pictures",
    "render_png",
    "shade",
    "shrink",
]

_LOW, _HIGH = 1.0, 99.7
_FAINTEST = 1e-6
_SPIKE = 50.0
"""How far above three quarters of the channels a peak is drawn logarithmically."""
_BAND_BYTES = 32 * 1024**2
LEVELS = 64
"""Shades of a small picture: more cannot be distinguished and compress worse."""
_WHITE, _BLACK, MARK = range(LEVELS, LEVELS + 3)
"""What the shades are followed by in a palette: the scale bar, its rim, rings and frames."""
_COLOURS = ((255, 255, 255), (0, 0, 0), (64, 224, 255))
_MARKED = 96
"""Pixels along the shorter side from which a picture has marks and a scale bar."""
_APART = 4.0
"""Pixels between two rings that can be distinguished."""

_HEAT = np.array(
    [
        (0, 0, 4),
        (31, 12, 72),
        (85, 15, 109),
        (136, 34, 106),
        (186, 54, 85),
        (227, 89, 51),
        (249, 140, 10),
        (249, 201, 50),
        (252, 255, 164),
    ],
    dtype=np.float64,
)

Look = Literal["image", "pattern", "curve"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Something of a store that can be shown."""

    name: str
    """What it is, such as ``bright_field``."""
    look: Look
    """How it is shown: an ``image`` in grey, a ``pattern`` in logarithmic colours, a ``curve``."""
    values: NDArray[np.float64]
    """(rows, columns), of a curve (channels,)."""
    axis: Axis | None = None
    """The horizontal axis in pixels of `values`, which a scale bar needs; of a curve the only one.
    None where it is not known."""
    marks: tuple[Mark, ...] = ()
    """What is drawn upon it, in pixels of `values`."""


def read_pictures(store: Path, size: int = 256) -> list[Picture]:
    """Read what can be shown of the main document of a store, in bounded memory.

    Parameters
    ----------
    store
        The store.
    size
        The most rows and columns of a picture.

    Returns
    -------
    list of Picture
        For 4D-STEM bright field, and mean pattern with the disk and the radii of the previews; else
        the image, pattern, frame in the middle, or spectrum in the middle. Then the survey image,
        with the rectangle that was scanned. What a store does not have, or what is damaged, is
        left out.
    """
    from stemzarr.store import read_store

    found: list[Picture] = []
    # What is damaged, or virtual and gone, has no picture; verify says why.
    with contextlib.suppress(StemzarrError):
        source = read_store(store)
        readers: tuple[Callable[[Source, int], Iterator[Picture]], ...] = (_main, _survey)
        for read in readers:
            with contextlib.suppress(StemzarrError):
                found += read(source, size)
    return found


def _main(source: Source, size: int) -> Iterator[Picture]:
    """Yield the pictures of the main document: its previews, else what is seen of its pixels."""
    document = source.document
    measured = document.measured
    if measured is None:
        yield from _from_pixels(document, size)
        return
    if "bright_field" in measured.names:
        yield picture_of(
            "bright_field", "image", measured.load("bright_field"), document.axes[1], size
        )
    if "mean_diffraction" in measured.names:
        mean = measured.load("mean_diffraction")
        rings = disk_rings(measured.disk, mean.shape)
        yield picture_of("mean_diffraction", "pattern", mean, document.axes[3], size, rings)


def _survey(source: Source, size: int) -> Iterator[Picture]:
    """Yield the survey image of the main document with what was scanned of it."""
    slug = source.document.attributes.get("survey_document")
    for document in source.documents:
        if document.slug == slug and document.kind == "image":
            frames = frames_of(source, document)
            yield _read_image(document, "survey", (), size, frames)


def picture_of(
    name: str,
    look: Look,
    image: NDArray[Any],
    axis: Axis,
    size: int,
    marks: Sequence[Mark] = (),
) -> Picture:
    """Return a picture of an image, averaged where it is larger than `size`, with its marks.

    Parameters
    ----------
    name, look, marks
        As the picture has them, the marks in pixels of the image.
    image
        (rows, columns) real values.
    axis
        That along the rows of the image.
    size
        The most rows and columns of the picture.
    """
    values = shrink(image, size, size)
    return _describe(name, look, values, image.shape, axis, marks)


def _describe(
    name: str,
    look: Look,
    values: NDArray[np.float64],
    shape: Sequence[int],
    axis: Axis,
    marks: Sequence[Mark],
) -> Picture:
    """Return a picture whose values are an image of `shape`, averaged."""
    factors = [there / here for there, here in zip(values.shape, shape, strict=True)]
    return Picture(
        name=name,
        look=look,
        values=values,
        axis=dataclasses.replace(axis, size=values.shape[1], scale=axis.scale / factors[1]),
        marks=tuple(_scale(mark, factors) for mark in marks),
    )


def _scale(mark: Mark, factors: Sequence[float]) -> Mark:
    """Return a mark in pixels that are larger by these factors, (y, x)."""
    y, x = factors
    if isinstance(mark, Frame):
        return Frame(
            top=mark.top * y, left=mark.left * x, bottom=mark.bottom * y, right=mark.right * x
        )
    return dataclasses.replace(
        mark,
        y=(mark.y + 0.5) * y - 0.5,
        x=(mark.x + 0.5) * x - 0.5,
        radius=mark.radius * (y + x) / 2,
    )


def _from_pixels(document: Document, size: int) -> Iterator[Picture]:
    shape, ndim = document.shape, len(document.shape) - (CHANNEL in document.dims)
    if not all(shape) or document.kind == "4d-stem":
        return
    if document.kind in ("spectrum", "profile", "spectrum-image"):
        yield _read_curve(document, ndim)
        return
    middle = tuple(n // 2 for n in shape[: ndim - 2])
    yield _read_image(document, document.kind, middle, size)


def _read_curve(document: Document, ndim: int) -> Picture:
    """Return a spectrum or profile, of a spectrum image that in the middle."""
    shape = document.shape
    middle = tuple(n // 2 for n in shape[: ndim - 1])
    box = read_box(document.blocks, (*middle, 0), (*(1 for _ in middle), *shape[ndim - 1 :]))
    curve = _real(box, document).reshape(-1)
    name = "profile" if document.kind == "profile" else "spectrum"
    if _is_spike(curve):
        name, curve = f"{name}_(log)", np.log1p(np.maximum(curve, 0))
    return Picture(name=name, look="curve", values=curve, axis=document.axes[ndim - 1])


def _is_spike(curve: NDArray[np.float64]) -> bool:
    """Return whether a zero-loss peak, or one like it, hides all else of a spectrum."""
    return bool(curve.max(initial=0.0) > _SPIKE * max(1.0, float(np.percentile(curve, 75))))


def _read_image(
    document: Document, name: str, place: tuple[int, ...], size: int, marks: Sequence[Mark] = ()
) -> Picture:
    """Read one plane band by band, so that a large image needs little memory."""
    rows, columns, *channels = document.shape[len(place) :]
    per_row = columns * math.prod(channels) * document.dtype.itemsize
    count, width = _fitting((rows, columns), size, size)
    bands = []
    for number in range(count):
        first, last = number * rows // count, (number + 1) * rows // count
        height = max(1, min(last - first, _BAND_BYTES // max(1, per_row)))
        start = (*place, first, *(0 for _ in (columns, *channels)))
        one = tuple(1 for _ in place)
        box = read_box(document.blocks, start, (*one, height, columns, *channels))
        band = _real(box, document).reshape(height, columns)
        bands.append(band.mean(axis=0))
    look: Look = "pattern" if document.kind == "diffraction" else "image"
    values = _average(np.array(bands).T, width).T
    return _describe(name, look, values, (rows, columns), document.axes[len(place) + 1], marks)


def _real(values: NDArray[Any], document: Document) -> NDArray[np.float64]:
    """Return values as real numbers: the magnitude of complex ones, the brightness of colours."""
    magnitude = np.abs(values) if values.dtype.kind == "c" else values
    real: NDArray[np.float64] = np.asarray(magnitude, np.float64)
    if CHANNEL in document.dims:
        real = real[..., : min(3, real.shape[-1])].mean(axis=-1)
    return np.nan_to_num(real, posinf=0.0, neginf=0.0)


def shrink(image: NDArray[Any], rows: int, columns: int) -> NDArray[np.float64]:
    """Return an image of at most `rows` by `columns` pixels, averaged, of the same proportions."""
    values = np.nan_to_num(np.asarray(image, np.float64), posinf=0.0, neginf=0.0)
    height, width = _fitting(values.shape, rows, columns)
    return _average(_average(values, height).T, width).T


def _fitting(shape: tuple[int, ...], rows: int, columns: int) -> tuple[int, int]:
    """Return the size of an image that is averaged so that it fits."""
    factor = min(1.0, rows / shape[0], columns / shape[1])
    return max(1, round(shape[0] * factor)), max(1, round(shape[1] * factor))


def _average(values: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    have = values.shape[0]
    if count >= have:
        return values
    edges = np.arange(count) * have // count
    lengths = np.diff(np.append(edges, have))
    averaged: NDArray[np.float64] = np.add.reduceat(values, edges, axis=0) / lengths[:, None]
    return averaged


def _brightness(picture: Picture) -> NDArray[np.float64]:
    """Return values from 0 to 1, the few extreme pixels cut off."""
    values = picture.values
    if picture.look == "pattern":
        # Disks are a hundred times brighter than what is between them.
        values = np.clip(values, 0.0, None)
        values = values / (float(values.max()) or 1.0)
        positive = values[values > 0]
        background = float(np.median(positive)) if positive.size else 1.0
        values = np.log1p(values / max(background, _FAINTEST))
    low, high = np.percentile(values, (_LOW, _HIGH))
    if high <= low:
        return np.full(values.shape, 0.5 if high else 0.0)
    shown: NDArray[np.float64] = np.clip((values - low) / (high - low), 0.0, 1.0)
    return shown


def shade(picture: Picture, rows: int, columns: int) -> NDArray[np.uint8]:
    """Return a picture as shades from 0 to `LEVELS` - 1, averaged where it is too large.

    Parameters
    ----------
    picture
        What is to be shown.
    rows, columns
        The size, which a curve fills and an image stays inside of, in its proportions.
    """
    if picture.look == "curve":
        return _draw_curve(picture.values, rows, columns)
    small = shrink(picture.values, rows, columns)
    shown = _brightness(Picture(name=picture.name, look=picture.look, values=small))
    return np.round(shown * (LEVELS - 1)).astype(np.uint8)


def render_png(picture: Picture, size: int) -> bytes:
    """Return a picture of at most `size` by `size` pixels as PNG, with its marks and scale bar.

    A picture of fewer pixels grows by a whole factor, so that each pixel stays a square. Where it
    is too small for marks, it has none. A curve is twice as wide as high.
    """
    if picture.look == "curve":
        shades = shade(picture, size, 2 * size)
        return encode_png(shades, palette=palette(picture.look), level=9)
    shades = shade(picture, size, size)
    factor = max(1, size // max(shades.shape))
    pixels = shades.repeat(factor, 0).repeat(factor, 1)
    if size >= _MARKED:
        draw_marks(pixels, picture)
        if picture.axis is not None:
            zoom = pixels.shape[1] / picture.values.shape[1]
            # Where there is no space for it, or no letters for its units, there is no bar.
            with contextlib.suppress(OptionError, UnsupportedDataError):
                draw_scale_bar(pixels, picture.axis, zoom, white=_WHITE, black=_BLACK)
    return encode_png(pixels, palette=palette(picture.look), level=9)


def draw_marks(pixels: NDArray[np.uint8], picture: Picture) -> None:
    """Draw the rings and frames of a picture upon its shades, of whatever size these are.

    A ring that would be hard to tell from one that is drawn already is left out.
    """
    image, drawn = ((v.shape[0], v.shape[-1]) for v in (picture.values, pixels))
    radii: list[float] = []
    for mark in picture.marks:
        if isinstance(mark, Ring):
            radius = mark.radius * drawn[1] / image[1]
            if any(abs(radius - other) < _APART for other in radii):
                continue
            radii.append(radius)
        pixels[trace(mark, image, drawn)] = MARK


def palette(look: Look) -> NDArray[np.uint8]:
    """Return the colours of all shades, and of what is drawn upon them, shape (colours, 3)."""
    shades = np.linspace(0.0, 1.0, LEVELS)
    stops = np.linspace(0.0, 1.0, len(_HEAT))
    colours = [
        np.interp(shades, stops, _HEAT[:, channel]) if look == "pattern" else shades * 255
        for channel in range(3)
    ]
    found = np.concatenate([np.stack(colours, axis=1), _COLOURS])
    return np.round(found).astype(np.uint8)


def _draw_curve(values: NDArray[np.float64], rows: int, columns: int) -> NDArray[np.uint8]:
    """Return a curve as shades on black: in each column its mean, and darker how far it reaches."""
    count = min(columns, values.size)
    edges = np.arange(count) * values.size // count
    low, high = np.minimum.reduceat(values, edges), np.maximum.reduceat(values, edges)
    mean = np.add.reduceat(values, edges) / np.diff(np.append(edges, values.size))
    bottom, top = float(low.min()), float(high.max())
    scale = (rows - 1) / ((top - bottom) or 1.0)
    bins = np.arange(columns) * count // columns
    lows, highs, means = (
        np.round((ends - bottom) * scale).astype(int)[bins] for ends in (low, high, mean)
    )
    # A line reaches to the height of the next column, so that it has no gaps.
    nexts = np.append(means[1:], means[-1])
    line = np.minimum(means, nexts), np.maximum(means, nexts)
    height = np.arange(rows)[::-1, np.newaxis]
    image = np.where(height < lows, LEVELS // 5, 0).astype(np.uint8)
    image[(height >= lows) & (height <= highs)] = LEVELS // 3
    image[(height >= line[0]) & (height <= line[1])] = LEVELS - 1
    return image


def to_base64(png: bytes) -> str:
    """Return bytes as the text of a ``data:`` address."""
    return base64.b64encode(png).decode("ascii")
