"""A cluster that others started: a scheduler and workers of dask.distributed's own programs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from stemzarr.options import IngestOptions
from stemzarr.registry import read_source
from stemzarr.store import verify_store, write_store
from stemzarr.testing import write_synthetic_dm4

pytestmark = pytest.mark.slow

SCRIPT = """
import os, sys
from pathlib import Path
import stemzarr.store.format.plan as plan
plan.CHUNK_BYTES, plan._LEAST_SHARD, plan._SHARD_PATTERNS = 2**14, 2**16, 1
from stemzarr.options import IngestOptions
from stemzarr.registry import read_source
from stemzarr.store import write_store
scan, store, address, *victims = sys.argv[1:]
def kill(done, total):
    while victims:
        print(f"killed at {done} of {total}")
        os.kill(int(victims.pop()), 9)
options = IngestOptions(scheduler=address, sync=False)
write_store(read_source(Path(scan)), Path(store), options, kill)
"""
"""Many small shards, in a process of its own: distributed's threads stay out of the tests'.

After the first shard it kills the workers that it was given.
"""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Processes of a cluster."""

    address: str
    workers: list[subprocess.Popen[bytes]]


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Start a scheduler and two workers as a user would, without nannies that revive them."""
    folder = tmp_path_factory.mktemp("cluster")
    file = folder / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    common = ["--scheduler-file", str(file)]
    scheduler = [*dask, "scheduler", "--port", "0", "--host", "127.0.0.1", "--no-dashboard"]
    worker = [*dask, "worker", "--no-nanny", "--nthreads", "1", "--no-dashboard"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    processes = [
        subprocess.Popen([*command, *common], **quiet)  # type: ignore[call-overload]
        for command in (scheduler, worker, worker)
    ]
    try:
        yield Cluster(address_in(file), processes[1:])
    finally:
        for process in processes:
            process.kill()
            process.wait()


def address_in(file: Path) -> str:
    """Return the address that the scheduler writes as soon as it listens."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            return str(json.loads(file.read_bytes())["address"])
        except (OSError, ValueError):
            continue
    raise TimeoutError("the scheduler did not start")


def bytes_of(store: Path) -> dict[str, bytes]:
    """Return all files but those that hold the record of the ingest, or its digest."""
    files = {f.relative_to(store).as_posix(): f for f in store.rglob("*") if f.is_file()}
    recorded = ("zarr.json", "source/zarr.json", "source/manifest")
    return {
        name: file.read_bytes() for name, file in files.items() if not name.startswith(recorded)
    }


def ingest(scan: Path, store: Path, address: str, *victims: int) -> str:
    """Ingest a scan through a cluster, and return what the script printed."""
    command = [sys.executable, "-c", SCRIPT, str(scan), str(store), address, *map(str, victims)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def written_by_threads(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Return a scan, and the store that threads make of it, cut as the script cuts it."""
    monkeypatch.setattr("stemzarr.store.format.plan.CHUNK_BYTES", 2**14)
    monkeypatch.setattr("stemzarr.store.format.plan._LEAST_SHARD", 2**16)
    monkeypatch.setattr("stemzarr.store.format.plan._SHARD_PATTERNS", 1)
    scan, store = folder / "scan.dm4", folder / "threads.zarr"
    write_synthetic_dm4(scan, (48, 16), (32, 32))
    write_store(read_source(scan), store, IngestOptions(sync=False, threads=1))
    return scan, store


def test_a_foreign_cluster_writes_the_store_that_threads_write(
    tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same bytes, apart from the record of the ingest; the cluster stays as it was."""
    scan, store = written_by_threads(tmp_path, monkeypatch)
    ingest(scan, tmp_path / "cluster.zarr", cluster.address)
    assert bytes_of(tmp_path / "cluster.zarr") == bytes_of(store)
    assert verify_store(tmp_path / "cluster.zarr", source=scan).ok
    assert all(worker.poll() is None for worker in cluster.workers)


def test_a_worker_that_dies_loses_nothing(
    tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of two workers killed after the first shard: the other ends what both began."""
    scan, store = written_by_threads(tmp_path, monkeypatch)
    said = ingest(scan, tmp_path / "cluster.zarr", cluster.address, cluster.workers[0].pid)
    assert said.startswith("killed at ")
    cluster.workers[0].wait()
    assert cluster.workers[1].poll() is None
    assert bytes_of(tmp_path / "cluster.zarr") == bytes_of(store)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("cluster.zarr", "scan.dm4", "threads.zarr")
    ]
