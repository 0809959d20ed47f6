"""The patterns of one document, in units that are rendered together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import OptionError, UnsupportedDataError
from stemzarr.model import Document
from stemzarr.pixels.boxes import Box, fill_box, splits_patterns
from stemzarr.pixels.foresight import foresee, is_far
from stemzarr.views.compiled import prepare_compiled
from stemzarr.views.render import ViewBlocks
from stemzarr.views.slabs import source_of

__all__ = ["PATTERN_NDIM", "Part", "find_part", "foresee_units", "make_part", "prepare_parts"]

PATTERN_NDIM = 2
"""How many dims a pattern has."""
_UNIT_BYTES = 4 * 1024**2


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The patterns of one document that take part."""

    document: Document
    """The document, its view applied."""
    positions: NDArray[np.int64]
    """Positions that take part, counted row by row, in ascending order."""
    unit: tuple[int, ...]
    """How many positions along each leading dim are rendered together."""

    @property
    def lead(self) -> tuple[int, ...]:
        """Lengths of the leading dims."""
        return self.document.shape[:-PATTERN_NDIM]

    @property
    def grid(self) -> tuple[int, ...]:
        """How many units there are along each leading dim."""
        return tuple(-(-size // unit) for size, unit in zip(self.lead, self.unit, strict=True))

    @property
    def unit_bytes(self) -> int:
        """Size of a rendered unit."""
        pattern = math.prod(self.document.shape[-PATTERN_NDIM:])
        return math.prod(self.unit) * pattern * self.document.dtype.itemsize

    def locate(self, positions: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return for each position the number of its unit and its place inside that unit."""
        if not self.lead:
            return np.zeros_like(positions), np.zeros_like(positions)
        places = np.unravel_index(positions, self.lead)
        units, inside = [], np.zeros_like(positions)
        for place, unit, size in zip(places, self.unit, self.lead, strict=True):
            number = place // unit
            units.append(number)
            width = np.minimum(unit, size - number * unit)
            inside = inside * width + (place - number * unit)
        return np.ravel_multi_index(tuple(units), self.grid).astype(np.int64), inside

    def rows_under(self, mask: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which of its patterns are under a mask over the scan.

        Raises
        ------
        OptionError
            The mask has not the shape of the scan, or holds other values than True and False.
        """
        if mask.shape != self.lead or mask.dtype.kind != "b":
            msg = f"the mask is {mask.dtype} of shape {mask.shape}, and the scan has {self.lead}"
            raise OptionError(msg, hint="give True or False for each position of the scan")
        chosen: NDArray[np.bool_] = mask.reshape(-1)[self.positions]
        return chosen

    def box(self, number: int) -> Box:
        """Return the box of the document that a unit is."""
        start: list[int] = []
        for count, unit in zip(reversed(self.grid), reversed(self.unit), strict=True):
            number, place = divmod(number, count)
            start.insert(0, place * unit)
        sizes = zip(start, self.unit, self.lead, strict=True)
        detector = self.document.shape[-PATTERN_NDIM:]
        shape = (*(min(unit, size - a) for a, unit, size in sizes), *detector)
        return Box((*start, *(0 for _ in detector)), shape)

    def render(self, number: int, buffer: NDArray[Any]) -> NDArray[Any]:
        """Render a unit into flat `buffer`; return its patterns, (positions, det_y, det_x)."""
        box = self.box(number)
        values = buffer[: box.size].reshape(box.shape)
        self.document.blocks.read_into(values, box.start)
        return values.reshape(-1, *box.shape[-PATTERN_NDIM:])


def find_part(parts: Sequence[Part], ends: NDArray[np.int64], unit: int) -> tuple[Part, int]:
    """Return the part that a unit is of, and its number in it.

    Parameters
    ----------
    parts, ends
        The parts, and how many units there are up to the end of each.
    unit
        The unit, counted through all parts.
    """
    number = int(np.searchsorted(ends, unit, side="right"))
    return parts[number], unit - (int(ends[number - 1]) if number else 0)


def foresee_units(
    parts: Sequence[Part], ends: NDArray[np.int64], units: Iterable[int]
) -> AbstractContextManager[None]:
    """Fetch what units are rendered from while the context lasts, where that is far away."""
    if not any(is_far(part.document.blocks) for part in parts):
        return nullcontext()
    places = (find_part(parts, ends, unit) for unit in units)
    return foresee((part.document.blocks, part.box(inside)) for part, inside in places)


def prepare_parts(parts: Iterable[Part]) -> None:
    """Make ready what renders the parts again and again."""
    blocks = (part.document.blocks for part in parts)
    prepare_compiled(sum(b.nbytes_read for b in blocks if isinstance(b, ViewBlocks)))


def make_part(document: Document) -> Part:
    """Return all patterns of a document that were recovered.

    Raises
    ------
    UnsupportedDataError
        It holds no patterns, or they are spread over the file.
    """
    if document.pattern_ndim != PATTERN_NDIM or document.channels:
        msg = f"the document {document.slug!r} is of kind {document.kind!r} and holds no patterns"
        raise UnsupportedDataError(msg, hint="train from 4D scans, stacks or single patterns")
    if splits_patterns(document.blocks, PATTERN_NDIM):
        msg = f"the patterns of {document.slug!r} are spread over the whole file"
        raise UnsupportedDataError(msg, hint="ingest it into a store and train from that")
    lead = document.shape[:-PATTERN_NDIM]
    kept = np.ones(lead, bool) if document.valid is None else document.valid
    unit = _choose_unit(document)
    positions = np.flatnonzero(kept).astype(np.int64)
    return Part(document=document, positions=positions, unit=unit)


def _choose_unit(document: Document) -> tuple[int, ...]:
    """Return how many positions are rendered together: a block of the disk, or a part of it.

    Only blocks beyond the size of a store's chunks are taken in parts: they are a run of plain
    bytes, which nothing decodes as a whole.
    """
    lead, blocks = document.shape[:-PATTERN_NDIM], document.blocks
    block = [min(n, size) for n, size in zip(blocks.block_shape, lead, strict=False)]
    source = source_of(blocks)
    if math.prod(source.block_shape) * source.dtype.itemsize <= _UNIT_BYTES:
        return tuple(block)
    pattern = math.prod(document.shape[-PATTERN_NDIM:]) * document.dtype.itemsize
    return fill_box(block, _UNIT_BYTES // pattern)
