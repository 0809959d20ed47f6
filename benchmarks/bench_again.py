"""How long a second ingest of a folder takes whose files are in the lake.

``python benchmarks/bench_again.py --full`` writes 256 scans and 44 renamed copies of some of them,
dm4, npy and HDF5 in turn, ingests the folder twice by the command line, and prints both times and
their ratio; without it, 20 scans and 4 copies. The first ingest converts the scans and compares
the copies byte by byte; the second reads headers alone.
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

from stemzarr.testing import DMImage, write_dm

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


def ingest(folder: Path, lake: Path) -> tuple[float, list[str]]:
    """Ingest a folder by the command, and return seconds and the status of each file."""
    command = [sys.executable, "-m", "stemzarr_cli", "ingest", str(folder)]
    started = time.perf_counter()
    done = subprocess.run(
        [*command, "--lake", str(lake), "--json", "--no-sync"],
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
        first, before = ingest(folder, lake)
        again, after = ingest(folder, lake)
    if before.count("ingested") != scans or set(after) != {"unchanged"}:
        msg = f"{before.count('ingested')} of {scans} ingested, then {set(after)}"
        raise RuntimeError(msg)
    return {"first_s": first, "again_s": again, "ratio": again / first}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="300 files instead of 24")
    for name, value in run(*(FULL if parser.parse_args().full else SMALL)).items():
        print(f"{name:8} {value:.3f}")
