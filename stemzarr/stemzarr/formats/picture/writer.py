"""Pictures: 2D documents, and virtual images of scans, as ``.png`` and as calibrated ``.tif``."""

from __future__ import annotations

import dataclasses
import math
import struct
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import OptionError, UnsupportedDataError
from stemzarr.formats.picture.png import MOST_CHANNELS, encode_png
from stemzarr.formats.tiff.axes import IMAGEJ_LETTERS
from stemzarr.measure.tiles import narrowest
from stemzarr.model import ArrayBlocks, Axis, Document, read_box
from stemzarr.registry import Exported, ExportRequest
from stemzarr.views.render import ViewBlocks
from stemzarr.views.view import View
from stemzarr.views.virtual import virtual_image

__all__ = ["write_png", "write_tif"]

_BRIGHTEST = 99.9
_SAMPLE_FORMATS = {"u": 1, "b": 1, "i": 2, "f": 3}
_TIFF_LARGEST = 2**32 - 2**16
_SHORT, _LONG, _RATIONAL, _ASCII, _DOUBLE = 3, 4, 5, 2, 12


def write_png(request: ExportRequest) -> Exported:
    """Write an image as a grey 8-bit picture, from its smallest value to the brightest 0.1 %.

    With the normalisation ``minmax`` it goes to the largest value instead. A 4D scan becomes the
    virtual image over its whole detector. Colour stays as it is.

    Raises
    ------
    OptionError
        A type is asked for: every picture has 8 bits.
    UnsupportedDataError
        The document has no two dims, or channels that are not colours.
    """
    chosen = _view(request.documents[0])
    if chosen.dtype is not None:
        msg = f"dtype is {chosen.dtype!r}, and every .png has 8 bits"
        raise OptionError(msg, hint="leave dtype out, or export .tif")
    document = _image(request)
    values = _all(document)
    if len(document.channels) > MOST_CHANNELS:
        msg = f"a .png holds 4 channels at most, and these are {len(document.channels)}"
        raise UnsupportedDataError(msg, hint="export .tif or .npy")
    pixels = (
        values
        if document.channels and values.dtype == np.uint8
        else _to_bytes(values, whole=chosen.normalize == "minmax")
    )
    description = f"{document.title}: {_pixel_size(document)}"
    request.dest.write_bytes(encode_png(pixels, description=description))
    return Exported(shape=pixels.shape, dtype="uint8")


def _view(document: Document) -> View:
    blocks = document.blocks
    return blocks.view if isinstance(blocks, ViewBlocks) else View()


def _to_bytes(values: NDArray[Any], *, whole: bool) -> NDArray[np.uint8]:
    if values.dtype.kind == "b":
        return values.astype(np.uint8) * np.uint8(255)
    finite = values[np.isfinite(values)].astype(np.float64)
    low = finite.min(initial=0.0) if not finite.size else finite.min()
    high = np.percentile(finite, 100 if whole else _BRIGHTEST) if finite.size else 1.0
    high = high if high > low else low + 1.0
    scaled = (np.nan_to_num(values.astype(np.float64), nan=low) - low) * (255 / (high - low))
    pixels: NDArray[np.uint8] = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    return pixels


def _pixel_size(document: Document) -> str:
    y, x = document.axes
    return f"pixels of {y.scale:g} {y.units} × {x.scale:g} {x.units}"


def write_tif(request: ExportRequest) -> Exported:
    """Write an image with its values and pixel size as a TIFF that ImageJ and HyperSpy scale.

    Integers of 64 bits, and floats that hold only integers, are stored in as many bits as they
    need, up to 32. A 4D scan becomes the virtual image over its whole detector; what is computed
    so, and no integer, is float32.

    Raises
    ------
    OptionError
        float64 is asked for.
    UnsupportedDataError
        The document has no two dims, its values no type of TIFF or none that holds them, or they
        exceed its 4 GB.
    """
    if _view(request.documents[0]).dtype == "float64":
        msg = "dtype is 'float64', and ImageJ and many others read no .tif of that"
        raise OptionError(msg, hint="leave dtype out or choose float32, or export .npy or .hspy")
    document = _image(request)
    values = _all(document)
    if values.dtype.kind not in _SAMPLE_FORMATS or values.nbytes > _TIFF_LARGEST:
        msg = f"a TIFF cannot hold {values.nbytes} bytes of {values.dtype}"
        raise UnsupportedDataError(msg, hint="export .npy or .hspy")
    with np.errstate(over="ignore"):
        stored = values.astype(_sample_type(values), copy=False)
    computed = request.options.image is not None or document is not request.documents[0]
    if not computed and not np.array_equal(stored, values, equal_nan=values.dtype.kind == "f"):
        msg = f"a .tif that ImageJ opens has no type for its values of {values.dtype}"
        raise UnsupportedDataError(msg, hint="--dtype float32 rounds them; .npy and .hspy do not")
    little = stored.astype(stored.dtype.newbyteorder("<"), copy=False)
    with request.dest.open("wb") as file:
        file.write(_tiff_head(document, stored))
        file.write(np.ascontiguousarray(little).data)
    return Exported(shape=values.shape, dtype=stored.dtype.name)


