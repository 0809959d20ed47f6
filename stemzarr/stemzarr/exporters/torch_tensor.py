"""Tensors in ``.pt`` files that ``torch.load`` maps, written in place while they are computed.

A ``.pt`` is a zip archive that holds the tensor's bytes uncompressed. torch lays out the archive
around a hole of the right size; threads render patterns and write them into the hole; the
checksum of the hole then goes into the archive's two headers. At no time is the tensor in memory.
"""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
import torch
from isal import isal_zlib

from stemzarr.errors import UnsupportedDataError
from stemzarr.exporters.positioned import PositionedWriter
from stemzarr.exporters.sidecar import describe_document
from stemzarr.exporters.zip_record import find_record
from stemzarr.model import Document, read_box
from stemzarr.registry import Exported, ExportRequest
from stemzarr.views.boxes import Box, map_boxes, plan_boxes

__all__ = ["write_pt"]


def write_pt(request: ExportRequest) -> Exported:
    """Write the main document as a tensor, and say in a sidecar what it is.

    The tensor is (N, 1, det_y, det_x) with the scan row by row, or (scan_y, scan_x, det_y,
    det_x) for the form ``scan``; other kinds of documents keep their dims. With metadata the file
    holds a dict of ``data`` and ``metadata`` instead, which ``weights_only=True`` loads.

    Raises
    ------
    UnsupportedDataError
        torch has no such type.
    """
    document = request.documents[0]
    shape = _tensor_shape(document, request)
    sidecar = {
        "shape": list(shape),
        "dtype": document.dtype.name,
        **describe_document(document),
        "provenance": request.provenance,
    }
    _lay_out(request, shape, document.dtype, sidecar)
    record = find_record(request.dest, "/data/0")
    with PositionedWriter(request.dest) as file:
        checksum = memoryview(struct.pack("<I", _fill(file, record.offset, document, request)))
        for place in record.checksums:
            file.write(checksum, place)
    return Exported(shape=shape, dtype=document.dtype.name, sidecar=sidecar)


def _tensor_shape(document: Document, request: ExportRequest) -> tuple[int, ...]:
    if document.kind != "4d-stem" or request.options.tensor == "scan":
        return document.shape
    scan_y, scan_x, det_y, det_x = document.shape
    return scan_y * scan_x, 1, det_y, det_x


def _lay_out(
    request: ExportRequest,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    metadata: dict[str, Any],
) -> None:
    """Write the archive with a hole in the place of the tensor's bytes.

    torch wants a tensor of the full size to describe. It is mapped from an empty sparse file,
    whose pages are never touched, so that neither memory nor disk is taken.
    """
    try:
        torch_dtype = torch.from_numpy(np.empty(0, dtype)).dtype
    except TypeError:
        msg = f"torch has no type for {dtype.name}"
        raise UnsupportedDataError(msg, hint="choose dtype float32") from None
    sparse = request.dest.with_name(request.dest.name + ".hole")
    try:
        with sparse.open("wb") as file:
            file.truncate(math.prod(shape) * dtype.itemsize)
        flat = torch.from_file(str(sparse), shared=True, size=math.prod(shape), dtype=torch_dtype)
        tensor = flat.reshape(shape)
        content = (
            {"data": tensor, "metadata": metadata} if request.options.with_metadata else tensor
        )
        with torch.serialization.skip_data():
            torch.save(content, request.dest)
        del flat, tensor, content
    finally:
        sparse.unlink(missing_ok=True)


def _fill(file: PositionedWriter, offset: int, document: Document, request: ExportRequest) -> int:
    """Render the document into the hole, in threads, and return the CRC-32 of its bytes."""
    blocks, options = document.blocks, request.options
    plan = plan_boxes(blocks, document.pattern_ndim, memory=options.memory, threads=options.threads)

    def render_box(box: Box) -> tuple[int, int]:
        values = read_box(blocks, box.start, box.shape).reshape(-1).view(np.uint8).data
        place = int(np.ravel_multi_index(box.start, document.shape))
        file.write(values, offset + place * document.dtype.itemsize)
        return isal_zlib.crc32(values), values.nbytes

    checksum, done = 0, 0
    for part, nbytes in map_boxes(render_box, plan.boxes, threads=plan.threads):
        checksum = isal_zlib.crc32_combine(checksum, part, nbytes)
        done += nbytes
        if request.progress is not None:
            request.progress(done, document.nbytes)
    return checksum
