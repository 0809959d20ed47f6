"""TIFF files, their pages read as they are asked for."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import (
    CorruptFileError,
    MissingDependencyError,
    StemzarrError,
    TruncatedFileError,
    UnsupportedDataError,
)
from stemzarr.format_row import FormatRow
from stemzarr.formats.file_blocks import NOT_OF_SUFFIX, FileBlocks, one_line, parsing
from stemzarr.formats.found import FileFacts, Found, build_source, refuse_dataset, reorder
from stemzarr.formats.hdf5.files import contiguous_block, stored_dtype
from stemzarr.formats.labelling import FoundAxis, Hints, Labels
from stemzarr.formats.rosettasciio.axes import find_axes
from stemzarr.formats.rosettasciio.library import WHOLE_BYTES, quiet
from stemzarr.formats.rosettasciio.metadata import find_value, map_metadata
from stemzarr.formats.tiff.axes import calibrate_axes, resolution_note
from stemzarr.metadata.clean import clean_json
from stemzarr.metadata.finding import plain_text
from stemzarr.model import Blocks, Source, box_of
from stemzarr.options import ReadOptions
from stemzarr.pixels.packing import COLOUR_CHANNELS
from stemzarr.pixels.raw import RawBlocks
from stemzarr.storage.files import cache_open_files
from stemzarr.storage.objects import Stamp

if TYPE_CHECKING:
    from tifffile import TiffFrame, TiffPage, TiffPageSeries

__all__ = ["FORMATS", "TiffBlocks", "find_single_page", "read_tiff"]

FORMATS = (
    FormatRow(
        name="TIFF, OME-TIFF, ImageJ",
        formats=("tif",),
        read="every series of pages with all colours, ImageJ's, OME's and the microscope's units",
        lazy="the pages that a box touches",
        complete="the list of pages, and the bytes of each, are within the file",
        unseen="smaller copies of an image (SubIFD); OME series in other files are refused",
        writers=("tif", "imagej", "ome"),
    ),
)
"""Rows of docs/formats.md."""

_BLOCK_BYTES: Final = 16 * 1024**2
_RGB, _PALETTE = 2, 3
_LOCK = threading.RLock()


def read_tiff(path: Path, options: ReadOptions) -> Source:
    """Return the series of images that a TIFF file holds, without reading pixels.

    Raises
    ------
    CorruptFileError, TruncatedFileError
        It is not a TIFF file, planes of it are missing, or it ends before its values do.
    UnsupportedDataError
        Its planes are in other files.
    MissingDependencyError
        tifffile is not installed.
    """
    refuse_dataset(path, options)
    stamp = Stamp.of(path)
    described, notes = _library_signals(path)
    with _whole_list_of_pages(path):
        # Opened here and now: tifffile says once in the life of an open file that its list is cut.
        opened = _open_new(path)
        series = list(opened.tiff.series)
        for one in series:
            _check(path, stamp, one)
        signals = [*described, *({} for _ in series)]
        read = [
            _found(path, stamp, number, one, signal)
            for number, (one, signal) in enumerate(zip(series, signals, strict=False))
        ]
    left = [
        f"series {number} ({one.dtype}, {one.shape}) holds no plain numbers and is left out"
        for number, (one, found) in enumerate(zip(series, read, strict=True))
        if found is None
    ]
    file = FileFacts(format="tif", notes=(*notes, *left))
    return build_source(path, file, [one for one in read if one is not None], options)


def find_single_page(path: Path, stamp: Stamp) -> Found | None:
    """Return the image of a file of one page, without what RosettaSciIO knows of it.

    Returns
    -------
    Found or None
        None where the file holds more than one plane of numbers.

    Raises
    ------
    CorruptFileError, TruncatedFileError, UnsupportedDataError
        As `read_tiff`.
    """
    with _whole_list_of_pages(path):
        series = list(_open(path, stamp, os.getpid()).tiff.series)
        for one in series:
            _check(path, stamp, one)
        found = _found(path, stamp, 0, series[0], {}) if len(series) == 1 else None
    return found if found is not None and len(found.axes) == 2 else None  # noqa: PLR2004 - a plane


@contextlib.contextmanager
def _whole_list_of_pages(path: Path) -> Iterator[None]:
    """Refuse a file whose list of pages leads out of it; tifffile would give those before.

    Raises
    ------
    TruncatedFileError
        It does.
    """
    failure = ""
    with quiet() as messages:
        try:
            yield
        except StemzarrError:
            raise
        except Exception as error:  # noqa: BLE001 - tifffile raises whatever it stumbles over
            failure = one_line(error)
    broken = [
        text for text in messages if re.search(r"invalid (page |value )?offset|corrupt", text)
    ]
    if failure or broken:
        msg = f"its list of pages is broken: {[*broken, failure][0]}"
        hint = "the file is truncated or damaged; copy it again"
        raise TruncatedFileError(msg, path=path, hint=hint)


def _found(
    path: Path, stamp: Stamp, number: int, series: TiffPageSeries, signal: Mapping[str, Any]
) -> Found | None:
    known = stored_dtype(series.dtype)
    if known is None or not series.shape or 0 in series.shape:
        return None
    letters, colour = series.axes, _colour_dim(series)
    dims = [dim for dim in range(len(series.shape)) if dim != colour]
    base = _blocks(path, stamp, number, series)
    if colour is not None:
        order = (*dims, colour)
        base = reorder(base, Labels(kind="array", axes=(), order=order))
    shape = [series.shape[dim] for dim in dims]
    axes, notes = find_axes("TIFF", path, signal, shape)
    kept = "".join(letters[dim] for dim in dims)
    original = signal.get("original_metadata") or {}
    axes = calibrate_axes(series, number, kept, axes, original)
    metadata = clean_json(map_metadata("TIFF", path, signal))
    channels = COLOUR_CHANNELS[: series.shape[colour]] if colour is not None else ()
    return Found(
        title=plain_text(find_value(metadata, "General.title")),
        base=base,
        axes=axes,
        channels=channels,
        hints=Hints(pages="a TIFF file holds page after page" * (len(dims) == 4)),  # noqa: PLR2004 - a scan
        metadata=metadata,
        original=clean_json(original),
        notes=(*notes, *_notes(series, axes)),
    )


def _notes(series: TiffPageSeries, axes: Sequence[FoundAxis]) -> tuple[str, ...]:
    notes = []
    if int(series.keyframe.photometric) == _PALETTE:
        notes.append("its values are places in a palette of colours, which is in the metadata")
    smaller = len(series.levels) - 1
    if smaller:
        notes.append(
            f"{smaller} smaller versions of the image are left out: --scan-step is for that"
        )
    return (*notes, *resolution_note(series.keyframe, axes))


def _colour_dim(series: TiffPageSeries) -> int | None:
    """Return the dim of red, green, blue (and alpha); None where there is none."""
    dim = int(series.axes.find("S"))
    if dim < 0 or int(series.keyframe.photometric) != _RGB:
        return None
    return dim if series.shape[dim] in (3, 4) and series.dtype.kind == "u" else None


def _check(path: Path, stamp: Stamp, series: TiffPageSeries) -> None:
    """Refuse what tifffile would fill with zeros: docs/upstream/tifffile-missing-planes.md.

    Raises
    ------
    UnsupportedDataError
        Planes are in other files.
    CorruptFileError, TruncatedFileError
        Planes are missing, or the file ends before the last one does.
    """
    if series.is_multifile:
        msg = "its planes are in several files"
        hint = "save it as one file, for example with ImageJ"
        raise UnsupportedDataError(msg, path=path, hint=hint)
    pages = series.pages
    missing = sum(page is None for page in pages)
    if missing:
        msg = f"{missing} of the {len(pages)} planes that its metadata declares are missing"
        raise CorruptFileError(msg, path=path, hint="copy it again")
    end = max(_end(page) for page in pages if page is not None)
    if series.dataoffset is not None:
        end = max(end, series.dataoffset + series.nbytes)
    if end > stamp.size:
        msg = f"has {stamp.size} of the {end} bytes that its pages declare"
        raise TruncatedFileError(msg, path=path, hint="copy it again")
    if series.dataoffset is None and series.keyframe.nbytes > WHOLE_BYTES:
        msg = f"a page of it unpacks to {series.keyframe.nbytes} bytes"
        hint = "save it uncompressed: such files are read in parts"
        raise UnsupportedDataError(msg, path=path, hint=hint)


def _end(page: TiffPage | TiffFrame) -> int:
    pairs = zip(page.dataoffsets, page.databytecounts, strict=True)
    return max((offset + count for offset, count in pairs), default=0)


def _blocks(path: Path, stamp: Stamp, number: int, series: TiffPageSeries) -> Blocks:
    """Return the values in the order of the file: one run of bytes, else page by page."""
    dtype = series.dtype.newbyteorder("<")
    if series.dataoffset is not None:
        stored = series.dtype.newbyteorder(series.keyframe.parent.byteorder)
        return RawBlocks(
            path=path, stamp=stamp, offset=series.dataoffset, disk_shape=series.shape, stored=stored
        )
    page = series.keyframe.shape
    leading = series.shape[: len(series.shape) - len(page)]
    some = contiguous_block(leading, series.keyframe.nbytes) if leading else ()
    return TiffBlocks(
        path=path,
        stamp=stamp,
        series=number,
        shape=series.shape,
        dtype=dtype,
        block_shape=(*some, *page),
    )


def _library_signals(path: Path) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """Return what RosettaSciIO says of each series, without its values; nothing where it fails."""
    failure = ""
    with quiet():
        try:
            reader = importlib.import_module("rsciio.tiff").file_reader
            # "data": the positions of an uneven axis as they are, not straightened
            signals = reader(str(path), lazy=True, hamamatsu_streak_axis_type="data")
        except ImportError as error:
            msg = f"a TIFF file needs {error.name or error}, which is not installed"
            hint = "pip install 'stemzarr[formats]'"
            raise MissingDependencyError(msg, path=path, hint=hint) from error
        except Exception as error:  # noqa: BLE001 - foreign code raises anything
            failure = f"{type(error).__name__}: {one_line(error)}"
            signals = []
        for signal in signals:
            del signal["data"]
        gc.collect()  # the plugin leaves the file open: it is closed here, in quiet
    if failure:
        return [], (f"RosettaSciIO cannot read its metadata: {failure}",)
    return signals, ()


class _OpenTiff:
    """An open file that is closed with its last user."""

    def __init__(self, path: Path) -> None:
        import tifffile

        self.tiff = tifffile.TiffFile(path)

    def __del__(self) -> None:
        if hasattr(self, "tiff"):
            self.tiff.close()


@cache_open_files(4)
def _open(path: Path, _stamp: Stamp, _process: int) -> _OpenTiff:
    with quiet():
        return _open_new(path)


def _open_new(path: Path) -> _OpenTiff:
    with parsing(path, "is not a TIFF file that can be read", NOT_OF_SUFFIX):
        return _OpenTiff(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class TiffBlocks(FileBlocks):
    """Values of a series of pages, each decoded as it is asked for."""

    series: int
    """Place of the series among those of the file."""

    def fill(self, out: NDArray[Any], start: Sequence[int]) -> None:
        """Fill `out` with the box of its shape at `start`."""
        with _LOCK, quiet():
            self._fill(out, start)

    def failure(self) -> tuple[str, str]:
        """Return what is said where tifffile fails, and what to do about it."""
        return "a page cannot be decoded", "the file may be damaged"

    def _fill(self, out: NDArray[Any], start: Sequence[int]) -> None:
        series = _open(self.path, self.stamp, os.getpid()).tiff.series[self.series]
        page_shape = series.keyframe.shape
        lead = len(self.shape) - len(page_shape)
        inner = box_of(start[lead:], out.shape[lead:])
        for place in np.ndindex(out.shape[:lead]):
            at = tuple(a + b for a, b in zip(start[:lead], place, strict=True))
            number = int(np.ravel_multi_index(at, self.shape[:lead])) if lead else 0
            page = series.pages[number]
            if page is None:
                msg = f"plane {number} is missing"
                raise IndexError(msg)
            values = page.asarray().reshape(page_shape)
            np.copyto(out[place], values[inner])
