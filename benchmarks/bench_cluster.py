"""What an ingest on worker processes costs beside threads, the start of the cluster apart.

``python benchmarks/bench_cluster.py --folder /tmp/bench --full`` ingests a dm4 of 2 GiB on two
threads, on two processes of its own (``--workers 2``) and on a cluster that runs already
(``--scheduler``; two workers, started by the programs of dask.distributed), round after round,
and compares the stores byte for byte. What a cluster takes to start and to end is measured beside,
with no task.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from side_by_side import table

from stemzarr.options import IngestOptions
from stemzarr.registry import read_source
from stemzarr.store import write_store
from stemzarr.store.ingest.cluster import start_cluster
from stemzarr.testing import write_synthetic_dm4

SMALL, FULL = ((32, 32), (128, 128)), ((128, 128), (256, 256))
WORKERS = 2
RECORDS = {"zarr.json", "source/zarr.json"}
"""What holds the record of the ingest: the store's other files must be the same."""


@contextlib.contextmanager
def running_cluster(folder: Path, nanny: str) -> Iterator[str]:
    """Start a scheduler and two workers as a user would; give the scheduler's address."""
    program = [sys.executable, "-m", "dask"]
    known = folder / f"scheduler{nanny}.json"
    file = ["--scheduler-file", str(known)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    scheduler = [*program, "scheduler", "--port", "0", "--dashboard-address", ":0", *file]
    worker = [*program, "worker", "--nthreads", "1", "--no-dashboard", nanny, *file]
    commands = [scheduler, *[worker] * WORKERS]
    processes = [subprocess.Popen(command, **quiet) for command in commands]  # type: ignore[call-overload]
    try:
        import distributed

        with distributed.Client(scheduler_file=str(known), set_as_default=False) as client:
            client.wait_for_workers(WORKERS, timeout=60)
            yield client.scheduler.address
    finally:
        for process in reversed(processes):  # workers first: without a scheduler they do not end
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def nothing() -> None:
    """Do nothing, in a worker."""


def ingest(path: Path, dest: Path, **options: Any) -> None:  # noqa: ANN401 - options as they are
    """Ingest a file again."""
    shutil.rmtree(dest, ignore_errors=True)
    write_store(read_source(path), dest, IngestOptions(sync=False, **options))


def start_only() -> None:
    """Start and end what ``--workers`` starts, with one task that does nothing."""
    with start_cluster(IngestOptions(workers=WORKERS)) as client:
        client.submit(nothing).result()


def pixels_of(store: Path) -> dict[str, bytes]:
    """Return all files of a store but those that hold the record of its ingest."""
    files = (file for file in store.rglob("*") if file.is_file())
    named = {file.relative_to(store).as_posix(): file for file in files}
    return {
        name: file.read_bytes()
        for name, file in named.items()
        if name not in RECORDS and not name.startswith("source/manifest")
    }


def measure(cases: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Return the median seconds of each case; the first round only warms."""
    times: dict[str, list[float]] = {name: [] for name in cases}
    for round_ in range(rounds + 1):
        for name, run in cases.items():
            started = time.perf_counter()
            run()
            if round_:
                times[name].append(time.perf_counter() - started)
    return {name: statistics.median(found) for name, found in times.items()}


def main() -> None:
    """Make the file, run the cases, compare the stores, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="where the files are made")
    parser.add_argument("--full", action="store_true", help="a file of 2 GiB")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    folder = options.folder / "cluster"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "scan.dm4"
    write_synthetic_dm4(path, *(FULL if options.full else SMALL))
    stores = {name: folder / f"{name}.zarr" for name in ("threads", "workers", "bare", "nannies")}
    with (
        running_cluster(folder, "--no-nanny") as bare,
        running_cluster(folder, "--nanny") as nannies,
    ):
        cases = {
            "2 threads": lambda: ingest(path, stores["threads"], threads=WORKERS),
            "--workers 2, all": lambda: ingest(path, stores["workers"], workers=WORKERS),
            "its start and end": start_only,
            "--scheduler, no nannies": lambda: ingest(path, stores["bare"], scheduler=bare),
            "--scheduler, nannies": lambda: ingest(path, stores["nannies"], scheduler=nannies),
        }
        found = measure(cases, options.rounds)
    found["--workers 2, less these"] = found["--workers 2, all"] - found["its start and end"]
    rows = [(name, s, f"{s / found['2 threads']:.2f}") for name, s in found.items()]
    table("Ingest on processes", rows, ("", "seconds", "to threads"))
    wanted, *others = (pixels_of(store) for store in stores.values())
    same = all(other == wanted for other in others)
    print(f"  stores equal apart from the record of the ingest: {'yes' if same else 'NO'}")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
