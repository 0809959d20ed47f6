"""Bad pixels are found where they were planted, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from stemzarr.measure.bad_pixels import KINDS_OF_BAD
from stemzarr.options import IngestOptions
from stemzarr.store import open_previews, write_store
from stemzarr.testing.sources import document_of, source_of

SCAN, DETECTOR = (12, 14), (60, 70)
CLEAN = {
    "sparse": {"disk": 0.4, "ground": 0.02},
    "dense": {"disk": 900.0, "ground": 40.0},
    "crystal": {"disk": 30.0, "ground": 0.5, "spots": 25.0},
    "faint spots": {"disk": 30.0, "ground": 0.02, "spots": 0.3},
    "saturated": {"disk": 5000.0, "ground": 2.0, "ceiling": 4095},
    "beam stop": {"disk": 50.0, "ground": 3.0, "stop": True},
    "sharp": {"disk": 40.0, "ground": 0.001, "spots": 40.0, "radius": 2.0},
    "pencil beam": {"disk": 4000.0, "ground": 0.001, "spots": 900.0, "radius": 0.4},
}


def scan(
    disk: float,
    ground: float,
    spots: float = 0.0,
    radius: float = 6.0,
    ceiling: int = 65535,
    *,
    stop: bool = False,
) -> NDArray[np.uint16]:
    """Return counts of a central disk with Bragg disks of its size, which come and go."""
    rng = np.random.default_rng(5)
    y, x = np.indices(DETECTOR)
    rate = np.full((*SCAN, *DETECTOR), ground)
    for row in range(-2, 3):
        for column in range(-2, 3):
            middle = 30 + 15.3 * row + 2 * column, 35 + 14.7 * column - 2 * row
            inside = np.hypot(y - middle[0], x - middle[1]) <= radius
            central = not row and not column
            share = np.ones(SCAN) if central else rng.random(SCAN) + 0.5
            rate += share[..., np.newaxis, np.newaxis] * inside * (disk if central else spots)
    if stop:
        rate[..., 28:33, :40] = 0
    return np.minimum(rng.poisson(rate), ceiling).astype(np.uint16)


def found(
    folder: Path, values: NDArray[np.uint16], **masks: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """Return the kinds of bad pixels that an ingest finds."""
    source = source_of(folder / "a.dm4", [document_of(values, **masks)])
    write_store(source, folder / "a.zarr", IngestOptions(sync=False))
    bad: NDArray[np.uint8] = open_previews(folder / "a.zarr")["bad_pixels"].to_numpy()
    return bad


@pytest.mark.parametrize("name", CLEAN)
def test_clean_scans_have_none(tmp_path: Path, name: str) -> None:
    """Neither disks, spots, saturation nor a beam stop are taken for bad pixels."""
    assert not found(tmp_path, scan(**CLEAN[name])).any()  # type: ignore[arg-type]


@pytest.mark.parametrize("gain", [1, 40])
def test_few_electrons_miss_no_pixel(tmp_path: Path, gain: int) -> None:
    """Patterns that repeat, and electrons of many counts, leave holes that are chance."""
    few = scan(disk=0.5, ground=0.1)[:2]
    values = np.tile(few * np.uint16(gain), (SCAN[0] // 2 if gain == 1 else 1, 3, 1, 1))
    assert (values.sum(axis=(0, 1)) == 0).any()
    assert not found(tmp_path, values).any()


@pytest.mark.parametrize("name", ["dense", "crystal", "saturated", "sharp"])
def test_planted_ones_are_found(tmp_path: Path, name: str) -> None:
    """Hot ones off the spots, stuck and dead ones in the disk too; those of the file stay named."""
    values = scan(**CLEAN[name])  # type: ignore[arg-type]
    rng = np.random.default_rng(1)
    expected = np.zeros(DETECTOR, np.uint8)
    named = np.zeros(DETECTOR, bool)
    named[50, 60] = True
    expected[50, 60] = KINDS_OF_BAD["named"]
    counts = name != "sharp"  # where nothing else counts, nothing is missed or stands out as stuck
    if counts:
        values[..., 32, 37] = values[..., 32, 38] = 0
        expected[32, 37:39] = KINDS_OF_BAD["dead"]
    if counts and name != "saturated":
        values[..., 28, 34] = 3
        expected[28, 34] = KINDS_OF_BAD["stuck"]
    values[..., 9, 26] = 60000
    expected[9, 26] = KINDS_OF_BAD["stuck" if counts else "hot"]
    values[..., 22, 27] = rng.poisson(2000, SCAN)
    expected[22, 27] = KINDS_OF_BAD["hot"]
    np.testing.assert_array_equal(found(tmp_path, values, bad_pixels=named), expected)


def test_one_event_is_no_hot_pixel(tmp_path: Path) -> None:
    """A cosmic ray in one pattern, or in a few, is none."""
    values = scan(**CLEAN["crystal"])  # type: ignore[arg-type]
    values[3, 4, 8, 24] = values[6, 6, 50, 20] = 60000
    assert not found(tmp_path, values).any()
