"""Virtual images from tile sums: exact for detectors of whole tiles, within bounds for others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemzarr.model import Blocks, Document, Tiles, read_box
from stemzarr.pixels.boxes import Box
from stemzarr.pixels.resources import Resources
from stemzarr.views.detectors import Cover, cover_tiles
from stemzarr.views.kernels import sum_dtype, working_dtype
from stemzarr.views.normalize import cast_checked
from stemzarr.views.slabs import Part, map_document

__all__ = ["TiledImage", "sum_by_tiles"]

_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class TiledImage:
    """A virtual image that was made of tile sums."""

    image: NDArray[Any]
    """(scan_y, scan_x), in the type of the exact image where it is exact, else float64."""
    largest_error: float
    """What no value is farther from the exact one than."""


def sum_by_tiles(
    document: Document, mask: NDArray[np.bool_], resources: Resources, *, approximate: bool
) -> TiledImage | None:
    """Return a virtual image made of tile sums; None where there are none that give it.

    Parameters
    ----------
    document
        A 4D scan of real values.
    mask
        (det_y, det_x) pixels of the detector.
    resources
        Threads, memory and progress.
    approximate
        Whether a tile in part may count by the share of its pixels in the detector. Of values that
        are not negative, the sum of these pixels is then off by at most the larger of both parts.
    """
    if document.tiles is None or not _knows_all(document):
        return None
    tiles = document.tiles
    cover = cover_tiles(document, mask, tiles.side)
    if cover.whole and tiles.blocks.dtype.kind in "iu":
        image = _exact(tiles, document.shape[:2], cover, resources)
        return TiledImage(image=_as_of_pixels(document, image, mask), largest_error=0.0)
    statistics = document.statistics
    if not approximate or statistics is None or statistics.min < 0:
        return None
    return _weighted(document, tiles, cover, resources)


def _knows_all(document: Document) -> bool:
    """Return whether every value is in the tile sums: those that are not finite count 0 there."""
    if document.dtype.kind != "f":
        return True
    scan, detector = document.shape[:2], document.shape[2:]
    valid, bad = document.valid, document.bad_pixels
    patterns = np.prod(scan) if valid is None else np.count_nonzero(valid)
    pixels = np.prod(detector) - (0 if bad is None else np.count_nonzero(bad))
    return document.statistics is not None and document.statistics.count == patterns * pixels


def _exact(tiles: Tiles, scan: tuple[int, ...], cover: Cover, resources: Resources) -> NDArray[Any]:
    """Return the sums over whole tiles, as integers of 64 bits."""
    chosen = np.flatnonzero(cover.shares == 1)
    summing = np.int64 if tiles.blocks.dtype.kind == "i" else np.uint64
    image: NDArray[Any] = np.empty(scan, summing)

    def add(values: NDArray[Any]) -> NDArray[Any]:
        summed: NDArray[Any] = values[..., chosen].sum(axis=-1, dtype=summing)
        return summed

    _each_box(tiles, resources, add, image)
    return image


def _as_of_pixels(document: Document, image: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[Any]:
    """Return sums in the type that those of the pixels have."""
    dtype = document.dtype
    if dtype.kind != "f":
        return image.astype(sum_dtype(dtype, max(2, int(mask.sum()))))
    sums: NDArray[Any] = np.empty(image.shape, working_dtype(dtype))
    cast_checked(image.astype(np.float64), sums.dtype, sums)
    return sums


def _weighted(document: Document, tiles: Tiles, cover: Cover, resources: Resources) -> TiledImage:
    """Return sums in which tiles count by their shares, and how far off these may be."""
    shares = cover.shares.reshape(-1)
    doubt = np.where((shares > 0) & (shares < 1), np.maximum(shares, 1 - shares), 0.0) + _ROUNDING
    weights = np.stack([shares, doubt], axis=1)
    found = np.empty((*document.shape[:2], 2))

    def add(values: NDArray[Any]) -> NDArray[Any]:
        weighted: NDArray[Any] = values.astype(np.float64) @ weights
        return weighted

    _each_box(tiles, resources, add, found)
    bound = found[..., 1] if document.valid is None else found[..., 1][document.valid]
    return TiledImage(image=found[..., 0], largest_error=float(bound.max(initial=0.0)))


def _each_box(
    tiles: Tiles,
    resources: Resources,
    add: Callable[[NDArray[Any]], NDArray[Any]],
    out: NDArray[Any],
) -> None:
    """Fill `out` with what `add` makes of tile sums (scan_y, scan_x, tiles), part by part."""

    def work(readable: Blocks, box: Box) -> Part:
        values = read_box(readable, box.start, box.shape)
        return box.slices()[:2], add(values.reshape(*box.shape[:2], -1))

    for place, found in map_document(work, tiles.blocks, 2, resources):
        out[place] = found
