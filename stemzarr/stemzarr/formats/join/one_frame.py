"""What a file with one frame holds, read as cheaply as its format allows: sets have thousands."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from stemzarr.errors import CorruptFileError, TruncatedFileError, UnsupportedDataError
from stemzarr.formats.merlin.header import Hdr, read_frame_header
from stemzarr.formats.merlin.reader import find_facts
from stemzarr.formats.tiff.reader import find_single_page
from stemzarr.metadata.finding import split_facts
from stemzarr.model import Blocks, Document, Fact, Source
from stemzarr.pixels.raw import RawBlocks
from stemzarr.registry import read_source
from stemzarr.storage.objects import Stamp

__all__ = ["Frame", "Run", "check_single", "read_frame"]

_AGAIN: Final = "copy it again from its origin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The values of a frame as one run of bytes."""

    offset: int
    """First byte in the file."""
    stored: np.dtype[Any]
    """Type of the values in the file, with their byte order."""
    flipped: bool = False
    """Whether the rows are written from the bottom up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What one file holds."""

    stamp: Stamp
    """What the file was when it was recognised."""
    format: str
    """Name of its format."""
    shape: tuple[int, ...]
    """Rows, columns, and the channels of colours."""
    dtype: np.dtype[Any]
    """Type of the values, little-endian."""
    run: Run | None
    """Where the values are, None where they have to be decoded."""
    facts: Mapping[str, Fact] = field(default_factory=dict)
    """What is known of its acquisition."""
    calibration: tuple[object, ...] = ()
    """Calibration of its axes and values, to be compared with that of others."""
    parts: tuple[Path, ...] = ()
    """Further files that belong to it."""
    others: tuple[str, ...] = ()
    """Slugs of what else it holds."""

    @property
    def form(self) -> tuple[object, ...]:
        """What all frames of a set have in common."""
        return self.format, self.shape, self.dtype

    def __str__(self) -> str:
        return f"{self.format}, {' x '.join(map(str, self.shape))}, {self.dtype.name}"


def read_frame(path: Path, source_format: str) -> Frame:
    """Return what a file of a set holds.

    Parameters
    ----------
    path
        The file.
    source_format
        Format of the first file of the set.

    Raises
    ------
    UnsupportedDataError
        It holds something else than one frame.
    StemzarrError
        It cannot be read.
    """
    read = _READ.get(source_format)
    found = None if read is None else read(path)
    return _read_any(path) if found is None else found


def check_single(source: Source) -> Document:
    """Return the document of a source that is one frame.

    Raises
    ------
    UnsupportedDataError
        It is none.
    TruncatedFileError
        The file does not hold all that it declares.
    """
    document, path = source.document, source.path
    if document.kind not in ("image", "diffraction"):
        shape = " x ".join(map(str, document.shape))
        msg = f"holds {document.kind} {shape}, and --join takes files of one frame each"
        raise UnsupportedDataError(msg, path=path, hint="ingest it by itself, without --join")
    if not source.complete:
        msg = "; ".join(source.notes) or "holds less than it declares"
        raise TruncatedFileError(msg, path=path, hint=_AGAIN)
    return document


def _read_any(path: Path) -> Frame:
    stamp = Stamp.of(path)
    source = read_source(path)
    document = check_single(source)
    axes = tuple((axis.offset, axis.scale, axis.units) for axis in document.axes)
    others = (one for one in source.documents if one is not document and not one.thumbnail)
    return Frame(
        stamp=stamp,
        format=source.format,
        shape=document.shape,
        dtype=document.dtype,
        run=_run_of(document.blocks),
        facts=document.facts,
        calibration=(axes, document.brightness),
        parts=source.parts,
        others=tuple(one.slug for one in others),
    )


def _run_of(blocks: Blocks) -> Run | None:
    if isinstance(blocks, RawBlocks) and not blocks.rotation:
        return Run(offset=blocks.offset, stored=blocks.stored, flipped=blocks.flipped)
    return None


def _read_mib(path: Path) -> Frame:
    """Return the frame of a ``.mib``, without looking through its folder for a ``.hdr``."""
    stamp = Stamp.of(path)
    header = read_frame_header(path)
    stride = header.nbytes + math.prod(header.frame) * header.stored.itemsize
    frames, beyond = divmod(stamp.size, stride)
    if frames > 1:
        msg = f"holds {frames} frames, and --join takes files of one frame each"
        raise UnsupportedDataError(msg, path=path, hint="ingest it by itself, without --join")
    if frames == 0:
        msg = f"has {stamp.size} of the {stride} bytes of its frame"
        raise TruncatedFileError(msg, path=path, hint=_AGAIN)
    if beyond:
        msg = f"has {beyond} bytes behind its frame that are not a frame"
        raise CorruptFileError(msg, path=path, hint=_AGAIN)
    own = path.with_suffix(".hdr")
    return Frame(
        stamp=stamp,
        format="mib",
        shape=header.frame,
        dtype=header.stored.newbyteorder("<"),
        run=Run(offset=header.nbytes, stored=header.stored, flipped=True),
        facts=split_facts(find_facts(header, Hdr(fields={})))[0],
        parts=(own,) if own.is_file() else (),
    )


def _read_tif(path: Path) -> Frame | None:
    """Return the image of a TIFF file of one page; None where there is more in it."""
    stamp = Stamp.of(path)
    found = find_single_page(path, stamp)
    if found is None:
        return None
    axes = tuple((axis.offset, axis.scale, axis.units) for axis in found.axes)
    return Frame(
        stamp=stamp,
        format="tif",
        shape=found.base.shape,
        dtype=found.base.dtype,
        run=_run_of(found.base),
        calibration=axes,
    )


_READ: Final[dict[str, Callable[[Path], Frame | None]]] = {"mib": _read_mib, "tif": _read_tif}
"""How the files of a set are read cheaply, by the format of the first."""
