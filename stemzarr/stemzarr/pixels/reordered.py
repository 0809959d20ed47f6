"""Blocks made of other blocks: reordered into canonical order, or without dims of one value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemzarr.model import Blocks
from stemzarr.pixels.derived import DerivedBlocks

__all__ = ["ReorderedBlocks", "SqueezedBlocks"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReorderedBlocks(DerivedBlocks):
    """Pixels transposed to canonical order, their leading dims regrouped into a scan.

    Picklable and thread-safe as far as `base` is. Nothing is copied but what is asked for.
    """

    base: Blocks
    """The pixels in the order of the disk."""
    order: tuple[int, ...]
    """For each dim of the transposed array, the dim of `base` that it comes from."""
    scan: tuple[int, int] | None = None
    """Shape (scan_y, scan_x) of all patterns in their order, where `base` groups them otherwise."""
    pattern_ndim: int = 2
    """How many of the last dims are one pattern; counts only with `scan`."""

    @property
    def _transposed(self) -> tuple[int, ...]:
        return tuple(self.base.shape[dim] for dim in self.order)

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the dims in canonical order."""
        whole = self._transposed
        return whole if self.scan is None else (*self.scan, *whole[-self.pattern_ndim :])

    @property
    def block_shape(self) -> tuple[int, ...]:
        """The block of `base` in canonical order; of regrouped patterns as many as it holds."""
        block = tuple(self.base.block_shape[dim] for dim in self.order)
        if self.scan is None:
            return block
        patterns = math.prod(block[: -self.pattern_ndim])
        rows, columns = self.scan
        if patterns < columns:
            return (1, patterns, *block[-self.pattern_ndim :])
        return (min(rows, patterns // columns), columns, *block[-self.pattern_ndim :])

    def read_into(self, out: NDArray[Any], start: Sequence[int]) -> None:
        """Fill `out` with the box of its shape at `start`."""
        if self.scan is None:
            self._read(out, start)
            return
        columns = self.scan[1]
        inner = tuple(start[2:])
        if out.shape[1] == columns and out.flags.c_contiguous:
            patterns = out.reshape(-1, *out.shape[2:])
            self._read_patterns(patterns, start[0] * columns, inner)
            return
        for row in range(out.shape[0]):
            self._read_patterns(out[row], (start[0] + row) * columns + start[1], inner)

    def _read_patterns(self, out: NDArray[Any], first: int, inner: tuple[int, ...]) -> None:
        """Fill `out` (patterns, …) with the patterns from number `first` on, in disk order."""
        lead = self._transposed[: -self.pattern_ndim]
        run = lead[-1]
        done = 0
        while done < out.shape[0]:
            row, column = divmod(first + done, run)
            count = min(out.shape[0] - done, run - column)
            target = out[done : done + count]
            if len(lead) == 1:
                self._read(target, (column, *inner))
            else:
                self._read(target[np.newaxis], (row, column, *inner))
            done += count

    def _read(self, out: NDArray[Any], start: Sequence[int]) -> None:
        """Fill `out`, in transposed order, from `base`."""
        if self.order == tuple(range(len(self.order))):
            self.base.read_into(out, start)
            return
        inverse = np.argsort(self.order)
        self.base.read_into(out.transpose(inverse), tuple(start[dim] for dim in inverse))


@dataclass(frozen=True, slots=True)
class SqueezedBlocks(DerivedBlocks):
    """Blocks without some of their dims, each one value long."""

    base: Blocks
    """The pixels with all dims."""
    dropped: tuple[int, ...]
    """The dims of `base` that are left out, sorted; each is one value long."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the dims that are kept."""
        return self._kept(self.base.shape)

    @property
    def block_shape(self) -> tuple[int, ...]:
        """The block of `base`."""
        return self._kept(self.base.block_shape)

    def _kept(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(n for dim, n in enumerate(shape) if dim not in self.dropped)

    def read_into(self, out: NDArray[Any], start: Sequence[int]) -> None:
        """Fill `out` with the box of its shape at `start`."""
        whole = list(start)
        for dim in self.dropped:
            whole.insert(dim, 0)
        self.base.read_into(np.expand_dims(out, self.dropped), whole)
