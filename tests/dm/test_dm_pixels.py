"""Pixels come back as they were written, in canonical order, whatever the file's form."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stemzarr.formats.dm.reader import read_dm
from stemzarr.model import read_all, read_box
from stemzarr.options import ReadOptions
from stemzarr.testing import DMAxis, DMImage, write_dm

DTYPES = ["u1", "u2", "u4", "i1", "i2", "i4", "f4", "f8", "c8", "c16", "b1", "i8", "u8"]
LAYOUTS = ["detector-fast", "scan-fast"]
SHAPES = [(3, 4, 5, 6), (1, 7, 8, 5), (6, 1, 3, 3), (1, 1, 9, 2), (2, 5, 1, 4), (2, 2, 1, 1)]

in_one_folder = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60
)


def counts(shape: tuple[int, ...], dtype: str, seed: int = 0) -> NDArray:
    """Return values that use all bytes of their type."""
    rng = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    if kind.kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    if kind.kind in "fc":
        values = rng.normal(0, 1e3, shape).astype(kind)
        return (
            values + (1j * rng.normal(0, 1e3, shape)).astype(kind) if kind.kind == "c" else values
        )
    info = np.iinfo(kind)
    return rng.integers(info.min, info.max, shape, dtype=kind, endpoint=True)


@pytest.mark.parametrize("little_endian", [True, False])
@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_scan_is_read_as_it_was_written(
    tmp_path: Path, dtype: str, layout: str, version: int, little_endian: bool
) -> None:
    """Values, shape and dtype of a 4D scan equal what was written, for every form of the file."""
    for number, shape in enumerate(SHAPES):
        path = tmp_path / f"{number}.dm{version}"
        data = counts(shape, dtype, number)
        image = DMImage(data=data, layout=layout, swapped=layout == "detector-fast")
        write_dm(path, image, version=version, little_endian=little_endian)
        document = read_dm(path, ReadOptions()).document
        assert document.dims == ("scan_y", "scan_x", "det_y", "det_x")
        assert document.dtype == np.dtype(dtype).newbyteorder("<")
        np.testing.assert_array_equal(read_all(document.blocks), data)


@given(data=st.data())
@in_one_folder
def test_any_box_equals_that_of_the_array(tmp_path: Path, data: st.DataObject) -> None:
    """A box anywhere in a document equals the same slice of the array, for any layout."""
    shape = data.draw(st.tuples(*[st.integers(1, 9)] * 4))
    layout = data.draw(st.sampled_from(LAYOUTS))
    dtype = data.draw(st.sampled_from(["u1", "u2", "f4", "c16"]))
    values = counts(shape, dtype)
    path = tmp_path / "box.dm4"
    little = data.draw(st.booleans())
    image = DMImage(data=values, layout=layout, swapped=layout == "detector-fast")
    write_dm(path, image, little_endian=little)
    blocks = read_dm(path, ReadOptions()).document.blocks
    start = [data.draw(st.integers(0, size - 1)) for size in shape]
    stop = [
        data.draw(st.integers(first + 1, size)) for first, size in zip(start, shape, strict=True)
    ]
    box = tuple(slice(*edges) for edges in zip(start, stop, strict=True))
    expected = values[box]
    np.testing.assert_array_equal(read_box(blocks, start, expected.shape), expected)
    strided = np.zeros(tuple(2 * size for size in expected.shape), blocks.dtype)[::2, ::2, ::2, ::2]
    blocks.read_into(strided, start)
    np.testing.assert_array_equal(strided, expected)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_blocks_are_picklable_and_serve_threads(tmp_path: Path, layout: str) -> None:
    """A pickled copy reads the same, and many threads read at once without mixing their rows."""
    path = tmp_path / "threads.dm4"
    values = counts((16, 6, 32, 32), "u2")
    write_dm(path, DMImage(data=values, layout=layout, swapped=layout == "detector-fast"))
    blocks = pickle.loads(pickle.dumps(read_dm(path, ReadOptions()).document.blocks))

    def row(index: int) -> NDArray:
        return read_box(blocks, (index % 16, 0, 0, 0), (1, 6, 32, 32))

    with ThreadPoolExecutor(8) as pool:
        for index, found in enumerate(pool.map(row, range(64))):
            np.testing.assert_array_equal(found[0], values[index % 16])


@pytest.mark.parametrize("shape", [(5, 7), (4, 5, 6), (9,), (2, 3, 2, 3, 2)])
@pytest.mark.parametrize("dtype", ["u2", "f4", "c8"])
def test_other_ranks_are_read_as_written(
    tmp_path: Path, shape: tuple[int, ...], dtype: str
) -> None:
    """Images, stacks, profiles and arrays of any rank equal what was written."""
    path = tmp_path / "other.dm4"
    data = counts(shape, dtype)
    write_dm(path, DMImage(data=data))
    np.testing.assert_array_equal(read_all(read_dm(path, ReadOptions()).document.blocks), data)


@pytest.mark.parametrize("little_endian", [True, False])
def test_colour_is_read_as_red_green_blue_alpha(tmp_path: Path, little_endian: bool) -> None:
    """Colour keeps the order of its channels in both byte orders."""
    path = tmp_path / "colour.dm4"
    data = counts((5, 4, 4), "u1")
    write_dm(path, DMImage(data=data, color=True), little_endian=little_endian, thumbnail=False)
    document = read_dm(path, ReadOptions()).document
    assert document.channels == ("red", "green", "blue", "alpha")
    np.testing.assert_array_equal(read_all(document.blocks), data)
    part = read_box(document.blocks, (1, 1, 1), (3, 2, 2))
    np.testing.assert_array_equal(part, data[1:4, 1:3, 1:3])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_coordinates_follow_the_calibration(tmp_path: Path, layout: str) -> None:
    """Coordinates are (index - origin) * scale of the right axis."""
    path = tmp_path / "axes.dm4"
    axes = (
        DMAxis(scale=2.5, origin=1.0, units="nm"),
        DMAxis(scale=0.25, units="\u00b5m"),
        DMAxis(scale=0.5, origin=2.0, units="1/nm"),
        DMAxis(scale=0.125, origin=-3.0, units="1/\u00c5"),
    )
    write_dm(path, DMImage(data=counts((3, 4, 5, 6), "u2"), layout=layout, axes=axes))
    document = read_dm(path, ReadOptions()).document
    assert document.layout is not None
    assert (document.layout.order, document.layout.confidence) == (layout, "high")
    assert [axis.units for axis in document.axes] == ["nm", "\u00b5m", "1/nm", "1/\u00c5"]
    assert all(axis.calibrated for axis in document.axes)
    for axis, written in zip(document.axes, axes, strict=True):
        expected = (np.arange(axis.size) - written.origin) * written.scale
        np.testing.assert_array_equal(axis.values(), expected)
