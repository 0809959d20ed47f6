"""Boxes that a document is cut into, so that work on them stays within a budget of memory.

A box is a part of the scan with whole patterns. Boxes follow the blocks of the disk, so that
each block is decoded once.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from stemzarr.model import Blocks, box_of

__all__ = [
    "Box",
    "BoxPlan",
    "cut",
    "fill_box",
    "grid",
    "is_large",
    "plan_boxes",
    "splits_patterns",
]

_BOX_BYTES = 8 * 1024**2


@dataclass(frozen=True, slots=True)
class Box:
    """A part of a document: whole patterns at neighbouring positions."""

    start: tuple[int, ...]
    """Index of the first value in every dim."""
    shape: tuple[int, ...]
    """Lengths of the dims."""

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    def slices(self) -> tuple[slice, ...]:
        """Return the box as an index of an array."""
        return box_of(self.start, self.shape)


@dataclass(frozen=True, slots=True)
class BoxPlan:
    """How a document is worked on."""

    boxes: tuple[Box, ...]
    """All boxes in canonical order; they cover every position once."""
    threads: int
    """How many boxes are worked on at once."""


def splits_patterns(blocks: Blocks, pattern_ndim: int) -> bool:
    """Whether a block of the disk holds only part of each pattern, so that boxes must be large."""
    whole = len(blocks.shape) - pattern_ndim
    parts = zip(blocks.block_shape[whole:], blocks.shape[whole:], strict=True)
    return any(part < size for part, size in parts) and math.prod(blocks.shape[:whole]) > 1


def is_large(blocks: Blocks, pattern_ndim: int) -> bool:
    """Whether a part of a block of the disk is all that a box could hold of it."""
    lead = len(blocks.shape) - pattern_ndim
    several = math.prod(blocks.block_shape[:lead]) > 1
    large = math.prod(blocks.block_shape) * blocks.dtype.itemsize > _BOX_BYTES
    return (several and large) or splits_patterns(blocks, pattern_ndim)


def plan_boxes(
    blocks: Blocks,
    pattern_ndim: int,
    *,
    memory: int,
    threads: int,
    unit: Sequence[int] | None = None,
    within: Box | None = None,
) -> BoxPlan:
    """Cut the leading dims into boxes in canonical order.

    Parameters
    ----------
    blocks
        The pixels.
    pattern_ndim
        How many of the last dims no box splits.
    memory
        Budget in bytes for all boxes that are worked on at once.
    threads
        How many boxes are worked on at once; one more waits for its turn.
    unit
        For every dim, a length that every box but the last is a multiple of.
    within
        What is cut; everything where it is None.

    Notes
    -----
    A box is a run of whole rows of the first dim, or a part of one row where a row is larger than
    its share of the budget; one unit where that is larger still.
    """
    corner = within.start if within is not None else (0,) * len(blocks.shape)
    shape = within.shape if within is not None else blocks.shape
    whole = len(shape) - pattern_ndim
    least = (*(unit or [1] * whole)[:whole], *shape[whole:])
    box = fill_box(
        shape,
        min(memory // (2 * threads + 2), _BOX_BYTES) // blocks.dtype.itemsize,
        least=least,
        unit=least,
        block=blocks.block_shape,
    )
    return BoxPlan(tuple(itertools.starmap(Box, cut(corner, shape, box))), threads)


def fill_box(  # noqa: PLR0913 - what may vary, one by one
    shape: Sequence[int],
    budget: int,
    *,
    least: Sequence[int] | None = None,
    unit: Sequence[int] | None = None,
    block: Sequence[int] | None = None,
    even: bool = False,
    cost: Callable[[Sequence[int]], int] = math.prod,
) -> tuple[int, ...]:
    """Return the lengths of boxes that fit a budget, filled from the last dim to the first.

    Every part of stemzarr that cuts an array by a number of bytes asks here.

    Parameters
    ----------
    shape
        Lengths of what is cut.
    budget
        What a box may cost: a number of values, unless `cost` counts otherwise.
    least
        Lengths that are kept even where they cost more; a single value by default.
    unit
        Lengths that those of a box are multiples of, unless a dim is taken whole; 1 by default.
    block
        Lengths at whose multiples a box ends where the budget allows.
    even
        Whether the dim that is cut is cut into parts of nearly one size.
    cost
        What a box costs, which grows evenly along each dim.

    Examples
    --------
    >>> fill_box((128, 128, 256, 256), 8 * 1024**2)
    (1, 128, 256, 256)
    >>> fill_box((60, 50), 40, even=True)
    (1, 25)
    """
    box, ones = list(least or [1] * len(shape)), [1] * len(shape)
    units, blocks = unit or ones, block or ones
    for dim in reversed(range(len(shape))):
        box[dim] = length = min(max(box[dim], units[dim]), shape[dim])
        if length == shape[dim]:
            continue
        first = cost(box)
        box[dim] += units[dim]
        fits = length + units[dim] * ((budget - first) // max(1, cost(box) - first))
        box[dim] = max(length, _align(fits, units[dim], blocks[dim], shape[dim]))
        if box[dim] < shape[dim]:
            if even:
                box[dim] = math.ceil(shape[dim] / math.ceil(shape[dim] / box[dim]))
            break
    return tuple(box)


def _align(fits: int, unit: int, block: int, size: int) -> int:
    """Return a multiple of `unit` up to `fits`, one that ends where a block ends if possible.

    The whole `size` where it fits.
    """
    if fits >= size:
        return size
    step = math.lcm(unit, min(block, size))
    return max(unit, fits // step * step if fits >= step else fits // unit * unit)


def grid(shape: Sequence[int], lengths: Sequence[int]) -> Iterator[tuple[slice, ...]]:
    """Yield the parts of a box of `shape`, each of `lengths` or less at the high side."""
    spans = [range(0, size, max(1, n)) for size, n in zip(shape, lengths, strict=True)]
    for starts in itertools.product(*spans):
        yield tuple(
            slice(a, min(a + n, size)) for a, n, size in zip(starts, lengths, shape, strict=True)
        )


def cut(
    start: Sequence[int], shape: Sequence[int], lengths: Sequence[int]
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Yield start and shape of the parts of a box, each of `lengths` or less at the high side."""
    for part in grid(shape, lengths):
        yield (
            tuple(a + p.start for a, p in zip(start, part, strict=True)),
            tuple(p.stop - p.start for p in part),
        )
