"""Previews and statistics are exact, of any values, whatever the threads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from stemzarr.errors import EntryNotFoundError
from stemzarr.measure.accumulate import Accumulator
from stemzarr.measure.counts import fold_counts
from stemzarr.measure.disk import find_disk
from stemzarr.measure.moments import Moments, merge_statistics
from stemzarr.model import Source, Statistics
from stemzarr.options import IngestOptions
from stemzarr.store import open_previews, read_record, read_store, write_store
from stemzarr.testing.sources import counted, document_of, source_of

NO_SYNC = IngestOptions(sync=False)


def expected(values: NDArray[Any]) -> Statistics:
    """Return the statistics of all finite values, by numpy in float64."""
    real = np.abs(values) if values.dtype.kind == "c" else values
    wide = real.astype(np.float64).reshape(-1)
    wide = wide[np.isfinite(wide)]
    logs = np.log1p(np.maximum(wide, 0))
    return Statistics(
        count=wide.size,
        min=wide.min(),
        max=wide.max(),
        mean=wide.mean(),
        std=wide.std(),
        zero_fraction=(wide == 0).mean(),
        log1p_mean=logs.mean(),
        log1p_std=logs.std(),
    )


def assert_equal(found: Statistics, wanted: Statistics) -> None:
    """Compare statistics to what float64 can tell."""
    for name in ("count", "min", "max"):
        assert getattr(found, name) == getattr(wanted, name), name
    for name in ("mean", "std", "zero_fraction", "log1p_mean", "log1p_std"):
        scale = max(1.0, abs(wanted.mean))
        assert getattr(found, name) == pytest.approx(
            getattr(wanted, name), rel=1e-9, abs=1e-12 * scale
        ), name


def folded(values: NDArray[Any], patterns: int) -> Statistics:
    """Return the statistics of (patterns, pixels) values, folded in chunks of some patterns."""
    fold = Accumulator(pixels=values.shape[1], dtype=values.dtype, mask=None)
    chunks = [min(patterns, len(values) - start) for start in range(0, len(values), patterns)]
    fold.add(values, chunks)
    return merge_statistics(fold.counts(), [fold.moments])


COUNTS = hnp.arrays(
    st.sampled_from(["u1", "u2", "i2", "u4", "i4", "f4", "f8"]),
    st.tuples(st.integers(1, 20), st.sampled_from([1, 3, 8, 64, 128])),
    elements=st.one_of(st.just(0), st.integers(0, 3), st.integers(0, 100)),
)


@settings(max_examples=200)
@given(values=COUNTS, patterns=st.integers(1, 20))
def test_counts_fold_exactly(values: NDArray[Any], patterns: int) -> None:
    """Sparse and dense counts in any type, cut anywhere, give numpy's statistics."""
    assert_equal(folded(values, patterns), expected(values))


@given(
    patterns=st.integers(1, 40),
    pixels=st.sampled_from([1, 3, 64, 130]),
    largest=st.sampled_from([1, 2, 3, 255, 256, 4095, 8191, 8192, 65535]),
    share=st.sampled_from([0.0, 0.01, 0.5, 1.0]),
    narrow=st.booleans(),
)
@example(patterns=14, pixels=3, largest=8191, share=1.0, narrow=False)
def test_sums_of_counts_do_not_overflow(
    *, patterns: int, pixels: int, largest: int, share: float, narrow: bool
) -> None:
    """Sums, maxima and histogram are numpy's, also where they just exceed a narrow type."""
    dtype = "u1" if narrow and largest <= 255 else "u2"
    rng = np.random.default_rng(patterns)
    values = np.where(rng.random((patterns, pixels)) < share, largest, 0).astype(dtype)
    histogram = np.zeros(65536, np.int64)
    sums = fold_counts(values, histogram)
    np.testing.assert_array_equal(sums.top, values.max(0))
    np.testing.assert_array_equal(sums.total, values.sum(0, dtype=np.int64))
    np.testing.assert_array_equal(
        histogram[1:], np.bincount(values.reshape(-1), minlength=65536)[1:]
    )


