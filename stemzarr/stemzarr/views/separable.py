"""Linear operators along one axis of patterns, as products of small matrices.

Each operator is cut into bands of a few output pixels, with only the input pixels that they
need. Every product is kept below the size from which OpenBLAS starts threads of its own: many
threads render at once here, and BLAS threads on top of them wait for each other (a product of
64 × 128 by 128 × 256 ran at 6 instead of 80 GFLOP/s on two processors).
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
class Operator:
    """A matrix (output, input) along one axis."""

    size: int
    """Number of output pixels."""
    bands: tuple[Band, ...]
    """The matrix, cut along its output; empty where it falls into halves."""
    halves: tuple[Operator, Operator] | None = None
    """What maps the sum and the difference of the halves of the input to those of the output."""


def make_operator(matrix: NDArray[Any], dtype: np.dtype[Any]) -> Operator:
    """Return a matrix (output, input) as an operator.

    A periodic operator, for which a shift of the input by half of its size shifts the output by
    half of its own, maps sums and differences of halves apart: half the work, and the part for
    the sums is periodic again. It is the first step of a fast Fourier transform.
    """
    kept, size = matrix.shape
    if kept % 2 == 0 and size % 2 == 0 and kept >= 2 * _BAND:
        (same, other), (other_too, same_too) = (np.hsplit(rows, 2) for rows in np.vsplit(matrix, 2))
        if np.allclose(same, same_too) and np.allclose(other, other_too):
            sums, differences = (same + other) / 2, (same - other) / 2
            return Operator(
                kept, (), (make_operator(sums, dtype), make_operator(differences, dtype))
            )
    return Operator(kept, tuple(_cut(matrix, dtype)))


def _cut(matrix: NDArray[Any], dtype: np.dtype[Any]) -> Iterator[Band]:
    """Cut a matrix into bands of nearly one height, each with the columns that are not zero."""
    for rows in np.array_split(np.arange(len(matrix)), math.ceil(len(matrix) / _BAND)):
        used = np.flatnonzero(matrix[rows].any(axis=0))
        columns = slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0, 1)
        block = np.ascontiguousarray(matrix[rows, columns], dtype)
        yield Band(
            rows=slice(int(rows[0]), int(rows[-1]) + 1),
            columns=columns,
            matrix=block,
            transposed=np.ascontiguousarray(block.T),
        )


@functools.lru_cache(maxsize=16)
def fourier_operator(size: int, factor: int, dtype: np.dtype[Any]) -> Operator:
    """Return the operator that crops the spectrum of `size` pixels to size // factor.

    Each side of the Nyquist frequency of an even result takes half of what both sides had, as
    `scipy.signal.resample` does; the mean is kept.
    """
    kept = size // factor
    spectrum = np.fft.rfft(np.eye(size), axis=0)[: kept // 2 + 1]
    if kept % 2 == 0 and kept < size:
        spectrum[-1] *= 2
    matrix = np.fft.irfft(spectrum, kept, axis=0) * (kept / size)
    return make_operator(matrix, dtype)


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
    return make_operator(matrix, dtype)


def apply_separable(values: NDArray[Any], rows: Operator, columns: Operator) -> NDArray[Any]:
    """Return patterns (..., det_y, det_x) mapped by one operator along each axis.

    Parameters
    ----------
    values
        Patterns in the dtype of the operators.
    rows, columns
        Operators along det_y and det_x.
    """
    lead = values.shape[:-2]
    patterns = np.ascontiguousarray(values).reshape(-1, *values.shape[-2:])
    mapped = _apply(_apply(patterns, rows, 1), columns, 2)
    return mapped.reshape(*lead, rows.size, columns.size)


def _apply(values: NDArray[Any], operator: Operator, axis: int) -> NDArray[Any]:
    if operator.halves is None:
        product = _map_rows if axis == 1 else _map_columns
        return product(values, operator.bands, operator.size)
    low, high = _halves(values, axis)
    sums = _apply(low + high, operator.halves[0], axis)
    differences = _apply(low - high, operator.halves[1], axis)
    shape = list(values.shape)
    shape[axis] = operator.size
    mapped = np.empty(shape, values.dtype)
    first, second = _halves(mapped, axis)
    np.add(sums, differences, out=first)
    np.subtract(sums, differences, out=second)
    return mapped


def _halves(values: NDArray[Any], axis: int) -> tuple[NDArray[Any], NDArray[Any]]:
    half = values.shape[axis] // 2
    if axis == 1:
        return values[:, :half], values[:, half:]
    return values[:, :, :half], values[:, :, half:]


def _map_rows(values: NDArray[Any], bands: tuple[Band, ...], size: int) -> NDArray[Any]:
    count, _, width = values.shape
    mapped = np.empty((count, size, width), values.dtype)
    for band in bands:
        few = max(1, _PRODUCT // band.matrix.size)
        for start in range(0, width, few):
            part = slice(start, start + few)
            np.matmul(band.matrix, values[:, band.columns, part], out=mapped[:, band.rows, part])
    return mapped


def _map_columns(values: NDArray[Any], bands: tuple[Band, ...], size: int) -> NDArray[Any]:
    count, height, width = values.shape
    flat = values.reshape(count * height, width)
    mapped = np.empty((count * height, size), values.dtype)
    for band in bands:
        few = min(len(flat), max(1, _PRODUCT // band.matrix.size))
        whole = len(flat) // few * few
        for rows, shape in ((slice(0, whole), (-1, few)), (slice(whole, None), (1, -1))):
            if len(flat[rows]):
                taken = flat[rows].reshape(*shape, width)[..., band.columns]
                out = mapped[rows].reshape(*shape, size)[..., band.rows]
                np.matmul(taken, band.transposed, out=out)
    return mapped.reshape(count, height, size)
