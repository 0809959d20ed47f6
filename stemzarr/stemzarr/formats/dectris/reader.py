"""DECTRIS detectors' HDF5 files: a master, its data files, and the scan beside them."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import h5py

from stemzarr.errors import (
    CorruptFileError,
    OptionError,
    TruncatedFileError,
    UnsupportedDataError,
)
from stemzarr.formats.dectris.mask import (
    find_flagged_pixels,
    is_pixel_mask,
    join_masks,
    read_pixel_mask,
)
from stemzarr.formats.file_blocks import Stamp
from stemzarr.formats.found import FileFacts, Found, build_source
from stemzarr.formats.frames import stamp_of_all
from stemzarr.formats.hdf5.files import (
    Hdf5Blocks,
    data_set_blocks,
    is_beside,
    open_hdf5,
)
from stemzarr.formats.hdf5.survey import describe_left_out, survey
from stemzarr.formats.hdf5.tree import KEPT_VALUES, load_tree
from stemzarr.formats.labelling import FoundAxis, Hints
from stemzarr.formats.reordered import JoinedBlocks
from stemzarr.metadata.clean import clean_json
from stemzarr.metadata.finding import find_numbers, iso_datetime, positive_number
from stemzarr.model import Blocks, Fact, Source
from stemzarr.options import ReadOptions
from stemzarr.pixels.partial import SpreadBlocks
from stemzarr.recognition import lead_by_name
from stemzarr.storage.acquisitions import acquisition_name, find_beside

__all__ = ["find_arina", "load_arina_metadata", "read_arina"]

_DATA: Final = "entry/data"
_DETECTOR: Final = "entry/instrument/detector"
_STEM: Final = "STEM Metadata"
_FRAMES: Final = "the detector writes frame after frame"
_GIVEN: Final = "set by --scan-shape"


@dataclass(frozen=True, slots=True, kw_only=True)
class DectrisRun:
    """The frames of one acquisition, and how many there must be."""

    parts: tuple[tuple[int, Hdf5Blocks], ...]
    """Number of the first frame of each file that is there, and its frames."""
    missing: tuple[str, ...]
    """Names of the data files that the master names and that are not there."""
    declared: int | None
    """Number of frames that master or record declare."""
    scan: tuple[FoundAxis, FoundAxis] | None
    """The scan that they declare."""
    evidence: str
    """Why `scan` is believed."""
    files: tuple[Path, ...]
    """Every file but the one that was given."""
    misnumbered: tuple[str, ...] = ()
    """Which data files begin with another image than follows those before, in words."""

    @property
    def frames(self) -> int:
        """Number of frames on disk."""
        return sum(blocks.shape[0] for _, blocks in self.parts)

    @property
    def complete(self) -> bool:
        """Whether all frames are there, and no more."""
        return not self.missing and self.declared in (None, self.frames)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is missing or too much, in words; none where nothing is."""
        if self.complete:
            return ()
        names = tuple(f"its data file {name!r} is missing" for name in self.missing)
        if self.declared is None:
            return (f"{self.frames} patterns are on disk", *names)
        if self.frames > self.declared:
            return (f"{self.frames} patterns are on disk, {self.declared} are declared", *names)
        return (f"{self.frames} of {self.declared} patterns are on disk", *names)


def read_arina(file: h5py.File, path: Path, options: ReadOptions) -> Source | None:
    """Return the frames of a master or data file, None where it is none.

    What master and record declare is compared with the frames on disk. Fewer or more are a stack
    with `Source.complete` false, or with ``options.salvage`` the scan with the patterns that are
    there.

    Raises
    ------
    TruncatedFileError
        No data file that the master names is there.
    UnsupportedDataError
        The master names a file outside its folder, which is not followed; or the file is the
        record of a scan, whose master is beside it.
    CorruptFileError
        Its data files hold frames of different shapes or types.
    OptionError
        The frames do not make the scan that was asked for.
    """
    run, whole = _find(file, path)
    if run is None or whole is None:
        master = lead_by_name(path)
        if master is not None and master != path and _STEM in file:
            msg = f"is the record of a scan, whose frames are read by {master.name}"
            raise UnsupportedDataError(msg, path=path, hint=f"give {master.name} instead")
        return None
    found = [whole] if run.complete else _incomplete(run, whole, options, path)
    stamp = stamp_of_all((path, *run.files))
    facts = FileFacts(
        format="arina",
        stamp=stamp,
        load_metadata=functools.partial(load_arina_metadata, path),
        notes=(*run.notes, *run.misnumbered, *_part_notes(path), *_left_out(file)),
        complete=run.complete,
        parts=run.files,
    )
    return build_source(path, facts, found, options)


