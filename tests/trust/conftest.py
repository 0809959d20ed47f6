"""Small sources and stores, and what two stores of one source must share."""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stemzarr.options import IngestOptions
from stemzarr.registry import read_source
from stemzarr.store import write_store
from stemzarr.testing import DMAxis, DMImage, write_dm
from stemzarr.testing.faults import Faults, inject_faults

THOROUGH = "STEMZARR_THOROUGH" in os.environ
"""Whether every moment and every byte is tried, which takes an hour, instead of a sample."""
TIMED = ("zarr.json", "source/zarr.json", "source/manifest/c/0", "source/manifest/zarr.json")
"""Files that hold the time of the ingest, or a digest of it."""


class Tiny:
    """A dm4 of two documents, a few kB, and what every test does with it."""

    options = IngestOptions(threads=1)
    fast = IngestOptions(threads=1, sync=False)

    @staticmethod
    def write(path: Path, seed: int = 0) -> Path:
        """Write a scan of 2 × 3 patterns with a survey image."""
        rng = np.random.default_rng(seed)
        nm, inverse = DMAxis(scale=0.5, units="nm"), DMAxis(scale=0.125, units="1/nm")
        scan = DMImage(
            data=rng.poisson(3, (2, 3, 4, 4)).astype(np.uint16),
            axes=(nm, nm, inverse, inverse),
            swapped=True,
            name="scan",
            tags={"Microscope Info": {"Voltage": 200e3}},
        )
        survey = DMImage(data=rng.random((3, 4)).astype(np.float32), axes=(nm, nm), name="map")
        write_dm(path, [scan, survey], thumbnail=False)
        return path

    @classmethod
    def ingest(cls, source: Path, dest: Path, options: IngestOptions | None = None) -> Path:
        """Write the store of a source, and return it."""
        write_store(read_source(source), dest, options or cls.fast)
        return dest

    @staticmethod
    def bytes_of(store: Path) -> dict[str, bytes]:
        """Return all files of a store but those that hold the time of the ingest."""
        files = {p.relative_to(store).as_posix(): p for p in store.rglob("*") if p.is_file()}
        return {name: path.read_bytes() for name, path in files.items() if name not in TIMED}

    @staticmethod
    def record_of(store: Path) -> dict[str, Any]:
        """Return the record of the source without what is told of the ingest."""
        record = json.loads((store / "source" / "zarr.json").read_bytes())["attributes"]
        return {key: value for key, value in record.items() if key not in ("ingest", "notes")}


class Sweep:
    """Runs something again and again, each time with the fault at a later call."""

    points = 12
    """Moments that are tried, spread over all calls, others for every seed."""

    def __call__(
        self,
        folder: Path,
        run: Callable[[], Any],
        check: Callable[[Faults], None],
        *,
        template: Path | None = None,
        **how: Any,
    ) -> int:
        """Return how many calls a run makes that meets no fault.

        Parameters
        ----------
        folder
            Made again, from `template`, before each run.
        run
            Meets the fault.
        check
            Says whether what is left is what was promised.
        """
        calls = len(self._once(folder, run, template, None, how).calls)
        for number in self._moments(calls):
            check(self._once(folder, run, template, number, how))
        return calls

    def _moments(self, calls: int) -> Iterator[int]:
        step = 1 if THOROUGH else max(1, calls // self.points)
        yield from range(random.randrange(step), calls, step)

    def _once(
        self,
        folder: Path,
        run: Callable[[], Any],
        template: Path | None,
        number: int | None,
        how: dict[str, Any],
    ) -> Faults:
        shutil.rmtree(folder, ignore_errors=True)
        if template is None:
            folder.mkdir(parents=True)
        else:
            shutil.copytree(template, folder)
        with inject_faults(number, below=folder.parent, **how) as faults:
            run()
        return faults

    @staticmethod
    def release_locks(folder: Path) -> None:
        """Make the locks that a crash left those of a process that is dead."""
        for begun in [*folder.rglob(".*.lock.*.partial")]:
            begun.rename(begun.with_name(begun.name.replace(f"-{os.getpid()}-", f"-{2**22 + 1}-")))
        for lock in folder.rglob(".*.lock"):
            owner = json.loads(lock.read_text(encoding="utf-8") or "{}")
            if owner:
                owner["pid"] = 2**22 + 1
                lock.write_text(json.dumps(owner), encoding="utf-8")
            else:  # it died between making the file and filling it: a minute of silence frees it
                os.utime(lock, (time.time() - 100, time.time() - 100))


@pytest.fixture(scope="session")
def sweep() -> Sweep:
    """Return what lets every moment, or a sample of them, fail."""
    return Sweep()


@pytest.fixture(scope="session")
def tiny() -> type[Tiny]:
    """Return what makes tiny sources and stores."""
    return Tiny


@pytest.fixture(scope="session")
def tiny_dm4(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a dm4 of a few kB; nobody writes it."""
    return Tiny.write(tmp_path_factory.mktemp("tiny") / "tiny.dm4")


@pytest.fixture(scope="session")
def tiny_store(tiny_dm4: Path) -> Path:
    """Return its store; who damages it must mend it."""
    return Tiny.ingest(tiny_dm4, tiny_dm4.with_name("tiny.zarr"))
