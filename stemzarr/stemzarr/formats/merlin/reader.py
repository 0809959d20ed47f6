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
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import OptionError, SourceNotFoundError, UnsupportedDataError
from stemzarr.format_row import FormatRow
from stemzarr.formats.file_blocks import Stamp
from stemzarr.formats.found import FileFacts, Found, build_source
from stemzarr.formats.frames import FrameBlocks, FramePart, FrameRun, stamp_of_all
from stemzarr.formats.labelling import FoundAxis, Hints
from stemzarr.formats.merlin.header import (
    MAGIC,
    FrameHeader,
    Hdr,
    read_ends,
    read_frame_header,
    read_hdr,
    read_last,
    read_times,
)
from stemzarr.formats.reordered import ReorderedBlocks, SqueezedBlocks
from stemzarr.metadata.clean import clean_json
from stemzarr.metadata.finding import iso_datetime
from stemzarr.model import Blocks, Fact, Source
from stemzarr.options import ReadOptions
from stemzarr.storage.acquisitions import find_beside

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
    if options.dataset is not None:
        hint = "leave --dataset out: it is for HDF5"
        raise OptionError("a Merlin's file has no data sets with paths", path=path, hint=hint)
    if path.suffix.lower() == ".hdr":
        _refuse_hdr(path)
    header = read_frame_header(path)
    hdr_path, hdr, note = read_hdr(path)
    parts = () if hdr_path is None else (hdr_path,)
    run, shown = _run(path, header, hdr, options)
    facts, paths = find_facts(header, hdr)
    whole = Found(
        title="",
        base=run.blocks,
        axes=tuple(FoundAxis(size=size) for size in header.frame),
        hints=Hints(signal_type="electron_diffraction", frames=_EVIDENCE),
        facts=facts,
        fact_paths=paths,
    )
    found = run.find(whole, options, path) if shown is None else [_shown(whole, run, shown)]
    tree = {"hdr": dict(hdr.fields)} if parts else {}
    stamp = stamp_of_all((path, *parts))
    file = FileFacts(
        format="mib",
        stamp=stamp,
        load_metadata=functools.partial(dict, clean_json({**tree, "frame": header.text})),
        notes=tuple(filter(None, (note, run.note, run.tail, _lost(path, run)))),
        complete=run.complete,
        parts=parts,
    )
    return build_source(path, file, found, options)


def _lost(path: Path, run: FrameRun) -> str:
    """Return a note where the frames are numbered further than there are frames."""
    ends = read_ends(path, run.blocks.stride, run.frames) if run.frames > 1 else None
    if ends is None or ends[1] - ends[0] < run.frames:
        return ""
    lost = ends[1] - ends[0] + 1 - run.frames
    return (
        f"the frames are numbered from {ends[0]} to {ends[1]}, so {lost} between them were lost, "
        "and the patterns behind are not at their positions"
    )


def _refuse_hdr(path: Path) -> None:
    lead = find_beside(path, f"{path.stem}.mib")
    if lead is None:
        msg = f"its frames, {path.stem}.mib, are not beside it"
        raise SourceNotFoundError(msg, path=path, hint="copy both into one folder")
    msg = f"describes the frames in {lead.name}"
    raise UnsupportedDataError(msg, path=path, hint=f"give {lead.name} instead")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """What the frames of a complete run are."""

    scan: tuple[int, int] | None = None
    """Shape (scan_y, scan_x); None for a stack."""
    evidence: str = ""
    """Why."""
    certain: bool = True
    """Whether it was read rather than guessed."""
    line: int = 0
    """Frames of a line on disk, where some at its end are idle; 0 where none are."""
    note: str = ""
    """What a person should know."""


def _run(
    path: Path, header: FrameHeader, hdr: Hdr, options: ReadOptions
) -> tuple[FrameRun, _Shown | None]:
    """Return the frames, and what they are; None for a run that is cut or too long."""
    stamp = Stamp.of(path)
    stride = header.nbytes + math.prod(header.frame) * header.stored.itemsize
    frames, beyond = divmod(stamp.size, stride)
    if frames:
        read_last(path, stride, frames)
    blocks = FrameBlocks(
        parts=(FramePart(path=path, stamp=stamp, offset=0, frames=frames),),
        stride=stride,
        lead=header.nbytes,
        frame=header.frame,
        stored=header.stored,
        flipped=True,
    )
    declared, scan = hdr.number(_IN_FRAMES), hdr.scan
    per_trigger = hdr.number(_IN_TRIGGER)
    stopped = declared == frames and math.prod(options.scan_shape or ()) != frames
    if scan is not None and (declared is None or (stopped and frames < math.prod(scan))):
        # A scan that was stopped declares what there is beside what there was to be.
        declared = math.prod(scan)
    times = _Times(path=path, header=header, stride=stride, frames=frames)
    idle = _idle(scan, declared, per_trigger, frames, times)
    if idle is not None:
        declared = frames
    run = FrameRun(
        blocks=blocks,
        declared=declared,
        scan=_declared_scan(scan, declared, per_trigger),
        beyond=beyond,
        evidence=_EVIDENCE,
    )
    if not run.complete or not frames:
        return run, None
    if idle is not None and options.scan_shape in (None, idle.scan):
        return run, idle
    if options.scan_shape is not None:
        return run, _Shown()
    return run, _scan_of(scan, per_trigger, times)


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
class _Times:
    """The moments of the first frames, read where they are asked for."""

    path: Path
    header: FrameHeader
    stride: int
    frames: int

    def line(self) -> tuple[int, bool] | None:
        """Return the frames of a line, and whether it is sure; None where there are no lines."""
        count = min(self.frames, _MOST_TIMES)
        times = read_times(self.path, self.header, self.stride, count)
        return None if times is None else _line_of(np.diff(times))


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


