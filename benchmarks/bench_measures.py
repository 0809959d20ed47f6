"""What measures cost and save: their share of a store, of an ingest, and of a virtual image.

``python benchmarks/bench_measures.py --folder /tmp/bench --full``. ``sizes``: tile sums against the
whole store, counted scans of several densities. ``images``: a detector of whole tiles from tile
sums, against the full decode of the same store in the same process. ``cost``: processor time of an
ingest of 2 GiB with all measures, without centres of mass, and without these and tile sums; the
smallest of several runs, each a process of its own. Without ``--full`` all is small.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from measuring import run_process, size_of
from numpy.typing import NDArray

SMALL, FULL = ((8, 16), (64, 64)), ((128, 128), (256, 256))
DENSITIES = (0.05, 1.0, 16.0)
RUNS = 3
WITHOUT = ("all measures", "no centres of mass", "no tile sums either")


def scan_of(scan: tuple[int, int], detector: tuple[int, int], counts: float) -> NDArray[np.uint16]:
    """Return counts of a polycrystal with so many counts a pixel on average."""
    from stemzarr.testing.scans import CountedScan

    made = CountedScan(scan, detector, np.dtype(np.uint16), 0)
    means = made.means * (counts / made.means.mean())
    rng = np.random.default_rng(0)
    values = np.empty((*scan, *detector), np.uint16)
    for row, grains in enumerate(made.grain_map):
        values[row] = rng.poisson(means[grains])
    return values


def measure_size(folder: Path, scan: tuple[int, int], size: int, counts: float) -> dict[str, float]:
    """Return the share of a store that its tile sums take."""
    import stemzarr
    from stemzarr.options import IngestOptions

    np.save(folder / "scan.npy", scan_of(scan, (size, size), counts))
    store = folder / "scan.zarr"
    stemzarr.ingest(folder / "scan.npy", store, IngestOptions(overwrite=True, sync=False))
    tiles = size_of(store / "preview/tile_sums")
    return {"tile_sums": tiles, "store": size_of(store), "share": tiles / size_of(store)}


def leave_out(step: int) -> None:
    """Let an ingest of this process measure less."""
    from stemzarr.measure import accumulate, measures, reduction, tiles
    from stemzarr.store.format import nodes
    from stemzarr.store.ingest import preview

    gone = [(), ("com_y", "com_x"), ("com_y", "com_x", "tile_sums")][step]
    kept = tuple(measure for measure in measures.MEASURES if measure.name not in gone)
    for module in (accumulate, measures, reduction, nodes, preview):
        module.MEASURES = kept  # type: ignore[attr-defined]

    def only_tiles(values: NDArray[Any], side: int, _: object) -> tuple[Any, Any]:
        return tiles.sum_tiles(values, side), np.zeros((len(values), 2))

    def nothing(values: NDArray[Any], *_: object) -> tuple[Any, Any]:
        # The sums of patterns are those of their tiles: here of one that is as large as they are.
        lanes = values.reshape(len(values), 64, -1).sum(axis=1, dtype=np.uint16)
        return lanes.sum(axis=1, dtype=np.uint64)[:, None, None], np.zeros((len(values), 2))

    accumulate.sum_moments = [accumulate.sum_moments, only_tiles, nothing][step]


def run_ingest(path: Path, step: int) -> None:
    """Ingest with some of the measures, once to warm up and once to be timed."""
    import stemzarr
    from stemzarr.options import IngestOptions

    leave_out(step)
    options = IngestOptions(overwrite=True, sync=False, threads=1)
    stemzarr.ingest(path, path.with_suffix(".zarr"), options)
    started = time.process_time()
    stemzarr.ingest(path, path.with_suffix(".zarr"), options)
    print(json.dumps(time.process_time() - started))


def measure_cost(path: Path, runs: int) -> dict[str, float]:
    """Return the least processor time of an ingest in seconds, by what it measures."""
    least = dict.fromkeys(WITHOUT, float("inf"))
    for _, step in itertools.product(range(runs), range(len(WITHOUT))):
        found = run_process([sys.executable, __file__, "--folder", path, "--job", step])
        seconds = float(json.loads(found.output.splitlines()[-1]))
        least[WITHOUT[step]] = min(least[WITHOUT[step]], seconds)
    return least


def least_time(function: Callable[[], object], runs: int) -> float:
    """Return the least processor time of several calls in seconds."""
    times = []
    for _ in range(runs):
        started = time.process_time()
        function()
        times.append(time.process_time() - started)
    return min(times)


def measure_images(path: Path, runs: int) -> dict[str, float]:
    """Return the times of one virtual image by tile sums and by pixels, and of a likeness."""
    import stemzarr
    from stemzarr.options import IngestOptions
    from stemzarr.registry import read_source
    from stemzarr.views import virtual_image
    from stemzarr.views.likeness import likeness

    store = path.with_suffix(".zarr")
    stemzarr.ingest(path, store, IngestOptions(overwrite=True, sync=False))
    document = read_source(store).document
    height, width = document.shape[2:]
    mask = np.zeros((height, width), bool)
    mask[height // 4 // 8 * 8 : height // 2 // 8 * 8, 8 : width // 2 // 8 * 8] = True
    bare = dataclasses.replace(document, tiles=None)
    found, pixels = virtual_image(document, mask=mask), virtual_image(bare, mask=mask)
    assert found.identical(pixels)
    tiled = least_time(lambda: virtual_image(document, mask=mask), runs)
    decoded = least_time(lambda: virtual_image(bare, mask=mask), runs)
    ring = {"inner": 0.0, "outer": 0.11 * height * abs(document.axes[2].scale)}
    near = virtual_image(document, **ring, approximate=True)
    exact = virtual_image(document, **ring)
    return {
        "tile sums s": tiled,
        "pixels s": decoded,
        "times faster": decoded / tiled,
        "likeness s": least_time(lambda: likeness(document, (0, 0)), runs),
        "approximate, largest error / mean": near.attrs["largest_error"] / float(exact.mean()),
        "approximate, error / mean": float(abs(near - exact).max()) / float(exact.mean()),
    }


def main() -> None:
    """Make the scans, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="where the files are made")
    parser.add_argument("--full", action="store_true", help="scans of 256² and 128², and 2 GiB")
    parser.add_argument("--only", choices=["sizes", "images", "cost"])
    parser.add_argument("--job", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job is not None:
        run_ingest(options.folder, options.job)
        return
    from stemzarr.testing import write_synthetic_dm4

    folder = options.folder / "measures"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    sides, scan = ((256, 128), (32, 32)) if options.full else ((64,), (4, 8))
    path = folder / "scan.dm4"
    write_synthetic_dm4(path, *(FULL if options.full else SMALL))
    if options.only in (None, "sizes"):
        for size, counts in itertools.product(sides, DENSITIES):
            share = measure_size(folder, scan, size, counts)["share"]
            print(f"{size}² pixels, {counts:g} counts a pixel: tile sums {share:.1%} of the store")
    if options.only in (None, "images"):
        for name, value in measure_images(path, RUNS).items():
            print(f"{name}: {value:.4g}")
    if options.only in (None, "cost"):
        cost = measure_cost(path, RUNS if options.full else 1)
        for name, seconds in cost.items():
            print(f"ingest, {name}: {seconds:.2f} s, {seconds / cost[WITHOUT[-1]]:.3f}")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
