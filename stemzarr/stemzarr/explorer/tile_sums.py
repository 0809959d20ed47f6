"""Sums over squares of the detector, by which an image follows a detector while it is dragged."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import SourceChangedError, StemzarrError
from stemzarr.measure.tiles import sum_tiles, tile_side
from stemzarr.model import Blocks, Document, read_box
from stemzarr.options import available_threads
from stemzarr.pixels.boxes import Box
from stemzarr.pixels.resources import Resources
from stemzarr.views.slabs import map_document

__all__ = ["TileSums", "all_tiles", "plan_tiles", "sampled_tiles"]

_FEWEST = 64
_SAMPLED_PATTERNS = 1024
_SAMPLED_BYTES = 128 * 1024**2
_MEMORY = 64 * 1024**2


@dataclass(frozen=True, slots=True, kw_only=True)
class TileSums:
    """Tile sums of every position of a scan, or of every `step`-th one."""

    sums: NDArray[np.float32]
    """(tile_y, tile_x, scan_y, scan_x): one tile is an image."""
    tile: int
    """Pixels along the side of a tile; the last ones may be cut off by the edge."""
    step: int
    """Every how many scan positions there is a pattern, along both dims."""
    whole: bool
    """Whether this is as fine as it gets: nothing better is being computed."""


def plan_tiles(document: Document, budget: int) -> tuple[int, int]:
    """Return the side of tiles, and the step of positions, whose sums fit a budget in bytes.

    Tiles, those that the store keeps where it does, are joined 2 × 2 first, and positions left out
    where fewer than 8 × 8 tiles remain.
    """
    rows, columns, height, width = document.shape
    tile = document.tiles.side if document.tiles is not None else tile_side((height, width))
    step = 1
    while 4 * _count(height, tile) * _count(width, tile) * _count(rows, step) * _count(
        columns, step
    ) > max(budget, 4 * _FEWEST):
        if _count(height, 2 * tile) * _count(width, 2 * tile) >= _FEWEST:
            tile *= 2
        else:
            step *= 2
    return tile, step


def _count(length: int, step: int) -> int:
    return -(-length // step)


def sampled_tiles(document: Document, budget: int) -> TileSums:
    """Return the tile sums of a sparse sample, which takes a fraction of a second to read."""
    rows, columns, height, width = document.shape
    tile, step = plan_tiles(document, budget)
    pattern_bytes = max(1, height * width * document.dtype.itemsize)
    most = max(16, min(_SAMPLED_PATTERNS, _SAMPLED_BYTES // pattern_bytes))
    step = max(step, math.ceil(math.sqrt(rows * columns / most)))
    ys, xs = range(0, rows, step), range(0, columns, step)
    sums = np.zeros((_count(height, tile), _count(width, tile), len(ys), len(xs)), np.float32)
    lost = 0
    for index, (y, x) in enumerate((y, x) for y in ys for x in xs):
        try:
            values = read_box(document.blocks, (y, x, 0, 0), (1, 1, height, width))
        except SourceChangedError:
            raise
        except StemzarrError:
            lost += 1  # this one is drawn black; to look at it says why
            continue
        sums[(..., *divmod(index, len(xs)))] = sum_tiles(_clean(document, values)[0], tile)[0]
    if lost == len(ys) * len(xs):
        read_box(document.blocks, (0, 0, 0, 0), (1, 1, height, width))  # raises what is wrong
    return TileSums(sums=sums, tile=tile, step=step, whole=False)


def all_tiles(document: Document, budget: int, *, stop: Callable[[], bool]) -> TileSums:
    """Return the tile sums of all positions that fit a budget: those of the store, or in one pass.

    Parameters
    ----------
    document
        A 4D scan.
    budget
        Most bytes of the sums.
    stop
        Ends the pass early with `InterruptedError` when it says so.
    """
    rows, columns, height, width = document.shape
    tile, step = plan_tiles(document, budget)
    shape = (_count(height, tile), _count(width, tile), _count(rows, step), _count(columns, step))
    sums = np.zeros(shape, np.float32)
    kept = document.tiles

    def add(blocks: Blocks, box: Box) -> None:
        if stop():
            raise InterruptedError
        (y0, x0, *_), (ny, nx, *_) = box.start, box.shape
        values = read_box(blocks, box.start, box.shape)
        first_y, first_x = -y0 % step, -x0 % step
        part = values[first_y::step, first_x::step]
        if not part.size:
            return
        flat = part.reshape(-1, *part.shape[2:])
        # Tiles that are joined are summed as pixels are.
        joined = (
            sum_tiles(_clean(document, flat), tile)
            if kept is None
            else sum_tiles(flat, tile // kept.side)
        )
        where_y = slice((y0 + first_y) // step, (y0 + ny - 1) // step + 1)
        where_x = slice((x0 + first_x) // step, (x0 + nx - 1) // step + 1)
        placed = joined.reshape(*part.shape[:2], *shape[:2])
        sums[:, :, where_y, where_x] = np.moveaxis(placed, (2, 3), (0, 1))

    resources = Resources(threads=max(1, available_threads() // 2), memory=_MEMORY)
    source = document.blocks if kept is None else kept.blocks
    for _ in map_document(add, source, 2, resources):
        pass
    return TileSums(sums=sums, tile=tile, step=step, whole=True)


def _clean(document: Document, values: NDArray[Any]) -> NDArray[Any]:
    """Return values of which bad pixels and what is not finite count as 0."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    if document.bad_pixels is not None:
        values = values * ~document.bad_pixels
    return values
