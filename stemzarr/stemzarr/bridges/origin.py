"""The file that a Dataset was opened from, for the metadata that only it has."""

from __future__ import annotations

import warnings
from pathlib import Path

import xarray as xr

from stemzarr.errors import StemzarrError
from stemzarr.model import Document, Source
from stemzarr.options import as_path
from stemzarr.registry import read_source

__all__ = ["source_of"]


def source_of(dataset: xr.Dataset, document: Document) -> Source:
    """Return the file that a Dataset was opened from; one without a name where none is known."""
    unknown = Source(
        path=Path(),
        format="",
        size=0,
        modified_ns=0,
        documents=(document,),
        main=document.index,
    )
    path = dataset.encoding.get("source")
    if path is None:
        return unknown
    try:
        return read_source(as_path(path))
    except StemzarrError as error:
        warnings.warn(f"without original metadata: {error}", stacklevel=4)
        return unknown
