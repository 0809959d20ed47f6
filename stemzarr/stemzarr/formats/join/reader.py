"""Folders of files with one frame each, read as one stack or scan.

Merlin and many other programs write a file for every pattern, OneView cameras a tree of folders
for hours, minutes and seconds. All files of such a set have one pattern of names, one shape, type
and format; their order is that in which people count.
"""

from __future__ import annotations

import functools
import itertools
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import (
    CorruptFileError,
    OptionError,
    SourceNotFoundError,
    StemzarrError,
    TruncatedFileError,
    UnsupportedDataError,
)
from stemzarr.formats.found import FileFacts, Found, build_source, stamp_of_all
from stemzarr.formats.frames import FrameRun, place_frames
from stemzarr.formats.join.blocks import JoinedFrames
from stemzarr.formats.join.numbering import Numbering, natural_key, number_names, pattern_of
from stemzarr.formats.join.one_frame import Frame, check_single, read_frame
from stemzarr.formats.labelling import FoundAxis, Hints
from stemzarr.formats.merlin.header import Hdr, read_hdr
from stemzarr.metadata.clean import clean_json
from stemzarr.model import Document, Fact, Source
from stemzarr.options import ReadOptions
from stemzarr.recognition import suffixes_of
from stemzarr.registry import is_data, is_store, lead_of, read_source, reads_suffix
from stemzarr.storage.foreign import is_foreign
from stemzarr.storage.reasons import reading

__all__ = ["is_set", "read_joined"]

_EVIDENCE: Final = "each file holds one frame"


def read_joined(path: Path, options: ReadOptions) -> Source:
    """Return the frames of all files below a folder, as a scan where its shape is known.

    Raises
    ------
    OptionError
        It is not a folder of files, or the frames do not make the scan that was asked for.
    SourceNotFoundError
        It holds fewer than two files that stemzarr reads.
    UnsupportedDataError
        A file is named otherwise than the first, holds no single frame, or one of another format,
        shape or type.
    StemzarrError
        A file cannot be read.
    """
    files, left = _find_files(path)
    first = read_source(path / files[0])
    frames = _Set(
        folder=path,
        names=files,
        frames=tuple(_read_all(path, files, first, options)),
        numbering=number_names(files),
        hdr=_find_hdr(path / files[0], first),
    )
    found, notes = _found(frames, check_single(first), options)
    parts = frames.parts
    file = FileFacts(
        format=first.format,
        stamp=stamp_of_all(parts),
        load_metadata=functools.partial(_load_metadata, path / files[0], frames.table()),
        notes=(*notes, *frames.notes(), *left),
        complete=frames.complete and all(one.valid is None for one in found),
        parts=parts,
        joined=True,
    )
    return build_source(path, file, found, options)


def is_set(files: Sequence[Path]) -> bool:
    """Return whether files are one set of frames.

    Parameters
    ----------
    files
        All files below one folder that stemzarr reads, in any order, several at least. The first
        and the last one are opened.
    """
    names = sorted((file.as_posix() for file in files), key=natural_key)
    if len({pattern_of(name) for name in names}) > 1:
        return False
    try:
        ends = [read_source(Path(name)) for name in (names[0], names[-1])]
        forms = {(one.format, check_single(one).shape, one.document.dtype) for one in ends}
    except StemzarrError:
        return False
    return len(forms) == 1


