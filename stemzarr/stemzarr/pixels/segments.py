"""Pixels as they are in a source, and the way back: canonical arrays to the bytes of the disk.

The disk order of a segment is its canonical order with the last `Segment.rotation` dims first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemzarr.model import Blocks, Segment, Source, read_all, read_box
from stemzarr.pixels.boxes import cut, fill_box
from stemzarr.pixels.packing import pack_colour, pack_plane, pack_plane_old
from stemzarr.pixels.transposing import transpose_into
from stemzarr.storage.files import read_positioned

__all__ = ["differing_offsets", "encode_pixels", "iterate_segment"]

_PIECE_BYTES = 64 * 1024**2
_WHOLE = {"packed-complex": pack_plane, "packed-complex-old": pack_plane_old}
"""Encodings that need the whole plane."""


def encode_pixels(box: NDArray[Any], segment: Segment) -> memoryview:
    """Return the bytes of a canonical box as they would be on disk.

    Parameters
    ----------
    box
        Values in canonical order; a packed FFT plane must be whole.
    segment
        Type, byte order, rotation and encoding on disk.

    Returns
    -------
    memoryview
        Bytes of the box in disk order. Values keep every bit, those of a NaN too.
    """
    if segment.encoding == "bgra":
        box = pack_colour(box)
    elif segment.encoding in _WHOLE:
        box = _WHOLE[segment.encoding](box)
    if segment.rotation:
        cut = box.ndim - segment.rotation
        matrix = np.ascontiguousarray(box).reshape(math.prod(box.shape[:cut]), -1)
        box = np.empty(matrix.shape[::-1], box.dtype)
        transpose_into(box, matrix)
    values = np.ascontiguousarray(box).reshape(-1)
    if np.dtype(segment.dtype).byteorder == ">":
        values = values.byteswap()
    return values.view(np.uint8).data


def iterate_segment(
    blocks: Blocks, segment: Segment, *, memory: int = 4 * _PIECE_BYTES
) -> Iterator[tuple[int, memoryview]]:
    """Iterate over the bytes of a segment, each piece with its place in the source.

    The pixels are read once, in the order that suits `blocks`. Where the disk has the same order,
    the pieces follow one another; where it is rotated, a piece is one run of neighbouring scan
    positions of one detector pixel, or energy, and the runs leave gaps that later ones fill.

    Parameters
    ----------
    blocks
        The pixels in canonical order, from a store or a file.
    segment
        Where and how they are in the source.
    memory
        About how many bytes may be held at once.

    Yields
    ------
    tuple of int and memoryview
        Offset in the source, and the bytes that belong there.
    """
    if segment.encoding in _WHOLE:
        whole = read_all(blocks)
        yield segment.offset, encode_pixels(whole, segment)
        return
    positions = math.prod(segment.shape[segment.rotation :])
    itemsize = np.dtype(segment.dtype).itemsize
    done = 0
    # Rotated dims are never cut.
    lead = len(blocks.shape) - max(segment.rotation, 1)
    lengths = fill_box(
        blocks.shape,
        memory // 3 // blocks.dtype.itemsize,
        least=(*[1] * lead, *blocks.shape[lead:]),
        block=blocks.block_shape,
    )
    for start, shape in cut((0,) * len(lengths), blocks.shape, lengths):
        data = encode_pixels(read_box(blocks, start, shape), segment)
        if not segment.rotation:
            yield segment.offset + done, data
            done += len(data)
            continue
        count = math.prod(shape[: len(shape) - segment.rotation])
        step = count * itemsize
        for number in range(len(data) // step):
            at = segment.offset + (number * positions + done) * itemsize
            yield at, data[number * step : (number + 1) * step]
        done += count


def differing_offsets(held: Source, path: Path) -> Iterator[tuple[int, Segment]]:
    """Iterate over the places where packed pixels of a file are not those of a source.

    Several packed forms stand for the same values, so that values alone do not tell; pixels that
    are in the file as they are need no such look.

    Parameters
    ----------
    held
        The source, such as a store, with the segments of the file that it was made from.
    path
        The file that is compared.

    Yields
    ------
    tuple of int and Segment
        Offset of a piece that differs, and the segment that it is part of.
    """
    for segment in held.segments:
        if segment.encoding == "plain":
            continue
        for offset, stored in iterate_segment(held.find(segment.document).blocks, segment):
            there = bytearray(len(stored))
            read_positioned(path, memoryview(there), offset)
            if there != stored:
                yield offset, segment