def _left_out(file: h5py.File) -> tuple[str, ...]:
    """Return notes of what is neither frame nor mask, and too large for the metadata."""
    rest = survey(file, [f"/{_DATA}"])
    large = [
        name
        for name in (*rest.data, *rest.aside)
        if file[name].size > KEPT_VALUES and not is_pixel_mask(name)
    ]
    return (*describe_left_out(file, large), *rest.notes)


def _part_notes(path: Path) -> tuple[str, ...]:
    """Say of a data file that the master beside it, or the one that is missing, describes it."""
    match = re.fullmatch(r"(.+)_data_\d+", path.stem, re.DOTALL)
    if match is None:
        return ()
    name = f"{match[1]}_master{path.suffix}"
    master = find_beside(path, name)
    if master is not None:
        return (f"these are frames of {master.name}: give that for all of them, with their facts",)
    return (f"{name} is missing: exposure, mask and further data files are not known",)


def find_arina(file: h5py.File, path: Path) -> list[Found]:
    """Return the frames of a master or data file, nothing where it is none."""
    _, whole = _find(file, path)
    return [] if whole is None else [whole]


def _find(file: h5py.File, path: Path) -> tuple[DectrisRun | None, Found | None]:
    sets = list(_frame_sets(file, path))
    if not sets:
        return None, None
    there = [(source, _blocks(source, name)) for source, name in sets if source.is_file()]
    missing = tuple(source.name for source, _ in sets if not source.is_file())
    if not there:
        msg = f"its data file {missing[0]!r} is missing"
        raise TruncatedFileError(msg, path=path, hint="copy the data files beside the master")
    first = there[0][1]
    if any(one.shape[1:] != first.shape[1:] or one.dtype != first.dtype for _, one in there):
        msg = "its data files hold frames of different shapes or types"
        raise CorruptFileError(msg, path=path, hint="read the data files one by one")
    base = first if len(there) == 1 else JoinedBlocks(tuple(one for _, one in there))
    tags = _stem_record(path)
    scan, evidence, declared = _declared(file, tags)
    record = _record_path(path)
    beside = (record,) if record != path and record.is_file() else ()
    run = DectrisRun(
        parts=tuple(_numbered(there, sets)),
        missing=missing,
        declared=declared,
        scan=scan,
        evidence=evidence,
        files=tuple(source for source, _ in there if source != path) + beside,
        misnumbered=() if missing else tuple(_misnumbered(there, sets)),
    )
    facts, paths = _stem_facts(tags)
    detector_facts, detector_paths = _detector_facts(file)
    whole = Found(
        title="",
        base=base,
        axes=tuple(FoundAxis(size=size) for size in base.shape),
        hints=_hints(run),
        facts={**detector_facts, **facts},
        fact_paths={**detector_paths, **paths},
        bad_pixels=join_masks(find_flagged_pixels(base), read_pixel_mask(file)),
        address=f"/{_DATA}",
    )
    return run, whole


def _numbered(
    there: Sequence[tuple[Path, Hdf5Blocks]], sets: Sequence[tuple[Path, str]]
) -> Iterator[tuple[int, Hdf5Blocks]]:
    """Yield each file's frames with the number of the first, by what the file says itself.

    Where it says nothing, the frames follow those before, and a file that is missing is taken to
    hold as many as the first one.
    """
    blocks = dict(there)
    length, following = there[0][1].shape[0], 0
    for source, name in sets:
        if source not in blocks:
            following += length
            continue
        with open_hdf5(source) as file:
            low = positive_number(clean_json(file[name].attrs.get("image_nr_low")))
        first = following if low is None else max(following, int(low) - 1)
        yield first, blocks[source]
        following = first + blocks[source].shape[0]


