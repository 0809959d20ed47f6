"""What a Merlin says of its frames: the text before each frame, and the ``.hdr`` beside them."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import CorruptFileError, TruncatedFileError, UnsupportedDataError
from stemzarr.metadata.clean import clean_text
from stemzarr.metadata.finding import positive_number
from stemzarr.storage.acquisitions import find_beside
from stemzarr.storage.files import open_shared
from stemzarr.storage.reasons import reading

__all__ = [
    "MAGIC",
    "FrameHeader",
    "Hdr",
    "read_frame_header",
    "read_hdr",
    "read_last",
    "read_numbers",
    "read_times",
]

_NUMBER_BYTES: Final = 32
MAGIC: Final = b"MQ1,"
"""How every frame begins."""
_STORED: Final = {"U08": ">u1", "U16": ">u2", "U32": ">u4", "U64": ">u8"}
_FIELDS: Final = 11
_LONGEST_HEADER: Final = 65536
_LARGEST_SIDE: Final = 65536
_LARGEST_HDR: Final = 1024**2
_STAMP: Final = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})\s+(\d{1,2}:\d{2}:\d{2}(?:\.\d+)?)")
_ISO: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,9})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameHeader:
    """The text before a frame."""

    text: str
    """The whole text, without the filling behind it."""
    nbytes: int
    """Its length on disk."""
    frame: tuple[int, int]
    """Rows and columns of the frame."""
    stored: np.dtype[Any]
    """Type of the values, big-endian."""
    sensors: str
    """How the chips are laid out, such as ``2x2``."""
    exposure_s: float | None
    """Exposure; None where it is not given."""
    moment: str
    """When the frame was taken, as the header has it; empty where it says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hdr:
    """The ``.hdr`` of an acquisition."""

    fields: Mapping[str, str]
    """Values under their names, as they are written."""

    def _value(self, name: str) -> tuple[str, str]:
        """Return the name as it is written, with what it has in brackets, and the value."""
        for key, value in self.fields.items():
            if key.partition("(")[0].strip().casefold() == name.casefold():
                return key, value
        return "", ""

    def number(self, name: str) -> int | None:
        """Return a whole number above zero; None where there is none."""
        value = positive_number(self._value(name)[1].strip() or None)
        return int(value) if value is not None and value.is_integer() else None

    @property
    def scan(self) -> tuple[int, int] | None:
        """Shape (scan_y, scan_x) that is declared."""
        columns, rows = self.number("ScanX"), self.number("ScanY")
        return (rows, columns) if rows and columns else None

    @property
    def acquired(self) -> tuple[str, str]:
        """Date and time as ISO 8601 without a zone, and the name under which it is given."""
        key, value = self._value("Time and Date Stamp")
        match = _STAMP.search(value)
        if match is None:
            return "", key
        day, month = int(match[1]), int(match[2])
        order = key.casefold()
        if -1 < order.find("mnth") < order.find("day"):
            day, month = month, day
        try:
            date = dt.date(int(match[3]), month, day)
            time = dt.time.fromisoformat(match[4].zfill(8)[:15])
        except ValueError:
            return "", key
        return dt.datetime.combine(date, time).isoformat(), key


def read_frame_header(path: Path) -> FrameHeader:
    """Return the header of the first frame.

    Raises
    ------
    CorruptFileError, TruncatedFileError
        The file begins otherwise, ends in its header, or its header has no sense.
    UnsupportedDataError
        The values are raw, or of a type that is not known.
    """
    size = path.stat().st_size
    start = _read(path, 0, min(size, 384))
    again = "copy it again from its origin"
    if start[: len(MAGIC)] != MAGIC:
        if MAGIC.startswith(start):
            raise TruncatedFileError("ends in the header of its first frame", path=path, hint=again)
        msg = f"does not begin with {MAGIC.decode()!r}, as every frame of a Merlin does"
        raise CorruptFileError(msg, path=path, hint="its suffix may be wrong")
    fields = start.decode("latin-1").split(",")
    if len(fields) <= _FIELDS:
        raise TruncatedFileError("ends in the header of its first frame", path=path, hint=again)
    numbers = [int(f) if f.strip().isdecimal() else 0 for f in (fields[2], fields[4], fields[5])]
    nbytes, columns, rows = numbers
    if not (
        0 < nbytes <= _LONGEST_HEADER and 0 < columns <= _LARGEST_SIDE and 0 < rows <= _LARGEST_SIDE
    ):
        pixels = f"{fields[4]} x {fields[5]} pixels"
        msg = f"its first frame has a header of {fields[2]} bytes and {pixels}"
        raise CorruptFileError(msg, path=path, hint=again)
    if nbytes > size:
        raise TruncatedFileError("ends in the header of its first frame", path=path, hint=again)
    text = clean_text(_read(path, 0, nbytes).decode("latin-1").rstrip("\0 "))
    times = _moments(text)
    return FrameHeader(
        text=text,
        nbytes=nbytes,
        frame=(rows, columns),
        stored=_stored(path, fields[6].strip()),
        sensors=fields[7].strip(),
        exposure_s=positive_number(fields[10].strip()),
        moment=times[-1] if times else "",
    )


