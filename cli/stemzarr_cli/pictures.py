"""Pictures in the terminal: two pixels in each cell, as a half block in two colours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from rich.color import Color
from rich.style import Style
from rich.text import Text

from stemzarr.views.scale_bar import choose_bar
from stemzarr_catalog.pictures import LEVELS, MARK, Picture, draw_marks, palette, shade
from stemzarr_cli.text import format_number, printable

__all__ = ["draw", "draw_scale", "grow"]

_HALF = "\N{UPPER HALF BLOCK}"
_RAMP = " .:-=+*#%@"
_BAR = "\N{BOX DRAWINGS HEAVY HORIZONTAL}"
_LINE = "o"
"""A part of a mark, where there are no colours."""


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
    marked = fitted.copy()
    draw_marks(marked, picture)
    if fitted.shape[0] % 2:
        below = np.zeros((1, fitted.shape[1]), np.uint8)
        fitted, marked = np.vstack([fitted, below]), np.vstack([marked, below])
    if not color:
        return _draw_signs(fitted, marked == MARK)
    colors = [Color.from_rgb(*map(int, rgb)) for rgb in palette(picture.look)]
    text = Text(no_wrap=True)
    for upper, lower in zip(marked[::2], marked[1::2], strict=True):
        if text:
            text.append("\n")
        for above, below in zip(upper, lower, strict=True):
            text.append(_HALF, Style(color=colors[above], bgcolor=colors[below]))
    return text


def _draw_signs(shades: NDArray[np.uint8], marked: NDArray[np.bool_]) -> Text:
    """Return shades of two pixels in each cell as signs, denser where they are brighter."""
    cells = (shades[::2] / 2 + shades[1::2] / 2) / (LEVELS - 1)
    signs = np.array(list(_RAMP))[(cells * (len(_RAMP) - 1)).round().astype(int)]
    signs[marked[::2] | marked[1::2]] = _LINE
    return Text("\n".join("".join(line) for line in signs))


def draw_scale(picture: Picture, *, rows: int, columns: int) -> Text | None:
    """Return what is below a picture: a scale bar as long as in it, or the ends of a curve.

    None where the axis is not known.
    """
    axis = picture.axis
    if axis is None:
        return None
    if picture.look == "curve":
        first, last = axis.offset, axis.offset + (axis.size - 1) * axis.scale
        return Text(f"{format_number(first)} … {format_number(last)} {axis.units}", style="dim")
    height, width = picture.values.shape
    bar = choose_bar(axis)
    length = max(1, round(bar.pixels * min(rows * 2 / height, columns / width)))
    return Text(f"{_BAR * length} {printable(bar.label)}", style="dim")
