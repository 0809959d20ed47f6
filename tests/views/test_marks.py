"""Lines upon pictures are where the marks are, at any size of the picture."""

from __future__ import annotations

import numpy as np
import scipy.ndimage
from hypothesis import assume, given
from hypothesis import strategies as st

from stemzarr.views.marks import Frame, Ring, disk_rings, trace

EDGES = st.integers(-5, 30)
PLACES = st.floats(-5, 25)


@given(EDGES, EDGES, EDGES, EDGES, st.integers(1, 4))
def test_a_frame_is_the_rim_of_its_pixels(
    top: int, left: int, height: int, width: int, zoom: int
) -> None:
    """As erosion by scipy leaves it of the rectangle; what is outside of the image is not drawn."""
    assume(height > 0 and width > 0)
    frame = Frame(top=top, left=left, bottom=top + height, right=left + width)
    room = np.zeros((80 * zoom, 80 * zoom), bool)
    down, across = (
        slice((a + 20) * zoom, (a + 20 + n) * zoom) for a, n in ((top, height), (left, width))
    )
    room[down, across] = True
    rim = room & ~scipy.ndimage.binary_erosion(room, np.ones((3, 3)))
    inside = rim[20 * zoom : 40 * zoom, 20 * zoom : 45 * zoom]
    np.testing.assert_array_equal(trace(frame, (20, 25), (20 * zoom, 25 * zoom)), inside)


@given(PLACES, PLACES, st.floats(1, 20), st.integers(1, 4))
def test_a_ring_is_a_closed_line_at_its_radius(
    y: float, x: float, radius: float, zoom: int
) -> None:
    """Each point of the circle has a pixel of the line at most one away, and the reverse."""
    shape = (20 * zoom, 25 * zoom)
    line = trace(Ring(y=y, x=x, radius=radius), (20, 25), shape)
    angles = np.linspace(0, 2 * np.pi, 1000)
    rows = (y + 0.5 + radius * np.sin(angles)) * zoom - 0.5
    columns = (x + 0.5 + radius * np.cos(angles)) * zoom - 0.5
    within = (rows > -0.5) & (rows < shape[0] - 0.5) & (columns > -0.5) & (columns < shape[1] - 0.5)
    near = scipy.ndimage.binary_dilation(line, np.ones((3, 3)))
    assert near[np.rint(rows[within]).astype(int), np.rint(columns[within]).astype(int)].all()
    for row, column in np.argwhere(line):
        assert np.hypot(rows - row, columns - column).min() <= 0.5 + 0.1 * zoom


def test_a_dotted_ring_is_part_of_the_whole_one() -> None:
    """About half of it, in pieces of a few pixels."""
    whole = trace(Ring(y=30, x=30, radius=20), (61, 61), (61, 61))
    dotted = trace(Ring(y=30, x=30, radius=20, dotted=True), (61, 61), (61, 61))
    assert not (dotted & ~whole).any()
    assert 0.4 < dotted.sum() / whole.sum() < 0.6
    assert scipy.ndimage.label(dotted, np.ones((3, 3)))[1] >= 10


def test_the_rings_are_the_radii_of_the_previews() -> None:
    """A rim that was only taken is dotted; what is outside of the detector is no ring."""
    disk = {"center_y": 8.0, "center_x": 9.0, "radius": 4.0, "annulus_inner": 6.0, "found": 1}
    known = {"bright_field_inner": 1.0, "bright_field_outer": 3.0, "annular_dark_field_outer": 99.0}
    rings = disk_rings({**disk, **known}, (17, 20))
    assert [(ring.radius, ring.dotted) for ring in rings] == [
        (4.0, False),
        (1.0, True),
        (3.0, True),
        (6.0, True),
    ]
    assert [ring.dotted for ring in disk_rings({**disk, "found": 0}, (17, 20))] == [True, True]
