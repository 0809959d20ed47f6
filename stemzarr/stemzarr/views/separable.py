"""Linear operators along one axis of patterns, as products of small matrices.

Every product is kept below the size from which OpenBLAS starts threads of its own: many threads
render at once here, and BLAS threads on top of them wait for each other (a product of 64 × 128 by
128 × 256 ran at 6 instead of 80 GFLOP/s on two processors). numpy makes all products of one call
without the lock of the interpreter, for which threads would wait between smaller calls.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Operator", "apply_separable", "fourier_operator", "gauss_operator"]

_BAND = 16
_PRODUCT = 2**18
_TRUNCATE = 4.0


@dataclass(frozen=True, slots=True, eq=False)
class Band:
    """A few output pixels of an operator."""

    rows: slice
    """Which output pixels."""
    columns: slice
    """Which input pixels they need."""
    matrix: NDArray[Any]
    """Weights (output, input)."""
    transposed: NDArray[Any]
    """The same as (input, output), contiguous."""


@dataclass(frozen=True, slots=True, eq=False)
class Halves:
    """A periodic operator: a shift of the input by its half shifts the output by its half.

    It maps sums and differences of the two halves apart, which is half the work, and the first
    step of a fast Fourier transform.
    """

    matrices: NDArray[Any]
    """Weights (2, half of the output, what enters): for the sums and for the differences."""
    transposed: NDArray[Any]
    """The same as (2, what enters, half of the output), contiguous."""
    apart: bool
    """Whether the even input pixels stay out of the products: each counts half in the output pixel
    that it is on, and their alternating sum enters last."""


@dataclass(frozen=True, slots=True, eq=False)
class Operator:
    """A matrix (output, input) along one axis."""

    size: int
    """Number of output pixels."""
    bands: tuple[Band, ...]
    """The matrix, cut along its output; empty where it falls into halves."""
    halves: Halves | None = None
    """The matrix, where it falls into halves."""


def _bands(size: int) -> list[NDArray[np.int64]]:
    """Return runs of output pixels of nearly one length."""
    return np.array_split(np.arange(size), math.ceil(size / _BAND))


def _band(rows: NDArray[np.int64], columns: slice, matrix: NDArray[Any]) -> Band:
    return Band(
        rows=slice(int(rows[0]), int(rows[-1]) + 1),
        columns=columns,
        matrix=matrix,
        transposed=np.ascontiguousarray(matrix.T),
    )


def _cut(matrix: NDArray[Any], dtype: np.dtype[Any]) -> Iterator[Band]:
    """Cut a matrix into bands, each with the columns that are not zero."""
    for rows in _bands(len(matrix)):
        used = np.flatnonzero(matrix[rows].any(axis=0))
        columns = slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0, 1)
        yield _band(rows, columns, np.ascontiguousarray(matrix[rows, columns], dtype))


@functools.lru_cache(maxsize=16)
def fourier_operator(
    size: int, factor: int, dtype: np.dtype[Any], *, apart: bool = False
) -> Operator:
    """Return the operator that crops the spectrum of `size` pixels to size // factor.

    Each side of the Nyquist frequency of an even result takes half of what both sides had, as
    `scipy.signal.resample` does; the mean is kept.

    Parameters
    ----------
    size, factor
        Input pixels, and the factor.
    dtype
        Type of the weights.
    apart
        Whether input pixels that are on output pixels are left out of the products if the factor
        is 2. That halves the products along the rows of a pattern, which are apart anyway.
    """
    kept = size // factor
    if factor == 1:
        return Operator(size, tuple(_cut(np.eye(size, dtype=bool), dtype)))
    if kept % 2 or size % 2 or kept < 2 * _BAND:
        columns = np.arange(size)
        rows = _bands(kept)
        blocks = (_fourier_weights(size, kept, part, columns).astype(dtype) for part in rows)
        whole = slice(0, size)
        return Operator(kept, tuple(_band(p, whole, b) for p, b in zip(rows, blocks, strict=True)))
    return Operator(kept, (), _fourier_halves(size, kept, dtype, apart=apart and size == 2 * kept))


def _fourier_halves(size: int, kept: int, dtype: np.dtype[Any], *, apart: bool) -> Halves:
    apart = apart and size % 4 == 0
    columns = np.arange(1, size // 2, 2) if apart else np.arange(size // 2)
    matrices = np.empty((2, kept // 2, len(columns) + apart), dtype)
    for rows in _bands(kept // 2):
        same = _fourier_weights(size, kept, rows, columns)
        other = _fourier_weights(size, kept, rows, columns + size // 2)
        part = matrices[:, rows[0] : rows[-1] + 1, : len(columns)]
        part[0], part[1] = (same + other) / 2, (same - other) / 2
    if apart:
        # On its own lattice the filter is 1 / 2 at 0 and, since the result has its Nyquist
        # frequency but once, (-1)**n / size everywhere. A shift by half of the output keeps that
        # sign or turns it.
        matrices[:, :, -1] = 0
        matrices[kept // 2 % 2, :, -1] = (-1.0) ** np.arange(kept // 2) / size
    return Halves(matrices, np.ascontiguousarray(matrices.transpose(0, 2, 1)), apart)


def _fourier_weights(
    size: int, kept: int, rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return what each input pixel weighs in some output pixels, shape (rows, columns).

    That is the sum of the waves that are kept, both of the Nyquist frequency among them, at the
    distance of the two pixels: the kernel of Dirichlet, sin(n x) / sin(x) for n waves. Distances
    are whole multiples of 1 / (size * kept) of the width, so that no angle is rounded.
    """
    waves, width = kept + 1 - kept % 2, size * kept
    distance = (rows[:, np.newaxis] * size - columns * kept) % width
    above = np.sin(distance * waves % (2 * width) * (np.pi / width))
    below = np.sin(distance * (np.pi / width))
    weights = np.full(distance.shape, float(waves))
    np.divide(above, below, out=weights, where=distance != 0)
    return weights / size


