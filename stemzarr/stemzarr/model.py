"""The data model: a source, its documents, their axes and their blocks of pixels.

A reader makes a `Source` without touching pixels. Stores, views and exporters see only what
is here, so none of them cares whether pixels come from a dm4, a store or a view.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import EntryNotFoundError

__all__ = [
    "CHANNEL",
    "PATTERN_DIMS",
    "PATTERN_KINDS",
    "ArrayBlocks",
    "Axis",
    "Blocks",
    "Brightness",
    "Document",
    "Encoding",
    "Fact",
    "Kind",
    "Layout",
    "LayoutOrder",
    "Measured",
    "Progress",
    "Segment",
    "Source",
    "Statistics",
    "Tiles",
    "box_of",
    "dims_of_kind",
    "main_document",
    "read_all",
    "read_box",
]

Kind = Literal[
    "4d-stem", "diffraction", "image", "spectrum-image", "spectrum", "profile", "stack", "array"
]
"""What a document is; its dims follow from it."""
Encoding = Literal["plain", "packed-complex", "packed-complex-old", "bgra"]
"""How the bytes of a segment become values."""
LayoutOrder = Literal["detector-fast", "scan-fast"]
"""Which dims of a scan are contiguous on disk."""
PATTERN_KINDS = ("4d-stem", "diffraction", "stack")
"""Kinds whose last two dims are those of a detector, which may have bad pixels."""
Fact = str | int | float
"""Value of a fact."""

CHANNEL = "channel"
"""Name of the last dim of colour data; it has no coordinate."""

_DIMS: dict[str, tuple[str, ...]] = {
    "4d-stem": ("scan_y", "scan_x", "det_y", "det_x"),
    "diffraction": ("det_y", "det_x"),
    "image": ("y", "x"),
    "spectrum-image": ("scan_y", "scan_x", "energy"),
    "spectrum": ("energy",),
    "profile": ("x",),
    "stack": ("frame", "y", "x"),
}

_MANY_DIMS = 4

PATTERN_DIMS: dict[str, int] = {
    "4d-stem": 2,
    "diffraction": 2,
    "image": 1,
    "spectrum-image": 1,
    "spectrum": 1,
    "profile": 1,
    "stack": 2,
    "array": 1,
}
"""How many of the last dims (before ``channel``) are one pattern, which no chunk splits."""


def dims_of_kind(kind: Kind, ndim: int) -> tuple[str, ...]:
    """Return the dim names of a kind, without ``channel``.

    Examples
    --------
    >>> dims_of_kind("stack", 3), dims_of_kind("array", 2)
    (('frame', 'y', 'x'), ('dim_0', 'dim_1'))
    """
    return _DIMS.get(kind) or tuple(f"dim_{number}" for number in range(ndim))


@runtime_checkable
class Blocks(Protocol):
    """Access to the pixels of one document in canonical axis order.

    An implementation is picklable and thread-safe: it holds a path and numbers, and opens files
    for itself in each process. It never returns fewer values than asked for.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the dims in canonical order."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values, little-endian or byte-sized."""

    @property
    def block_shape(self) -> tuple[int, ...]:
        """The box that is cheapest to read as a whole: a chunk, a scan row, all of a slab."""

    def read_into(self, out: NDArray[Any], start: Sequence[int]) -> None:
        """Fill `out` with the box of ``out.shape`` whose first corner is at `start`.

        Parameters
        ----------
        out
            Buffer of the caller: writable, of `dtype`, with as many dims as `shape`.
        start
            Index of the first value in every dim.

        Raises
        ------
        SourceChangedError, ReadError, DamagedStoreError
            The values cannot be read; `out` then holds nothing meaningful.
        """


@runtime_checkable
class RotatedBlocks(Blocks, Protocol):
    """Blocks whose source has the last dims first: pixel-major (scan-fast)."""

    @property
    def rotation(self) -> int:
        """How many of the last dims come first in the source; 0 where none do."""

    @property
    def unrotated(self) -> Blocks:
        """The same values in the order of the source, those dims as one: (pixels, …)."""


