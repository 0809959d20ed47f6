"""Axes are told apart by what speaks for them, whatever order they come in."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemzarr.formats.labelling import FoundAxis, Hints, Labels, label_axes
from stemzarr.model import Axis
from stemzarr.options import LayoutChoice, ReadOptions

AUTO = ReadOptions()
STEM = ("scan_y", "scan_x", "det_y", "det_x")


def axis(name: str = "", units: str = "", navigate: bool | None = None, size: int = 3) -> FoundAxis:
    """Return an axis with a scale of its own."""
    return FoundAxis(name=name, units=units, navigate=navigate, size=size, scale=0.5, offset=2.0)


def dims(labels: Labels) -> tuple[str, ...]:
    """Return the dims' names."""
    return tuple(one.name for one in labels.axes)


LENGTHS = ["nm", "µm", "Å", "um", "angstrom"]
RECIPROCAL = ["1/nm", "1/Å", "A^-1", "mrad", "nm^-1", "rad", "1 / nm"]


@given(st.sampled_from(LENGTHS), st.sampled_from(RECIPROCAL), st.permutations(range(4)))
def test_units_tell_scan_from_detector(length: str, angle: str, order: list[int]) -> None:
    """Reciprocal lengths and angles lie on the detector, in every order on disk."""
    found = [axis(units=length), axis(units=length), axis(units=angle), axis(units=angle)]
    labels = label_axes([found[place] for place in order], AUTO)
    assert labels.kind == "4d-stem"
    assert [order[dim] in (0, 1) for dim in labels.order] == [True, True, False, False]
    assert labels.layout is not None
    assert labels.layout.confidence == "high"
    assert labels.layout.order == ("detector-fast" if order[3] >= 2 else "scan-fast")


@pytest.mark.parametrize(
    "names",
    [("y", "x", "dy", "dx"), ("Rx", "Ry", "Qx", "Qy"), ("R_x", "R_y", "Q_x", "Q_y"),
     ("scan_y", "scan_x", "ky", "kx"), ("", "", "det_y", "det_x"), ("y", "x", "", "")],
)  # fmt: skip
@pytest.mark.parametrize("swapped", [False, True])
def test_names_tell_scan_from_detector(names: tuple[str, ...], swapped: bool) -> None:
    """Names decide where units say nothing, and keep the order within each pair."""
    found = [axis(name) for name in names]
    labels = label_axes(found[2:] + found[:2] if swapped else found, AUTO)
    assert labels.order == ((2, 3, 0, 1) if swapped else (0, 1, 2, 3))


@given(
    st.lists(st.sampled_from(["", "nm", "1/nm", "eV", "s"]), min_size=4, max_size=4),
    st.sampled_from(["detector-fast", "scan-fast"]),
)
def test_the_users_word_outranks_all(units: list[str], layout: LayoutChoice) -> None:
    """With a layout given, no evidence counts."""
    labels = label_axes([axis(units=text) for text in units], ReadOptions(layout=layout))
    assert labels.kind == "4d-stem"
    assert labels.order == ((0, 1, 2, 3) if layout == "detector-fast" else (2, 3, 0, 1))


def test_units_outrank_lying_flags() -> None:
    """A flag that calls the detector a scan is not believed against units."""
    found = [axis(units="nm", navigate=False)] * 2 + [axis(units="1/nm", navigate=True)] * 2
    assert label_axes(found, AUTO).order == (0, 1, 2, 3)


def test_flags_count_where_nothing_else_does() -> None:
    """Flags alone decide, and nothing at all is a guess that says so."""
    flagged = [axis(navigate=False)] * 2 + [axis(navigate=True)] * 2
    assert label_axes(flagged, AUTO).order == (2, 3, 0, 1)
    bare = label_axes([axis()] * 4, AUTO)
    assert bare.order == (0, 1, 2, 3)
    assert bare.layout is not None
    assert bare.layout.confidence == "low"
    assert any("--layout" in note for note in bare.notes)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_energy_comes_last(order: tuple[int, ...]) -> None:
    """A spectrum image has its energy last, wherever it lies on disk."""
    found = [axis("y", "nm"), axis("x", "nm"), axis("Energy", "eV", size=7)]
    labels = label_axes([found[place] for place in order], AUTO)
    assert dims(labels) == ("scan_y", "scan_x", "energy")
    assert labels.axes[2].size == 7
    assert labels.axes[2].units == "eV"


