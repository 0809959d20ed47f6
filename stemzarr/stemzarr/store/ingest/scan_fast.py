"""Pixel-major (scan-fast) sources, transposed in one sequential read.

A shard of such a source is in one short run for every pixel of the detector. Gathered from
there, shard after shard, the file would be read in pieces of some KiB, again and again, for hours
on a cold disk. So it is read once, in its own order, some pixels of all patterns at once; these are
transposed in the cache and laid into a file beside the unfinished store, shard after shard. Counts
that fit into a byte take one.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemzarr.model import Blocks, RotatedBlocks
from stemzarr.pixels.transposing import transpose_into
from stemzarr.storage.files import PositionedFile
from stemzarr.storage.local import LocalFolder
from stemzarr.store.format.plan import ArrayPlan, Box
from stemzarr.store.ingest.task import Cancelled, Workspace

__all__ = ["TransposeTask", "TransposedBlocks", "has_space", "transpose"]

_TILE_BYTES = 16 * 1024**2
_SPACE = 1.25
_BYTE = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class TransposedBlocks:
    """Pixels in files, each with some pixels of all patterns: those of a shard after another's.

    Boxes may not reach over the end of a shard, and have whole patterns.
    """

    folder: Path
    """Folder of the files."""
    array: ArrayPlan
    """How the document is cut."""
    shards: tuple[int, ...]
    """Shards that are there, in their order."""
    step: int
    """Number of pixels in a file."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the dims in canonical order."""
        return self.array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return np.dtype(self.array.dtype)

    @property
    def block_shape(self) -> tuple[int, ...]:
        """A shard."""
        return self.array.shard

    @property
    def pixels(self) -> int:
        """Number of pixels of a pattern."""
        return math.prod(self.array.shape[self._cut :])

    @property
    def _cut(self) -> int:
        return len(self.array.shape) - self.array.pattern_ndim

    def patterns(self, shard: int) -> Box:
        """Return first corner and shape of a shard's patterns in the leading dims."""
        start, shape = self.array.shard_box(shard)
        return start[: self._cut], shape[: self._cut]

    def path(self, first: int) -> Path:
        """Return the path of the file of the pixels from number `first` on."""
        return self.folder / str(first)

    def read_into(self, out: NDArray[Any], start: Sequence[int]) -> None:
        """Fill contiguous `out` with the box of ``out.shape`` whose first corner is at `start`.

        Raises
        ------
        ReadError, SourceChangedError
            A file cannot be read, or somebody cut it.
        """
        index = [a // s for a, s in zip(start, self.array.shard, strict=True)]
        shard = int(np.ravel_multi_index(index, self.array.grid))
        counts = [math.prod(self.patterns(other)[1]) for other in self.shards]
        before = sum(counts[: self.shards.index(shard)])
        corner, shape = self.patterns(shard)
        inside = _slices(start[: self._cut], corner, out.shape[: self._cut])
        matrix = out.reshape(*out.shape[: self._cut], self.pixels)
        for first in range(0, self.pixels, self.step):
            size = min(self.step, self.pixels - first)
            tile = self._read(first, before * size, (*shape, size), sum(counts) * size)
            matrix[..., first : first + size] = tile[inside]

    def _read(self, first: int, offset: int, shape: tuple[int, ...], total: int) -> NDArray[Any]:
        """Return some values of a file that holds `total`."""
        file = PositionedFile(self.path(first))
        try:
            narrow = self.dtype.itemsize > 1 and file.size() == total
            dtype = np.dtype(np.uint8) if narrow else self.dtype
            values = np.empty(shape, dtype)
            file.read_into(values.reshape(-1).view(np.uint8).data, offset * dtype.itemsize)
        finally:
            file.close()
        return values


@dataclass(frozen=True, slots=True, kw_only=True)
class TransposeTask:
    """Some pixels of all patterns: read in one piece, transposed, laid into a file."""

    blocks: Blocks
    """The source in its own order: (pixels, …)."""
    transposed: TransposedBlocks
    """Where they go."""
    first: int
    """The first pixel."""

    def run(self, workspace: Workspace) -> None:
        """Read and write.

        Raises
        ------
        ReadError, SourceChangedError
            The pixels cannot be read.
        WriteError
            They cannot be written.
        """
        if workspace.stop.is_set():
            raise Cancelled
        pixels, *lead = self.blocks.shape
        size = min(self.transposed.step, pixels - self.first)
        tile = workspace.buffer.array((size, *lead), self.blocks.dtype)
        self.blocks.read_into(tile, (self.first, *(0 for _ in lead)))
        values = narrowed(tile)
        folder = self.transposed.folder
        with LocalFolder(folder, parts=folder).writing(str(self.first)) as file:
            for shard in self.transposed.shards:
                start, shape = self.transposed.patterns(shard)
                part = values[:, *_slices(start, (0,) * len(start), shape)]
                file.write(transposed(part.reshape(size, -1)).reshape(-1).view(np.uint8).data)
        workspace.advance(tile.nbytes)


def transposed(matrix: NDArray[Any]) -> NDArray[Any]:
    """Return the transpose of a matrix as a new array in C order."""
    transposed = np.empty(matrix.shape[::-1], matrix.dtype)
    transpose_into(transposed, matrix)
    return transposed


def narrowed(values: NDArray[Any]) -> NDArray[Any]:
    """Return counts that fit into a byte as bytes, other values as they are."""
    if values.dtype.kind not in "iu" or values.dtype.itemsize == 1 or not values.size:
        return values
    if values.max() > _BYTE or (values.dtype.kind == "i" and values.min() < 0):
        return values
    return values.astype(np.uint8)


def _slices(start: Sequence[int], corner: Sequence[int], shape: Sequence[int]) -> tuple[slice, ...]:
    """Return where a box that begins at `start` is in what begins at `corner`."""
    return tuple(slice(a - c, a - c + n) for a, c, n in zip(start, corner, shape, strict=True))


def has_space(folder: Path, nbytes: int) -> bool:
    """Return whether that many bytes fit into a folder beside the store."""
    return shutil.disk_usage(folder).free > _SPACE * nbytes


def transpose(
    source: RotatedBlocks, folder: Path, array: ArrayPlan, shards: Sequence[int], budget: int
) -> tuple[TransposedBlocks, list[TransposeTask]]:
    """Return where the pixels of a source will be, and the tasks that lay them there.

    Parameters
    ----------
    source
        The pixels.
    folder
        A folder for the files.
    array
        How they are cut.
    shards
        Shards that are wanted.
    budget
        Bytes that one task may hold; a single pixel of all patterns is read even where it is
        larger.
    """
    blocks = source.unrotated
    pixel_bytes = math.prod(blocks.shape[1:]) * blocks.dtype.itemsize
    step = max(1, min(_TILE_BYTES, budget // 3) // pixel_bytes)
    transposed = TransposedBlocks(folder=folder, array=array, shards=tuple(shards), step=step)
    firsts = range(0, blocks.shape[0], step)
    return transposed, [
        TransposeTask(blocks=blocks, transposed=transposed, first=first) for first in firsts
    ]
