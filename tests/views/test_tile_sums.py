"""Tile sums against numpy, of every type, on any detector, from any region."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from stemzarr.errors import OptionError, UnsupportedDataError
from stemzarr.measure.tiles import sum_tiles, tile_grid, tile_side, whole_tiles
from stemzarr.pixels.resources import Resources
from stemzarr.views import tile_sums

from .test_virtual import MakeScan

DTYPES = ["bool", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64", "complex64"]


def summed(values: NDArray[np.generic], side: int) -> NDArray[np.generic]:
    """Return tile sums of the last two dims as numpy makes them, one tile after the other."""
    starts = [np.arange(0, n, side) for n in values.shape[-2:]]
    wide = values.astype("i8" if values.dtype.kind in "iub" else "f8")
    return np.add.reduceat(np.add.reduceat(wide, starts[0], axis=-2), starts[1], axis=-1)


@given(
    st.sampled_from(DTYPES),
    st.integers(1, 45),
    st.integers(1, 300),
    st.integers(0, 2**32),
    st.data(),
)
def test_tiles_are_summed_exactly(
    make_scan: MakeScan, dtype: str, rows: int, columns: int, seed: int, data: st.DataObject
) -> None:
    """The sums are those of numpy; masked pixels, lost positions and what is not finite are 0."""
    rng = np.random.default_rng(seed)
    raw = rng.integers(-(2**14), 2**15, (2, 3, rows, columns))
    values = np.maximum(raw, 0).astype(dtype) if dtype[0] in "ub" else raw.astype(dtype)
    counted = np.abs(values) if dtype[0] == "c" else values.copy()
    if dtype[0] in "fc":
        values[0, 0, 0, 0], counted[0, 0, 0, 0] = np.nan, 0
    masks = {}
    if data.draw(st.booleans()):
        masks["valid"] = rng.random((2, 3)) > 0.3
        counted[~masks["valid"]] = 0
    if data.draw(st.booleans()):
        masks["bad_pixels"] = rng.random((rows, columns)) > 0.9
        counted[..., masks["bad_pixels"]] = 0
    left = data.draw(st.integers(0, 2))
    found = tile_sums(
        make_scan(values, **masks),
        (slice(None), slice(left, 3)),
        Resources(threads=2, memory=64 * 1024),
    )
    assert found.side == tile_side((rows, columns))
    assert found.values.shape[2:] == tile_grid((rows, columns), found.side)
    expected = summed(counted[:, left:], found.side)
    np.testing.assert_allclose(found.values, expected, rtol=0 if dtype[0] != "c" else 1e-12)
    if dtype[0] != "c":
        low, high = min(0, int(expected.min())), int(expected.max())
        narrow = np.promote_types(
            np.min_scalar_type(low), np.min_scalar_type(high if low == 0 else -max(1, high) - 1)
        )
        assert found.values.dtype == narrow


@given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 2**32))
def test_a_mask_of_whole_tiles_is_recognized(rows: int, columns: int, seed: int) -> None:
    """Tiles make a mask that is recognized; with one pixel more or less it is none of theirs."""
    rng = np.random.default_rng(seed)
    tiles = rng.random(tile_grid((rows, columns), 8)) > 0.5
    mask = np.repeat(np.repeat(tiles, 8, axis=0), 8, axis=1)[:rows, :columns]
    found = whole_tiles(mask, 8)
    assert found is not None
    np.testing.assert_array_equal(found, tiles)
    y, x = rng.integers(rows), rng.integers(columns)
    alone = (rows - y // 8 * 8 == 1 or rows == 1) and (columns - x // 8 * 8 == 1 or columns == 1)
    mask[y, x] = ~mask[y, x]
    assert alone or whole_tiles(mask, 8) is None


def test_the_largest_values_do_not_wrap() -> None:
    """Integers whose sums might not fit 64 bits are summed as floats."""
    largest = np.full((1, 8, 8), np.iinfo(np.uint64).max)
    assert sum_tiles(largest, 8)[0, 0, 0] == pytest.approx(64 * 2.0**64)
    fits = np.full((1, 8, 8), 2**57, np.uint64)
    assert sum_tiles(fits, 8).tolist() == [[[2**63]]]
    assert sum_tiles(np.full((1, 8, 8), -(2**57)), 8).tolist() == [[[-(2**63)]]]


def test_what_has_no_tiles_is_refused(make_scan: MakeScan) -> None:
    """Regions with steps are refused."""
    scan = make_scan(np.ones((3, 4, 8, 8), np.uint8))
    with pytest.raises(OptionError, match="has steps"):
        tile_sums(scan, (slice(None, None, 2), slice(None)))
    with pytest.raises(UnsupportedDataError, match="'stack'"):
        tile_sums(dataclasses.replace(scan, kind="stack"))
