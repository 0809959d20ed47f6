"""Data sets in HDF5 files, compressed in threads and readable by any HDF5 library.

HDF5 compresses one chunk after the other under a lock. Here threads read, shuffle and deflate
the chunks, and HDF5 only stores the bytes (``H5Dwrite_chunk``): the file is the same as if HDF5
had applied its own ``shuffle`` and ``deflate`` filters, which every installation has.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from stemzarr.formats.writing.isal import deflate
from stemzarr.model import Blocks, Document
from stemzarr.pixels.boxes import Box, fill_box, grid
from stemzarr.pixels.buffers import borrow
from stemzarr.pixels.resources import Resources
from stemzarr.storage.files import write_all
from stemzarr.views.slabs import map_document

__all__ = ["chunk_shape", "create_hdf5", "masks_of", "write_dataset"]

_CHUNK_BYTES = 1024**2
_LEVEL = 1


class _ForgivingFile(io.FileIO):
    """A file that keeps the first error of a write, and lets HDF5 close in peace.

    HDF5 ends the process where a write fails while it closes a file, as on a full disk.
    """

    error: OSError | None = None
    forgives = False

    def write(self, data: Any) -> int:  # noqa: ANN401 - any buffer
        """Write all of it, or keep why not; raise it unless the file is being closed."""
        write = super().write
        try:
            write_all(lambda part, _: write(part), data)
        except OSError as error:
            self.error = self.error or error
            if not self.forgives:
                raise
        return memoryview(data).nbytes

    def truncate(self, size: int | None = None) -> int:
        """Set the length, or keep why not; raise it unless the file is being closed."""
        try:
            return super().truncate(size)
        except OSError as error:
            self.error = self.error or error
            if not self.forgives:
                raise
        return size or 0

    def flush(self) -> None:
        """Do nothing: nothing is buffered, but h5py looks for the method in the class."""


@contextlib.contextmanager
def create_hdf5(path: Path, *, track_order: bool = False) -> Iterator[h5py.File]:
    """Give a new HDF5 file of the version 1.8, and close it.

    Raises
    ------
    OSError
        A write failed, at the latest of those of the closing.
    """
    with _ForgivingFile(path, "w+") as raw:
        file = h5py.File(raw, "w", libver=("v108", "v108"), track_order=track_order)
        try:
            yield file
        except Exception as error:
            if raw.error is not None:
                raise raw.error from error
            raise
        finally:
            raw.forgives = True
            file.close()
        if raw.error is not None:
            raise raw.error


def chunk_shape(shape: tuple[int, ...], itemsize: int, pattern_ndim: int) -> tuple[int, ...]:
    """Return the shape of chunks: whole patterns, about 1 MiB.

    A chunk is what a reader unpacks for one pattern. Lengths are chosen so that the chunks of a
    row are of nearly one size, since HDF5 stores the last one at full length.

    Examples
    --------
    >>> chunk_shape((128, 128, 256, 256), 2, 2)
    (1, 8, 256, 256)
    """
    least = (*[1] * (len(shape) - pattern_ndim), *shape[-pattern_ndim:])
    return fill_box(shape, _CHUNK_BYTES // itemsize, least=least, even=True)


def masks_of(document: Document) -> dict[str, NDArray[np.bool_]]:
    """Return the masks that a document has, by the names under which `read_masks` finds them."""
    masks = {"valid": document.valid, "bad_pixels": document.bad_pixels}
    return {name: mask for name, mask in masks.items() if mask is not None}


def write_dataset(
    group: h5py.Group,
    name: str,
    blocks: Blocks,
    pattern_ndim: int,
    resources: Resources,
) -> h5py.Dataset:
    """Write blocks as a chunked, shuffled and deflated data set.

    Parameters
    ----------
    group, name
        Where the data set is made.
    blocks
        The values.
    pattern_ndim
        How many of the last dims no chunk splits.
    resources
        Threads, memory and progress.
    """
    chunk = chunk_shape(blocks.shape, blocks.dtype.itemsize, pattern_ndim)
    dataset = group.create_dataset(
        name,
        shape=blocks.shape,
        dtype=blocks.dtype,
        chunks=chunk,
        compression="gzip",
        compression_opts=_LEVEL,
        shuffle=True,
    )

    def encode_box(readable: Blocks, box: Box) -> list[tuple[tuple[int, ...], bytes]]:
        with borrow(box.shape, readable.dtype) as values:
            readable.read_into(values, box.start)
            return _encode(values, box.start, chunk)

    for encoded in map_document(encode_box, blocks, pattern_ndim, resources, unit=chunk):
        for offset, compressed in encoded:
            dataset.id.write_direct_chunk(offset, compressed)
    return dataset


def _encode(
    values: NDArray[Any], start: tuple[int, ...], chunk: tuple[int, ...]
) -> list[tuple[tuple[int, ...], bytes]]:
    """Return offset and bytes of every chunk of a box; chunks that stick out end in zeros."""
    encoded = []
    for part in grid(values.shape, chunk):
        piece = values[part]
        if piece.shape != chunk:
            full = np.zeros(chunk, values.dtype)
            full[tuple(slice(0, n) for n in piece.shape)] = piece
            piece = full
        offset = tuple(a + p.start for a, p in zip(start, part, strict=True))
        encoded.append((offset, _compress(piece)))
    return encoded


def _compress(values: NDArray[Any]) -> bytes:
    """Return a chunk as HDF5's filters ``shuffle`` and ``deflate`` would give it."""
    planes = _shuffle(values)
    return deflate(planes.reshape(-1), values.nbytes - planes.nbytes)


def _shuffle(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Return all first bytes of the values, then all second bytes, and so on, (bytes, values).

    Bytes that are 0 in all values, of small counts in a wide type, are left out at the end. They
    are shifted out of integers, which is five times faster than to gather one by one.
    """
    flat, size = np.ascontiguousarray(values).reshape(-1), values.dtype.itemsize
    if size not in (2, 4, 8):
        return np.ascontiguousarray(flat.view(np.uint8).reshape(-1, size).T)
    integers = flat.view(f"<u{size}")
    used = max(1, (int(integers.max()).bit_length() + 7) // 8)
    shuffled = np.empty((used, flat.size), np.uint8)
    for place in range(used):
        np.copyto(shuffled[place], integers >> (8 * place), casting="unsafe")
    return shuffled
