"""Patterns of stores and other sources as a torch dataset, rendered when they are asked for."""

from __future__ import annotations

import dataclasses
import functools
import math
import os
from collections.abc import Iterable, Sequence
from itertools import chain
from threading import Lock
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch.utils.data import Dataset, get_worker_info

from stemzarr.errors import OptionError
from stemzarr.measure.moments import join_statistics
from stemzarr.model import Document, Statistics
from stemzarr.options import available_threads, check_whole
from stemzarr.pixels.threads import map_in_threads
from stemzarr.torch.cache import Buffer, UnitCache
from stemzarr.torch.maps import make_map, to_rows
from stemzarr.torch.part import PATTERN_NDIM, Part, make_part
from stemzarr.torch.scaling import DeviceScaling
from stemzarr.torch.sources import (
    Trainable,
    check_scaling,
    measure_positions,
    open_documents,
    scale_all,
    view_plainly,
)
from stemzarr.views.normalize import Scaling, needs_statistics, scaling_from
from stemzarr.views.view import View

__all__ = ["PatternDataset", "take_batch"]

_MEMORY = 96 * 1024**2
_RUNS = 2
_LEAST_MEMORY = 4 * 1024**2


class Batch(list[torch.Tensor]):
    """Patterns one by one, which still know the tensor that they are views of."""

    def __init__(self, whole: torch.Tensor) -> None:
        super().__init__(whole.unbind(0))
        self.whole = whole


def take_batch(patterns: list[torch.Tensor]) -> torch.Tensor:
    """Return patterns as one tensor: the one that they were fetched in, or a new one."""
    return patterns.whole if isinstance(patterns, Batch) else torch.stack(patterns)


