"""numpy's ``.npy`` files, read at positions rather than mapped."""

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
from stemzarr.format_row import FormatRow
from stemzarr.formats.file_blocks import parsing
from stemzarr.formats.found import FileFacts, Found, build_source, refuse_dataset, reorder
from stemzarr.formats.frames import FrameRun
from stemzarr.formats.hdf5.files import stored_dtype
from stemzarr.formats.labelling import FoundAxis, Labels
from stemzarr.model import Source
from stemzarr.options import ReadOptions
from stemzarr.pixels.raw import RawBlocks
from stemzarr.storage.objects import Stamp
from stemzarr.storage.reasons import reading

__all__ = ["FORMATS", "read_npy"]

FORMATS = (
    FormatRow(
        name="NumPy",
        read="the array; 2D is an image, 3D a stack, 4D a scan by its shape",
        lazy="each box at its place in the file",
        complete="values on disk against those that the header declares",
        unseen="what the dims mean; there is no calibration",
        writers=("npy",),
    ),
)
"""Rows of docs/formats.md."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
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


def read_npy(path: Path, options: ReadOptions) -> Source:
    """Return the arrays of an ``.npy`` file, without reading pixels. Pickled objects are refused.

    Arrays that `numpy.save` was asked to write one behind the other into one file are documents
    of their own.

    Raises
    ------
    CorruptFileError, TruncatedFileError
        The file is not a ``.npy`` file, or ends before its values do and they are not patterns.
    UnsupportedDataError
        The values are not numbers.
    """
    refuse_dataset(path, options)
    stamp = Stamp.of(path)
    found: list[Found] = []
    notes: tuple[str, ...] = ()
    end = 0
    while end < stamp.size and not notes:
        if found and not _is_array(path, end):
            notes = (f"{stamp.size - end} bytes behind the last array are not an array",)
            break
        header = _header(path, end)
        end = header.end
        if end > stamp.size:
            lost, notes = _find_cut(path, stamp, header, options)
            found += lost
        else:
            found.append(_find_array(path, stamp, header))
    file = FileFacts(format="npy", notes=notes, complete=not notes)
    return build_source(path, file, found, options)


def _find_array(path: Path, stamp: Stamp, header: _Header) -> Found:
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


def _find_cut(
    path: Path, stamp: Stamp, header: _Header, options: ReadOptions
) -> tuple[list[Found], tuple[str, ...]]:
    """Return what is there of an array that the file cuts, and a note of what is not.

    Raises
    ------
    TruncatedFileError
        It is not a run of patterns, or none of them is whole.
    """
    whole = _find_array(path, stamp, header)
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


def _is_array(path: Path, offset: int) -> bool:
    """Return whether another array begins at a byte of the file."""
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(len(np.lib.format.MAGIC_PREFIX)) == np.lib.format.MAGIC_PREFIX


def _header(path: Path, offset: int) -> _Header:
    """Return what is before the values of the array that begins at a byte of the file."""
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
        return _Header(shape=shape, fortran=fortran, dtype=dtype, offset=file.tell())
