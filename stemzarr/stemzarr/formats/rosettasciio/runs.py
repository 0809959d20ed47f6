"""What headers of RosettaSciIO's formats declare of their frames, so that none is lost unsaid.

RosettaSciIO pads a blockfile that is cut and drops what an ``.mrc`` or a scan holds beyond its
header. So the headers are read here as well, and compared with the size of the files:
docs/upstream/rosettasciio-blockfile-cut.md and docs/upstream/rosettasciio-mrc-big-endian.md.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from stemzarr.errors import CorruptFileError, SourceNotFoundError, UnsupportedDataError
from stemzarr.formats.frames import FrameRun
from stemzarr.pixels.partial import SpreadBlocks
from stemzarr.pixels.raw import RawBlocks
from stemzarr.storage.acquisitions import find_beside
from stemzarr.storage.objects import Stamp
from stemzarr.storage.reasons import reading

__all__ = ["DeclaredRun", "find_run"]

_HEADER_BYTES: Final = 1024
_TVIPS: Final = re.compile(r"(.+)_(\d{3})(\.tvips)", re.IGNORECASE | re.DOTALL)
_MOST_PARTS: Final = 1000
_MRC_TYPES: Final = {0: "u1", 1: "i2", 2: "f4", 4: "c8", 6: "u2", 12: "f2"}

_VIRTUAL: Final = (
    "the image of {} × {} that the microscope's program made of the patterns is left out; "
    "`.stem.virtual_image()` makes one"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredRun:
    """A run of frames, and how a small whole file of the same format is made from it."""

    run: FrameRun
    """The frames, and how many there must be."""
    frames: tuple[RawBlocks, ...]
    """All whole frames (frame, y, x) of each file."""
    sample: Callable[[bytes], bytes]
    """Changes the header so that it declares `sampled` frames."""
    header_bytes: int
    """Bytes before the first frame."""
    sampled: int = 4
    """Frames of the small file."""
    notes: tuple[str, ...] = ()
    """What a person should know."""
    ours: bool = False
    """Whether RosettaSciIO reads the files whole when it opens them, so that it must not."""

    def write_sample(self, folder: Path) -> Path:
        """Write a small file with this header and the first frames, and return its path.

        It lets RosettaSciIO describe axes and metadata of a file that is cut.
        """
        first = self.frames[0].path
        nbytes = self.sampled * (self.frames[0].stride or 0)
        with first.open("rb") as file:
            header = file.read(self.header_bytes)
            frames = file.read(nbytes)
        small = folder / first.name
        with small.open("wb") as file:
            written = file.write(self.sample(header))
            file.write(frames)
            file.truncate(written + nbytes)
        return small


def find_run(path: Path) -> DeclaredRun | None:
    """Return the frames of a blockfile, ``.tvips`` or ``.mrc``; None for any other format.

    Raises
    ------
    CorruptFileError
        The file ends inside its header.
    SourceNotFoundError, UnsupportedDataError
        It is a later part of a recording, or its first part is missing.
    """
    find = _FORMATS.get(path.suffix.lower())
    if find is None:
        return None
    with reading(path), path.open("rb") as file:
        head = file.read(_HEADER_BYTES)
    return find(path, head)


def _unpack(path: Path, layout: str, head: bytes, offset: int) -> tuple[int, ...]:
    try:
        return struct.unpack_from(layout, head, offset)
    except struct.error:
        raise _ends_early(path, head) from None


def _ends_early(path: Path, head: bytes) -> CorruptFileError:
    msg = f"ends inside its header, after {len(head)} bytes"
    return CorruptFileError(msg, path=path, hint="copy it again from its origin")


def _frames(
    path: Path, offset: int, lead: int, frame: tuple[int, int], dtype: str
) -> tuple[RawBlocks, int]:
    """Return the frames of one file, and how many bytes are behind the last whole one.

    Parameters
    ----------
    path
        The file.
    offset
        First byte of the first frame.
    lead
        Bytes before the pixels of each frame.
    frame
        Rows and columns.
    dtype
        Type of the values.
    """
    stamp, stored = Stamp.of(path), np.dtype(dtype).newbyteorder("<")
    stride = lead + math.prod(frame) * stored.itemsize
    frames, beyond = divmod(max(0, stamp.size - offset), stride)
    blocks = RawBlocks(
        path=path,
        stamp=stamp,
        offset=offset + lead,
        disk_shape=(frames, *frame),
        stored=stored,
        stride=stride,
        pattern_ndim=2,
    )
    return blocks, beyond


def _find_blockfile(path: Path, head: bytes) -> DeclaredRun | None:
    """Frames of ``.blo``: their offset, that of an image of them, and sizes from byte 8 on.

    Each frame has 6 bytes before its pixels.
    """
    image, offset, side, columns, rows = _unpack(path, "<2I4xH2x2H", head, 8)
    if not (side and columns and rows):
        return None
    blocks, beyond = _frames(path, offset, 6, (side, side), "u1")
    run = FrameRun(
        parts=((0, blocks),), declared=rows * columns, scan=(rows, columns), beyond=beyond
    )

    def sample(header: bytes) -> bytes:
        return header[:24] + struct.pack("<2H", 2, 2) + header[28:]

    notes = (_VIRTUAL.format(rows, columns),) if offset - image >= rows * columns else ()
    return DeclaredRun(run=run, frames=(blocks,), sample=sample, header_bytes=offset, notes=notes)


def _find_mrc(path: Path, head: bytes) -> DeclaredRun | None:
    """Frames of ``.mrc``: u32 columns, rows, frames, type at byte 0, bytes beyond the header at 92.

    The stamp at byte 212 begins with 0x11 where the numbers are big-endian.
    """
    columns, rows, frames, kind = _unpack(path, "<4I", head, 0)
    (more,) = _unpack(path, "<I", head, 92)
    if head[212:214] == b"\x11\x11":
        msg = "holds big-endian numbers, which RosettaSciIO reads as little-endian ones"
        raise UnsupportedDataError(msg, path=path, hint="save it again on this machine, as .tif")
    known = _MRC_TYPES.get(kind)
    if known is None or not (columns and rows) or frames < 2:  # noqa: PLR2004 - one is an image
        return None
    blocks, beyond = _frames(path, _HEADER_BYTES + more, 0, (rows, columns), known)
    run = FrameRun(parts=((0, blocks),), declared=frames, beyond=beyond)

    def sample(header: bytes) -> bytes:
        return header[:8] + struct.pack("<I", 4) + header[12:]

    return DeclaredRun(run=run, frames=(blocks,), sample=sample, header_bytes=_HEADER_BYTES + more)


def _find_tvips(path: Path, head: bytes) -> DeclaredRun | None:
    """Frames of ``.tvips``: u32 size, version, columns, rows, bits at byte 0, frame header at 48.

    A recording is several files, numbered from 000, of which the first alone has a header.
    """
    first = _first_tvips(path)
    size, version, columns, rows, bits = _unpack(first, "<5I", head, 0)
    (lead,) = _unpack(first, "<I", head, 48)
    if Stamp.of(first).size < size:
        raise _ends_early(first, head)
    dtype = {8: "<u1", 16: "<u2"}.get(bits)
    if dtype is None or not (columns and rows) or version != 2:  # noqa: PLR2004 - what is written
        return None
    parts, missing = _tvips_parts(first)
    found = [
        _frames(one, size if one == first else 0, lead, (rows, columns), dtype) for one in parts
    ]
    cut = [f"{part.path.name} ends with {rest} bytes of a frame" for part, rest in found if rest]
    frames = tuple(part for part, _ in found)
    beyond = sum(rest for _, rest in found)
    return DeclaredRun(
        run=FrameRun(parts=SpreadBlocks.join(frames).parts, beyond=beyond, missing=missing),
        frames=frames,
        sample=bytes,
        header_bytes=size,
        notes=tuple(cut[: len(found) - 1]),
        ours=True,
    )


def _first_tvips(path: Path) -> Path:
    match = _TVIPS.fullmatch(path.name)
    if match is None or int(match[2]) == 0:
        return path
    name = f"{match[1]}_000{match[3]}"
    first = find_beside(path, name)
    if first is None:
        msg = f"is part {int(match[2])} of a recording whose first part, {name}, is not beside it"
        raise SourceNotFoundError(msg, path=path, hint="copy all parts into one folder")
    msg = f"is part {int(match[2])} of the recording that begins with {first.name}"
    raise UnsupportedDataError(msg, path=path, hint=f"give {first.name} instead")


def _tvips_parts(first: Path) -> tuple[list[Path], tuple[str, ...]]:
    """Return the files of a recording without a gap, and what is said of files behind a gap."""
    match = _TVIPS.fullmatch(first.name)
    if match is None:
        return [first], ()
    found = {0: first}
    for path in first.parent.iterdir():
        other = _TVIPS.fullmatch(path.name)
        if other is not None and other[1].casefold() == match[1].casefold():
            found.setdefault(int(other[2]), path)
    whole = next(number for number in range(_MOST_PARTS + 1) if number not in found)
    parts = [found[number] for number in range(whole)]
    later = sorted(number for number in found if number > whole)
    if not later:
        return parts, ()
    missing = f"{match[1]}_{whole:03d}{match[3]}"
    names = ", ".join(found[number].name for number in later)
    return parts, (f"its part {missing} is missing, so the frames of {names} are left out",)


_FORMATS: Final[dict[str, Callable[[Path, bytes], DeclaredRun | None]]] = {
    ".blo": _find_blockfile,
    ".mrc": _find_mrc,
    ".tvips": _find_tvips,
}
