"""Pixels of which a file holds only the first patterns."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemzarr.model import Blocks
from stemzarr.pixels.derived import DerivedBlocks

__all__ = ["PartialBlocks", "SpreadBlocks"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialBlocks(DerivedBlocks):
    """Pixels of which the file holds only the first ones; the rest reads as zeros."""

    base: Blocks
    """All pixels as they were meant to be, in the order of the disk."""
    patterns: int
    """How many patterns are there as a whole."""
    pattern_ndim: int
    """How many of the last dims are one pattern."""

    def valid(self) -> NDArray[np.bool_]:
        """Return which patterns are there, with the shape of the leading dims."""
        lead = self.shape[: len(self.shape) - self.pattern_ndim]
        return (np.arange(math.prod(lead)) < self.patterns).reshape(lead)

    def read_into(self, out: NDArray[Any], start: Sequence[int]) -> None:
        """Fill `out` with the box of its shape at `start`, zeros where the file has ended."""
        cut = out.ndim - self.pattern_ndim
        box = tuple(
            slice(first, first + size)
            for first, size in zip(start[:cut], out.shape[:cut], strict=True)
        )
        there = self.valid()[box]
        if there.all():
            self.base.read_into(out, start)
            return
        out[...] = 0
        for index in np.ndindex(there.shape[:-1]):
            count = int(there[index].sum())
            if count:
                place = (*(slice(i, i + 1) for i in index), slice(count))
                begin = (*map(sum, zip(start, index, strict=False)), *start[len(index) :])
                self.base.read_into(out[place], begin)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpreadBlocks:
    """Runs of frames (frame, …), one behind the other; frames between them read as zeros."""

    parts: tuple[tuple[int, Blocks], ...]
    """Number of the first frame of each run, rising, and its frames; at least one run."""
    frames: int
    """Number of all frames, those that are missing counted in."""
    first: int = 0
    """Number of the frame that is counted as 0."""

    @classmethod
    def join(cls, runs: Sequence[Blocks]) -> SpreadBlocks:
        """Return runs laid end to end, none missing between them."""
        ends = [*itertools.accumulate(blocks.shape[0] for blocks in runs)]
        parts = zip([0, *ends], runs, strict=False)
        return cls(parts=tuple(parts), frames=ends[-1])

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the dims."""
        return (self.frames, *self.parts[0][1].shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return self.parts[0][1].dtype

    @property
    def block_shape(self) -> tuple[int, ...]:
        """That of the first run."""
        return self.parts[0][1].block_shape

    def cut(self, first: int, end: int) -> SpreadBlocks:
        """Return the frames from number `first` up to `end`, which is not among them."""
        return replace(self, first=self.first + first, frames=end - first)

    def valid(self) -> NDArray[np.bool_]:
        """Return which frames are there, shape (frames,)."""
        there = np.zeros(self.frames, np.bool_)
        for number, blocks in self.parts:
            begin = number - self.first
            there[max(0, begin) : max(0, begin + blocks.shape[0])] = True
        return there

    def read_into(self, out: NDArray[Any], start: Sequence[int]) -> None:
        """Fill `out` with the box of its shape at `start`, zeros where no run has the frame."""
        low = done = start[0] + self.first
        high = low + out.shape[0]
        for number, blocks in self.parts:
            a, b = max(low, number), min(high, number + blocks.shape[0])
            if a < b:
                out[done - low : a - low] = 0
                blocks.read_into(out[a - low : b - low], (a - number, *start[1:]))
                done = b
        out[done - low :] = 0
