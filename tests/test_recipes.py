"""Recipes of the cookbook give the right values of scans that are known, not pictures alone."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

import stemzarr.accessor  # noqa: F401 - it gives a Dataset `.stem`
from stemzarr.labelled import to_dataset
from stemzarr.testing.sources import document_of

COOKBOOK = Path(__file__).parents[1] / "docs/cookbook.md"
SCAN, SIDE, STEP = (16, 32), 128, 0.021
RNG = np.random.default_rng(5)


def recipe(title: str) -> str:
    """Return the lines below a heading."""
    page = COOKBOOK.read_text(encoding="utf-8").partition(f"## {title}\n")[2]
    return page.partition("```python\n")[2].partition("```\n")[0]


def disks(places: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return a pattern with disks at places (y, x) in pixels from its centre, first the beam."""
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    rims = [np.clip(9.5 - np.hypot(y - place[0], x - place[1]), 0, 1) for place in places]
    pattern: NDArray[np.float64] = 200 * rims[0] + 40 * sum(rims[1:]) + 0.01
    return pattern


def labelled(patterns: NDArray[np.float64]) -> xr.Dataset:
    """Return counts of mean patterns along scan_x as a scan, in 1/nm about its centre."""
    bad = np.zeros((SIDE, SIDE), bool)
    bad[0, 0] = True
    counts = RNG.poisson(np.broadcast_to(patterns, (SCAN[0], *patterns.shape)))
    document = document_of(counts.astype(np.uint16), bad_pixels=bad)
    offset = -(SIDE - 1) / 2 * STEP
    detector = [
        dataclasses.replace(axis, scale=STEP, offset=offset, units="1/nm", calibrated=True)
        for axis in document.axes[2:]
    ]
    return to_dataset(dataclasses.replace(document, axes=(*document.axes[:2], *detector)))


def run(title: str, scan: xr.Dataset) -> dict[str, Any]:
    """Run a recipe on a scan, and return all that it names."""
    names: dict[str, Any] = {"scan": scan, "np": np, "xr": xr, "save": lambda *_, **__: None}
    exec(compile(recipe(title), "cookbook.md", "exec"), names)  # noqa: S102 - our own page
    return names


def test_strain_is_what_the_crystal_has() -> None:
    """A lattice that is stretched along x and pressed along y, by what grows over the scan."""
    along = np.linspace(-0.008, 0.008, SCAN[1])
    lattice = np.array([[0.0, 28.0], [-24.0, 8.0]])
    patterns = []
    for stretch in along:
        crystal = np.diag([1 - stretch / 2, 1 + stretch])
        first, second = lattice @ np.linalg.inv(crystal)
        patterns.append(disks([np.zeros(2), first, -first, second, -second]))
    found = run("Strain from disk centres", labelled(np.stack(patterns)))
    maps, grain = found["maps"], found["grain"]
    assert grain.mean() > 0.6
    expected = xr.DataArray(along.reshape(-1, 4).mean(axis=1), dims="scan_x")
    expected = (
        expected - expected.broadcast_like(grain.drop_vars(grain.coords)).where(grain.data).mean()
    )
    for name, factor in (("xx", 1.0), ("yy", -0.5), ("yx", 0.0)):
        off = (maps.sel(strain=name) - factor * expected.data).where(grain).mean("scan_y")
        assert abs(off).max() < 0.001  # of 0.7 %, by counts alone 0.05 % at one position
