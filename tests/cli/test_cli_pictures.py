"""Pictures in the terminal show the data: right way up, right brightness, right size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rich.console import Console

from stemzarr_catalog.pictures import LEVELS, Picture, shade
from stemzarr_cli.pictures import draw, grow

SIZES = st.integers(min_value=1, max_value=70)
LOOKS = st.sampled_from(["image", "pattern"])
ARRAYS = hnp.arrays(np.float64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9))


@given(SIZES, SIZES, SIZES, SIZES)
def test_a_picture_fills_its_room(height: int, width: int, rows: int, columns: int) -> None:
    """It is never larger than its room, never empty, and reaches two of its edges."""
    shades = shade(Picture(name="x", look="image", values=np.zeros((height, width))), rows, columns)
    fitted = grow(shades, rows, columns)
    assert 1 <= fitted.shape[0] <= rows
    assert 1 <= fitted.shape[1] <= columns
    assert fitted.shape[0] == rows or fitted.shape[1] == columns


@given(ARRAYS, LOOKS)
def test_any_values_have_a_shade(image: np.ndarray, look: str) -> None:
    """NaN and infinity, too, become shades that the palette has."""
    with np.errstate(over="ignore"):
        values = np.clip(image, -1e300, 1e300)
    shades = shade(Picture(name="x", look=look, values=values), 9, 9)
    assert shades.shape == image.shape
    assert shades.max() < LEVELS


@pytest.mark.parametrize("color", [True, False])
def test_a_drawing_has_the_proportions_of_its_image(color: bool) -> None:
    """Half blocks are square, so 40 × 20 pixels fill 10 lines of 40 columns."""
    picture = Picture(name="x", look="image", values=np.zeros((20, 40)))
    lines = draw(picture, rows=10, columns=40, color=color).plain
    assert [len(line) for line in lines.split("\n")] == [40] * 10


def test_a_curve_fills_its_room() -> None:
    """A spectrum has no proportions of its own."""
    picture = Picture(name="x", look="curve", values=np.arange(1000.0))
    lines = draw(picture, rows=8, columns=30, color=False).plain.split("\n")
    assert [len(line) for line in lines] == [30] * 8
    assert lines[0].rstrip() == lines[0]
    assert lines[-1].strip() == lines[-1]


def test_a_drawing_is_the_right_way_up() -> None:
    """The first row of an image is drawn on top, the first column on the left."""
    image = np.zeros((4, 4))
    image[0, 0] = 1.0
    picture = Picture(name="x", look="image", values=image)
    drawing = draw(picture, rows=2, columns=4, color=True)
    console = Console(width=80)
    lines = drawing.split()
    corner, below = (line.get_style_at_offset(console, 0).color for line in lines)
    assert corner is not None
    assert below is not None
    assert (corner.triplet, below.triplet) == ((255, 255, 255), (0, 0, 0))
