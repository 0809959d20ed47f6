"""Images and stacks as ``.tif`` that ImageJ and HyperSpy scale (TIFF 6.0, Adobe 1992)."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import OptionError, UnsupportedDataError
from stemzarr.formats.picture.writer import image_of, view_of
from stemzarr.formats.tiff.axes import IMAGEJ_LETTERS
from stemzarr.measure.tiles import narrowest
from stemzarr.model import Axis, Document, read_all, read_box
from stemzarr.registry import Exported, ExportRequest

__all__ = ["write_tif"]

_SAMPLE_FORMATS = {"u": 1, "b": 1, "i": 2, "f": 3}
_LARGEST = 2**32 - 2**16
_SHORT, _LONG, _RATIONAL, _ASCII, _DOUBLE = 3, 4, 5, 2, 12
_WIDTHS = {_SHORT: 2, _LONG: 4, _RATIONAL: 8, _ASCII: 1, _DOUBLE: 8}
_OFFSETS = 273
"""The field that says where the pixels are."""
_HEADER = 8
_WIDE = 8

Field = tuple[int, int, bytes]
"""Number, type and content of an entry of a directory."""


def write_tif(request: ExportRequest) -> Exported:
    """Write an image, or the frames of a stack, with values and pixel size.

    Integers of 64 bits, and floats that hold only integers, are stored in as many bits as they
    need, up to 32. A 4D scan becomes the virtual image over its whole detector; what is computed
    so, and no integer, is float32. A stack is written frame by frame, in the type that it has.

    Raises
    ------
    OptionError
        float64 is asked for.
    UnsupportedDataError
        The document is neither an image nor a stack, or its values have no type of TIFF that holds
        them, or they exceed its 4 GB.
    """
    if view_of(request.documents[0]).dtype == "float64":
        msg = "dtype is 'float64', and ImageJ and many others cannot read such a .tif"
        raise OptionError(msg, hint="leave dtype out or choose float32, or export .npy or .hspy")
    if request.documents[0].kind == "stack":
        return _write_stack(request)
    document = image_of(request)
    values = read_all(document.blocks)
    _check_size(values.dtype, values.nbytes)
    with np.errstate(over="ignore"):
        stored = values.astype(_sample_type(values), copy=False)
    computed = request.options.image is not None or document is not request.documents[0]
    if not computed and not np.array_equal(stored, values, equal_nan=values.dtype.kind == "f"):
        raise _inexact(values.dtype)
    with request.dest.open("wb") as file:
        file.write(_head(_fields(document, stored.shape, stored.dtype, 1), 1, stored.nbytes))
        _write_frame(file, stored)
    return Exported(shape=values.shape, dtype=stored.dtype.name)


def _write_stack(request: ExportRequest) -> Exported:
    document = request.documents[0]
    count, *frame = document.shape
    if document.dtype.itemsize >= _WIDE:
        raise _inexact(document.dtype)
    plain: dict[str, np.dtype[Any]] = {"b": np.dtype(np.uint8), "f": np.dtype(np.float32)}
    dtype = plain.get(document.dtype.kind, document.dtype)
    pixels = math.prod(frame) * dtype.itemsize
    fields = _fields(document, tuple(frame), dtype, count)
    head = _head(fields, count, pixels) if count * pixels <= _LARGEST else b""
    _check_size(dtype, count * pixels + len(head))
    with request.dest.open("wb") as file:
        file.write(head)
        for place in range(count):
            values = read_box(document.blocks, (place, *[0] * len(frame)), (1, *frame))
            _write_frame(file, values[0].astype(dtype, copy=False))
            if request.progress is not None:
                request.progress(document.nbytes * (place + 1) // count, document.nbytes)
    return Exported(shape=document.shape, dtype=dtype.name)


def _check_size(dtype: np.dtype[Any], nbytes: int) -> None:
    if dtype.kind not in _SAMPLE_FORMATS or nbytes > _LARGEST:
        msg = f"a TIFF cannot hold {nbytes} bytes of {dtype}"
        raise UnsupportedDataError(msg, hint="export .npy or .hspy")


def _inexact(dtype: np.dtype[Any]) -> UnsupportedDataError:
    msg = f"a .tif that ImageJ opens has no type for its values of {dtype}"
    return UnsupportedDataError(msg, hint="--dtype float32 rounds them; .npy and .hspy do not")


def _write_frame(file: BinaryIO, values: NDArray[Any]) -> None:
    little = values.astype(values.dtype.newbyteorder("<"), copy=False)
    file.write(np.ascontiguousarray(little).data)


def _sample_type(values: NDArray[Any]) -> np.dtype[Any]:
    """Return the type in which most programs read the values; ImageJ and Pillow refuse float64.

    Integers of up to 32 bits, also those in float64, stay exact; all else is float32.
    """
    dtype = values.dtype
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    if dtype.kind in "iu" and dtype.itemsize < _WIDE:
        return dtype
    if dtype.kind == "f" and dtype.itemsize < _WIDE:
        return np.dtype(np.float32)
    whole = narrowest(values).dtype
    fits = whole.kind in "iu" and whole.itemsize <= 4  # noqa: PLR2004 - 32 bits
    return whole if fits else np.dtype(np.float32)


def _fields(
    document: Document, shape: tuple[int, ...], dtype: np.dtype[Any], count: int
) -> list[Field]:
    """Return what the directory of a frame (y, x) or (y, x, channel) says, by its numbers."""
    size_y, size_x = shape[:2]
    samples = shape[2] if len(shape) == 3 else 1  # noqa: PLR2004 - with channels
    bits = struct.pack(f"<{samples}H", *[8 * dtype.itemsize] * samples)
    kinds = struct.pack(f"<{samples}H", *[_SAMPLE_FORMATS[dtype.kind]] * samples)
    y, x = document.axes[-2:]
    return [
        (256, _LONG, struct.pack("<I", size_x)),
        (257, _LONG, struct.pack("<I", size_y)),
        (258, _SHORT, bits),
        (259, _SHORT, struct.pack("<H", 1)),
        (262, _SHORT, struct.pack("<H", 2 if samples > 2 else 1)),  # noqa: PLR2004 - RGB
        (270, _ASCII, _imagej(document, count)),
        (_OFFSETS, _LONG, b"\0\0\0\0"),
        (277, _SHORT, struct.pack("<H", samples)),
        (278, _LONG, struct.pack("<I", size_y)),
        (279, _LONG, struct.pack("<I", math.prod(shape) * dtype.itemsize)),
        (282, _RATIONAL, _resolution(x)),
        (283, _RATIONAL, _resolution(y)),
        (296, _SHORT, struct.pack("<H", 1)),
        *([(338, _SHORT, struct.pack("<H", 2))] if samples in (2, 4) else []),
        (339, _SHORT, kinds),
        # the tags of DigitalMicrograph, from which HyperSpy takes units and offsets
        (65003, _ASCII, _latin(x.units)),
        (65004, _ASCII, _latin(y.units)),
        (65006, _DOUBLE, struct.pack("<d", x.offset)),
        (65007, _DOUBLE, struct.pack("<d", y.offset)),
        (65009, _DOUBLE, struct.pack("<d", x.scale)),
        (65010, _DOUBLE, struct.pack("<d", y.scale)),
    ]


def _head(fields: list[Field], count: int, nbytes: int) -> bytes:
    """Return the header and a directory for each frame; the pixels of all follow at once.

    Only the first directory has the description, which speaks of all of them.
    """
    plain = [field for field in fields if field[0] != 270]  # noqa: PLR2004 - the description
    first, other = _size(fields), _size(plain)
    pixels = _HEADER + first + (count - 1) * other
    parts = [struct.pack("<2sHI", b"II", 42, _HEADER)]
    start = _HEADER
    for place in range(count):
        chosen, size = (plain, other) if place else (fields, first)
        following = start + size if place < count - 1 else 0
        parts.extend(_directory(chosen, start, pixels + place * nbytes, following))
        start += size
    return b"".join(parts)


def _size(fields: list[Field]) -> int:
    """Return the bytes of a directory with the values that do not fit into its entries."""
    large = (len(content) for _, _, content in fields if len(content) > 4)  # noqa: PLR2004
    return 2 + 12 * len(fields) + 4 + sum(n + n % 2 for n in large)


def _directory(fields: list[Field], start: int, pixels: int, following: int) -> Iterator[bytes]:
    """Yield a directory that begins at `start`, and the values that it points to."""
    yield struct.pack("<H", len(fields))
    place, large = start + 2 + 12 * len(fields) + 4, []
    for tag, kind, content in fields:
        value = content.ljust(4, b"\0")
        if tag == _OFFSETS:
            value = struct.pack("<I", pixels)
        elif len(content) > 4:  # noqa: PLR2004 - what fits into an entry is there
            value = struct.pack("<I", place)
            large.append(content + b"\0" * (len(content) % 2))
            place += len(large[-1])
        yield struct.pack("<HHI", tag, kind, len(content) // _WIDTHS[kind]) + value
    yield struct.pack("<I", following)
    yield from large


def _latin(text: str) -> bytes:
    return text.encode("latin-1", "replace") + b"\0"


def _imagej(document: Document, count: int) -> bytes:
    """Return the description in which ImageJ keeps units, which have to be ASCII, and frames."""
    text = f"ImageJ=1.53k\n{_frames(document, count)}unit={_letters(document.axes[-1].units)}\n"
    return text.encode("ascii", "backslashreplace") + b"\0"


def _frames(document: Document, count: int) -> str:
    """Return what ImageJ reads of a stack: how many frames there are, and how far apart."""
    if document.kind != "stack":
        return ""
    axis = document.axes[0]
    if axis.units == "s":
        return f"images={count}\nframes={count}\nfinterval={axis.scale!r}\n"
    spacing = f"spacing={axis.scale!r}\nzunit={_letters(axis.units)}\n"
    return f"images={count}\nslices={count}\n{spacing if axis.calibrated else ''}"


def _letters(text: str) -> str:
    return "".join(IMAGEJ_LETTERS.get(letter, letter) for letter in text)


def _resolution(axis: Axis) -> bytes:
    """Return pixels per unit as a fraction of two 32-bit numbers, as exact as these can be."""
    scale = Fraction(abs(axis.scale)) or Fraction(1)
    if scale >= 1:
        units = scale.limit_denominator(max(1, (2**32 - 1) // math.ceil(scale)))
        return struct.pack("<II", units.denominator, min(units.numerator, 2**32 - 1))
    limited = (1 / scale).limit_denominator(2**20)
    if limited.numerator >= 2**32:
        limited = Fraction(min(2**32 - 1, round(1 / scale)))
    return struct.pack("<II", limited.numerator, limited.denominator)
