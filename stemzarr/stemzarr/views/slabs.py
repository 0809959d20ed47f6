"""Work on a whole document whose blocks on disk may be large: each is read as seldom as can be.

A source that keeps each pixel of all patterns together, or one with chunks of many MiB, costs the
same for a small box as for a large one. So a part of it as large as the budget allows is read at
once and held in memory while the boxes in it are worked on.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import OptionError
from stemzarr.model import ArrayBlocks, Blocks
from stemzarr.pixels.boxes import Box, cut, fill_box, is_large, plan_boxes
from stemzarr.pixels.buffers import Buffer
from stemzarr.pixels.derived import DerivedBlocks
from stemzarr.pixels.foresight import foresee
from stemzarr.pixels.resources import Resources
from stemzarr.pixels.threads import map_in_threads
from stemzarr.pixels.workers import map_on_client
from stemzarr.views.compiled import prepare_compiled
from stemzarr.views.correcting import CorrectedBlocks
from stemzarr.views.render import ViewBlocks

__all__ = ["Part", "map_document", "source_of"]

_PIECE_BYTES = 4 * 1024**2

Result = TypeVar("Result")
Part: TypeAlias = tuple[tuple[slice, ...], NDArray[Any]]
"""Where a part of a scan is, and what was found there."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeldBlocks(DerivedBlocks):
    """A source of which one part is in memory; nothing else of it can be read."""

    base: Blocks
    """The source."""
    origin: tuple[int, ...]
    """Where the part begins."""
    values: NDArray[Any]
    """The part."""

    @property
    def block_shape(self) -> tuple[int, ...]:
        """A single value: any box is as cheap as another."""
        return (1,) * len(self.base.shape)

    def read_into(self, out: NDArray[Any], start: Sequence[int]) -> None:
        """Copy the box at `start` into `out`."""
        ends = zip(start, self.origin, out.shape, strict=True)
        np.copyto(out, self.values[tuple(slice(a - o, a - o + n) for a, o, n in ends)])


def map_document(
    function: Callable[[Blocks, Box], Result],
    blocks: Blocks,
    pattern_ndim: int,
    resources: Resources,
    *,
    unit: Sequence[int] | None = None,
) -> Iterator[Result]:
    """Yield ``function(blocks, box)`` for boxes that cover a document, in canonical order.

    Parameters
    ----------
    function
        Is called in threads, or sent to workers, so that it returns what it finds and changes
        nothing; reads its box from the blocks that it is given.
    blocks
        The pixels, of a view or of a source.
    pattern_ndim
        How many of the last dims no box splits.
    resources
        How many boxes are worked on at once, and within what memory; the progress of each is
        reported when its result has been taken.
    unit
        For every dim, a length that every box but the last is a multiple of.
    """
    itemsize = blocks.dtype.itemsize
    if isinstance(blocks, ViewBlocks):
        prepare_compiled(blocks.nbytes_read)
    done, total = 0, math.prod(blocks.shape) * itemsize
    for box, result in _map_boxes(function, blocks, pattern_ndim, resources, unit):
        yield result
        done += box.size * itemsize
        if resources.progress is not None:
            resources.progress(done, total)


