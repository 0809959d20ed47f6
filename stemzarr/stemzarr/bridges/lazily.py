"""The values of a Dataset as dask takes them, in chunks of whole patterns."""

from __future__ import annotations

import dask.array as da
import xarray as xr

from stemzarr.labelled import dask_chunks
from stemzarr.model import Document

__all__ = ["lazy_values"]


def lazy_values(dataset: xr.Dataset, document: Document) -> da.Array:
    """Return ``intensity`` as an array of dask; nothing is read.

    Parameters
    ----------
    dataset
        As stemzarr opened it, with or without dask, or what was computed from that.
    document
        What `from_dataset` makes of it.

    Returns
    -------
    dask.array.Array
        Chunked as it is, else in whole patterns of about 64 MiB. It can be pickled.
    """
    array = dataset["intensity"]
    if array.chunks is None:
        chunks = dask_chunks(document.blocks, document.pattern_ndim)
        array = array.chunk(dict(zip(array.dims, chunks, strict=True)))
    values: da.Array = array.data
    return values
