"""Scans of a lake that resemble one pattern, the most alike first.

The mean patterns of sixteen parts of each scan, in coarse tiles, are kept in the index beside the
digest of the store that they were made of. Scans in which one of them resembles the pattern most
are then looked through at every position, in the tile sums that their stores keep.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from sqlite3 import Connection
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import StemzarrError, UnsupportedDataError
from stemzarr.measure.tiles import sum_tiles
from stemzarr.model import read_box
from stemzarr.pixels.resources import Resources
from stemzarr.registry import read_source
from stemzarr.views.common_detector import CommonTiles, DetectorPlane, find_common, plane_of
from stemzarr.views.counted import real_counts
from stemzarr.views.likeness import correlate, find_most_alike
from stemzarr.views.patterns import read_pattern
from stemzarr_catalog.query import parse_query
from stemzarr_catalog.sql import compile_query
from stemzarr_catalog.tables import fetch

if TYPE_CHECKING:
    from pathlib import Path

    from stemzarr.model import Document, Progress, Tiles
    from stemzarr_catalog.entry import Entry
    from stemzarr_catalog.lake import Lake

__all__ = ["Alike", "Comparison", "Model", "find_alike", "read_model"]

_PARTS = 4
"""Parts of a scan along either side."""
_MOST_COARSE = 16
"""Coarse tiles along either side of a detector."""
_AT_ONCE = 100
"""Stores that are read between two transactions."""
_NOT_MEASURED = "its store has no tile sums: stemzarr catalog rebuild --measures"


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """The pattern that scans are compared with."""

    values: NDArray[np.float64]
    """(det_y, det_x) what counts of it."""
    plane: DetectorPlane
    """The detector that counted it."""


def read_model(path: Path, at: tuple[int, int]) -> Model:
    """Return a pattern of a scan.

    Parameters
    ----------
    path
        A store, or any file that stemzarr reads.
    at
        Position (scan_y, scan_x), counted from 0.

    Raises
    ------
    OptionError, UnsupportedDataError
        There is no such position, or no 4D scan.
    """
    document = read_source(path).document
    values = real_counts(read_pattern(document, *at), document.bad_pixels)
    return Model(values=values, plane=plane_of(document))


@dataclass(frozen=True, slots=True, kw_only=True)
class Alike:
    """A scan that was looked through."""

    entry: Entry
    """The entry."""
    likeness: float
    """How much its most similar pattern resembles the one that is looked for, from -1 to 1."""
    at: tuple[int, int]
    """Position (scan_y, scan_x) of that pattern."""
    mean_likeness: float
    """How much the mean pattern of a part of it does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Scans of a lake beside one pattern."""

    found: tuple[Alike, ...]
    """Those that were looked through, the most alike first."""
    left: Mapping[str, float]
    """The `Alike.mean_likeness` of each other scan, by name, the most alike first."""
    not_compared: Mapping[str, str]
    """Why a scan cannot be compared, by its name."""
    no_scans: int
    """How many entries are no 4D scans."""


def find_alike(
    lake: Lake,
    model: Model,
    query: str = "",
    *,
    limit: int = 10,
    progress: Progress | None = None,
) -> Comparison:
    """Rank the scans of a lake by how much their most similar pattern resembles one.

    Parameters
    ----------
    lake
        The lake.
    model
        The pattern.
    query
        Which entries are compared.
    limit
        How many scans are looked through at every position: those with parts, sixteenths of their
        area, whose mean patterns are most alike.
    progress
        Receives how many of the scans that the index does not know yet are read.

    Notes
    -----
    Likeness is Pearson's correlation of tile sums over the tiles that both detectors have in
    common, laid upon each other by the centres of their central disks.

    Raises
    ------
    QueryError
        The query cannot be understood.
    """
    means = _read_means(lake, query, progress)
    scans = [mean for mean in means if mean.kind == "4d-stem"]
    ranked: list[tuple[float, str]] = []
    refused: dict[str, str] = {}
    compare = _Comparer(model)
    for mean in scans:
        try:
            ranked.append((compare(mean), mean.name))
        except StemzarrError as error:
            refused[mean.name] = str(error)
    ranked.sort(key=lambda pair: (-pair[0], pair[1]))
    found = []
    for likeness, name in ranked[:limit]:
        try:
            found.append(_look_through(lake[name], model, likeness))
        except StemzarrError as error:
            refused[name] = str(error)
    found.sort(key=lambda alike: (-alike.likeness, alike.entry.name))
    return Comparison(
        found=tuple(found),
        left={name: likeness for likeness, name in ranked[limit:]},
        not_compared=refused,
        no_scans=len(means) - len(scans),
    )


class _Comparer:
    """Compares mean patterns with one; of detectors that are the same it is laid out once."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._known: dict[str, CommonTiles] = {}

    def __call__(self, mean: _Mean) -> float:
        """Return the likeness of that of the mean patterns that is most alike."""
        plane = mean.plane or "{}"
        if plane not in self._known:
            said = json.loads(plane)
            if "problem" in said:
                raise UnsupportedDataError(said["problem"])
            other = DetectorPlane(**{key: _as_tuple(value) for key, value in said["plane"].items()})
            model = self._model
            self._known[plane] = find_common(model.values, model.plane, other, said["side"])
        common = self._known[plane]
        chosen = np.flatnonzero(common.chosen)
        sums = np.frombuffer(mean.sums, "<f4").reshape(-1, common.chosen.size)[:, chosen]
        found = correlate(sums, common.sums.reshape(-1)[chosen])
        if np.isnan(found).all():
            raise UnsupportedDataError("its patterns, or the one given, are the same everywhere")
        return float(np.nanmax(found))


