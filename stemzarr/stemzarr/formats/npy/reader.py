"""numpy's ``.npy`` files, read at positions rather than mapped."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stemzarr.format_row import FormatRow
from stemzarr.formats.found import FileFacts, Found, build_source, refuse_dataset
from stemzarr.formats.npy.arrays import find_array, find_cut, read_header
from stemzarr.model import Source
from stemzarr.options import ReadOptions
from stemzarr.storage.objects import Stamp

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
        header = read_header(path, end)
        end = header.end
        if end > stamp.size:
            whole = find_array(path, stamp, header)
            lost, notes = find_cut(path, stamp, header, whole, options)
            found += lost
        else:
            found.append(find_array(path, stamp, header))
    file = FileFacts(format="npy", notes=notes, complete=not notes)
    return build_source(path, file, found, options)


def _is_array(path: Path, offset: int) -> bool:
    """Return whether another array begins at a byte of the file."""
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(len(np.lib.format.MAGIC_PREFIX)) == np.lib.format.MAGIC_PREFIX
