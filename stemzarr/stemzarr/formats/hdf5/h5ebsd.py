"""Diffraction patterns of EBSD programs: EDAX, kikuchipy, Bruker, Oxford and EMsoft.

The patterns are read lazily. Header entries declare rows and columns of the scan: fewer patterns
than these make an incomplete file, and other grids than rectangles a stack.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import h5py

from stemzarr.formats.found import Found
from stemzarr.formats.hdf5.arrangement import Arrangement
from stemzarr.formats.hdf5.files import groups_of, member, own_data
from stemzarr.formats.labelling import FoundAxis, Hints
from stemzarr.metadata.clean import clean_json
from stemzarr.metadata.finding import Facts, positive_number

__all__ = ["EBSD"]

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


def _describe(bare: Found, data: h5py.Dataset, header: h5py.Group | None) -> Found | None:
    shape = bare.base.shape
    if len(shape) not in (_STACK_NDIM, _SCAN_NDIM):
        return None
    tags = _tags(header)
    hints, notes, missing = _hints(tags, shape)
    return replace(
        bare,
        title=str(data.name).strip("/").split("/")[0],  # of the scan: that of the topmost group
        axes=_axes(tags, shape),
        hints=hints,
        facts=_facts(tags, str(header.name).strip("/")) if header else {},
        notes=notes,
        missing=missing,
    )


def _pattern_sets(file: h5py.File) -> Iterator[tuple[h5py.Dataset, h5py.Group | None]]:
    """Yield each set of patterns, with the group of its header."""
    for name in _EMSOFT:
        data = member(file, name)
        if data is not None:
            yield data, None
    for _, group in groups_of(file):
        below, header = (member(group, name, h5py.Group) for name in ("Data", "Header"))
        for name in _PATTERNS if None not in (below, header) else ():
            data = member(below, name)
            if data is not None:
                yield data, header


def _tags(header: h5py.Group | None) -> dict[str, Any]:
    """Return the numbers of a header, each alone or as an array of one."""
    tags: dict[str, Any] = {}
    for name in header or ():
        item = own_data(header, name)
        if item is not None and item.size == 1:
            value = clean_json(item[()])
            tags[name] = value[0] if isinstance(value, list) and value else value
    return tags


def _first(tags: Mapping[str, Any], names: tuple[str, ...]) -> tuple[str, float] | None:
    for name in names:
        value = positive_number(tags.get(name))
        if value is not None:
            return name, value
    return None


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


def _hints(tags: Mapping[str, Any], shape: tuple[int, ...]) -> tuple[Hints, tuple[str, ...], str]:
    """Return the scan that the patterns make by the header, what speaks against it, what lacks."""
    rows, columns = _first(tags, _ROWS), _first(tags, _COLUMNS)
    plain = Hints(
        signal_type="electron_diffraction", frames="EBSD files hold pattern after pattern"
    )
    if len(shape) == _SCAN_NDIM or rows is None or columns is None:
        return plain, (), ""
    size = int(rows[1]), int(columns[1])
    if "hex" in str(tags.get("Grid Type", "")).lower():
        note = "the scan is a hexagonal grid, which is kept as a stack of its patterns"
        return plain, (note,), ""
    if size[0] * size[1] != shape[0]:
        of = f"its header declares {size[0]} rows of {size[1]}"
        return plain, (), f"{shape[0]} of {size[0] * size[1]} patterns are on disk: {of}"
    evidence = f"{rows[0]} and {columns[0]} of the header"
    return replace(plain, scan=_scan_axes(tags, *size), scan_evidence=evidence), (), ""


def _facts(tags: Mapping[str, Any], root: str) -> Facts:
    energy = _first(tags, _ENERGY)
    return {} if energy is None else {"beam_energy_keV": (energy[1], f"{root}/{energy[0]}")}


EBSD: Final = Arrangement(name="ebsd", arrays=_pattern_sets, describe=_describe)
"""Patterns of EBSD programs."""
