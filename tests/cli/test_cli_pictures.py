"""Pictures in the terminal show the data: right way up, right brightness, right size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rich.console import Console

from stemzarr_cli.pictures import draw, fit, stretch

SIZES = st.integers(min_value=1, max_value=70)


@given(SIZES, SIZES, SIZES, SIZES)
def test_fit_stays_inside_its_room(height: int, width: int, rows: int, columns: int) -> None:
    """A fitted image is never larger than its room, and never empty."""
    fitted = fit(np.zeros((height, width)), rows, columns)
    assert 1 <= fitted.shape[0] <= rows
    assert 1 <= fitted.shape[1] <= columns


@given(st.integers(1, 8), st.integers(1, 8), st.integers(1, 5))
def test_fit_averages_blocks(height: int, width: int, factor: int) -> None:
    """An image whose sides are multiples of the room becomes the means of its blocks."""
    image = np.random.default_rng(0).random((height * factor, width * factor))
    expected = image.reshape(height, factor, width, factor).mean(axis=(1, 3))
    np.testing.assert_allclose(fit(image, height, width), expected)


@given(hnp.arrays(np.float64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9)), st.booleans())
def test_stretch_is_brightness(image: np.ndarray, log: bool) -> None:
    """Any values, NaN and infinity too, become brightness from 0 to 1."""
    with np.errstate(over="ignore"):
        brightness = stretch(np.clip(image, -1e300, 1e300), log=log)
    assert brightness.shape == image.shape
    assert np.all((brightness >= 0) & (brightness <= 1))


@pytest.mark.parametrize("color", [True, False])
def test_a_drawing_has_the_proportions_of_its_image(color: bool) -> None:
    """Half blocks are square, so 40 × 20 pixels fill 10 lines of 40 columns."""
    lines = draw(np.zeros((20, 40)), rows=10, columns=40, palette="grey", color=color).plain
    assert [len(line) for line in lines.split("\n")] == [40] * 10


def test_a_drawing_is_the_right_way_up() -> None:
    """The first row of an image is drawn on top, the first column on the left."""
    image = np.zeros((4, 4))
    image[0, 0] = 1.0
    drawing = draw(image, rows=2, columns=4, palette="grey", color=True)
    console = Console(width=80)
    lines = drawing.split()
    corner, below = (line.get_style_at_offset(console, 0).color for line in lines)
    assert corner is not None
    assert below is not None
    assert (corner.triplet, below.triplet) == ((255, 255, 255), (0, 0, 0))
