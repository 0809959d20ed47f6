"""How soon a planted scan is found among many by its likeness to one pattern.

``python benchmarks/bench_alike.py --folder /tmp/bench --scans 1000``: a lake of small scans, each
of grains of its own (beyond 60 scans, of copies); one holds the grain that is looked for. Prints
the time of a first search, which reads the tile sums of all, of a second one, and of ``stemzarr ls
--like`` as a process.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path

import numpy as np
from measuring import run_process
from numpy.typing import NDArray

SCAN, SIDE = (8, 8), 64
DISTINCT = 60
MODEL, PLANTED = 1, "scan_00007"


def grain(seed: int) -> NDArray[np.float64]:
    """Return the mean pattern of a grain: a central disk, and spots where its seed says."""
    rng = np.random.default_rng(seed)
    y, x = np.indices((SIDE, SIDE)) - (SIDE - 1) / 2
    pattern = 20.0 * (np.hypot(y, x) < SIDE / 12) + 0.05
    for down, right in rng.uniform(-0.4, 0.4, (8, 2)) * SIDE:
        pattern = pattern + 8.0 * (np.hypot(y - down, x - right) < SIDE / 20)
    return pattern


def write_scan(store: Path, number: int, planted: int | None) -> None:
    """Write a scan of four grains of its own, or with a quarter of it the planted one."""
    import stemzarr
    from stemzarr.options import IngestOptions

    seeds = [1000 + 4 * number + part for part in range(4)]
    seeds[3] = seeds[3] if planted is None else planted
    means = np.stack([grain(seed) for seed in seeds])
    rows, columns = np.indices(SCAN) * 2 // np.array(SCAN)[:, None, None]
    values = np.random.default_rng(number).poisson(means[2 * rows + columns]).astype(np.uint16)
    file = store.with_suffix(".npy")
    np.save(file, values)
    stemzarr.ingest(file, store, IngestOptions(sync=False, threads=1))
    file.unlink()


def main() -> None:
    """Make the lake, search, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="where the lake is made")
    parser.add_argument("--scans", type=int, default=20)
    options = parser.parse_args()
    from stemzarr_catalog import find_alike, open_lake, read_model

    folder = options.folder / "alike"
    shutil.rmtree(folder, ignore_errors=True)
    lake = open_lake(folder / "lake", create=True)
    written: list[Path] = []
    for number in range(options.scans):
        store = lake.stores / f"scan_{number:05d}.zarr"
        if number < DISTINCT:
            write_scan(store, number, MODEL if store.stem == PLANTED else None)
        else:
            shutil.copytree(written[number % len(written)], store)
        written += [store] if number < DISTINCT and store.stem != PLANTED else []
    write_scan(folder / "model.zarr", options.scans, MODEL)
    lake = open_lake(folder / "lake")
    for which in ("first", "second"):
        started, worked = time.perf_counter(), time.process_time()
        model = read_model(folder / "model.zarr", (7, 7))
        found = find_alike(lake, model).found
        spent = time.perf_counter() - started, time.process_time() - worked
        print(f"{which} search: {spent[0]:.3f} s, processor {spent[1]:.3f} s", end="; ")
        print(f"found {found[0].entry.name} at {found[0].at}, likeness {found[0].likeness:.3f},")
        print(f"  the next one {found[1].likeness:.3f}")
        assert found[0].entry.name == PLANTED
    words = ["ls", "--like", f"{folder / 'model.zarr'}@7,7", "--lake", folder / "lake"]
    run = run_process([sys.executable, "-m", "stemzarr_cli", *words])
    assert PLANTED in run.output.splitlines()[2]
    print(f"stemzarr ls --like: {run.seconds:.3f} s, processor {run.cpu_s:.3f} s")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
