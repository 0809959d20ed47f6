"""Every number that the page gets is what numpy makes of the values."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemzarr.errors import OptionError, UnsupportedDataError
from stemzarr.explorer.detectors import parse_detectors, sum_detectors
from stemzarr.explorer.subject import Subject
from stemzarr.explorer.tile_sums import all_tiles, plan_tiles, sampled_tiles
from stemzarr.explorer.wire import from_array
from stemzarr.measure.tiles import sum_tiles, tile_side
from stemzarr.model import ArrayBlocks, Axis, Document, Tiles
from stemzarr.registry import read_source

NUMBERS = st.floats(-3, 3).map(lambda number: round(number, 2))
DTYPES = ["uint8", "int16", "uint32", "float32", "float64", "bool", "uint64"]


def scan_of(values: np.ndarray[Any, Any], bad: np.ndarray[Any, Any] | None = None) -> Document:
    """Return a scan whose detector is calibrated differently along its dims."""
    names = ("scan_y", "scan_x", "det_y", "det_x")
    steps = ((2.5, 0.0), (2.5, 1.0), (0.25, -1.5), (0.2, -1.1))
    axes = tuple(
        Axis(name=name, size=size, scale=scale, offset=offset, units="1/nm", calibrated=True)
        for name, size, (scale, offset) in zip(names, values.shape, steps, strict=True)
    )
    return Document(
        index=0,
        slug="scan",
        title="scan",
        kind="4d-stem",
        axes=axes,
        blocks=ArrayBlocks(values),
        bad_pixels=bad,
    )


@st.composite
def scans(draw: st.DrawFn) -> Document:
    """Return small scans of every type, some with bad pixels."""
    shape = tuple(draw(st.integers(1, most)) for most in (5, 6, 20, 19))
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    values = rng.integers(0, 2 if dtype.kind == "b" else 100, shape).astype(dtype)
    bad = rng.random(shape[2:]) < 0.1 if draw(st.booleans()) else None
    return scan_of(values, bad)


@settings(max_examples=25)
@given(scans(), st.lists(st.tuples(st.booleans(), st.booleans(), NUMBERS, NUMBERS), max_size=3))
def test_the_image_of_detectors_is_that_of_their_masks(
    document: Document, drawn: list[tuple[bool, bool, float, float]]
) -> None:
    """Rings and rectangles, added and subtracted, count the pixels whose centres are in them."""
    parts = ["+ring:0,0,0,inf"]
    for plus, ring, first, second in drawn:
        sign = "+" if plus else "-"
        if ring:
            parts.append(f"{sign}ring:{first},{second},{abs(first)},{abs(first) + abs(second)}")
        else:
            parts.append(f"{sign}rect:{first},{second},{first + 1.5},{second + 1.25}")
    y, x = (axis.values() for axis in document.axes[2:])
    good = np.ones(document.shape[2:], bool)
    good &= True if document.bad_pixels is None else ~document.bad_pixels
    expected = np.zeros(document.shape[:2])
    values = document.blocks.array.astype(np.float64)  # type: ignore[attr-defined]
    empty = False
    for detector in parse_detectors(";".join(parts)):
        a, b, c, d = detector.numbers
        if detector.shape == "ring":
            distance = np.hypot(y[:, np.newaxis] - a, x - b)
            mask = (distance >= c) & (distance < d)
        else:
            mask = ((y >= a) & (y < c))[:, np.newaxis] & ((x >= b) & (x < d))
        mask &= good
        empty |= not mask.any()
        expected += detector.sign * (values * mask).sum(axis=(2, 3))
    parsed = parse_detectors(";".join(parts))
    if empty:
        with pytest.raises(OptionError):
            sum_detectors(document, parsed, memory=2**20)
        return
    np.testing.assert_array_equal(sum_detectors(document, parsed, memory=2**20), expected)


@settings(max_examples=25)
@given(scans(), st.integers(1, 4000), st.booleans())
def test_tile_sums_are_the_sums_of_tiles(document: Document, budget: int, kept: bool) -> None:
    """Those of a store, of every position, of a sample, at any budget; tiles at the edge too."""
    values = document.blocks.array.astype(np.float64)  # type: ignore[attr-defined]
    if document.bad_pixels is not None:
        values = values * ~document.bad_pixels
    tile, step = plan_tiles(document, budget)
    if kept:
        side = tile_side(document.shape[2:])
        sums = sum_tiles(values.reshape(-1, *values.shape[2:]), side)
        blocks = ArrayBlocks(sums.reshape(*values.shape[:2], *sums.shape[1:]))
        document = dataclasses.replace(document, tiles=Tiles(side=side, blocks=blocks))
    found = all_tiles(document, budget, stop=bool)
    for tiles in (found, sampled_tiles(document, budget)):
        assert tiles.tile == tile
        part = values[:: tiles.step, :: tiles.step]
        for i, j in np.ndindex(tiles.sums.shape[:2]):
            square = part[:, :, i * tile : (i + 1) * tile, j * tile : (j + 1) * tile]
            np.testing.assert_array_equal(tiles.sums[i, j], square.sum(axis=(2, 3)))
    assert found.step == step
    assert found.whole


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 4096), st.integers(1, 4096))
def test_tile_sums_fit_any_budget(rows: int, columns: int, height: int, width: int) -> None:
    """However many positions and pixels there are, the page gets at most what was said."""
    blocks = ArrayBlocks(np.broadcast_to(np.uint8(0), (rows, columns, height, width)))
    document = scan_of(np.zeros((1, 1, 1, 1)))
    tile, step = plan_tiles(
        Document(index=0, slug="s", title="s", kind="4d-stem", axes=document.axes, blocks=blocks),
        64 * 1024**2,
    )
    count = -(-height // tile) * -(-width // tile) * -(-rows // step) * -(-columns // step)
    assert 4 * count <= 64 * 1024**2


def test_a_pass_over_tiles_can_be_stopped() -> None:
    """Closing the explorer does not wait for 100 GB."""
    with pytest.raises(InterruptedError):
        all_tiles(scan_of(np.zeros((2, 2, 8, 8))), 2**20, stop=lambda: True)


@pytest.mark.parametrize(
    "text",
    ["", "ring", "+ring:1,2,3", "+disk:1,2,3,4", "+ring:a,2,3,4", "+ring:nan,0,0,1", ";",
     "+rect:0,0,inf,inf", "+ring:0,0,0,nan", "+ring:0,0,0,1;", "+ring:0,0,0,1;" * 40],
)  # fmt: skip
def test_what_is_not_a_detector_is_refused(text: str) -> None:
    """The address is typed by people."""
    with pytest.raises(OptionError):
        parse_detectors(text)


@pytest.mark.parametrize("name", ["dm4", "store"])
def test_the_presets_are_the_images_that_ingest_made(
    name: str, store: Path, request: pytest.FixtureRequest
) -> None:
    """Bright and dark field of a file that was never ingested are those of its store."""
    from stemzarr.store import open_previews

    path = request.getfixturevalue(name)
    subject = Subject(read_source(path), None, "scan")
    for preset, detectors in subject.presets.items():
        expected = open_previews(store)[preset].to_numpy()
        np.testing.assert_array_equal(subject.image(detectors), expected)
        computed = sum_detectors(subject.document, parse_detectors(detectors), memory=2**20)
        np.testing.assert_array_equal(computed, expected)
    subject.close()


def test_patterns_and_means_are_those_of_the_values(dm4: Path) -> None:
    """A position, a region, and what is outside."""
    subject = Subject(read_source(dm4), None, "scan")
    values = np.empty(subject.document.shape, subject.document.dtype)
    subject.document.blocks.read_into(values, (0, 0, 0, 0))
    np.testing.assert_array_equal(subject.pattern(3, 7), values[3, 7])
    mean = subject.mean(1, 2, 5, 9)
    np.testing.assert_allclose(mean, values[1:5, 2:9].mean(axis=(0, 1)), rtol=1e-12)
    for ends in ((-1, 0, 1, 1), (0, 0, 7, 1), (2, 2, 2, 3)):
        with pytest.raises(OptionError):
            subject.mean(*ends)


@pytest.mark.parametrize("name", ["dm4", "store"])
def test_the_center_of_mass_is_that_of_the_accessor(
    name: str, request: pytest.FixtureRequest
) -> None:
    """Of a file that was never ingested, and as a store keeps it."""
    import stemzarr

    path = request.getfixturevalue(name)
    found = Subject(read_source(path), None, "scan").center_of_mass()
    with stemzarr.open(path) as scan:
        expected = scan.stem.center_of_mass()
    for plane, dim in zip(found, ("com_y", "com_x"), strict=True):
        np.testing.assert_allclose(plane, expected[dim].to_numpy(), atol=1e-9)


def test_what_is_no_scan_has_planes(dm4: Path) -> None:
    """The survey image is one plane; patterns it has none."""
    subject = Subject(read_source(dm4), "survey", "scan")
    values = np.empty(subject.document.shape, subject.document.dtype)
    subject.document.blocks.read_into(values, (0, 0))
    np.testing.assert_array_equal(subject.plane(0), values)
    with pytest.raises(OptionError):
        subject.plane(1)
    for ask in (subject.tiles, subject.totals, lambda: subject.pattern(0, 0)):
        with pytest.raises(UnsupportedDataError):
            ask()


@given(st.sampled_from([*DTYPES, "float16", "int64", "int8"]), st.integers(0, 2**32))
def test_arrays_travel_unchanged(dtype: str, seed: int) -> None:
    """What JavaScript has no type for becomes one that holds its values."""
    values = np.random.default_rng(seed).integers(0, 2, (3, 5)).astype(dtype)
    header, data = from_array(values)
    name, shape = header.split(" ")
    back = np.frombuffer(data, name).reshape([int(n) for n in shape.split(",")])
    np.testing.assert_array_equal(back, values)
