"""Regions as text, in pixels and in calibrated units."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemzarr.errors import OptionError
from stemzarr.model import Axis
from stemzarr.views import parse_roi
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
    st.sampled_from([("nm", 1.0), ("pm", 1e3), ("µm", 1e-3), ("\u03bcm", 1e-3), ("Å", 10.0)]),
)
def test_units_select_the_pixels_whose_centres_lie_between(
    low: float, width: float, scale: float, unit: tuple[str, float]
) -> None:
    """Calibrated ends select by position, in any unit of the same kind, for both directions."""
    axis = Axis(name="det_x", size=20, scale=scale, offset=-5.0 * scale / 0.5, units="nm")
    name, factor = unit
    (span,) = parse_roi(f"det_x={low * factor!r}{name}:{(low + width) * factor!r}{name}")
    values = axis.values()
    inside = np.flatnonzero((values >= low - 1e-12) & (values <= low + width + 1e-12))
    if len(inside):
        assert resolve_span(span, axis) == (inside[0], inside[-1] + 1)
    else:
        with pytest.raises(OptionError, match="holds no pixel"):
            resolve_span(span, axis)


def test_text_of_a_region_reads_back() -> None:
    """What `format_roi` writes, `parse_roi` reads as the same spans, in the order of the dims."""
    spans = parse_roi(" det_x = -1.5nm: , scan_y=10:50,det_y=:-3, scan_x=2mrad:3e-1/nm")
    assert format_roi(spans) == "scan_y=10:50,scan_x=2mrad:0.3/nm,det_y=:-3,det_x=-1.5nm:"
    assert parse_roi(format_roi(spans)) == spans
    assert parse_roi("") == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("scan_y", "is no part of a region"),
        ("scan_y=3", "is no part of a region"),
        ("energy=1:2", "is no part of a region"),
        ("scan_y=a:b", "is no end of a region"),
        ("scan_y=1.5:3", "is no whole number of pixels"),
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
