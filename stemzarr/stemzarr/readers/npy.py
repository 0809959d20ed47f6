"""numpy's ``.npy`` files, read at positions rather than mapped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import (
    CorruptFileError,
    SourceChangedError,
    TruncatedFileError,
    UnsupportedDataError,
)
from stemzarr.files import read_error, read_positioned
from stemzarr.model import Source
from stemzarr.options import ReadOptions
from stemzarr.readers.found import FileFacts, Found, build_source
from stemzarr.readers.hdf5_files import Stamp, contiguous_block, stored_dtype
from stemzarr.readers.labelling import FoundAxis, Labels
from stemzarr.readers.reordered import reorder

__all__ = ["RawBlocks", "read_npy"]


def read_npy(path: Path, options: ReadOptions) -> Source:
    """Return the array of an ``.npy`` file, without reading pixels. Pickled objects are refused.

    Raises
    ------
    CorruptFileError, TruncatedFileError
        The file is no ``.npy`` file, or ends before its values do.
    UnsupportedDataError
        The values are no numbers.
    """
    stamp = Stamp.of(path)
    shape, fortran, dtype, offset = _header(path)
    found = stored_dtype(dtype)
    if found is None or not shape or 0 in shape:
        msg = f"holds values of type {dtype} and shape {shape}"
        raise UnsupportedDataError(msg, path=path, hint="only arrays of numbers become stores")
    wanted = offset + int(np.prod(shape, dtype=object)) * dtype.itemsize
    if stamp.size < wanted:
        msg = f"has {stamp.size} of the {wanted} bytes that its header declares"
        raise TruncatedFileError(msg, path=path, hint="copy it again")
    channel = (len(found[1]),) if found[1] else ()
    base = RawBlocks(
        path=path,
        stamp=stamp,
        offset=offset,
        shape=(*(shape[::-1] if fortran else shape), *channel),
        stored=dtype if dtype.names is None else dtype[0],
    )
    order = tuple(range(len(shape)))
    labels = Labels(kind="array", axes=(), order=order[::-1] if fortran else order)
    one = Found(
        title="",
        base=reorder(base, labels),
        axes=tuple(FoundAxis(size=size) for size in shape),
        channels=found[1],
    )
    facts = FileFacts(format="npy", size=stamp.size, modified_ns=stamp.modified_ns)
    return build_source(path, facts, [one], options)


def _header(path: Path) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Return shape, whether the first dim is the fastest, type, and where the values begin."""
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, fortran, dtype = read(file)
            return shape, fortran, dtype, file.tell()
    except OSError as error:
        raise read_error(path, error) from error
    except Exception as error:  # numpy evaluates text here and raises whatever it stumbles over
        msg = f"is no readable .npy file: {' '.join(str(error).split())[:200]}"
        raise CorruptFileError(msg, path=path, hint="save it again with numpy.save") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class RawBlocks:
    """One run of bytes in C order. Picklable and thread-safe."""

    path: Path
    """The file."""
    stamp: Stamp
    """What the file was when it was recognised."""
    offset: int
    """First byte of the values."""
    shape: tuple[int, ...]
    """Lengths of the dims, slowest first."""
    stored: np.dtype[Any]
    """Type of the values in the file, with their byte order."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values, little-endian."""
        return self.stored.newbyteorder("<")

    @property
    def block_shape(self) -> tuple[int, ...]:
        """About 16 MiB in one run."""
        return contiguous_block(self.shape, self.stored.itemsize)

    def read_into(self, out: NDArray[Any], start: Sequence[int]) -> None:
        """Fill `out` with the box of its shape at `start`.

        Raises
        ------
        SourceChangedError, ReadError
            The file is another one by now, or cannot be read.
        """
        if Stamp.of(self.path) != self.stamp:
            msg = "changed since it was recognised"
            raise SourceChangedError(msg, path=self.path, hint="open it again")
        if out.size:
            self._read(out, tuple(start), 0, self.offset)

    def _read(self, out: NDArray[Any], start: tuple[int, ...], dim: int, offset: int) -> None:
        """Fill `out` from the dim `dim` on; what is one run in the file is read at once."""
        row = int(np.prod(self.shape[dim + 1 :], dtype=object)) * self.stored.itemsize
        offset += start[dim] * row
        if out.shape[1:] == self.shape[dim + 1 :]:
            self._read_run(out, offset)
            return
        for place in range(out.shape[0]):
            self._read(out[place], start, dim + 1, offset + place * row)

    def _read_run(self, out: NDArray[Any], offset: int) -> None:
        swapped = self.stored.newbyteorder("=") != self.stored
        direct = out.flags.c_contiguous and not swapped
        target = out if direct else np.empty(out.shape, self.stored)
        read_positioned(self.path, target.reshape(-1).view(np.uint8).data, offset)
        if not direct:
            np.copyto(out, target)