def _find_files(folder: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the relative paths of the frames in their order, and a note of what is left out."""
    if not folder.exists():
        raise SourceNotFoundError("there is no such folder", path=folder, hint="check the spelling")
    if not folder.is_dir() or is_data(folder):
        msg = "is not a folder of files with one frame each"
        raise OptionError(msg, path=folder, hint="leave --join out")
    # Of data, pages, and what is read where it is named, the first that are there are the frames.
    tiers: tuple[list[str], list[str], list[str]] = ([], [], [])
    pages = suffixes_of("named", reader="tiff")
    for path in _below(folder):
        suffix = path.suffix.lower()
        if is_data(path) or reads_suffix(suffix):
            tier = 0 if is_data(path) else 1 if suffix in pages else 2
            tiers[tier].append(path.relative_to(folder).as_posix())
    found, *others = [tier for tier in tiers if tier] or [[]]
    names = sorted(found, key=natural_key)
    if len(names) < 2:  # noqa: PLR2004 - one file is not a set
        msg = f"holds {len(names) or 'no'} file that stemzarr reads, and a set has at least two"
        raise SourceNotFoundError(msg, path=folder, hint="name the folder of the frames")
    _check_names(folder, names)
    left = [name for tier in others for name in tier]
    note = f"{_count(len(left))} left out, such as {_last(left[0])}" if left else ""
    return tuple(names), (note,) if note else ()


def _check_names(folder: Path, names: Sequence[str]) -> None:
    """Raise where a file is named otherwise than most are, and name the first such file."""
    patterns = [pattern_of(name) for name in names]
    most = Counter(patterns).most_common(1)[0][0]
    for name, pattern in zip(names, patterns, strict=True):
        if pattern != most:
            usual = names[patterns.index(most)]
            msg = f"is not named like {usual}, so it is not a frame of the same set"
            hint = "put each set into a folder of its own, and other files elsewhere"
            raise UnsupportedDataError(msg, path=folder / name, hint=hint)


def _count(number: int) -> str:
    return "1 further file is" if number == 1 else f"{number} further files are"


def _below(folder: Path) -> Iterator[Path]:
    """Yield what is below a folder and no part of another file; no store, nothing hidden."""
    with reading(folder):
        inside = sorted(folder.iterdir())
    for path in inside:
        if path.name.startswith(".") or is_foreign(path.name) or is_store(path):
            continue
        if path.is_dir() and not path.is_symlink():
            if is_data(path):
                yield path
            else:
                yield from _below(path)
        elif path.is_file() and lead_of(path) is None:
            yield path


def _read_all(
    folder: Path, names: Sequence[str], first: Source, options: ReadOptions
) -> Iterator[Frame | str]:
    """Yield the frame of each file, or for a salvage why there is none.

    Raises
    ------
    UnsupportedDataError
        It is not of the form of the first.
    """
    check_single(first)
    form: Frame | None = None
    for name in names:
        path = folder / name
        try:
            frame = read_frame(path, first.format)
        except (TruncatedFileError, CorruptFileError) as error:
            if not options.salvage or form is None:
                raise
            yield f"{path.name} {error.message}"
            continue
        form = form or frame
        if frame.form != form.form:
            msg = f"holds another frame ({frame}) than {names[0]} ({form})"
            hint = "all frames of a set have one format, shape and type; move it elsewhere"
            raise UnsupportedDataError(msg, path=path, hint=hint)
        yield frame


def _find_hdr(first: Path, source: Source) -> tuple[Path | None, Hdr]:
    """Return the ``.hdr`` that describes a set of a Merlin, named as its files without a number."""
    stem = re.sub(r"_?\d+$", "", first.stem)
    if source.format != "mib" or not stem:
        return None, Hdr(fields={})
    path, hdr, _ = read_hdr(first.with_name(f"{stem}.mib"))
    return path, hdr


def _last(name: str) -> str:
    """Return the last part of a relative path: notes name no folders."""
    return name.rpartition("/")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Set:
    """The files of a set and what they hold."""

    folder: Path
    """The folder."""
    names: tuple[str, ...]
    """Relative paths in their order."""
    frames: tuple[Frame | str, ...]
    """What each holds, or why it cannot be read."""
    numbering: Numbering
    """What the names count."""
    hdr: tuple[Path | None, Hdr]
    """What describes all of them, where there is such a file."""

    @property
    def whole(self) -> dict[int, Frame]:
        """The frames that are there, by the places of their files."""
        return {n: frame for n, frame in enumerate(self.frames) if isinstance(frame, Frame)}

    @property
    def declared(self) -> int | None:
        """Number of frames that the ``.hdr`` declares."""
        number = self.hdr[1].number("Frames in Acquisition")
        scan = self.hdr[1].scan
        return math.prod(scan) if number is None and scan is not None else number

    @property
    def complete(self) -> bool:
        """Whether every file has its frame, and there are as many as are declared."""
        return len(self.whole) == len(self.frames) and self.declared in (None, len(self.frames))

    @property
    def parts(self) -> tuple[Path, ...]:
        """All files, the frames first."""
        further = (part for frame in self.whole.values() for part in frame.parts)
        hdr = () if self.hdr[0] is None else (self.hdr[0],)
        frames = (self.folder / name for name in self.names)
        return tuple(dict.fromkeys((*frames, *further, *hdr)))

    def open_frames(self) -> JoinedFrames:
        """Return access to the frames that are there, in their order."""
        whole = self.whole
        first, *_ = whole.values()
        runs = [frame.run for frame in whole.values() if frame.run is not None]
        alike = len(runs) == len(whole) and len({(run.stored, run.flipped) for run in runs}) == 1
        return JoinedFrames(
            folder=self.folder,
            names=tuple(self.names[number] for number in whole),
            stamps=tuple((one.stamp.size, one.stamp.modified_ns) for one in whole.values()),
            frame=first.shape,
            stored=runs[0].stored if alike else first.dtype,
            offsets=tuple(run.offset for run in runs) if alike else (),
            flipped=alike and runs[0].flipped,
            pages=first.format == "tif",
        )

    def varying(self) -> dict[str, list[Fact | None]]:
        """Return the facts that differ between frames, each with its value for every file."""
        facts = [one.facts if isinstance(one, Frame) else {} for one in self.frames]
        names = dict.fromkeys(itertools.chain(*facts))
        columns = {name: [each.get(name) for each in facts] for name in names}
        return {name: values for name, values in columns.items() if len(set(values)) > 1}

    def table(self) -> dict[str, Any]:
        """Return the names of all files, and what varies over them, as JSON."""
        table: dict[str, Any] = clean_json({"paths": list(self.names), "varying": self.varying()})
        if self.hdr[0] is not None:
            table["hdr"] = dict(self.hdr[1].fields)
        return table

    def notes(self) -> Iterator[str]:
        """Say what a person should know of the files as a whole."""
        shown = f"{_last(self.names[0])} to {_last(self.names[-1])}"
        yield f"{len(self.names)} files are joined in the order of their names: {shown}"
        if self.numbering.gaps:
            yield self.numbering.gaps
        if self.declared not in (None, len(self.frames)) and self.hdr[0] is not None:
            where = self.hdr[0].name
            yield f"{len(self.frames)} frames are on disk, {self.declared} are declared in {where}"
        yield from (frame for frame in self.frames if isinstance(frame, str))
        differing = [name for name in self.varying() if name != "acquired"]
        if differing:
            listed = ", ".join(differing)
            yield f"{listed}: not the same for all frames; the metadata has the value of each"
        yield from self._unlike()
        others = [(n, one) for n, frame in self.whole.items() for one in frame.others]
        if others:
            number, slug = others[0]
            yield (
                f"{len(others)} further data sets of the files are left out, such as {slug} in"
                f" {_last(self.names[number])}; stemzarr ingest without --join takes them"
            )

    def _unlike(self) -> Iterator[str]:
        first, *_ = (frame.calibration for frame in self.whole.values())
        unlike = [n for n, frame in self.whole.items() if frame.calibration != first]
        if unlike:
            yield (
                f"the calibration of {len(unlike)} frames is not that of the first, which is kept;"
                f" the first of them is {_last(self.names[unlike[0]])}"
            )


def _found(
    frames: _Set, document: Document, options: ReadOptions
) -> tuple[list[Found], tuple[str, ...]]:
    """Return the data sets that the frames make, and what is said of their places."""
    base = frames.open_frames()
    shape = _shape(frames, options)
    whole = _describe(frames, document, base, shape)
    why = "ScanX and ScanY of the .hdr"
    run = FrameRun(parts=((0, base),), scan=shape, scan_evidence=why, evidence=_EVIDENCE)
    if shape is None or math.prod(shape) == base.shape[0] == len(frames.names):
        return run.find(whole, options, frames.folder), ()
    numbers, note = _places(frames, math.prod(shape))
    run = replace(run, parts=place_frames(numbers, base.cut))
    return run.spread(whole, shape, frames.folder), (note,) if note else ()


def _shape(frames: _Set, options: ReadOptions) -> tuple[int, int] | None:
    """Return the shape of the scan that the frames make; None for a stack.

    Raises
    ------
    OptionError
        They do not make the scan that was asked for.
    """
    count, wanted = len(frames.whole), options.scan_shape
    if wanted is None:
        scan = frames.hdr[1].scan
        fits = scan is not None and (options.salvage or math.prod(scan) == count)
        return scan if fits and (frames.complete or options.salvage) else None
    needed = math.prod(wanted)
    if needed < count or (needed > count and not options.salvage):
        gaps = f"; {frames.numbering.gaps}" if frames.numbering.gaps else ""
        msg = f"a scan of {wanted[0]} x {wanted[1]} needs {needed} frames, it holds {count}{gaps}"
        keep = ", or keep what is there with --salvage" if needed > count else ""
        hint = f"give the --scan-shape rows,columns of the whole scan{keep}"
        raise OptionError(msg, path=frames.folder, hint=hint)
    return wanted


def _places(frames: _Set, positions: int) -> tuple[NDArray[np.int64], str]:
    """Return the position of each frame that is there, some beyond the last one, and a note.

    Where files are missing, the numbers of the others say where each belongs.

    Raises
    ------
    OptionError
        Numbers are missing, and the others do not fit the scan.
    """
    count = len(frames.names)
    numbers: Sequence[int] = range(count)
    note = ""
    if count < positions and frames.numbering.numbers is not None:
        counted = frames.numbering.numbers
        first, last = counted[0], counted[-1]
        # Numbers begin at 0 or 1, so that the last one can tell what is missing before the first.
        base = last + 1 - positions if first > 1 and last + 1 - positions in (0, 1) else first
        rising = all(a < b for a, b in itertools.pairwise(counted))
        if rising and last - base < positions:
            numbers = [number - base for number in counted]
            note = "the frames are where their numbers say"
    if count < positions and frames.numbering.gaps and not note:
        msg = f"{count} frames do not say where in {positions} they are: {frames.numbering.gaps}"
        hint = "give a --scan-shape that their numbers fit, or leave it out for a stack"
        raise OptionError(msg, path=frames.folder, hint=hint)
    places = np.array([numbers[number] for number in frames.whole], np.int64)
    there = int(np.count_nonzero(places < positions))
    places[there:] = np.arange(positions, positions + places.size - there)  # without a gap
    missing = f"recovered {there} of {positions} frames; the rest is zero"
    said = [missing] if there < positions else []
    return places, "; ".join([*said, note] if note else said)


def _describe(
    frames: _Set, document: Document, base: JoinedFrames, shape: tuple[int, int] | None
) -> Found:
    """Return the data set of all frames, described by the first."""
    facts = {
        name: (value, document.fact_paths.get(name, ""))
        for name, value in document.facts.items()
        if name != "complete"
    }
    acquired, key = frames.hdr[1].acquired
    if acquired:
        facts["acquired"] = acquired, f"joined/hdr/{key}"
    axes = tuple(
        FoundAxis(
            size=axis.size,
            name=axis.name,
            scale=axis.scale,
            offset=axis.offset,
            units=axis.source_units or (axis.units if axis.calibrated else ""),
        )
        for axis in document.axes
    )
    if shape is not None and shape == frames.hdr[1].scan:
        axes = (FoundAxis(size=0, name="scan_y"), FoundAxis(size=0, name="scan_x"), *axes)
    is_pattern = document.kind == "diffraction"
    return Found(
        title=frames.folder.name,
        base=base,
        axes=axes,
        hints=Hints(signal_type="electron_diffraction" if is_pattern else "", frames=_EVIDENCE),
        channels=document.channels,
        brightness=document.brightness,
        facts=facts,
        notes=tuple(note for note in document.notes if "detector is not calibrated" not in note),
        bad_pixels=document.bad_pixels,
    )


def _load_metadata(first: Path, table: dict[str, Any]) -> dict[str, Any]:
    """Return the metadata of the first file, with the names of all and what varies over them."""
    return {**read_source(first).load_metadata(), "joined": table}
