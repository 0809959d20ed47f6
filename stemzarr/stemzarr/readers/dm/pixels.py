"""Pixels of DM images whose bytes are not simply the values: colour and packed FFT planes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemzarr.model import read_box
from stemzarr.readers.contiguous import ContiguousBlocks

__all__ = ["COLOUR_CHANNELS", "ColourBlocks"]

COLOUR_CHANNELS = ("red", "green", "blue", "alpha")
_SHIFTS = (16, 8, 0, 24)
"""Where red, green, blue and alpha lie in the 32-bit integer of a pixel."""


@dataclass(frozen=True, slots=True)
class ColourBlocks:
    """Colour pixels, each one 32-bit integer on disk, as a last dim of red, green, blue, alpha."""

    packed: ContiguousBlocks
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
        box = read_box(self.packed, start[:-1], out.shape[:-1])
        shifts = _SHIFTS[start[-1] : start[-1] + out.shape[-1]]
        for channel, shift in enumerate(shifts):
            out[..., channel] = (box >> np.uint32(shift)).astype(np.uint8)
