"""Pictures in the terminal: two pixels in each cell, as a half block in two colours."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from rich.color import Color
from rich.style import Style
from rich.text import Text

__all__ = ["draw", "fit", "stretch"]

Palette = Literal["grey", "heat"]

_HALF = "\N{UPPER HALF BLOCK}"
_RAMP = " .:-=+*#%@"
_HEAT = np.array(
    [
        (0, 0, 4),
        (40, 11, 84),
        (101, 21, 110),
        (159, 42, 99),
        (212, 72, 66),
        (245, 125, 21),
        (250, 193, 39),
        (252, 255, 164),
    ],
    dtype=np.float64,
)
_LOW_PERCENTILE = 1.0
_HIGH_PERCENTILE = 99.5
_FAINTEST = 1e-6


def stretch(image: NDArray[np.floating], *, log: bool = False) -> NDArray[np.float64]:
    """Return an image as brightness from 0 to 1, the few extreme pixels cut off.

    Parameters
    ----------
    image
        (rows, columns); values that are not finite become black.
    log
        Whether the brightness follows log(1 + value / background), as a diffraction pattern
        needs, whose disks are a hundred times brighter than what lies between them.
    """
    values = np.nan_to_num(np.asarray(image, np.float64), posinf=0.0, neginf=0.0)
    if log:
        values = np.clip(values, 0.0, None)
        top = float(values.max()) or 1.0
        values /= top
        background = np.median(values[values > 0]) if values.any() else 1.0
        values = np.log1p(values / max(float(background), _FAINTEST))
    low, high = np.percentile(values, (_LOW_PERCENTILE, _HIGH_PERCENTILE))
    if high <= low:
        return np.full(values.shape, 0.5 if high else 0.0)
    return np.asarray(np.clip((values - low) / (high - low), 0.0, 1.0))


def fit(image: NDArray[np.float64], rows: int, columns: int) -> NDArray[np.float64]:
    """Return an image of at most `rows` by `columns` pixels with the same proportions.

    A smaller image grows to fill the room, each of its pixels a block; a larger one is averaged.
    """
    height, width = image.shape
    factor = min(rows / height, columns / width)
    new = max(1, round(height * factor)), max(1, round(width * factor))
    return _resample(_resample(image, new[0]).T, new[1]).T


def _resample(image: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return `count` rows: means where there are fewer than before, repeated ones otherwise."""
    have = image.shape[0]
    if count >= have:
        return np.asarray(image[np.arange(count) * have // count])
    edges = np.arange(count) * have // count
    sums = np.add.reduceat(image, edges, axis=0)
    lengths = np.diff(np.append(edges, have))
    return np.asarray(sums / lengths[:, None])


def _rgb(brightness: NDArray[np.float64], palette: Palette) -> NDArray[np.uint8]:
    if palette == "grey":
        return np.repeat((brightness * 255).astype(np.uint8)[..., None], 3, axis=-1)
    stops = np.linspace(0.0, 1.0, len(_HEAT))
    channels = [np.interp(brightness, stops, _HEAT[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).astype(np.uint8)


def draw(
    image: NDArray[np.float64], *, rows: int, columns: int, palette: Palette, color: bool
) -> Text:
    """Return an image of brightness from 0 to 1 as lines of text.

    Parameters
    ----------
    image
        (y, x), the first row on top.
    rows, columns
        Room in lines and columns of the terminal.
    palette
        ``grey`` for images, ``heat`` for diffraction patterns.
    color
        Whether the terminal has colours; without, the brightness becomes signs.
    """
    fitted = fit(image, rows * 2, columns)
    if fitted.shape[0] % 2:
        fitted = np.vstack([fitted, np.zeros((1, fitted.shape[1]))])
    if not color:
        cells = (fitted[::2] + fitted[1::2]) / 2
        signs = (cells * (len(_RAMP) - 1)).round().astype(int)
        return Text("\n".join("".join(_RAMP[sign] for sign in line) for line in signs))
    pixels = _rgb(fitted, palette)
    text = Text(no_wrap=True)
    for upper, lower in zip(pixels[::2], pixels[1::2], strict=True):
        if text:
            text.append("\n")
        for above, below in zip(upper, lower, strict=True):
            text.append(_HALF, Style(color=_color(above), bgcolor=_color(below)))
    return text


def _color(rgb: NDArray[np.uint8]) -> Color:
    return Color.from_rgb(*(int(channel) for channel in rgb))
