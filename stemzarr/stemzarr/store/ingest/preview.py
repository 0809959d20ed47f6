"""Previews and statistics of a document, reduced from the partial results of its shards."""

from __future__ import annotations

import zipfile
from typing import Any

import numpy as np

from stemzarr.errors import CorruptFileError
from stemzarr.measure.accumulate import Partial
from stemzarr.measure.disk import Disk
from stemzarr.measure.measures import MEASURES
from stemzarr.measure.moments import statistics_attributes
from stemzarr.measure.reduction import Reduction
from stemzarr.model import Axis, Document, Statistics
from stemzarr.storage.objects import Readable
from stemzarr.store.format.plan import ArrayPlan
from stemzarr.store.format.schema import group_node, prefix_of, stored_dims
from stemzarr.store.format.tree import Tree
from stemzarr.store.ingest.journal import ShardRecord

__all__ = ["ome_block", "reduce_shards", "write_preview"]

_OME_UNITS = {
    "nm": "nanometer",
    "pm": "picometer",
    "µm": "micrometer",
    "um": "micrometer",
    "mm": "millimeter",
    "m": "meter",
    "Å": "angstrom",
    "angstrom": "angstrom",
}


def reduce_shards(folds: Readable, records: list[ShardRecord], array: ArrayPlan) -> Reduction:
    """Return what the shards of an array add up to, in the order of the grid.

    Parameters
    ----------
    folds
        Where the partial results are.
    records
        All shards of the array, by number.
    array
        How the array was cut.
    """
    reduction = Reduction(shape=array.shape, dtype=np.dtype(array.dtype))
    for record in records:
        chunks = list(array.chunks_of(array.shard_box(record.number)))
        reduction.add(_load(folds, str(record.fold)), chunks)
    return reduction


def _load(folds: Readable, key: str) -> Partial:
    try:
        return Partial.from_bytes(folds.get(key))
    except (OSError, ValueError, LookupError, EOFError, zipfile.BadZipFile) as error:
        raise CorruptFileError(f"cannot be read: {error}", path=folds.root / key) from error


def write_preview(
    tree: Tree, document: Document, main: int, reduction: Reduction, disk: Disk | None
) -> Statistics:
    """Write the group ``preview`` of a document, note its nodes, and return the statistics."""
    prefix = f"{prefix_of(document, main)}preview"
    statistics = reduction.statistics()
    attributes = statistics_attributes(statistics)
    if reduction.has_previews:
        previews = reduction.previews(document.valid)
        for measure in MEASURES:
            dims, path = stored_dims(document, main, measure.dims), f"{prefix}/{measure.name}"
            tree.write_array(path, previews[measure.name], dims, codec="zstd")
        attributes["ome"] = ome_block(document, stored_dims(document, main)[:2])
    if disk is not None:
        attributes["disk"] = disk.attributes(document.shape[2:])
    tree.nodes[prefix] = group_node(attributes)
    return statistics


def ome_block(document: Document, dims: tuple[str, ...]) -> dict[str, Any]:
    """Return the OME-Zarr 0.5 metadata that show ``bright_field`` as an image.

    https://ngff.openmicroscopy.org/0.5/#multiscale-md
    """
    axes = document.axes[:2]
    scale = {"type": "scale", "scale": [abs(axis.scale) or 1.0 for axis in axes]}
    shift = {"type": "translation", "translation": [axis.offset for axis in axes]}
    dataset = {"path": "bright_field", "coordinateTransformations": [scale, shift]}
    named = [_ome_axis(axis, name) for axis, name in zip(axes, dims, strict=True)]
    image = {"name": document.title or document.slug, "axes": named, "datasets": [dataset]}
    return {"version": "0.5", "multiscales": [image]}


def _ome_axis(axis: Axis, name: str) -> dict[str, str]:
    unit = _OME_UNITS.get(axis.units)
    return {"name": name, "type": "space"} | ({"unit": unit} if unit else {})
