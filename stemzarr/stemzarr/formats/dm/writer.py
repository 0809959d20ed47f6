"""The source itself: a DM file that a store gives back byte for byte."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from stemzarr.errors import OptionError, UnsupportedDataError
from stemzarr.model import Source
from stemzarr.registry import Exported, ExportRequest
from stemzarr.store import read_record, rebuild
from stemzarr.store.format.form import RevisionRecord
from stemzarr.views.render import ViewBlocks

__all__ = ["write_dm_source"]


def write_dm_source(request: ExportRequest) -> Exported:
    """Write the DM file that a store was made from, or copy the one that is the source.

    Raises
    ------
    OptionError
        A view is asked for, one document of several, or the suffix of the other version of the
        format: the source is given back as it was.
    UnsupportedDataError
        The source was not a DM file, or the store does not hold all of its bytes.
    """
    source, document = request.source, request.documents[0]
    viewed = any(isinstance(each.blocks, ViewBlocks) for each in request.documents)
    if viewed or request.options.takes_image:
        msg = "a DM file is given back as it was, and takes no view and no image"
        raise OptionError(msg, hint="leave the options of the view out, or export .hspy or .zarr")
    if document.index != source.main:
        msg = f"a DM file is given back whole, not the document {document.slug!r} of it alone"
        raise OptionError(msg, hint="leave --document out, or export .hspy or .zarr")
    if not source.rebuildable and source.format != "stemzarr":
        msg = f"is of the format {source.format}, which becomes no DM file"
        raise UnsupportedDataError(msg, path=source.path, hint="export .hspy, .emd or .zarr")
    if source.rebuildable:
        _check_suffix(request)
    notes: tuple[str, ...] = ()
    if source.format == "stemzarr":
        rebuild(source.path, request.dest, progress=request.progress)
        notes = _name_revised(read_record(source.path)["revisions"])
    else:
        shutil.copyfile(source.path, request.dest)
    return Exported(shape=document.shape, dtype=document.dtype.name, notes=notes)


def _name_revised(revisions: Sequence[RevisionRecord]) -> tuple[str, ...]:
    """Say which values of the store are not in the file, which has those of the microscope."""
    changed = [
        change["fact"]
        for revision in revisions
        if "undone" not in revision
        for change in revision["changes"]
    ]
    if not changed:
        return ()
    named = ", ".join(dict.fromkeys(changed))
    return (f"carries the microscope's values, not those that were revised since: {named}",)


def _check_suffix(request: ExportRequest) -> None:
    version, suffix = _version(request.source), Path(request.name).suffix.lower()
    if suffix in (".dm3", ".dm4") and suffix != f".{version}":
        msg = f"the source is a {version} file, which {request.name!r} would hide"
        raise OptionError(msg, hint=f"name it {Path(request.name).stem}.{version}")


def _version(source: Source) -> str:
    """Return ``dm3`` or ``dm4``, whether it is that file or a store made from it."""
    if source.format != "stemzarr":
        return source.format
    return str(read_record(source.path)["format"])
