"""One ``.ser`` of TIA: what its header declares, and the places of its elements in the file.

The header, then two arrays of offsets (of the elements, of their tags), then the elements, each
behind a header of its own (C. B. Boothroyd, *TIA file format*; the field names are those of ncempy
and RosettaSciIO). RosettaSciIO reads a series whole, whatever of it is asked for:
docs/upstream/rosettasciio-tia-offset.md.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import CorruptFileError, TruncatedFileError, UnsupportedDataError
from stemzarr.pixels.raw import RawBlocks
from stemzarr.storage.objects import Stamp
from stemzarr.storage.reasons import reading

__all__ = ["Dimension", "Series", "open_series"]

_MARK: Final = (0x4949, 0x0197)
"""Little-endian, a series of TIA."""
_LONG: Final = 0x0220
"""Version from which on offsets have eight bytes."""
_SPECTRA: Final = 0x4120
_IMAGES: Final = 0x4122
_TIMES: Final = 0x4152
_PLACES: Final = 0x4142
_TAGS: Final = {_TIMES: np.dtype("<u2,<u2,<u4"), _PLACES: np.dtype("<u2,<u2,<u4,<f8,<f8")}
"""Tags of an element: its type, nothing, seconds since 1970, and with places x and y in m."""
_HEADS: Final[dict[str, struct.Struct]] = {
    "spectrum": struct.Struct("<2dIHI"),
    "image": struct.Struct("<2dI2dIH2I"),
}
_TYPES: Final = dict(
    enumerate(("<u1", "<u2", "<u4", "<i1", "<i2", "<i4", "<f4", "<f8", "<c8", "<c16"), start=1)
)
_MOST_DIMENSIONS: Final = 16
_LONGEST_TEXT: Final = 4096
_AGAIN: Final = "copy it again from its origin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimension:
    """One dim along which elements follow one another, or of the elements themselves."""

    size: int
    """Number of positions."""
    first: float
    """Position of the first one, in `units`."""
    delta: float
    """Distance of neighbours, in `units`."""
    text: str = ""
    """What it is, as TIA calls it."""
    units: str = ""
    """Units as TIA spells them: ``meters``; empty for the dims of elements."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A series and where its elements are."""

    path: Path
    """The file."""
    kind: Literal["spectrum", "image"]
    """What an element is."""
    total: int
    """Number of elements that are declared."""
    valid: int
    """Number of elements that TIA recorded."""
    dims: tuple[Dimension, ...]
    """The dims of the series, the fast one first."""
    inner: tuple[Dimension, ...]
    """Those of an element: energy, or y and x."""
    blocks: RawBlocks
    """The whole elements on disk, (element, energy) or (element, y, x)."""
    beyond: int
    """Bytes of an element that the file cuts."""
    cut_tags: bool
    """Whether the file ends before the tags of the last element do."""
    by_columns: bool
    """Whether neighbouring elements are neighbours along y."""
    header: dict[str, Any]
    """What the header says, by its names."""
    tags: tuple[int, int, int]
    """Place of the offsets of the tags, bytes of an offset, type of the tags."""

    def read_tags(self, count: int) -> NDArray[Any]:
        """Return the tags of the first elements, as far as they are in the file."""
        with reading(self.path), self.path.open("rb") as file:
            return _read_tags(file, self.tags, min(count, self.valid))


def open_series(path: Path) -> Series:
    """Return what a ``.ser`` holds, without reading pixels.

    Raises
    ------
    CorruptFileError, TruncatedFileError
        It is none, contradicts itself, or ends before its first element does.
    UnsupportedDataError
        It has no elements, elements of several sizes, or at uneven distances.
    """
    with reading(path), path.open("rb") as file:
        return _Parser(path, file).parse()


