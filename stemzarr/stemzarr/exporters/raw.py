"""Plain bytes of a document, rendered and written in threads to their place in a file."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from isal import isal_zlib

from stemzarr.exporters.positioned import PositionedWriter
from stemzarr.model import Document, Progress, read_box
from stemzarr.options import ExportOptions
from stemzarr.views.boxes import Box, map_boxes, plan_boxes

__all__ = ["write_raw"]


def write_raw(
    path: Path,
    offset: int,
    document: Document,
    options: ExportOptions,
    progress: Progress | None = None,
) -> int:
    """Write all values of a document, row by row, from `offset` on.

    Parameters
    ----------
    path
        A file that stands already; what lies around the values is left alone.
    offset
        First byte of the values.
    document
        The values.
    options
        Threads and memory.
    progress
        Is told bytes done and in all.

    Returns
    -------
    int
        CRC-32 of all bytes of the values, in their order.
    """
    blocks = document.blocks
    plan = plan_boxes(blocks, document.pattern_ndim, memory=options.memory, threads=options.threads)
    strides = [math.prod(blocks.shape[dim + 1 :]) for dim in range(len(blocks.shape))]
    checksum, done = 0, 0

    with PositionedWriter(path) as file:

        def render_box(box: Box) -> tuple[int, int]:
            values = read_box(blocks, box.start, box.shape).reshape(-1).view(np.uint8).data
            place = sum(a * stride for a, stride in zip(box.start, strides, strict=True))
            file.write(values, offset + place * blocks.dtype.itemsize)
            return isal_zlib.crc32(values), values.nbytes

        for part, nbytes in map_boxes(render_box, plan.boxes, threads=plan.threads):
            checksum = isal_zlib.crc32_combine(checksum, part, nbytes)
            done += nbytes
            if progress is not None:
                progress(done, document.nbytes)
    return checksum