def _idle(
    scan: tuple[int, int] | None,
    declared: int | None,
    per_trigger: int | None,
    frames: int,
    times: _Times,
) -> _Shown | None:
    """Return the scan without the frames that were taken while the beam went back to a line."""
    if scan is None or frames <= math.prod(scan) or declared not in (frames, math.prod(scan)):
        return None
    rows, columns = scan
    line, rest = divmod(frames, rows)
    if rest or frames % math.prod(scan) == 0:
        return None
    if frames % columns == 0 and per_trigger != line:
        # Whole lines may be too many, as well as frames of each line.
        found = times.line()
        if found is None or found[0] != line:
            return None
    idle = line - columns
    note = (
        f"{rows * idle} of {frames} patterns are idle and left out, {idle} at the end of each line "
        f"of {line}; --scan-shape {rows},{line} takes all"
    )
    evidence = "ScanX and ScanY of the .hdr, the rest of each line is idle"
    return _Shown(scan=scan, evidence=evidence, line=line, note=note)


def _scan_of(scan: tuple[int, int] | None, per_trigger: int | None, times: _Times) -> _Shown:
    """Return the shape of a scan by the best evidence that there is."""
    frames = times.frames
    if scan is not None:
        if math.prod(scan) == frames:
            return _Shown(scan=scan, evidence="ScanX and ScanY of the .hdr")
        note = (
            f"{frames} patterns do not make the {scan[0]} x {scan[1]} of ScanY, ScanX in the .hdr"
        )
        return _Shown(note=note)
    if per_trigger is not None and 1 < per_trigger < frames:
        if frames % per_trigger == 0:
            shape = frames // per_trigger, per_trigger
            return _Shown(scan=shape, evidence=f"{_IN_TRIGGER} in the .hdr")
        return _Shown(
            note=f"{frames} patterns do not make whole lines of {per_trigger} per trigger"
        )
    return _by_times(times)


def _by_times(times: _Times) -> _Shown:
    frames, found = times.frames, times.line()
    if found is not None and frames % found[0] == 0:
        line, sure = found
        why = "pauses between the moments of the frames" + ("" if sure else ", which are unsteady")
        return _Shown(scan=(frames // line, line), evidence=why, certain=sure)
    if found is not None and found[1]:
        note = f"a pause follows every {found[0]} patterns, of which {frames} are not a multiple"
        return _Shown(note=note)
    side = math.isqrt(frames)
    if side > 1 and side * side == frames:
        return _Shown(scan=(side, side), evidence="a square number of frames", certain=False)
    return _Shown()


def _shown(whole: Found, run: FrameRun, shown: _Shown) -> Found:
    notes = (shown.note,) if shown.note else ()
    frames = FoundAxis(size=run.frames, name="frame")
    if run.frames == 1:
        # A single pattern has no dim that counts it, unless a scan is asked for.
        return dataclasses.replace(whole, base=SqueezedBlocks(run.blocks, (0,)), notes=notes)
    if shown.scan is None:
        return dataclasses.replace(whole, axes=(frames, *whole.axes), notes=notes)
    scan = (
        FoundAxis(size=shown.scan[0], name="scan_y"),
        FoundAxis(size=shown.scan[1], name="scan_x"),
    )
    hints = dataclasses.replace(
        whole.hints, scan=scan, scan_evidence=shown.evidence, scan_certain=shown.certain
    )
    whole = dataclasses.replace(whole, hints=hints, notes=notes)
    if not shown.line:
        return dataclasses.replace(whole, axes=(frames, *whole.axes))
    lines = ReorderedBlocks(base=run.blocks, order=(0, 1, 2), scan=(shown.scan[0], shown.line))
    base = LineBlocks(base=lines, columns=shown.scan[1])
    return dataclasses.replace(whole, base=base, axes=(*scan, *whole.axes))


@dataclass(frozen=True, slots=True, kw_only=True)
class LineBlocks:
    """The first patterns of each line of a scan (scan_y, scan_x, det_y, det_x)."""

    base: Blocks
    """The scan with all patterns of its lines."""
    columns: int
    """How many patterns of a line there are."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the dims."""
        return (self.base.shape[0], self.columns, *self.base.shape[2:])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return self.base.dtype

    @property
    def block_shape(self) -> tuple[int, ...]:
        """That of the base, no longer than a line."""
        rows, columns, *pattern = self.base.block_shape
        return (rows, min(columns, self.columns), *pattern)

    def read_into(self, out: NDArray[Any], start: Sequence[int]) -> None:
        """Fill `out` with the box of its shape at `start`."""
        self.base.read_into(out, start)


def find_facts(header: FrameHeader, hdr: Hdr) -> tuple[dict[str, Fact], dict[str, str]]:
    """Return what a frame and the ``.hdr`` say of the acquisition, and where each fact is."""
    facts: dict[str, Fact] = {"detector": f"Merlin {header.sensors}".strip()}
    paths = {"detector": "frame"}
    if header.exposure_s is not None:
        for name in ("exposure_s", "dwell_time_s"):
            facts[name] = header.exposure_s
            paths[name] = "frame"
    acquired, key = hdr.acquired
    place = f"hdr/{key}"
    if not acquired:
        acquired, place = iso_datetime(*header.moment.partition("T")[::2]), "frame"
    if acquired:
        facts["acquired"] = acquired
        paths["acquired"] = place
    return facts, paths
