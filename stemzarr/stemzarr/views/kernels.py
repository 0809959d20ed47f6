"""Downsampling of patterns: pure functions on arrays (..., det_y, det_x).

All methods give size // factor pixels. ``bin`` drops the remainder at the high side, ``stride``
and ``gauss`` keep the first size // factor samples, ``fft`` keeps the whole field of view.

Sums of integers are made in an integer type that holds every possible sum, or in float32 where
every partial sum is a whole number below 2**24, which float32 holds exactly. Sums of float32
add one row and one column at a time, so that their relative error grows with the factor, not
with its square: below 1e-6 up to a factor of 8. No mean overflows; a sum that no type holds is
refused.
"""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray

from stemzarr.errors import OptionError, UnsupportedDataError
from stemzarr.views.compiled import bin_means
from stemzarr.views.overflow import check_integers, check_range, correct_floats, is_finite
from stemzarr.views.separable import (
    Operator,
    apply_separable,
    fourier_operator,
    gauss_operator,
)
from stemzarr.views.view import Method, Reduce, View

__all__ = ["downsample", "join_scan", "sum_dtype", "working_dtype"]

_EXACT_IN_FLOAT32 = 2**24


def working_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    """Return the float type that means of `dtype` are given in.

    float32 for integers up to 16 bits and float32, float64 for what float32 cannot hold.

    Examples
    --------
    >>> working_dtype("uint16"), working_dtype("int32")
    (dtype('float32'), dtype('float64'))
    """
    return np.result_type(np.dtype(dtype), np.float32)


def sum_dtype(dtype: DTypeLike, count: int) -> np.dtype[Any]:
    """Return the type that holds any sum of `count` values: at least twice as wide for integers.

    float16 becomes float32; 64-bit integers and other floats stay as they are, so that their sums
    must be checked.

    Examples
    --------
    >>> sum_dtype("uint8", 4), sum_dtype("uint8", 1024), sum_dtype("int16", 4)
    (dtype('uint16'), dtype('uint32'), dtype('int32'))
    """
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        dtype = np.dtype(np.uint8)
    if count == 1:
        return dtype
    if dtype.kind not in "iu":
        return np.result_type(dtype, np.float32) if dtype.kind == "f" else dtype
    largest = np.iinfo(dtype).max * count
    width = min(8, dtype.itemsize * 2)
    while width < 8 and np.iinfo(f"{dtype.kind}{width}").max < largest:  # noqa: PLR2004 - 64 bits
        width *= 2
    return np.dtype(f"{dtype.kind}{width}")


def downsample(
    values: NDArray[Any],
    factors: tuple[int, int],
    *,
    method: Method = "bin",
    reduce: Reduce = "mean",
    sigma: float | None = None,
) -> NDArray[Any]:
    """Return patterns downsampled by `factors`.

    Parameters
    ----------
    values
        (..., det_y, det_x) patterns, real; complex ones for ``stride`` only.
    factors
        Factors of det_y and det_x.
    method, reduce, sigma
        As the fields of `View`.

    Returns
    -------
    numpy.ndarray
        (..., det_y // factor, det_x // factor). The dtype is that of `values` for ``stride``,
        `sum_dtype` for sums, `working_dtype` otherwise. A dask array where `values` is one;
        `values` itself where neither factors nor `sigma` change it.

    Raises
    ------
    OptionError
        A factor is larger than the detector.
    UnsupportedDataError
        The values are complex and the method is not ``stride``, or a sum is too large for its type.
    """
    if tuple(factors) == (1, 1) and sigma is None:
        return values
    view = View(downsample=factors, method=method, reduce=reduce, sigma=sigma)
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    if hasattr(values, "dask"):
        return _downsample_dask(values, view)
    return downsample_view(values, view)


def _downsample_dask(values: Any, view: View) -> NDArray[Any]:  # noqa: ANN401 - a dask array
    lazy = values.rechunk({values.ndim - 2: -1, values.ndim - 1: -1})
    sizes = output_sizes(values.shape[-2:], view)
    probe = downsample_view(np.ones(values.shape[-2:], values.dtype), view)
    chunks = (*lazy.chunks[:-2], *((size,) for size in sizes))
    mapped = lazy.map_blocks(
        downsample_view, view, dtype=probe.dtype, chunks=chunks, meta=probe[:0, :0]
    )
    return cast("NDArray[Any]", mapped)