class _Parser:
    """Reads the parts of one file one after the other."""

    def __init__(self, path: Path, file: io.BufferedReader) -> None:
        self.path, self.file = path, file
        self.stamp = Stamp.of(path)

    def parse(self) -> Series:
        byte_order, series, version = self._read("<3H")
        if (byte_order, series) != _MARK:
            msg = f"begins with {byte_order:#06x} {series:#06x}, not as a series of TIA does"
            raise CorruptFileError(msg, path=self.path, hint=_AGAIN)
        content, tag, total, valid = self._read("<4I")
        (place,), width = self._read("<Q" if version >= _LONG else "<I"), 4 + 4 * (version >= _LONG)
        kind: Literal["spectrum", "image"] = "spectrum" if content == _SPECTRA else "image"
        if content not in (_SPECTRA, _IMAGES) or tag not in _TAGS or valid > total:
            msg = f"declares elements {content:#x} with tags {tag:#x}, {valid} of {total} recorded"
            raise CorruptFileError(msg, path=self.path, hint=_AGAIN)
        dims = self._dims()
        header: dict[str, Any] = {
            "SeriesVersion": version,
            "DataTypeID": content,
            "TagTypeID": tag,
            "TotalNumberElements": total,
            "ValidNumberElements": valid,
        }
        if not valid:
            msg = "holds no elements: TIA keeps a single spectrum in its .emi, which is not read"
            raise UnsupportedDataError(msg, path=self.path, hint="export it from TIA as .msa")
        offsets = self._offsets(place, width, valid)
        tags = place + width * total, width, tag
        blocks, beyond, inner, described = self._elements(kind, offsets)
        found = _read_tags(self.file, tags, valid=min(2, valid))
        ends = _offset_at(self.file, tags[0] + width * (valid - 1), width)
        return Series(
            path=self.path,
            kind=kind,
            total=total,
            valid=valid,
            dims=tuple(dims),
            inner=inner,
            blocks=blocks,
            beyond=beyond,
            cut_tags=ends is None or ends + _TAGS[tag].itemsize > self.stamp.size,
            by_columns=tag == _PLACES and _is_by_columns(found),
            header={**header, **_named(dims), **described},
            tags=tags,
        )

    def _read(self, layout: str) -> tuple[Any, ...]:
        """Return the next fields.

        Raises
        ------
        TruncatedFileError
            The file ends within them.
        """
        nbytes = struct.calcsize(layout)
        content = self.file.read(nbytes)
        if len(content) < nbytes:
            msg = f"ends inside its header, after {self.stamp.size} bytes"
            raise TruncatedFileError(msg, path=self.path, hint=_AGAIN)
        return struct.unpack(layout, content)

    def _dims(self) -> list[Dimension]:
        (number,) = self._read("<I")
        if number > _MOST_DIMENSIONS:
            msg = f"declares {number} dimensions, which no series has"
            raise CorruptFileError(msg, path=self.path, hint=_AGAIN)
        dims = []
        for _ in range(number):
            size, first, delta, element = self._read("<I2dI")
            text, units = self._text(), self._text()
            first -= element * delta
            dims.append(Dimension(size=size, first=first, delta=delta, text=text, units=units))
        return dims

    def _text(self) -> str:
        (length,) = self._read("<I")
        if length > _LONGEST_TEXT:
            msg = f"declares a name of {length} bytes at byte {self.file.tell() - 4}"
            raise CorruptFileError(msg, path=self.path, hint=_AGAIN)
        text: bytes = self._read(f"<{length}s")[0]
        return text.decode("utf-8", "replace")

    def _offsets(self, place: int, width: int, count: int) -> NDArray[np.int64]:
        """Return where the recorded elements begin.

        Raises
        ------
        TruncatedFileError, UnsupportedDataError
            The file ends before, or the elements are not at even distances.
        """
        if place + width * count > self.stamp.size:
            msg = "ends before the places of its elements do"
            raise TruncatedFileError(msg, path=self.path, hint=_AGAIN)
        self.file.seek(place)
        offsets = np.frombuffer(self.file.read(width * count), f"<u{width}")
        steps = np.diff(offsets.astype(np.int64))
        if offsets[0] > self.stamp.size or (steps != steps[:1]).any() or (steps[:1] <= 0).any():
            msg = "its elements are not at even distances in the file, as those that TIA writes are"
            raise UnsupportedDataError(msg, path=self.path, hint="save the series again in TIA")
        return offsets.astype(np.int64)

    def _elements(
        self, kind: Literal["spectrum", "image"], offsets: NDArray[np.int64]
    ) -> tuple[RawBlocks, int, tuple[Dimension, ...], dict[str, Any]]:
        """Return the whole elements on disk, the bytes of one that is cut, their dims, a record."""
        first, head = int(offsets[0]), _HEADS[kind]
        self.file.seek(first)
        fields = self._read(head.format)
        lengths = fields[-2:] if kind == "image" else fields[-1:]
        code, calibrations = fields[len(fields) - len(lengths) - 1], fields[: -len(lengths) - 1]
        stored = np.dtype(_TYPES.get(code, "V1"))
        nbytes = int(np.prod(lengths, dtype=object)) * stored.itemsize
        stride = int(offsets[1]) - first if len(offsets) > 1 else head.size + nbytes
        if code not in _TYPES or not nbytes or stride < head.size + nbytes:
            shown = " × ".join(map(str, lengths))
            msg = f"declares elements of type {code} and {shown} values, {stride} bytes apart"
            raise CorruptFileError(msg, path=self.path, hint=_AGAIN)
        last = self.stamp.size - first - head.size - nbytes
        frames = max(0, min(len(offsets), last // stride + 1))
        blocks = RawBlocks(
            path=self.path,
            stamp=self.stamp,
            offset=first + head.size,
            disk_shape=(frames, *reversed(lengths)),
            stored=stored,
            stride=stride,
            flipped=kind == "image",
            pattern_ndim=len(lengths),
        )
        if not frames:
            msg = "ends before its first element does"
            raise TruncatedFileError(msg, path=self.path, hint=_AGAIN)
        self._check_alike(blocks, struct.calcsize("<H") + 4 * len(lengths))
        beyond = 0
        if frames < len(offsets):
            beyond = max(0, self.stamp.size - int(offsets[frames]))
        named = _calibrations(kind, calibrations)
        dims = tuple(
            Dimension(size=size, first=offset - element * delta, delta=delta)
            for size, (offset, delta, element) in zip(lengths, _triples(calibrations), strict=True)
        )
        record = {**named, "DataType": code, **_sizes(kind, lengths)}
        return blocks, beyond, dims[::-1], record

    def _check_alike(self, blocks: RawBlocks, nbytes: int) -> None:
        """Raise where an element has another type or size than the first."""
        heads = RawBlocks(
            path=self.path,
            stamp=self.stamp,
            offset=blocks.offset - nbytes,
            disk_shape=(blocks.shape[0], nbytes),
            stored=np.dtype("u1"),
            stride=blocks.stride,
        )
        at_once = 65536
        whole = None
        for start in range(0, blocks.shape[0], at_once):
            found = np.empty((min(at_once, blocks.shape[0] - start), nbytes), np.uint8)
            heads.read_into(found, (start, 0))
            whole = found[0].copy() if whole is None else whole
            other = np.flatnonzero((found != whole).any(axis=1))
            if other.size:
                msg = f"its element {start + int(other[0])} has another size or type than the first"
                raise UnsupportedDataError(msg, path=self.path, hint="save the series again in TIA")


def _is_by_columns(tags: NDArray[Any]) -> bool:
    """Return whether the first two elements are neighbours along y, rather than along x.

    Not whether y differs: it does a little in a scan that is rotated or follows a drift.
    """
    if len(tags) < 2:  # noqa: PLR2004 - neighbours
        return False
    along_x, along_y = (abs(tags[name][1] - tags[name][0]) for name in ("f3", "f4"))
    return bool(along_y > along_x)


def _triples(fields: tuple[Any, ...]) -> list[tuple[float, float, int]]:
    return [(fields[at], fields[at + 1], fields[at + 2]) for at in range(0, len(fields), 3)]


def _calibrations(kind: str, fields: tuple[Any, ...]) -> dict[str, Any]:
    ends = ("X", "Y") if kind == "image" else ("",)
    names = ("CalibrationOffset", "CalibrationDelta", "CalibrationElement")
    return dict(zip((name + end for end in ends for name in names), fields, strict=True))


def _sizes(kind: str, lengths: tuple[int, ...]) -> dict[str, int]:
    names = ("ArraySizeX", "ArraySizeY") if kind == "image" else ("ArrayLength",)
    return dict(zip(names, lengths, strict=True))


def _named(dims: list[Dimension]) -> dict[str, Any]:
    return {
        f"Dim-{number}_{name}": value
        for number, dim in enumerate(dims, start=1)
        for name, value in (
            ("DimensionSize", dim.size),
            ("CalibrationOffset", dim.first),
            ("CalibrationDelta", dim.delta),
            ("Description", dim.text),
            ("Units", dim.units),
        )
    }


def _offset_at(file: io.BufferedReader, place: int, width: int) -> int | None:
    """Return the offset that is written at a place; None where the file ends before."""
    file.seek(place)
    content = file.read(width)
    return int.from_bytes(content, "little") if len(content) == width else None


def _read_tags(file: io.BufferedReader, tags: tuple[int, int, int], valid: int) -> NDArray[Any]:
    """Return the tags of the first elements, as far as they are in the file."""
    place, width, kind = tags
    dtype, found = _TAGS[kind], []
    file.seek(place)
    listed = file.read(width * valid)
    for offset in np.frombuffer(listed[: len(listed) // width * width], f"<u{width}").tolist():
        file.seek(min(offset, 1 << 62))
        content = file.read(dtype.itemsize)
        if len(content) < dtype.itemsize:
            break
        found.append(content)
    return np.frombuffer(b"".join(found), dtype)