def _stored(path: Path, name: str) -> np.dtype[Any]:
    if name in _STORED:
        return np.dtype(_STORED[name])
    known = ", ".join(_STORED)
    if name.startswith("R"):
        msg = f"its values are raw, as the chips give them ({name})"
        hint = f"save it as processed ({known}) in Merlin's software"
        raise UnsupportedDataError(msg, path=path, hint=hint)
    msg = f"its values are of the type {name!r}, which is none of {known}"
    raise UnsupportedDataError(msg, path=path, hint=f"save it as one of {known}")


def _moments(text: str) -> list[str]:
    """Return the moments in a header, the local one first, that of the extension last."""
    moments = []
    for match in _ISO.finditer(text):
        zone = "+00:00" if text[match.end() : match.end() + 1] == "Z" else ""
        moments.append(match[0].replace(" ", "T") + zone)
    return moments


def read_times(
    path: Path, header: FrameHeader, stride: int, frames: int
) -> NDArray[np.float64] | None:
    """Return when the first frames were taken.

    Returns
    -------
    array of float64, shape (frames,), or None
        Seconds from the first one; None where a header says nothing.

    Raises
    ------
    CorruptFileError
        A frame does not begin as frames do.
    ReadError
        The file cannot be read.
    """
    texts = np.empty((frames, header.nbytes), np.uint8)
    offsets = [number * stride for number in range(frames)]
    open_shared(path).read_runs_into(texts.reshape(-1).data, header.nbytes, offsets)
    moments = []
    for number, line in enumerate(texts):
        text = line.tobytes()
        check_frame(path, text, number)
        found = _moments(text.decode("latin-1"))
        if not found:
            return None
        moments.append(found[-1].partition("+")[0])
    try:
        times = np.array(moments, "datetime64[ns]")
    except ValueError:
        return None
    seconds: NDArray[np.float64] = (times - times[0]).astype(np.float64) * 1e-9
    return seconds


def check_frame(path: Path, text: bytes, number: int) -> None:
    """Refuse a file of which a frame does not begin as frames do.

    Raises
    ------
    CorruptFileError
        It does not.
    """
    if text[: len(MAGIC)] != MAGIC:
        msg = (
            f"frame {number} does not begin with {MAGIC.decode()!r}: not all frames are of one size"
        )
        raise CorruptFileError(msg, path=path, hint="copy it again from its origin")


def read_last(path: Path, stride: int, frames: int) -> None:
    """Refuse a file of which the last frame is not where it must be.

    Raises
    ------
    CorruptFileError
        It is not.
    """
    check_frame(path, _read(path, (frames - 1) * stride, len(MAGIC)), frames - 1)


def read_numbers(path: Path, stride: int, places: Iterable[int]) -> NDArray[np.int64] | None:
    """Return the numbers that frames carry, shape (frames,); None where one carries none.

    Parameters
    ----------
    path, stride
        The file, and the bytes from one frame to the next.
    places
        Which of the frames on disk, counted from 0.
    """
    offsets = [place * stride for place in places]
    texts = bytearray(_NUMBER_BYTES * len(offsets))
    open_shared(path).read_runs_into(memoryview(texts), _NUMBER_BYTES, offsets)
    begins = range(0, len(texts), _NUMBER_BYTES)
    fields = [texts[begin : begin + _NUMBER_BYTES].split(b",") for begin in begins]
    if any(len(field) <= 2 or not field[1].strip().isdigit() for field in fields):  # noqa: PLR2004 - the third begins
        return None
    return np.array([int(field[1]) for field in fields], np.int64)


def _read(path: Path, offset: int, nbytes: int) -> bytes:
    content = bytearray(nbytes)
    if nbytes:
        open_shared(path).read_into(memoryview(content), offset)
    return bytes(content)


def read_hdr(path: Path) -> tuple[Path | None, Hdr, str]:
    """Return the ``.hdr`` beside a ``.mib``.

    Returns
    -------
    file : Path or None
        The ``.hdr``; None where there is none of a Merlin.
    hdr : Hdr
        What it says, nothing where there is none.
    note : str
        What a person should know of it, empty where nothing.

    Raises
    ------
    ReadError
        It cannot be read.
    """
    hdr = find_beside(path, f"{path.stem}.hdr")
    if hdr is None or not hdr.is_file():
        return None, Hdr(fields={}), ""
    with reading(hdr), hdr.open("rb") as file:
        text = file.read(_LARGEST_HDR).decode("latin-1")
    if not text.startswith("HDR"):
        return None, Hdr(fields={}), f"{hdr.name} is not a header of a Merlin and is not used"
    fields = {}
    for line in text.splitlines()[1:]:
        key, tab, value = line.partition("\t")
        if tab and key.strip() and key.strip() != "End":
            fields[clean_text(key.strip().removesuffix(":"))] = clean_text(value.strip())
    return hdr, Hdr(fields=fields), ""