def output_sizes(sizes: tuple[int, ...], view: View) -> tuple[int, int]:
    """Return the detector's size after the view.

    Raises
    ------
    OptionError
        A factor is larger than the detector.
    """
    for size, factor in zip(sizes, view.factors, strict=True):
        if factor > size:
            msg = f"cannot downsample {size} detector pixels by {factor}"
            raise OptionError(msg, hint=f"use a factor of at most {min(sizes)}")
    return sizes[0] // view.factors[0], sizes[1] // view.factors[1]


def rendered_dtype(dtype: np.dtype[Any], view: View) -> np.dtype[Any]:
    """Return the type in which `downsample_view` gives patterns of `dtype`."""
    if not view.changes_detector or view.method == "stride":
        return dtype
    if view.method == "bin" and view.reduce == "sum":
        return sum_dtype(dtype, math.prod(view.factors))
    return working_dtype(dtype)


def downsample_view(
    values: NDArray[Any], view: View, out: NDArray[Any] | None = None
) -> NDArray[Any]:
    """Return patterns downsampled by the factors and method of a view; see `downsample`.

    Parameters
    ----------
    values
        (..., det_y, det_x) patterns.
    view
        The recipe, of which only the detector's part applies.
    out
        Where the result goes, C-contiguous and of `rendered_dtype`; a new array, or a view of
        `values`, where it is None.

    Raises
    ------
    UnsupportedDataError
        As `downsample`.
    """
    sizes = output_sizes(values.shape[-2:], view)
    if not view.changes_detector or view.method == "stride":
        y, x = view.factors
        kept = values[..., ::y, ::x][..., : sizes[0], : sizes[1]]
        if out is None:
            return kept
        np.copyto(out, kept)
        return out
    if values.dtype.kind == "c":
        msg = f"the method {view.method!r} takes no complex values"
        raise UnsupportedDataError(msg, hint="use the method 'stride'")
    if out is None:
        out = np.empty((*values.shape[:-2], *sizes), rendered_dtype(values.dtype, view))
    if view.method == "bin":
        with np.errstate(over="ignore", invalid="ignore"):
            _bin(values, view.factors, view.reduce, out)
        _check_bin(values, view.factors, view.reduce, out)
    else:
        _map(values, view, out)
    return out


def _bin(values: NDArray[Any], factors: tuple[int, int], reduce: Reduce, out: NDArray[Any]) -> None:
    if reduce == "mean" and bin_means(values, factors, out):
        return
    count = factors[0] * factors[1]
    roughly = reduce == "mean" and _is_widest(values.dtype)
    if (
        values.dtype.kind == "u"
        and not roughly
        and int(values.max(initial=0)) * count <= np.iinfo(values.dtype).max
    ):
        sums = _fold_columns(_sum_axis(values, -2, factors[0]), factors[1])
    else:
        # Converted once, since numpy adds values of another type through a small buffer.
        summing = out.dtype if roughly else _summing_dtype(values.dtype, count)
        sums = values.astype(summing, copy=False)
        sums = _sum_axis(_sum_axis(sums, -2, factors[0]), -1, factors[1])
    np.copyto(out, sums, casting="unsafe")
    if reduce == "mean":
        out *= out.dtype.type(1 / count)


def _check_bin(
    values: NDArray[Any], factors: tuple[int, int], reduce: Reduce, out: NDArray[Any]
) -> None:
    """Make means again that overflowed, and refuse sums that did."""
    (y, x), (rows, columns) = factors, out.shape[-2:]
    kept = values[..., : rows * y, : columns * x]
    blocks = kept.reshape(*values.shape[:-2], rows, y, columns, x).swapaxes(-3, -2)
    _check_joined(blocks, reduce, out)


def _check_joined(blocks: NDArray[Any], reduce: Reduce, out: NDArray[Any]) -> None:
    """Check what (..., rows, columns) values became; see `correct_floats` and `check_integers`."""
    if blocks.dtype.kind == "f":
        correct_floats(blocks, out, reduce)
    elif reduce == "sum":
        check_integers(blocks, out)


def _map(values: NDArray[Any], view: View, out: NDArray[Any]) -> None:
    """Map patterns by the operators of a view; those that overflow on the way once more, scaled."""
    sizes = values.shape[-2:]
    with np.errstate(over="ignore", invalid="ignore"):
        apply_separable(values, *_operators(sizes, view, out.dtype), out)
    if values.dtype.kind != "f" or is_finite(out):
        return
    exact = np.empty((1, *out.shape[-2:]))
    for place in map(tuple, np.argwhere(~np.isfinite(out).all(axis=(-2, -1)))):
        pattern = values[place].astype(np.float64)
        if not np.isfinite(pattern).all():
            continue
        largest = np.abs(pattern).max()
        apply_separable(pattern[np.newaxis] / largest, *_operators(sizes, view, exact.dtype), exact)
        with np.errstate(over="ignore"):
            made = exact[0] * largest
        check_range(made, out.dtype)
        out[place] = made


