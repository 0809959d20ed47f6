"""Mixed work on one lake for as long as you like: memory, files, threads and processes stay flat.

    python benchmarks/long_run.py --minutes 60

Ingests, ingests again, searches, exports, reads patterns, trains (in worker processes, too, where
torch is installed), tags, calibrates, verifies, rebuilds and removes, in random order. Ends with
status 1 where anything grew.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import psutil

import stemzarr
from stemzarr.options import ExportOptions, IngestOptions
from stemzarr.storage.files import forget_open_files
from stemzarr.store import verify_store
from stemzarr.testing import write_synthetic_dm4
from stemzarr_catalog import Lake, open_lake

_WARM = 0.25
"""Part of the time after which nothing may grow: until then caches fill."""
_MARKS = 45
_GROWTH = 64 * 1024**2
_SOURCES = 6
_WORKERS = 0.1
"""How often an epoch is read by a worker process, whose start takes seconds."""


class Work:
    """The lake and what is done to it."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.rng = random.Random(seed)
        self.folder = folder
        self.sources = []
        for number in range(_SOURCES):
            path = folder / f"scan{number}.dm4"
            write_synthetic_dm4(path, (16, 16), (64, 64), seed=number)
            self.sources.append(path)
        open_lake(folder / "lake", create=True)
        self.done: Counter[str] = Counter()

    def step(self) -> None:
        """Do one thing."""
        lake = open_lake(self.folder / "lake")
        act: Callable[[Lake], None] = self.rng.choice(
            [
                *(self.ingest, self.ingest, self.ingest, self.search, self.export, self.read),
                *(self.train, self.verify, self.tag, self.calibrate, self.rebuild, self.remove),
            ]
        )
        if len(lake) or act == self.ingest:
            act(lake)
            self.done[act.__name__] += 1

    def name(self, lake: Lake) -> str:
        """Return an entry."""
        return self.rng.choice(list(lake))

    def ingest(self, lake: Lake) -> None:
        """Ingest a source, that is there already or not."""
        codec = self.rng.choice(["zstd", "lz4"])
        lake.ingest(self.rng.choice(self.sources), options=IngestOptions(codec=codec))  # type: ignore[arg-type]

    def search(self, lake: Lake) -> None:
        """Find entries."""
        assert len(lake.search("kind=4d-stem beam_energy_keV>=100")) == len(lake)
        lake.facets("instrument")

    def export(self, lake: Lake) -> None:
        """Export an entry, downsampled, in one of the formats."""
        suffix = self.rng.choice(["hspy", "npy", "pt", "emd"])
        dest = self.folder / f"out.{suffix}"
        view = stemzarr.View(downsample=2)
        stemzarr.export(
            lake[self.name(lake)].path, dest, view=view, options=ExportOptions(overwrite=True)
        )

    def train(self, lake: Lake) -> None:
        """Pass an epoch of all entries, now and then through a worker process."""
        if not find_spec("torch"):
            self.read(lake)
            return
        import torch

        from stemzarr.torch import PatternDataset, make_loader

        data = PatternDataset([lake[name].path for name in lake], stemzarr.View(downsample=2))
        workers = int(self.rng.random() < _WORKERS)
        model = torch.nn.Conv2d(1, 1, 3)
        seen = 0
        for batch in make_loader(data, 64, num_workers=workers):
            model(batch).square().mean().backward()
            seen += len(batch)
        assert seen == len(data)
        self.done["train in a worker"] += workers

    def read(self, lake: Lake) -> None:
        """Read patterns at random."""
        with lake[self.name(lake)].open() as dataset:
            for _ in range(20):
                y, x = self.rng.randrange(16), self.rng.randrange(16)
                pattern = dataset["intensity"][y, x].compute(scheduler="synchronous")
                assert pattern.to_numpy().any()

    def verify(self, lake: Lake) -> None:
        """Verify an entry."""
        assert verify_store(lake[self.name(lake)].path).ok

    def tag(self, lake: Lake) -> None:
        """Tag an entry."""
        lake.tag(self.name(lake), self.rng.choice(["good", "thick", "again"]))

    def calibrate(self, lake: Lake) -> None:
        """Revise the calibration of an entry."""
        lake.calibrate(self.name(lake), {"det_x.scale": self.rng.randrange(1, 9) / 8})

    def rebuild(self, lake: Lake) -> None:
        """Rebuild the index."""
        lake.rebuild()

    def remove(self, lake: Lake) -> None:
        """Remove an entry."""
        lake.remove(self.name(lake))


def measure() -> dict[str, int]:
    """Return what must not grow."""
    forget_open_files()
    gc.collect()
    process = psutil.Process()
    return {
        "rss_MiB": process.memory_info().rss // 1024**2,
        "files": process.num_fds() if hasattr(process, "num_fds") else process.num_handles(),
        "threads": process.num_threads(),
        "processes": len(process.children()),
    }


def main() -> int:
    """Work for the given time and compare the end with the time when all was warm."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Work(Path(folder), arguments.seed)
        started, seconds = time.monotonic(), 60 * arguments.minutes
        marks: list[dict[str, int]] = []
        while (elapsed := time.monotonic() - started) < seconds:
            work.step()
            if elapsed > seconds * (_WARM + len(marks) * (1 - _WARM) / _MARKS):
                marks.append(measure())
                print(json.dumps({"minutes": round(elapsed / 60, 1), **marks[-1]}), flush=True)
        marks.append(measure())
    half = len(marks) // 2
    # Memory comes and goes with what is done: the level of one half is compared with the other's.
    early, late = (np.mean([m["rss_MiB"] for m in part]) for part in (marks[:half], marks[half:]))
    grown = {k: marks[-1][k] - marks[0][k] for k in ("files", "threads", "processes")}
    report = {"done": dict(work.done), "rss_MiB": [round(early), round(late)], "grown": grown}
    print(json.dumps(report, indent=1))
    leaks = [name for name, more in grown.items() if more > 0]
    return int(bool(leaks) or (late - early) * 1024**2 > _GROWTH)


if __name__ == "__main__":
    sys.exit(main())
