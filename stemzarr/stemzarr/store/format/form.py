"""The form of a store, schema version 1: its nodes and attributes as they are on disk, as types.

Written here alone. What is read is checked against these types (`stemzarr.store.format.nodes`,
``catalog validate``), what is written by mypy, and the JSON Schema in the docs is made from them
(``python -m stemzarr.testing.store_schema``).
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Never, NotRequired, TypedDict

from stemzarr.metadata.facts import FACTS, FactRow
from stemzarr.model import Encoding, Kind, LayoutOrder
from stemzarr.options import Codec, LayoutChoice
from stemzarr.store.format.typed_json import Limit, Others

__all__ = [
    "ATTRIBUTES",
    "CODECS",
    "MOST_BYTES",
    "ArrayNode",
    "BadPixelsAttributes",
    "BloscCodec",
    "BytesCodec",
    "ChangeRecord",
    "ChunkGrid",
    "Compressor",
    "CoordinateAttributes",
    "DiskAttributes",
    "DocumentAttributes",
    "DocumentRecord",
    "Endian",
    "FileRecord",
    "FilesRecord",
    "GridShape",
    "IngestRecord",
    "IntensityAttributes",
    "LayoutRecord",
    "NamedCodec",
    "OmeAttributes",
    "OptionsRecord",
    "PixelsRecord",
    "PreviewAttributes",
    "ReadRecord",
    "RevisionRecord",
    "RootAttributes",
    "SegmentRecord",
    "Sharding",
    "SourceRecord",
    "TileSumsAttributes",
]

MOST_BYTES: Final = 2**62
"""Sizes are smaller than this, so that a few of them can be added in 64 bits."""

Size = Annotated[int, Limit(most=MOST_BYTES - 1)]
Flag = Literal[0, 1]
Slug = Annotated[str, Limit(pattern=r"[a-z0-9]+(?:[_-][a-z0-9]+)*")]
Hex = Annotated[str, Limit(pattern=r"[0-9a-f]{16,128}")]
DType = Annotated[str, Limit(pattern=r"[<>|]?[biufc][0-9]{1,2}")]


class DocumentAttributes(TypedDict):
    """Attributes of a document's group: flat, so that netCDF can hold them."""

    title: str
    kind: Kind


class RootAttributes(DocumentAttributes):
    """Attributes of the root, which is the group of the main document."""

    stemzarr_schema: Literal[1]
    complete: Flag


class IntensityAttributes(TypedDict, total=False):
    """Attributes of the pixels; none that xarray would scale or mask them by."""

    long_name: str
    brightness_scale: float
    brightness_offset: float
    brightness_units: str
    channel_names: list[str]
    scale_factor: Never
    add_offset: Never
    _FillValue: Never


class CoordinateAttributes(TypedDict):
    """Attributes of a coordinate, whose values are offset + index * scale."""

    units: str
    scale: float
    offset: float
    calibrated: Flag
    source_units: str
    long_name: str


class DiskAttributes(TypedDict):
    """The central disk, in pixels of the detector, and the radii that the masks used."""

    center_y: float
    center_x: float
    radius: float
    annulus_inner: float
    found: Flag
    bright_field_inner: NotRequired[float]
    bright_field_outer: NotRequired[float]
    annular_dark_field_inner: NotRequired[float]
    annular_dark_field_outer: NotRequired[float]


class OmeAttributes(TypedDict):
    """OME-Zarr metadata, which show the bright field as an image."""

    version: str
    multiscales: list[dict[str, Any]]


class PreviewAttributes(TypedDict, total=False):
    """Exact statistics of all values; later versions add optional attributes and arrays."""

    count: int
    min: float
    max: float
    mean: float
    std: float
    zero_fraction: float
    log1p_mean: float
    log1p_std: float
    disk: DiskAttributes
    ome: OmeAttributes


class TileSumsAttributes(TypedDict):
    """The tiles that were summed over: squares of so many pixels a side."""

    tile_side: Size


class BadPixelsAttributes(TypedDict):
    """What the values of bad pixels mean."""

    kinds: dict[str, int]


class LayoutRecord(TypedDict):
    """Meaning of the axes on disk, and what it was recognised by."""

    order: LayoutOrder
    evidence: list[str]
    confidence: Literal["high", "low"]


class PixelsRecord(TypedDict):
    """What a virtual store knows of the pixels that it does not hold."""

    shape: list[Size]
    dtype: DType
    block_shape: list[Size]
    dims: list[str]
    attributes: IntensityAttributes


class DocumentRecord(TypedDict):
    """What ``source`` records of a document that its group does not say."""

    index: Size
    slug: Slug
    thumbnail: bool
    notes: list[str]
    fact_paths: dict[str, str]
    layout: NotRequired[LayoutRecord | None]
    pixels: NotRequired[PixelsRecord]


