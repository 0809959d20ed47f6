"""Counted electrons: for each frame the pixels that were hit, as stempy and py4DSTEM write them.

The dense patterns are made box by box while they are read, never as a whole. The lengths of the
lists, which are beside their addresses, say how wide a count may grow; every position that the
scan's shape declares must have a frame, or the file is incomplete.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import CorruptFileError, OptionError, UnsupportedDataError
from stemzarr.formats.found import Found
from stemzarr.formats.hdf5.files import Hdf5Blocks, groups_of, member
from stemzarr.formats.labelling import FoundAxis, Hints
from stemzarr.metadata.clean import clean_json
from stemzarr.metadata.finding import positive_number
from stemzarr.model import box_of
from stemzarr.options import ReadOptions
from stemzarr.storage.objects import Stamp

__all__ = ["EventBlocks", "find_events"]

_GROUP: Final = "electron_events"
_FRAMES: Final = "frames"
_POSITIONS: Final = "scan_positions"
_BLOCK_BYTES: Final = 16 * 1024**2
_MOST_PATTERN_BYTES: Final = 256 * 1024**2
_FRAMES_AT_ONCE: Final = 128
_REFERENCE_BYTES: Final = 16
_SHAPES: Final = "attributes Nx (columns) and Ny (rows)"


def find_events(file: h5py.File, path: Path, stamp: Stamp, options: ReadOptions) -> list[Found]:
    """Return the counted scans of a file, nothing where there are none.

    Raises
    ------
    UnsupportedDataError
        The file does not say how large the detector or the scan is, or one pattern is too large.
    CorruptFileError
        Frames and scan positions do not fit each other.
    OptionError
        ``scan_shape`` has more positions than the file, and no salvage was asked for.
    """
    return [
        _found(group, path, stamp, options) for _, group in groups_of(file) if _is_counted(group)
    ]


def _is_counted(group: h5py.Group) -> bool:
    frames = member(group, _FRAMES)
    if frames is None or not 1 <= len(frames.shape or ()) <= 2:  # noqa: PLR2004 - positions, frames
        return False
    base = h5py.check_vlen_dtype(frames.dtype)
    return base is not None and np.dtype(base).kind in "iu" and 0 not in frames.shape


def _found(group: h5py.Group, path: Path, stamp: Stamp, options: ReadOptions) -> Found:
    frames = group[_FRAMES]
    name = str(frames.name)
    detector = _shape_of(frames)
    positions = _positions(group, path)
    count = int(positions.max()) + 1
    declared = _shape_of(group.get(_POSITIONS))
    scan = options.scan_shape or declared
    if detector is None or scan is None:
        raise _shapeless(path, frames, detector)
    total = math.prod(scan)
    held = count if declared is None else math.prod(declared)
    if total > held and not options.salvage:
        msg = f"a scan of {scan[0]} x {scan[1]} needs {total} patterns, it holds {held}"
        raise OptionError(msg, path=path, hint="give --scan-shape rows,columns of the whole scan")
    if count > total:
        msg = f"{name!r} has frames for {count} positions, not {scan[0]} x {scan[1]}"
        raise CorruptFileError(msg, path=path, hint="give --scan-shape rows,columns of the scan")
    dtype = _counting_type(frames, positions)
    patterns = _BLOCK_BYTES // (math.prod(detector) * dtype.itemsize)
    blocks = EventBlocks(
        path=path,
        stamp=stamp,
        name=str(group.name),
        shape=(*scan, *detector),
        dtype=dtype,
        block_shape=(1, min(scan[1], max(1, patterns)), *detector),
    )
    if math.prod(detector) * dtype.itemsize > _MOST_PATTERN_BYTES:
        msg = f"one pattern of {name!r} has {detector[0]} x {detector[1]} pixels"
        raise UnsupportedDataError(
            msg, path=path, hint="bin the events with the program that counted them"
        )
    filled = len(np.unique(positions))
    notes = [f"counted electrons: {frames.size} frames are added up at {filled} positions"]
    if detector[0] != detector[1]:
        notes.append(
            f"Nx = {detector[1]} is taken for the columns of the detector, Ny for its rows"
        )
    return Found(
        title="" if str(group.name).strip("/") in ("", _GROUP) else str(group.name).strip("/"),
        base=blocks,
        axes=tuple(
            FoundAxis(size=size, name=axis)
            for size, axis in zip(blocks.shape, ("y", "x", "det_y", "det_x"), strict=True)
        ),
        hints=Hints(
            signal_type="electron_diffraction", frames="each list of electrons is one frame"
        ),
        notes=tuple(notes),
        missing="" if filled == total else f"frames of {filled} of {total} positions are on disk",
        address=name,
    )


def _shape_of(data: object) -> tuple[int, int] | None:
    """Return rows and columns as the attributes of a data set give them."""
    if not isinstance(data, h5py.Dataset):
        return None
    numbers = [positive_number(clean_json(data.attrs.get(name))) for name in ("Ny", "Nx")]
    if None in numbers:
        both = clean_json(data.attrs.get("frame_dimensions"))
        if isinstance(both, list) and len(both) == 2:  # noqa: PLR2004 - columns, rows
            numbers = [positive_number(both[1]), positive_number(both[0])]
    if None in numbers or any(number != int(number or 0) for number in numbers):
        return None
    rows, columns = (int(number or 0) for number in numbers)
    return rows, columns


def _shapeless(
    path: Path, frames: h5py.Dataset, detector: tuple[int, int] | None
) -> UnsupportedDataError:
    """Return the refusal of counted electrons whose place nobody can know."""
    name = str(frames.name).strip("/")
    what = "scan" if detector else "detector"
    msg = f"{name!r} ({frames.size} frames of counted electrons) names no {what} size"
    hint = f"give --scan-shape rows,columns: the {_SHAPES} of {_POSITIONS} are missing"
    if not detector:
        hint = (
            f"its {_SHAPES} are missing: add them with h5py, then give --scan-shape where the "
            "scan is unknown too; --dataset PATH takes another data set"
        )
    return UnsupportedDataError(msg, path=path, hint=hint)


def _positions(group: h5py.Group, path: Path) -> NDArray[np.int64]:
    """Return the scan position of each frame, counted along the rows, shape (frames,).

    Raises
    ------
    CorruptFileError
        Another number of positions than of frames is given, or one that is negative.
    """
    frames = group[_FRAMES]
    data = group.get(_POSITIONS)
    rows = frames.shape[0]
    each = math.prod(frames.shape[1:])
    if isinstance(data, h5py.Dataset) and data.dtype.kind in "iu" and not data.external:
        places = np.asarray(data[()], np.int64).reshape(-1)
    else:
        places = np.arange(rows)
    if len(places) != rows:
        # several frames of a position follow one after the other, as stempy 3 writes them
        if not len(places) or rows % len(places):
            msg = f"{frames.name!r} has {rows} frames for {len(places)} scan positions"
            raise CorruptFileError(msg, path=path, hint="the file is damaged; copy it again")
        each *= rows // len(places)
    if places.min() < 0:
        msg = f"{group.name!r} has a negative scan position"
        raise CorruptFileError(msg, path=path, hint="the file is damaged; copy it again")
    return np.repeat(places, each)


def _counting_type(frames: h5py.Dataset, positions: NDArray[np.int64]) -> np.dtype[Any]:
    """Return the smallest type that holds all electrons of the fullest position in one pixel."""
    lengths = _lengths(frames)
    if lengths is None:
        return np.dtype("<u4")
    most = int(np.bincount(positions, weights=lengths).max())
    return np.min_scalar_type(most).newbyteorder("<") if most < 2**32 else np.dtype("<u8")


def _lengths(frames: h5py.Dataset) -> NDArray[np.uint32] | None:
    """Return the length of each list; None where the addresses are compressed.

    A list is stored as its length (4 bytes, little-endian), the address of its heap and a place
    in it: 16 bytes, HDF5 file format specification, IV.A.2.d, "variable-length".
    """
    parameters = frames.id.get_create_plist()
    if parameters.get_nfilters() or frames.dtype.itemsize == 0:
        return None
    count = int(frames.size)
    if frames.chunks is None:
        offset = frames.id.get_offset()
        if offset is None or frames.id.get_storage_size() != count * _REFERENCE_BYTES:
            return None
        with Path(frames.file.filename).open("rb") as file:
            file.seek(offset)
            content = file.read(count * _REFERENCE_BYTES)
        return _first_words(content, count)
    lengths = np.zeros(frames.shape, np.uint32)
    for number in range(frames.id.get_num_chunks()):
        corner = frames.id.get_chunk_info(number).chunk_offset
        content = frames.id.read_direct_chunk(corner)[1]
        words = _first_words(content, math.prod(frames.chunks))
        if words is None:
            return None
        box = box_of(corner, frames.chunks)
        inside = tuple(slice(0, n - a) for a, n in zip(corner, frames.shape, strict=True))
        lengths[box] = words.reshape(frames.chunks)[inside]
    return lengths.reshape(-1)


def _first_words(content: bytes, count: int) -> NDArray[np.uint32] | None:
    if len(content) != count * _REFERENCE_BYTES:
        return None
    return np.frombuffer(content, "<u4").reshape(count, _REFERENCE_BYTES // 4)[:, 0]


@functools.lru_cache(maxsize=4)
def _frames_by_position(blocks: EventBlocks) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return all frames sorted by position, and where those of each position begin."""
    with blocks.open() as group:
        places = _positions(group, blocks.path)
    order = np.argsort(places, kind="stable")
    return order, np.searchsorted(places[order], np.arange(math.prod(blocks.shape[:2]) + 1))