def _misnumbered(
    there: Sequence[tuple[Path, Hdf5Blocks]], sets: Sequence[tuple[Path, str]]
) -> Iterator[str]:
    """Say which data file does not continue the one before: one copied twice, or a stranger."""
    expected = 1
    for (source, blocks), (_, name) in zip(there, sets, strict=True):
        with open_hdf5(source) as file:
            low = positive_number(clean_json(file[name].attrs.get("image_nr_low")))
        if low is not None and int(low) != expected:
            yield (
                f"its data file {source.name!r} begins with image {int(low)} by its own word, "
                f"where image {expected} is expected"
            )
        expected += blocks.shape[0]


def _declared(
    file: h5py.File, tags: Mapping[str, object]
) -> tuple[tuple[FoundAxis, FoundAxis] | None, str, int | None]:
    """Return the scan that record or master declare, why, and the number of frames."""
    rows, columns = (positive_number(tags.get(f"NumPixels{axis}")) for axis in "YX")
    triggers, images = (_specific(file, name) for name in ("ntrigger", "nimages"))
    frames = triggers * images if triggers and images else None
    if rows and columns:
        step = positive_number(tags.get("Pixel Size"))
        scan = _scan_axes(int(rows), int(columns), step)
        return scan, "NumPixelsX and NumPixelsY", int(rows) * int(columns)
    if triggers and images and triggers > 1 and images > 1:
        scan = _scan_axes(triggers, images, None)
        return scan, f"{triggers} triggers (ntrigger) of {images} images (nimages)", frames
    return None, "", frames


def _specific(file: h5py.File, name: str) -> int | None:
    data = file.get(f"{_DETECTOR}/detectorSpecific/{name}")
    value = positive_number(clean_json(data[()])) if isinstance(data, h5py.Dataset) else None
    return None if value is None else int(value)


def _incomplete(run: DectrisRun, whole: Found, options: ReadOptions, path: Path) -> list[Found]:
    """Return what is there: a stack, or for a salvage the scan, and frames beyond it."""
    shape = options.scan_shape
    if shape is None and run.scan is not None:
        shape = (run.scan[0].size, run.scan[1].size)
    if not options.salvage or shape is None:
        return [_stack(whole, whole.base)]
    positions = math.prod(shape)
    if run.declared is not None and positions != run.declared:
        msg = f"a scan of {shape[0]} x {shape[1]} needs {positions} patterns, {run.notes[0]}"
        raise OptionError(msg, path=path, hint="give the --scan-shape of the whole scan")
    last, blocks = run.parts[-1]
    frames = max(positions, last + blocks.shape[0])
    spread = SpreadBlocks(parts=run.parts, frames=frames)
    step = run.scan or (FoundAxis(size=0), FoundAxis(size=0))
    scan = (replace(step[0], size=shape[0]), replace(step[1], size=shape[1]))
    first = spread.cut(0, positions)
    valid = first.valid()
    found = [
        replace(
            whole,
            base=first,
            axes=tuple(FoundAxis(size=size) for size in first.shape),
            hints=Hints(frames=_FRAMES, scan=scan, scan_evidence=run.evidence or _GIVEN),
            valid=None if valid.all() else valid.reshape(shape),
        )
    ]
    if frames > positions:
        surplus = _stack(whole, spread.cut(positions, frames))
        found.append(replace(surplus, title=f"{acquisition_name(path)} surplus"))
    return found


def _stack(whole: Found, base: Blocks) -> Found:
    axes = (FoundAxis(size=base.shape[0], name="frame"), *whole.axes[1:])
    return replace(whole, base=base, axes=axes, hints=Hints(frames=_FRAMES))


