"""Operators along one axis against scipy, and what it costs to make them."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stemzarr.views.separable import Operator, apply_separable, fourier_operator, gauss_operator

DOUBLE = np.dtype(np.float64)


def matrices_of(size: int, rows: Operator, columns: Operator) -> tuple[NDArray[np.float64], ...]:
    """Return the weights (output, input) of operators along the rows and along the columns."""
    none, unit = fourier_operator(size, 1, DOUBLE), np.eye(size)[np.newaxis]
    down, along = np.empty((1, rows.size, size)), np.empty((1, size, columns.size))
    apply_separable(unit, rows, none, down)
    apply_separable(unit, none, columns, along)
    return down[0], along[0].T


@given(st.integers(1, 300), st.integers(1, 9), st.booleans())
@settings(max_examples=150)
def test_a_crop_of_the_spectrum_is_that_of_scipy(size: int, factor: int, apart: bool) -> None:
    """Every weight is right to the last digits of float64, for even, odd and halved sizes."""
    factor = min(factor, size)
    operator = fourier_operator(size, factor, DOUBLE, apart=apart)
    found = matrices_of(size, operator, fourier_operator(size, factor, DOUBLE))
    expected = scipy.signal.resample(np.eye(size), size // factor, axis=0)
    for matrix in found:
        np.testing.assert_allclose(matrix, expected, atol=1e-14)


@given(st.integers(1, 150), st.integers(1, 9), st.floats(0.1, 20))
@settings(max_examples=60)
def test_a_gaussian_is_that_of_scipy(size: int, factor: int, sigma: float) -> None:
    """Every weight is that of scipy with reflected ends, also where the filter exceeds the axis."""
    factor = min(factor, size)
    operator = gauss_operator(size, factor, sigma, DOUBLE)
    expected = scipy.ndimage.gaussian_filter1d(np.eye(size), sigma, axis=0)
    for matrix in matrices_of(size, operator, operator):
        np.testing.assert_allclose(matrix, expected[::factor][: size // factor], atol=1e-13)


@pytest.mark.parametrize(("size", "factor"), [(4096, 2), (4096, 1), (4095, 2), (4096, 3)])
def test_operators_of_large_detectors_take_little_memory(size: int, factor: int) -> None:
    """While an operator is made, hardly more is held than its weights, each of them twice."""
    tracemalloc.start()
    try:
        operator = fourier_operator.__wrapped__(size, factor, np.dtype(np.float32), apart=True)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert operator.size == size // factor
    assert peak < 2.2 * 4 * size * (size // factor)
