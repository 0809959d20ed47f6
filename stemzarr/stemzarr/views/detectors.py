"""Virtual detectors: which pixels of the detector are summed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stemzarr.errors import OptionError
from stemzarr.measure.tiles import sum_tiles
from stemzarr.model import Document

__all__ = ["Cover", "Detector", "cover_tiles", "make_detector"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Detector:
    """Pixels of a detector, and how they were chosen."""

    mask: NDArray[np.bool_]
    """(det_y, det_x) the pixels; bad ones that the file names are left out."""
    attributes: dict[str, Any]
    """The choice as attributes of what is made with it."""


def make_detector(
    document: Document,
    *,
    inner: float = 0.0,
    outer: float | None = None,
    center: Sequence[float],
    rect: Sequence[float] | None = None,
    mask: ArrayLike | None = None,
) -> Detector:
    """Return the pixels of a ring, of a rectangle, or of a mask.

    Parameters
    ----------
    document
        A scan.
    inner, outer, center
        Radii and middle (det_y, det_x) of the ring in the units of the detector axes; a pixel
        counts when ``inner <= r < outer``.
    rect
        (top, bottom, left, right) in the same units: a pixel counts when its position is at least
        `top` and less than `bottom`, at least `left` and less than `right`.
    mask
        (det_y, det_x) booleans.

    Raises
    ------
    OptionError
        No pixel is chosen, more than one kind of detector is, or one has not its form.
    """
    axes, ring = document.axes[2:4], inner > 0 or outer is not None
    if (rect is not None) + (mask is not None) + ring > 1:
        msg = "radii, rect and mask exclude each other"
        raise OptionError(msg, hint="choose pixels in one of these ways")
    attributes: dict[str, Any]
    if mask is not None:
        chosen = _given(document, mask)
        attributes = {"pixels": int(np.count_nonzero(chosen))}
        what = "the mask"
    elif rect is not None:
        chosen = _rectangle(document, rect)
        attributes = {"rect": [float(edge) for edge in rect]}
        what = f"the rectangle {tuple(rect)} {axes[1].units}"
    else:
        if np.shape(center) != (2,):
            msg = f"center is {center!r}"
            raise OptionError(msg, hint="give (det_y, det_x) in the units of the detector axes")
        chosen = _ring(document, inner, math.inf if outer is None else outer, center)
        attributes = {"inner": inner, "center": list(center)}
        attributes |= {} if outer is None else {"outer": outer}
        what = (
            f"the ring from {inner:g} to {math.inf if outer is None else outer:g} {axes[1].units}"
        )
    if document.bad_pixels is not None:
        chosen = chosen & ~document.bad_pixels
    if not chosen.any():
        y, x = (axis.values() for axis in axes)
        reach = f"({y.min():.4g}, {x.min():.4g}) to ({y.max():.4g}, {x.max():.4g})"
        msg = f"{what} holds no pixel of the detector"
        raise OptionError(msg, hint=f"the detector reaches from {reach} {axes[1].units}")
    return Detector(mask=chosen, attributes=attributes)


def _ring(
    document: Document, inner: float, outer: float, center: Sequence[float]
) -> NDArray[np.bool_]:
    y, x = (axis.values() - place for axis, place in zip(document.axes[2:], center, strict=True))
    distance = np.hypot(y[:, np.newaxis], x[np.newaxis, :])
    ring: NDArray[np.bool_] = (distance >= inner) & (distance < outer)
    return ring


def _rectangle(document: Document, rect: Sequence[float]) -> NDArray[np.bool_]:
    if np.shape(rect) != (4,):
        msg = f"rect is {rect!r}"
        raise OptionError(msg, hint="give (top, bottom, left, right) in the units of the axes")
    top, bottom, left, right = rect
    y, x = (axis.values() for axis in document.axes[2:])
    rows, columns = (y >= top) & (y < bottom), (x >= left) & (x < right)
    return rows[:, np.newaxis] & columns


def _given(document: Document, mask: ArrayLike) -> NDArray[np.bool_]:
    chosen = np.asarray(mask)
    if chosen.shape != document.shape[2:4] or chosen.dtype.kind != "b":
        msg = f"mask is {chosen.dtype} of shape {chosen.shape}"
        raise OptionError(msg, hint=f"give booleans of shape {document.shape[2:4]}")
    return chosen


@dataclass(frozen=True, slots=True, kw_only=True)
class Cover:
    """How tiles cover a detector."""

    shares: NDArray[np.float64]
    """(tile_y, tile_x) share of the good pixels of a tile that belong to the detector."""

    @property
    def whole(self) -> bool:
        """Whether the detector is made of whole tiles."""
        return bool(((self.shares == 0) | (self.shares == 1)).all())


def cover_tiles(document: Document, mask: NDArray[np.bool_], side: int) -> Cover:
    """Return how tiles cover the pixels of a mask; bad pixels that the file names are in none."""
    bad = document.bad_pixels
    good = np.ones(mask.shape, bool) if bad is None else ~bad
    chosen, there = (sum_tiles(each[np.newaxis], side)[0] for each in (mask & good, good))
    return Cover(shares=np.divide(chosen, there, out=np.zeros(there.shape), where=there > 0))