def _frame_sets(file: h5py.File, path: Path) -> Iterator[tuple[Path, str]]:
    """Yield file and path of each set of frames, in their order, those that are missing too."""
    group = file.get(_DATA)
    if not isinstance(group, h5py.Group):
        return
    for name in sorted(group):
        link = group.get(name, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            if not is_beside(link.filename):
                msg = f"its frames are in {link.filename!r}, outside its folder"
                hint = "put master and data files together"
                raise UnsupportedDataError(msg, path=path, hint=hint)
            yield path.with_name(link.filename), link.path
        elif re.fullmatch(r"data(_\d+)?", name) and "image_nr_low" in group[name].attrs:
            yield path, f"/{_DATA}/{name}"


def _blocks(path: Path, name: str) -> Hdf5Blocks:
    with open_hdf5(path) as file:
        found = data_set_blocks(path, Stamp.of(path), file[name])
        if found is None or len(found[0].shape) != 3:  # noqa: PLR2004 - frames, rows, columns
            msg = f"{name!r} holds no frames"
            raise CorruptFileError(msg, path=path, hint="name a data set with --dataset")
        return found[0]


def _hints(run: DectrisRun) -> Hints:
    """Return the scan that all frames make, as it is declared, else by their number."""
    if run.scan is not None:
        return Hints(frames=_FRAMES, scan=run.scan, scan_evidence=run.evidence)
    side = math.isqrt(run.frames)
    if side > 1 and side * side == run.frames:
        why = "the number of frames is a square"
        scan = _scan_axes(side, side, None)
        return Hints(frames=_FRAMES, scan=scan, scan_evidence=why, scan_certain=False)
    return Hints(frames=_FRAMES)


def _stem_facts(tags: Mapping[str, object]) -> tuple[dict[str, Fact], dict[str, str]]:
    found = list(find_numbers("arina", tags.get))
    return (
        {fact: value for fact, value, _ in found},
        {fact: f"{_STEM}/{tag}" for fact, _, tag in found},
    )


def _scan_axes(rows: int, columns: int, step_nm: float | None) -> tuple[FoundAxis, FoundAxis]:
    units = "nm" if step_nm else ""
    return (
        FoundAxis(size=rows, name="y", scale=step_nm or 1.0, units=units),
        FoundAxis(size=columns, name="x", scale=step_nm or 1.0, units=units),
    )


def _record_path(path: Path) -> Path:
    return path.with_name(re.sub(r"_(master|data_\d+)$", "", path.stem) + path.suffix)


def _stem_record(path: Path) -> dict[str, object]:
    """Return what the scan's control program wrote beside the frames, nothing where it did not."""
    record = _record_path(path)
    if record == path or not record.is_file():
        return {}
    with open_hdf5(record) as file:
        group = file.get(_STEM)
        if not isinstance(group, h5py.Group):
            return {}
        tags: dict[str, object] = clean_json(dict(group.attrs))
        return tags


def load_arina_metadata(path: Path) -> dict[str, Any]:
    """Return the tree of the file, and the record of the scan beside it, as clean JSON.

    Raises
    ------
    CorruptFileError
        The file is damaged.
    """
    return {**load_tree(path), _STEM: clean_json(_stem_record(path))}


def _detector_facts(file: h5py.File) -> tuple[dict[str, Fact], dict[str, str]]:
    facts: dict[str, Fact] = {}
    paths: dict[str, str] = {}
    for fact, name in {
        "exposure_s": f"{_DETECTOR}/count_time",
        "detector": f"{_DETECTOR}/description",
        "acquired": f"{_DETECTOR}/detectorSpecific/data_collection_date",
    }.items():
        data = file.get(name)
        value = clean_json(data[()]) if isinstance(data, h5py.Dataset) else None
        if fact == "exposure_s":
            value = positive_number(value)
        elif fact == "acquired" and isinstance(value, str):
            date, _, time = value.partition("T")
            value = iso_datetime(date, time)
        if value:
            facts[fact] = value
            paths[fact] = name
    return facts, paths
