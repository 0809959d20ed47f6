"""How much the patterns of a scan resemble one pattern: correlation of tile sums."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stemzarr.errors import OptionError
from stemzarr.measure.tiles import sum_tiles, tile_side
from stemzarr.model import Blocks, Document, Tiles, read_box
from stemzarr.pixels.boxes import Box
from stemzarr.pixels.resources import Resources
from stemzarr.views.common_detector import CommonTiles
from stemzarr.views.counted import check_scan, map_counts, real_counts
from stemzarr.views.patterns import pattern
from stemzarr.views.slabs import Part, map_document
from stemzarr.views.virtual import label_scan

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Place", "correlate", "find_most_alike", "likeness", "tiles_like"]

_GROUP_BYTES = 1024**2
"""Bytes of rows that stay in a processor's cache while they are correlated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A position of a scan, and how much its pattern resembles one."""

    likeness: float
    """Pearson's correlation of tile sums."""
    at: tuple[int, int]
    """(scan_y, scan_x), counted from 0."""


def likeness(
    document: Document, like: tuple[int, int] | ArrayLike, resources: Resources | None = None
) -> xr.DataArray:
    """Return how much each pattern of a scan resembles one.

    Parameters
    ----------
    document
        A 4D scan.
    like
        Position (scan_y, scan_x) of a pattern of the scan, or a pattern (det_y, det_x).
    resources
        Threads, memory and progress of the pass over the tile sums, or over the pixels where no
        tile sums are kept.

    Returns
    -------
    xarray.DataArray
        (scan_y, scan_x) float32 from -1 to 1: Pearson's correlation of the tile sums of both
        patterns; NaN where a pattern is the same everywhere.

    Raises
    ------
    OptionError, UnsupportedDataError
        There is no such position, the pattern has another shape, or this is not a 4D scan.
    """
    check_scan(document)
    model = tiles_like(document, like)
    image = np.full(document.shape[:2], np.nan, np.float32)
    chosen = resources or Resources()

    def compare(sums: NDArray[Any], place: tuple[slice, ...]) -> Part:
        return place, correlate(sums.reshape(-1, model.size), model)

    if document.tiles is None:
        side = tile_side(document.shape[2:])

        def sum_and_compare(values: NDArray[np.float64], place: tuple[slice, ...]) -> Part:
            return compare(sum_tiles(values.reshape(-1, *values.shape[2:]), side), place)

        passes = map_counts(sum_and_compare, document, chosen)
    else:

        def read_and_compare(readable: Blocks, box: Box) -> Part:
            return compare(read_box(readable, box.start, box.shape), box.slices()[:2])

        passes = map_document(read_and_compare, document.tiles.blocks, 2, chosen)
    for place, found in passes:
        image[place] = found.reshape(image[place].shape)
    return label_scan(document, image, "likeness", {"long_name": "likeness"})


def tiles_like(document: Document, like: tuple[int, int] | ArrayLike) -> NDArray[np.float64]:
    """Return the tile sums of a pattern in the tiles of a scan, (tiles,).

    Raises
    ------
    OptionError
        The pattern is not one of this detector.
    """
    side = tile_side(document.shape[2:]) if document.tiles is None else document.tiles.side
    chosen = np.asarray(like)
    if chosen.shape == (2,):
        chosen = pattern(document, chosen[0], chosen[1]).to_numpy()
    if chosen.shape != document.shape[2:]:
        msg = (
            f"the pattern has shape {chosen.shape}, and those of the scan have {document.shape[2:]}"
        )
        raise OptionError(msg, hint="give (scan_y, scan_x), or a pattern of the same detector")
    counts = real_counts(chosen[np.newaxis], document.bad_pixels)
    return sum_tiles(counts, side).reshape(-1)


def correlate(rows: NDArray[Any], model: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Pearson's correlation of each row with a model.

    Parameters
    ----------
    rows
        (n, tiles).
    model
        (tiles,).

    Returns
    -------
    numpy.ndarray
        (n,), NaN where a row or the model has the same value everywhere.
    """
    centered = model - model.mean()
    length = np.sqrt(centered @ centered)
    found = np.full(len(rows), np.nan)
    few = max(1, _GROUP_BYTES // max(1, centered.nbytes))
    buffer = np.empty((min(few, len(rows)), model.size))
    for first in range(0, len(rows), few):
        some = rows[first : first + few]
        moved = buffer[: len(some)]
        np.copyto(moved, some)
        # Less its own first value a constant row is exactly 0, and the square of the sum is at most
        # as many times the variance as there are tiles, so that the difference keeps 12 digits.
        moved -= moved[:, :1].copy()
        squares = np.vecdot(moved, moved) - moved.sum(axis=1) ** 2 / max(1, model.size)
        lengths = np.sqrt(np.maximum(squares, 0)) * length
        np.divide(moved @ centered, lengths, out=found[first : first + few], where=lengths > 0)
    return found


def find_most_alike(tiles: Tiles, model: CommonTiles, resources: Resources) -> Place | None:
    """Return the position of a scan whose pattern resembles one most.

    Parameters
    ----------
    tiles
        The tile sums that a store keeps of the scan.
    model
        The pattern in these tiles; those that it does not cover whole do not count.
    resources
        Threads, memory and progress of the pass over the tile sums.

    Returns
    -------
    Place or None
        The first one of equals; None where every pattern is the same everywhere.
    """
    chosen = np.flatnonzero(model.chosen)
    wanted = model.sums.reshape(-1)[chosen]

    def compare(readable: Blocks, box: Box) -> tuple[NDArray[np.float64], Box]:
        rows = read_box(readable, box.start, box.shape).reshape(-1, model.chosen.size)
        return correlate(rows if chosen.size == rows.shape[1] else rows[:, chosen], wanted), box

    best = None
    for found, box in map_document(compare, tiles.blocks, 2, resources):
        if np.isnan(found).all():
            continue
        first = int(np.nanargmax(found))
        if best is None or found[first] > best.likeness:
            y, x = divmod(first, box.shape[1])
            at = (box.start[0] + y, box.start[1] + x)
            best = Place(likeness=float(found[first]), at=at)
    return best
