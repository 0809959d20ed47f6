"""Patterns, means and profiles are numpy's; likeness is its correlation coefficient."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from stemzarr.errors import OptionError
from stemzarr.model import ArrayBlocks, Tiles
from stemzarr.pixels.resources import Resources
from stemzarr.views import tile_sums
from stemzarr.views.likeness import correlate, likeness
from stemzarr.views.patterns import mean_pattern, pattern, radial_profile

from .test_virtual import MakeScan

COUNTS = np.random.default_rng(3).poisson(2, (5, 6, 18, 25)).astype(np.uint16)


def test_a_pattern_is_as_it_was_recorded(make_scan: MakeScan) -> None:
    """By its position, counted from the start or the end, with its coordinates."""
    document = make_scan(COUNTS)
    found = pattern(document, 3, -1)
    np.testing.assert_array_equal(found, COUNTS[3, 5])
    assert found.dtype == np.uint16
    assert float(found["scan_x"]) == document.axes[1].values()[5]
    for y, x in ((5, 0), (0, -7), (0.5, 0)):
        with pytest.raises(OptionError, match="no position"):
            pattern(document, y, x)  # type: ignore[arg-type]


@given(st.integers(0, 99), st.sampled_from(["scan_y=1:4,scan_x=2:5", "", "mask"]))
def test_means_are_numpys(make_scan: MakeScan, seed: int, region: str) -> None:
    """Of a rectangle, of any mask, of all; lost positions and bad pixels do not count."""
    rng = np.random.default_rng(seed)
    valid, bad = rng.random((5, 6)) > 0.2, rng.random((18, 25)) > 0.95
    document = make_scan(COUNTS, valid=valid, bad_pixels=bad)
    mask = rng.random((5, 6)) > 0.5
    mask[2, 3] = valid[2, 3] = True
    chosen = np.zeros((5, 6), bool)
    chosen[1:4, 2:5] = True
    kept = valid & {"mask": mask, "": np.ones((5, 6), bool)}.get(region, chosen)
    given_region: Any = mask if region == "mask" else region
    found = mean_pattern(document, given_region, Resources(threads=2, memory=20_000))
    np.testing.assert_allclose(found, np.where(bad, 0, COUNTS[kept].mean(axis=0)), rtol=1e-12)
    assert found.attrs["patterns"] == kept.sum()


def test_a_profile_is_the_mean_of_rings(make_scan: MakeScan) -> None:
    """Each ring is a pixel wide, and bad pixels are in none."""
    bad = np.random.default_rng(0).random((18, 25)) > 0.9
    document = make_scan(COUNTS, bad_pixels=bad)
    axes = [dataclasses.replace(axis, scale=0.5) for axis in document.axes]
    document = dataclasses.replace(document, axes=tuple(axes))
    y, x = (axis.values() for axis in document.axes[2:])
    found = radial_profile(document, center=(y[7], x[9]))
    mean, radius = COUNTS.mean(axis=(0, 1)), np.hypot(*(np.indices((18, 25)).T - (7, 9)).T)
    for place, value in enumerate(found.to_numpy()):
        ring = (np.rint(radius) == place) & ~bad
        expected = mean[ring].mean() if ring.any() else np.nan
        np.testing.assert_allclose(value, expected)
        assert float(found["radius"][place]) == pytest.approx(place * 0.5)


@given(y=st.integers(0, 4), x=st.integers(0, 5), kept=st.booleans())
def test_likeness_is_a_correlation(make_scan: MakeScan, y: int, x: int, *, kept: bool) -> None:
    """Of tile sums, kept or summed, with a position or the pattern there."""
    document = make_scan(COUNTS)
    sums = tile_sums(document)
    if kept:
        tiles = Tiles(side=sums.side, blocks=ArrayBlocks(sums.values))
        document = dataclasses.replace(document, tiles=tiles)
    found = likeness(document, (y, x)).to_numpy()
    rows = sums.values.reshape(30, -1).astype(float)
    expected = np.corrcoef(rows)[y * 6 + x].reshape(5, 6)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_array_equal(likeness(document, COUNTS[y, x]), found)


def test_the_planted_grain_is_found(make_scan: MakeScan) -> None:
    """Noisy patterns of one orientation resemble each other more than those of the others."""
    rng = np.random.default_rng(1)
    spots = spots_of(rng, grains=4)
    grain = rng.integers(4, size=(9, 10))
    values = rng.poisson(spots[grain]).astype(np.uint8)
    y, x = np.argwhere(grain == 2)[0]
    found = likeness(make_scan(values), (int(y), int(x))).to_numpy()
    assert found[grain == 2].min() > found[grain != 2].max()


def spots_of(rng: np.random.Generator, grains: int) -> Any:
    """Return the rates of one pattern of Bragg disks for each orientation."""
    y, x = np.indices((64, 64))
    rates = np.full((grains, 64, 64), 0.02)
    rates += 2.0 * (np.hypot(y - 32, x - 32) < 5)
    for number in range(grains):
        for row, column in rng.uniform(6, 58, (12, 2)):
            rates[number] += 0.5 * (np.hypot(y - row, x - column) < 4)
    return rates


def test_an_empty_pattern_resembles_none(make_scan: MakeScan) -> None:
    """It is NaN, and a pattern of another detector is refused."""
    values = COUNTS.copy()
    values[1, 1] = 0
    found = likeness(make_scan(values), (0, 0)).to_numpy()
    assert np.isnan(found[1, 1])
    assert np.isfinite(found).sum() == 29
    with pytest.raises(OptionError, match="shape"):
        likeness(make_scan(values), np.ones((18, 24)))


@given(
    hnp.arrays(np.uint64, st.tuples(st.integers(1, 9), st.just(16)), elements=st.integers(0, 99)),
    st.sampled_from([0, 65_000, 10**9]),
)
def test_a_high_background_costs_no_digits(rows: NDArray[Any], background: int) -> None:
    """As exact fractions have it, in groups of rows, also where the first value is far off."""
    wide = np.where(np.arange(16) > 0, rows + np.uint64(background), 0)
    model = np.arange(16) ** 2
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stemzarr.views.likeness._GROUP_BYTES", 3 * model.nbytes)
        found = correlate(wide, model.astype(np.float64))
    for row, one in zip(wide.tolist(), found, strict=True):
        products, squares = (
            16 * sum(a * b for a, b in zip(row, other, strict=True)) - sum(row) * sum(other)
            for other in (model.tolist(), row)
        )
        length = 16 * int((model**2).sum()) - int(model.sum()) ** 2
        expected = products / math.sqrt(squares) / math.sqrt(length) if squares else math.nan
        assert one == pytest.approx(expected, abs=1e-9, nan_ok=True)
