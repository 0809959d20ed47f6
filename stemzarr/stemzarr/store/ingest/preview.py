"""Previews and statistics of a document, reduced from the partial results of its shards."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import CorruptFileError
from stemzarr.measure.accumulate import Partial
from stemzarr.measure.bad_pixels import BAD_PIXELS, KINDS_OF_BAD, find_bad_pixels
from stemzarr.measure.glance import Glance
from stemzarr.measure.measures import MEASURES
from stemzarr.measure.moments import statistics_attributes
from stemzarr.measure.reduction import Reduction, recorded_patterns
from stemzarr.measure.tiles import tile_grid, tile_side
from stemzarr.model import Axis, Document, Statistics
from stemzarr.storage.objects import Readable
from stemzarr.store.format.nodes import PREVIEWS
from stemzarr.store.format.plan import ArrayPlan, Box
from stemzarr.store.format.scan_array import scan_chunk, write_scan_array
from stemzarr.store.format.schema import group_node, prefix_of, stored_dims
from stemzarr.store.format.tree import Tree
from stemzarr.store.ingest.journal import ShardRecord

T = TypeVar("T")

__all__ = ["MeasuredScan", "ShardPartials", "ome_block", "write_measures", "write_preview"]

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


@dataclass(frozen=True, slots=True)
class ShardPartials:
    """What the shards of an array were measured to."""

    partials: Readable
    """Where the partial results are."""
    records: Sequence[ShardRecord]
    """All shards of the array, by number."""
    array: ArrayPlan
    """How the array was cut."""

    def reduce(self) -> Reduction:
        """Return what they add up to, in the order of the grid."""
        reduction = Reduction(shape=self.array.shape, dtype=np.dtype(self.array.dtype))
        for record in self.records:
            reduction.add(self._load(record, Partial.from_bytes), self._boxes(record))
        return reduction

    def parts(self, name: str) -> Iterator[tuple[tuple[int, ...], NDArray[Any]]]:
        """Yield first scan position and values of a measure over the scan, a shard each."""
        for record in self.records:
            start, shape = self.array.shard_box(record.number)
            found = self._load(record, lambda content: Partial.measured_in(content, name))
            values: NDArray[Any] = np.empty((*shape[:2], *found.shape[1:]), found.dtype)
            done = 0
            for (y, x, *_), (rows, columns, *_) in self._boxes(record):
                some = found[done : done + rows * columns]
                place = slice(y - start[0], y - start[0] + rows), slice(x - start[1], None)
                values[place][:, :columns] = some.reshape(rows, columns, *found.shape[1:])
                done += rows * columns
            yield start[:2], values

    def _boxes(self, record: ShardRecord) -> list[Box]:
        return list(self.array.chunks_of(self.array.shard_box(record.number)))

    def _load(self, record: ShardRecord, read: Callable[[bytes], T]) -> T:
        key = str(record.partial)
        try:
            return read(self.partials.get(key))
        except (OSError, ValueError, LookupError, EOFError, zipfile.BadZipFile) as error:
            raise CorruptFileError(
                f"cannot be read: {error}", path=self.partials.root / key
            ) from error


def write_preview(
    tree: Tree, document: Document, main: int, partials: ShardPartials, glance: Glance | None
) -> tuple[Reduction, Statistics]:
    """Write the group ``preview`` of a document, and note its nodes.

    Returns
    -------
    tuple
        What the document was measured to, and its statistics.
    """
    reduction = partials.reduce()
    statistics = reduction.statistics()
    attributes = statistics_attributes(statistics)
    if glance is not None:
        scan = MeasuredScan(
            document=document, glance=glance, partials=partials, reduction=reduction
        )
        write_measures(tree, scan, main, PREVIEWS)
        if reduction.has_previews:
            attributes["ome"] = ome_block(document, stored_dims(document, main)[:2])
        attributes["disk"] = glance.disk.attributes(document.shape[2:])
    tree.nodes[f"{prefix_of(document, main)}preview"] = group_node(attributes)
    return reduction, statistics


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredScan:
    """A scan, and all that one pass over it found."""

    document: Document
    """The scan."""
    glance: Glance
    """What a sample of its patterns shows."""
    partials: ShardPartials
    """What its shards were measured to."""
    reduction: Reduction
    """What that adds up to."""


def write_measures(tree: Tree, scan: MeasuredScan, main: int, names: Collection[str]) -> None:
    """Write arrays of ``preview``, and note their nodes; none where nothing was recorded.

    Parameters
    ----------
    tree
        The store that is being written.
    scan
        What was measured.
    main
        Index of the store's main document.
    names
        Which arrays.
    """
    document, partials, reduction = scan.document, scan.partials, scan.reduction
    if not reduction.has_previews:
        return
    prefix, detector = f"{prefix_of(document, main)}preview", document.shape[2:]
    previews = reduction.previews(document.valid)
    for measure in (measure for measure in MEASURES if measure.name in names):
        dims, path = stored_dims(document, main, measure.dims), f"{prefix}/{measure.name}"
        if not measure.large:
            tree.write_array(path, previews[measure.name], dims, codec="zstd")
            continue
        shape = (*document.shape[:2], *tile_grid(detector, tile_side(detector)))
        write_scan_array(
            tree,
            path,
            dims,
            shape,
            reduction.large_dtype(measure.name),
            partials.parts(measure.name),
            chunk=scan_chunk(shape, partials.array.shard),
            attributes={"tile_side": tile_side(detector)},
        )
    if BAD_PIXELS in names:
        bad = find_bad_pixels(
            *reduction.totals(),
            patterns=recorded_patterns(document.shape, document.valid),
            peaks=scan.glance.peaks,
            disk=scan.glance.disk,
            named=document.bad_pixels,
        )
        dims = stored_dims(document, main)[2:]
        kinds = {"kinds": KINDS_OF_BAD}
        tree.write_array(f"{prefix}/{BAD_PIXELS}", bad, dims, attributes=kinds, codec="zstd")


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