@functools.lru_cache(maxsize=16)
def gauss_operator(size: int, factor: int, sigma: float, dtype: np.dtype[Any]) -> Operator:
    """Return the operator that smooths `size` pixels and keeps every n-th.

    The kernel ends at 4 sigma and the axis is reflected at its ends (d c b a | a b c d), as
    `scipy.ndimage.gaussian_filter` does by default.
    """
    radius = math.floor(_TRUNCATE * sigma + 0.5)
    offsets = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (offsets / sigma) ** 2) if sigma else np.ones(1)
    weights /= weights.sum()
    centres = np.arange(size // factor) * factor
    matrix = np.zeros((len(centres), size))
    for offset, weight in zip(offsets, weights, strict=True):
        place = (centres + offset) % (2 * size)
        place = np.where(place < size, place, 2 * size - 1 - place)
        np.add.at(matrix, (np.arange(len(centres)), place), weight)
    return Operator(len(matrix), tuple(_cut(matrix, dtype)))


def apply_separable(
    values: NDArray[Any], rows: Operator, columns: Operator, out: NDArray[Any]
) -> None:
    """Map patterns by one operator along each axis.

    Parameters
    ----------
    values
        (..., det_y, det_x) real numbers.
    rows, columns
        Operators along det_y and det_x.
    out
        (..., rows.size, columns.size) for the result: C-contiguous, in the type of the operators.
    """
    patterns = values.reshape(-1, *values.shape[-2:])
    between = np.empty((len(patterns), rows.size, patterns.shape[2]), out.dtype)
    _map_rows(patterns, rows, between)
    _map_columns(between, columns, out.reshape(-1, rows.size, columns.size))


def _map_rows(values: NDArray[Any], operator: Operator, out: NDArray[Any]) -> None:
    """Map (patterns, input, width) along the second dim into (patterns, output, width)."""
    # Converted once, since numpy adds values of another type through a small buffer.
    patterns = values.astype(out.dtype, copy=False)
    halves = operator.halves
    if halves is None:
        for band in operator.bands:
            _multiply_rows(band.matrix, patterns[:, band.columns], out[:, band.rows])
        return
    (count, size, width), kept = patterns.shape, operator.size // 2
    entering = np.empty((2, count, halves.matrices.shape[2], width), out.dtype)
    _join_halves(patterns, entering, size // 2, apart=halves.apart)
    mapped = np.empty((2, count, kept, width), out.dtype)
    _multiply_rows(halves.matrices[:, np.newaxis], entering, mapped)
    np.add(mapped[0], mapped[1], out=out[:, :kept])
    np.subtract(mapped[0], mapped[1], out=out[:, kept:])
    if halves.apart:
        out += np.multiply(patterns[:, ::2], out.dtype.type(0.5))


def _join_halves(patterns: NDArray[Any], entering: NDArray[Any], half: int, *, apart: bool) -> None:
    """Fill the sums and the differences of the halves, of those rows that enter the products."""
    rows = slice(1, None, 2) if apart else slice(None)
    low, high = patterns[:, :half][:, rows], patterns[:, half:][:, rows]
    np.add(low, high, out=entering[0, :, : low.shape[1]])
    np.subtract(low, high, out=entering[1, :, : low.shape[1]])
    if apart:
        np.subtract(patterns[:, ::4], patterns[:, 2::4]).sum(axis=1, out=entering[0, :, -1])
        entering[1, :, -1] = entering[0, :, -1]


def _map_columns(values: NDArray[Any], operator: Operator, out: NDArray[Any]) -> None:
    """Map (patterns, rows, input) into (patterns, rows, output)."""
    halves = operator.halves
    if halves is None:
        for band in operator.bands:
            _multiply_columns(values[..., band.columns], band.transposed, out[..., band.rows])
        return
    half, kept = values.shape[2] // 2, operator.size // 2
    entering = np.empty((2, *values.shape[:2], half), out.dtype)
    np.add(values[..., :half], values[..., half:], out=entering[0])
    np.subtract(values[..., :half], values[..., half:], out=entering[1])
    mapped = np.empty((2, *values.shape[:2], kept), out.dtype)
    _multiply_columns(entering, halves.transposed[:, np.newaxis], mapped)
    np.add(mapped[0], mapped[1], out=out[..., :kept])
    np.subtract(mapped[0], mapped[1], out=out[..., kept:])


def _multiply_rows(matrix: NDArray[Any], values: NDArray[Any], out: NDArray[Any]) -> None:
    """Multiply (..., output, input) by (..., input, width), a few columns of the latter at once."""
    width = values.shape[-1]
    few = _few(matrix)
    whole = width // few * few
    for start, stop, each in ((0, whole, few), (whole, width, width - whole)):
        if stop > start:
            taken, given = (
                part[..., start:stop].reshape(*part.shape[:-1], -1, each).swapaxes(-3, -2)
                for part in (values, out)
            )
            np.matmul(matrix[..., np.newaxis, :, :], taken, out=given)


def _multiply_columns(values: NDArray[Any], matrix: NDArray[Any], out: NDArray[Any]) -> None:
    """Multiply (..., rows, input) by (..., input, output), a few rows of the former at once."""
    rows = values.shape[-2]
    few = _few(matrix)
    whole = rows // few * few
    for start, stop, each in ((0, whole, few), (whole, rows, rows - whole)):
        if stop > start:
            taken, given = (
                part[..., start:stop, :].reshape(*part.shape[:-2], -1, each, part.shape[-1])
                for part in (values, out)
            )
            np.matmul(taken, matrix[..., np.newaxis, :, :], out=given)


def _few(matrix: NDArray[Any]) -> int:
    """Return how many columns a matrix may be multiplied by at once: a power of two."""
    most = _PRODUCT // (matrix.shape[-2] * matrix.shape[-1])
    few: int = 1 << max(0, most.bit_length() - 1)
    return few
