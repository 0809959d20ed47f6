"""Pictures in the terminal: two pixels in each cell, as a half block in two colours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from rich.color import Color
from rich.style import Style
from rich.text import Text

from stemzarr_catalog.pictures import LEVELS, Picture, palette, shade

__all__ = ["draw", "grow"]

_HALF = "\N{UPPER HALF BLOCK}"
_RAMP = " .:-=+*#%@"


def grow(shades: NDArray[np.uint8], rows: int, columns: int) -> NDArray[np.uint8]:
    """Return an image that fills its size in one direction, each of its pixels a block.

    Parameters
    ----------
    shades
        (y, x), no larger than the size.
    rows, columns
        The size.
    """
    height, width = shades.shape
    factor = min(rows / height, columns / width)
    new_height, new_width = max(1, round(height * factor)), max(1, round(width * factor))
    tall = shades[np.arange(new_height) * height // new_height]
    return np.asarray(tall[:, np.arange(new_width) * width // new_width])


def draw(picture: Picture, *, rows: int, columns: int, color: bool) -> Text:
    """Return a picture as lines of text.

    Parameters
    ----------
    picture
        What is drawn, its first row on top.
    rows, columns
        Room in lines and columns of the terminal.
    color
        Whether the terminal has colours; without, the brightness becomes signs.
    """
    fitted = grow(shade(picture, rows * 2, columns), rows * 2, columns)
    if fitted.shape[0] % 2:
        fitted = np.vstack([fitted, np.zeros((1, fitted.shape[1]), np.uint8)])
    if not color:
        cells = (fitted[::2] / 2 + fitted[1::2] / 2) / (LEVELS - 1)
        signs = (cells * (len(_RAMP) - 1)).round().astype(int)
        return Text("\n".join("".join(_RAMP[sign] for sign in line) for line in signs))
    colors = [Color.from_rgb(*map(int, rgb)) for rgb in palette(picture.look)]
    text = Text(no_wrap=True)
    for upper, lower in zip(fitted[::2], fitted[1::2], strict=True):
        if text:
            text.append("\n")
        for above, below in zip(upper, lower, strict=True):
            text.append(_HALF, Style(color=colors[above], bgcolor=colors[below]))
    return text
