"""Virtual images from tile sums: the same as from the pixels, or within the error that is said."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemzarr.errors import OptionError
from stemzarr.model import ArrayBlocks, Document, Tiles
from stemzarr.views import measure_document, tile_sums, virtual_image

from .test_virtual import MakeScan


class Unread(ArrayBlocks):
    """Pixels that nobody may read."""

    def read_into(self, *_: object) -> None:
        """Fail."""
        raise AssertionError("the pixels are read")


def tiled(document: Document) -> tuple[Document, Document]:
    """Return a document with tile sums, and the same whose pixels cannot be read."""
    found = tile_sums(document)
    known = dataclasses.replace(
        document,
        tiles=Tiles(side=found.side, blocks=ArrayBlocks(found.values)),
        statistics=measure_document(document),
    )
    assert isinstance(document.blocks, ArrayBlocks)
    return known, dataclasses.replace(known, blocks=Unread(document.blocks.array))


def scan_of(make_scan: MakeScan, dtype: str, seed: int, shape: tuple[int, ...]) -> Document:
    """Return a scan with bad pixels and lost positions."""
    rng = np.random.default_rng(seed)
    values = rng.poisson(rng.choice([0.1, 3, 200]), (3, 4, *shape)).astype(dtype)
    masks = {"valid": rng.random((3, 4)) > 0.2, "bad_pixels": rng.random(shape) > 0.95}
    return make_scan(values, **{name: m for name, m in masks.items() if rng.random() > 0.4})


SHAPES = st.tuples(st.integers(9, 40), st.integers(9, 60))


@settings(max_examples=40)
@given(st.sampled_from(["bool", "uint8", "uint16", "int32", "float32"]), SHAPES, st.integers(0, 99))
def test_whole_tiles_give_the_image_of_the_pixels(
    make_scan: MakeScan, dtype: str, shape: tuple[int, int], seed: int
) -> None:
    """Bit for bit and of the same type, of a rectangle or any mask of tiles."""
    document = scan_of(make_scan, dtype, seed, shape)
    unread = tiled(document)[1]
    rng = np.random.default_rng(seed)
    tiles = rng.random([-(-n // 8) for n in shape]) > 0.5
    tiles[0, 0] = True
    mask = np.repeat(np.repeat(tiles, 8, axis=0), 8, axis=1)[: shape[0], : shape[1]]
    if document.bad_pixels is not None:
        mask |= document.bad_pixels  # they count in no tile, chosen or not
        if not (mask & ~document.bad_pixels).any():
            return
    expected = virtual_image(document, mask=mask)
    found = virtual_image(unread, mask=mask)
    assert found.identical(expected)
    assert found.dtype == expected.dtype
    approximate = virtual_image(unread, mask=mask, approximate=True)
    assert approximate.attrs["largest_error"] == 0.0
    np.testing.assert_array_equal(approximate, expected)


@settings(max_examples=40)
@given(
    st.sampled_from(["bool", "uint8", "uint16", "float32"]),
    SHAPES,
    st.integers(0, 99),
    st.floats(0, 20),
    st.floats(1, 30),
)
def test_the_error_that_is_said_is_never_exceeded(
    make_scan: MakeScan, dtype: str, shape: tuple[int, int], seed: int, inner: float, width: float
) -> None:
    """A ring that cuts through tiles is off by no more than the attribute says."""
    document = scan_of(make_scan, dtype, seed, shape)
    known, unread = tiled(document)
    ring = {"inner": inner, "outer": inner + width, "center": (5.0, 5.0)}
    try:
        expected = virtual_image(document, **ring)
    except OptionError:
        return
    found = virtual_image(unread, **ring, approximate=True)
    error = np.abs(found.to_numpy() - expected.to_numpy().astype(np.float64)).max()
    assert error <= found.attrs["largest_error"]
    assert virtual_image(known, **ring).identical(expected)


def test_tiles_do_not_hide_what_is_not_finite(make_scan: MakeScan) -> None:
    """Where a value is not finite or negative, the pixels are read."""
    values = np.ones((2, 3, 16, 16), np.float32)
    values[1, 1, 3, 3] = np.nan
    known, _ = tiled(make_scan(values))
    assert np.isnan(virtual_image(known).to_numpy()).sum() == 1
    negative, unread = tiled(make_scan(-np.ones((2, 3, 16, 16), np.int16)))
    assert (virtual_image(unread) == -256).all()
    ring = {"outer": 3.0, "center": (0.0, 0.0)}
    exact = virtual_image(negative, **ring)
    np.testing.assert_array_equal(virtual_image(negative, **ring, approximate=True), exact)


def test_a_rectangle_is_half_open(make_scan: MakeScan) -> None:
    """A pixel on the lower edges counts, one on the upper edges does not."""
    document = make_scan(np.random.default_rng(0).poisson(2, (2, 3, 12, 15)).astype("u2"))
    y, x = (axis.values() for axis in document.axes[2:])
    image = virtual_image(document, rect=(y[2], y[5], x[1], x[9]))
    values = document.blocks.array  # type: ignore[attr-defined]
    np.testing.assert_array_equal(image, values[:, :, 2:5, 1:9].sum(axis=(2, 3)))


@pytest.mark.parametrize(
    ("how", "match"),
    [
        ({"rect": (0, 1, 2)}, "rect is"),
        ({"rect": (0.0, -1.0, 2.0, 3.0)}, "holds no pixel"),
        ({"mask": np.ones((3, 3), bool)}, "mask is bool of shape"),
        ({"mask": np.ones((12, 15))}, "mask is float64"),
        ({"mask": np.ones((12, 15), bool), "outer": 3.0}, "exclude each other"),
        ({"mask": np.ones((12, 15), bool), "rect": (0, 1, 2, 3)}, "exclude each other"),
    ],
)
def test_what_is_no_detector_is_refused(
    make_scan: MakeScan, how: dict[str, object], match: str
) -> None:
    """One detector of the right form, or an error."""
    with pytest.raises(OptionError, match=match):
        virtual_image(make_scan(np.ones((2, 2, 12, 15))), **how)  # type: ignore[arg-type]
