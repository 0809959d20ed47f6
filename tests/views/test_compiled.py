"""Compiled kernels: what numpy's passes give, to the last bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemzarr.views import compiled
from stemzarr.views.kernels import downsample_view
from stemzarr.views.view import View

LARGE = 2**40


@pytest.fixture
def numba(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put the compiled kernels to use in one test."""
    package = pytest.importorskip("numba")
    monkeypatch.setattr(compiled, "_numba", None)
    compiled.prepare_compiled(LARGE)
    assert compiled._numba is package
    return package


@given(st.data())
@settings(max_examples=12)
@pytest.mark.usefixtures("numba")
def test_compiled_means_have_the_bits_of_the_plain_ones(data: st.DataObject) -> None:
    """Any factors, sizes that they do not divide, and counts up to the largest of their type."""
    factors = data.draw(st.sampled_from([(2, 2), (8, 3)]))
    number, height, width = (data.draw(st.integers(1, 3)) for _ in range(3))
    rest = data.draw(st.integers(0, 1))
    dtype = data.draw(st.sampled_from([np.uint8, np.uint16]))
    shape = (number, height * factors[0], width * factors[1] + rest)
    seed = data.draw(st.integers(0, 99))
    values = np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, shape, dtype)
    found = np.full((number, height, width), np.nan, np.float32)
    assert compiled.bin_means(values, factors, found)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "_numba", None)
        expected = downsample_view(values, View(downsample=factors))
    assert found.tobytes() == expected.tobytes()


@pytest.mark.usefixtures("numba")
def test_what_is_not_compiled_is_left_to_numpy() -> None:
    """Other types, large factors and arrays with gaps fill nothing."""
    counts, out = np.ones((2, 32, 32), np.uint16), np.full((2, 16, 16), 7, np.float32)
    assert not compiled.bin_means(counts.astype(np.int16), (2, 2), out)
    assert not compiled.bin_means(counts.astype(">u2"), (2, 2), out)
    assert not compiled.bin_means(counts, (2, 2), out.astype(np.float64))
    assert not compiled.bin_means(counts, (16, 16), out[:, :2, :2].copy())
    assert not compiled.bin_means(np.ones((2, 32, 64), np.uint16)[..., ::2], (2, 2), out)
    assert (out == 7).all()
    assert (downsample_view(counts[..., ::-1], View(downsample=2), out) == 1).all()


def test_small_work_starts_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does any work where numba is missing, does not go with numpy, or is switched off."""
    monkeypatch.setattr(compiled, "_numba", None)
    compiled.prepare_compiled(2**20)
    assert compiled._numba is None

    def refuse(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(compiled, "_find_numba", compiled._find_numba.__wrapped__)
    monkeypatch.setattr(compiled.importlib, "import_module", refuse)
    compiled.prepare_compiled(LARGE)
    assert compiled._numba is None
