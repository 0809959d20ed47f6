"""Blocks as xarray indexes them, and the way back from what was selected to the blocks."""

from __future__ import annotations

import importlib
import itertools
import operator
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

from stemzarr.model import Blocks, Document
from stemzarr.pixels.boxes import Box

__all__ = ["BlocksArray", "SelectedBlocks", "find_selection"]


_WRAPPERS = (
    indexing.MemoryCachedArray,
    indexing.CopyOnWriteArray,
    indexing.ImplicitToExplicitIndexingAdapter,
    indexing.LazilyIndexedArray,
)
"""What xarray wraps around lazy values without changing them."""


class BlocksArray(BackendArray):
    """The values of a document as xarray indexes them; what is not asked for is not read.

    Positions closer to each other than a block of the disk are read through in one go.

    Parameters
    ----------
    blocks
        The pixels in canonical order.
    pattern_ndim
        How many of the last dims are one pattern.
    document
        The document that they are all pixels of, where there is one.
    """

    def __init__(self, blocks: Blocks, pattern_ndim: int, document: Document | None = None) -> None:
        self.blocks = blocks
        self.pattern_ndim = pattern_ndim
        self.document = document
        self.shape = blocks.shape
        self.dtype = blocks.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> NDArray[Any]:
        items = tuple(map(_without_direction, key.tuple, self.shape))
        values: NDArray[Any] = indexing.explicit_indexing_adapter(
            type(key)(items), self.shape, indexing.IndexingSupport.OUTER, self.read
        )
        return values

    def read(self, key: tuple[Any, ...]) -> NDArray[Any]:
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


def _without_direction(item: Any, size: int) -> Any:  # noqa: ANN401 - an indexer of xarray's
    """Return an item of an index, a slice of nothing forwards: xarray fails at one backwards."""
    backwards = isinstance(item, slice) and item.step is not None and item.step < 0
    return slice(0, 0) if backwards and not range(*item.indices(size)) else item


def _positions(item: Any, size: int) -> NDArray[np.intp]:  # noqa: ANN401 - an indexer of xarray's
    """Return the positions that one item of an index names, counted from the front."""
    if isinstance(item, slice):
        return np.arange(*item.indices(size), dtype=np.intp)
    positions = np.atleast_1d(np.asarray(item, dtype=np.intp))
    return np.where(positions < 0, positions + size, positions)


def _groups(positions: NDArray[np.intp], gap: int) -> list[slice]:
    """Cut sorted positions where more than `gap` is between neighbours: no block is shared."""
    cuts = [0, *(np.flatnonzero(np.diff(positions) > max(1, gap)) + 1).tolist(), positions.size]
    return [slice(a, b) for a, b in itertools.pairwise(cuts)]