class SegmentRecord(TypedDict):
    """Where the pixels of a document are in the source."""

    document: Size
    offset: Size
    nbytes: Size
    shape: list[Size]
    dtype: DType
    rotation: Size
    encoding: Encoding


class FileRecord(TypedDict):
    """A file of the acquisition."""

    name: str
    size: Size
    modified_ns: int
    xxh3: NotRequired[Hex | None]


class ReadRecord(TypedDict):
    """How the source was understood."""

    layout: LayoutChoice
    scan_shape: NotRequired[list[int] | None]
    dataset: NotRequired[str | None]
    salvage: bool
    join: NotRequired[bool]


class OptionsRecord(TypedDict):
    """The options of the ingest."""

    read: ReadRecord


class IngestRecord(TypedDict):
    """What made the store, and when."""

    version: str
    options: OptionsRecord
    finished: str


class ChangeRecord(TypedDict):
    """A value that was revised."""

    fact: str
    before: str | float | None
    after: str | float


class RevisionRecord(TypedDict):
    """One revision; the earlier values are kept, and hold again where it was undone."""

    at: str
    changes: list[ChangeRecord]
    redacted: NotRequired[bool]
    undone: NotRequired[str]


class FilesRecord(TypedDict):
    """The files of the acquisition, and a digest of samples of them."""

    files: NotRequired[list[FileRecord]]
    sample_hash: NotRequired[Hex]


class SourceRecord(FilesRecord):
    """Attributes of ``source``; later versions add optional attributes and arrays."""

    name: str
    path: NotRequired[str | None]
    format: str
    size: Size
    modified: str
    modified_ns: int
    header_hash: Hex
    hash: NotRequired[Hex | None]
    sha256: NotRequired[Hex | None]
    rebuildable: bool
    redacted: bool
    virtual: bool
    layout: NotRequired[LayoutRecord | None]
    main: Size
    notes: list[str]
    documents: list[DocumentRecord]
    segments: list[SegmentRecord]
    ingest: IngestRecord
    revisions: list[RevisionRecord]


class NamedCodec(TypedDict):
    """A codec of a chain."""

    name: str


class Endian(TypedDict, total=False):
    """Byte order of values larger than a byte."""

    endian: Literal["little"]


class BytesCodec(TypedDict):
    """Values as they are in memory."""

    configuration: NotRequired[Endian]


class Compressor(TypedDict):
    """Compressor within Blosc."""

    cname: Codec


class BloscCodec(TypedDict):
    """Compression."""

    configuration: Compressor


class Sharding(TypedDict):
    """Configuration of ``sharding_indexed``."""

    chunk_shape: list[Size]
    codecs: list[NamedCodec]
    index_codecs: list[NamedCodec]
    index_location: Literal["end"]


class GridShape(TypedDict):
    """Shape of the files of an array."""

    chunk_shape: list[Size]


class ChunkGrid(TypedDict):
    """The files of an array: all of one shape."""

    name: Literal["regular"]
    configuration: GridShape


class ArrayNode(TypedDict):
    """What stemzarr needs of the ``zarr.json`` of an array."""

    shape: list[Size]
    data_type: Literal[
        "bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64",
        "float16", "float32", "float64", "complex64", "complex128",
    ]  # fmt: skip
    dimension_names: list[str]
    chunk_grid: ChunkGrid
    codecs: list[NamedCodec]


CODECS: Final[dict[str, Any]] = {"bytes": BytesCodec, "blosc": BloscCodec}
"""Forms of the codecs that have a configuration."""


def _form_of(fact: FactRow) -> Any:  # noqa: ANN401 - a type hint
    forms = {"flag": Flag, "number": float, "text": str, "date": str}
    form = float | str if fact.or_text else forms[fact.type]
    words = fact.meaning + (f" ({fact.unit})" if fact.unit else "")
    return Annotated[form, Limit(meaning=words)]


_FACTS = Others(form=float | str, optional=tuple((fact.name, _form_of(fact)) for fact in FACTS))

ATTRIBUTES: Final[dict[str, Any]] = {
    "root": Annotated[RootAttributes, _FACTS],
    "document": Annotated[DocumentAttributes, _FACTS],
    "intensity": IntensityAttributes,
    "coordinate": Annotated[CoordinateAttributes, Others(form=Never)],
    "preview": PreviewAttributes,
    "tile_sums": TileSumsAttributes,
    "bad_pixels": BadPixelsAttributes,
    "source": SourceRecord,
}
"""Form of the attributes of each kind of node."""
