"""How much longer ``verify`` takes than decoding alone, with and without the original beside.

``python benchmarks/bench_verify.py --folder /tmp/bench --full`` does it on a store of 2 GiB of
counts, in one process, on two threads, warm, round after round.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from bench_virtual_images import FULL, PROCESSORS, SMALL, open_decoding
from side_by_side import table

import stemzarr
from stemzarr.options import IngestOptions
from stemzarr.store import verify_store
from stemzarr.testing import write_synthetic_dm4


def cases_in(folder: Path) -> dict[str, Callable[[], object]]:
    """Return what is measured, by name."""
    store, source = folder / "scan.zarr", folder / "scan.dm4"

    def verify(original: Path | None) -> None:
        assert verify_store(store, source=original, threads=PROCESSORS).ok

    return {
        "decode": open_decoding(store),
        "verify": lambda: verify(None),
        "verify --source": lambda: verify(source),
    }


def main() -> None:
    """Make the store, run the cases, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="where the files are made")
    parser.add_argument("--full", action="store_true", help="a file of 2 GiB")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    folder = options.folder / "verify"
    folder.mkdir(parents=True, exist_ok=True)
    write_synthetic_dm4(folder / "scan.dm4", *(FULL if options.full else SMALL))
    stemzarr.ingest(folder / "scan.dm4", folder / "scan.zarr", IngestOptions(overwrite=True))
    cases = cases_in(folder)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
    for round_ in range(options.rounds + 1):
        for name, run in cases.items():
            started, worked = time.perf_counter(), time.process_time()
            run()
            if round_:  # the first round warms the page cache
                found = time.perf_counter() - started, time.process_time() - worked
                times[name].append(found)
    medians = {
        name: [statistics.median(figures) for figures in zip(*found, strict=True)]
        for name, found in times.items()
    }
    rows = [
        (name, *found, *(f"{a / b:.2f}" for a, b in zip(found, medians["decode"], strict=True)))
        for name, found in medians.items()
    ]
    table("Verification", rows, ("", "seconds", "cpu s", "to decode", "cpu"))


if __name__ == "__main__":
    main()
