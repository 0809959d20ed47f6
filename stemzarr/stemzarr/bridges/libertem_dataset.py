"""A data set of LiberTEM whose workers read blocks themselves, each block once.

It is imported where LiberTEM is installed: its interface is that of `libertem.io.dataset.base`,
from version 0.14 on.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import sparse
from libertem.common import Shape, Slice
from libertem.corrections.corrset import CorrectionSet
from libertem.io.dataset.base import DataSet, DataSetMeta, DataTile, Partition
from numpy.typing import DTypeLike, NDArray
from sparseconverter import for_backend

from stemzarr.model import Blocks, Document, read_box

__all__ = ["BlocksDataSet"]

_SIGNAL = 2
_IO_BYTES = 2**28
"""The largest tile: no limit of a disk, but one that LiberTEM checks against its plan."""


class BlocksDataSet(DataSet):  # type: ignore[misc]  # LiberTEM is not typed
    """A document whose last two dims are a detector.

    Parameters
    ----------
    document
        Its blocks are pickled to the workers; bad pixels that it marks are corrected by LiberTEM.
    io_backend
        Of LiberTEM, none of which is used.
    """

    def __init__(self, document: Document, io_backend: None = None) -> None:
        super().__init__(io_backend=io_backend)
        self._blocks = document.blocks
        self._bad_pixels = document.bad_pixels
        shape = Shape(document.shape, sig_dims=_SIGNAL)
        self._image_count = self._nav_shape_product = math.prod(shape.nav)
        self._meta = DataSetMeta(
            shape=shape, raw_dtype=document.dtype, image_count=self._image_count
        )
        self._sync_offset_info = self.get_sync_offset_info()

    def initialize(self, executor: object) -> BlocksDataSet:  # noqa: ARG002 - its interface
        """Return itself: all is known."""
        return self

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return self._blocks.dtype

    @property
    def shape(self) -> Any:  # noqa: ANN401 - a Shape
        """Shape of the document."""
        return self._meta.shape

    def check_valid(self) -> bool:
        """Return whether a worker reads a pattern; an error of ours says why it does not."""
        first = (0,) * len(self._blocks.shape)
        lead = len(first) - _SIGNAL
        read_box(self._blocks, first, (*[1] * lead, *self._blocks.shape[lead:]))
        return True

    @classmethod
    def get_supported_io_backends(cls) -> list[str]:
        """Return none: blocks are read in their own way."""
        return []

    def get_correction_data(self) -> Any:  # noqa: ANN401 - a CorrectionSet
        """Return the bad pixels, which LiberTEM replaces by their neighbours."""
        if self._bad_pixels is None:
            return CorrectionSet()
        return CorrectionSet(excluded_pixels=sparse.COO(self._bad_pixels))

    def get_base_shape(self, roi: object) -> tuple[int, ...]:  # noqa: ARG002 - its interface
        """Return a whole pattern, which no tile splits."""
        return (1, *self.shape.sig)

    def adjust_tileshape(self, tileshape: Sequence[int], roi: object) -> tuple[int, ...]:  # noqa: ARG002
        """Return tiles of whole patterns, as many as were planned."""
        return (tileshape[0], *self.shape.sig)

    def get_max_io_size(self) -> int:
        """Return how large a tile may be."""
        return _IO_BYTES

    def need_decode(self, *_: object, **__: object) -> bool:
        """Return that values are decoded."""
        return True

    def get_partitions(self) -> Iterator[BlocksPartition]:
        """Yield runs of patterns, each for one worker; they begin where blocks do."""
        units = list(_units(self._blocks))
        count = min(self.get_num_partitions(), len(units))
        edges = [units[len(units) * n // count].start for n in range(count)]
        for start, stop in itertools.pairwise([*edges, self._image_count]):
            origin = (start, *[0] * _SIGNAL)
            shape = Shape((stop - start, *self.shape.sig), sig_dims=_SIGNAL)
            yield BlocksPartition(
                self._blocks,
                meta=self._meta,
                partition_slice=Slice(origin=origin, shape=shape),
                io_backend=None,
                decoder=None,
            )


class BlocksPartition(Partition):  # type: ignore[misc]  # LiberTEM is not typed
    """A run of patterns, read block by block in the worker."""

    def __init__(self, blocks: Blocks, **rest: Any) -> None:  # noqa: ANN401 - those of LiberTEM
        super().__init__(**rest)
        self._blocks = blocks
        self._corrections = CorrectionSet()

    def set_corrections(self, corrections: Any) -> None:  # noqa: ANN401 - a CorrectionSet
        """Take what is corrected in each tile."""
        self._corrections = corrections

    def get_locations(self) -> None:
        """Return that any worker will do."""

    def get_tiles(
        self,
        tiling_scheme: Any,  # noqa: ANN401 - of LiberTEM
        dest_dtype: DTypeLike = "float32",
        roi: NDArray[np.bool_] | None = None,
        array_backend: Any = None,  # noqa: ANN401 - of sparseconverter
    ) -> Iterator[Any]:
        """Yield whole patterns in their order, those of a region counted without the others."""
        depth = tiling_scheme.adjust_for_partition(self).depth
        backend = self.meta.array_backends[0] if array_backend is None else array_backend
        chosen = None if roi is None else np.asarray(roi).reshape(-1)
        first, stop = self.slice.origin[0], self.slice.origin[0] + self.slice.shape[0]
        place = first if chosen is None else int(np.count_nonzero(chosen[:first]))
        for unit in _units(self._blocks):
            if not first <= unit.start < stop or (
                chosen is not None and not chosen[unit.start : unit.stop].any()
            ):
                continue
            patterns = unit.read(self._blocks)
            if chosen is not None:
                patterns = patterns[chosen[unit.start : unit.stop]]
            for begin in range(0, len(patterns), depth):
                tile = patterns[begin : begin + depth].astype(dest_dtype)
                shape = Shape(tile.shape, sig_dims=_SIGNAL)
                where = Slice(origin=(place, *[0] * _SIGNAL), shape=shape)
                self._corrections.apply(tile, where)
                yield DataTile(for_backend(tile, backend), tile_slice=where, scheme_idx=0)
                place += len(tile)


class _Unit(NamedTuple):
    """Patterns that follow one another and are cheapest to read together."""

    start: int
    """The first of them, counted row by row."""
    stop: int
    """The one after the last."""
    corner: tuple[int, ...]
    """Where the box begins in the leading dims."""
    lengths: tuple[int, ...]
    """Of the box in the leading dims."""

    def read(self, blocks: Blocks) -> NDArray[Any]:
        """Return the patterns, (n, det_y, det_x)."""
        detector = blocks.shape[-_SIGNAL:]
        box = read_box(blocks, (*self.corner, *[0] * _SIGNAL), (*self.lengths, *detector))
        return box.reshape(-1, *detector)


def _units(blocks: Blocks) -> Iterator[_Unit]:
    """Yield all patterns in boxes of whole blocks whose patterns follow one another.

    Where a block is one row high, a box is a block; else it is all blocks of as many rows.
    """
    lead = blocks.shape[:-_SIGNAL]
    sides = [min(b, n) for b, n in zip(blocks.block_shape, lead, strict=False)]
    split = next((dim for dim, side in enumerate(sides) if side > 1), len(lead) - 1)
    steps = (*[1] * split, sides[split], *lead[split + 1 :])
    start = 0
    for corner in itertools.product(*map(range, [0] * len(lead), lead, steps)):
        lengths = tuple(min(s, n - c) for s, n, c in zip(steps, lead, corner, strict=True))
        stop = start + math.prod(lengths)
        yield _Unit(start, stop, corner, lengths)
        start = stop
