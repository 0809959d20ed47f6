"""Arrays of ``.npy`` that begin at a byte of a file: alone, one behind the other, or in a zip."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stemzarr.errors import (
    TruncatedFileError,
    UnsupportedDataError,
)
from stemzarr.formats.file_blocks import parsing
from stemzarr.formats.found import Found, reorder
from stemzarr.formats.frames import FrameRun
from stemzarr.formats.hdf5.files import stored_dtype
from stemzarr.formats.labelling import FoundAxis, Labels
from stemzarr.options import ReadOptions
from stemzarr.pixels.raw import RawBlocks
from stemzarr.storage.objects import Stamp
from stemzarr.storage.reasons import reading

__all__ = ["NpyHeader", "find_array", "find_cut", "read_header"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NpyHeader:
    """What is before the values of an array."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    offset: int
    """Where the values begin."""

    @property
    def end(self) -> int:
        """Where they end."""
        return self.offset + math.prod(self.shape) * self.dtype.itemsize


def find_array(path: Path, stamp: Stamp, header: NpyHeader) -> Found:
    """Return the array of a header.

    Raises
    ------
    UnsupportedDataError
        Its values are not numbers.
    """
    known = stored_dtype(header.dtype)
    shape, dtype = header.shape, header.dtype
    if known is None or not shape or 0 in shape:
        msg = f"holds values of type {dtype} and shape {shape}"
        raise UnsupportedDataError(msg, path=path, hint="only arrays of numbers become stores")
    channel = (len(known[1]),) if known[1] else ()
    base = RawBlocks(
        path=path,
        stamp=stamp,
        offset=header.offset,
        disk_shape=(*(shape[::-1] if header.fortran else shape), *channel),
        stored=dtype if dtype.names is None else dtype[0],
    )
    order = tuple(range(len(shape)))
    labels = Labels(kind="array", axes=(), order=order[::-1] if header.fortran else order)
    return Found(
        title="",
        base=reorder(base, labels),
        axes=tuple(FoundAxis(size=size) for size in shape),
        channels=known[1],
    )


def find_cut(
    path: Path, stamp: Stamp, header: NpyHeader, whole: Found, options: ReadOptions
) -> tuple[list[Found], tuple[str, ...]]:
    """Return what is there of an array that the file cuts, and a note of what is not.

    Parameters
    ----------
    whole
        The array as it was to be.

    Raises
    ------
    TruncatedFileError
        It is not a run of patterns, or none of them is whole.
    """
    shape, dtype = header.shape, header.dtype
    if len(shape) not in (3, 4) or header.fortran or whole.channels:
        msg = f"has {stamp.size} of the {header.end} bytes that its header declares"
        raise TruncatedFileError(msg, path=path, hint="copy it again")
    stride = math.prod(shape[-2:]) * dtype.itemsize
    frames, beyond = divmod(max(0, stamp.size - header.offset), stride)
    blocks = RawBlocks(
        path=path,
        stamp=stamp,
        offset=header.offset,
        disk_shape=(frames, shape[-2], shape[-1]),
        stored=dtype,
        pattern_ndim=2,
    )
    run = FrameRun(
        parts=((0, blocks),),
        declared=math.prod(shape[:-2]),
        scan=(shape[0], shape[1]) if len(shape) == 4 else None,  # noqa: PLR2004 - scan, pattern
        beyond=beyond,
        evidence="the last two axes are the detector by default",
    )
    return run.find(whole, options, path), (run.note,)


def read_header(path: Path, offset: int) -> NpyHeader:
    """Return what is before the values of the array that begins at a byte of the file.

    Raises
    ------
    CorruptFileError
        No array begins there.
    """
    # numpy evaluates text here and raises whatever it stumbles over
    with (
        parsing(path, "is not a readable .npy file", "save it again with numpy.save"),
        reading(path),
        path.open("rb") as file,
    ):
        file.seek(offset)
        version = np.lib.format.read_magic(file)
        read = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, fortran, dtype = read(file)
        return NpyHeader(shape=shape, fortran=fortran, dtype=dtype, offset=file.tell())
