"""Pixels of frames that have a file each."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import SourceChangedError
from stemzarr.formats.hdf5.files import contiguous_block
from stemzarr.formats.tiff.reader import find_single_page
from stemzarr.model import Blocks
from stemzarr.pixels.raw import RawBlocks
from stemzarr.registry import read_source
from stemzarr.storage.objects import Stamp

__all__ = ["JoinedFrames"]

_OPEN = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinedFrames:
    """Frames (frame, y, x) out of a file each, held in little memory. Picklable and thread-safe.

    However many the files are, few of them are open at once.
    """

    folder: Path
    """The folder of the files."""
    names: tuple[str, ...]
    """Paths of the files relative to it, with ``/``."""
    stamps: tuple[tuple[int, int], ...]
    """Size and modification time of each file when it was recognised."""
    frame: tuple[int, ...]
    """Lengths of the dims of a frame: rows, columns, and the channels of colours."""
    stored: np.dtype[Any]
    """Type of the values in the files, with their byte order."""
    offsets: tuple[int, ...] = ()
    """First byte of the values in each file; none where the readers of the files decode them."""
    flipped: bool = False
    """Whether the rows of a frame are written from the bottom up."""
    pages: bool = False
    """Whether the files are TIFF, read without asking RosettaSciIO what else they hold."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the dims."""
        return (len(self.names), *self.frame)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values, little-endian."""
        return self.stored.newbyteorder("<")

    @property
    def block_shape(self) -> tuple[int, ...]:
        """Whole frames of about 16 MiB, of as many files as that takes."""
        count = contiguous_block(self.shape, self.dtype.itemsize)[0]
        return (count, *self.frame)

    def cut(self, first: int, end: int) -> JoinedFrames:
        """Return the frames from number `first` up to `end`, which is not among them."""
        return replace(
            self,
            names=self.names[first:end],
            stamps=self.stamps[first:end],
            offsets=self.offsets[first:end],
        )

    def read_into(self, out: NDArray[Any], start: Sequence[int]) -> None:
        """Fill `out` with the box of its shape at `start`.

        Raises
        ------
        SourceChangedError, ReadError
            A file is another one by now, or cannot be read.
        """
        first, *inner = start
        for place in range(out.shape[0]):
            self._open(first + place).read_into(out[place], inner)

    def _open(self, number: int) -> Blocks:
        """Return the frame of one file."""
        path, stamp = self.folder / self.names[number], Stamp(*self.stamps[number])
        if self.offsets:
            return RawBlocks(
                path=path,
                stamp=stamp,
                offset=self.offsets[number],
                disk_shape=self.frame,
                stored=self.stored,
                flipped=self.flipped,
            )
        stamp.check(path)
        blocks = _blocks_of(path, stamp, self.pages)
        if blocks.shape != self.frame or blocks.dtype != self.dtype:
            msg = "holds another frame than when it was recognised"
            raise SourceChangedError(msg, path=path, hint="open it again")
        return blocks


@functools.lru_cache(maxsize=_OPEN)
def _blocks_of(path: Path, stamp: Stamp, pages: bool) -> Blocks:  # noqa: FBT001 - lru_cache
    page = find_single_page(path, stamp) if pages else None
    return read_source(path).document.blocks if page is None else page.base
