"""Small pictures of a store: what was looked at, and how it diffracts."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import StemzarrError
from stemzarr.formats.picture.png import encode_png
from stemzarr.model import CHANNEL, Document, read_box

__all__ = [
    "LEVELS",
    "Picture",
    "palette",
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
        For 4D-STEM bright field and mean pattern; else the image, pattern, frame in the middle,
        or mean spectrum. None at all where the store has neither previews nor pixels.
    """
    from stemzarr.store import read_store
    from stemzarr.store.format.tree import read_nodes, read_small_array

    try:
        nodes = read_nodes(store)
        document = read_store(store).document
        looks: dict[str, Look] = {"bright_field": "image", "mean_diffraction": "pattern"}
        found = [
            Picture(
                name=name,
                look=look,
                values=shrink(read_small_array(store, nodes, f"preview/{name}"), size, size),
            )
            for name, look in looks.items()
            if f"preview/{name}" in nodes
        ]
        return found or _from_pixels(document, size)
    except StemzarrError:
        # What is damaged, or virtual and gone, has no picture; verify says why.
        return []


def _from_pixels(document: Document, size: int) -> list[Picture]:
    shape, ndim = document.shape, len(document.shape) - (CHANNEL in document.dims)
    if not all(shape) or document.kind == "4d-stem":
        return []
    if document.kind in ("spectrum", "profile", "spectrum-image"):
        middle = tuple(n // 2 for n in shape[: ndim - 1])
        box = read_box(document.blocks, (*middle, 0), (*(1 for _ in middle), *shape[ndim - 1 :]))
        curve = _real(box, document).reshape(-1)
        if not _is_spike(curve):
            return [Picture(name="spectrum", look="curve", values=curve)]
        return [Picture(name="spectrum_(log)", look="curve", values=np.log1p(np.maximum(curve, 0)))]
    middle = tuple(n // 2 for n in shape[: ndim - 2])
    look: Look = "pattern" if document.kind == "diffraction" else "image"
    return [Picture(name=document.kind, look=look, values=_read_plane(document, middle, size))]


def _is_spike(curve: NDArray[np.float64]) -> bool:
    """Return whether a zero-loss peak, or one like it, hides all else of a spectrum."""
    return bool(curve.max(initial=0.0) > _SPIKE * max(1.0, float(np.percentile(curve, 75))))


def _read_plane(document: Document, place: tuple[int, ...], size: int) -> NDArray[np.float64]:
    """Read one plane band by band, so that a large image needs little memory."""
    rows, columns, *channels = document.shape[len(place) :]
    per_row = columns * math.prod(channels) * document.dtype.itemsize
    count = min(rows, size)
    bands = []
    for number in range(count):
        first, last = number * rows // count, (number + 1) * rows // count
        height = max(1, min(last - first, _BAND_BYTES // max(1, per_row)))
        start = (*place, first, *(0 for _ in (columns, *channels)))
        one = tuple(1 for _ in place)
        box = read_box(document.blocks, start, (*one, height, columns, *channels))
        band = _real(box, document).reshape(height, columns)
        bands.append(band.mean(axis=0))
    return shrink(np.array(bands), size, size)


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
    factor = min(1.0, rows / values.shape[0], columns / values.shape[1])
    height, width = (max(1, round(n * factor)) for n in values.shape)
    return _average(_average(values, height).T, width).T


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
    """Return a picture of at most `size` by `size` pixels as PNG.

    A picture of fewer pixels grows by a whole factor, so that each pixel stays a square.
    """
    shades = shade(picture, size, size)
    factor = max(1, size // max(shades.shape))
    pixels = shades.repeat(factor, 0).repeat(factor, 1)
    return encode_png(pixels, palette=palette(picture.look), level=9)


def palette(look: Look) -> NDArray[np.uint8]:
    """Return the colours of all shades, shape (shades, 3)."""
    shades = np.linspace(0.0, 1.0, LEVELS)
    if look != "pattern":
        return np.repeat(np.round(shades * 255)[:, None], 3, axis=1).astype(np.uint8)
    stops = np.linspace(0.0, 1.0, len(_HEAT))
    channels = [np.interp(shades, stops, _HEAT[:, channel]) for channel in range(3)]
    return np.round(np.stack(channels, axis=1)).astype(np.uint8)


def _draw_curve(values: NDArray[np.float64], rows: int, columns: int) -> NDArray[np.uint8]:
    """Return a curve as shades on black: each column from its lowest to its highest value."""
    count = min(columns, values.size)
    edges = np.arange(count) * values.size // count
    low, high = np.minimum.reduceat(values, edges), np.maximum.reduceat(values, edges)
    bottom, top = float(low.min()), float(high.max())
    scale = (rows - 1) / ((top - bottom) or 1.0)
    image = np.zeros((rows, columns), np.uint8)
    bins = np.arange(columns) * count // columns
    lows = np.round((low - bottom) * scale).astype(int)[bins]
    highs = np.round((high - bottom) * scale).astype(int)[bins]
    reach = np.minimum(lows, np.append(highs[1:], lows[-1]))
    for column in range(columns):
        image[rows - 1 - highs[column] : rows - reach[column], column] = LEVELS - 1
        image[rows - reach[column] :, column] = LEVELS // 5
    return image


def to_base64(png: bytes) -> str:
    """Return bytes as the text of a ``data:`` address."""
    return base64.b64encode(png).decode("ascii")
