"""Regions as text, in pixels and in calibrated units."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemzarr.errors import OptionError
from stemzarr.model import Axis
from stemzarr.views import View, parse_roi
from stemzarr.views.region import format_roi, resolve_span

AXIS = Axis(name="det_x", size=20, scale=0.5, offset=-5.0, units="nm", calibrated=True)


@given(
    st.integers(1, 30),
    st.none() | st.integers(-40, 40),
    st.none() | st.integers(-40, 40),
)
def test_pixels_select_as_a_slice_does(size: int, start: int | None, stop: int | None) -> None:
    """Bare numbers mean what they mean in a Python slice; nothing selected is an error."""
    axis = Axis(name="scan_y", size=size)
    text = f"scan_y={'' if start is None else start}:{'' if stop is None else stop}"
    (span,) = parse_roi(text)
    expected = range(size)[start:stop]
    if expected:
        assert resolve_span(span, axis) == (expected.start, expected.stop)
    else:
        with pytest.raises(OptionError, match="holds no pixel"):
            resolve_span(span, axis)


@given(
    st.integers(-512, 512).map(lambda number: number / 64),
    st.integers(0, 512).map(lambda number: number / 64),
    st.sampled_from([0.5, -0.5]),
    st.sampled_from(
        [
            *(("nm", name, factor) for name, factor in (("nm", 1.0), ("pm", 1e3), ("µm", 1e-3))),
            *(("nm", name, factor) for name, factor in (("\u03bcm", 1e-3), ("Å", 10.0))),
            *(("1/nm", name, 1.0) for name in (" 1/nm", "/nm", " /nm")),
            *(("1/nm", name, 0.1) for name in (" 1/Å", "/Å", " 1/A")),
            ("1/Å", " 1/nm", 10.0),
            ("mrad", " rad", 1e-3),
        ]
    ),
)
def test_units_select_the_pixels_whose_centres_lie_between(
    low: float, width: float, scale: float, unit: tuple[str, str, float]
) -> None:
    """Calibrated ends select by position, in any unit of the same kind, for both directions."""
    units, name, factor = unit
    axis = Axis(name="det_x", size=20, scale=scale, offset=-5.0 * scale / 0.5, units=units)
    (span,) = parse_roi(f"det_x={low * factor!r}{name}:{(low + width) * factor!r}{name}")
    values = axis.values()
    inside = np.flatnonzero((values >= low - 1e-12) & (values <= low + width + 1e-12))
    if len(inside):
        assert resolve_span(span, axis) == (inside[0], inside[-1] + 1)
    else:
        with pytest.raises(OptionError, match="holds no pixel"):
            resolve_span(span, axis)


@given(
    st.integers(2, 400),
    st.data(),
    st.decimals("0.001", "50", places=3),
    st.decimals("-200", "200", places=3),
    st.booleans(),
)
def test_the_ends_that_are_shown_are_included(
    size: int, data: st.DataObject, scale: Decimal, origin: Decimal, mirrored: bool
) -> None:
    """A region from one pixel to another, as calculated on paper, holds both.

    The axis is that of a DM file, which keeps scale and origin in single precision.
    """
    first, last = sorted(data.draw(st.tuples(st.integers(0, size - 1), st.integers(0, size - 1))))
    scale = -scale if mirrored else scale
    step, pixel = (float(np.float32(value)) for value in (scale, origin))
    axis = Axis(name="det_x", size=size, scale=step, offset=-pixel * step, units="1/nm")
    ends = sorted((first - origin) * scale for first in (first, last))
    (span,) = parse_roi(View(roi=f"det_x={ends[0]:f}/nm:{ends[1]:f}/nm").roi)
    assert resolve_span(span, axis) == (first, last + 1)


def test_text_of_a_region_reads_back() -> None:
    """What `format_roi` writes, `parse_roi` reads as the same spans, in the order of the dims."""
    spans = parse_roi(" det_x = -1.5nm: , scan_y=10:50,det_y=:-3, scan_x=2mrad:3e-1/nm")
    assert format_roi(spans) == "scan_y=10:50,scan_x=2mrad:0.3 1/nm,det_y=:-3,det_x=-1.5nm:"
    assert parse_roi(format_roi(spans)) == spans
    assert parse_roi("") == ()


@given(
    st.lists(
        st.tuples(
            st.floats(allow_nan=False, allow_infinity=False),
            st.sampled_from(["nm", "1/nm", "1/Å", "1/µm", "mrad", "eV", "e3", ".5", "2/m"]),
        ),
        min_size=2,
        max_size=2,
    )
)
def test_any_end_reads_back(ends: list[tuple[float, str]]) -> None:
    """Number and units of both ends are those that were given, after a view has kept them, too."""
    text = ":".join(f"{value!r} {units}" for value, units in ends)
    (span,) = parse_roi(View(roi=f"det_x={text}").roi)
    assert [(end.value, end.units) for end in (span.start, span.stop) if end] == ends


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("scan_y", "is not part of a region"),
        ("scan_y=3", "is not part of a region"),
        ("energy=1:2", "is not part of a region"),
        ("scan_y=a:b", "is not an end of a region"),
        ("scan_y=1.5:3", "is not a whole number of pixels"),
        ("scan_y=1e400:", "is out of range"),
        ("scan_y=1:2,scan_y=3:4", "names a dim twice"),
    ],
)
def test_other_text_is_refused_with_an_example(text: str, message: str) -> None:
    """Text that is no region says what is wrong and shows one that works."""
    with pytest.raises(OptionError, match=message) as caught:
        parse_roi(text)
    assert "scan_y=10:50" in str(caught.value)


def test_units_that_do_not_fit_the_axis_are_refused() -> None:
    """An angle on a length, or any unit on an uncalibrated axis, is an error that names both."""
    (span,) = parse_roi("det_x=1mrad:2mrad")
    with pytest.raises(OptionError, match=r"1mrad does not fit the axis det_x, which is in nm"):
        resolve_span(span, AXIS)
    with pytest.raises(OptionError, match="which is in pixel"):
        resolve_span(span, Axis(name="det_x", size=4))


@pytest.mark.parametrize("text", ["scan_y=1e308m:", "scan_y=:-1e308m", "scan_y=1e308m:1e308m"])
def test_a_region_beyond_everything_holds_nothing(text: str) -> None:
    """Bounds so far away that no number holds their pixel are outside like any other."""
    (span,) = parse_roi(text)
    axis = Axis(name="scan_y", size=5, scale=1e-3, units="nm", calibrated=True)
    with pytest.raises(OptionError, match="holds no pixel"):
        resolve_span(span, axis)