@dataclass(frozen=True, slots=True)
class SelectedBlocks:
    """What slices and single positions select of blocks; in a graph of dask, their name there."""

    source: BlocksArray
    """The blocks."""
    picks: tuple[range | int, ...]
    """For every dim of the blocks what is selected; a single position leaves the dim out."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the dims that are left."""
        return tuple(len(pick) for pick in self.picks if isinstance(pick, range))

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return self.source.dtype

    @property
    def block_shape(self) -> tuple[int, ...]:
        """As much as a block of the disk holds of the selection."""
        pairs = zip(self.picks, self.source.blocks.block_shape, strict=True)
        steps = [(n, abs(pick.step), len(pick)) for pick, n in pairs if isinstance(pick, range)]
        return tuple(max(1, min(-(-n // step), size)) for n, step, size in steps)

    @property
    def is_whole(self) -> bool:
        """Whether all is selected, in its order."""
        return self.picks == tuple(map(range, self.source.shape))

    def simplest(self) -> Blocks:
        """Return the blocks themselves where all is selected."""
        return self.source.blocks if self.is_whole else self

    def __array_function__(self, *_: object) -> Any:  # noqa: ANN401 - numpy's protocol
        """Refuse whatever is no selection; dask leaves what has this as it is."""
        return NotImplemented

    def __getitem__(self, key: tuple[Any, ...]) -> SelectedBlocks:
        """Select further.

        Raises
        ------
        TypeError
            The key holds something else than slices and integers.
        """
        items = iter(key)
        picks = [
            p if isinstance(p, int) else p[_plain(next(items, slice(None)))] for p in self.picks
        ]
        if next(items, None) is not None:
            msg = f"{key} has too many dims"
            raise TypeError(msg)
        return SelectedBlocks(self.source, tuple(picks))

    def sources_of(self, box: Box) -> Iterator[tuple[Blocks, Box]]:
        """Yield what is read of the blocks for a box, where it is one box of them."""
        ranges = self._ranges(box)
        if _is_dense(ranges):
            yield self.source.blocks, Box(tuple(r.start for r in ranges), tuple(map(len, ranges)))

    def _ranges(self, box: Box) -> list[range]:
        """Return for every dim of the blocks what a box is selected from."""
        picks = self[box.slices()].picks
        return [range(pick, pick + 1) if isinstance(pick, int) else pick for pick in picks]

    def read_into(self, out: NDArray[Any], start: Sequence[int]) -> None:
        """Fill `out` with the box of its shape at `start`.

        Raises
        ------
        StemzarrError
            As the blocks.
        """
        ranges = self._ranges(Box(tuple(start), out.shape))
        single = tuple(dim for dim, pick in enumerate(self.picks) if isinstance(pick, int))
        target = np.expand_dims(out, single)
        if _is_dense(ranges):
            self.source.blocks.read_into(target, [pick.start for pick in ranges])
        else:
            target[...] = self.source.read(tuple(map(np.asarray, ranges)))


def _is_dense(ranges: Sequence[range]) -> bool:
    """Return whether no position is left out between others, and all are in order."""
    return all(len(pick) < 2 or pick.step == 1 for pick in ranges)  # noqa: PLR2004 - a pair


def _plain(item: Any) -> Any:  # noqa: ANN401 - an item of an index
    if isinstance(item, slice):
        return item
    return operator.index(item)


def find_selection(array: xr.DataArray) -> SelectedBlocks | None:
    """Return what an array selects of blocks; None where it is computed or in memory.

    Parameters
    ----------
    array
        As stemzarr opened it, or what slices and single positions selected from that.

    Returns
    -------
    SelectedBlocks or None
        It gives the same values without dask and xarray.
    """
    data = array.variable._data  # noqa: SLF001 - `data` would read what is lazy
    found = _unwrap(data) if getattr(data, "dask", None) is None else _from_graph(data)
    return found if found is not None and found.shape == array.shape else None


def _unwrap(lazy: Any) -> SelectedBlocks | None:  # noqa: ANN401 - an array of xarray
    """Return what is selected of blocks by an array that xarray indexes lazily."""
    key: tuple[Any, ...] = ()
    while isinstance(lazy, _WRAPPERS):
        if isinstance(lazy, indexing.LazilyIndexedArray):
            key = lazy.key.tuple
        lazy = lazy.array
    if not isinstance(lazy, BlocksArray):
        return None
    try:
        return SelectedBlocks(lazy, tuple(map(range, lazy.shape)))[key]
    except TypeError:
        return None


_KNOWN: dict[int, tuple[weakref.ref[Any], str, SelectedBlocks | None]] = {}
"""What arrays of the graphs that are alive select: a graph of 100 GB takes long to look through."""


def _from_graph(array: Any) -> SelectedBlocks | None:  # noqa: ANN401 - an array of dask
    """Return what a graph selects of blocks, as it was found before for the same graph."""
    place = id(array.dask)
    if place in _KNOWN:
        graph, name, found = _KNOWN[place]
        if graph() is array.dask and name == array.name:
            return found
    found = _look_through(array)
    forget = weakref.ref(array.dask, lambda _: _KNOWN.pop(place, None))
    _KNOWN[place] = forget, array.name, found
    return found


def _look_through(array: Any) -> SelectedBlocks | None:  # noqa: ANN401 - an array of dask
    """Return what a graph selects of blocks, where all that it does is to select."""
    dask: Any = importlib.import_module("dask")
    graph = _selections(array.dask)
    if graph is None:
        return None
    try:
        parts = dask.get(graph, [(array.name, *index) for index in np.ndindex(array.numblocks)])
    except TypeError:
        return None
    return _join(parts, array.numblocks)


def _selections(graph: Mapping[Any, Any]) -> dict[Any, Any] | None:
    """Return a graph with selections of blocks in place of values; None where it does more."""
    from dask.array import chunk
    from dask.array.core import getter, getter_inline, getter_nofancy

    allowed = {getter, getter_inline, getter_nofancy, chunk.getitem, operator.getitem}
    replaced = {}
    for key, task in dict(graph).items():
        if getattr(task, "target", None) in graph:  # an alias: a part that is taken whole
            replaced[key] = task
            continue
        function = task[0] if isinstance(task, tuple) and task else getattr(task, "func", None)
        if function is None:
            task = _unwrap(getattr(task, "value", task))  # noqa: PLW2901 - what stands for it
        if task is None or (function is not None and function not in allowed):
            return None
        replaced[key] = task
    return replaced


def _join(parts: Sequence[SelectedBlocks], grid: tuple[int, ...]) -> SelectedBlocks | None:
    """Return what parts in C order of a grid are together; None where that is no selection."""
    first = parts[0]
    kept = [dim for dim, pick in enumerate(first.picks) if isinstance(pick, range)]
    if len(kept) != len(grid):
        return None
    numbers = np.arange(len(parts)).reshape(grid)
    rows = [
        np.moveaxis(numbers, axis, 0).reshape(count, -1)[:, 0] for axis, count in enumerate(grid)
    ]
    along = [[parts[n].picks[dim] for n in row] for dim, row in zip(kept, rows, strict=True)]
    for part, index in zip(parts, np.ndindex(grid), strict=True):
        expected = list(first.picks)
        for dim, ranges, place in zip(kept, along, index, strict=True):
            expected[dim] = ranges[place]
        if part != SelectedBlocks(first.source, tuple(expected)):
            return None
    picks = list(first.picks)
    for dim, ranges in zip(kept, along, strict=True):
        chained = _chain(itertools.chain(*ranges))
        if chained is None:
            return None
        picks[dim] = chained
    return SelectedBlocks(first.source, tuple(picks))


def _chain(positions: Iterable[int]) -> range | None:
    """Return positions as a range; None where their steps differ."""
    listed = list(positions)
    if len(listed) < 2:  # noqa: PLR2004 - a pair has a step
        return range(listed[0], listed[0] + 1) if listed else range(0)
    step = listed[1] - listed[0]
    chained = range(listed[0], listed[0] + step * len(listed), step) if step else range(0)
    return chained if list(chained) == listed else None
