"""Any box of reordered, joined and raw blocks equals that of numpy."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

from stemzarr.errors import CorruptFileError, SourceChangedError, TruncatedFileError
from stemzarr.model import ArrayBlocks, read_box
from stemzarr.options import ReadOptions
from stemzarr.pixels.partial import SpreadBlocks
from stemzarr.pixels.reordered import ReorderedBlocks
from stemzarr.registry import read_source
from stemzarr.testing.contracts import check_blocks, check_reader


def counted(shape: tuple[int, ...], dtype: str = "<i4") -> np.ndarray[Any, Any]:
    """Return an array in which every value is another one."""
    return np.arange(math.prod(shape)).astype(dtype).reshape(shape)


@given(st.data(), array_shapes(min_dims=1, max_dims=5, max_side=5))
def test_transposed_boxes(data: st.DataObject, shape: tuple[int, ...]) -> None:
    """A box of transposed blocks is the box of the transposed array."""
    order = tuple(data.draw(st.permutations(range(len(shape)))))
    array = counted(shape)
    blocks = ReorderedBlocks(base=ArrayBlocks(array), order=order)
    expected = array.transpose(order)
    start = [data.draw(st.integers(0, n - 1)) for n in expected.shape]
    size = [data.draw(st.integers(1, n - a)) for a, n in zip(start, expected.shape, strict=True)]
    box = tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))
    assert blocks.shape == expected.shape
    np.testing.assert_array_equal(read_box(blocks, start, size), expected[box])


@given(st.data(), st.integers(1, 5), st.integers(1, 5), st.booleans(), st.booleans())
def test_regrouped_boxes(
    data: st.DataObject, rows: int, columns: int, lead: bool, fast: bool
) -> None:
    """Patterns regrouped into a scan keep their order, whatever their order on disk."""
    patterns = rows * columns
    divisors = [n for n in range(1, patterns + 1) if patterns % n == 0]
    first = data.draw(st.sampled_from(divisors))
    grouped = (first, patterns // first) if lead else (patterns,)
    array = counted((*grouped, 2, 3))
    expected = array.reshape(rows, columns, 2, 3)
    ndim = array.ndim
    order = (*range(2, ndim), 0, 1) if fast else tuple(range(ndim))
    disk = array.transpose(np.argsort(order)) if fast else array
    base = ArrayBlocks(np.ascontiguousarray(disk))
    blocks = ReorderedBlocks(base=base, order=order, scan=(rows, columns))
    np.testing.assert_array_equal(read_box(blocks, (0, 0, 0, 0), expected.shape), expected)
    check_blocks(blocks)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4))
def test_joined_boxes(lengths: list[int]) -> None:
    """Parts laid end to end read as their concatenation."""
    whole = counted((sum(lengths), 3))
    parts = np.split(whole, np.cumsum(lengths)[:-1])
    blocks = SpreadBlocks.join([ArrayBlocks(part) for part in parts])
    np.testing.assert_array_equal(read_box(blocks, (0, 0), whole.shape), whole)
    check_blocks(blocks)


DTYPES = ["u1", "<u2", ">u2", "<i4", ">f4", "<f8", ">c8", "?"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("fortran", [False, True])
@pytest.mark.parametrize("shape", [(5,), (3, 4), (1, 6, 5), (2, 1, 4, 3), (1, 2, 2, 1, 3)])
def test_npy(tmp_path: Path, dtype: str, fortran: bool, shape: tuple[int, ...]) -> None:
    """An .npy file reads as numpy reads it, in little-endian, with its axes of one pixel."""
    path = tmp_path / "scan.npy"
    array = counted(shape).astype(dtype)
    np.save(path, np.asfortranarray(array) if fortran else array)
    document = check_reader(path).document
    assert document.shape == shape
    np.testing.assert_array_equal(read_box(document.blocks, (0,) * len(shape), shape), array)


def test_npy_scan_fast(tmp_path: Path) -> None:
    """A layout that is set transposes an array that says nothing itself."""
    path = tmp_path / "scan.npy"
    array = counted((5, 6, 2, 3))
    np.save(path, array)
    document = read_source(path, ReadOptions(layout="scan-fast")).document
    np.testing.assert_array_equal(
        read_box(document.blocks, (0, 0, 0, 0), (2, 3, 5, 6)), array.transpose(2, 3, 0, 1)
    )


@given(st.integers(0, 400))
def test_npy_cut_short(tmp_path_factory: pytest.TempPathFactory, length: int) -> None:
    """However much is missing from an .npy file, it is refused."""
    path = tmp_path_factory.mktemp("npy") / "cut.npy"
    np.save(path, counted((10, 10)))
    content = path.read_bytes()
    path.write_bytes(content[: min(length, len(content) - 1)])
    with pytest.raises((CorruptFileError, TruncatedFileError)):
        read_source(path)


def test_npy_with_objects_is_refused(tmp_path: Path) -> None:
    """A pickle is not opened, whatever is in it."""
    path = tmp_path / "objects.npy"
    np.save(path, np.array([{}, {}], dtype=object), allow_pickle=True)
    with pytest.raises(TypeError, match="object"):
        read_source(path)


def test_a_file_that_changes_is_noticed(tmp_path: Path) -> None:
    """Values of a file that was replaced are never mixed with those of the old one."""
    path = tmp_path / "scan.npy"
    np.save(path, counted((4, 4)))
    document = read_source(path).document
    np.save(path, counted((5, 5)))
    with pytest.raises(SourceChangedError, match="changed"):
        read_box(document.blocks, (0, 0), (1, 1))
