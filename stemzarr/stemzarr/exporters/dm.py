"""The source itself: a DM file that a store gives back byte for byte."""

from __future__ import annotations

import shutil

from stemzarr.errors import OptionError, UnsupportedDataError
from stemzarr.registry import Exported, ExportRequest
from stemzarr.store import rebuild
from stemzarr.views.render import ViewBlocks

__all__ = ["write_dm_source"]


def write_dm_source(request: ExportRequest) -> Exported:
    """Write the DM file that a store was made from, or copy the one that is the source.

    Raises
    ------
    OptionError
        A view is asked for: the source is given back as it was.
    UnsupportedDataError
        The source was no DM file, or the store does not hold all of its bytes.
    """
    source, document = request.source, request.documents[0]
    if any(isinstance(each.blocks, ViewBlocks) for each in request.documents):
        msg = "a DM file is given back as it was, and takes no view"
        raise OptionError(msg, hint="leave the options of the view out, or export .hspy or .zarr")
    if source.format == "stemzarr":
        rebuild(source.path, request.dest, progress=request.progress)
    elif source.rebuildable:
        shutil.copyfile(source.path, request.dest)
    else:
        msg = f"is of the format {source.format}, which becomes no DM file"
        raise UnsupportedDataError(msg, path=source.path, hint="export .hspy, .emd or .zarr")
    return Exported(shape=document.shape, dtype=document.dtype.name)