def test_a_line_of_spectra_is_a_scan_of_one_row() -> None:
    """A line scan gains an uncalibrated scan_y of one pixel."""
    labels = label_axes([axis("Energy", "eV", size=7), axis("x", "nm", size=5)], AUTO)
    assert dims(labels) == ("scan_y", "scan_x", "energy")
    assert [one.size for one in labels.axes] == [1, 5, 7]
    assert labels.scan == (1, 5)
    assert not labels.axes[0].calibrated


def test_a_line_of_patterns_is_a_scan_of_one_row() -> None:
    """Patterns along a length are a 4D scan; along a time they are a stack."""
    pattern = [axis("ky", "1/nm"), axis("kx", "1/nm")]
    assert label_axes([axis("x", "nm", size=5), *pattern], AUTO).scan == (1, 5)
    assert label_axes([axis("t", "s"), *pattern], AUTO).kind == "stack"


@pytest.mark.parametrize(
    ("found", "hints", "kind"),
    [
        ([axis("Energy", "eV")], Hints(), "spectrum"),
        ([axis("Wavelength", "nm")], Hints(), "spectrum"),
        ([axis("x", "nm")], Hints(), "profile"),
        ([axis()], Hints(signal_type="EELS"), "spectrum"),
        ([axis("y", "nm"), axis("x", "nm")], Hints(), "image"),
        ([axis("", "1/nm"), axis("", "1/nm")], Hints(), "diffraction"),
        ([axis(), axis()], Hints(signal_type="electron_diffraction"), "diffraction"),
        ([axis(navigate=True), axis(navigate=False)], Hints(), "spectrum-image"),
        ([axis("z", "nm"), axis("y", "nm"), axis("x", "nm")], Hints(), "stack"),
        ([axis("tilt", "deg"), axis("y", "nm"), axis("x", "nm")], Hints(), "stack"),
        ([axis()] * 3, Hints(), "stack"),
        ([axis("time", "s"), axis("y", "nm"), axis("x", "nm"), axis("E", "eV")], Hints(), "array"),
        ([axis()] * 5, Hints(), "array"),
    ],
)
def test_kind(found: list[FoundAxis], hints: Hints, kind: str) -> None:
    """Each rank has its kinds."""
    assert label_axes(found, AUTO, hints).kind == kind


@given(
    st.lists(
        st.builds(
            axis,
            st.sampled_from(["", "x", "y", "Energy", "t", "kx", "Qy", "width"]),
            st.sampled_from(["", "nm", "1/nm", "eV", "s", "mrad", "px", "furlong"]),
            st.sampled_from([None, True, False]),
            st.integers(1, 6),
        ),
        min_size=1,
        max_size=6,
    ),
    st.sampled_from(["auto", "detector-fast", "scan-fast"]),
    st.one_of(st.none(), st.tuples(st.integers(1, 6), st.integers(1, 6))),
    st.sampled_from(["", "EELS", "electron_diffraction"]),
)
def test_no_axis_is_lost(
    found: list[FoundAxis], layout: LayoutChoice, shape: tuple[int, int] | None, signal: str
) -> None:
    """Whatever the evidence: every disk axis has its place, sizes agree, dims are distinct."""
    options = ReadOptions(layout=layout, scan_shape=shape)
    labels = label_axes(found, options, Hints(signal_type=signal))
    assert sorted(labels.order) == list(range(len(found)))
    assert len(set(dims(labels))) == len(dims(labels))
    transposed = np.empty([found[dim].size for dim in labels.order])
    sizes = tuple(one.size for one in labels.axes)
    assert transposed.reshape(sizes).shape == sizes
    pattern = len(sizes) - 2
    if labels.scan is not None:
        assert sizes == (*labels.scan, *transposed.shape[-pattern:])


