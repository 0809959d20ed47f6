"""Opens a store as a source: from its consolidated metadata alone, pixels read on demand."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import CorruptFileError, DamagedStoreError, StemzarrError
from stemzarr.format_row import FormatRow
from stemzarr.metadata.facts import FACT_NAMES
from stemzarr.model import (
    CHANNEL,
    Axis,
    Blocks,
    Brightness,
    Document,
    Fact,
    Kind,
    Source,
    Statistics,
)
from stemzarr.options import ReadOptions
from stemzarr.storage.local import open_root
from stemzarr.storage.objects import Address, Readable
from stemzarr.store.blocks import StoreBlocks, identity_of
from stemzarr.store.format.form import (
    CoordinateAttributes,
    DocumentRecord,
    IntensityAttributes,
    SourceRecord,
)
from stemzarr.store.format.manifest import check_digests
from stemzarr.store.format.nodes import SMALL_PREVIEWS
from stemzarr.store.format.records import layout_of, segment_of
from stemzarr.store.format.schema import Nodes, place_of
from stemzarr.store.format.tree import MANIFEST, read_nodes, read_small_array
from stemzarr.store.measured import read_measured, read_tiles
from stemzarr.store.virtual import SourceBlocks

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "FORMATS",
    "open_previews",
    "read_checked",
    "read_record",
    "read_store",
    "source_of_nodes",
]

FORMATS = (
    FormatRow(
        name="Stores of stemzarr",
        formats=("stemzarr",),
        suffixes=(".zarr", ".zarr.zip"),
        read="all documents, facts, previews and the tag tree of the source",
        lazy="the chunks that a box touches",
        complete="every file against the manifest; every chunk by its checksum as it is read",
        unseen="nothing of the store; what people add below `analysis` is not covered",
    ),
)
"""Rows of docs/formats.md."""


def read_store(address: Address, options: ReadOptions | None = None) -> Source:
    """Return what a store holds, from its consolidated metadata alone.

    Parameters
    ----------
    address
        The store.
    options
        Taken as every reader takes them; a store leaves no question open.

    Raises
    ------
    SourceNotFoundError, CorruptFileError, SchemaVersionError
        There is no store, it is not one of stemzarr, or it is newer than this program.
    DamagedStoreError
        Its metadata are not those that were written.
    """
    del options
    store = open_root(address)
    return source_of_nodes(store, read_checked(store))


def read_checked(address: Address) -> Nodes:
    """Return the nodes of a store, which are those that were written.

    Files that do not fit each other may be a revision that another process is putting in place:
    reading them again puts the rest of it there first.
    """
    store = open_root(address)
    store.expect("zarr.json", f"{MANIFEST}/c/0")
    nodes = read_nodes(store)
    while True:
        try:
            return check_digests(store, nodes)
        except DamagedStoreError:
            again = read_nodes(store)
            if again == nodes:
                raise
            nodes = again


def source_of_nodes(address: Address, nodes: Nodes) -> Source:
    """Return what a store holds by its metadata, whose digests are not looked at.

    Raises
    ------
    CorruptFileError, SchemaVersionError, DamagedStoreError
        The metadata contradict themselves, or what they need is damaged.
    """
    store = open_root(address)
    try:
        stamp = store.recall("zarr.json")
        record = nodes["source"]["attributes"]
        return Source(
            path=store.root,
            format="stemzarr",
            size=stamp.size,
            modified_ns=stamp.modified_ns,
            documents=tuple(
                _read_document(store, nodes, record, item) for item in record["documents"]
            ),
            main=record["main"],
            load_metadata=_Metadata(store),
            load_header=_Header(store),
            segments=tuple(segment_of(item) for item in record["segments"]),
            complete=bool(nodes[""]["attributes"]["complete"]),
            notes=tuple(record["notes"]),
            record=record,
        )
    except StemzarrError as error:
        error.path = error.path or str(store.root)
        raise
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise CorruptFileError(
            f"its metadata lack {error}",
            path=store.root,
            hint="stemzarr verify says what is damaged",
        ) from error


def read_record(address: Address) -> SourceRecord:
    """Return where a store came from: name, format, size, hash, layout, ingest, revisions.

    Raises
    ------
    SourceNotFoundError, CorruptFileError, SchemaVersionError
        As in `read_store`.
    """
    record: SourceRecord = read_checked(address)["source"]["attributes"]
    return record


def open_previews(address: Address, document: int | str | None = None) -> xr.Dataset:
    """Return the previews and statistics of a document, in memory.

    Parameters
    ----------
    address
        The store.
    document
        Slug or index; the main document by default.

    Returns
    -------
    xarray.Dataset
        For a scan ``mean_diffraction``, ``max_diffraction`` (det_y, det_x), ``total_intensity``,
        ``bright_field``, ``annular_dark_field`` (scan_y, scan_x) with calibrated coordinates;
        ``com_y``, ``com_x`` (scan_y, scan_x) in pixels from the centre of the disk, and
        ``bad_pixels`` (det_y, det_x), whose attribute names its values; attributes are the
        statistics and the disk. Previews that the store does not have are absent, those of a
        later version too; tile sums, which may be large, are read by `stemzarr.views.tile_sums`.

    Raises
    ------
    EntryNotFoundError, DamagedStoreError
        There is no such document, or a preview is damaged.
    """
    import xarray as xr

    store = open_root(address)
    nodes = read_checked(store)
    source = source_of_nodes(store, nodes)
    chosen = source.document if document is None else source.find(document)
    prefix, stem = place_of(chosen.index, chosen.slug, source.main)
    group = f"{prefix}preview"
    variables = {}
    for name in (name for name in SMALL_PREVIEWS if f"{group}/{name}" in nodes):
        node = nodes[f"{group}/{name}"]
        dims = tuple(dim[len(stem) :] for dim in node["dimension_names"])
        values = read_small_array(store, nodes, f"{group}/{name}")
        variables[name] = xr.Variable(dims, values, node["attributes"])
    used = {dim for variable in variables.values() for dim in variable.dims}
    coords = {
        axis.name: xr.Variable((axis.name,), axis.values(), axis.attributes())
        for axis in chosen.axes
        if axis.name in used
    }
    attributes = nodes[group]["attributes"] if group in nodes else {}
    return xr.Dataset(variables, coords, attributes)


@dataclasses.dataclass(frozen=True, slots=True)
class _Metadata:
    """Loads the tag tree of the original source; picklable."""

    store: Readable

    def __call__(self) -> dict[str, Any]:
        nodes = read_nodes(self.store)
        if "source/original_metadata" not in nodes:
            return {}
        text = read_small_array(self.store, nodes, "source/original_metadata").tobytes()
        try:
            tree: dict[str, Any] = dict(json.loads(text))
        except (ValueError, TypeError, RecursionError) as error:
            msg = f"the metadata of its source cannot be read: {error}"
            raise DamagedStoreError(msg, path=self.store.root) from error
        return tree


@dataclasses.dataclass(frozen=True, slots=True)
class _Header:
    """Loads the bytes of the original source outside its pixels; picklable."""

    store: Readable

    def __call__(self) -> bytes:
        nodes = read_nodes(self.store)
        if "source/header" not in nodes:
            return b""
        return read_small_array(self.store, nodes, "source/header").tobytes()


def _read_document(
    store: Readable, nodes: Nodes, record: SourceRecord, item: DocumentRecord
) -> Document:
    prefix, stem = place_of(item["index"], item["slug"], record["main"])
    attributes = dict(nodes[prefix.rstrip("/")]["attributes"])
    dims, blocks, described = _read_pixels(store, nodes, record, item)
    facts, others = _split(attributes)
    return Document(
        index=item["index"],
        slug=item["slug"],
        title=attributes["title"],
        kind=cast("Kind", attributes["kind"]),
        axes=tuple(
            _axis(dim, size, nodes[f"{prefix}{stem}{dim}"]["attributes"])
            for dim, size in zip(dims, blocks.shape, strict=True)
            if dim != CHANNEL
        ),
        blocks=blocks,
        layout=layout_of(item.get("layout")),
        brightness=_brightness(described),
        channels=tuple(described.get("channel_names", ())),
        thumbnail=item["thumbnail"],
        facts=facts,
        fact_paths=item["fact_paths"],
        attributes=others,
        notes=tuple(item["notes"]),
        statistics=_statistics(nodes, f"{prefix}preview"),
        valid=_mask(store, nodes, f"{prefix}valid"),
        bad_pixels=_mask(store, nodes, f"{prefix}bad_pixels"),
        tiles=read_tiles(store, nodes, f"{prefix}preview", identity_of(record)),
        measured=read_measured(store, nodes, f"{prefix}preview"),
    )


def _mask(store: Readable, nodes: Nodes, name: str) -> NDArray[np.bool_] | None:
    return read_small_array(store, nodes, name) if name in nodes else None


def _read_pixels(
    store: Readable, nodes: Nodes, record: SourceRecord, item: DocumentRecord
) -> tuple[tuple[str, ...], Blocks, IntensityAttributes]:
    """Return dims, blocks and attributes of the pixels, in the store or in its source."""
    if record["virtual"]:
        pixels = item["pixels"]
        return tuple(pixels["dims"]), SourceBlocks.from_record(record, item), pixels["attributes"]
    prefix, stem = place_of(item["index"], item["slug"], record["main"])
    node = nodes[f"{prefix}intensity"]
    blocks = StoreBlocks.from_node(store, f"{prefix}intensity", node, identity_of(record))
    dims = tuple(name[len(stem) :] for name in node["dimension_names"])
    return dims, blocks, node["attributes"]


def _split(attributes: dict[str, Any]) -> tuple[dict[str, Fact], dict[str, Fact]]:
    own = {"title", "kind", "stemzarr_schema"}
    facts = {name: attributes.pop(name) for name in [*attributes] if name in FACT_NAMES}
    return facts, {name: value for name, value in attributes.items() if name not in own}


def _axis(name: str, size: int, attributes: CoordinateAttributes) -> Axis:
    calibrated = bool(attributes["calibrated"])
    return Axis(name=name, size=size, **{**cast("Any", attributes), "calibrated": calibrated})


def _brightness(attributes: IntensityAttributes) -> Brightness | None:
    if "brightness_scale" not in attributes:
        return None
    return Brightness(
        scale=attributes["brightness_scale"],
        offset=attributes["brightness_offset"],
        units=attributes["brightness_units"],
    )


def _statistics(nodes: Nodes, path: str) -> Statistics | None:
    if path not in nodes:
        return None
    attributes = nodes[path]["attributes"]
    known = {name: attributes[name] for name in Statistics.__slots__ if name in attributes}
    return Statistics(**known) if len(known) == len(Statistics.__slots__) else None
