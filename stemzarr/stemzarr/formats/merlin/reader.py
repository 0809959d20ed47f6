"""Merlin acquisitions: a ``.mib`` with frame after frame, and the ``.hdr`` that describes them.

Each frame has a text before it; its rows are written from the bottom up. The shape of the scan is
what the ``.hdr`` says, else what the triggers or the moments of the frames show, else a guess.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import SourceNotFoundError, UnsupportedDataError
from stemzarr.format_row import FormatRow
from stemzarr.formats.found import FileFacts, Found, build_source, refuse_dataset
from stemzarr.formats.frames import FrameRun, place_frames
from stemzarr.formats.labelling import FoundAxis, Hints
from stemzarr.formats.merlin.header import (
    MAGIC,
    FrameHeader,
    Hdr,
    read_frame_header,
    read_hdr,
    read_last,
    read_numbers,
    read_times,
)
from stemzarr.metadata.clean import clean_json
from stemzarr.metadata.finding import Facts, iso_datetime
from stemzarr.model import Fact, Source
from stemzarr.options import ReadOptions
from stemzarr.pixels.raw import RawBlocks
from stemzarr.pixels.reordered import SqueezedBlocks
from stemzarr.storage.acquisitions import find_beside
from stemzarr.storage.objects import Stamp

__all__ = ["FORMATS", "find_facts", "is_merlin", "read_merlin"]

FORMATS = (
    FormatRow(
        name="Merlin (Quantum Detectors)",
        formats=("mib",),
        read="the frames, a scan where ScanX and ScanY, triggers or pauses say so; the `.hdr`",
        lazy="each frame at its place in the file",
        complete="frames on disk against those that `.hdr` and scan declare",
        unseen="frames lost at the end of a file without a `.hdr`",
        samples=("formats/Merlin_navigation4x2_ROI.zip",),
        writers=("mib",),
    ),
)
"""Rows of docs/formats.md."""


_EVIDENCE: Final = "a Merlin writes pattern after pattern"
_MOST_TIMES: Final = 8192
_CLEAR: Final = 4.0
_TELLING: Final = 4.0
_IN_FRAMES: Final = "Frames in Acquisition"
_IN_TRIGGER: Final = "Frames per Trigger"


def is_merlin(path: Path, head: bytes) -> bool:
    """Return whether a file is frames of a Merlin, or the ``.hdr`` of one file of them.

    The ``.hdr`` of frames that have a file each (``scan_0001.mib`` …) describes none of them.
    """
    if head.startswith(MAGIC):
        return True
    if path.suffix.lower() != ".hdr" or not head.startswith(b"HDR,"):
        return False
    numbered = re.compile(re.escape(path.stem) + r"_?\d+\.mib", re.IGNORECASE)
    try:
        return not any(numbered.fullmatch(one.name) for one in path.parent.iterdir())
    except OSError:
        return True


def read_merlin(path: Path, options: ReadOptions) -> Source:
    """Return the frames of a ``.mib``, as a scan where its shape is known.

    Raises
    ------
    UnsupportedDataError
        It is a ``.hdr``: the ``.mib`` is the file to give. Or its values are raw.
    SourceNotFoundError
        The ``.mib`` of a ``.hdr`` is not beside it.
    CorruptFileError, TruncatedFileError
        It has no frames, or not all of one size.
    OptionError
        The frames do not make the scan that was asked for.
    """
    refuse_dataset(path, options)
    if path.suffix.lower() == ".hdr":
        _refuse_hdr(path)
    header = read_frame_header(path)
    hdr_path, hdr, note = read_hdr(path)
    parts = () if hdr_path is None else (hdr_path,)
    frames = _Frames.of(path, header)
    run, numbers, notes = _run(frames, hdr, options)
    scan = (FoundAxis(size=0, name="scan_y"), FoundAxis(size=0, name="scan_x"))
    whole = Found(
        title="",
        base=frames.blocks,
        axes=(*scan, *(FoundAxis(size=size) for size in header.frame)),
        hints=Hints(signal_type="electron_diffraction", frames=_EVIDENCE),
        facts=find_facts(header, hdr),
        notes=notes,
    )
    found = run.find(whole, options, path)
    if run.frames == 1 and run.complete:  # a single pattern has no dim that counts it
        base = SqueezedBlocks(run.blocks, (0,))
        found = [dataclasses.replace(found[0], base=base, axes=whole.axes[-2:])]
    tree = {"hdr": dict(hdr.fields)} if parts else {}
    file = FileFacts(
        format="mib",
        load_metadata=functools.partial(dict, clean_json({**tree, "frame": header.text})),
        notes=tuple(filter(None, (note, *run.notes, _lost(frames, numbers)))),
        complete=run.complete,
        parts=parts,
    )
    return build_source(path, file, found, options)


def _lost(frames: _Frames, numbers: NDArray[np.int64] | None) -> str:
    """Return a note where the frames are numbered further than there are frames."""
    ends = frames.numbers((0, frames.count - 1)) if frames.count > 1 else None
    if ends is None or ends[1] - ends[0] < frames.count:
        return ""
    lost = ends[1] - ends[0] + 1 - frames.count
    where = "the others are where their numbers say"
    if numbers is None:
        where = "the patterns behind are not at their positions"
    return (
        f"the frames are numbered from {ends[0]} to {ends[1]}, so {lost} between them were lost, "
        f"and {where}"
    )


def _refuse_hdr(path: Path) -> None:
    lead = find_beside(path, f"{path.stem}.mib")
    if lead is None:
        msg = f"its frames, {path.stem}.mib, are not beside it"
        raise SourceNotFoundError(msg, path=path, hint="copy both into one folder")
    msg = f"describes the frames in {lead.name}"
    raise UnsupportedDataError(msg, path=path, hint=f"give {lead.name} instead")


_Known = tuple[tuple[int, int] | None, str, bool]
"""Shape (scan_y, scan_x) of a scan or None, why, and whether it was read rather than guessed."""
_NO_SCAN: Final[_Known] = (None, "", True)


def _run(
    frames: _Frames, hdr: Hdr, options: ReadOptions
) -> tuple[FrameRun, NDArray[np.int64] | None, tuple[str, ...]]:
    """Return the frames, the places of those of a salvage, and what is said of their scan."""
    count, asked = frames.count, options.scan_shape
    declared, scan = hdr.number(_IN_FRAMES), hdr.scan
    per_trigger = hdr.number(_IN_TRIGGER)
    stopped = declared == count and math.prod(asked or ()) != count
    if scan is not None and (declared is None or (stopped and count < math.prod(scan))):
        # A scan that was stopped declares what there is beside what there was to be.
        declared = math.prod(scan)
    line = _idle_line(scan, declared, per_trigger, count, frames)
    if line:
        declared = count
    run = FrameRun(
        parts=((0, frames.blocks),),
        declared=declared,
        scan=_declared_scan(scan, declared, per_trigger),
        beyond=frames.beyond,
        evidence=_EVIDENCE,
    )
    numbers = None
    if options.salvage and not run.complete:
        numbers = frames.places(declared if asked is None else math.prod(asked))
        line = _idle_line(scan, declared, per_trigger, declared or 0, frames)
    if scan is not None and line and asked in (None, scan):
        return _without_idle(run, frames, scan, line, numbers)
    if numbers is not None:
        run = dataclasses.replace(run, parts=place_frames(numbers, frames.cut))
    if not run.complete or asked is not None:
        return run, numbers, ()
    (shape, why, sure), note = _scan_of(scan, per_trigger, frames)
    run = dataclasses.replace(run, scan=shape, scan_evidence=why, scan_certain=sure)
    return run, numbers, (note,) if note else ()


def _without_idle(
    run: FrameRun,
    frames: _Frames,
    scan: tuple[int, int],
    line: int,
    numbers: NDArray[np.int64] | None,
) -> tuple[FrameRun, NDArray[np.int64] | None, tuple[str, ...]]:
    """Return the scan without the frames that were taken while the beam went back to a line."""
    rows, columns = scan
    places = np.arange(frames.count) if numbers is None else numbers
    kept = np.where(places % line < columns, places // line * columns + places % line, -1)
    run = dataclasses.replace(
        run,
        parts=place_frames(kept, frames.cut),
        declared=rows * columns,
        scan=scan,
        scan_evidence="ScanX and ScanY of the .hdr, the rest of each line is idle",
    )
    note = (
        f"{np.count_nonzero(kept < 0)} of {frames.count} patterns are idle and left out, "
        f"{line - columns} at the end of each line of {line}; --scan-shape {rows},{line} takes all"
    )
    return run, numbers, (note,)


def _declared_scan(
    scan: tuple[int, int] | None, declared: int | None, per_trigger: int | None
) -> tuple[int, int] | None:
    """Return the shape that all declared frames make, for a salvage."""
    if declared is None:
        return None
    lines = None if scan is None else scan[0]
    if scan is not None and lines and declared % lines == 0 and declared // lines >= scan[1]:
        return lines, declared // lines
    if scan is None and per_trigger and 1 < per_trigger < declared and declared % per_trigger == 0:
        return declared // per_trigger, per_trigger
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Frames:
    """The frames of a file, and what their headers say where it is asked for."""

    path: Path
    header: FrameHeader
    blocks: RawBlocks
    count: int
    beyond: int

    @classmethod
    def of(cls, path: Path, header: FrameHeader) -> _Frames:
        """Return the frames of a file whose first has a header."""
        stamp = Stamp.of(path)
        stride = header.nbytes + math.prod(header.frame) * header.stored.itemsize
        count, beyond = divmod(stamp.size, stride)
        if count:
            read_last(path, stride, count)
        blocks = RawBlocks(
            path=path,
            stamp=stamp,
            offset=header.nbytes,
            disk_shape=(count, *header.frame),
            stored=header.stored,
            stride=stride,
            flipped=True,
            pattern_ndim=2,
        )
        return cls(path=path, header=header, blocks=blocks, count=count, beyond=beyond)

    @property
    def stride(self) -> int:
        """Bytes from one frame to the next."""
        return self.blocks.stride or 0

    def cut(self, first: int, end: int) -> RawBlocks:
        """Return the frames from number `first` up to `end`, which is not among them."""
        offset = self.blocks.offset + first * (self.blocks.stride or 0)
        shape = (end - first, *self.blocks.shape[1:])
        return dataclasses.replace(self.blocks, offset=offset, disk_shape=shape)

    def line(self) -> tuple[int, bool] | None:
        """Return the frames of a line, and whether it is sure; None where there are no lines."""
        count = min(self.count, _MOST_TIMES)
        times = read_times(self.path, self.header, self.stride, count)
        return None if times is None else _line_of(np.diff(times))

    def numbers(self, places: Sequence[int]) -> NDArray[np.int64] | None:
        """Return the numbers in the headers of some frames; None where one has none."""
        return read_numbers(self.path, self.stride, places)

    def places(self, positions: int | None) -> NDArray[np.int64] | None:
        """Return the place of each frame by its number; None where the numbers do not tell.

        An acquisition counts its frames from 1, so that the first ones may be lost, too.
        """
        numbers = self.numbers(range(self.count)) if self.count else None
        if numbers is None or positions is None or (np.diff(numbers) < 1).any():
            return None
        begin = 1 if numbers[0] >= 1 and numbers[-1] <= positions else numbers[0]
        places: NDArray[np.int64] = numbers - begin
        return places if places[-1] < positions else None


def _line_of(steps: NDArray[np.float64]) -> tuple[int, bool] | None:
    """Return after how many frames there is a pause each time, and whether it is sure.

    Parameters
    ----------
    steps
        Seconds from one frame to the next, shape (frames - 1,).
    """
    best: tuple[float, int] | None = None
    usual = float(np.median(steps)) if steps.size else 0.0
    for line in range(2, (steps.size + 1) // 2 + 1):
        ends = steps[line - 1 :: line]
        if ends.min() <= usual:
            continue
        inner = np.delete(steps, np.s_[line - 1 :: line])
        middle = float(np.median(inner))
        spread = float(inner.max()) - middle
        if ends.min() - middle > max(_CLEAR * spread, 0.05 * abs(middle)):
            return line, True
        noise = float(inner.std()) / math.sqrt(ends.size)
        score = (float(ends.mean()) - float(inner.mean())) / noise if noise > 0 else 0.0
        if score > _TELLING and (best is None or score > best[0]):
            best = score, line
    return None if best is None else (best[1], False)


def _idle_line(
    scan: tuple[int, int] | None,
    declared: int | None,
    per_trigger: int | None,
    count: int,
    frames: _Frames,
) -> int:
    """Return how many frames a line has with those at its end that are idle; 0 where none are."""
    if scan is None or count <= math.prod(scan) or declared not in (count, math.prod(scan)):
        return 0
    line, rest = divmod(count, scan[0])
    if rest or count % math.prod(scan) == 0:
        return 0
    if count % scan[1] == 0 and per_trigger != line:
        # Whole lines may be too many, as well as frames of each line.
        found = frames.line()
        return line if found is not None and found[0] == line else 0
    return line


def _scan_of(
    scan: tuple[int, int] | None, per_trigger: int | None, frames: _Frames
) -> tuple[_Known, str]:
    """Return the scan that all frames make by the best evidence that there is, and a note."""
    count = frames.count
    if scan is not None:
        if math.prod(scan) == count:
            return (scan, "ScanX and ScanY of the .hdr", True), ""
        made = f"the {scan[0]} x {scan[1]} of ScanY, ScanX in the .hdr"
        return _NO_SCAN, f"{count} patterns do not make {made}"
    if per_trigger is not None and 1 < per_trigger < count:
        if count % per_trigger == 0:
            shape = count // per_trigger, per_trigger
            return (shape, f"{_IN_TRIGGER} in the .hdr", True), ""
        return _NO_SCAN, f"{count} patterns do not make whole lines of {per_trigger} per trigger"
    return _by_times(frames)


def _by_times(frames: _Frames) -> tuple[_Known, str]:
    count, found, side = frames.count, frames.line(), math.isqrt(frames.count)
    if found is not None and count % found[0] == 0:
        line, sure = found
        why = "pauses between the moments of the frames" + ("" if sure else ", which are uneven")
        return ((count // line, line), why, sure), ""
    if found is not None and found[1]:
        note = f"a pause follows every {found[0]} patterns, of which {count} are not a multiple"
        return _NO_SCAN, note
    if side > 1 and side * side == count:
        return ((side, side), "a square number of frames", False), ""
    return _NO_SCAN, ""


def find_facts(header: FrameHeader, hdr: Hdr) -> Facts:
    """Return what a frame and the ``.hdr`` say of the acquisition."""
    facts: dict[str, tuple[Fact, str]] = {"detector": (f"Merlin {header.sensors}".strip(), "frame")}
    if header.exposure_s is not None:
        facts["exposure_s"] = facts["dwell_time_s"] = header.exposure_s, "frame"
    acquired, key = hdr.acquired
    place = f"hdr/{key}"
    if not acquired:
        acquired, place = iso_datetime(*header.moment.partition("T")[::2]), "frame"
    if acquired:
        facts["acquired"] = acquired, place
    return facts
