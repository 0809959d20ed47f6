"""numpy's ``.npy`` files."""

from __future__ import annotations

import numpy as np

from stemzarr.formats.writing.raw import write_raw
from stemzarr.formats.writing.sidecar import describe_export
from stemzarr.registry import Exported, ExportRequest

__all__ = ["write_npy"]


def write_npy(request: ExportRequest) -> Exported:
    """Write the main document as a ``.npy`` file, and say in a sidecar what it is."""
    document = request.documents[0]
    header = {
        "descr": np.lib.format.dtype_to_descr(document.dtype),
        "fortran_order": False,
        "shape": document.shape,
    }
    with request.dest.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        offset = file.tell()
        file.truncate(offset + document.nbytes)
    write_raw(request.dest, offset, document, request.resources)
    return Exported(
        shape=document.shape,
        dtype=document.dtype.name,
        sidecar=describe_export(request, document.shape),
    )
