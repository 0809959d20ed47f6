"""Documents as labelled xarray objects: lazy values, calibrated coordinates, flat attributes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

from stemzarr.model import Blocks, Document, read_box

__all__ = ["BlocksArray", "dask_chunks", "to_dataset"]

_DASK_CHUNK_BYTES = 64 * 1024**2


class BlocksArray(BackendArray):
    """The values of a document as xarray indexes them; only the asked-for box is read.

    Parameters
    ----------
    blocks
        The pixels in canonical order.
    """

    def __init__(self, blocks: Blocks) -> None:
        self.blocks = blocks
        self.shape = blocks.shape
        self.dtype = blocks.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> NDArray[Any]:
        values: NDArray[Any] = indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER_1VECTOR, self._read
        )
        return values

    def _read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        """Read the box that encloses `key`, then pick from it."""
        start, shape, inner = [], [], []
        for item, size in zip(key, self.shape, strict=True):
            first, count, pick = _enclosing(item, size)
            start.append(first)
            shape.append(count)
            inner.append(pick)
        box = read_box(self.blocks, start, shape) if all(shape) else np.empty(shape, self.dtype)
        for dim in reversed(range(len(inner))):
            box = box[(slice(None),) * dim + (inner[dim],)]
        return box


def _enclosing(item: Any, size: int) -> tuple[int, int, Any]:  # noqa: ANN401 - an indexer of xarray's
    """Return first index and length of the run that holds `item`, and the index into that run."""
    if isinstance(item, slice):
        span = range(*item.indices(size))
        if not span:
            return 0, 0, slice(None)
        low, high = min(span[0], span[-1]), max(span[0], span[-1])
        return low, high - low + 1, slice(None, None, span.step)
    index = np.asarray(item)
    if index.size == 0:
        return 0, 0, index
    index = np.where(index < 0, index + size, index)
    low, high = int(index.min()), int(index.max())
    shifted = index - low
    return low, high - low + 1, int(shifted) if index.ndim == 0 else shifted


def dask_chunks(blocks: Blocks, pattern_ndim: int) -> tuple[int, ...]:
    """Return a chunk shape for dask: whole blocks of the disk, whole patterns, about 64 MiB."""
    shape, block = blocks.shape, blocks.block_shape
    chunk = [min(b, n) for b, n in zip(block, shape, strict=True)]
    whole = len(shape) - pattern_ndim
    chunk[whole:] = shape[whole:]
    itemsize = blocks.dtype.itemsize
    for dim in reversed(range(whole)):
        room = _DASK_CHUNK_BYTES // max(1, math.prod(chunk) * itemsize)
        if room > 1:
            chunk[dim] = min(shape[dim], chunk[dim] * room)
        if chunk[dim] < shape[dim]:
            break
    for dim in range(whole):
        if math.prod(chunk) * itemsize <= _DASK_CHUNK_BYTES:
            break
        room = _DASK_CHUNK_BYTES * chunk[dim] // max(1, math.prod(chunk) * itemsize)
        chunk[dim] = max(1, room // block[dim] * block[dim] if room >= block[dim] else room)
    return tuple(chunk)


def to_dataset(document: Document) -> xr.Dataset:
    """Return a document as a lazy Dataset, as its store would be opened by xarray.

    Returns
    -------
    xarray.Dataset
        ``intensity`` with the dims of the document's kind, raw values in the source's dtype; a
        float64 coordinate in calibrated units for every dim but ``channel``; flat attributes.
        Nothing is read until values are asked for; ``.chunk({})`` makes it a dask array of
        whole patterns.
    """
    data = indexing.LazilyIndexedArray(BlocksArray(document.blocks))
    intensity = xr.Variable(document.dims, data, document.intensity_attributes())
    chunks = dask_chunks(document.blocks, document.pattern_ndim)
    intensity.encoding["preferred_chunks"] = dict(zip(document.dims, chunks, strict=True))
    coords = {
        axis.name: xr.Variable((axis.name,), axis.values(), axis.attributes())
        for axis in document.axes
    }
    variables = {"intensity": intensity}
    if document.valid is not None:
        variables["valid"] = xr.Variable(("scan_y", "scan_x"), document.valid)
    return xr.Dataset(variables, coords, document.group_attributes())