def _is_widest(dtype: np.dtype[Any]) -> bool:
    """Whether no integer type holds all sums of values of `dtype`, so that floats make the means.

    They do so for all values alike, so that no pattern depends on those that come with it.
    """
    return dtype.kind in "iu" and dtype.itemsize == 8  # noqa: PLR2004 - 64 bits


def _summing_dtype(dtype: np.dtype[Any], count: int) -> np.dtype[Any]:
    """Return the type in which any `count` values are added."""
    floats = working_dtype(dtype)
    if dtype.kind in "iub" and floats == np.float32:
        largest = 1 if dtype.kind == "b" else np.iinfo(dtype).max + 1
        if largest * count <= _EXACT_IN_FLOAT32:
            return floats
    return sum_dtype(dtype, count)


def _fold_columns(values: NDArray[Any], factor: int) -> NDArray[Any]:
    """Return sums of `factor` neighbours along the last axis of counts whose sums fit their type.

    Pairs of neighbours are added as the halves of integers twice as wide, which needs no
    gathering of every second value. The sums are then signed, since those become floats faster.
    """
    values, itemsize = values[..., : values.shape[-1] // factor * factor], values.itemsize
    while factor % 2 == 0 and values.itemsize < 8:  # noqa: PLR2004 - the widest integer
        bits = 8 * values.itemsize
        pairs = np.ascontiguousarray(values).view(f"u{2 * values.itemsize}")
        # The product has both halves added in its upper one.
        values = pairs * pairs.dtype.type(1 + (1 << bits))
        values >>= bits
        factor //= 2
    if values.itemsize > itemsize:
        values = values.view(f"i{values.itemsize}")
    return _sum_axis(values, -1, factor)


def _sum_axis(values: NDArray[Any], axis: int, factor: int) -> NDArray[Any]:
    """Return sums of `factor` neighbours along one of the last two axes, in the type of values."""
    kept = values.shape[axis] // factor * factor
    parts = [_every(values, axis, start, kept, factor) for start in range(factor)]
    if factor == 1:
        return parts[0]
    sums: NDArray[Any] = np.add(parts[0], parts[1])
    for part in parts[2:]:
        np.add(sums, part, out=sums)
    return sums


def _every(values: NDArray[Any], axis: int, start: int, stop: int, step: int) -> NDArray[Any]:
    index = slice(start, stop, step)
    return values[..., index, :] if axis == -2 else values[..., index]  # noqa: PLR2004 - det_y


def join_scan(values: NDArray[Any], factor: int, reduce: Reduce) -> NDArray[Any]:
    """Return patterns of factor × factor scan positions joined into one.

    Parameters
    ----------
    values
        (scan_y, scan_x, ...) patterns, both sizes multiples of `factor`.

    Raises
    ------
    UnsupportedDataError
        A sum is too large for its type.
    """
    rows, columns = values.shape[0] // factor, values.shape[1] // factor
    blocks = values.reshape(rows, factor, columns, factor, *values.shape[2:])
    roughly = reduce == "mean" and _is_widest(values.dtype)
    dtype = working_dtype(values.dtype) if roughly else sum_dtype(values.dtype, factor**2)
    with np.errstate(over="ignore", invalid="ignore"):
        joined: NDArray[Any] = blocks.sum(axis=(1, 3), dtype=dtype)
    if reduce == "mean":
        joined = joined.astype(working_dtype(values.dtype), copy=False)
        joined *= joined.dtype.type(1 / factor**2)
    _check_joined(np.moveaxis(blocks, (1, 3), (-2, -1)), reduce, joined)
    return joined


def _operators(
    sizes: tuple[int, ...], view: View, dtype: np.dtype[Any]
) -> tuple[Operator, Operator]:
    def operator(place: int) -> Operator:
        size, factor = sizes[place], view.factors[place]
        if view.method == "fft":
            return fourier_operator(size, factor, dtype, apart=place == 0)
        return gauss_operator(size, factor, view.sigmas[place], dtype)

    return operator(0), operator(1)
