"""How long a second ingest of a folder takes whose files are in the lake, and many small files.

``python benchmarks/bench_again.py --full`` writes 256 scans and 44 renamed copies of some of them,
dm4, npy and HDF5 in turn, ingests the folder twice by the command line, and prints both times and
their ratio; without it, 20 scans and 4 copies. The first ingest converts the scans and compares
the copies byte by byte; the second reads headers alone. ``--many 1200`` ingests so many small dm4
instead, twice, flushed to the disk: seconds a file of the first and of the last sixth.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np

from stemzarr.testing import DMImage, write_dm, write_synthetic_dm4

FULL, SMALL = (256, 44), (20, 4)
SHAPE = (8, 8, 64, 64)


def write_files(folder: Path, scans: int, copies: int) -> None:
    """Write scans of three formats, and renamed copies of the first of them."""
    folder.mkdir()
    for number in range(scans):
        values = np.random.default_rng(number).poisson(2, SHAPE).astype(np.uint16)
        path = folder / f"scan{number:03}{('.dm4', '.npy', '.h5')[number % 3]}"
        if path.suffix == ".dm4":
            write_dm(path, DMImage(data=values, swapped=True))
        elif path.suffix == ".npy":
            np.save(path, values)
        else:
            with h5py.File(path, "w") as file:
                file["scan"] = values
    for path in sorted(folder.iterdir())[:copies]:
        shutil.copy(path, path.with_name(f"copy of {path.name}"))


def ingest(folder: Path, lake: Path, *options: str) -> tuple[float, list[str]]:
    """Ingest a folder by the command, and return seconds and the status of each file."""
    command = [sys.executable, "-m", "stemzarr_cli", "ingest", str(folder)]
    started = time.perf_counter()
    done = subprocess.run(
        [*command, "--lake", str(lake), "--json", *options],
        check=True,
        capture_output=True,
    )
    seconds = time.perf_counter() - started
    return seconds, [json.loads(line)["status"] for line in done.stdout.splitlines()]


def run(scans: int, copies: int) -> dict[str, float]:
    """Ingest twice and return both times and their ratio."""
    with tempfile.TemporaryDirectory() as place:
        folder, lake = Path(place) / "data", Path(place) / "lake"
        write_files(folder, scans, copies)
        first, before = ingest(folder, lake, "--no-sync")
        again, after = ingest(folder, lake, "--no-sync")
    if before.count("ingested") != scans or set(after) != {"unchanged"}:
        msg = f"{before.count('ingested')} of {scans} ingested, then {set(after)}"
        raise RuntimeError(msg)
    return {"first_s": first, "again_s": again, "ratio": again / first}


def run_many(count: int) -> dict[str, float]:
    """Ingest many small files twice; return seconds a file at both ends, and of the second time."""
    with tempfile.TemporaryDirectory() as place:
        folder, lake = Path(place) / "data", Path(place) / "lake"
        folder.mkdir()
        for number in range(count):
            write_synthetic_dm4(folder / f"scan{number:05}.dm4", (4, 4), (16, 16), seed=number)
        ingest(folder, lake)
        times = sorted(path.stat().st_mtime for path in lake.glob("stores/*/zarr.json"))
        again, after = ingest(folder, lake)
    if len(times) != count or set(after) != {"unchanged"}:
        msg = f"{len(times)} of {count} ingested, then {set(after)}"
        raise RuntimeError(msg)
    part = count // 6
    first, last = (times[part] - times[0]) / part, (times[-1] - times[-1 - part]) / part
    return {"first_s": first, "last_s": last, "ratio": last / first, "again_s": again}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="300 files instead of 24")
    parser.add_argument("--many", type=int, help="so many small files instead")
    options = parser.parse_args()
    found = run_many(options.many) if options.many else run(*(FULL if options.full else SMALL))
    for name, value in found.items():
        print(f"{name:8} {value:.3f}")
