"""Kernels against xarray, scipy, torch and integer arithmetic."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
import xarray as xr
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stemzarr.errors import OptionError, UnsupportedDataError
from stemzarr.views import downsample
from stemzarr.views.kernels import join_scan, sum_dtype

DTYPES = ("uint8", "uint16", "uint32", "int8", "int16", "int32", "float32", "float64")
SIZES = st.integers(1, 23)
FACTORS = st.integers(1, 7)


def counted(dtype: str, shape: tuple[int, ...], seed: int = 0) -> NDArray[Any]:
    """Return counts as an electron counting camera gives them, a few hot pixels among them."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(0.8, shape)
    counts[rng.random(shape) < 0.01] = 120
    return counts.astype(dtype)


def patterns() -> st.SearchStrategy[tuple[NDArray[Any], tuple[int, int]]]:
    """Give patterns of any size and type with factors that fit but need not divide."""

    def build(dtype: str, y: int, x: int, fy: int, fx: int) -> tuple[NDArray[Any], tuple[int, int]]:
        return counted(dtype, (2, 3, y, x), y * 31 + x), (min(fy, y), min(fx, x))

    return st.builds(build, st.sampled_from(DTYPES), SIZES, SIZES, FACTORS, FACTORS)


def reference(values: NDArray[Any], factors: tuple[int, int], method: str) -> NDArray[Any]:
    """Return the definition of a method in float64, by libraries that are not ours."""
    y, x = (size // f for size, f in zip(values.shape[-2:], factors, strict=True))
    exact = values.astype(np.float64)
    if method == "bin":
        array = xr.DataArray(exact, dims=("a", "b", "y", "x"))
        return array.coarsen(y=factors[0], x=factors[1], boundary="trim").mean().values
    if method == "stride":
        return exact[..., :: factors[0], :: factors[1]][..., :y, :x]
    if method == "gauss":
        sigma = (0, 0, *(f / 2 if f > 1 else 0 for f in factors))
        smooth = scipy.ndimage.gaussian_filter(exact, sigma, mode="reflect")
        return smooth[..., :: factors[0], :: factors[1]][..., :y, :x]
    return scipy.signal.resample(scipy.signal.resample(exact, y, axis=-2), x, axis=-1)


@pytest.mark.parametrize("method", ["bin", "stride", "gauss", "fft"])
@given(patterns())
@settings(max_examples=60)
def test_every_method_equals_its_definition(
    method: Any, case: tuple[NDArray[Any], tuple[int, int]]
) -> None:
    """Each method equals xarray, numpy or scipy in float64, whether the factor divides or not."""
    values, factors = case
    ours = downsample(values, factors, method=method)
    theirs = reference(values, factors, method)
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=2e-6, atol=2e-5)


@pytest.mark.parametrize("method", ["bin", "gauss", "fft"])
@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16", "int16", "int32", "float32"])
@pytest.mark.parametrize(
    ("shape", "factors"),
    [
        ((64, 128), (2, 2)),
        ((68, 72), (2, 2)),
        ((516, 100), (2, 2)),
        ((256, 192), (4, 3)),
        ((96, 132), (3, 2)),
        ((100, 70), (1, 2)),
        ((250, 258), (4, 4)),
        ((67, 131), (2, 2)),
        ((130, 66), (2, 2)),
        ((160, 100), (5, 3)),
    ],
)
def test_detectors_of_usual_sizes_equal_the_definition(
    shape: tuple[int, int], factors: tuple[int, int], dtype: str, method: Any
) -> None:
    """Results that fall into halves, exactly divided ones and the rest equal scipy and xarray."""
    values = counted(dtype, (1, 3, *shape))
    ours = downsample(values, factors, method=method)
    np.testing.assert_allclose(ours, reference(values, factors, method), rtol=2e-6, atol=3e-5)


