"""Packed forms: the unpacked plane is what mathematics and other readers say, and packs back."""

import types
from pathlib import Path

import numpy as np
import pytest
import rsciio.digitalmicrograph._api as rosettasciio
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stemzarr.formats.dm.reader import read_dm
from stemzarr.model import read_box
from stemzarr.options import ReadOptions
from stemzarr.pixels.packing import (
    pack_colour,
    pack_plane,
    pack_plane_old,
    unpack_colour,
    unpack_plane,
    unpack_plane_old,
)
from stemzarr.testing import DMImage, write_dm

half_planes = hnp.arrays(
    np.complex64,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=7),
    elements=st.complex_numbers(max_magnitude=1e6, width=64),
)


@given(half=half_planes, odd=st.booleans())
def test_packed_planes_come_back(half: np.ndarray, odd: bool) -> None:
    """Packing an unpacked plane gives the bytes of the disk, for odd and even widths."""
    width = 2 * (half.shape[1] - 1) + odd
    if width == 0:
        return
    plane = unpack_plane(half, width)
    assert plane.shape == (len(half), width)
    assert pack_plane(plane).tobytes() == half.tobytes()


@pytest.mark.parametrize("shape", [(4, 6), (5, 5), (6, 7), (7, 4), (1, 8), (8, 1)])
def test_the_whole_plane_is_that_of_a_fourier_transform(shape: tuple[int, int]) -> None:
    """From its packed half comes the centred FFT plane of a real image, both sides of it."""
    image = np.random.default_rng(0).normal(size=shape)
    plane = np.fft.fftshift(np.fft.fft2(image)).astype(np.complex64)
    np.testing.assert_allclose(unpack_plane(pack_plane(plane), shape[1]), plane, atol=1e-4)


def test_rows_are_mirrored_unlike_in_rosettasciio() -> None:
    """What rosettasciio does: conjugate and mirror no rows, right only where they are equal."""
    image = np.random.default_rng(0).normal(size=(6, 8))
    plane = np.fft.fftshift(np.fft.fft2(image))
    half = pack_plane(plane)
    reader = types.SimpleNamespace(shape=(6, 8))
    theirs = rosettasciio.ImageObject.unpack_new_packed_complex(reader, half.ravel())
    ours = unpack_plane(half, 8)
    np.testing.assert_array_equal(ours[:, :5], theirs[:, :5])
    np.testing.assert_array_equal(ours[3], theirs[3])
    assert not np.allclose(theirs, plane)
    np.testing.assert_allclose(ours, plane)


@pytest.mark.parametrize("side", [2, 4, 6, 10])
def test_old_packed_planes_equal_those_of_rosettasciio(side: int) -> None:
    """The old form unpacks as rosettasciio does it, and packs back to the same bytes."""
    packed = np.random.default_rng(side).normal(size=(side, side)).astype(np.float32)
    reader = types.SimpleNamespace(shape=(side, side))
    theirs = rosettasciio.ImageObject.unpack_packed_complex(reader, packed.ravel())
    plane = unpack_plane_old(packed)
    np.testing.assert_array_equal(plane, theirs)
    assert pack_plane_old(plane).tobytes() == packed.tobytes()


@given(pixels=hnp.arrays(np.uint32, (3, 5)))
def test_colour_comes_back(pixels: np.ndarray) -> None:
    """Packing unpacked colours gives the same integers."""
    np.testing.assert_array_equal(pack_colour(unpack_colour(pixels)), pixels)


@pytest.mark.parametrize("little_endian", [True, False])
@pytest.mark.parametrize("dtype", ["c8", "c16"])
def test_packed_images_are_read_whole(tmp_path: Path, dtype: str, little_endian: bool) -> None:
    """A packed image is a document of the whole complex plane, of which any box can be read."""
    image = np.random.default_rng(0).normal(size=(6, 9))
    plane = np.fft.fftshift(np.fft.fft2(image)).astype(dtype)
    path = tmp_path / "fft.dm4"
    write_dm(path, DMImage(data=plane, packed=True), little_endian=little_endian)
    document = read_dm(path, ReadOptions()).document
    assert (document.kind, document.shape, document.dtype) == ("image", (6, 9), np.dtype(dtype))
    box = read_box(document.blocks, (1, 3), (4, 6))
    np.testing.assert_allclose(box, plane[1:5, 3:9], atol=1e-4)


def test_old_packed_images_are_read_whole(tmp_path: Path) -> None:
    """``DataType`` 5 is a plane of complex numbers; a shape that cannot be one stays as it is."""
    packed = np.random.default_rng(0).normal(size=(6, 6)).astype("f4")
    path = tmp_path / "fft.dm3"
    write_dm(path, DMImage(data=packed, code=5), version=3)
    document = read_dm(path, ReadOptions()).document
    np.testing.assert_array_equal(
        read_box(document.blocks, (0, 0), (6, 6)), unpack_plane_old(packed)
    )
    write_dm(path, DMImage(data=packed[:5], code=5), version=3)
    document = read_dm(path, ReadOptions()).document
    assert "cannot be unpacked" in document.notes[0]
    np.testing.assert_array_equal(read_box(document.blocks, (0, 0), (5, 6)), packed[:5])
