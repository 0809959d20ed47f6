"""Augmented batches: counts stay counts, and geometry is that of numpy and scipy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from stemzarr.errors import OptionError

torch = pytest.importorskip("torch")

from stemzarr.torch import Orient, Resample, Rotate, Shift, Thin  # noqa: E402 - needs torch


def batch_of(shape: tuple[int, int], count: int = 64, dtype: Any = np.float32) -> Any:
    """Return patterns whose pixels all differ."""
    size = shape[0] * shape[1]
    values = np.arange(count * size).reshape(count, 1, *shape) % 200 + 1
    return torch.from_numpy(values.astype(dtype))


def random(seed: int) -> Any:
    """Return a source of random numbers."""
    return torch.Generator().manual_seed(seed)


@given(st.integers(0, 99), st.sampled_from([(5, 5), (4, 6)]), st.sampled_from(["u2", "u4", "f4"]))
@settings(max_examples=10, deadline=None)
def test_orientations_are_those_of_numpy(seed: int, shape: tuple[int, int], dtype: str) -> None:
    """Each pattern is one of the symmetries of its detector, and all of them come."""
    batch = batch_of(shape, dtype=dtype)
    turned = Orient(generator=random(seed))(batch)
    turns = range(4) if shape[0] == shape[1] else (0, 2)
    seen = set()
    for before, after in zip(batch[:, 0].numpy(), turned[:, 0].numpy(), strict=True):
        ways = [np.rot90(m, turn) for turn in turns for m in (before, np.fliplr(before))]
        (way,) = [n for n, values in enumerate(ways) if np.array_equal(values, after)]
        seen.add(way)
    assert seen == set(range(2 * len(turns)))
    assert turned.dtype == batch.dtype


@given(st.integers(0, 99), st.integers(0, 7), st.sampled_from(["u1", "u2", "f4"]))
@settings(max_examples=10, deadline=None)
def test_shifts_are_those_of_scipy(seed: int, most: int, dtype: str) -> None:
    """Each pattern is moved by whole pixels within the bounds, and nothing comes around."""
    batch = batch_of((5, 6), 12, dtype)
    moved = Shift(most=most, generator=random(seed))(batch)
    by = range(-most, most + 1)
    for before, after in zip(batch[:, 0].numpy(), moved[:, 0].numpy(), strict=True):
        assert any(
            np.array_equal(scipy.ndimage.shift(before, (y, x), order=0), after)
            for y in by
            for x in by
        )
    assert moved.dtype == batch.dtype


def test_counts_stay_counts_of_the_right_distribution() -> None:
    """Thinned Poisson counts are Poisson counts of a lower mean; resampled ones have two noises.

    Bounds are five standard deviations of the mean and of the variance.
    """
    recorded = torch.poisson(torch.full((50, 1, 40, 50), 6.0), generator=random(1))
    thinned = Thin(keep=0.25, generator=random(2))(recorded)
    assert bool((thinned <= recorded).all())
    drawn = Resample(dose=2.0, generator=random(3))(recorded)
    for counts, mean, variance in ((thinned, 1.5, 1.5), (drawn, 12.0, 36.0)):
        values = counts.numpy().astype(np.float64).ravel()
        assert np.array_equal(values, np.floor(values))
        assert abs(values.mean() - mean) < 5 * np.sqrt(variance / values.size)
        assert abs(values.var() - variance) < 5 * variance * np.sqrt(3 / values.size)
    histogram = np.bincount(thinned.numpy().astype(int).ravel(), minlength=8)[:8]
    expected = scipy.stats.poisson(1.5).pmf(np.arange(8)) * thinned.numel()
    assert (
        scipy.stats.chisquare(histogram, expected * histogram.sum() / expected.sum()).pvalue > 1e-6
    )
    assert torch.equal(Thin(keep=1)(recorded), recorded)


def test_rotations_are_those_of_scipy() -> None:
    """A smooth pattern is turned as scipy turns it; nothing happens at an angle of 0."""
    y, x = np.mgrid[:41, :31]
    pattern = np.exp(-((y - 26) ** 2 + (x - 13) ** 2) / 30).astype(np.float32)
    batch = torch.from_numpy(np.repeat(pattern[None, None], 6, axis=0))
    rotate = Rotate(most_deg=90, generator=random(5))
    turned = rotate(batch)[:, 0].numpy()
    drawn = torch.rand(6, generator=random(5)).numpy()
    for angle, values in zip((2 * drawn - 1) * 90, turned, strict=True):
        reference = scipy.ndimage.rotate(pattern, angle, reshape=False, order=1)
        np.testing.assert_allclose(values, reference, atol=0.02)
    np.testing.assert_allclose(Rotate(most_deg=0)(batch), batch, atol=1e-5)


def test_what_is_not_a_batch_of_counts_is_refused() -> None:
    """Scaled values, means, pairs with labels and impossible settings are named."""
    batch = batch_of((4, 4), 2)
    refused: list[tuple[Any, str]] = [
        (lambda: Thin(keep=0.5)(batch.log1p()), "not counts"),
        (lambda: Resample()(-batch), "not counts"),
        (lambda: Orient()((batch, {}, None)), "not tuple"),
        (lambda: Shift(most=1)(batch[0]), "not \\(1, 4, 4\\)"),
        (lambda: Rotate()(batch.int()), "cannot be interpolated"),
        (lambda: Thin(keep=0), "keep is 0"),
        (lambda: Resample(dose=-1), "dose is -1"),
        (lambda: Rotate(most_deg=360), "most_deg is 360"),
        (lambda: Shift(most=-1), "most is -1"),
    ]
    for act, message in refused:
        with pytest.raises(OptionError, match=message):
            act()
