"""Virtual images against numpy, on any ring of the detector."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemzarr.errors import OptionError, UnsupportedDataError
from stemzarr.model import Document
from stemzarr.views import find_center, virtual_image

COUNTS = np.random.default_rng(8).poisson(2, (5, 6, 12, 15)).astype(np.uint16)
MakeScan = Callable[..., Document]


@given(
    st.sampled_from(["uint8", "uint16", "int32", "float32"]),
    st.floats(0, 9),
    st.none() | st.floats(0.5, 20),
    st.floats(-5, 5),
)
def test_a_ring_is_summed_exactly(
    make_scan: MakeScan, dtype: str, inner: float, width: float | None, middle: float
) -> None:
    """The image is the sum of the pixels whose centres lie in the ring, in calibrated units."""
    document = make_scan(COUNTS.astype(dtype))
    y, x = (axis.values() for axis in document.axes[2:])
    distance = np.hypot(y[:, np.newaxis] - middle, x - middle)
    outer = None if width is None else inner + width
    ring = (distance >= inner) & (distance < (np.inf if outer is None else outer))
    if not ring.any():
        with pytest.raises(OptionError, match="holds no pixel"):
            virtual_image(document, inner=inner, outer=outer, center=(middle, middle))
        return
    image = virtual_image(document, inner=inner, outer=outer, center=(middle, middle))
    np.testing.assert_array_equal(image, COUNTS[..., ring].sum(axis=-1))
    assert image.dims == ("scan_y", "scan_x")
    assert image.dtype.kind == np.dtype(dtype).kind
    np.testing.assert_array_equal(image["scan_x"], document.axis("scan_x").values())


def test_sums_do_not_overflow(make_scan: MakeScan) -> None:
    """The sum of a saturated detector is right."""
    full = make_scan(np.full((2, 2, 64, 64), 65535, np.uint16))
    assert virtual_image(full).to_numpy().tolist() == [[65535 * 4096] * 2] * 2


def test_the_centre_is_that_of_the_bright_disk(make_scan: MakeScan) -> None:
    """The central disk is found in the units of the axes; hot pixels do not mislead."""
    y, x = np.mgrid[:40, :50]
    disk = 200 * ((y - 23) ** 2 + (x - 31) ** 2 <= 36)
    counts = np.random.default_rng(0).poisson(disk + 0.1, (6, 7, 40, 50)).astype(np.uint16)
    counts[:, :, 3, 4] = 60000
    document = make_scan(counts)
    found = find_center(document)
    expected = [
        axis.offset + place * axis.scale
        for axis, place in zip(document.axes[2:], (23, 31), strict=True)
    ]
    np.testing.assert_allclose(found, expected, atol=0.5)
    bright = virtual_image(document, outer=6.9 * document.axes[2].scale)
    assert bright.attrs["center"] == list(found)


def test_what_lies_outside_the_ring_does_not_count(make_scan: MakeScan) -> None:
    """A dead pixel that is NaN or infinite spoils the image only of a ring that holds it."""
    values = COUNTS.astype(np.float32)
    values[0, 0, 6, 7], values[1, 2, 6, 7] = np.nan, np.inf
    document = make_scan(values)
    middle = tuple(a.offset + a.scale * n for a, n in zip(document.axes[2:], (6, 7), strict=True))
    image = virtual_image(document, inner=1.5, outer=4.0, center=middle)
    expected = virtual_image(make_scan(COUNTS), inner=1.5, outer=4.0, center=middle)
    np.testing.assert_array_equal(image, expected)
    disk = virtual_image(document, outer=4.0, center=middle).to_numpy()
    assert np.isnan(disk[0, 0])
    assert np.isposinf(disk[1, 2])
    assert np.isfinite(disk).sum() == disk.size - 2


@pytest.mark.parametrize("dtype", ["int64", "uint64", "float32", "float64"])
def test_sums_that_no_type_holds_are_refused(make_scan: MakeScan, dtype: str) -> None:
    """A virtual image is right or an error, also of the largest values of the widest types."""
    kind = np.dtype(dtype)
    largest = (np.finfo if kind.kind == "f" else np.iinfo)(kind).max  # type: ignore[operator]
    values = np.zeros((1, 2, 6, 8), dtype)
    values[0, 0, 2, 3] = largest
    assert virtual_image(make_scan(values)).to_numpy().tolist() == [[largest, 0]]
    values[0, 0, 3, 3] = largest
    with pytest.raises(UnsupportedDataError, match=r"too large|do not fit"):
        virtual_image(make_scan(values))


@pytest.mark.parametrize("center", [0, 0.0, (), (1.0,), (1.0, 2.0, 3.0)])
def test_a_centre_that_is_no_pair_is_refused(make_scan: MakeScan, center: object) -> None:
    """Nothing that was given as a centre is taken for none."""
    with pytest.raises(OptionError, match="center is"):
        virtual_image(make_scan(COUNTS), inner=1.0, center=center)  # type: ignore[arg-type]


def test_other_documents_are_refused(make_scan: MakeScan) -> None:
    """Complex scans have no virtual image."""
    with pytest.raises(UnsupportedDataError, match="real values"):
        virtual_image(make_scan(np.ones((2, 2, 4, 4), np.complex64)))
