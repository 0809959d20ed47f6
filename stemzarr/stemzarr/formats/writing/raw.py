"""Plain bytes of a document, rendered and written in threads to their place in a file."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from stemzarr.formats.writing.isal import crc32, crc32_combine
from stemzarr.formats.writing.positioned import PositionedWriter
from stemzarr.model import Blocks, Document
from stemzarr.pixels.boxes import Box
from stemzarr.pixels.buffers import borrow
from stemzarr.pixels.resources import Resources
from stemzarr.views.slabs import map_document

__all__ = ["write_raw"]


def write_raw(path: Path, offset: int, document: Document, resources: Resources) -> int:
    """Write all values of a document, row by row, from `offset` on.

    Parameters
    ----------
    path
        A file that exists already; what is around the values is left alone.
    offset
        First byte of the values.
    document
        The values.
    resources
        Threads, memory and progress.

    Returns
    -------
    int
        CRC-32 of all bytes of the values, in their order.
    """
    blocks = document.blocks
    strides = [math.prod(blocks.shape[dim + 1 :]) for dim in range(len(blocks.shape))]
    checksum = 0

    with PositionedWriter(path) as file:

        def render_box(readable: Blocks, box: Box) -> tuple[int, int]:
            place = sum(a * stride for a, stride in zip(box.start, strides, strict=True))
            with borrow(box.shape, blocks.dtype) as values:
                readable.read_into(values, box.start)
                content = values.reshape(-1).view(np.uint8).data
                file.write(content, offset + place * blocks.dtype.itemsize)
                return crc32(content), content.nbytes

        for part, nbytes in map_document(render_box, blocks, document.pattern_ndim, resources):
            checksum = crc32_combine(checksum, part, nbytes)
    return checksum
