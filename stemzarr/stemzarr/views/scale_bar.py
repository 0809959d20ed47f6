"""Scale bars: a round length of about a quarter of an image."""

from __future__ import annotations

import math
from dataclasses import dataclass

from stemzarr.model import Axis

__all__ = ["ScaleBar", "choose_bar"]

_SHARE = 0.3
"""Share of the image that a bar has at most."""
_ROUND = (5.0, 2.0, 1.0)


@dataclass(frozen=True, slots=True)
class ScaleBar:
    """A bar along the horizontal axis of an image."""

    pixels: float
    """Its length in pixels of the image."""
    label: str
    """Its length in words, such as ``5 nm``."""


def choose_bar(axis: Axis) -> ScaleBar:
    """Return a bar of 1, 2 or 5 times a power of ten, at most 30 % of an axis.

    Examples
    --------
    >>> choose_bar(Axis(name="x", size=128, scale=0.25, units="nm"))
    ScaleBar(pixels=20.0, label='5 nm')
    >>> choose_bar(Axis(name="x", size=50))
    ScaleBar(pixels=10.0, label='10 pixel')
    """
    scale = abs(axis.scale) or 1.0
    most = _SHARE * max(1, axis.size) * scale
    power = 10.0 ** math.floor(math.log10(most))
    length = next(power * factor for factor in _ROUND if power * factor <= most)
    return ScaleBar(pixels=length / scale, label=f"{length:.12g} {axis.units}")
