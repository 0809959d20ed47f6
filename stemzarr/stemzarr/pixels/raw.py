"""Boxes out of uncompressed pixels in a file, in canonical order."""

from __future__ import annotations

import dataclasses
import itertools
import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemzarr.pixels.boxes import cut, fill_box
from stemzarr.pixels.transposing import transpose_into
from stemzarr.storage.files import open_shared
from stemzarr.storage.objects import Stamp

__all__ = ["RawBlocks"]

_BLOCK_BYTES = 16 * 1024**2
_SLAB_BYTES = 256 * 1024**2
_SCRATCH_BYTES = 8 * 1024**2
_CALL_BYTES = 16 * 1024
"""How many bytes are read in the time that one more call takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RawBlocks:
    """Pixels in one unaligned run of bytes, or in runs of one length at one distance.

    Picklable and thread-safe: it holds a path and numbers. Where the disk has the canonical order
    (`rotation` 0), a box is read in its maximal contiguous runs, straight into the caller's
    buffer. Where the last `rotation` canonical dims come first on disk, it is read in tiles of
    some MiB in disk order, each transposed in the cache.
    """

    path: Path
    """The file."""
    stamp: Stamp
    """Size and time of the file when it was recognised."""
    offset: int
    """First byte of the pixels."""
    disk_shape: tuple[int, ...]
    """Lengths of the dims on disk, slowest first."""
    stored: np.dtype[Any]
    """Type of the values in the file, with their byte order."""
    rotation: int = 0
    """How many of the leading dims on disk come last in canonical order."""
    stride: int | None = None
    """Bytes from one entry of the first dim to the next; None where they follow one another."""
    flipped: bool = False
    """Whether the rows, the last dim but one, are written from the bottom up."""
    pattern_ndim: int = 0
    """How many of the last dims no block splits."""
    block_bytes: int = _BLOCK_BYTES
    """About how large a block is, unless it is rotated."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the dims in canonical order."""
        return (*self.disk_shape[self.rotation :], *self.disk_shape[: self.rotation])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values, little-endian."""
        return self.stored.newbyteorder("<")

    @property
    def block_shape(self) -> tuple[int, ...]:
        """The box that is cheapest to read as a whole.

        In canonical order on disk: as many of the last dims as fit into `block_bytes`, and part of
        the next one. Rotated: everything that is slow in canonical order and as much as fits into
        256 MiB, because a smaller part costs one short read for each detector pixel or energy.
        """
        shape = self.shape
        budget = _SLAB_BYTES if self.rotation else self.block_bytes
        whole = len(shape) - (self.rotation or min(self.pattern_ndim, len(shape)))
        least = (*[1] * whole, *shape[whole:])
        return fill_box(shape, budget // self.dtype.itemsize, least=least)

    @property
    def unrotated(self) -> RawBlocks:
        """The values in the order of the disk, (pixels, …), the dims that come first as one."""
        pixels = math.prod(self.disk_shape[: self.rotation])
        shape = (pixels, *self.disk_shape[self.rotation :])
        return dataclasses.replace(self, disk_shape=shape, rotation=0)

    def read_into(self, out: NDArray[Any], start: Sequence[int]) -> None:
        """Fill `out` with the box of ``out.shape`` whose first corner is at `start`.

        Raises
        ------
        SourceChangedError, ReadError
            The file is another one by now, or cannot be read; `out` then holds nothing meaningful.
        """
        if out.size == 0:
            return
        if self.flipped:
            row = self.disk_shape[-2] - start[-2] - out.shape[-2]
            out, start = out[..., ::-1, :], (*start[:-2], row, start[-1])
        if self.rotation:
            self._read_rotated(out, tuple(start))
        elif out.flags.c_contiguous:
            self._read_disk_box(out, tuple(start))
        else:
            values = np.empty(out.shape, out.dtype)
            self._read_disk_box(values, tuple(start))
            out[...] = values

    def _read_disk_box(self, out: NDArray[Any], start: tuple[int, ...]) -> None:
        """Fill contiguous `out` with a box whose dims and `start` are in disk order."""
        strides = self._strides()
        dim, span = _plan_reads(out.shape, strides, out.itemsize)
        first = self.offset + sum(map(operator.mul, start, strides))
        offsets = (_positions(out.shape[:dim], strides) + first).tolist()
        file = open_shared(self.path, self.stamp)
        if span == math.prod(out.shape[dim:]) * out.itemsize:
            file.read_runs_into(out.reshape(-1).view(np.uint8).data, span, offsets)
        else:
            scratch = memoryview(bytearray(span))
            picked = np.ndarray(out.shape[dim:], out.dtype, scratch, strides=strides[dim:])
            units = out.reshape(len(offsets), *out.shape[dim:])
            for number, offset in enumerate(offsets):
                file.read_into(scratch, offset)
                units[number] = picked
        if self.stored != self.dtype:
            out.byteswap(inplace=True)

    def _strides(self) -> tuple[int, ...]:
        """Return how many bytes are between neighbours in every dim on disk."""
        lengths = itertools.accumulate(
            self.disk_shape[:0:-1], operator.mul, initial=self.stored.itemsize
        )
        first, *others = reversed(list(lengths))
        return (self.stride or first, *others)

    def _read_rotated(self, out: NDArray[Any], start: tuple[int, ...]) -> None:
        """Read tiles of the disk and transpose each into its columns of `out`."""
        lead = out.ndim - self.rotation
        contiguous = out if out.flags.c_contiguous else np.empty(out.shape, out.dtype)
        positions = math.prod(out.shape[:lead])
        matrix = contiguous.reshape(positions, math.prod(out.shape[lead:]))
        room = max(1, _SCRATCH_BYTES // max(1, positions * out.itemsize))
        scratch = np.empty(room * positions, out.dtype)
        done = 0
        columns_shape = out.shape[lead:]
        for corner, box in cut(start[lead:], columns_shape, fill_box(columns_shape, room)):
            columns = math.prod(box)
            tile = scratch[: columns * positions].reshape(*box, *out.shape[:lead])
            self._read_disk_box(tile, (*corner, *start[:lead]))
            transpose_into(matrix[:, done : done + columns], tile.reshape(columns, positions))
            done += columns
        if contiguous is not out:
            out[...] = contiguous


def _plan_reads(box: tuple[int, ...], strides: tuple[int, ...], itemsize: int) -> tuple[int, int]:
    """Return from which dim on a box is read by one call, and how many bytes that spans.

    The span holds values that nobody asked for where that costs less than further calls.
    """
    best, best_cost = (len(box), itemsize), math.inf
    for dim in range(len(box), -1, -1):
        span = itemsize + sum((n - 1) * s for n, s in zip(box[dim:], strides[dim:], strict=True))
        wasted = span - math.prod(box[dim:]) * itemsize
        if wasted and span > _SCRATCH_BYTES:
            continue
        cost = math.prod(box[:dim]) * (_CALL_BYTES + span + 2 * bool(wasted) * span)
        if cost < best_cost:
            best, best_cost = (dim, span), cost
    return best


def _positions(box: Sequence[int], strides: Sequence[int]) -> NDArray[np.int64]:
    """Return the places of a box's units relative to its first value, in C order."""
    places = np.zeros(1, np.int64)
    for size, stride in zip(box, strides, strict=False):
        places = np.add.outer(places, np.arange(size, dtype=np.int64) * stride).reshape(-1)
    return places
