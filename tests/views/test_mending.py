"""Bad pixels are masked or replaced on demand, the same whatever part of a scan is read."""

from __future__ import annotations

import dataclasses
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stemzarr.errors import OptionError, UnsupportedDataError
from stemzarr.measure.bad_pixels import KINDS_OF_BAD
from stemzarr.model import Measured, box_of, read_box
from stemzarr.pixels.resources import Resources
from stemzarr.views import View, apply, measure_document, virtual_image
from stemzarr.views.deflection import center_of_mass
from stemzarr.views.patterns import mean_pattern

from .test_virtual import MakeScan

SHAPE = (4, 5, 12, 15)


def mended(values: NDArray[Any], bad: NDArray[np.bool_]) -> NDArray[Any]:
    """Return values with the lower median of good neighbours, pixel by pixel."""
    found = values.copy()
    for y, x in np.argwhere(bad):
        found[..., y, x] = 0
        for reach in (1, 2):
            rows, columns = (slice(max(0, at - reach), at + reach + 1) for at in (y, x))
            near = values[..., rows, columns][..., ~bad[rows, columns]]
            if near.shape[-1]:
                found[..., y, x] = np.sort(near, axis=-1)[..., (near.shape[-1] - 1) // 2]
                break
    return found


@settings(max_examples=40)
@given(
    dtype=st.sampled_from(["uint8", "int16", "float32", "bool"]),
    seed=st.integers(0, 99),
    how=st.sampled_from(["mask", "median"]),
)
def test_what_is_read_is_what_numpy_makes(
    make_scan: MakeScan, dtype: str, seed: int, how: Any
) -> None:
    """Named and found ones together, of any box, through views that come after."""
    rng = np.random.default_rng(seed)
    values = rng.poisson(3, SHAPE).astype(dtype)
    named, kinds = rng.random(SHAPE[2:]) > 0.9, np.zeros(SHAPE[2:], np.uint8)
    kinds[rng.random(SHAPE[2:]) > rng.choice([0.95, 0.2])] = KINDS_OF_BAD["hot"]
    found = Measured(disk={}, names=("bad_pixels",), load=lambda _: kinds)
    document = make_scan(values, bad_pixels=named)
    known = dataclasses.replace(document, measured=found)
    bad = named | (kinds > 0)
    expected = np.where(bad, 0, values) if how == "mask" else mended(values, bad)
    viewed = pickle.loads(pickle.dumps(apply(document, View(bad_pixels=how))))
    np.testing.assert_array_equal(
        read_box(viewed.blocks, (0, 0, 0, 0), SHAPE),
        np.where(named, 0, values) if how == "mask" else mended(values, named),
    )
    viewed = apply(known, View(bad_pixels=how))
    start = [int(rng.integers(n)) for n in SHAPE]
    shape = [int(rng.integers(1, n - a + 1)) for a, n in zip(start, SHAPE, strict=True)]
    box = box_of(start, shape)
    np.testing.assert_array_equal(read_box(viewed.blocks, start, shape), expected[box])
    cut = apply(known, View(bad_pixels=how, roi="det_y=3:11,det_x=2:9", downsample=2))
    region = expected[..., 3:11, 2:8].reshape(4, 5, 4, 2, 3, 2)
    np.testing.assert_allclose(
        read_box(cut.blocks, (0, 0, 0, 0), (4, 5, 4, 3)), region.mean(axis=(3, 5)), rtol=1e-6
    )
    if viewed.bad_pixels is None:
        mean = mean_pattern(viewed, resources=Resources(threads=2, memory=4096))
        np.testing.assert_allclose(mean, expected.astype(float).mean((0, 1)), rtol=1e-12)


@settings(max_examples=25)
@given(
    dtype=st.sampled_from(["uint8", "uint16", "float32"]),
    seed=st.integers(0, 2**32),
    how=st.sampled_from(["mask", "median"]),
)
def test_images_and_centres_of_a_salvaged_scan_are_numpys(
    make_scan: MakeScan, dtype: str, seed: int, how: Any
) -> None:
    """Sums over any detector and centres of mass, bad pixels mended and lost patterns left out."""
    rng = np.random.default_rng(seed)
    values = rng.poisson(3, SHAPE).astype(dtype)
    valid, detector = rng.random(SHAPE[:2]) > 0.3, rng.random(SHAPE[2:]) > 0.5
    named, kinds = rng.random(SHAPE[2:]) > 0.9, np.zeros(SHAPE[2:], np.uint8)
    kinds[rng.random(SHAPE[2:]) > 0.9] = KINDS_OF_BAD["hot"]
    bad = named | (kinds > 0)
    detector[np.unravel_index(int(np.argmin(bad)), bad.shape)] = True
    found = Measured(disk={}, names=("bad_pixels",), load=lambda _: kinds)
    made = make_scan(values, bad_pixels=named, valid=valid)
    viewed = apply(dataclasses.replace(made, measured=found), View(bad_pixels=how))
    good = (np.where(bad, 0, values) if how == "mask" else mended(values, bad)).astype(float)
    good[~valid] = 0
    sums = good[..., detector].sum(axis=-1)
    np.testing.assert_allclose(virtual_image(viewed, mask=detector), sums, rtol=1e-6)
    shift = center_of_mass(viewed, mask=detector, center=(0.5, -2.0))
    places = np.meshgrid(*(axis.values() for axis in viewed.axes[2:]), indexing="ij")
    for name, place, middle in zip(("com_y", "com_x"), places, (0.5, -2.0), strict=True):
        with np.errstate(invalid="ignore"):
            expected = (good * place)[..., detector].sum(axis=-1) / sums - middle
        np.testing.assert_allclose(shift[name], expected, rtol=1e-6, atol=1e-9)


def test_found_ones_act_on_demand_alone(make_scan: MakeScan) -> None:
    """Without being asked for they count everywhere; masked they count nowhere."""
    values = np.random.default_rng(0).poisson(3, SHAPE).astype(np.uint16)
    values[..., 4, 6] = 9000
    kinds = np.zeros(SHAPE[2:], np.uint8)
    kinds[4, 6] = KINDS_OF_BAD["stuck"]
    measured = Measured(disk={}, names=("bad_pixels",), load=lambda _: kinds)
    document = dataclasses.replace(make_scan(values), measured=measured)
    assert apply(document, View(downsample=2, method="fft")).bad_pixels is None
    np.testing.assert_array_equal(virtual_image(document), values.sum(axis=(2, 3)))
    masked = apply(document, View(bad_pixels="mask"))
    np.testing.assert_array_equal(virtual_image(masked), values.sum(axis=(2, 3)) - 9000)
    assert measure_document(masked).max < 9000
    median = apply(document, View(bad_pixels="median", downsample=2, method="fft"))
    assert read_box(median.blocks, (0, 0, 0, 0), median.shape).max() < 100
    shift = center_of_mass(masked, center=(0.0, 0.0))["com_y"]
    plain = center_of_mass(make_scan(np.where(kinds, 0, values)), center=(0.0, 0.0))["com_y"]
    np.testing.assert_allclose(shift, plain)


def test_what_has_no_bad_pixels_stays(make_scan: MakeScan) -> None:
    """A view of a detector without any is the scan; another kind of document is refused."""
    document = make_scan(np.ones(SHAPE, np.uint8))
    with pytest.raises(OptionError, match="no bad pixels are known"):
        apply(document, View(bad_pixels="median"))
    none = Measured(disk={}, names=("bad_pixels",), load=lambda _: np.zeros(SHAPE[2:], np.uint8))
    known = dataclasses.replace(document, measured=none)
    assert apply(known, View(bad_pixels="median")).bad_pixels is None
    assert View.from_json(View(bad_pixels="mask").to_json()) == View(bad_pixels="mask")
    assert "bad_pixels" not in View().to_json()
    with pytest.raises(OptionError, match="no detector"):
        apply(dataclasses.replace(document, kind="array"), View(bad_pixels="mask"))
    with pytest.raises(OptionError, match="bad_pixels"):
        View(bad_pixels="leave")  # type: ignore[arg-type]
    bad = np.eye(12, 15) > 0
    unordered = make_scan(np.ones(SHAPE, np.complex64), bad_pixels=bad)
    with pytest.raises(UnsupportedDataError, match="median"):
        apply(unordered, View(bad_pixels="median"))
