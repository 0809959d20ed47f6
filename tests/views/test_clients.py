"""What the workers of a dask client compute has the bits that threads give."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
import xarray as xr

import stemzarr
from stemzarr.errors import OptionError, UnsupportedDataError
from stemzarr.options import IngestOptions
from stemzarr.pixels import boxes
from stemzarr.store import write_store
from stemzarr.store.format import plan
from stemzarr.testing.sources import document_of, source_of

ASKED: dict[str, Callable[..., Any]] = {
    "ring": lambda scan, **how: scan.stem.virtual_image(inner=2, outer=9, **how),
    "tiles": lambda scan, **how: scan.stem.virtual_image(**how),
    "approximate": lambda scan, **how: scan.stem.virtual_image(outer=9, approximate=True, **how),
    "rectangle": lambda scan, **how: scan.stem.virtual_image(rect=(0, 20, 0, 20), **how),
    "com": lambda scan, **how: scan.stem.center_of_mass(outer=9, **how),
    "dpc": lambda scan, **how: scan.stem.dpc(outer=9, **how),
    "mean": lambda scan, **how: scan.stem.mean_pattern("scan_y=1:7", **how),
    "profile": lambda scan, **how: scan.stem.radial_profile(**how),
    "likeness": lambda scan, **how: scan.stem.likeness((2, 3), **how),
    "part": lambda scan, **how: scan.isel(scan_x=slice(1, 5)).stem.likeness((2, 3), **how),
}
SCRIPT = """
import sys
sys.path.insert(0, sys.argv[2])
import xarray as xr
from test_clients import ASKED
import stemzarr

if __name__ == "__main__":
    from distributed import Client, LocalCluster
    scan = stemzarr.open(sys.argv[1])
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        with Client(cluster) as client:
            for name, ask in ASKED.items():
                xr.testing.assert_identical(ask(scan, client=client), ask(scan))
    print("equal")
"""


@dataclass
class Done:
    """The result of a call, or what it raised."""

    function: bytes
    item: Any

    def result(self) -> Any:
        """Run the call as another process would: what it needs arrives as bytes."""
        return cloudpickle.loads(cloudpickle.dumps(cloudpickle.loads(self.function)(self.item)))


class FakeClient:
    """A client without processes, to which functions are sent as bytes."""

    asynchronous = False
    sent = 0
    cancelled = 0

    def map(self, function: Callable[[Any], Any], items: list[Any], /, **_: Any) -> list[Done]:
        """Pickle a call for each item."""
        self.sent += len(items)
        return [Done(cloudpickle.dumps(function), item) for item in items]

    def cancel(self, futures: list[Done], /) -> None:
        """Count what is dropped."""
        self.cancelled += len(futures)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store of floats, whose sums depend on their order."""
    path = tmp_path_factory.mktemp("client") / "x.zarr"
    values = np.random.default_rng(0).gamma(2.0, size=(8, 8, 24, 24)).astype(np.float32)
    source = source_of(path.with_suffix(".bin"), [document_of(values, "4d-stem")])
    with pytest.MonkeyPatch.context() as patch:
        for name, size in (("CHUNK_BYTES", 2**12), ("_LEAST_SHARD", 2**14), ("_SHARD_PATTERNS", 1)):
            patch.setattr(plan, name, size)
        write_store(source, path, IngestOptions(sync=False))
    return path


@pytest.mark.parametrize("name", ASKED)
def test_workers_give_the_bits_that_threads_give(
    store: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of every question that passes through the scan, labels and attributes too."""
    monkeypatch.setattr(boxes, "_BOX_BYTES", 2**15)
    scan, client = stemzarr.open(store), FakeClient()
    xr.testing.assert_identical(ASKED[name](scan, client=client), ASKED[name](scan))
    assert client.sent > (name != "likeness")  # all tile sums are one part
    assert not client.cancelled


def test_what_workers_cannot_do_is_said(store: Path, tmp_path: Path) -> None:
    """Values in memory, no client, and errors of a task, after which nothing is left to do."""
    scan = stemzarr.open(store)
    with pytest.raises(OptionError, match="client is str"):
        scan.stem.virtual_image(outer=9, client="tcp://node:8786")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="in memory"):
        scan.load().stem.virtual_image(rect=(0, 5, 0, 9), client=FakeClient())
    with pytest.raises(UnsupportedDataError):
        stemzarr.open(store).isel(scan_x=0).stem.mean_pattern(client=FakeClient())
    values = np.ones((4, 4, 8, 8), np.uint16)
    source = source_of(tmp_path / "y.bin", [document_of(values, "4d-stem")])
    write_store(source, tmp_path / "y.zarr", IngestOptions(sync=False))
    opened, client = stemzarr.open(tmp_path / "y.zarr"), FakeClient()
    for shard in (tmp_path / "y.zarr" / "intensity" / "c").rglob("0"):
        if shard.is_file():
            shard.write_bytes(b"lost")
    with pytest.raises(stemzarr.errors.StemzarrError):
        opened.stem.virtual_image(rect=(0, 5, 0, 3), client=client)


@pytest.mark.slow
def test_a_real_cluster_gives_the_same(store: Path) -> None:
    """Two processes of dask.distributed."""
    pytest.importorskip("distributed")
    command = [sys.executable, "-c", SCRIPT, str(store), str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == "equal", done.stderr
