"""Measures an older store: adds the arrays of ``preview`` that a new ingest would give it."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stemzarr.measure.accumulate import Accumulator
from stemzarr.measure.disk import Disk
from stemzarr.measure.disk_mask import DiskMask, disk_mask
from stemzarr.measure.glance import Glance, take_glance
from stemzarr.model import Document
from stemzarr.pixels.resources import Resources
from stemzarr.storage.local import LocalFolder
from stemzarr.store.blocks import StoreBlocks
from stemzarr.store.format.manifest import read_manifest
from stemzarr.store.format.nodes import PREVIEWS
from stemzarr.store.format.plan import ArrayPlan
from stemzarr.store.format.schema import Nodes, prefix_of
from stemzarr.store.format.tree import Tree
from stemzarr.store.ingest.journal import ShardRecord, revising_store
from stemzarr.store.ingest.preview import (
    MeasuredScan,
    ShardPartials,
    write_measures,
    write_preview,
)
from stemzarr.store.ingest.run import ProgressCounter, run_in_threads
from stemzarr.store.ingest.task import Cancelled, Workspace
from stemzarr.store.open import read_checked, source_of_nodes
from stemzarr.store.upkeep.digest import plan_of
from stemzarr.store.upkeep.revise import stage_nodes

__all__ = ["add_measures"]


def add_measures(path: Path, resources: Resources | None = None) -> tuple[str, ...]:
    """Add what is missing below ``preview`` of every scan in a store, by one pass over its pixels.

    Parameters
    ----------
    path
        The store.
    resources
        Threads of the pass and its progress.

    Returns
    -------
    tuple of str
        Paths of the arrays that were added, with the bytes that a new ingest would write; none
        where all are there, or the store holds no scan, or no pixels.

    Raises
    ------
    SourceNotFoundError, CorruptFileError, SchemaVersionError, DamagedStoreError
        There is no store, or it is damaged.
    StoreBusyError, WriteError
        Another process revises it, or it cannot be written.

    Notes
    -----
    The manifest is renewed with them. A crash leaves the store as it was, or the next one to open
    it finishes the work.
    """
    with revising_store(path) as stage:
        nodes = read_checked(path)
        source = source_of_nodes(path, nodes)
        before = copy.deepcopy(nodes)
        manifest = read_manifest(path, nodes)
        tree = Tree(store=stage, nodes=nodes)
        folder = LocalFolder(path.with_name(f".{path.name}.measures"))
        try:
            for document in source.documents:
                folder.delete("")
                _measure(tree, document, source.main, folder, resources or Resources())
        finally:
            folder.delete("")
        added = tuple(sorted(set(nodes) - set(before)))
        if added:
            stage_nodes(path, tree, before, manifest)
        return tuple(name for name in added if nodes[name]["node_type"] == "array")


def _measure(
    tree: Tree, document: Document, main: int, folder: LocalFolder, resources: Resources
) -> None:
    """Write what a scan lacks, and note its nodes."""
    group = f"{prefix_of(document, main)}preview"
    missing = [name for name in PREVIEWS if f"{group}/{name}" not in tree.nodes]
    if not (missing and isinstance(document.blocks, StoreBlocks)):
        return
    glance = _glance(document, tree.nodes, group)
    if glance is None:
        return
    plan = plan_of(document, document.blocks, None)
    mask = disk_mask(glance.disk, document.shape[2:])
    tasks = [
        _MeasureTask(document=document, array=plan, number=number, mask=mask, folder=folder)
        for number in range(plan.shards)
    ]
    counter = ProgressCounter(total=document.nbytes, progress=resources.progress)
    records: list[ShardRecord] = []
    run_in_threads(tasks, resources.threads, records.append, counter)
    partials = ShardPartials(folder, sorted(records, key=lambda record: record.number), plan)
    if document.measured is None:
        write_preview(tree, document, main, partials, glance)
        return
    scan = MeasuredScan(
        document=document, glance=glance, partials=partials, reduction=partials.reduce()
    )
    write_measures(tree, scan, main, missing)


def _glance(document: Document, nodes: Nodes, group: str) -> Glance | None:
    """Return what a sample of a scan shows, with the disk that its pictures were made with."""
    glance = take_glance(document)
    if glance is None or document.measured is None:
        return glance
    kept = nodes[group]["attributes"]["disk"]
    disk = Disk(
        center_y=kept["center_y"],
        center_x=kept["center_x"],
        radius=kept["radius"],
        inner=kept["annulus_inner"],
        found=bool(kept["found"]),
    )
    return Glance(disk=disk, peaks=glance.peaks)


@dataclass(frozen=True, slots=True, kw_only=True)
class _MeasureTask:
    """Measures one shard, as the task that writes one does."""

    document: Document
    array: ArrayPlan
    number: int
    mask: DiskMask
    folder: LocalFolder

    def run(self, workspace: Workspace) -> ShardRecord:
        """Keep what the shard adds up to."""
        dtype, pixels = self.document.dtype, math.prod(self.document.shape[2:])
        bad = self.document.bad_pixels
        sums = Accumulator(
            pixels=pixels,
            dtype=dtype,
            mask=self.mask,
            bad=None if bad is None else bad.reshape(-1),
        )
        for start, shape in self.array.boxes(self.number):
            if workspace.stop.is_set():
                raise Cancelled
            values = workspace.buffer.array(shape, dtype)
            self.document.blocks.read_into(values, start)
            sizes = [math.prod(n[:2]) for _, n in self.array.chunks_of((start, shape))]
            sums.add(values.reshape(-1, pixels), sizes, self._valid_in(start, shape))
            workspace.advance(values.nbytes)
        name = str(self.number)
        self.folder.put(name, sums.partial().to_bytes())
        return ShardRecord(
            array=0,
            number=self.number,
            path=self.array.shard_path(self.number),
            size=0,
            digest="",
            chunks="",
            lengths=[],
            partial=name,
            partial_digest=None,
        )

    def _valid_in(self, start: tuple[int, ...], shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
        """Return which patterns of a box were recorded, in its order."""
        if self.document.valid is None:
            return None
        (y, x, *_), (rows, columns, *_) = start, shape
        return self.document.valid[y : y + rows, x : x + columns].reshape(-1)