@settings(max_examples=100)
@given(
    values=hnp.arrays(
        np.int64,
        st.tuples(st.integers(1, 9), st.sampled_from([1, 5, 64])),
        elements=st.integers(-300, 32767),
    ),
    dtype=st.sampled_from(["i2", "i4", "i8", "u2", "f4", "f8"]),
    patterns=st.integers(1, 9),
)
def test_large_and_negative_values_fold_exactly(
    values: NDArray[Any], dtype: str, patterns: int
) -> None:
    """Bright, negative and overflowing sums fall to the exact slow way and agree with numpy."""
    cast = values.astype(dtype)
    assert_equal(folded(cast, patterns), expected(cast))


def test_the_brightest_16_bit_patterns_do_not_overflow() -> None:
    """Sums of 65535 in every pixel are exact."""
    values = np.full((16, 256), 65535, "u2")
    fold = Accumulator(pixels=256, dtype=values.dtype, mask=None)
    fold.add(values, [len(values)])
    assert_equal(merge_statistics(fold.counts(), []), expected(values))


def test_a_mean_far_above_the_spread_keeps_its_spread() -> None:
    """float64 values of 1e9 with a spread of 1e-3: no digits are lost by squaring."""
    values = 1e9 + np.random.default_rng(0).normal(0, 1e-3, (64, 100))
    assert folded(values, 7).std == pytest.approx(values.std(), rel=1e-5)


def test_empty_moments_are_zeros() -> None:
    """No finite value at all gives zeros and a count of 0, not NaN."""
    statistics = merge_statistics(np.zeros(4, np.int64), [Moments()])
    assert statistics.count == 0
    assert statistics.mean == statistics.min == statistics.log1p_std == 0.0


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i2", "i4", "f4", "f8", "?"])
def test_pictures_equal_numpy(
    make_source: Callable[..., Source], tmp_path: Path, dtype: str
) -> None:
    """Mean, maximum, total, bright and dark field equal what numpy makes of the whole array."""
    values = counted((11, 13, 32, 40)).clip(0, 100).astype(dtype)
    write_store(make_source(values), tmp_path / "x.zarr", NO_SYNC)
    previews = open_previews(tmp_path / "x.zarr")
    wide = values.astype(np.float64)
    np.testing.assert_allclose(previews.mean_diffraction, wide.mean((0, 1)), rtol=1e-6)
    np.testing.assert_array_equal(previews.max_diffraction, values.max((0, 1)))
    np.testing.assert_array_equal(previews.total_intensity, wide.sum((2, 3)))
    disk = previews.attrs["disk"]
    y, x = np.indices(values.shape[2:])
    radius = np.hypot(y - disk["center_y"], x - disk["center_x"])
    inside, outside = radius <= disk["radius"], radius > disk["annulus_inner"]
    np.testing.assert_array_equal(previews.bright_field, wide[..., inside].sum(-1))
    np.testing.assert_array_equal(previews.annular_dark_field, wide[..., outside].sum(-1))
    assert_equal(
        read_store(tmp_path / "x.zarr").document.statistics or expected(values), expected(values)
    )


def test_the_disk_is_where_it_is(make_source: Callable[..., Source], tmp_path: Path) -> None:
    """Centre and radius of a disk off the middle are found to a pixel, hot pixels or not."""
    rng = np.random.default_rng(3)
    y, x = np.indices((64, 80))
    rate = np.where(np.hypot(y - 25.5, x - 47) <= 9, 10.0, 0.05)
    rate += np.where(np.hypot(y - 50, x - 20) <= 9, 1.5, 0.0)
    values = rng.poisson(rate, (6, 7, 64, 80)).astype("u2")
    values[:, :, 5, 5] = 60000
    write_store(make_source(values), tmp_path / "x.zarr", NO_SYNC)
    disk = open_previews(tmp_path / "x.zarr").attrs["disk"]
    assert disk["found"] == 1
    assert disk["center_y"] == pytest.approx(25.5, abs=1)
    assert disk["center_x"] == pytest.approx(47, abs=1)
    assert disk["radius"] == pytest.approx(9, abs=1)


@given(
    mean=hnp.arrays(
        np.float64,
        st.tuples(st.integers(1, 12), st.integers(1, 12)),
        elements=st.floats(-1e6, 1e6),
    )
)
def test_any_mean_pattern_has_a_disk(mean: NDArray[np.float64]) -> None:
    """Whatever the pattern, the disk lies on the detector and holds a pixel."""
    disk = find_disk(mean)
    assert -0.5 <= disk.center_y <= mean.shape[0]
    assert -0.5 <= disk.center_x <= mean.shape[1]
    assert 0 < disk.radius < disk.inner


