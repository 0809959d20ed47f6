"""Scans of a lake that resemble one pattern, the most alike first.

The mean pattern of each scan, in tiles, is kept in the index beside the digest of the store that it
was made of. Scans whose mean patterns resemble the pattern most are then looked through at every
position, in the tile sums that their stores keep.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from sqlite3 import Connection
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stemzarr.errors import StemzarrError, UnsupportedDataError
from stemzarr.measure.tiles import sum_tiles
from stemzarr.pixels.resources import Resources
from stemzarr.registry import read_source
from stemzarr.views.common_detector import DetectorPlane, find_common, plane_of
from stemzarr.views.counted import real_counts
from stemzarr.views.likeness import correlate, find_most_alike
from stemzarr.views.patterns import pattern
from stemzarr_catalog.query import parse_query
from stemzarr_catalog.sql import compile_query
from stemzarr_catalog.tables import fetch

if TYPE_CHECKING:
    from pathlib import Path

    from stemzarr.model import Document, Progress
    from stemzarr_catalog.entry import Entry
    from stemzarr_catalog.lake import Lake

__all__ = ["Alike", "Comparison", "Model", "find_alike", "read_model"]

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
    values = real_counts(pattern(document, *at).to_numpy(), document.bad_pixels)
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
    """How much its mean pattern does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Scans of a lake beside one pattern."""

    found: tuple[Alike, ...]
    """Those that were looked through, the most alike first."""
    left: Mapping[str, float]
    """The likeness of the mean pattern of each other scan, by name, the most alike first."""
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
        How many scans are looked through at every position: those whose mean patterns are most
        alike.
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
    for mean in scans:
        try:
            ranked.append((_compare(mean, model), mean.name))
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


def _compare(mean: _Mean, model: Model) -> float:
    """Return the likeness of a mean pattern."""
    said = json.loads(mean.plane or "{}")
    if "problem" in said:
        raise UnsupportedDataError(said["problem"])
    plane = DetectorPlane(**{key: _as_tuple(value) for key, value in said["plane"].items()})
    common = find_common(model.values, model.plane, plane, said["side"])
    chosen = np.flatnonzero(common.chosen)
    sums = np.frombuffer(mean.sums, "<f4")[np.newaxis, chosen]
    found = float(correlate(sums, common.sums.reshape(-1)[chosen])[0])
    if np.isnan(found):
        raise UnsupportedDataError("its mean pattern, or the one given, is the same everywhere")
    return found


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
    """The mean pattern of an entry, as the index keeps it."""

    name: str
    """Name of the entry."""
    kind: str
    """What the entry is."""
    digest: str = ""
    """Digest of the store that it was read from."""
    plane: str | None = None
    """JSON of its detector, or of why there is no mean pattern; None where nobody looked yet."""
    sums: bytes = b""
    """The pattern in tiles, float32 in C order."""


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
    """Return the mean pattern of a scan from its store."""
    try:
        document = read_source(lake.store_path(mean.name)).document
        said, sums = _describe(document)
    except StemzarrError as error:
        said, sums = {"problem": str(error)}, b""
    return dataclasses.replace(mean, plane=json.dumps(said), sums=sums)


def _describe(document: Document) -> tuple[dict[str, Any], bytes]:
    measured, tiles = document.measured, document.tiles
    if tiles is None or measured is None or "mean_diffraction" not in measured.names:
        return {"problem": _NOT_MEASURED}, b""
    pattern_ = real_counts(measured.load("mean_diffraction"), document.bad_pixels)
    sums = sum_tiles(pattern_[np.newaxis], tiles.side)
    plane = dataclasses.asdict(plane_of(document))
    return {"side": tiles.side, "plane": plane}, sums.astype("<f4").tobytes()