def _as_tuple(value: Any) -> Any:  # noqa: ANN401 - JSON has lists for tuples
    return tuple(value) if isinstance(value, list) else value


def _look_through(entry: Entry, model: Model, mean_likeness: float) -> Alike:
    """Return where a scan resembles the pattern most."""
    document = read_source(entry.path).document
    if document.tiles is None:
        raise UnsupportedDataError(_NOT_MEASURED)
    common = find_common(model.values, model.plane, plane_of(document), document.tiles.side)
    best = find_most_alike(document.tiles, common, Resources())
    if best is None:
        raise UnsupportedDataError("each of its patterns is the same everywhere")
    return Alike(entry=entry, likeness=best.likeness, at=best.at, mean_likeness=mean_likeness)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mean:
    """The mean patterns of an entry, as the index keeps them."""

    name: str
    """Name of the entry."""
    kind: str
    """What the entry is."""
    digest: str = ""
    """Digest of the store that it was read from."""
    plane: str | None = None
    """JSON of its detector, or of why there are none; None where nobody looked yet."""
    sums: bytes = b""
    """(parts, tiles) the patterns, float32 in C order."""


def _read_means(lake: Lake, query: str, progress: Progress | None) -> list[_Mean]:
    """Return the mean patterns of entries, those first read that the index does not know yet."""
    means = lake.manager.ask(_ask, query)
    unknown = [mean for mean in means if mean.kind == "4d-stem" and mean.plane is None]
    read: dict[str, _Mean] = {}
    for start in range(0, len(unknown), _AT_ONCE):
        some = [_read(lake, mean) for mean in unknown[start : start + _AT_ONCE]]
        read |= {mean.name: mean for mean in some}
        if not lake.read_only:
            with lake.manager.locked():
                lake.manager.write(_put, some)
        if progress is not None:
            progress(len(read), len(unknown))
    return [read.get(mean.name, mean) for mean in means]


def _ask(connection: Connection, query: str) -> list[_Mean]:
    condition, values = compile_query(parse_query(query), connection)
    sql = (
        "SELECT name, kind, entry.digest, plane, sums FROM entry LEFT JOIN mean_tiles"
        " ON mean_tiles.entry = entry.id AND mean_tiles.digest = entry.digest"
        f" WHERE entry.id IN (SELECT id FROM entry WHERE {condition}) ORDER BY name"
    )
    return [
        _Mean(name=name, kind=kind, digest=digest, plane=plane, sums=sums or b"")
        for name, kind, digest, plane, sums in fetch(connection, sql, values)
    ]


def _put(connection: Connection, means: Sequence[_Mean]) -> None:
    connection.executemany(
        "INSERT OR REPLACE INTO mean_tiles SELECT id, ?, ?, ? FROM entry"
        " WHERE name = ? COLLATE BINARY AND digest = ?",
        ((mean.digest, mean.plane, mean.sums, mean.name, mean.digest) for mean in means),
    )


def _read(lake: Lake, mean: _Mean) -> _Mean:
    """Return the mean patterns of a scan from its store."""
    try:
        document = read_source(lake.store_path(mean.name)).document
        said, sums = _describe(document)
    except StemzarrError as error:
        said, sums = {"problem": str(error)}, b""
    return dataclasses.replace(mean, plane=json.dumps(said), sums=sums)


def _describe(document: Document) -> tuple[dict[str, Any], bytes]:
    tiles = document.tiles
    if tiles is None:
        return {"problem": _NOT_MEASURED}, b""
    # Coarse tiles are exactly those of a larger side.
    join = math.ceil(max(tiles.blocks.shape[2:]) / _MOST_COARSE)
    edges = [np.linspace(0, n, min(_PARTS, n) + 1).astype(int) for n in document.shape[:2]]
    rows, columns = (list(itertools.pairwise(edge.tolist())) for edge in edges)
    means = [
        _mean_of(tiles, (top, left), (bottom - top, right - left), join)
        for (top, bottom), (left, right) in itertools.product(rows, columns)
    ]
    said = {"side": join * tiles.side, "plane": dataclasses.asdict(plane_of(document))}
    return said, np.stack(means).astype("<f4").tobytes()


def _mean_of(
    tiles: Tiles, start: tuple[int, int], shape: tuple[int, int], join: int
) -> NDArray[np.float64]:
    """Return the mean pattern of a part of a scan in coarse tiles, (tiles,)."""
    sums = read_box(tiles.blocks, (*start, 0, 0), (*shape, *tiles.blocks.shape[2:]))
    mean = sums.mean(axis=(0, 1), dtype=np.float64)
    return np.asarray(sum_tiles(mean[np.newaxis], join).reshape(-1), np.float64)