@pytest.mark.parametrize("dtype", ["f4", "f8", "c8"])
def test_what_is_not_finite_is_left_out(
    make_source: Callable[..., Source], tmp_path: Path, dtype: str
) -> None:
    """NaN and infinity do not spoil statistics or pictures; the values stay as they are."""
    values = np.random.default_rng(0).normal(5, 1, (3, 4, 8, 8)).astype(dtype)
    values[0, 0, :2] = np.nan
    values[1, 1, 0, 0] = np.inf
    write_store(make_source(values), tmp_path / "x.zarr", NO_SYNC)
    statistics = read_store(tmp_path / "x.zarr").document.statistics
    assert statistics is not None
    assert_equal(statistics, expected(values))
    for name in ("mean_diffraction", "total_intensity", "bright_field"):
        assert np.isfinite(open_previews(tmp_path / "x.zarr")[name]).all()
    with xr.open_zarr(tmp_path / "x.zarr") as dataset:
        assert dataset.intensity.values.tobytes() == values.tobytes()


@pytest.mark.parametrize("dtype", ["f4", "f8", "c8", "c16"])
def test_the_largest_floats_are_stored_in_silence(
    make_source: Callable[..., Source], tmp_path: Path, dtype: str
) -> None:
    """Sums that overflow give no warning, no disk, and a store that opens."""
    values = np.full((2, 3, 8, 8), 0.9 * np.finfo(dtype).max, dtype)
    values[0, 0] *= -1
    values[1] *= 1 + 1j if values.dtype.kind == "c" else 1
    write_store(make_source(values), tmp_path / "x.zarr", NO_SYNC)
    assert open_previews(tmp_path / "x.zarr").attrs["disk"]["found"] == 0
    read_store(tmp_path / "x.zarr")
    with xr.open_zarr(tmp_path / "x.zarr") as dataset:
        assert dataset.intensity.values.tobytes() == values.tobytes()


@pytest.mark.parametrize("dtype", ["?", "i1", "u1", "i2", "u4", "i8", "f2", "f8"])
@pytest.mark.parametrize("end", ["min", "max"])
def test_the_maximum_is_exact_in_every_type(
    make_source: Callable[..., Source],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    dtype: str,
    end: str,
) -> None:
    """Also where it is the end of the type, and where a shard is folded in several pieces."""
    monkeypatch.setattr("stemzarr.store.format.plan.CHUNK_BYTES", 256)
    monkeypatch.setattr("stemzarr.measure.accumulate._PIECE_BYTES", 256)
    values = counted((4, 9, 8, 8)).clip(0, 100).astype(dtype)
    limits = np.iinfo(dtype) if values.dtype.kind in "iu" else None
    values[:, :, 0, 0] = bool(end == "max") if limits is None else getattr(limits, end)
    write_store(make_source(values), tmp_path / "x.zarr", NO_SYNC)
    found = open_previews(tmp_path / "x.zarr").max_diffraction
    assert found.dtype == values.dtype
    np.testing.assert_array_equal(found, values.max((0, 1)))


@pytest.mark.parametrize("value", [0, 7])
def test_a_constant_scan_has_previews(
    make_source: Callable[..., Source], tmp_path: Path, value: int
) -> None:
    """All zeros, or all the same: statistics are plain, the disk is a marked guess."""
    write_store(make_source(np.full((2, 3, 8, 8), value, "u2")), tmp_path / "x.zarr", NO_SYNC)
    previews = open_previews(tmp_path / "x.zarr")
    assert previews.attrs["std"] == 0
    assert previews.attrs["mean"] == value
    assert previews.attrs["disk"]["found"] == 0