def box_of(start: Sequence[int], shape: Sequence[int]) -> tuple[slice, ...]:
    """Return the slices of a box of `shape` at `start`."""
    return tuple(slice(a, a + n) for a, n in zip(start, shape, strict=True))


def read_box(blocks: Blocks, start: Sequence[int], shape: Sequence[int]) -> NDArray[Any]:
    """Return a new array with the box of `shape` that begins at `start`."""
    out: NDArray[Any] = np.empty(tuple(shape), blocks.dtype)
    blocks.read_into(out, tuple(start))
    return out


def read_all(blocks: Blocks) -> NDArray[Any]:
    """Return a new array with all values."""
    return read_box(blocks, (0,) * len(blocks.shape), blocks.shape)


@dataclass(frozen=True, slots=True)
class ArrayBlocks:
    """Blocks over an array in memory, for small documents and for tests."""

    array: NDArray[Any]
    """The values in canonical order."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the dims."""
        return self.array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return self.array.dtype

    @property
    def block_shape(self) -> tuple[int, ...]:
        """The whole array."""
        return self.array.shape

    def read_into(self, out: NDArray[Any], start: Sequence[int]) -> None:
        """Copy the box at `start` into `out`."""
        np.copyto(out, self.array[box_of(start, out.shape)], casting="no")


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One calibrated axis: position of pixel i is ``offset + i * scale``."""

    name: str
    """Name of the dim, such as ``scan_y``."""
    size: int
    """Number of pixels."""
    scale: float = 1.0
    """Distance of neighbouring pixels, in `units`."""
    offset: float = 0.0
    """Position of the first pixel, in `units`."""
    units: str = "pixel"
    """Units as pint writes them short: nm, 1/nm, mrad, eV, s; ``pixel`` where uncalibrated."""
    calibrated: bool = False
    """Whether the source gave scale and units."""
    source_units: str = ""
    """The units as the source spells them."""
    long_name: str = ""
    """What the axis means, in words, for plots."""

    def values(self) -> NDArray[np.float64]:
        """Return the positions of all pixels, shape (size,), in `units`."""
        return self.offset + np.arange(self.size, dtype=np.float64) * self.scale

    def attributes(self) -> dict[str, str | float | int]:
        """Return the attributes of the axis' coordinate in a store or Dataset."""
        return {
            "units": self.units,
            "scale": float(self.scale),
            "offset": float(self.offset),
            "calibrated": int(self.calibrated),
            "source_units": self.source_units,
            "long_name": self.long_name or self.name.replace("_", " "),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The meaning of the axes on disk, and why we believe it."""

    order: LayoutOrder
    """Which pair of axes is contiguous on disk."""
    evidence: tuple[str, ...] = ()
    """What was found, strongest first, in words."""
    confidence: Literal["high", "low"] = "high"
    """``low`` where nothing but the default speaks for the order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Brightness:
    """Calibration of the values: physical value is ``offset + value * scale``."""

    scale: float = 1.0
    """Physical units per count."""
    offset: float = 0.0
    """Physical value of zero counts."""
    units: str = ""
    """Units of the physical value, such as ``electron``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Exact statistics over all recorded values of a document, made in float64 or integers."""

    count: int
    """Number of values."""
    min: float
    """Smallest value."""
    max: float
    """Largest value."""
    mean: float
    """Arithmetic mean."""
    std: float
    """Population standard deviation."""
    zero_fraction: float
    """Fraction of the values that are exactly zero."""
    log1p_mean: float
    """Mean of log(1 + value), negative values taken as 0."""
    log1p_std: float
    """Population standard deviation of log(1 + value), negative values taken as 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiles:
    """Tile sums that a store keeps of a scan."""

    side: int
    """Side of a tile in pixels of the detector."""
    blocks: Blocks
    """The sums (scan_y, scan_x, tile_y, tile_x)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one pass over a scan found, as its store keeps it."""

    disk: Mapping[str, float]
    """The central disk and the radii that masks use, in pixels; see `Disk.attributes`."""
    names: tuple[str, ...]
    """Names of the arrays that `load` gives: previews, ``com_y``, ``com_x``, ``bad_pixels``."""
    load: Callable[[str], NDArray[Any]]
    """Reads one of them: (scan_y, scan_x) or (det_y, det_x)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Where the pixels of one document are in its source, and how to write them back."""

    document: int
    """`Document.index` of the document."""
    offset: int
    """First byte in the source."""
    nbytes: int
    """Number of bytes."""
    shape: tuple[int, ...]
    """Lengths of the dims in disk order, slowest first."""
    dtype: str
    """numpy type string of the values on disk, with their byte order."""
    rotation: int = 0
    """How many of the leading dims on disk come last in canonical order."""
    encoding: Encoding = "plain"
    """How the bytes become values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One data set of a source: the 4D cube, the survey image, a spectrum."""

    index: int
    """Place in the source, counted from 0."""
    slug: str
    """Name that is safe in paths and dims and unique in the source, such as ``survey``."""
    title: str
    """Name as the source gives it."""
    kind: Kind
    """What the document is."""
    axes: tuple[Axis, ...]
    """Axes in canonical order, without ``channel``."""
    blocks: Blocks
    """The pixels in canonical order; colour has ``channel`` as a further, last dim."""
    layout: Layout | None = None
    """Meaning of the axes on disk, for 4D data."""
    brightness: Brightness | None = None
    """Calibration of the values, where the source has one."""
    channels: tuple[str, ...] = ()
    """Names of the colour channels, such as ``("red", "green", "blue", "alpha")``."""
    thumbnail: bool = False
    """Whether this is only a small picture of another document."""
    computed: bool = False
    """Whether it was computed from what an instrument recorded; known while a file is read, whose
    main document is then another, and not kept in a store, which names its main document."""
    facts: Mapping[str, Fact] = field(default_factory=dict)
    """What is known of the acquisition, under the names of the store schema."""
    fact_paths: Mapping[str, str] = field(default_factory=dict)
    """For each fact, the path of the tag that it came from."""
    attributes: Mapping[str, Fact] = field(default_factory=dict)
    """Further flat attributes, such as the rectangle of the scan in a survey image."""
    notes: tuple[str, ...] = ()
    """What a person should know: stale tags, float-typed counts, an uncalibrated detector."""
    statistics: Statistics | None = None
    """Statistics of all values that were recorded, where they are known already."""
    valid: NDArray[np.bool_] | None = None
    """(scan_y, scan_x) mask of the patterns that a salvage recovered; None when all are there."""
    bad_pixels: NDArray[np.bool_] | None = None
    """(det_y, det_x) mask of the pixels that the source marks as bad, of a stack (y, x); None where
    it names none. Their values stay, and enter no statistic, preview, or search for the disk."""
    tiles: Tiles | None = None
    """Tile sums of just these values, where they are kept; see `stemzarr.measure.tiles`."""
    measured: Measured | None = None
    """What else is kept of just these values."""

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the dims in canonical order."""
        names = tuple(axis.name for axis in self.axes)
        return (*names, CHANNEL) if self.channels else names

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the dims in canonical order."""
        return self.blocks.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return self.blocks.dtype

    @property
    def nbytes(self) -> int:
        """Size of the values in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def bad_pixel_count(self) -> int:
        """Number of pixels that the source marks as bad."""
        return 0 if self.bad_pixels is None else int(np.count_nonzero(self.bad_pixels))

    @property
    def pattern_ndim(self) -> int:
        """How many of the last dims are one pattern, ``channel`` counted in."""
        return min(PATTERN_DIMS[self.kind], len(self.axes)) + bool(self.channels)

    def axis(self, name: str) -> Axis:
        """Return the axis of that name.

        Raises
        ------
        EntryNotFoundError
            The document has no such axis.
        """
        for axis in self.axes:
            if axis.name == name:
                return axis
        msg = f"document {self.slug!r} has no axis {name!r}"
        raise EntryNotFoundError(msg, hint=f"its dims are {', '.join(self.dims)}")

    def intensity_attributes(self) -> dict[str, Fact | list[str]]:
        """Return the attributes of ``intensity`` in a store or Dataset."""
        attributes: dict[str, Fact | list[str]] = {"long_name": "intensity"}
        if self.brightness is not None:
            attributes["brightness_scale"] = float(self.brightness.scale)
            attributes["brightness_offset"] = float(self.brightness.offset)
            attributes["brightness_units"] = self.brightness.units
        if self.channels:
            attributes["channel_names"] = list(self.channels)
        return attributes

    def group_attributes(self) -> dict[str, Fact]:
        """Return the flat attributes of the document's group: title, kind, facts and the rest."""
        return {"title": self.title, "kind": self.kind, **self.facts, **self.attributes}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file that was recognised, and all that it holds, before any pixel is read."""

    path: Path
    """The file (a folder for a store)."""
    format: str
    """Name of the format: ``dm4``, ``dm3``, ``dm5``, ``hspy``, ``stemzarr`` …"""
    size: int
    """Size of the file in bytes, with that of its `parts`."""
    modified_ns: int
    """Modification time in nanoseconds since the epoch, the latest of all its files."""
    documents: tuple[Document, ...]
    """All documents in the order of the source."""
    main: int
    """`Document.index` of the main document."""
    load_metadata: Callable[[], dict[str, Any]] = dict
    """Gives the whole tag tree as clean JSON: finite numbers, strings, lists and objects."""
    load_header: Callable[[], bytes] = bytes
    """Gives every byte outside `segments`, in order; with `segments` it is the whole file."""
    segments: tuple[Segment, ...] = ()
    """Where the pixels are, sorted by offset; empty for formats that are not rebuilt."""
    complete: bool = True
    """Whether the file holds all that it declares."""
    notes: tuple[str, ...] = ()
    """What a person should know about the file as a whole."""
    parts: tuple[Path, ...] = ()
    """Further files of the same acquisition that were read: data files of a master, a header."""
    joined: bool = False
    """Whether `path` is a folder of which just the `parts` were read, one frame a file."""
    record: Mapping[str, Any] | None = None
    """What a store says of the file that it was made from; None for any other source."""

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file of the acquisition, `path` first unless it is the folder of the others."""
        return self.parts if self.joined else (self.path, *self.parts)

    @property
    def rebuildable(self) -> bool:
        """Whether the store can give this file back byte for byte."""
        return bool(self.segments)

    @property
    def document(self) -> Document:
        """The main document."""
        return self.find(self.main)

    def find(self, key: int | str) -> Document:
        """Return the document of an index or slug.

        Raises
        ------
        EntryNotFoundError
            The source has no such document.
        """
        for document in self.documents:
            if key in (document.index, document.slug):
                return document
        msg = f"there is no document {key!r}"
        known = ", ".join(document.slug for document in self.documents)
        raise EntryNotFoundError(msg, path=self.path, hint=f"it holds {known}")


def main_document(documents: Sequence[Document]) -> int:
    """Return the index of the main one: what the instrument recorded at each point of a scan.

    A 4D scan comes first, then spectra of an area and arrays of four dims and more, then the
    largest image or stack, then the longest line. What was computed comes after what was recorded
    of other kinds than a scan, a thumbnail only where there is nothing else.
    """

    def rank(document: Document) -> tuple[bool, bool, bool, bool, bool, int]:
        many = document.kind == "spectrum-image" or len(document.axes) >= _MANY_DIMS
        plane = len(document.axes) > 1
        recorded = not document.computed
        scan = document.kind == "4d-stem"
        return not document.thumbnail, scan, recorded, many, plane, document.nbytes

    return max(documents, key=rank).index


class Progress(Protocol):
    """Receives how far a long operation is."""

    def __call__(self, done: int, total: int) -> None:
        """Take bytes of pixel data done so far and in all; both grow or stay, never shrink."""
