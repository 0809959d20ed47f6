"""Scans and stacks as data sets of LiberTEM."""

from __future__ import annotations

from typing import Any

import xarray as xr

from stemzarr.bridges.missing import import_program
from stemzarr.errors import UnsupportedDataError
from stemzarr.labelled import from_dataset
from stemzarr.model import PATTERN_KINDS
from stemzarr.pixels.boxes import splits_patterns

__all__ = ["to_libertem"]

_PATTERN_NDIM = 2


def to_libertem(dataset: xr.Dataset, context: Any = None) -> Any:  # noqa: ANN401 - of LiberTEM
    """Return a scan or stack as a data set of LiberTEM; no value is read but one pattern.

    Parameters
    ----------
    dataset
        As stemzarr opened it, or what was selected from that.
    context
        The ``libertem.api.Context`` that is to compute with it; by default a new one, which
        computes in this process.

    Returns
    -------
    libertem.io.dataset.base.DataSet
        Not over dask: the workers of the context read the blocks of the store or file themselves,
        each once. Bad pixels that the document marks are corrected as LiberTEM does by default.

    Raises
    ------
    MissingDependencyError
        LiberTEM is not installed.
    UnsupportedDataError
        There are no patterns, they are complex, or are spread over the whole file.
    """
    api = import_program("libertem.api", "pip install libertem")
    from stemzarr.bridges.libertem_dataset import BlocksDataSet

    document = from_dataset(dataset)
    if document.kind not in PATTERN_KINDS or len(document.axes) <= _PATTERN_NDIM:
        msg = f"this is of kind {document.kind!r}, and LiberTEM takes scans and stacks"
        raise UnsupportedDataError(msg, hint="open the scan")
    if splits_patterns(document.blocks, _PATTERN_NDIM):
        msg = f"the patterns of {document.title!r} are spread over the whole file"
        raise UnsupportedDataError(msg, hint="ingest it into a store and open that")
    chosen = api.Context.make_with("inline") if context is None else context
    return chosen.load(BlocksDataSet, document)
