"""Tensors in ``.pt`` files that ``torch.load`` maps, written in place while they are computed.

A ``.pt`` is a zip archive that holds the tensor's bytes uncompressed. torch lays out the archive
around a hole of the right size; threads render patterns and write them into the hole; the
checksum of the hole then goes into the archive's two headers. At no time is the tensor in memory.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stemzarr.errors import UnsupportedDataError, WriteError
from stemzarr.formats.torch_tensor.zip_record import find_record
from stemzarr.formats.writing.positioned import PositionedWriter
from stemzarr.formats.writing.raw import write_raw
from stemzarr.formats.writing.sidecar import describe_export
from stemzarr.model import Document
from stemzarr.registry import Exported, ExportRequest
from stemzarr.storage.files import remove_file
from stemzarr.views.render import ViewBlocks

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
    sidecar = describe_export(request, shape)
    _lay_out(request, shape, document.dtype, sidecar)
    record = find_record(request.dest, "/data/0")
    checksum = write_raw(request.dest, record.offset, document, request.resources)
    with PositionedWriter(request.dest) as file:
        for place in record.checksums:
            file.write(memoryview(struct.pack("<I", checksum)), place)
    notes = _rounding(document)
    if request.options.tensor == "scan" and document.kind != "4d-stem":
        notes += (f"{document.slug} is not a 4D scan, so the tensor has its own dims",)
    return Exported(shape=shape, dtype=document.dtype.name, sidecar=sidecar, notes=notes)


def _rounding(document: Document) -> tuple[str, ...]:
    """Return the note that counts were rounded, where they may be larger than floats count to."""
    blocks = document.blocks
    if not isinstance(blocks, ViewBlocks) or blocks.dtype.kind != "f":
        return ()
    source = blocks.base.dtype
    if source.kind not in "iu" or blocks.view.gives_fractions:
        return ()
    exact = 2 ** (np.finfo(blocks.dtype).nmant + 1)
    known = blocks.statistics
    largest = np.iinfo(source).max if known is None else max(-known.min, known.max)
    if largest <= exact:
        return ()
    way = f"--dtype {source.name} (View(dtype={source.name!r})) keeps them"
    return (f"{source.name} values beyond {exact} are rounded to {blocks.dtype.name}; {way}",)


def _tensor_shape(document: Document, request: ExportRequest) -> tuple[int, ...]:
    if document.kind != "4d-stem" or request.options.tensor == "scan":
        return document.shape
    scan_y, scan_x, det_y, det_x = document.shape
    return scan_y * scan_x, 1, det_y, det_x


def _save(content: Any, path: Path) -> None:  # noqa: ANN401 - a tensor, or a dict with it
    try:
        # By a path, the archive's folder would have its name, which is another one each time.
        with path.open("wb") as file:
            torch.save(content, file)
    except RuntimeError as error:  # of the C++ stream, without a number
        said = f"cannot be written: {' '.join(str(error).split())}"
        hint = "free space there or choose another folder"
        raise WriteError(said, path=path, hint=hint) from error


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
            _save(content, request.dest)
        del flat, tensor, content
    finally:
        remove_file(sparse)
