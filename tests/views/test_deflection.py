"""Centres of mass against scipy; the rotation that is found is the one that was planted."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from stemzarr.errors import OptionError
from stemzarr.options import IngestOptions
from stemzarr.store import read_store, write_store
from stemzarr.testing.sources import counted, document_of, source_of
from stemzarr.views.deflection import (
    Correction,
    center_of_mass,
    correct,
    deflection,
    find_correction,
)

from .test_virtual import MakeScan


@given(st.sampled_from(["uint8", "int16", "float32"]), st.integers(0, 99), st.booleans())
def test_centres_are_scipys(make_scan: MakeScan, dtype: str, seed: int, masked: bool) -> None:
    """In units of the axes from the centre given, of all pixels or of some; NaN where all are 0."""
    rng = np.random.default_rng(seed)
    values = rng.poisson(0.6, (3, 4, 11, 19)).astype(dtype)
    values[1, 2] = 0
    bad = rng.random((11, 19)) > 0.95
    document = make_scan(values, bad_pixels=bad)
    mask = rng.random((11, 19)) > 0.4 if masked else None
    found = center_of_mass(document, center=(1.5, -2.0), mask=mask)
    counts = values * (~bad if mask is None else mask & ~bad)
    for y, x in np.ndindex(3, 4):
        place = (np.nan, np.nan)
        if counts[y, x].any():
            place = ndimage.center_of_mass(counts[y, x].astype(float))
        expected = [
            axis.offset + at * axis.scale - middle
            for axis, at, middle in zip(document.axes[2:], place, (1.5, -2.0), strict=True)
        ]
        pair = (found["com_y"][y, x], found["com_x"][y, x])
        np.testing.assert_allclose(pair, expected, rtol=1e-9, atol=1e-9)
    assert found["com_x"].attrs["units"] == "mrad"


def test_those_of_a_store_are_those_of_its_pixels(tmp_path: Path) -> None:
    """What a store keeps gives the same as the pixels, after a calibration too."""
    document = document_of(counted((4, 5, 20, 24)))
    write_store(source_of(tmp_path / "a", [document]), tmp_path / "a.zarr", IngestOptions())
    kept = read_store(tmp_path / "a.zarr").document
    for how in ({}, {"center": (0.1, 0.2)}, {"correction": Correction(rotation=33, flip=True)}):
        found, expected = center_of_mass(kept, **how), center_of_mass(document, **how)  # type: ignore[arg-type]
        np.testing.assert_allclose(found.to_array(), expected.to_array(), rtol=1e-12, atol=1e-12)


def test_a_positive_rotation_is_clockwise() -> None:
    """A vector to the right goes down, one down goes to the left; the flip negates y first."""
    right, down = (np.array([0.0]), np.array([1.0])), (np.array([1.0]), np.array([0.0]))
    turned = Correction(rotation=90)
    np.testing.assert_allclose(correct(right, turned), [[1], [0]], atol=1e-15)
    np.testing.assert_allclose(correct(down, turned), [[0], [-1]], atol=1e-15)
    np.testing.assert_allclose(correct(down, Correction(flip=True)), [[-1], [0]])


def field(shape: tuple[int, int]) -> Any:
    """Return the deflection by atoms: towards them, so with negative divergence there."""
    y, x = np.indices(shape).astype(float)
    potential = sum(
        np.exp(-((y - a) ** 2 + (x - b) ** 2) / 8) for a in (6, 17, 29) for b in (7, 18, 30)
    )
    return np.gradient(potential)


@settings(max_examples=40)
@given(angle=st.floats(-179, 179), flip=st.booleans())
def test_the_rotation_that_was_planted_is_found(angle: float, *, flip: bool) -> None:
    """Rotation, flip and sign are found again from the field alone."""
    planted = Correction(rotation=angle, flip=flip)
    y, x = field((36, 38))
    # the inverse: rotated back, then flipped
    back = correct((y, x), Correction(rotation=-angle))
    seen = (-back[0] if flip else back[0], back[1])
    found = find_correction(seen)
    assert found.flip == flip
    assert math.isclose((found.rotation - angle + 180) % 360, 180, abs_tol=0.5)
    np.testing.assert_allclose(correct(seen, planted), (y, x), atol=1e-12)


def test_dpc_corrects_what_it_finds(make_scan: MakeScan) -> None:
    """The field comes back from patterns whose disk it moved, its mean subtracted."""
    y, x = (20 * part for part in field((36, 38)))
    seen = correct((y, x), Correction(rotation=-25))
    rows, columns = np.indices((24, 26))
    values = np.exp(
        -(
            (rows - 11.5 - seen[0][..., np.newaxis, np.newaxis]) ** 2
            + (columns - 12.5 - seen[1][..., np.newaxis, np.newaxis]) ** 2
        )
        / 10
    )
    document = make_scan(values)
    axes = [dataclasses.replace(axis, scale=0.5) for axis in document.axes]
    found = deflection(dataclasses.replace(document, axes=tuple(axes)))
    assert found.attrs["flip"] == 0
    assert found.attrs["rotation_deg"] == pytest.approx(25, abs=0.5)
    for name, part in (("com_y", y), ("com_x", x)):
        np.testing.assert_allclose(found[name], 0.5 * (part - part.mean()), atol=0.02)
    direction = np.arctan2(found["com_y"], found["com_x"])
    np.testing.assert_allclose(found["direction"], direction)


def test_what_has_no_curl_is_refused(make_scan: MakeScan) -> None:
    """A line needs a rotation that is given."""
    line = make_scan(np.random.default_rng(0).poisson(3, (1, 9, 8, 8)))
    with pytest.raises(OptionError, match="no curl"):
        deflection(line)
    assert deflection(line, rotation=10.0).attrs["rotation_deg"] == 10.0