def test_threads_do_not_change_a_bit(tmp_path: Path) -> None:
    """float32 noise in several shards: one thread and four give the same previews, to the bit."""
    values = np.random.default_rng(1).normal(0, 1, (8, 9, 64, 64)).astype("f4")
    source = source_of(tmp_path / "source.bin", [document_of(values)])
    found = []
    for threads in (1, 4):
        store = tmp_path / f"{threads}.zarr"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("stemzarr.store.format.plan._LEAST_SHARD", 2**17)
            patch.setattr("stemzarr.store.format.plan._SHARD_PATTERNS", 1)
            patch.setattr("stemzarr.store.format.plan.CHUNK_BYTES", 2**16)
            write_store(source, store, IngestOptions(threads=threads, sync=False))
        found.append(
            {p.name: p.read_bytes() for p in (store / "preview").rglob("*") if p.is_file()}
        )
    assert found[0] == found[1]


def test_floats_that_hold_counts_are_said(
    make_source: Callable[..., Source], tmp_path: Path
) -> None:
    """A note tells that float32 data hold only integers; real floats have none."""
    source = make_source(counted((2, 2, 8, 8)).astype("f4"))
    result = write_store(source, tmp_path / "x.zarr", NO_SYNC)
    assert any("only integers" in note for note in result.notes)
    assert any("only integers" in note for note in read_record(tmp_path / "x.zarr")["notes"])
    source = make_source(np.random.default_rng(0).random((2, 2, 8, 8), "f4"))
    assert not write_store(source, tmp_path / "y.zarr", NO_SYNC).notes


def test_without_previews_there_are_none(
    make_source: Callable[..., Source], tmp_path: Path
) -> None:
    """`preview=False` leaves the group out; opening says so by an empty Dataset."""
    options = IngestOptions(preview=False, sync=False)
    write_store(make_source(counted((2, 2, 8, 8))), tmp_path / "x.zarr", options)
    assert not (tmp_path / "x.zarr/preview").exists()
    assert not open_previews(tmp_path / "x.zarr")
    assert read_store(tmp_path / "x.zarr").document.statistics is None
    with pytest.raises(EntryNotFoundError):
        open_previews(tmp_path / "x.zarr", "survey")


def test_the_bright_field_is_an_ome_image(
    make_source: Callable[..., Source], tmp_path: Path
) -> None:
    """The group's ``ome`` block names an array that is there, two space axes, scale and shift."""
    source = make_source(counted((3, 4, 16, 16)))
    write_store(source, tmp_path / "x.zarr", NO_SYNC)
    (image,) = open_previews(tmp_path / "x.zarr").attrs["ome"]["multiscales"]
    assert [axis["type"] for axis in image["axes"]] == ["space", "space"]
    assert [axis["unit"] for axis in image["axes"]] == ["nanometer", "nanometer"]
    (dataset,) = image["datasets"]
    assert (tmp_path / "x.zarr/preview" / dataset["path"] / "zarr.json").is_file()
    scale, shift = dataset["coordinateTransformations"]
    assert scale["scale"] == [axis.scale for axis in source.document.axes[:2]]
    assert shift["translation"] == [axis.offset for axis in source.document.axes[:2]]


@settings(max_examples=30)
@given(
    st.sampled_from(["u1", "u2", "i2", "u4", "f4", "f8"]),
    st.sampled_from([0, -7, 0.25]),
    st.integers(0, 29),
    st.integers(1, 3),
)
def test_what_was_not_recovered_does_not_count(
    tmp_path_factory: pytest.TempPathFactory, dtype: str, level: float, lost: int, threads: int
) -> None:
    """Statistics, mean and maximum of a salvaged scan are those of the patterns that it holds."""
    values = np.random.default_rng(3).poisson(1.5, (6, 5, 8, 9)).astype(dtype)
    values -= np.array(level if np.dtype(dtype).kind != "u" else 0).astype(dtype)
    valid = (np.arange(30) < 30 - lost).reshape(6, 5)
    values[~valid] = 0
    folder = tmp_path_factory.mktemp("salvaged")
    source = source_of(folder / "s.dm4", [document_of(values, valid=valid)])
    write_store(source, folder / "s.zarr", IngestOptions(sync=False, threads=threads))
    found = read_store(folder / "s.zarr").document.statistics
    assert found is not None
    assert_equal(found, expected(values[valid]))
    previews = open_previews(folder / "s.zarr")
    np.testing.assert_allclose(previews.mean_diffraction, values[valid].mean(axis=0), rtol=1e-6)
    np.testing.assert_array_equal(previews.max_diffraction, values[valid].max(axis=0))
    np.testing.assert_allclose(previews.total_intensity, values.sum(axis=(2, 3), dtype=float))
