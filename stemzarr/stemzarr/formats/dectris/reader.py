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
    TruncatedFileError,
    UnsupportedDataError,
)
from stemzarr.formats.dectris.mask import (
    find_flagged_pixels,
    is_pixel_mask,
    join_masks,
    read_pixel_mask,
)
from stemzarr.formats.found import FileFacts, Found, build_source
from stemzarr.formats.frames import FrameRun
from stemzarr.formats.hdf5.files import (
    Hdf5Blocks,
    data_set_blocks,
    is_beside,
    open_hdf5,
    unwritten_chunks,
    value_at,
)
from stemzarr.formats.hdf5.survey import describe_left_out, survey
from stemzarr.formats.hdf5.tree import KEPT_VALUES, load_tree
from stemzarr.formats.labelling import FoundAxis, Hints
from stemzarr.metadata.clean import clean_json
from stemzarr.metadata.finding import (
    Facts,
    find_numbers,
    iso_datetime,
    plain_text,
    positive_number,
)
from stemzarr.model import Source
from stemzarr.options import ReadOptions
from stemzarr.recognition import lead_by_name
from stemzarr.storage.acquisitions import find_beside
from stemzarr.storage.objects import Stamp

__all__ = ["is_arina", "load_arina_metadata", "read_arina"]

_DATA: Final = "entry/data"
_DETECTOR: Final = "entry/instrument/detector"
_STEM: Final = "STEM Metadata"
_FRAMES: Final = "the detector writes frame after frame"


@dataclass(frozen=True, slots=True, kw_only=True)
class _DataFile:
    """One of the files that a master names, or the set of frames of the file itself."""

    path: Path
    """The file."""
    blocks: Hdf5Blocks | None
    """Its frames; None where it is not there."""
    first: int | None
    """Number of its first image, counted from 0; None where it says nothing."""
    unwritten: tuple[int, int]
    """How many of its chunks were never written, and how many there are."""


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
    if not is_arina(file, path):
        master = lead_by_name(path)
        if master is not None and master != path and _STEM in file:
            msg = f"is the record of a scan, whose frames are read by {master.name}"
            raise UnsupportedDataError(msg, path=path, hint=f"give {master.name} instead")
        return None
    files = _data_files(file, path)
    tags = _stem_record(path)
    run, step = _run(files, file, tags)
    frames = run.blocks
    steps = (
        FoundAxis(size=0, name=name, scale=step or 1.0, units="nm" if step else "") for name in "yx"
    )
    whole = Found(
        title="",
        base=frames,
        axes=(*steps, *(FoundAxis(size=size) for size in frames.shape[1:])),
        hints=Hints(frames=_FRAMES),
        facts={**_detector_facts(file), **_stem_facts(tags)},
        bad_pixels=join_masks(find_flagged_pixels(frames), read_pixel_mask(file)),
        address=f"/{_DATA}",
    )
    record = _record_path(path)
    parts = [one.path for one in files if one.blocks is not None and one.path != path]
    parts += [record] if record != path and record.is_file() else []
    facts = FileFacts(
        format="arina",
        load_metadata=functools.partial(load_arina_metadata, path),
        notes=(*run.notes, *_file_notes(files), *_part_notes(path), *_left_out(file)),
        complete=run.complete,
        parts=tuple(parts),
    )
    return build_source(path, facts, run.find(whole, options, path), options)


def is_arina(file: h5py.File, path: Path) -> bool:
    """Return whether a file is a master or a data file."""
    return any(True for _ in _frame_sets(file, path))


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


def _data_files(file: h5py.File, path: Path) -> list[_DataFile]:
    """Return the files of an acquisition in their order, those that are missing too."""
    files = [_data_file(source, name) for source, name in _frame_sets(file, path)]
    forms = {(one.blocks.shape[1:], one.blocks.dtype) for one in files if one.blocks is not None}
    if not forms:
        msg = f"its data file {files[0].path.name!r} is missing"
        raise TruncatedFileError(msg, path=path, hint="copy the data files beside the master")
    if len(forms) > 1:
        msg = "its data files hold frames of different shapes or types"
        raise CorruptFileError(msg, path=path, hint="read the data files one by one")
    return files


