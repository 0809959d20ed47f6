"""Documents as labelled xarray objects: lazy values, calibrated coordinates, flat attributes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

from stemzarr.model import CHANNEL, Blocks, Document

__all__ = ["BlocksArray", "dask_chunks", "to_dataset"]

_DASK_CHUNK_BYTES = 64 * 1024**2


class BlocksArray(BackendArray):
    """The values of a document as xarray indexes them; what is not asked for is not read.

    Positions closer to each other than a block of the disk are read through in one go.

    Parameters
    ----------
    blocks
        The pixels in canonical order.
    pattern_ndim
        How many of the last dims are one pattern.
    """

    def __init__(self, blocks: Blocks, pattern_ndim: int) -> None:
        self.blocks = blocks
        self.pattern_ndim = pattern_ndim
        self.shape = blocks.shape
        self.dtype = blocks.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> NDArray[Any]:
        values: NDArray[Any] = indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._read
        )
        return values

    def _read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        """Read the positions that an orthogonal index names."""
        leading = len(self.shape) - self.pattern_ndim
        wanted = [_positions(item, size) for item, size in zip(key, self.shape, strict=True)]
        unique = [np.unique(positions) for positions in wanted]
        box: NDArray[Any] = np.empty([u.size for u in unique], self.dtype)
        if box.size:
            gaps = [*self.blocks.block_shape[:leading], *self.shape[leading:]]
            groups = [_groups(u, gap) for u, gap in zip(unique, gaps, strict=True)]
            for group in itertools.product(*groups):
                self._read_group(box, unique, group)
        for dim, (positions, known) in enumerate(zip(wanted, unique, strict=True)):
            if not np.array_equal(positions, known):
                box = box.take(np.searchsorted(known, positions), axis=dim)
        scalars = tuple(0 if isinstance(item, (int, np.integer)) else slice(None) for item in key)
        return box[scalars]

    def _read_group(
        self, box: NDArray[Any], unique: Sequence[NDArray[np.intp]], group: Sequence[slice]
    ) -> None:
        """Read the box that encloses one group of positions, straight into place if it can be."""
        inside = [positions[part] for positions, part in zip(unique, group, strict=True)]
        start = [int(positions[0]) for positions in inside]
        shape = tuple(int(p[-1]) - first + 1 for p, first in zip(inside, start, strict=True))
        target = box[tuple(group)]
        if target.shape == shape:
            self.blocks.read_into(target, start)
            return
        enclosing: NDArray[Any] = np.empty(shape, self.dtype)
        self.blocks.read_into(enclosing, start)
        picks = [positions - first for positions, first in zip(inside, start, strict=True)]
        target[...] = enclosing[np.ix_(*picks)]


def _positions(item: Any, size: int) -> NDArray[np.intp]:  # noqa: ANN401 - an indexer of xarray's
    """Return the positions that one item of an index names, counted from the front."""
    if isinstance(item, slice):
        return np.arange(*item.indices(size), dtype=np.intp)
    positions = np.atleast_1d(np.asarray(item, dtype=np.intp))
    return np.where(positions < 0, positions + size, positions)


def _groups(positions: NDArray[np.intp], gap: int) -> list[slice]:
    """Cut sorted positions where more than `gap` lies between neighbours: no block is shared."""
    cuts = [0, *(np.flatnonzero(np.diff(positions) > max(1, gap)) + 1).tolist(), positions.size]
    return [slice(a, b) for a, b in itertools.pairwise(cuts)]


def dask_chunks(blocks: Blocks, pattern_ndim: int) -> tuple[int, ...]:
    """Return a chunk shape for dask: whole patterns, whole blocks of the disk, about 64 MiB.

    The leading dims are filled from the last to the first, so that a chunk is whole scan rows
    where rows are small; a pattern larger than the target is a chunk of its own.
    """
    shape = blocks.shape
    leading = len(shape) - pattern_ndim
    chunk = [1] * leading + list(shape[leading:])
    room = max(1, _DASK_CHUNK_BYTES // max(1, math.prod(chunk) * blocks.dtype.itemsize))
    for dim in reversed(range(leading)):
        if room >= shape[dim]:
            chunk[dim] = shape[dim]
            room //= max(1, shape[dim])
            continue
        unit = min(blocks.block_shape[dim], shape[dim])
        chunk[dim] = max(1, room // unit * unit or room)
        break
    return tuple(chunk)


def to_dataset(document: Document, prefix: str = "") -> xr.Dataset:
    """Return a document as a lazy Dataset, as its store would be opened by xarray.

    Parameters
    ----------
    document
        What to label.
    prefix
        Put before every dim, for a document that stands beside others in one tree.

    Returns
    -------
    xarray.Dataset
        ``intensity`` with the dims of the document's kind, raw values in the source's dtype; a
        float64 coordinate in calibrated units for every dim but ``channel``; flat attributes.
        Nothing is read until values are asked for.
    """
    dims = tuple(name if name == CHANNEL else prefix + name for name in document.dims)
    lazy = indexing.LazilyIndexedArray(BlocksArray(document.blocks, document.pattern_ndim))
    intensity = xr.Variable(dims, lazy, document.intensity_attributes())
    chunks = dask_chunks(document.blocks, document.pattern_ndim)
    intensity.encoding["preferred_chunks"] = dict(zip(dims, chunks, strict=True))
    coords = {
        prefix + axis.name: xr.Variable((prefix + axis.name,), axis.values(), axis.attributes())
        for axis in document.axes
    }
    variables = {"intensity": intensity}
    if document.valid is not None:
        variables["valid"] = xr.Variable(dims[:2], document.valid)
    return xr.Dataset(variables, coords, document.group_attributes())
