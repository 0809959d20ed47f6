"""The central disk is found where it is, whatever lies around it, by one finder for all."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from stemzarr.errors import StemzarrError
from stemzarr.measure.accumulate import PARTIAL_FORM
from stemzarr.measure.disk import find_disk, locate_disk
from stemzarr.measure.measures import MEASURES
from stemzarr.model import Source
from stemzarr.options import IngestOptions
from stemzarr.store import open_previews, read_store, write_store
from stemzarr.testing.sources import document_of
from stemzarr.views import find_center
from stemzarr_cli.program import run

RADIUS = 33
CENTER = (130.3, 120.7)


def pattern(
    shape: tuple[int, int] = (256, 256),
    center: tuple[float, float] = CENTER,
    radius: float = RADIUS,
    *,
    spots: tuple[tuple[float, float, float], ...] = (),
    blur: float = 0,
    stop: float = 0,
    shadow: tuple[float, float] = (0, 0),
    counts: float = 0,
    hot: int = 0,
    ground: float = 0.02,
) -> NDArray[np.float64]:
    """Return a mean pattern: a disk of height 1, and what detectors put beside it."""
    rng = np.random.default_rng(1)
    y, x = np.indices(shape, float)

    def disk(row: float, column: float) -> NDArray[np.float64]:
        return np.clip(radius + 0.5 - np.hypot(y - row, x - column), 0, 1)

    image = ground + disk(*center)
    for dy, dx, height in spots:
        image = np.maximum(image, height * disk(center[0] + dy, center[1] + dx))
    if shadow[0]:
        near = np.hypot(y - center[0], x - center[1]) < shadow[0]
        image = np.where(near, np.maximum(image, shadow[1]), 0)
    if blur:
        image = ndimage.gaussian_filter(image, blur)
    if stop:
        image[(np.abs(y - center[0]) < stop) & (x > center[1] - stop)] = 0
    if counts:
        image = rng.poisson(image * counts * 32) / 32
    for place in rng.integers(0, shape, (hot, 2)):
        image[tuple(place)] = 1e4
    return np.asarray(image, np.float64)


SIX = tuple((80 * np.sin(a), 80 * np.cos(a), 0.6) for a in np.arange(6) * np.pi / 3)
CASES: dict[str, dict[str, Any]] = {
    "alone": {},
    "a Bragg spot of 60 %": {"spots": ((75, 10, 0.6),)},
    "a Bragg spot of 95 %": {"spots": ((75, 10, 0.95),)},
    "a Bragg spot that touches": {"spots": ((0, 66, 0.6),)},
    "a Bragg spot that overlaps": {"spots": ((0, 50, 0.6),)},
    "six Bragg spots": {"spots": SIX},
    "off centre": {"center": (60.2, 190.5)},
    "cut by the edge": {"center": (20.2, 190.5)},
    "blurred": {"blur": 3},
    "much blurred": {"blur": 8},
    "a beam stop": {"stop": 8},
    "a wide beam stop": {"stop": 12},
    "the shadow of an annular detector": {"shadow": (70, 0.3)},
    "a narrow shadow": {"shadow": (60, 0.45)},
    "low counts": {"counts": 0.1},
    "low counts and spots": {"counts": 0.05, "spots": SIX},
    "hot pixels": {"hot": 30},
    "rectangular": {"shape": (96, 512), "center": (40, 300)},
    "tall": {"shape": (300, 90), "center": (200, 44)},
    "large": {"radius": 100},
    "small": {"shape": (64, 64), "center": (30, 33), "radius": 5},
    "of many pixels": {"shape": (1024, 1024), "center": (500.3, 511), "radius": 70},
    "all at once": {"blur": 2, "spots": SIX, "hot": 20, "counts": 0.5, "stop": 6},
}


@pytest.mark.parametrize("case", CASES)
def test_the_disk_is_found_whatever_lies_around_it(case: str) -> None:
    """Centre to a pixel at most, radius to 3 % and half a pixel."""
    how = CASES[case]
    found = find_disk(pattern(**how))
    center, radius = how.get("center", CENTER), how.get("radius", RADIUS)
    assert found.found
    assert np.hypot(found.center_y - center[0], found.center_x - center[1]) < 0.6
    assert found.radius == pytest.approx(radius, abs=0.5 + 0.03 * radius)
    assert found.inner == pytest.approx(1.5 * found.radius)


@pytest.mark.parametrize(("radius", "blur"), [(33, 3), (33, 8), (20, 6), (8, 4), (3, 6), (1, 10)])
def test_bright_field_holds_the_direct_beam(radius: float, blur: float) -> None:
    """However blurred a disk is, three quarters of the beam and more are inside the radius."""
    beam = pattern(radius=radius, blur=blur, ground=0)
    found = find_disk(pattern(radius=radius, blur=blur, ground=0.002))
    y, x = np.indices(beam.shape)
    inside = np.hypot(y - found.center_y, x - found.center_x) <= found.radius
    assert beam[inside].sum() > 0.75 * beam.sum()
    assert found.radius < radius + 2.5 * blur


def test_bad_pixels_say_nothing() -> None:
    """Rows of flagged values as bright as can be, and a dead corner, move nothing."""
    image, bad = pattern(), np.zeros((256, 256), bool)
    bad[100:104] = bad[:, 130] = bad[200:, 200:] = True
    image[bad] = 2.0**32
    found = find_disk(image, bad)
    assert (found.center_y, found.center_x) == pytest.approx(CENTER, abs=0.6)
    assert found.radius == pytest.approx(RADIUS, abs=1)
    assert find_disk(image, np.ones_like(bad)).radius > 0


@pytest.mark.parametrize("value", [0.0, 1.0, np.nan, np.inf])
def test_where_there_is_no_disk_it_is_a_guess(value: float) -> None:
    """Nothing, everything, or what is not finite: the middle, marked as not found."""
    found = find_disk(np.full((20, 30), value))
    assert (found.found, found.center_y, found.center_x) == (False, 9.5, 14.5)


def test_there_is_one_finder(
    make_source: Callable[..., Source], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Previews, virtual images and `show` agree on the disk, and the radii are recorded."""
    image = pattern((64, 72), (25.2, 40.1), 9, spots=((24, 3, 0.6),))
    values = np.random.default_rng(0).poisson(image * 20, (4, 5, 64, 72)).astype("u2")
    source = make_source(values)
    store = tmp_path / "x.zarr"
    write_store(source, store, IngestOptions(sync=False))
    disk = open_previews(store).attrs["disk"]
    axes = source.document.axes[2:]
    places = (disk["center_y"], disk["center_x"])
    expected = [axis.offset + n * axis.scale for axis, n in zip(axes, places, strict=True)]
    assert find_center(source.document) == pytest.approx(expected)
    assert places == pytest.approx((25.2, 40.1), abs=0.5)
    assert (disk["bright_field_inner"], disk["bright_field_outer"]) == (0.0, disk["radius"])
    assert disk["annular_dark_field_inner"] == disk["annulus_inner"]
    assert disk["annular_dark_field_outer"] == pytest.approx(np.hypot(38, 40.3), abs=1)
    assert locate_disk(read_store(store).document).radius == disk["radius"]
    assert run(["show", str(store)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"radius {disk['radius']:.1f} pixels" in said


@pytest.mark.parametrize(
    ("name", "value"), [("PARTIAL_FORM", PARTIAL_FORM + 1), ("MEASURES", MEASURES[1:])]
)
def test_a_journal_of_another_form_is_not_continued(
    make_source: Callable[..., Source],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: object,
) -> None:
    """What shards accumulated in another form, or of other measures, is made again."""
    values = np.random.default_rng(0).poisson(3, (4, 5, 8, 8)).astype("u2")
    source, store, options = make_source(values), tmp_path / "x.zarr", IngestOptions(sync=False)

    def stop(*_: object) -> None:
        raise StemzarrError("stopped")

    with monkeypatch.context() as patched:
        patched.setattr("stemzarr.store.ingest.write._complete", stop)
        with pytest.raises(StemzarrError, match="stopped"):
            write_store(source, store, options)
    monkeypatch.setattr(f"stemzarr.store.ingest.write.{name}", value)
    done = write_store(source, store, options)
    assert done.status == "ingested"
    assert any("measures changed" in note for note in done.notes)


def test_patterns_of_one_pixel_have_no_disk() -> None:
    """A scan of one-pixel patterns is no reason to fail."""
    assert not locate_disk(document_of(np.ones((2, 3, 1, 1)))).found


def test_the_disk_is_the_same_on_an_older_processor(tmp_path: Path) -> None:
    """To the last bit, or stores of one file would differ between machines."""
    cases = [pattern(counts=10), pattern(radius=20.4, blur=4), pattern(spots=((60, 10, 0.6),))]
    np.save(tmp_path / "cases.npy", np.stack(cases))
    code = (
        "import numpy as np; from stemzarr.measure.disk import find_disk\n"
        f"print([find_disk(one) for one in np.load({str(tmp_path / 'cases.npy')!r})])"
    )
    features = "X86_V3 X86_V4 AVX512_ICL AVX2 FMA3 AVX512F AVX512_SKX"
    older = {"OPENBLAS_CORETYPE": "Nehalem", "NPY_DISABLE_CPU_FEATURES": features}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env=os.environ | older,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str([find_disk(one) for one in cases])
