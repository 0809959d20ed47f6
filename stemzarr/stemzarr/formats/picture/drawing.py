"""What a picture shows beside its values: colours, larger pixels, a scale bar."""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import OptionError
from stemzarr.formats.picture.letters import HEIGHT, draw_text
from stemzarr.model import Axis
from stemzarr.views.scale_bar import choose_bar

__all__ = ["draw_scale_bar", "enlarge"]

_LARGEST_PICTURE = 1024**3
_LETTERS = 24
"""Heights of the text in the shorter side of a picture."""


def enlarge(pixels: NDArray[np.uint8], zoom: int) -> NDArray[np.uint8]:
    """Return a picture (y, x) or (y, x, channel) in which each pixel is a square of `zoom`.

    Raises
    ------
    OptionError
        It would be larger than 1 GiB.
    """
    if pixels.nbytes * zoom**2 > _LARGEST_PICTURE:
        msg = f"zoom {zoom} makes {pixels.nbytes * zoom**2} bytes of a picture"
        most = max(1, math.isqrt(_LARGEST_PICTURE // pixels.nbytes))
        raise OptionError(msg, hint=f"choose zoom {most} at most")
    return pixels.repeat(zoom, 0).repeat(zoom, 1) if zoom > 1 else pixels


def draw_scale_bar(
    pixels: NDArray[np.uint8], axis: Axis, zoom: float, *, white: int = 255, black: int = 0
) -> None:
    """Draw a white bar with its length in words at the lower left, edged in black.

    Parameters
    ----------
    pixels
        (y, x) or (y, x, channel), `zoom` pixels a value; is drawn upon.
    axis
        The horizontal axis of the values.
    zoom
        Size of a value.
    white, black
        What these colours are in `pixels`.

    Raises
    ------
    OptionError
        The picture is too small for it.
    UnsupportedDataError
        The units have letters that a picture has not.
    """
    bar = choose_bar(axis)
    height, width = pixels.shape[:2]
    size = max(1, min(height, width) // (_LETTERS * HEIGHT))
    text = draw_text(bar.label).repeat(size, 0).repeat(size, 1)
    length, thick, edge = max(1, round(bar.pixels * zoom)), 2 * size, size
    drawn = np.zeros((text.shape[0] + 2 * size + thick, max(length, text.shape[1])), bool)
    drawn[: text.shape[0], : text.shape[1]] = text
    drawn[-thick:, :length] = True
    drawn = np.pad(drawn, edge)
    margin = 2 * size
    if drawn.shape[0] + margin > height or drawn.shape[1] + margin > width:
        msg = f"a picture of {width} × {height} pixels is too small for a bar of {bar.label}"
        needed = max((drawn.shape[0] + margin) / height, (drawn.shape[1] + margin) / width)
        raise OptionError(
            msg, hint=f"choose a zoom of {math.ceil(zoom * math.ceil(needed))} or more"
        )
    left, bottom = margin, height - margin
    place = pixels[bottom - drawn.shape[0] : bottom, left : left + drawn.shape[1]]
    place[_grow(drawn, edge)] = _opaque(pixels, black)
    place[drawn] = _opaque(pixels, white)


def _grow(drawn: NDArray[np.bool_], edge: int) -> NDArray[np.bool_]:
    """Return what is drawn, at least `edge` from the border, and all within `edge` of it."""
    reach = range(-edge, edge + 1)
    shifted = [np.roll(drawn, shift, (0, 1)) for shift in itertools.product(reach, reach)]
    grown: NDArray[np.bool_] = np.logical_or.reduce(shifted)
    return grown


def _opaque(pixels: NDArray[np.uint8], value: int) -> NDArray[np.uint8]:
    """Return a grey as the picture has it: the last of two or four channels says how opaque."""
    channels = pixels.shape[2] if pixels.ndim > 2 else 1  # noqa: PLR2004 - y, x
    grey = np.full(channels, value, np.uint8)
    if channels in (2, 4):
        grey[-1] = 255
    return grey if pixels.ndim > 2 else grey[0]  # noqa: PLR2004 - y, x
