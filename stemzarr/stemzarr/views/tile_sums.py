"""Tile sums of a scan: read where a store keeps them, else summed in one pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import OptionError, UnsupportedDataError
from stemzarr.measure.tiles import narrowest, sum_tiles, tile_grid, tile_side
from stemzarr.model import Blocks, Document, read_box
from stemzarr.pixels.boxes import Box
from stemzarr.pixels.resources import Resources
from stemzarr.views.slabs import map_document
from stemzarr.views.view import View
from stemzarr.views.viewed import apply

__all__ = ["TileSums", "tile_sums"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TileSums:
    """Tile sums of a region of a scan."""

    values: NDArray[Any]
    """(scan_y, scan_x, tile_y, tile_x); integers in the narrowest type that holds those of this
    region or of the store, float64 where a value of the scan is no integer."""
    side: int
    """Side of a tile in pixels; tile (i, j) begins at pixel (i * side, j * side) of the detector,
    and those at its high sides may be smaller."""
    stored: bool
    """Whether they were read from the store, and not summed just now."""


def tile_sums(
    document: Document,
    region: tuple[slice, slice] = (slice(None), slice(None)),
    resources: Resources | None = None,
) -> TileSums:
    """Return the tile sums of a scan, or of a region of it.

    Parameters
    ----------
    document
        A 4D scan: of a store, of any file, or seen through a view. `Document.tiles` tells whether
        they are kept, so that this costs about a hundredth of the pixels; without them it is one
        pass over all pixels of the region.
    region
        Which positions, (scan_y, scan_x) in pixels, without steps.
    resources
        Threads, memory and progress of the pass; the result itself comes on top of the memory.

    Returns
    -------
    TileSums
        Bad pixels that the file names, positions that a salvage did not recover and values that
        are not finite count 0; of complex values their magnitude counts.

    Raises
    ------
    OptionError
        The region has steps.
    UnsupportedDataError
        The document is not a 4D scan.
    """
    if document.kind != "4d-stem" or document.channels:
        msg = f"the document {document.slug!r} is of kind {document.kind!r}"
        raise UnsupportedDataError(msg, hint="tile sums are those of a 4D scan")
    spans = [part.indices(n) for part, n in zip(region, document.shape, strict=False)]
    if any(step != 1 for _, _, step in spans):
        msg = f"the region {region} has steps"
        raise OptionError(msg, hint="select neighbouring positions, then every n-th of them")
    start = tuple(first for first, _, _ in spans)
    shape = tuple(max(0, stop - first) for first, stop, _ in spans)
    if document.tiles is not None:
        kept = document.tiles
        values = read_box(kept.blocks, (*start, 0, 0), (*shape, *kept.blocks.shape[2:]))
        return TileSums(values=values, side=kept.side, stored=True)
    side = tile_side(document.shape[2:])
    values = _sum(document, Box(start, shape), side, resources or Resources())
    return TileSums(values=narrowest(values), side=side, stored=False)


def _sum(document: Document, region: Box, side: int, resources: Resources) -> NDArray[Any]:
    """Return the tile sums of a region, in the type that its parts need together."""
    grid = tile_grid(document.shape[2:], side)
    sums: NDArray[Any] = np.zeros((*region.shape, *grid), np.uint8)
    if not sums.size:
        return sums
    roi = ",".join(
        f"{name}={a}:{a + n}"
        for name, a, n in zip(document.dims, region.start, region.shape, strict=False)
    )
    part = apply(document, View(roi=roi))

    def sum_box(readable: Blocks, box: Box) -> tuple[Box, NDArray[Any]]:
        values = _counted(read_box(readable, box.start, box.shape), part, box)
        return box, sum_tiles(values.reshape(-1, *values.shape[2:]), side)

    for box, found in map_document(sum_box, part.blocks, 2, resources):
        sums = sums.astype(_common(sums, found), copy=False)
        sums[box.slices()[:2]] = found.reshape(*box.shape[:2], *grid)
    return sums


def _common(sums: NDArray[Any], found: NDArray[Any]) -> np.dtype[Any]:
    return np.promote_types(sums.dtype, found.dtype)


def _counted(values: NDArray[Any], document: Document, box: Box) -> NDArray[Any]:
    """Return the values of a box with 0 for all that does not count."""
    if values.dtype.kind == "c":
        values = np.abs(values)
    if values.dtype.kind == "f":
        values = np.where(np.isfinite(values), values, 0)
    if document.valid is not None:
        values = values * document.valid[box.slices()[:2]][..., np.newaxis, np.newaxis]
    if document.bad_pixels is not None:
        values = values * ~document.bad_pixels
    return values
