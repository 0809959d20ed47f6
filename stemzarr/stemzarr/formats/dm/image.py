"""One image of a DM tag tree: type, dims and calibration, as the file states them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from stemzarr.errors import CorruptFileError, UnsupportedDataError
from stemzarr.formats.dm.tags import ARRAY, BOOLEAN, SIMPLE, TagData, TagGroup
from stemzarr.model import Brightness

__all__ = ["RGBA", "Calibration", "DMPixels", "read_calibration", "read_dimensions", "read_pixels"]

Encoding = Literal["plain", "packed-complex", "packed-complex-old", "bgra"]

TYPES: Final[dict[int | None, tuple[str | None, Encoding]]] = {
    1: ("i2", "plain"), 2: ("f4", "plain"), 3: ("c8", "plain"), 5: ("f4", "packed-complex-old"),
    6: ("u1", "plain"), 7: ("i4", "plain"), 8: ("u4", "bgra"), 9: ("i1", "plain"),
    10: ("u2", "plain"), 11: ("u4", "plain"), 12: ("f8", "plain"), 13: ("c16", "plain"),
    14: ("b1", "plain"), 23: ("u4", "bgra"), 27: ("c8", "packed-complex"),
    28: ("c16", "packed-complex"), 39: ("i8", "plain"), 40: ("u8", "plain"),
}  # fmt: skip
"""numpy type and encoding of each ``DataType`` of DM."""
RGBA: Final = 23
"""``DataType`` of colour pictures."""
_ELEMENTS: Final = {**SIMPLE, BOOLEAN: "b1"}
"""numpy type of the tag's own type code, for a ``DataType`` that we do not know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Calibration of one dim as the file has it: value = (index - origin) * scale."""

    scale: float = 1.0
    """Distance of neighbouring pixels."""
    origin: float = 0.0
    """Index at which the value is zero."""
    units: str = ""
    """Units as the file spells them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DMPixels:
    """What ``ImageData`` says of an image."""

    shape: tuple[int, ...]
    """Lengths of the dims on disk, slowest first; of a packed plane those of the whole."""
    dtype: str
    """numpy type string of the values on disk, with their byte order."""
    encoding: Encoding
    """How the bytes become values."""
    offset: int
    """First byte of the values in the file."""
    calibrations: tuple[Calibration, ...]
    """One for each dim, slowest first."""
    brightness: Brightness | None
    """Calibration of the values; None where it says nothing."""
    notes: tuple[str, ...] = ()
    """What was odd."""

    @property
    def packed_shape(self) -> tuple[int, ...]:
        """Lengths of the dims of the values that the disk holds."""
        if self.encoding == "packed-complex":
            return (*self.shape[:-1], self.shape[-1] // 2 + 1)
        return self.shape

    @property
    def nbytes(self) -> int:
        """Size of the values on disk in bytes."""
        return math.prod(self.packed_shape) * np.dtype(self.dtype).itemsize


def read_pixels(
    image: TagGroup, *, path: Path, tag_path: str, shape: tuple[int, ...] | None = None
) -> DMPixels | None:
    """Return what an entry of ``ImageList`` says of its pixels; None if it has none.

    Parameters
    ----------
    image
        The entry.
    path, tag_path
        File and place of the entry, for messages.
    shape
        Lengths of the dims, slowest first, where the file has lost them.

    Raises
    ------
    CorruptFileError
        Type, dims and size of the data contradict one another.
    UnsupportedDataError
        The pixels are in another file.
    """
    group = image.group("ImageData")
    data = group.get("Data")
    dims = shape or read_dimensions(group)
    if not dims:
        return None
    if not isinstance(data, TagData) or not data.count:
        msg = f"{tag_path} has dims {dims[::-1]} and no values, which may be in another file"
        hint = (
            "K2-IS, K3-IS and Continuum keep their pixels in other files, which are not read:"
            " export it in GMS as dm4"
        )
        raise UnsupportedDataError(msg, path=path, hint=hint)
    code = _code(group.value("DataType"))
    kind: str | None
    encoding: Encoding
    kind, encoding = TYPES.get(code, (None, "plain"))
    notes: tuple[str, ...] = ()
    if kind is None:
        kind = _ELEMENTS.get(data.info[1]) if len(data.info) == len((ARRAY, 0, 0)) else None
        if kind is None:
            return None
        notes = (f"DataType {code} is unknown: the values are taken for what the tag says",)
    if encoding == "packed-complex-old" and not (
        len(dims) == len(("y", "x")) and dims[0] == dims[1] and dims[0] % 2 == 0
    ):
        encoding = "plain"
        notes = (f"a packed FFT plane of shape {dims} cannot be unpacked: its bytes are kept",)
    if encoding == "packed-complex" and len(dims) < len(("y", "x")):
        encoding = "plain"  # half of a line is not half of a plane
    pixels = DMPixels(
        shape=dims,
        dtype=np.dtype(kind).newbyteorder(_order(data)).str,
        encoding=encoding,
        offset=data.offset,
        calibrations=_calibrations(group, len(dims)),
        brightness=_brightness(group),
        notes=notes,
    )
    if pixels.nbytes > data.nbytes:
        msg = (
            f"{tag_path}/ImageData/Data at byte {data.offset} holds {data.nbytes} bytes, while"
            f" dims {dims[::-1]} of DataType {code} take {pixels.nbytes}"
        )
        raise CorruptFileError(msg, path=path, hint="copy the file again from its origin")
    return pixels


def _code(value: Any) -> int | None:  # noqa: ANN401 - whatever the tag holds
    return value if isinstance(value, int) else None


def _order(data: TagData) -> Literal["<", ">"]:
    """Return the byte order of a tag, which structs carry in their members."""
    dtype = data.dtype[0] if data.dtype.names else data.dtype
    return ">" if dtype.byteorder == ">" else "<"


def read_dimensions(group: TagGroup) -> tuple[int, ...]:
    """Return the lengths of the dims, slowest first; empty if one is not a positive number."""
    values = [
        tag.body.value() if isinstance(tag.body, TagData) else None
        for tag in group.group("Dimensions").entries
    ]
    if any(not isinstance(value, int) or value < 1 for value in values):
        return ()
    return tuple(int(value) for value in reversed(values))


def _calibrations(group: TagGroup, ndim: int) -> tuple[Calibration, ...]:
    found = [read_calibration(entry) for entry in group.group("Calibrations", "Dimension").groups()]
    found += [Calibration()] * (ndim - len(found))
    return tuple(reversed(found[:ndim]))


def read_calibration(entry: TagGroup) -> Calibration:
    """Return what a group says of one axis; what it does not say is the default."""
    units = entry.value("Units")
    return Calibration(
        scale=_number(entry.value("Scale"), 1.0),
        origin=_number(entry.value("Origin"), 0.0),
        units=units if isinstance(units, str) else "",
    )


def _number(value: Any, otherwise: float) -> float:  # noqa: ANN401 - whatever the tag holds
    if isinstance(value, int | float) and math.isfinite(value):
        return float(value)
    return otherwise


def _brightness(group: TagGroup) -> Brightness | None:
    found = read_calibration(group.group("Calibrations", "Brightness"))
    if (found.scale, found.origin, found.units.strip()) == (1.0, 0.0, ""):
        return None
    offset = 0.0 - found.origin * found.scale
    return Brightness(scale=found.scale, offset=offset, units=found.units.strip())
