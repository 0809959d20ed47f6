"""DECTRIS detectors' HDF5 files: a master, its data files, and the scan beside them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import h5py

from stemzarr.errors import CorruptFileError, TruncatedFileError, UnsupportedDataError
from stemzarr.model import Fact
from stemzarr.readers.clean import clean_json
from stemzarr.readers.facts import iso_datetime, positive_number
from stemzarr.readers.found import Found
from stemzarr.readers.hdf5_files import (
    Hdf5Blocks,
    Stamp,
    data_set_blocks,
    is_beside,
    open_hdf5,
)
from stemzarr.readers.hdf5_tree import load_tree
from stemzarr.readers.labelling import FoundAxis, Hints
from stemzarr.readers.reordered import JoinedBlocks

__all__ = ["find_arina", "load_arina_metadata"]

_DATA: Final = "entry/data"
_DETECTOR: Final = "entry/instrument/detector"
_STEM: Final = "STEM Metadata"
_FRAMES: Final = "the detector writes frame after frame"

# fact: attribute of the scan's record, factor to the unit of the fact
_STEM_FACTS: Final = {
    "beam_energy_keV": ("High Tension", 1e-3),
    "camera_length_mm": ("Camera Length", 1e3),
    "magnification": ("Magnification", 1.0),
    "dwell_time_s": ("ScanDwellTime", 1.0),
}


def find_arina(file: h5py.File, path: Path) -> list[Found]:
    """Return the frames of a master or data file, nothing where it is none.

    Raises
    ------
    TruncatedFileError
        A data file that the master names is missing.
    UnsupportedDataError
        The master names a file outside its folder, which is not followed.
    """
    names = list(_frame_sets(file, path))
    if not names:
        return []
    parts = [_blocks(source, name) for source, name in names]
    if any(part.shape[1:] != parts[0].shape[1:] or part.dtype != parts[0].dtype for part in parts):
        msg = "its data files hold frames of different shapes or types"
        raise CorruptFileError(msg, path=path, hint="read the data files one by one")
    base = parts[0] if len(parts) == 1 else JoinedBlocks(tuple(parts))
    tags = _stem_record(path)
    facts, paths = _stem_facts(tags)
    detector_facts, detector_paths = _detector_facts(file)
    return [
        Found(
            title="",
            base=base,
            axes=tuple(FoundAxis(size=size) for size in base.shape),
            hints=_hints(tags, base.shape[0]),
            facts={**detector_facts, **facts},
            fact_paths={**detector_paths, **paths},
            address=f"/{_DATA}",
        )
    ]


def _frame_sets(file: h5py.File, path: Path) -> Iterator[tuple[Path, str]]:
    """Yield file and path of each set of frames, in their order."""
    group = file.get(_DATA)
    if not isinstance(group, h5py.Group):
        return
    for name in sorted(group):
        link = group.get(name, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            yield _beside(path, link.filename), link.path
        elif re.fullmatch(r"data(_\d+)?", name) and "image_nr_low" in group[name].attrs:
            yield path, f"/{_DATA}/{name}"


def _beside(path: Path, name: str) -> Path:
    if not is_beside(name):
        msg = f"its frames lie in {name!r}, outside its folder"
        raise UnsupportedDataError(msg, path=path, hint="put master and data files together")
    found = path.with_name(name)
    if not found.is_file():
        msg = f"its data file {name!r} is missing"
        raise TruncatedFileError(msg, path=path, hint="copy the data files beside the master")
    return found


def _blocks(path: Path, name: str) -> Hdf5Blocks:
    with open_hdf5(path) as file:
        found = data_set_blocks(path, Stamp.of(path), file[name])
        if found is None or len(found[0].shape) != 3:  # noqa: PLR2004 - frames, rows, columns
            msg = f"{name!r} holds no frames"
            raise CorruptFileError(msg, path=path, hint="name a data set with --dataset")
        return found[0]


def _hints(tags: Mapping[str, object], frames: int) -> Hints:
    """Return the scan that the frames make, by the record beside them, else by their number."""
    rows, columns = (positive_number(tags.get(f"NumPixels{axis}")) for axis in "YX")
    if rows and columns and int(rows) * int(columns) == frames:
        step = positive_number(tags.get("Pixel Size"))
        scan = _scan_axes(int(rows), int(columns), step)
        return Hints(frames=_FRAMES, scan=scan, scan_evidence="NumPixelsX and NumPixelsY")
    side = math.isqrt(frames)
    if side > 1 and side * side == frames:
        why = "the number of frames is a square"
        scan = _scan_axes(side, side, None)
        return Hints(frames=_FRAMES, scan=scan, scan_evidence=why, scan_certain=False)
    return Hints(frames=_FRAMES)


def _stem_facts(tags: Mapping[str, object]) -> tuple[dict[str, Fact], dict[str, str]]:
    facts: dict[str, Fact] = {}
    for fact, (tag, factor) in _STEM_FACTS.items():
        value = positive_number(tags.get(tag))
        if value is not None:
            facts[fact] = value * factor
    return facts, {fact: f"{_STEM}/{_STEM_FACTS[fact][0]}" for fact in facts}


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