def _data_file(path: Path, name: str) -> _DataFile:
    if not path.is_file():
        return _DataFile(path=path, blocks=None, first=None, unwritten=(0, 0))
    with open_hdf5(path) as file:
        found = data_set_blocks(path, Stamp.of(path), file[name])
        if found is None or len(found[0].shape) != 3:  # noqa: PLR2004 - frames, rows, columns
            msg = f"{name!r} holds no frames"
            raise CorruptFileError(msg, path=path, hint="name a data set with --dataset")
        low = positive_number(clean_json(file[name].attrs.get("image_nr_low")))
        first = None if low is None else int(low) - 1
        return _DataFile(
            path=path, blocks=found[0], first=first, unwritten=unwritten_chunks(file[name])
        )


def _numbered(files: Sequence[_DataFile]) -> Iterator[tuple[int, Hdf5Blocks]]:
    """Yield each file's frames with the number of the first, by what the file says itself.

    Where it says nothing, the frames follow those before, and a file that is missing is taken to
    hold as many as the first one.
    """
    length = next(one.blocks.shape[0] for one in files if one.blocks is not None)
    following = 0
    for one in files:
        if one.blocks is None:
            following += length
            continue
        first = max(following, one.first or 0)
        yield first, one.blocks
        following = first + one.blocks.shape[0]


def _file_notes(files: Sequence[_DataFile]) -> Iterator[str]:
    """Say which data file does not continue the one before: a copy, or one of another scan.

    Nothing is known of that where files are missing. Chunks that were never written are counted.
    """
    expected = 0
    for one in files if all(one.blocks is not None for one in files) else ():
        if one.first not in (None, expected):
            yield (
                f"its data file {one.path.name!r} begins with image {(one.first or 0) + 1}, as it "
                f"says itself, where image {expected + 1} is expected"
            )
        expected += 0 if one.blocks is None else one.blocks.shape[0]
    unwritten = sum(one.unwritten[0] for one in files)
    chunks = sum(one.unwritten[1] for one in files)
    if unwritten:
        yield f"{unwritten} of {chunks} chunks were never written and read as 0"


def _run(
    files: Sequence[_DataFile], file: h5py.File, tags: Mapping[str, object]
) -> tuple[FrameRun, float | None]:
    """Return the frames, the scan that they make, and its step in nm where it is known."""
    scan, why, declared, step = _declared(file, tags)
    run = FrameRun(
        parts=tuple(_numbered(files)),
        declared=declared,
        scan=scan,
        scan_evidence=why,
        missing=tuple(
            f"its data file {one.path.name!r} is missing" for one in files if one.blocks is None
        ),
        evidence=_FRAMES,
    )
    side = math.isqrt(run.frames)
    if scan is None and run.complete and side > 1 and side * side == run.frames:
        why = "the number of frames is a square"
        run = replace(run, scan=(side, side), scan_evidence=why, scan_certain=False)
    return run, step


def _declared(
    file: h5py.File, tags: Mapping[str, object]
) -> tuple[tuple[int, int] | None, str, int | None, float | None]:
    """Return the scan that record or master declare, why, the number of frames, and the step."""
    rows, columns = (positive_number(tags.get(f"NumPixels{axis}")) for axis in "YX")
    triggers, images = (_specific(file, name) for name in ("ntrigger", "nimages"))
    frames = triggers * images if triggers and images else None
    if rows and columns:
        shape = int(rows), int(columns)
        step = positive_number(tags.get("Pixel Size"))
        return shape, "NumPixelsX and NumPixelsY", math.prod(shape), step
    if triggers and images and triggers > 1 and images > 1:
        why = f"{triggers} triggers (ntrigger) of {images} images (nimages)"
        return (triggers, images), why, frames, None
    return None, "", frames, None


def _specific(file: h5py.File, name: str) -> int | None:
    value = positive_number(value_at(file, f"{_DETECTOR}/detectorSpecific/{name}"))
    return None if value is None else int(value)


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


def _stem_facts(tags: Mapping[str, object]) -> Facts:
    found = find_numbers("arina", tags.get)
    return {fact: (value, f"{_STEM}/{tag}") for fact, value, tag in found}


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


def _detector_facts(file: h5py.File) -> Facts:
    places = {
        "exposure_s": f"{_DETECTOR}/count_time",
        "detector": f"{_DETECTOR}/description",
        "acquired": f"{_DETECTOR}/detectorSpecific/data_collection_date",
    }
    found = {fact: value_at(file, place) for fact, place in places.items()}
    found["exposure_s"] = positive_number(found["exposure_s"])
    found["acquired"] = iso_datetime(*plain_text(found["acquired"]).partition("T")[::2])
    return {fact: (value, places[fact]) for fact, value in found.items() if value}
