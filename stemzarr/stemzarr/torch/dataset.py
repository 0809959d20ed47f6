"""Patterns of stores and other sources as a torch dataset, rendered when they are asked for."""

from __future__ import annotations

import contextlib
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
from stemzarr.torch.batch import Batch, Labelled, LabelledBatch, ReadBatch, batch_of
from stemzarr.torch.cache import Buffer, UnitCache, rows_by_unit
from stemzarr.torch.forking import held_off_by_forks
from stemzarr.torch.maps import make_map, to_rows
from stemzarr.torch.part import PATTERN_NDIM, find_part, foresee_units, make_part, prepare_parts
from stemzarr.torch.scaling import DeviceScaling
from stemzarr.torch.sources import (
    Trainable,
    check_alike,
    check_scaling,
    measure_positions,
    open_documents,
    scale_all,
    view_plainly,
)
from stemzarr.torch.targets import Targets, join_targets, weigh_classes
from stemzarr.views.normalize import Scaling, needs_statistics, scaling_from
from stemzarr.views.view import View

__all__ = ["PatternDataset"]

_MEMORY = 96 * 1024**2
_RUNS = 2
_LEAST_MEMORY = 4 * 1024**2


class PatternDataset(Dataset[Any]):
    """Diffraction patterns of one or many sources, each a tensor (1, det_y, det_x).

    With `targets` each is a tuple: the tensor, its labels by name, and its number in the dataset.

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
        Budget in bytes for rendered patterns, shared by all workers of a loader. A pass over them
        keeps two batches more, which wait to be taken. Single patterns that are asked for during a
        pass of a loader without workers, and a second pass at the same time, take as much again.
    threads
        Threads that render where no worker processes do; all processors where None.
    scaling
        What happens to each value, such as what was fitted to the patterns of another training, in
        place of a normalisation of the view. Nothing is measured then.
    targets
        Labels by name, each a DataArray with the coordinates of the scan, or a list of one for each
        source. They are joined by coordinate: what the view leaves out has no part in it.

    Raises
    ------
    OptionError
        The view normalises, and a scaling is given too; the sources have detectors of different
        sizes, there is none, or one is no source; the view names a type other than float32, and the
        device is to scale; a number is too small; or a pattern has no label in a target.
    UnsupportedDataError
        A source holds no patterns, or is on disk so that every pattern is spread over it.

    Notes
    -----
    It can be pickled and forked, at any time: each process renders for itself, and no thread stays.

    Examples
    --------
    >>> PatternDataset("scan.dm4", View(downsample=2))[0].shape
    torch.Size([1, 8, 8])
    """

    def __init__(  # noqa: PLR0913 - what varies between trainings, one by one
        self,
        sources: Trainable | Sequence[Trainable],
        view: View | None = None,
        *,
        scale_on_device: bool = False,
        memory: int = _MEMORY,
        threads: int | None = None,
        scaling: Scaling | None = None,
        targets: Targets | None = None,
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
        check_alike(self.documents)
        self._targets = join_targets(self._parts, targets or {})
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
        self._ends = np.cumsum([len(part.positions) for part in self._parts])
        self._unit_ends = np.cumsum([math.prod(part.grid) for part in self._parts])
        self._cache: UnitCache | None = None
        self._lock = Lock()
        self._process = os.getpid()

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what belongs to this process."""
        state = self.__dict__.copy()
        for name in ("_cache", "_lock", "_ends", "_unit_ends", "_process"):
            del state[name]
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

    @property
    def counts(self) -> tuple[int, ...]:
        """How many patterns of each document take part."""
        return tuple(len(part.positions) for part in self._parts)

    @functools.cached_property
    def scaling(self) -> DeviceScaling:
        """The module that finishes batches on the device: identity where nothing is left to do."""
        return DeviceScaling(self._scaling)

    @property
    def threads(self) -> int:
        """Threads that render where no worker processes do."""
        return self._threads

    def position(self, index: int) -> tuple[int, tuple[int, ...]]:
        """Return which document a pattern is of, and its scan position in the view."""
        part, position = (int(found[0]) for found in self._find(np.array([index])))
        return part, tuple(int(i) for i in np.unravel_index(position, self._parts[part].lead or 1))

    def positions(
        self, indices: Sequence[int] | NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return document (N,) and scan position in the view (N, dims) of patterns, or of all.

        Raises
        ------
        IndexError
            There is no such pattern.
        OptionError
            The documents have scans of different numbers of dims.
        """
        leads = [part.lead for part in self._parts]
        if len({len(lead) for lead in leads}) > 1:
            msg = "the documents have scans of different numbers of dims"
            raise OptionError(msg, hint="ask for each document's with position(index)")
        wanted = np.arange(len(self)) if indices is None else np.asarray(indices, np.int64)
        parts, flat = self._find(wanted)
        sizes = np.array(leads, np.int64)[parts]
        places = np.empty((len(flat), len(leads[0])), np.int64)
        for dim in reversed(range(len(leads[0]))):
            flat, places[:, dim] = np.divmod(flat, sizes[:, dim])
        return parts, places

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
        pairs = zip(self._parts, kept, strict=True)
        rows = [part.rows_under(np.asarray(mask)) for part, mask in pairs]
        parts = tuple(
            dataclasses.replace(part, positions=part.positions[some])
            for part, some in zip(self._parts, rows, strict=True)
        )
        targets = {name: labels[np.concatenate(rows)] for name, labels in self._targets.items()}
        return self._changed(_parts=parts, _targets=targets)

    def with_targets(self, targets: Targets) -> PatternDataset:
        """Return a dataset of the same patterns with these labels, as `PatternDataset` takes them.

        Raises
        ------
        OptionError
            A pattern has no label in a target, or one does not fit the scan.
        """
        return self._changed(_targets=join_targets(self._parts, targets))

    def _changed(self, **state: Any) -> PatternDataset:  # noqa: ANN401 - whatever is kept
        other = object.__new__(PatternDataset)
        other.__setstate__({**self.__getstate__(), **state})
        return other

    @property
    def targets(self) -> dict[str, torch.Tensor]:
        """Labels of all patterns by name, each (N, …), in their order."""
        return {name: torch.from_numpy(labels) for name, labels in self._targets.items()}

    def class_weights(self, name: str) -> torch.Tensor:
        """Return a weight for each class of a target, float32 (classes,): rare ones weigh more.

        All classes together weigh as many patterns as there are, each the same; one without a
        pattern weighs 0. Such weights are for the loss; every pattern still comes once an epoch.

        Raises
        ------
        OptionError
            There is no such target, or it is not one whole number from 0 on for each pattern.
        """
        if name not in self._targets:
            known = ", ".join(self._targets) or "none"
            raise OptionError(f"there is no target {name!r}", hint=f"there are: {known}")
        return weigh_classes(self._targets[name], name)

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

    def __getitem__(self, index: int) -> Any:  # noqa: ANN401 - with labels or without
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> Batch | LabelledBatch:
        """Return patterns one by one, for torch to stack or `take_batch` to take whole."""
        if isinstance(indices, ReadBatch):
            return indices.patterns
        return batch_of(self.label(self.fetch(indices), indices))

    def label(
        self, patterns: torch.Tensor, indices: Sequence[int] | NDArray[np.int64]
    ) -> torch.Tensor | Labelled:
        """Return patterns as a batch has them: alone, or with their labels and numbers."""
        if not self._targets:
            return patterns
        numbers = np.asarray(indices, np.int64) % len(self)
        labels = {name: torch.from_numpy(rows[numbers]) for name, rows in self._targets.items()}
        return patterns, labels, torch.from_numpy(numbers)

    def fetch(self, indices: Sequence[int] | NDArray[np.int64]) -> torch.Tensor:
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
        units, inside = self.locate(wanted)
        batch = self.allocate(len(wanted))
        rows_of = dict(rows_by_unit(units))
        with self._lock:
            try:
                for unit, values in self._render(list(rows_of)):
                    # One by one: a list of places would be copied twice.
                    for row in rows_of[unit]:
                        batch[row, 0] = values[inside[row]]
            except BaseException:
                # What the call was about to keep is half done, and its traceback may hold it.
                self._cache = None
                raise
        return torch.from_numpy(batch)

    def allocate(self, count: int) -> NDArray[Any]:
        """Return memory for patterns, (count, 1, det_y, det_x)."""
        # numpy's allocation: torch's aligned one makes the heap of a worker grow with every batch
        return np.empty((count, *self.shape[1:]), self._parts[0].document.dtype)

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

    def locate(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the unit of each pattern, counted through all documents, and its place in it."""
        parts, positions = self._find(indices)
        units, inside = np.empty_like(indices), np.empty_like(indices)
        for number in np.unique(parts):
            rows, part = parts == number, self._parts[number]
            units[rows], inside[rows] = part.locate(positions[rows])
            units[rows] += self._unit_ends[number] - math.prod(part.grid)
        return units, inside

    def _render(self, units: Sequence[int]) -> Iterable[tuple[int, NDArray[Any]]]:
        """Yield each unit and its patterns: the cached ones first, then the others."""
        cache, missing = self._open_cache(), []
        for unit in units:
            values = cache.get(unit)
            if values is None:
                missing.append(unit)
            else:
                yield unit, values
        threads = self._threads if get_worker_info() is None else 1
        for first in range(0, len(missing), cache.slots):
            some = missing[first : first + cache.slots]
            with cache.borrow(len(some)) as buffers, self.foresee(some):
                tasks = list(zip(some, buffers, strict=True))
                run = max(1, len(tasks) // (_RUNS * threads))
                runs = (tasks[start : start + run] for start in range(0, len(tasks), run))
                done = map_in_threads(self._render_units, runs, threads=threads)
                for (unit, buffer), values in zip(tasks, chain.from_iterable(done), strict=True):
                    cache.keep(unit, buffer, values)
                    yield unit, values

    def _render_units(self, tasks: list[tuple[int, Buffer]]) -> list[NDArray[Any]]:
        return [self.render_unit(unit, buffer.values) for unit, buffer in tasks]

    def render_unit(self, unit: int, buffer: NDArray[Any]) -> NDArray[Any]:
        """Render a unit into flat `buffer`; return its patterns, (positions, det_y, det_x)."""
        part, inside = find_part(self._parts, self._unit_ends, unit)
        with held_off_by_forks():
            return part.render(inside, buffer)

    def foresee(self, units: Iterable[int]) -> contextlib.AbstractContextManager[None]:
        """Fetch what units are rendered from while the context lasts, where that is far away."""
        return foresee_units(self._parts, self._unit_ends, units)

    def take_cache(self) -> UnitCache:
        """Return what this process keeps, for good: patterns that are fetched then begin again.

        `give_cache` brings it back.
        """
        with self._lock:
            cache, self._cache = self._open_cache(), None
        return cache

    def give_cache(self, cache: UnitCache) -> None:
        """Keep what was taken by `take_cache`, unless something else is kept by now."""
        with self._lock:
            self._cache = self._cache or cache

    def _open_cache(self) -> UnitCache:
        """Return what this process keeps; workers share the budget."""
        if self._cache is None:
            worker = get_worker_info()
            slots = self.units_in_memory(1 if worker is None else worker.num_workers)
            dtype = self._parts[0].document.dtype
            size = max(part.unit_bytes for part in self._parts) // dtype.itemsize
            self._cache = UnitCache(max(1, min(slots, int(self._unit_ends[-1]))), size, dtype)
            prepare_parts(self._parts)
        return self._cache

    def units(self) -> NDArray[np.int64]:
        """Return for every pattern the number of the unit that it is decoded with, shape (N,)."""
        return self.locate(np.arange(len(self)))[0]

    def units_in_memory(self, workers: int) -> int:
        """Return how many units a process keeps where `workers` share the budget."""
        largest = max(part.unit_bytes for part in self._parts)
        return max(1, self._memory // max(1, workers) // largest)

    @property
    def tiles(self) -> tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]:
        """For each document, the lengths of its leading dims and those of a unit."""
        return tuple((part.lead, part.unit) for part in self._parts)