def _sample_type(values: NDArray[Any]) -> np.dtype[Any]:
    """Return the type in which most programs read the values; ImageJ and Pillow refuse float64.

    Integers of up to 32 bits, also those in float64, stay exact; all else is float32.
    """
    dtype = values.dtype
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    if dtype.kind in "iu" and dtype.itemsize < 8:  # noqa: PLR2004 - 64 bits
        return dtype
    if dtype.kind == "f" and dtype.itemsize < 8:  # noqa: PLR2004 - 64 bits
        return np.dtype(np.float32)
    whole = narrowest(values).dtype
    fits = whole.kind in "iu" and whole.itemsize <= 4  # noqa: PLR2004 - 32 bits
    return whole if fits else np.dtype(np.float32)


def _tiff_head(document: Document, values: NDArray[Any]) -> bytes:
    """Return header, directory and the values that the directory points to (TIFF 6.0, 1992)."""
    size_y, size_x = values.shape[:2]
    samples = values.shape[2] if values.ndim == 3 else 1  # noqa: PLR2004 - with channels
    bits = struct.pack(f"<{samples}H", *[8 * values.dtype.itemsize] * samples)
    kinds = struct.pack(f"<{samples}H", *[_SAMPLE_FORMATS[values.dtype.kind]] * samples)
    y, x = document.axes
    fields: list[tuple[int, int, bytes]] = [
        (256, _LONG, struct.pack("<I", size_x)),
        (257, _LONG, struct.pack("<I", size_y)),
        (258, _SHORT, bits),
        (259, _SHORT, struct.pack("<H", 1)),
        (262, _SHORT, struct.pack("<H", 2 if samples > 2 else 1)),  # noqa: PLR2004 - RGB
        (270, _ASCII, _imagej(document)),
        (273, _LONG, b"\0\0\0\0"),
        (277, _SHORT, struct.pack("<H", samples)),
        (278, _LONG, struct.pack("<I", size_y)),
        (279, _LONG, struct.pack("<I", values.nbytes)),
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
    return _tiff_directory(fields)


def _tiff_directory(fields: list[tuple[int, int, bytes]]) -> bytes:
    widths = {_SHORT: 2, _LONG: 4, _RATIONAL: 8, _ASCII: 1, _DOUBLE: 8}
    start = 8 + 2 + 12 * len(fields) + 4
    large = b""
    places = []
    for _, _, content in fields:
        places.append(start + len(large))
        if len(content) > 4:  # noqa: PLR2004 - what fits into an entry is there
            large += content + b"\0" * (len(content) % 2)
    pixels = start + len(large)
    head = struct.pack("<2sHIH", b"II", 42, 8, len(fields))
    for (tag, kind, content), place in zip(fields, places, strict=True):
        value = content.ljust(4, b"\0") if len(content) <= 4 else struct.pack("<I", place)  # noqa: PLR2004
        value = struct.pack("<I", pixels) if tag == 273 else value  # noqa: PLR2004 - StripOffsets
        head += struct.pack("<HHI", tag, kind, len(content) // widths[kind]) + value
    return head + struct.pack("<I", 0) + large


def _latin(text: str) -> bytes:
    return text.encode("latin-1", "replace") + b"\0"


def _imagej(document: Document) -> bytes:
    """Return the description in which ImageJ keeps the unit, which has to be ASCII."""
    unit = "".join(IMAGEJ_LETTERS.get(letter, letter) for letter in document.axes[1].units)
    return f"ImageJ=1.53k\nunit={unit}\n".encode("ascii", "backslashreplace") + b"\0"


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


def _image(request: ExportRequest) -> Document:
    document = request.documents[0]
    if document.kind == "4d-stem":
        options = request.options
        image = virtual_image(document, threads=options.threads, memory=options.memory).to_numpy()
        return dataclasses.replace(
            document,
            kind="image",
            axes=document.axes[:2],
            blocks=ArrayBlocks(image),
            bad_pixels=None,
        )
    if len(document.axes) != 2 or document.dtype.kind == "c":  # noqa: PLR2004 - an image
        msg = f"the document {document.slug!r} is not an image but {document.kind} {document.dtype}"
        raise UnsupportedDataError(msg, hint="choose an image with --document, or another format")
    return document


def _all(document: Document) -> NDArray[Any]:
    return read_box(document.blocks, (0,) * len(document.shape), document.shape)