class PatternDataset(Dataset[torch.Tensor]):
    """Diffraction patterns of one or many sources, each a tensor (1, det_y, det_x).

    Nothing is converted beforehand: a view is rendered when its patterns are asked for. Patterns
    are counted source by source, each row by row. Give it to a loader together with
    `PatternSampler`, or use `make_loader`: then every block of the disk is decoded once an epoch.
    Any other sampler works too, but random single patterns decode a block each.

    Parameters
    ----------
    sources
        One source or several: stores, other files, entries of a lake, Datasets that stemzarr opened
        or what was selected from them, or documents.
    view
        The recipe; its `dtype` is float32 unless it names another. Where it normalises by
        statistics, the patterns of all sources are scaled by one pair of numbers, those of a later
        validation part too; `Scaling.fit` and `scaled` fit to the training part alone.
    scale_on_device
        Whether clipping, normalisation and cast are left to `scaling`, a module for the device
        that trains. Batches then come in the type that the steps before give, often of half the
        size.
    memory
        Budget in bytes for rendered patterns, shared by all workers of a loader.
    threads
        Threads that render where no worker processes do; all processors where None.
    scaling
        What happens to each value, such as what was fitted to the patterns of another training, in
        place of a normalisation of the view. Nothing is measured then.

    Raises
    ------
    OptionError
        The view normalises, and a scaling is given too; the sources have detectors of different
        sizes, there is none, or one is no source; the view names a type other than float32, and the
        device is to scale; a number is too small.
    UnsupportedDataError
        A source holds no patterns, or is on disk so that every pattern is spread over it.

    Notes
    -----
    It can be pickled and forked, at any time: each process renders for itself, within its share of
    the budget, and keeps no thread.
    """

    def __init__(
        self,
        sources: Trainable | Sequence[Trainable],
        view: View | None = None,
        *,
        scale_on_device: bool = False,
        memory: int = _MEMORY,
        threads: int | None = None,
        scaling: Scaling | None = None,
    ) -> None:
        self._memory = check_whole("memory", memory, _LEAST_MEMORY)
        self._threads = (
            available_threads() if threads is None else check_whole("threads", threads, 1)
        )
        documents = open_documents(sources)
        if not documents:
            msg = "there is no source to train from"
            raise OptionError(msg, hint="give a store, a file or a list of them")
        self.view = view or View()
        check_scaling(self.view, scaling, on_device=scale_on_device)
        self._on_device = scale_on_device
        self._plain = tuple(view_plainly(documents, self.view, self._threads))
        self._parts = tuple(make_part(document) for document in self._plain)
        statistics = self.measure() if needs_statistics(self.view.normalize) else None
        if scaling is None:
            normalize, clip = self.view.normalize, self.view.clip_negative
            scaling = scaling_from(normalize, statistics, clip=clip)
        self._scale(scaling, statistics)
        _check_alike(self._parts)
        self._prepare()

    def _scale(self, scaling: Scaling, statistics: Statistics | None = None) -> None:
        """Scale the patterns of the parts, or leave it to the device."""
        clip = scaling.clip or self.view.clip_negative
        scaling = dataclasses.replace(scaling, clip=clip)
        scaled: Sequence[Document] = self._plain
        self._scaling = scaling
        if not self._on_device:
            scaled = scale_all(self._plain, self.view, scaling, statistics)
            self._scaling = Scaling()
        self._parts = tuple(
            dataclasses.replace(make_part(document), positions=part.positions)
            for document, part in zip(scaled, self._parts, strict=True)
        )

    def _prepare(self) -> None:
        counts = [len(part.positions) for part in self._parts]
        self._ends = np.cumsum(counts)
        self._cache: UnitCache | None = None
        self._lock = Lock()
        self._process = os.getpid()

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what belongs to this process."""
        state = self.__dict__.copy()
        del state["_cache"], state["_lock"], state["_ends"], state["_process"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._prepare()

    def __len__(self) -> int:
        return int(self._ends[-1])

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of all patterns, (N, 1, det_y, det_x), as that of an exported tensor."""
        det_y, det_x = self._parts[0].document.shape[-PATTERN_NDIM:]
        return len(self), 1, det_y, det_x

    @property
    def dtype(self) -> torch.dtype:
        """Type of the tensors."""
        return torch.from_numpy(np.empty(0, self._parts[0].document.dtype)).dtype

    @property
    def documents(self) -> tuple[Document, ...]:
        """The documents, their views applied."""
        return tuple(part.document for part in self._parts)

    @functools.cached_property
    def scaling(self) -> DeviceScaling:
        """The module that finishes batches on the device: identity where nothing is left to do."""
        return DeviceScaling(self._scaling)

    def position(self, index: int) -> tuple[int, tuple[int, ...]]:
        """Return which document a pattern is of, and its scan position in the view."""
        part, position = (int(found[0]) for found in self._find(np.array([index])))
        return part, tuple(int(i) for i in np.unravel_index(position, self._parts[part].lead or 1))

    def to_map(
        self, values: object, dims: Sequence[str] = (), *, document: int | None = None
    ) -> xr.DataArray:
        """Return results of a model as a labelled map over the scan of a document.

        Parameters
        ----------
        values
            A tensor or array (N, …): a row for each pattern of the dataset, in their order.
        dims
            Names of what follows in each row, such as ``("latent",)``.
        document
            Which document's map; may be left out where there is only one.

        Returns
        -------
        xarray.DataArray
            Leading dims of the document, then `dims`, with the document's coordinates; NaN where no
            pattern takes part. Floating-point types stay; integers become floats that hold NaN.

        Raises
        ------
        OptionError
            The rows are not as many as the patterns, `dims` does not fit them, or it is not said
            which of several documents is meant.
        """
        rows = to_rows(values, len(self), dims)
        count = len(self._parts)
        number = 0 if document is None and count == 1 else document
        if number is None or check_whole("document", number, 0) >= count:
            msg = f"document is {document}, and there are {count} documents"
            raise OptionError(msg, hint=f"give a number from 0 to {count - 1}")
        part, end = self._parts[number], self._ends[number]
        return make_map(part, rows[end - len(part.positions) : end], dims)

    def take(self, kept: Sequence[NDArray[np.bool_]]) -> PatternDataset:
        """Return a dataset of some of the patterns: a mask over the scan for each document.

        Raises
        ------
        OptionError
            There are more or fewer masks than documents, or one has not the shape of its scan.
        """
        if len(kept) != len(self._parts):
            msg = f"{len(kept)} masks are given for {len(self._parts)} documents"
            raise OptionError(msg, hint="give a list with one mask for each document")
        other = object.__new__(PatternDataset)
        parts = [_select(part, np.asarray(m)) for part, m in zip(self._parts, kept, strict=True)]
        other.__setstate__({**self.__getstate__(), "_parts": tuple(parts)})
        return other

    def measure(self) -> Statistics:
        """Return the statistics of the patterns that take part, before any scaling.

        Where these are not all patterns of a source, they are read once, in bounded memory.
        """
        pairs = zip(self._plain, self._parts, strict=True)
        return join_statistics(
            [measure_positions(plain, part.positions, self._threads) for plain, part in pairs]
        )

    def scaled(self, scaling: Scaling) -> PatternDataset:
        """Return a dataset of the same patterns, scaled by `scaling` alone.

        Raises
        ------
        OptionError
            The view of the patterns normalises them already.
        """
        check_scaling(self.view, scaling, on_device=self._on_device)
        other = object.__new__(PatternDataset)
        state = self.__getstate__()
        state.pop("scaling", None)
        other.__setstate__(state)
        other._scale(scaling)
        return other

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.fetch([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[torch.Tensor]:
        """Return patterns one by one, for torch to stack or `take_batch` to take whole."""
        return Batch(self.fetch(indices))

    def fetch(self, indices: Sequence[int]) -> torch.Tensor:
        """Return patterns as one tensor (len(indices), 1, det_y, det_x).

        Every unit of the disk that they need is decoded once, or comes from the cache.

        Raises
        ------
        IndexError
            There is no such pattern.
        """
        if self._process != os.getpid():
            # A fork copied a cache that is not shared out among workers, and maybe a held lock.
            self._prepare()
        wanted = np.asarray(indices, np.int64)
        keys, inside = self._locate(wanted)
        # numpy's allocation: torch's aligned one makes the heap of a worker grow with every batch
        batch = np.empty((len(wanted), *self.shape[1:]), self._parts[0].document.dtype)
        out = batch[:, 0]
        units, which = np.unique(keys, axis=0, return_inverse=True)
        in_order = np.argsort(which.reshape(-1), kind="stable")
        rows_of = np.split(in_order, np.cumsum(np.bincount(which.reshape(-1)))[:-1])
        with self._lock:
            try:
                for number, values in self._render(units):
                    # One by one: a list of places would be copied twice.
                    for row in rows_of[number].tolist():
                        out[row] = values[inside[row]]
            except BaseException:
                # What the call was about to keep is half done, and its traceback may hold it.
                self._cache = None
                raise
        return torch.from_numpy(batch)

    def _find(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return document and flat position of each pattern."""
        if len(indices) and not (-len(self) <= indices.min() and indices.max() < len(self)):
            msg = f"there are {len(self)} patterns, and no pattern {indices.max()}"
            raise IndexError(msg)
        indices = np.where(indices < 0, indices + len(self), indices)
        parts = np.searchsorted(self._ends, indices, side="right")
        positions = np.empty_like(indices)
        for number in np.unique(parts):
            rows = parts == number
            first = self._ends[number] - len(self._parts[number].positions)
            positions[rows] = self._parts[number].positions[indices[rows] - first]
        return parts, positions

    def _locate(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return (document, unit) of each pattern, and its place in the unit."""
        parts, positions = self._find(indices)
        keys = np.stack([parts, np.zeros_like(parts)], axis=1)
        inside = np.empty_like(indices)
        for number in np.unique(parts):
            rows = parts == number
            keys[rows, 1], inside[rows] = self._parts[number].locate(positions[rows])
        return keys, inside

    def _render(self, units: NDArray[np.int64]) -> Iterable[tuple[int, NDArray[Any]]]:
        """Yield number and patterns of each unit: the cached ones first, then the others."""
        cache, missing = self._open_cache(), []
        for number, (part, unit) in enumerate(units.tolist()):
            values = cache.get((part, unit))
            if values is None:
                missing.append((number, (part, unit)))
            else:
                yield number, values
        threads = self._threads if get_worker_info() is None else 1
        for first in range(0, len(missing), cache.slots):
            some = missing[first : first + cache.slots]
            with cache.borrow(len(some)) as buffers:
                tasks = list(zip((key for _, key in some), buffers, strict=True))
                run = max(1, len(tasks) // (_RUNS * threads))
                runs = (tasks[start : start + run] for start in range(0, len(tasks), run))
                done = map_in_threads(self._render_units, runs, threads=threads)
                rendered = zip(some, buffers, chain.from_iterable(done), strict=True)
                for (number, key), buffer, values in rendered:
                    cache.keep(key, buffer, values)
                    yield number, values

    def _open_cache(self) -> UnitCache:
        """Return what this process keeps; workers share the budget."""
        if self._cache is None:
            worker = get_worker_info()
            slots = self.units_in_memory(1 if worker is None else worker.num_workers)
            units = sum(math.prod(part.grid) for part in self._parts)
            dtype = self._parts[0].document.dtype
            size = max(part.unit_bytes for part in self._parts) // dtype.itemsize
            self._cache = UnitCache(max(1, min(slots, units)), size, dtype)
        return self._cache

    def _render_units(self, tasks: list[tuple[tuple[int, int], Buffer]]) -> list[NDArray[Any]]:
        return [self._parts[part].render(unit, buffer.values) for (part, unit), buffer in tasks]

    def units(self) -> NDArray[np.int64]:
        """Return for every pattern the number of the unit that it is decoded with, shape (N,)."""
        keys, _ = self._locate(np.arange(len(self)))
        firsts = np.cumsum([0, *(math.prod(part.grid) for part in self._parts[:-1])])
        numbers: NDArray[np.int64] = firsts[keys[:, 0]] + keys[:, 1]
        return numbers

    def units_in_memory(self, workers: int) -> int:
        """Return how many units a process keeps where `workers` share the budget."""
        largest = max(part.unit_bytes for part in self._parts)
        return max(1, self._memory // max(1, workers) // largest)

    @property
    def tiles(self) -> tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]:
        """For each document, the lengths of its leading dims and those of a unit."""
        return tuple((part.lead, part.unit) for part in self._parts)


def _select(part: Part, mask: NDArray[Any]) -> Part:
    """Return the patterns of a part that are under a mask."""
    if mask.shape != part.lead or mask.dtype.kind != "b":
        msg = f"the mask is {mask.dtype} of shape {mask.shape}, and the scan has {part.lead}"
        raise OptionError(msg, hint="give True or False for each position of the scan")
    return dataclasses.replace(part, positions=part.positions[mask.reshape(-1)[part.positions]])


def _check_alike(parts: Sequence[Part]) -> None:
    sizes = {part.document.shape[-PATTERN_NDIM:] for part in parts}
    if len(sizes) > 1:
        found = ", ".join(f"{y} × {x}" for y, x in sorted(sizes))
        msg = f"the patterns have different sizes: {found}"
        raise OptionError(msg, hint="cut them alike with the region of a view, det_y and det_x")
    types = {part.document.dtype.name for part in parts}
    if len(types) > 1:
        msg = f"the patterns have different types: {', '.join(sorted(types))}"
        raise OptionError(msg, hint="leave scaling to the processor: scale_on_device=False")
