"""K2-IS recordings: a ``.gtg`` with tags, and eight ``.bin`` with a sector of the camera each.

A ``.bin`` is block after block of 22360 bytes: a header of 40 bytes, big-endian, and 930 x 16
pixels of 12 bits. 32 blocks make a sector of a frame, 1860 x 256. The eight computers begin and
stop by themselves, so that frames are put together by their numbers (after LiberTEM's reader).
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import (
    CorruptFileError,
    ReadError,
    SourceNotFoundError,
    StemzarrError,
    TruncatedFileError,
)
from stemzarr.format_row import FormatRow
from stemzarr.formats.dm.documents import read_documents
from stemzarr.formats.dm.facts import image_facts
from stemzarr.formats.dm.metadata import read_metadata
from stemzarr.formats.dm.tags import TagTree, read_tags
from stemzarr.formats.found import FileFacts, Found, build_source, refuse_dataset
from stemzarr.formats.frames import FrameRun
from stemzarr.formats.labelling import FoundAxis, Hints
from stemzarr.metadata.finding import Facts, facts_below
from stemzarr.model import Source
from stemzarr.options import ReadOptions
from stemzarr.recognition import parts_of
from stemzarr.storage.files import open_shared, read_positioned
from stemzarr.storage.objects import Stamp

__all__ = ["BLOCK_BYTES", "FORMATS", "HEADER", "K2Blocks", "is_k2is", "read_k2is"]

FORMATS = (
    FormatRow(
        name="K2-IS",
        formats=("k2is",),
        suffixes=(".gtg",),
        read="frames of the eight `.bin`, as the scan that the tags declare; images of the `.gtg`",
        lazy="the blocks of each frame that a box touches",
        complete="frames that all eight sectors hold as a whole against the scan's shape",
        unseen="frames lost at the end of a recording that is no scan",
        writers=("k2is",),
    ),
)
"""Rows of docs/formats.md."""

HEADER: Final = np.dtype(
    [
        ("sync", ">u4"),
        ("unknown", "V4"),
        ("version", "u1"),
        ("flags", "u1"),
        ("unknown_too", "V6"),
        ("block_count", ">u4"),
        ("width", ">u2"),
        ("height", ">u2"),
        ("frame_id", ">u4"),
        ("x_start", ">u2"),
        ("y_start", ">u2"),
        ("x_end", ">u2"),
        ("y_end", ">u2"),
        ("block_size", ">u4"),
    ]
)
"""Header of a block, 40 bytes."""
BLOCK_BYTES: Final = 0x5758
_SYNC: Final = 0xFFFF0055
_SECTORS: Final = 8
_BLOCKS: Final = 32
_ACROSS: Final = 16
"""Blocks beside one another in a sector; the first is the rightmost."""
_ROWS, _COLUMNS = 930, 16
_HEIGHT, _WIDTH = 2 * _ROWS, _ACROSS * _COLUMNS
_SHUTTER: Final = 1
_EVIDENCE: Final = "a K2-IS writes frame after frame"
_PART: Final = re.compile(r"(\d)\.bin", re.IGNORECASE)


def is_k2is(path: Path, _head: bytes) -> bool:
    """Return whether a ``.gtg`` has one of its ``.bin`` beside it."""
    return bool(_sectors(path))


def _sectors(path: Path) -> dict[int, Path]:
    """Return the ``.bin`` of a ``.gtg`` by the number of the sector, from 1."""
    found = ((_PART.search(part.name), part) for part in parts_of(path))
    numbers = {int(match[1]): part for match, part in found if match is not None}
    return {number: numbers[number] for number in sorted(numbers) if 0 < number <= _SECTORS}


def read_k2is(path: Path, options: ReadOptions) -> Source:
    """Return the frames of a K2-IS, given by its ``.gtg``.

    Raises
    ------
    SourceNotFoundError
        Not all eight ``.bin`` are beside it.
    CorruptFileError
        A ``.bin`` is not made of blocks of a K2-IS.
    TruncatedFileError, OptionError
        No frame is whole; the frames do not make the scan that was asked for.
    """
    refuse_dataset(path, options)
    sectors = _sectors(path)
    if len(sectors) < _SECTORS:
        lost = ", ".join(str(n) for n in range(1, _SECTORS + 1) if n not in sectors)
        msg = f"{_SECTORS - len(sectors)} of its {_SECTORS} .bin are not beside it: number {lost}"
        raise SourceNotFoundError(msg, path=path, hint="copy all of them into one folder")
    tree = read_tags(path)
    files = tuple(sectors.values())
    frames = _common([_read_sector(file) for file in files], files, path)
    run, outside = _run(frames, _declared_scan(tree), options)
    whole = Found(
        title="",
        base=run.blocks,
        axes=tuple(FoundAxis(size=n) for n in (0, 0, _HEIGHT, _SECTORS * _WIDTH)),
        hints=Hints(signal_type="electron_diffraction" if run.scan else "", frames=_EVIDENCE),
        facts=_facts(tree.root.group("SI Image Tags")),
        notes=outside,
    )
    further, notes = _further(tree, path)
    file = FileFacts(
        format="k2is",
        load_metadata=functools.partial(read_metadata, path),
        notes=(*run.notes, *notes),
        complete=run.complete and tree.early_end is None,
        parts=files,
    )
    return build_source(path, file, [*run.find(whole, options, path), *further], options)


def _declared_scan(tree: TagTree) -> tuple[int, int] | None:
    """Return (scan_y, scan_x) as the tags declare it, None where it is no scan."""
    sizes = [tree.root.value("SI Dimensions", f"Size {axis}") for axis in "YX"]
    rows, columns = (
        int(size) if isinstance(size, int | float) and 0 < size < 1 << 31 else 0 for size in sizes
    )
    return (rows, columns) if rows * columns else None


def _facts(tags: Any) -> Facts:  # noqa: ANN401 - TagGroup
    found = {"detector": ("K2-IS", "")} | image_facts(tags)
    return facts_below("SI Image Tags", found)


def _further(tree: TagTree, path: Path) -> tuple[list[Found], tuple[str, ...]]:
    """Return the images that the ``.gtg`` holds by itself, and what cannot be read of it."""
    if tree.early_end is not None:
        return [], (f"{path.name} ends early: tags and images behind that are lost",)
    try:
        images = read_documents(tree, ReadOptions(), path=path)
    except StemzarrError as error:
        return [], (f"images of {path.name} are left out: {error.message}",)
    documents = images.documents
    return [
        Found(
            title=one.title,
            base=one.blocks,
            axes=(),
            document=one,
            notes=one.notes,
            thumbnail=one.thumbnail,
        )
        for one in documents
    ], images.notes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Frames:
    """Frames that are whole, with where each begins."""

    ids: NDArray[np.int64]
    """Number of each frame as the camera counts, rising."""
    offsets: NDArray[np.int64]
    """First byte of each, shape (frame,) for a sector and (sector, frame) for all."""
    files: tuple[Path, ...]
    """The file of each sector."""

    step: int = 1
    """By how much the number of a frame is above that of the one before."""
    opened: int | None = None
    """Number of the first frame with the mark of the shutter; None where all or none have it."""


def _read_header(file: Path, block: int) -> Any:  # noqa: ANN401 - a record of HEADER
    raw = bytearray(HEADER.itemsize)
    read_positioned(file, memoryview(raw), block * BLOCK_BYTES)
    return np.frombuffer(raw, HEADER)[0]


def _is_block(header: Any) -> bool:  # noqa: ANN401 - a record of HEADER
    found = (int(header["sync"]), int(header["width"]), int(header["height"]))
    return found == (_SYNC, _WIDTH, _HEIGHT)


def _read_sector(file: Path) -> _Frames:
    """Return the whole frames of a sector, how they are counted, and where the shutter opened."""
    found = _find_frames(file)
    step = int(np.diff(found.ids).min()) if found.ids.size > 1 else 0
    return replace(found, step=step, opened=_first_open(found) if found.ids.size else None)


def _find_frames(file: Path) -> _Frames:
    """Return the whole frames of a sector: by its ends where they agree, else block by block."""
    blocks = Stamp.of(file).size // BLOCK_BYTES
    ids = np.fromiter(_ids(file, range(min(blocks, 2 * _BLOCKS))), np.int64)
    if not (ids >= 0).any():
        msg = f"{file.name} is not made of blocks of a K2-IS" if blocks else "holds no whole block"
        raise CorruptFileError(msg, path=file, hint="copy it again from its origin")
    lead = int(np.argmax(ids != ids[0])) if (ids != ids[0]).any() else 0
    first, frames = lead % _BLOCKS, (blocks - lead % _BLOCKS) // _BLOCKS
    if frames > 1:
        ends = [first, first + _BLOCKS - 1, first + _BLOCKS, first + (frames - 1) * _BLOCKS]
        a, b, c, d = _ids(file, ends)
        (e,) = _ids(file, [first + frames * _BLOCKS - 1])
        if a == b >= 0 and d == e == a + (frames - 1) * (c - a) and c > a:
            starts = first + _BLOCKS * np.arange(frames, dtype=np.int64)
            rising = a + (c - a) * np.arange(frames, dtype=np.int64)
            return _Frames(ids=rising, offsets=starts * BLOCK_BYTES, files=(file,))
    every = np.fromiter(_ids(file, range(blocks)), np.int64)
    starts = np.flatnonzero(np.diff(every, prepend=-2))
    whole = (np.diff(starts, append=blocks) == _BLOCKS) & (every[starts] >= 0)
    kept, place = np.unique(every[starts[whole]], return_index=True)
    offsets = starts[whole][place] * BLOCK_BYTES
    return _Frames(ids=kept, offsets=offsets, files=(file,))


def _ids(file: Path, blocks: Sequence[int]) -> Iterator[int]:
    """Iterate over the numbers of the frames of blocks; -1 where a block is none."""
    for block in blocks:
        header = _read_header(file, block)
        yield int(header["frame_id"]) if _is_block(header) else -1


def _common(sectors: list[_Frames], files: tuple[Path, ...], path: Path) -> _Frames:
    """Return the frames that all sectors hold.

    Raises
    ------
    TruncatedFileError
        There are none.
    CorruptFileError
        The blocks of a frame are not in the order that is known.
    """
    ids = functools.reduce(np.intersect1d, (one.ids for one in sectors))
    if not ids.size:
        msg = "holds no frame that is whole in all eight .bin"
        raise TruncatedFileError(msg, path=path, hint="copy all files again from their origin")
    offsets = np.stack([one.offsets[np.searchsorted(one.ids, ids)] for one in sectors])
    for file, offset in zip(files, offsets[:, 0].tolist(), strict=True):
        headers = [_read_header(file, offset // BLOCK_BYTES + n) for n in range(_BLOCKS)]
        places = [(int(one["y_start"]), int(one["x_start"])) for one in headers]
        columns = range((_ACROSS - 1) * _COLUMNS, -1, -_COLUMNS)
        if places != list(itertools.product((0, _ROWS), columns)):
            msg = f"the blocks of a frame are not from right to left in {file.name}"
            raise CorruptFileError(msg, path=path, hint="only frames of 1860 x 2048 are read")
    opened = [one.opened for one in sectors if one.opened is not None]
    return _Frames(
        ids=ids,
        offsets=offsets,
        files=files,
        step=min((one.step for one in sectors if one.step), default=1),
        opened=min(opened, default=None),
    )


def _run(
    frames: _Frames, scan: tuple[int, int] | None, options: ReadOptions
) -> tuple[FrameRun, tuple[str, ...]]:
    """Return the frames of a scan, or all of a series, and what is said of the others."""
    numbers = (frames.ids - frames.ids[0]) // frames.step
    asked = options.scan_shape
    if scan is None or (asked is not None and asked[0] * asked[1] == numbers.size):
        lost = int(numbers[-1]) + 1 - numbers.size
        missing = (f"{lost} frames between others are lost",) if lost else ()
        run = FrameRun(parts=_parts(frames, numbers), missing=missing, evidence=_EVIDENCE)
        return run, ()
    declared, opened = scan[0] * scan[1], frames.opened
    if opened is not None:
        # The mark of the shutter comes one frame late.
        numbers = numbers - ((opened - int(frames.ids[0])) // frames.step - 1)
    inside = (numbers >= 0) & (numbers < declared)
    if not inside.any():
        inside[:] = True
    run = FrameRun(
        parts=_parts(frames, np.where(inside, numbers, -1)),
        declared=declared,
        scan=scan,
        scan_evidence="SI Dimensions of the .gtg"
        + ("" if opened is None else ", from the frame before the mark of the shutter on"),
        scan_certain=opened is not None,
        evidence=_EVIDENCE,
    )
    before, behind = int((numbers < 0).sum()), int((numbers >= declared).sum())
    note = (
        f"{before} frames before the scan and {behind} behind it are left out: "
        f"--scan-shape 1,{numbers.size} takes all"
    )
    return run, (note,) if before + behind else ()


def _first_open(frames: _Frames) -> int | None:
    """Return the number of the first frame with the mark; None where all or none have it."""

    def is_open(place: int) -> bool:
        header = _read_header(frames.files[0], int(frames.offsets[place]) // BLOCK_BYTES)
        return bool(header["flags"] & _SHUTTER)

    low, high = 0, frames.ids.size - 1
    if is_open(low) or not is_open(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_open(middle) else (middle, high)
    return int(frames.ids[high])


def _parts(frames: _Frames, numbers: NDArray[np.int64]) -> tuple[tuple[int, K2Blocks], ...]:
    """Return runs of frames that follow one another in all files; those below 0 are left out."""
    kept = np.flatnonzero(numbers >= 0)
    ids, offsets, numbers = frames.ids[kept], frames.offsets[:, kept], numbers[kept]
    broken = (np.diff(offsets, axis=1) != _BLOCKS * BLOCK_BYTES).any(axis=0)
    broken |= np.diff(ids) != frames.step
    stamps = tuple(map(Stamp.of, frames.files))
    return tuple(
        (
            int(numbers[run[0]]),
            K2Blocks(
                files=frames.files,
                stamps=stamps,
                offsets=tuple(offsets[:, run[0]].tolist()),
                first_id=int(ids[run[0]]),
                step=frames.step,
                frames=run.size,
            ),
        )
        for run in np.split(np.arange(kept.size), np.flatnonzero(broken) + 1)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class K2Blocks:
    """Frames (frame, det_y, det_x) that follow one another in all files. Picklable."""

    files: tuple[Path, ...]
    """The ``.bin`` of each sector, from left to right."""
    stamps: tuple[Stamp, ...]
    """What they were when they were recognised."""
    offsets: tuple[int, ...]
    """First byte of the first frame in each."""
    first_id: int
    """Number of the first frame, as its blocks say it."""
    step: int
    """By how much the number of a frame is above that of the one before."""
    frames: int
    """How many frames there are."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the dims."""
        return (self.frames, _HEIGHT, _SECTORS * _WIDTH)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values, which have 12 bits."""
        return np.dtype("<u2")

    @property
    def block_shape(self) -> tuple[int, ...]:
        """One frame."""
        return (1, *self.shape[1:])

    def read_into(self, out: NDArray[Any], start: Sequence[int]) -> None:
        """Fill `out` with the box of its shape at `start`.

        Raises
        ------
        SourceChangedError, ReadError
            A file is another one by now, or cannot be read, or a block is not that of its frame.
        """
        if not out.size:
            return
        y, x = start[1:]
        last = (x + out.shape[2] - 1) // _COLUMNS
        for place, column in itertools.product(
            range(out.shape[0]), range(x // _COLUMNS // _ACROSS, last // _ACROSS + 1)
        ):
            low = max(x // _COLUMNS - column * _ACROSS, 0)
            high = min(last - column * _ACROSS, _ACROSS - 1)
            for half in range(y // _ROWS, (y + out.shape[1] - 1) // _ROWS + 1):
                rows = slice(max(y - half * _ROWS, 0), y + out.shape[1] - half * _ROWS)
                first = half * _ACROSS + _ACROSS - 1 - high
                values = self._read(column, start[0] + place, first, high - low + 1)[rows]
                left = (column * _ACROSS + low) * _COLUMNS
                above = max(half * _ROWS - y, 0)
                begin, end = max(x - left, 0), x + out.shape[2] - left
                cut = values[:, begin:end]
                at = left + begin - x
                out[place, above : above + len(cut), at : at + cut.shape[1]] = cut

    def _read(self, sector: int, frame: int, first: int, count: int) -> NDArray[np.uint16]:
        """Return the pixels (row, column) of blocks beside one another, checked by headers."""
        raw = np.empty((count, BLOCK_BYTES), np.uint8)
        offset = self.offsets[sector] + (frame * _BLOCKS + first) * BLOCK_BYTES
        file = self.files[sector]
        open_shared(file, self.stamps[sector]).read_into(raw.reshape(-1).data, offset)
        headers = raw[:, : HEADER.itemsize].copy().view(HEADER)[:, 0]
        good = (headers["sync"] == _SYNC) & (
            headers["frame_id"] == self.first_id + frame * self.step
        )
        if not good.all():
            at = offset + int(np.argmin(good)) * BLOCK_BYTES
            msg = f"the block at byte {at} of {file.name} is not one of frame {frame}"
            raise ReadError(msg, path=file, hint="copy it again from its origin")
        low, middle, high = (
            raw[:, HEADER.itemsize + n :: 3].reshape(count, _ROWS, -1).astype(np.uint16)
            for n in range(3)
        )
        pairs = np.stack([low | (middle & 15) << 8, middle >> 4 | high << 4], axis=-1)
        rows = pairs.reshape(count, _ROWS, _COLUMNS)[::-1].transpose(1, 0, 2)
        return rows.reshape(_ROWS, count * _COLUMNS)
