"""Pixels of frames that have a file each."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import SourceChangedError
from stemzarr.formats.hdf5.files import contiguous_block
from stemzarr.formats.tiff.reader import find_single_page
from stemzarr.model import Blocks
from stemzarr.pixels.raw import RawBlocks
from stemzarr.registry import read_source
from stemzarr.storage.objects import Stamp

__all__ = ["FileSet", "JoinedFrames", "RawFrames", "ReadFrames"]

_OPEN = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSet:
    """Files below one folder, held in little memory."""

    folder: Path
    """The folder."""
    names: tuple[str, ...]
    """Paths relative to it, with ``/``."""
    stamps: tuple[tuple[int, int], ...]
    """Size and modification time of each file when it was recognised."""

    def path(self, number: int) -> Path:
        """Return the path of a file."""
        return self.folder / self.names[number]

    def stamp(self, number: int) -> Stamp:
        """Return what a file was when it was recognised."""
        return Stamp(*self.stamps[number])


class Frames(Protocol):
    """The frame of each file of a set. Picklable and thread-safe."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the dims of a frame."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values, little-endian."""

    def read_into(self, out: NDArray[Any], number: int, start: Sequence[int]) -> None:
        """Fill `out` with the box of its shape at `start` of the frame of one file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RawFrames:
    """Frames that are one run of bytes of their files."""

    files: FileSet
    """The files."""
    offsets: tuple[int, ...]
    """First byte of the values in each file."""
    shape: tuple[int, ...]
    """Lengths of the dims of a frame."""
    stored: np.dtype[Any]
    """Type of the values in the files, with their byte order."""
    flipped: bool = False
    """Whether the rows of a frame are written from the bottom up."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values, little-endian."""
        return self.stored.newbyteorder("<")

    def read_into(self, out: NDArray[Any], number: int, start: Sequence[int]) -> None:
        """Fill `out` with the box of its shape at `start` of the frame of one file.

        Raises
        ------
        SourceChangedError, ReadError
            The file is another one by now, or cannot be read.
        """
        RawBlocks(
            path=self.files.path(number),
            stamp=self.files.stamp(number),
            offset=self.offsets[number],
            disk_shape=self.shape,
            stored=self.stored,
            flipped=self.flipped,
        ).read_into(out, start)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadFrames:
    """Frames that the readers of their files decode; a few of them are kept open."""

    files: FileSet
    """The files."""
    shape: tuple[int, ...]
    """Lengths of the dims of a frame."""
    dtype: np.dtype[Any]
    """Type of the values, little-endian."""
    pages: bool = False
    """Whether the files are TIFF, read without asking RosettaSciIO what else they hold."""

    def read_into(self, out: NDArray[Any], number: int, start: Sequence[int]) -> None:
        """Fill `out` with the box of its shape at `start` of the frame of one file.

        Raises
        ------
        SourceChangedError, ReadError
            The file is another one by now, or cannot be read.
        """
        path, stamp = self.files.path(number), self.files.stamp(number)
        stamp.check(path)
        blocks = _blocks_of(path, stamp, self.pages)
        if blocks.shape != self.shape or blocks.dtype != self.dtype:
            msg = "holds another frame than when it was recognised"
            raise SourceChangedError(msg, path=path, hint="open it again")
        blocks.read_into(out, start)


@functools.lru_cache(maxsize=_OPEN)
def _blocks_of(path: Path, stamp: Stamp, pages: bool) -> Blocks:  # noqa: FBT001 - lru_cache
    page = find_single_page(path, stamp) if pages else None
    return read_source(path).document.blocks if page is None else page.base


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinedFrames:
    """Frames (frame, y, x) out of a file each; frames without a file read as zeros.

    Picklable and thread-safe. However many the files are, few of them are open at once.
    """

    frames: Frames
    """The frame of each file."""
    numbers: tuple[int, ...]
    """For each frame the number of its file, -1 where there is none."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the dims: frames, rows, columns, and the channels of colours."""
        return (len(self.numbers), *self.frames.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return self.frames.dtype

    @property
    def block_shape(self) -> tuple[int, ...]:
        """Whole frames of about 16 MiB, of as many files as that takes."""
        count = contiguous_block(self.shape, self.dtype.itemsize)[0]
        return (count, *self.frames.shape)

    def cut(self, first: int, end: int) -> JoinedFrames:
        """Return the frames from number `first` up to `end`, which is not among them."""
        return replace(self, numbers=self.numbers[first:end])

    def valid(self) -> NDArray[np.bool_]:
        """Return which frames have a file, shape (frames,)."""
        return np.array(self.numbers) >= 0

    def read_into(self, out: NDArray[Any], start: Sequence[int]) -> None:
        """Fill `out` with the box of its shape at `start`, zeros where there is no file.

        Raises
        ------
        SourceChangedError, ReadError
            A file is another one by now, or cannot be read.
        """
        first, *inner = start
        for place in range(out.shape[0]):
            number = self.numbers[first + place]
            if number < 0:
                out[place] = 0
            else:
                self.frames.read_into(out[place], number, inner)