class EventBlocks(Hdf5Blocks):
    """Patterns (scan_y, scan_x, det_y, det_x) made of lists of pixels that were hit.

    Every mention of a pixel is one count, and all frames of a position add up.
    """

    __slots__ = ()

    def fill(self, out: NDArray[Any], start: Sequence[int]) -> None:
        """Fill `out` with the box of its shape at `start`."""
        out[...] = 0
        order, begins = _frames_by_position(self)
        with self.open() as group:
            frames = group[_FRAMES]
            for row in range(out.shape[0]):
                first = (start[0] + row) * self.shape[1] + start[1]
                bounds = begins[first : first + out.shape[1] + 1]
                self._read_row(frames, out[row], order, bounds, start[2:])

    def _read_row(
        self,
        frames: h5py.Dataset,
        out: NDArray[Any],
        order: NDArray[np.int64],
        bounds: NDArray[np.int64],
        corner: Sequence[int],
    ) -> None:
        """Add the frames of neighbouring positions to `out` (positions, det_y, det_x)."""
        for low in range(int(bounds[0]), int(bounds[-1]), _FRAMES_AT_ONCE):
            high = min(low + _FRAMES_AT_ONCE, int(bounds[-1]))
            owners = np.searchsorted(bounds, np.arange(low, high), side="right") - 1
            for owner, events in zip(owners, _lists(frames, order[low:high]), strict=True):
                self._add(out[owner], events, corner)

    def _add(self, out: NDArray[Any], events: NDArray[Any], corner: Sequence[int]) -> None:
        """Add one frame to a pattern."""
        rows, columns = self.shape[2:]
        least, most = (int(events.min()), int(events.max())) if events.size else (0, 0)
        if least < 0 or most >= rows * columns:
            msg = f"pixel {most} is hit in a detector of {rows} x {columns} pixels"
            raise CorruptFileError(msg, path=self.path, hint="check Nx and Ny of its frames")
        y, x = np.divmod(events.astype(np.int64), columns)
        y, x = y - corner[0], x - corner[1]
        inside = (y >= 0) & (y < out.shape[0]) & (x >= 0) & (x < out.shape[1])
        np.add.at(out, (y[inside], x[inside]), 1)


def _lists(frames: h5py.Dataset, numbers: NDArray[np.int64]) -> list[NDArray[Any]]:
    """Return the lists of some frames, neighbours in the file read at once."""
    width = math.prod(frames.shape[1:])
    lists: list[NDArray[Any]] = []
    cuts = np.flatnonzero(np.diff(numbers) != 1) + 1
    for run in np.split(numbers, cuts):
        first, last = int(run[0]), int(run[-1])
        if len(frames.shape) == 1:
            found = frames[first : last + 1]
        else:
            low = first // width
            rows = frames[low : last // width + 1].reshape(-1)
            found = rows[first - low * width : last + 1 - low * width]
        lists.extend(np.asarray(one) for one in found)
    return lists