def _map_boxes(
    function: Callable[[Blocks, Box], Result],
    blocks: Blocks,
    pattern_ndim: int,
    resources: Resources,
    unit: Sequence[int] | None,
) -> Iterator[tuple[Box, Result]]:
    """Yield every box with its result, large blocks of the disk read once."""
    memory, threads = resources.memory, resources.threads

    def work(readable: Blocks, box: Box) -> tuple[Box, Result]:
        return box, function(readable, box)

    lead = len(blocks.shape) - pattern_ndim
    units = tuple(unit or [1] * len(blocks.shape))
    source = source_of(blocks)
    if resources.client is not None:
        boxes = _boxes_of_workers(blocks, pattern_ndim, resources, unit)
        yield from map_on_client(functools.partial(work, blocks), boxes, resources.client)
        return
    if isinstance(source, ArrayBlocks) or not is_large(source, pattern_ndim):
        plan = plan_boxes(blocks, pattern_ndim, memory=memory, threads=threads, unit=unit)
        each = functools.partial(work, blocks)
        with foresee((blocks, box) for box in plan.boxes):
            yield from map_in_threads(each, plan.boxes, threads=plan.threads)
        return
    slab = _slab_shape(blocks, lead, units, memory // 2)
    buffer = Buffer()
    for whole in itertools.starmap(Box, cut((0,) * len(slab), blocks.shape, slab)):
        start, shape = _source_box(blocks, whole)
        values = buffer.array(shape, source.dtype)
        _load(source, values, start, threads)
        held = _with_source(blocks, HeldBlocks(base=source, origin=start, values=values))
        plan = plan_boxes(
            held, pattern_ndim, memory=memory // 2, threads=threads, unit=unit, within=whole
        )
        each = functools.partial(work, held)
        yield from map_in_threads(each, plan.boxes, threads=plan.threads)


def _boxes_of_workers(
    blocks: Blocks, pattern_ndim: int, resources: Resources, unit: Sequence[int] | None
) -> tuple[Box, ...]:
    """Return the boxes that threads have, so that what is added up has the same bits.

    Raises
    ------
    OptionError
        The pixels are in memory, or in blocks that are larger than a box.
    """
    from stemzarr.labelled import DataArrayBlocks  # with which xarray comes

    source = source_of(blocks)
    is_here = isinstance(source, ArrayBlocks | DataArrayBlocks)
    if is_here or is_large(source, pattern_ndim):
        what = "in memory or computed" if is_here else "in blocks of many MiB"
        msg = f"the pixels are {what}, which workers cannot share"
        raise OptionError(msg, hint="leave the client out, or ingest the file and open its store")
    memory, threads = resources.memory, resources.threads
    return plan_boxes(blocks, pattern_ndim, memory=memory, threads=threads, unit=unit).boxes


def source_of(blocks: Blocks) -> Blocks:
    """Return the pixels that views and corrections read, without them."""
    while isinstance(blocks, ViewBlocks | CorrectedBlocks):
        blocks = blocks.base
    return blocks


def _with_source(blocks: Blocks, source: Blocks) -> Blocks:
    if not isinstance(blocks, ViewBlocks | CorrectedBlocks):
        return source
    inner = _with_source(blocks.base, source)
    if isinstance(blocks, CorrectedBlocks):
        return dataclasses.replace(blocks, base=inner)
    return dataclasses.replace(blocks, base=inner, piece_bytes=_PIECE_BYTES)


def _source_box(blocks: Blocks, box: Box) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return start and shape of what a box of a document needs of its source."""
    start, shape = box.start, box.shape
    while isinstance(blocks, ViewBlocks | CorrectedBlocks):
        start, shape = blocks.source_box(start, shape)
        blocks = blocks.base
    return start, shape


def _slab_shape(blocks: Blocks, lead: int, unit: tuple[int, ...], budget: int) -> tuple[int, ...]:
    """Return the largest box of a document whose source fits `budget`, one unit at least."""
    shape, itemsize = blocks.shape, source_of(blocks).dtype.itemsize
    least = (*(min(u, n) for u, n in zip(unit[:lead], shape, strict=False)), *shape[lead:])

    def cost(slab: Sequence[int]) -> int:
        box = Box((0,) * len(shape), tuple(slab))
        return math.prod(_source_box(blocks, box)[1]) * itemsize

    return fill_box(shape, budget, least=least, unit=least, block=blocks.block_shape, cost=cost)


def _load(source: Blocks, values: NDArray[Any], start: tuple[int, ...], threads: int) -> None:
    """Fill `values` with the box at `start`, block by block in threads."""
    # Parts end where blocks of the disk end, so that no block is read twice.
    firsts = [b - a % b for a, b in zip(start, source.block_shape, strict=True)]
    cuts = [
        [0, *range(min(first, n), n, b), n] if first < n else [0, n]
        for first, n, b in zip(firsts, values.shape, source.block_shape, strict=True)
    ]
    shape = [len(edges) - 1 for edges in cuts]

    def load(index: tuple[int, ...]) -> None:
        part = tuple(slice(e[i], e[i + 1]) for e, i in zip(cuts, index, strict=True))
        corner = tuple(a + p.start for a, p in zip(start, part, strict=True))
        source.read_into(values[part], corner)

    for _ in map_in_threads(load, np.ndindex(*shape), threads=threads):
        pass
