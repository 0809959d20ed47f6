"""Diffraction patterns of EBSD programs: EDAX, kikuchipy, Bruker, Oxford and EMsoft.

The patterns are read lazily. Header entries declare rows and columns of the scan: fewer patterns
than these make an incomplete file, and other grids than rectangles a stack.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import h5py

from stemzarr.formats.file_blocks import Stamp
from stemzarr.formats.found import Found
from stemzarr.formats.hdf5.files import data_set_blocks, member, walk
from stemzarr.formats.labelling import FoundAxis, Hints
from stemzarr.metadata.clean import clean_json
from stemzarr.metadata.finding import positive_number
from stemzarr.model import Fact

__all__ = ["find_ebsd"]

_PATTERNS: Final = (
    *("Pattern", "patterns", "Patterns", "RawPatterns"),
    *("Processed Patterns", "Unprocessed Patterns"),
)
_EMSOFT: Final = ("EMData/EBSD/EBSDPatterns", "EMData/TKD/TKDPatterns")
_ROWS: Final = ("nRows", "n_rows", "NROWS", "Y Cells")
_COLUMNS: Final = ("nColumns", "n_columns", "NCOLS", "X Cells")
_STEPS: Final = (("Step Y", "step_y", "YSTEP", "Y Step"), ("Step X", "step_x", "XSTEP", "X Step"))
_ENERGY: Final = ("Beam Voltage", "KV", "beam_energy", "KeV")
_STACK_NDIM: Final = 3
_SCAN_NDIM: Final = 4


def find_ebsd(file: h5py.File, path: Path, stamp: Stamp) -> list[Found]:
    """Return the patterns of a file, nothing where it is of no such program."""
    found = []
    for data, header in _pattern_sets(file):
        blocks = data_set_blocks(path, stamp, data)
        if blocks is None or len(blocks[0].shape) not in (_STACK_NDIM, _SCAN_NDIM):
            continue
        tags = _tags(header)
        facts, paths = _facts(tags, str(header.name).strip("/")) if header else ({}, {})
        hints, notes = _hints(tags, blocks[0].shape)
        missing = _missing(tags, blocks[0].shape)
        found.append(
            Found(
                title=_title(data),
                base=blocks[0],
                axes=_axes(tags, blocks[0].shape),
                hints=hints,
                facts=facts,
                fact_paths=paths,
                notes=notes,
                missing=missing,
                address=str(data.name),
            )
        )
    return found


def _pattern_sets(file: h5py.File) -> Iterator[tuple[h5py.Dataset, h5py.Group | None]]:
    """Yield each set of patterns, with the group of its header."""
    for name in _EMSOFT:
        data = file.get(name)
        if isinstance(data, h5py.Dataset):
            yield data, None
    for _, group in walk(file):
        if not isinstance(group, h5py.Group):
            continue
        below, header = (member(group, name, h5py.Group) for name in ("Data", "Header"))
        for name in _PATTERNS if None not in (below, header) else ():
            data = member(below, name)
            if data is not None:
                yield data, header


def _tags(header: h5py.Group | None) -> dict[str, Any]:
    """Return the numbers of a header, each alone or as an array of one."""
    tags: dict[str, Any] = {}
    for name in header or ():
        item = header.get(name) if header is not None else None
        if isinstance(item, h5py.Dataset) and item.size == 1 and not item.external:
            value = clean_json(item[()])
            tags[name] = value[0] if isinstance(value, list) and value else value
    return tags


def _first(tags: Mapping[str, Any], names: tuple[str, ...]) -> tuple[str, float] | None:
    for name in names:
        value = positive_number(tags.get(name))
        if value is not None:
            return name, value
    return None


def _title(data: h5py.Dataset) -> str:
    """Return the name of the scan that the patterns are of: that of the topmost group."""
    return str(data.name).strip("/").split("/")[0]


def _axes(tags: Mapping[str, Any], shape: tuple[int, ...]) -> tuple[FoundAxis, ...]:
    scan = _scan_axes(tags, *shape[:2]) if len(shape) == _SCAN_NDIM else (FoundAxis(size=shape[0]),)
    detector = (FoundAxis(size=shape[-2], name="det_y"), FoundAxis(size=shape[-1], name="det_x"))
    return (*scan, *detector)


def _scan_axes(tags: Mapping[str, Any], rows: int, columns: int) -> tuple[FoundAxis, FoundAxis]:
    y, x = (
        FoundAxis(size=size, name=name)
        if (step := _first(tags, names)) is None
        else FoundAxis(size=size, name=name, scale=step[1], units="um")
        for size, name, names in zip((rows, columns), "yx", _STEPS, strict=True)
    )
    return y, x


def _hints(tags: Mapping[str, Any], shape: tuple[int, ...]) -> tuple[Hints, tuple[str, ...]]:
    """Return the scan that the patterns make by the header, and what speaks against it."""
    rows, columns = _first(tags, _ROWS), _first(tags, _COLUMNS)
    plain = Hints(
        signal_type="electron_diffraction", frames="EBSD files hold pattern after pattern"
    )
    if len(shape) == _SCAN_NDIM or rows is None or columns is None:
        return plain, ()
    size = int(rows[1]), int(columns[1])
    if "hex" in str(tags.get("Grid Type", "")).lower():
        return plain, ("the scan is a hexagonal grid, which is kept as a stack of its patterns",)
    if size[0] * size[1] != shape[0]:
        return plain, ()
    evidence = f"{rows[0]} and {columns[0]} of the header"
    scan = _scan_axes(tags, *size)
    return Hints(
        signal_type=plain.signal_type, frames=plain.frames, scan=scan, scan_evidence=evidence
    ), ()


def _missing(tags: Mapping[str, Any], shape: tuple[int, ...]) -> str:
    """Return how many patterns are on disk, where the header declares others."""
    rows, columns = _first(tags, _ROWS), _first(tags, _COLUMNS)
    hexagonal = "hex" in str(tags.get("Grid Type", "")).lower()
    if len(shape) == _SCAN_NDIM or rows is None or columns is None or hexagonal:
        return ""
    declared = int(rows[1]) * int(columns[1])
    if declared == shape[0]:
        return ""
    of = f"{int(rows[1])} rows of {int(columns[1])}"
    return f"{shape[0]} of {declared} patterns are on disk: its header declares {of}"


def _facts(tags: Mapping[str, Any], root: str) -> tuple[dict[str, Fact], dict[str, str]]:
    energy = _first(tags, _ENERGY)
    if energy is None:
        return {}, {}
    return {"beam_energy_keV": energy[1]}, {"beam_energy_keV": f"{root}/{energy[0]}"}
