"""Runs of frames: patterns of one size after another, each behind a header of its own.

What a header declares is compared with what the files hold. A run that is cut, or longer than
declared, is shown as a stack of all frames on disk with `Source.complete` false; a salvage makes
the scan of it, with a mask of the patterns that are there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import OptionError, TruncatedFileError
from stemzarr.formats.file_blocks import Stamp
from stemzarr.formats.found import Found
from stemzarr.formats.hdf5.files import contiguous_block
from stemzarr.formats.labelling import FoundAxis, Hints
from stemzarr.formats.reordered import ReorderedBlocks
from stemzarr.model import Blocks
from stemzarr.options import ReadOptions
from stemzarr.pixels.partial import PartialBlocks
from stemzarr.storage.files import open_shared

__all__ = ["FrameBlocks", "FramePart", "FrameRun", "stamp_of_all"]


def stamp_of_all(paths: Sequence[Path]) -> Stamp:
    """Return the size of all files together and the latest of their modification times."""
    stamps = [Stamp.of(path) for path in paths]
    return Stamp(sum(one.size for one in stamps), max(one.modified_ns for one in stamps))


@dataclass(frozen=True, slots=True, kw_only=True)
class FramePart:
    """The frames of one file."""

    path: Path
    """The file."""
    stamp: Stamp
    """What the file was when it was recognised."""
    offset: int
    """First byte of the first frame's header."""
    frames: int
    """Number of frames."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameBlocks:
    """Frames (frame, y, x) out of one file or several. Picklable and thread-safe."""

    parts: tuple[FramePart, ...]
    """The files in their order, at least one."""
    stride: int
    """Bytes from one frame to the next."""
    lead: int
    """Bytes of the header before the pixels of each frame."""
    frame: tuple[int, int]
    """Rows and columns of a frame."""
    stored: np.dtype[Any]
    """Type of the values in the file, with their byte order."""
    flipped: bool = False
    """Whether the rows of a frame are written from the bottom up."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the dims: frames, rows, columns."""
        return (sum(part.frames for part in self.parts), *self.frame)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values, little-endian."""
        return self.stored.newbyteorder("<")

    @property
    def block_shape(self) -> tuple[int, ...]:
        """Whole frames of about 16 MiB."""
        frames = contiguous_block(self.shape, self.stored.itemsize)[0]
        return (frames, *self.frame)

    def read_into(self, out: NDArray[Any], start: Sequence[int]) -> None:
        """Fill `out` with the box of its shape at `start`.

        Raises
        ------
        SourceChangedError, ReadError
            A file is another one by now, or cannot be read.
        """
        if out.size == 0:
            return
        first, inner = start[0], tuple(start[1:])
        if self.flipped:
            inner = (self.frame[0] - inner[0] - out.shape[1], *inner[1:])
            out = out[:, ::-1]
        begin = 0
        for part in self.parts:
            low, high = max(first, begin), min(first + out.shape[0], begin + part.frames)
            if low < high:
                self._read_part(out[low - first : high - first], part, low - begin, inner)
            begin += part.frames

    def _read_part(
        self, out: NDArray[Any], part: FramePart, first: int, inner: tuple[int, ...]
    ) -> None:
        part.stamp.check(part.path)
        rows, row_bytes = out.shape[1], self.frame[1] * self.stored.itemsize
        whole = out.shape[2] == self.frame[1]
        direct = whole and out.flags.c_contiguous and self.stored == self.dtype
        target = out if direct else np.empty((out.shape[0], rows, self.frame[1]), self.stored)
        offset = part.offset + self.lead + inner[0] * row_bytes
        offsets = [offset + (first + number) * self.stride for number in range(out.shape[0])]
        buffer = target.reshape(-1).view(np.uint8).data
        open_shared(part.path).read_runs_into(buffer, rows * row_bytes, offsets)
        if not direct:
            np.copyto(out, target[:, :, inner[1] : inner[1] + out.shape[2]])


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRun:
    """What a header declares of a run of frames, and what is on disk."""

    blocks: FrameBlocks
    """All whole frames on disk."""
    declared: int | None = None
    """Number of frames that the header declares; None where it declares none."""
    scan: tuple[int, int] | None = None
    """Shape (scan_y, scan_x) that the header declares."""
    beyond: int = 0
    """Bytes behind the last whole frame that are not a frame."""
    evidence: str = "its files hold pattern after pattern"
    """Why the frames are patterns in this order."""

    @property
    def frames(self) -> int:
        """Number of whole frames on disk."""
        return self.blocks.shape[0]

    @property
    def complete(self) -> bool:
        """Whether the files hold what is declared, and no more."""
        return self.frames == self.declared or (self.declared is None and not self.beyond)

    @property
    def note(self) -> str:
        """What is missing or too much, in words; empty where nothing is."""
        if self.complete:
            return ""
        if self.declared is None:
            return f"{self.frames} patterns are whole, {self.beyond} bytes of another are on disk"
        if self.frames < self.declared:
            return f"{self.frames} of {self.declared} patterns are on disk"
        return f"{self.frames} patterns are on disk, {self.declared} are declared"

    @property
    def tail(self) -> str:
        """What is behind the last pattern of a complete run, in words; empty where nothing."""
        if not self.complete or not self.beyond:
            return ""
        return f"{self.beyond} bytes behind the last pattern are not a pattern"

    def find(self, whole: Found, options: ReadOptions, path: Path) -> list[Found]:
        """Return the data sets of an incomplete run.

        Parameters
        ----------
        whole
            The scan as the format describes it, its axes ending with those of a pattern, its
            blocks of no importance.
        options
            With ``salvage``, the frames make the scan of ``scan_shape``, or of the declared shape;
            frames beyond it are a stack of their own. Otherwise they are a stack.
        path
            The file, for messages.

        Raises
        ------
        TruncatedFileError
            No frame is whole.
        OptionError
            ``scan_shape`` has fewer positions than there are frames declared or on disk.
        """
        self.check_any_whole(path)
        shape = (options.scan_shape or self.scan) if options.salvage else None
        if shape is None:
            return [self._stack(whole, self.blocks)]
        positions = math.prod(shape)
        if options.scan_shape is not None and self.declared not in (None, positions):
            msg = f"a scan of {shape[0]} x {shape[1]} needs {positions} patterns, {self.note}"
            raise OptionError(msg, path=path, hint="give the --scan-shape of the whole scan")
        if positions >= self.frames:
            return [self._scan(whole, shape)]
        if options.scan_shape is not None and self.declared is None:
            msg = f"a scan of {shape[0]} x {shape[1]} needs {positions} patterns, it holds more"
            raise OptionError(msg, path=path, hint="give the --scan-shape of the whole scan")
        beyond = _cut(self.blocks, positions, self.frames)
        surplus = replace(self._stack(whole, beyond), title=f"{whole.title or path.stem} surplus")
        return [self._scan(whole, shape), surplus]

    def check_any_whole(self, path: Path) -> None:
        """Raise TruncatedFileError, with the numbers, where no frame is whole."""
        if not self.frames:
            msg = f"holds no whole pattern: {self.note}"
            raise TruncatedFileError(msg, path=path, hint="copy it again from its origin")

    def _stack(self, whole: Found, blocks: Blocks) -> Found:
        detector = whole.axes[-2:]
        frames = FoundAxis(size=blocks.shape[0], name="frame")
        # No scan is guessed from the number of frames that happen to be there.
        return replace(
            whole,
            base=blocks,
            axes=(frames, *detector),
            hints=Hints(frames=self.evidence),
            notes=(*whole.notes, self.note),
        )

    def _scan(self, whole: Found, shape: tuple[int, int]) -> Found:
        *before, last = self.blocks.parts
        positions = math.prod(shape)
        there = min(positions, self.frames)
        if there < positions:
            # What is not there is never read: `PartialBlocks` gives zeros for it.
            last = replace(last, frames=last.frames + positions - there)
            frames = replace(self.blocks, parts=(*before, last))
        else:
            frames = _cut(self.blocks, 0, positions)
        scan = ReorderedBlocks(base=frames, order=(0, 1, 2), scan=shape)
        partial = PartialBlocks(base=scan, patterns=there, pattern_ndim=2)
        bare = (FoundAxis(size=0), FoundAxis(size=0))
        axes = whole.axes if len(whole.axes) == len(bare) + 2 else (*bare, *whole.axes[-2:])
        sizes = (*shape, *self.blocks.frame)
        return replace(
            whole,
            base=partial if there < positions else scan,
            axes=tuple(replace(axis, size=size) for axis, size in zip(axes, sizes, strict=True)),
            hints=replace(whole.hints, frames=self.evidence, scan=None),
            valid=partial.valid() if there < positions else None,
            notes=(*whole.notes, self.note),
        )


def _cut(blocks: FrameBlocks, first: int, end: int) -> FrameBlocks:
    """Return the frames from number `first` up to `end`, which is not among them."""
    kept, begin = [], 0
    for part in blocks.parts:
        low, high = max(first, begin), min(end, begin + part.frames)
        if low < high:
            offset = part.offset + (low - begin) * blocks.stride
            kept.append(replace(part, offset=offset, frames=high - low))
        begin += part.frames
    return replace(blocks, parts=tuple(kept))
