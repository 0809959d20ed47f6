"""Lines upon pictures: rings around the central disk, the frame of a scan in its survey image."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stemzarr.model import Document, Source

__all__ = ["Frame", "Mark", "Ring", "disk_rings", "frames_of", "trace"]

_EDGES = ("top", "left", "bottom", "right")

_DASH = 4.0
"""Pixels of a dash of a dotted ring, and of the gap after it."""
_LEAST_DASHES = 6
_HALF = 0.5
"""Of a pixel: as far as a line of one pixel reaches to both sides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ring:
    """A circle upon an image."""

    y: float
    """Row of its centre; 0 is the middle of the first row."""
    x: float
    """Column of its centre; 0 is the middle of the first column."""
    radius: float
    """In pixels of the image."""
    dotted: bool = False
    """Whether it has gaps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A rectangle upon an image; edges are counted from the outer edge of the first pixel."""

    top: float
    """Row where it begins."""
    left: float
    """Column where it begins."""
    bottom: float
    """Row where it ends."""
    right: float
    """Column where it ends."""


Mark = Ring | Frame


def frames_of(source: Source, survey: Document) -> tuple[Frame, ...]:
    """Return what the scans of a source cover of an image, in pixels of it.

    Parameters
    ----------
    source
        What holds the scans.
    survey
        The image that they name as their survey image.
    """
    frames = []
    for document in source.documents:
        known = document.attributes
        edges = [known.get(f"scan_rect_{edge}") for edge in _EDGES]
        numbers = [float(edge) for edge in edges if isinstance(edge, int | float)]
        if known.get("survey_document") == survey.slug and len(numbers) == len(_EDGES):
            frames.append(Frame(**dict(zip(_EDGES, numbers, strict=True))))
    return tuple(frames)


def trace(mark: Mark, image: tuple[int, int], drawn: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the line of a mark, one pixel wide, as far as it is inside.

    Parameters
    ----------
    mark
        In pixels of the image.
    image
        (y, x) lengths of the image.
    drawn
        (y, x) lengths of what the image is drawn as, and of the result.

    Examples
    --------
    >>> ring = trace(Ring(y=2, x=2, radius=2), (5, 5), (5, 5))
    >>> for row in ring: print("".join(" #"[int(bit)] for bit in row).rstrip())
     ###
    #   #
    #   #
    #   #
     ###
    """
    zooms = [there / here for here, there in zip(image, drawn, strict=True)]
    if isinstance(mark, Frame):
        return _trace_frame(mark, zooms, drawn)
    y, x = (np.arange(n) + _HALF for n in drawn)
    zoom = sum(zooms) / 2
    down = (y / zooms[0] - _HALF - mark.y)[:, np.newaxis] * zoom
    across = (x / zooms[1] - _HALF - mark.x) * zoom
    radius = mark.radius * zoom
    line: NDArray[np.bool_] = np.abs(np.hypot(down, across) - radius) <= _HALF
    if mark.dotted:
        dashes = max(_LEAST_DASHES, round(math.pi * radius / _DASH))
        turned = np.arctan2(down, across) / math.tau * 2 * dashes
        line &= np.floor(turned).astype(int) % 2 == 0
    return line


def _trace_frame(frame: Frame, zooms: Sequence[float], drawn: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the outermost pixels of a frame; edges outside of the image are not drawn."""
    line = np.zeros(drawn, bool)
    (top, bottom), (left, right) = (
        (round(first * zoom), max(round(first * zoom), round(last * zoom) - 1))
        for first, last, zoom in zip(
            (frame.top, frame.left), (frame.bottom, frame.right), zooms, strict=True
        )
    )
    down, across = slice(max(0, top), max(0, bottom + 1)), slice(max(0, left), max(0, right + 1))
    line[[row for row in (top, bottom) if 0 <= row < drawn[0]], across] = True
    line[down, [column for column in (left, right) if 0 <= column < drawn[1]]] = True
    return line


def disk_rings(disk: Mapping[str, float], pattern: tuple[int, ...]) -> tuple[Ring, ...]:
    """Return the radii that the previews of a scan use, as far as they cross the pattern.

    Parameters
    ----------
    disk
        As `Disk.attributes` gives it.
    pattern
        (det_y, det_x) lengths.

    Returns
    -------
    tuple of Ring
        The rim of the central disk, dotted where it was not found but taken; and, dotted, the
        other ends of bright field and annular dark field.
    """
    y, x, rim = (float(disk[name]) for name in ("center_y", "center_x", "radius"))
    names = (
        "bright_field_inner",
        "bright_field_outer",
        "annulus_inner",
        "annular_dark_field_outer",
    )
    farthest = math.hypot(max(y, pattern[0] - 1 - y), max(x, pattern[1] - 1 - x))
    others = {float(disk.get(name, 0.0)) for name in names} - {rim}
    return (
        Ring(y=y, x=x, radius=rim, dotted=not disk.get("found")),
        *(Ring(y=y, x=x, radius=r, dotted=True) for r in sorted(others) if 0 < r < farthest),
    )
