"""Pixels of DM images whose bytes are not simply the values: colour and packed FFT planes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemzarr.model import Blocks, read_box
from stemzarr.pixels.packing import COLOUR_CHANNELS, unpack_colour, unpack_plane, unpack_plane_old

__all__ = ["ColourBlocks", "PackedComplexBlocks"]


@dataclass(frozen=True, slots=True)
class ColourBlocks:
    """Colour pixels, each one 32-bit integer on disk, as a last dim of red, green, blue, alpha."""

    packed: Blocks
    """The integers."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the dims, the channels last."""
        return (*self.packed.shape, len(COLOUR_CHANNELS))

    @property
    def dtype(self) -> np.dtype[Any]:
        """8-bit channels."""
        return np.dtype(np.uint8)

    @property
    def block_shape(self) -> tuple[int, ...]:
        """As of the integers."""
        return (*self.packed.block_shape, len(COLOUR_CHANNELS))

    def read_into(self, out: NDArray[Any], start: Sequence[int]) -> None:
        """Fill `out` with the box of ``out.shape`` whose first corner is at `start`."""
        box = read_box(self.packed, start[:-1], out.shape[:-1]).view(np.uint32)
        out[...] = unpack_colour(box, slice(start[-1], start[-1] + out.shape[-1]))


@dataclass(frozen=True, slots=True)
class PackedComplexBlocks:
    """The whole complex FFT plane of a real image, of which the disk holds one half."""

    packed: Blocks
    """The half: complex (…, height, width // 2 + 1), or of old versions real (side, side)."""
    width: int
    """Width of the whole plane."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the dims of the whole plane."""
        return (*self.packed.shape[:-1], self.width)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Complex numbers of the precision on disk."""
        return np.result_type(self.packed.dtype, np.complex64)

    @property
    def block_shape(self) -> tuple[int, ...]:
        """One whole plane, because both of its halves come from the same bytes."""
        return (*(1,) * (len(self.shape) - 2), *self.shape[-2:])

    def read_into(self, out: NDArray[Any], start: Sequence[int]) -> None:
        """Fill `out` with the box of ``out.shape`` whose first corner is at `start`."""
        planes = out.shape[:-2]
        box = read_box(self.packed, (*start[:-2], 0, 0), (*planes, *self.packed.shape[-2:]))
        old = self.packed.dtype.kind == "f"
        plane = unpack_plane_old(box) if old else unpack_plane(box, self.width)
        rows, columns = (
            slice(first, first + size)
            for first, size in zip(start[-2:], out.shape[-2:], strict=True)
        )
        out[...] = plane[..., rows, columns]
