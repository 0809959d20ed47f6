"""Runs of frames: patterns of one size after another, each behind a header of its own.

What a header declares is compared with what the files hold. A run that is cut, or longer than
declared, is shown as a stack of all frames on disk with `Source.complete` false; a salvage makes
the scan of it, with a mask of the patterns that are there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import OptionError, TruncatedFileError
from stemzarr.formats.found import Found
from stemzarr.formats.labelling import FoundAxis, Hints
from stemzarr.model import Blocks
from stemzarr.options import ReadOptions
from stemzarr.pixels.partial import SpreadBlocks
from stemzarr.storage.acquisitions import acquisition_name

__all__ = ["FrameRun", "place_frames"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRun:
    """What is declared of a run of frames, and what is on disk."""

    parts: tuple[tuple[int, Blocks], ...]
    """Whole frames (frame, y, x) on disk, each run of them with the number of its first."""
    declared: int | None = None
    """Number of frames that are declared; None where nothing declares them."""
    scan: tuple[int, int] | None = None
    """Shape (scan_y, scan_x) that all declared frames make."""
    scan_evidence: str = "the scan that its header declares"
    """Why `scan` is believed."""
    scan_certain: bool = True
    """Whether `scan` was read rather than guessed."""
    beyond: int = 0
    """Bytes behind the last whole frame that are not a frame."""
    missing: tuple[str, ...] = ()
    """Which files are missing, in words."""
    evidence: str = "its files hold pattern after pattern"
    """Why the frames are patterns in this order."""

    @property
    def blocks(self) -> Blocks:
        """All frames on disk, one behind the other."""
        runs = [blocks for _, blocks in self.parts]
        return runs[0] if len(runs) == 1 else SpreadBlocks.join(runs)

    @property
    def frames(self) -> int:
        """Number of whole frames on disk."""
        return sum(blocks.shape[0] for _, blocks in self.parts)

    @property
    def complete(self) -> bool:
        """Whether the files hold what is declared, and no more."""
        counted = self.frames == self.declared or (self.declared is None and not self.beyond)
        return counted and not self.missing

    @property
    def note(self) -> str:
        """How many frames are missing or too many, in words; empty where none are."""
        if self.complete:
            return ""
        if self.declared is None:
            rest = f"{self.beyond} bytes of another are on disk"
            return f"{self.frames} patterns are " + (f"whole, {rest}" if self.beyond else "on disk")
        if self.frames <= self.declared:
            return f"{self.frames} of {self.declared} patterns are on disk"
        return f"{self.frames} patterns are on disk, {self.declared} are declared"

    @property
    def notes(self) -> tuple[str, ...]:
        """What is missing or too much, or is behind the last pattern, in words."""
        tail = f"{self.beyond} bytes behind the last pattern are not a pattern"
        behind = tail if self.complete and self.beyond else ""
        return tuple(filter(None, (self.note, *self.missing, behind)))

    def find(self, whole: Found, options: ReadOptions, path: Path) -> list[Found]:
        """Return the data sets that the frames make.

        Parameters
        ----------
        whole
            The data set as the format describes it. Its axes end with those of a pattern; where
            there are four, they begin with those of a scan of any size. Its blocks do not count.
        options
            With ``salvage``, the frames of an incomplete run make the scan of ``scan_shape``, or of
            the declared shape, and frames beyond it a stack of their own; otherwise all are one.
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
        if self.complete:
            return [self._labelled(whole, self.blocks, self.scan)]
        whole = replace(whole, notes=(*whole.notes, self.note))
        shape = (options.scan_shape or self.scan) if options.salvage else None
        if shape is None:
            return [self._stack(whole, self.blocks)]
        self._check_scan(options, math.prod(shape), path)
        return self.spread(whole, shape, path)

    @property
    def _end(self) -> int:
        """Number behind that of the last frame."""
        last, blocks = self.parts[-1]
        return last + blocks.shape[0]

    def spread(self, whole: Found, shape: tuple[int, int], path: Path) -> list[Found]:
        """Return the scan of a shape with each frame at its number, and frames beyond it."""
        positions = math.prod(shape)
        every = SpreadBlocks(parts=self.parts, frames=max(positions, self._end))
        scan = every.cut(0, positions)
        valid = scan.valid().reshape(shape)
        found = replace(self._labelled(whole, scan, shape), valid=None if valid.all() else valid)
        if every.frames == positions:
            return [found]
        surplus = self._stack(whole, every.cut(positions, every.frames))
        title = whole.title or acquisition_name(path)
        return [found, replace(surplus, title=f"{title} surplus")]

    def check_any_whole(self, path: Path) -> None:
        """Raise TruncatedFileError, with the numbers, where no frame is whole."""
        if not self.frames:
            msg = f"holds no whole pattern: {self.note}"
            raise TruncatedFileError(msg, path=path, hint="copy it again from its origin")

    def _check_scan(self, options: ReadOptions, positions: int, path: Path) -> None:
        """Raise OptionError where the scan that is asked for is not that of all frames."""
        if options.scan_shape is None:
            return
        less = self.declared is None and positions < self._end
        if less or self.declared not in (None, positions):
            held = "it holds more" if less else self.note
            rows, columns = options.scan_shape
            msg = f"a scan of {rows} x {columns} needs {positions} patterns, {held}"
            raise OptionError(msg, path=path, hint="give the --scan-shape of the whole scan")

    def _stack(self, whole: Found, blocks: Blocks) -> Found:
        frames = FoundAxis(size=blocks.shape[0], name="frame")
        # No scan is guessed from the number of frames that happen to be there.
        hints = Hints(frames=self.evidence)
        return replace(whole, base=blocks, axes=(frames, *whole.axes[-2:]), hints=hints)

    def _labelled(self, whole: Found, blocks: Blocks, shape: tuple[int, int] | None) -> Found:
        """Return frames as the stack that they are, or as the scan of a shape."""
        *before, rows, columns = whole.axes
        frames = before[0] if len(before) == 1 else FoundAxis(size=0, name="frame")
        hints = replace(whole.hints, frames=whole.hints.frames or self.evidence)
        if shape is not None:
            y, x = before if len(before) == len(shape) else [FoundAxis(size=0)] * len(shape)
            hints = replace(
                hints,
                scan=(replace(y, size=shape[0]), replace(x, size=shape[1])),
                scan_evidence=self.scan_evidence,
                scan_certain=self.scan_certain,
            )
        axes = (replace(frames, size=blocks.shape[0]), rows, columns)
        return replace(whole, base=blocks, axes=axes, hints=hints)


def place_frames(
    numbers: NDArray[np.int64], cut: Callable[[int, int], Blocks]
) -> tuple[tuple[int, Blocks], ...]:
    """Return runs of frames, each with the number of its first.

    Parameters
    ----------
    numbers
        Number of each frame in their order on disk, rising; those below 0 are left out.
    cut
        Gives the frames from one place on disk up to another, which is not among them.
    """
    kept = np.flatnonzero(numbers >= 0)
    steps = (np.diff(kept) != 1) | (np.diff(numbers[kept]) != 1)
    runs = np.split(kept, np.flatnonzero(steps) + 1)
    return tuple(
        (int(numbers[run[0]]), cut(int(run[0]), int(run[-1]) + 1)) for run in runs if run.size
    )
