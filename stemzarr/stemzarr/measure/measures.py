"""What one pass over a scan measures: an entry in `MEASURES` for every array of ``preview``.

A new measure is one more entry. Ingest, resumed ingests, clusters, exports of images and
`open_previews` take it from there, and an unfinished ingest without it begins again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemzarr.measure.disk_mask import DiskMask

__all__ = ["MEASURES", "Measure", "Patterns"]

_SCAN = ("scan_y", "scan_x")
_DETECTOR = ("det_y", "det_x")


@dataclass(frozen=True, slots=True, kw_only=True)
class Patterns:
    """Some patterns, and the sums that measures share.

    Bad pixels, patterns that were not recorded and values that are not finite are 0.
    """

    values: NDArray[Any]
    """(patterns, pixels) counts as uint8 or uint16; other values as float64."""
    sums: NDArray[np.float64]
    """(patterns,) sum of each pattern."""
    disk_sums: NDArray[np.float64]
    """(patterns, 2) sums over the central disk, and within the inner radius of the annulus."""
    total: NDArray[Any]
    """(pixels,) sum over the patterns: uint64 of counts, float64 of other values."""
    top: NDArray[Any]
    """(pixels,) maximum over the patterns; the lowest value where a pixel has none."""
    tiles: NDArray[Any]
    """(patterns, tile_y, tile_x) tile sums: unsigned integers of counts, float64 of others."""
    moments: NDArray[np.float64]
    """(patterns, 2) sums of row times value, and of column times value."""
    mask: DiskMask
    """The central disk, and the shape of a pattern."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One array of ``preview``: chunk, combine and finalize, as in `dask.array.reduction`."""

    name: str
    """Name of the array."""
    dims: tuple[str, ...]
    """Its dims: those of the scan, which dims of its own may follow, or those of the detector."""
    dtype: Callable[[np.dtype[Any]], np.dtype[Any]]
    """Returns its type, given that of the source."""
    chunk: Callable[[Patterns], NDArray[Any]]
    """Returns the partial result of some patterns: (patterns, …) over the scan, (pixels,) over the
    detector."""
    combine: Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]] | None = None
    """Joins two partial results over the detector; None over the scan, where each has its place."""
    finalize: Callable[[NDArray[Any], int], NDArray[Any]] = lambda combined, _: combined
    """Returns the array, given all partial results together and the number of recorded patterns."""
    large: bool = False
    """Whether it is too large for memory, so that it is written shard by shard, and read in parts:
    over the scan, with dims of its own, in the narrowest type instead of `dtype`."""

    @property
    def own_dims(self) -> tuple[str, ...]:
        """Its dims that are neither of the scan nor of the detector."""
        return tuple(dim for dim in self.dims if dim not in (*_SCAN, *_DETECTOR))


def _float64(_: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(np.float64)


def _mean_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(np.float64 if dtype in (np.float64, np.complex128) else np.float32)


def _real_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    real: np.dtype[Any] = dtype.type(0).real.dtype
    return real


def _mean(total: NDArray[Any], patterns: int) -> NDArray[Any]:
    # 0 is added so that no sum is a negative zero.
    return np.asarray((total + total.dtype.type(0)) / patterns)


def _finite(top: NDArray[Any], _: int) -> NDArray[Any]:
    """Return the maxima with 0 for pixels that have no finite value; integers all have one."""
    return np.where(np.isneginf(top), 0, top) if top.dtype.kind == "f" else top


def _center_of_mass(patterns: Patterns, dim: int) -> NDArray[np.float64]:
    """Return centres of mass in pixels from the centre of the disk; NaN where a sum is 0."""
    disk, sums = patterns.mask.disk, patterns.sums
    place = (disk.center_y, disk.center_x)[dim]
    means = np.full(len(sums), np.nan)
    np.divide(patterns.moments[:, dim], sums, out=means, where=sums != 0)
    return means - place


MEASURES: tuple[Measure, ...] = (
    Measure(
        name="mean_diffraction",
        dims=_DETECTOR,
        dtype=_mean_dtype,
        chunk=lambda patterns: patterns.total,
        combine=np.add,
        finalize=_mean,
    ),
    Measure(
        name="max_diffraction",
        dims=_DETECTOR,
        dtype=_real_dtype,
        chunk=lambda patterns: patterns.top,
        combine=np.maximum,
        finalize=_finite,
    ),
    Measure(
        name="total_intensity",
        dims=_SCAN,
        dtype=_float64,
        chunk=lambda patterns: patterns.sums,
    ),
    Measure(
        name="bright_field",
        dims=_SCAN,
        dtype=_float64,
        chunk=lambda patterns: patterns.disk_sums[:, 0],
    ),
    Measure(
        name="annular_dark_field",
        dims=_SCAN,
        dtype=_float64,
        chunk=lambda patterns: patterns.sums - patterns.disk_sums[:, 1],
    ),
    Measure(
        name="com_y",
        dims=_SCAN,
        dtype=_float64,
        chunk=lambda patterns: _center_of_mass(patterns, 0),
    ),
    Measure(
        name="com_x",
        dims=_SCAN,
        dtype=_float64,
        chunk=lambda patterns: _center_of_mass(patterns, 1),
    ),
    Measure(
        name="tile_sums",
        dims=(*_SCAN, "tile_y", "tile_x"),
        dtype=_float64,
        chunk=lambda patterns: patterns.tiles,
        large=True,
    ),
)
"""All measures, in the order in which their arrays are written."""