@given(patterns())
def test_sums_are_exact_and_wide_enough(case: tuple[NDArray[Any], tuple[int, int]]) -> None:
    """Sums of integers equal those of numpy's widest integers; none of their types overflows."""
    values, factors = case
    (fy, fx), (y, x) = factors, values.shape[-2:]
    trimmed = values[..., : y // fy * fy, : x // fx * fx].astype(object)
    blocks = trimmed.reshape(2, 3, y // fy, fy, x // fx, fx).sum(axis=(3, 5))
    ours = downsample(values, factors, reduce="sum")
    np.testing.assert_array_equal(ours.astype(object), blocks)
    if values.dtype.kind in "iu" and factors != (1, 1):
        assert ours.dtype.itemsize > values.dtype.itemsize


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int8", "int16", "int32"])
@pytest.mark.parametrize("factor", [2, 5, 17])
def test_sums_of_the_largest_values_do_not_overflow(dtype: str, factor: int) -> None:
    """The sum and the mean of nothing but the extreme value are exact for every type."""
    extreme = np.iinfo(dtype).min or np.iinfo(dtype).max
    values = np.full((2, 34, 34), extreme, dtype)
    total = downsample(values, (factor, factor), reduce="sum")
    assert set(total.ravel().tolist()) == {int(extreme) * factor**2}
    mean = downsample(values, (factor, factor))
    np.testing.assert_allclose(mean, float(extreme), rtol=1e-7)


@given(st.sampled_from(["uint8", "uint16", "int16"]), st.integers(1, 6), st.integers(1, 6))
def test_bin_conserves_counts_and_composes(dtype: str, y: int, x: int) -> None:
    """Binning by 2 twice is binning by 4, and no count is lost where the factor divides."""
    values = counted(dtype, (3, 4 * y, 4 * x))
    once = downsample(values, (4, 4), reduce="sum")
    twice = downsample(downsample(values, (2, 2), reduce="sum"), (2, 2), reduce="sum")
    np.testing.assert_array_equal(once, twice)
    assert once.sum() == values.sum(dtype=np.int64)


@given(st.integers(1, 6), st.integers(8, 40), st.integers(8, 40))
def test_bin_equals_the_average_pooling_of_torch(factor: int, y: int, x: int) -> None:
    """The mean of blocks is what torch's avg_pool2d gives a network."""
    torch = pytest.importorskip("torch")
    values = counted("float32", (3, y, x))
    theirs = torch.nn.functional.avg_pool2d(torch.from_numpy(values), factor).numpy()
    np.testing.assert_allclose(downsample(values, (factor, factor)), theirs, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("method", ["bin", "gauss", "fft"])
@given(patterns())
@settings(max_examples=20)
def test_means_never_fall_back_to_integers(
    method: Any, case: tuple[NDArray[Any], tuple[int, int]]
) -> None:
    """A mean of counts is a float: 0.3 counts are not 0."""
    values, factors = case
    expected = "float64" if values.dtype.name in ("uint32", "int32", "float64") else "float32"
    if factors != (1, 1):
        assert downsample(values, factors, method=method).dtype.name == expected


@pytest.mark.parametrize("method", ["bin", "gauss", "fft"])
def test_a_constant_stays_constant(method: Any) -> None:
    """No method changes the level of a flat pattern, at its edges neither."""
    flat = np.full((2, 19, 22), 7, np.uint16)
    np.testing.assert_allclose(downsample(flat, (3, 4), method=method), 7, rtol=1e-6)


def test_gauss_takes_a_width_without_a_factor() -> None:
    """A width smooths at full size too, and outranks the default of half the factor."""
    values = counted("uint16", (2, 20, 30))
    smooth = scipy.ndimage.gaussian_filter(values.astype(float), (0, 1.3, 1.3))
    np.testing.assert_allclose(
        downsample(values, (1, 1), method="gauss", sigma=1.3), smooth, atol=1e-5
    )
    np.testing.assert_allclose(
        downsample(values, (2, 2), method="gauss", sigma=1.3), smooth[:, ::2, ::2], atol=1e-5
    )


@pytest.mark.parametrize("method", ["bin", "stride", "gauss", "fft"])
def test_dask_arrays_stay_lazy_and_give_the_same(method: Any) -> None:
    """A dask array, its patterns cut anyhow, gives the values of the array in memory."""
    values = counted("uint16", (4, 5, 13, 18))
    lazy = downsample(da.from_array(values, chunks=(2, 2, 5, 7)), (3, 2), method=method)
    assert isinstance(lazy, da.Array)
    eager = downsample(values, (3, 2), method=method)
    assert lazy.shape == eager.shape
    assert lazy.dtype == eager.dtype
    np.testing.assert_array_equal(lazy.compute(), eager)


@pytest.mark.parametrize("method", ["bin", "gauss", "fft"])
@given(st.integers(9, 150), st.integers(9, 150), st.integers(1, 4), st.integers(1, 11))
@settings(max_examples=25)
def test_a_pattern_becomes_the_same_in_any_company(
    method: Any, y: int, x: int, factor: int, first: int
) -> None:
    """The bits of a result do not depend on which patterns are worked on at once."""
    values = counted("uint16", (12, y, x), y * 151 + x)
    values[0, 0, 0] = 65535  # its group cannot be summed in its own type
    together = downsample(values, (factor, factor), method=method)
    np.testing.assert_array_equal(
        downsample(values[first:], (factor, factor), method=method), together[first:]
    )


@given(
    st.sampled_from(["uint8", "uint16", "uint32", "uint64"]),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.integers(0, 1),
    st.integers(0, 3),
)
def test_sums_at_the_end_of_the_range_are_exact(
    dtype: str, factors: tuple[int, int], beyond: int, spare: int
) -> None:
    """Blocks whose sum just fits the type of the values, or just does not, are summed exactly."""
    value = np.iinfo(dtype).max // (factors[0] * factors[1]) + beyond
    assume(value <= np.iinfo(dtype).max and not (dtype == "uint64" and beyond))
    values = np.full((2, factors[0] * 3 + spare, factors[1] * 5 + spare), value, dtype)
    total = downsample(values, factors, reduce="sum")
    assert set(total.ravel().tolist()) == {int(value) * factors[0] * factors[1]}
    np.testing.assert_allclose(downsample(values, factors), float(value), rtol=1e-7)


LARGE = st.sampled_from(["int64", "uint64", "float16", "float32", "float64"])


def largest(dtype: str) -> Any:
    """Return the largest value of a type."""
    kind = np.dtype(dtype)
    return np.finfo(kind).max if kind.kind == "f" else np.iinfo(kind).max


@given(LARGE, st.integers(1, 70), st.integers(1, 70), st.integers(2, 4), st.integers(0, 9))
@settings(max_examples=80)
def test_no_mean_overflows(dtype: str, y: int, x: int, factor: int, seed: int) -> None:
    """Means of the largest values of a type are those of Python's fractions, of blocks and scans.

    Neighbours that hold small values come out as they do without the large ones.
    """
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 100, (2, y * factor, x * factor)).astype(dtype)
    large = rng.random((y, x)) < 0.3
    mask = np.kron(large, np.ones((factor, factor), bool))
    small, top = values.copy(), np.dtype(dtype).type(largest(dtype) * 0.9)
    values[1, mask] = top
    mean = downsample(values, (factor, factor))
    np.testing.assert_allclose(mean[1, large], float(top), rtol=1e-6)
    expected = downsample(small, (factor, factor))
    np.testing.assert_array_equal(mean[0], expected[0])
    np.testing.assert_array_equal(mean[1, ~large], expected[1, ~large])
    scan = values.reshape(2, y, factor, x, factor).transpose(2, 4, 0, 1, 3)
    np.testing.assert_allclose(join_scan(scan, factor, "mean")[0, 0], mean, rtol=1e-6)


@pytest.mark.parametrize("method", ["gauss", "fft"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(9, 10), (128, 192)])
def test_smoothing_does_not_overflow(method: Any, dtype: str, shape: tuple[int, int]) -> None:
    """Patterns near the end of the range become what they do at a smaller scale; so do others."""
    plain = np.random.default_rng(0).uniform(0.5, 1, (3, *shape)).astype(dtype)
    values = plain.copy()
    values[1] *= np.dtype(dtype).type(largest(dtype) * 0.7)
    ours = downsample(values, (2, 2), method=method)
    theirs = downsample(plain, (2, 2), method=method)
    np.testing.assert_array_equal(ours[::2], theirs[::2])
    scale = float(largest(dtype)) * 0.7
    np.testing.assert_allclose(ours[1].astype(np.longdouble) / scale, theirs[1], rtol=1e-5)


@given(LARGE, st.integers(2, 5))
def test_sums_that_no_type_holds_are_refused(dtype: str, factor: int) -> None:
    """A sum beyond the widest type is an error; one that just fits it is exact."""
    values = np.zeros((2, 2 * factor, 2 * factor), dtype)
    values[..., ::factor, ::factor] = largest(dtype) if dtype != "float16" else 60000
    total = downsample(values, (factor, factor), reduce="sum")
    np.testing.assert_array_equal(total, values[..., ::factor, ::factor])
    scan = values.reshape(2, 2, factor, 2, factor).transpose(2, 4, 0, 1, 3)
    np.testing.assert_array_equal(join_scan(scan, factor, "sum")[0, 0], total)
    if dtype == "float16":
        return
    values[1, 1, 1] = largest(dtype)
    for add in (
        lambda: downsample(values, (factor, factor), reduce="sum"),
        lambda: join_scan(scan, factor, "sum"),
    ):
        with pytest.raises(UnsupportedDataError, match=r"values is too large for \w+64|float32"):
            add()


def test_what_is_not_finite_stays_in_its_block() -> None:
    """Infinities and NaN of the data pass through a mean, and spoil no other."""
    values = np.ones((2, 4, 4), np.float32)
    values[0, 0, 0], values[1, 3, 3] = np.nan, np.inf
    mean = downsample(values, (2, 2))
    np.testing.assert_array_equal(mean[0], [[np.nan, 1], [1, 1]])
    np.testing.assert_array_equal(mean[1], [[1, 1], [1, np.inf]])
    assert downsample(values, (2, 2), reduce="sum")[1, 1, 1] == np.inf


def test_what_cannot_work_is_refused() -> None:
    """A factor beyond the detector and complex means are errors; complex strides are not."""
    with pytest.raises(OptionError, match="cannot downsample 5 detector pixels by 6"):
        downsample(np.zeros((5, 8)), (6, 2))
    waves = np.ones((4, 4), np.complex64)
    with pytest.raises(UnsupportedDataError):
        downsample(waves, (2, 2))
    assert downsample(waves, (2, 2), method="stride").shape == (2, 2)


@given(st.sampled_from(DTYPES), st.integers(1, 4), st.sampled_from(["mean", "sum"]))
def test_joined_scan_positions_are_summed_exactly(dtype: str, factor: int, reduce: Any) -> None:
    """Joining positions equals coarsening the scan dims of a labelled array."""
    values = counted(dtype, (2 * factor, 3 * factor, 4, 5))
    array = xr.DataArray(values.astype(np.float64), dims=("a", "b", "y", "x"))
    theirs = getattr(array.coarsen(a=factor, b=factor), reduce)().values
    np.testing.assert_allclose(join_scan(values, factor, reduce), theirs, rtol=1e-6)


def test_sum_types_grow_with_what_they_hold() -> None:
    """The type doubles at least, and grows until every possible sum fits."""
    assert sum_dtype("uint16", 4) == np.uint32
    assert sum_dtype("uint16", 2**17) == np.uint64
    assert sum_dtype("int8", 4) == np.int16
    assert sum_dtype("bool", 4) == np.uint16
    assert sum_dtype("float16", 4) == np.float32
    assert sum_dtype("uint64", 4) == np.uint64


@pytest.mark.parametrize("method", ["bin", "stride", "gauss", "fft"])
@pytest.mark.parametrize("dtype", [">u2", ">u4", ">i2", ">f4"])
@pytest.mark.parametrize("factors", [(1, 2), (1, 4), (2, 2)])
def test_the_byte_order_of_values_changes_nothing(
    method: Any, dtype: str, factors: tuple[int, int]
) -> None:
    """Values in the order of another machine give what they give in that of this one."""
    values = counted("uint16", (3, 12, 16)).astype(dtype)
    ours = downsample(values, factors, method=method)
    native = values.astype(values.dtype.newbyteorder("="))
    np.testing.assert_array_equal(ours, downsample(native, factors, method=method))