@pytest.mark.parametrize("scale", [0.0, float("nan"), float("inf")])
def test_a_useless_scale_is_no_calibration(scale: float) -> None:
    """An axis whose scale cannot be one counts pixels, and keeps the source's spelling."""
    found = FoundAxis(size=3, scale=scale, units="nm", offset=7.0)
    assert found.label("x") == Axis(name="x", size=3, source_units="nm")


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.integers(2, 50))
def test_positions_give_the_calibration(offset: float, scale: float, size: int) -> None:
    """Positions of all pixels, or of the first two, are offset and scale."""
    positions = offset + np.arange(size) * scale
    for given_positions in (positions, positions[:2]):
        found = FoundAxis(size=size).at(given_positions)
        if not found.uneven:
            spread = abs(offset) * 1e-9 + abs(scale) * 1e-2
            assert found.offset == pytest.approx(offset)
            assert abs(found.scale - scale) <= spread


def test_uneven_positions_are_no_calibration() -> None:
    """An axis of uneven steps is not taken for an even one, and says so."""
    found = FoundAxis(size=3, units="eV", name="loss").at([0.0, 1.0, 5.0])
    labels = label_axes([found], ReadOptions())
    assert not labels.axes[0].calibrated
    assert any("'loss'" in note and "uneven by up to 0.6" in note for note in labels.notes)


@given(st.integers(3, 2000), st.floats(-0.02, 0.02), st.floats(1e-3, 1e3), st.floats(-10, 10))
def test_no_axis_is_straightened(size: int, change: float, step: float, first: float) -> None:
    """An axis whose step changes along it is believed only where every position agrees."""
    steps = np.linspace(step * (1 - change), step * (1 + change), size - 1)
    positions = first * step + np.concatenate([[0.0], np.cumsum(steps)])
    axis = FoundAxis(size=size, units="nm").at(positions).label("x")
    if axis.calibrated:
        assert np.abs(axis.values() - positions).max() <= 2e-3 * step
    else:
        assert np.abs(positions - np.linspace(*positions[[0, -1]], size)).max() > 0.5e-3 * step


@pytest.mark.parametrize("offset", [0.0, 400.0, -1e5])
def test_positions_rounded_by_their_type_are_even(offset: float) -> None:
    """float32 positions of an even grid stay calibrated, however far they are from zero."""
    positions = (offset + np.arange(1024) * 0.25).astype(np.float32)
    assert FoundAxis(size=1024, units="nm").at(positions).label("x").scale == pytest.approx(0.25)


@pytest.mark.parametrize("wrong", [[1.0, np.nan, 3.0], [0.0, 1.0, 0.0], [2.0, 2.0, 2.0], [0, 1, 3]])
def test_positions_that_are_no_grid(wrong: list[float]) -> None:
    """Gaps, repetitions and missing positions leave an axis in pixels."""
    axis = FoundAxis(size=3, units="nm").at(wrong)
    assert axis.uneven
    assert not axis.label("x").calibrated


@pytest.mark.parametrize("disk", [(6, 4, 5), (2, 3, 4, 5)])
def test_what_an_option_sets_is_its_evidence(disk: tuple[int, ...]) -> None:
    """Evidence names the option that gave it, so that a person finds what to change."""
    axes = tuple(FoundAxis(size=size) for size in disk)
    options = ReadOptions(layout="detector-fast", scan_shape=(2, 3))
    labels = label_axes(axes, options, Hints())
    assert labels.layout is not None
    assert any("--layout" in text for text in labels.layout.evidence)
    labels = label_axes(axes[:1] + axes[-2:], ReadOptions(scan_shape=(1, disk[0])), Hints())
    assert labels.layout is not None
    assert labels.layout.evidence[0] == "set by --scan-shape"
