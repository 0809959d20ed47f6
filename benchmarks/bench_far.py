"""What a web server is asked for, and what waiting for it costs: a store and a lake far away.

``python benchmarks/bench_far.py --full`` serves a store of 512 MiB, in 8 shards, from this process,
and works on it here, over HTTP, and with 20 ms before each answer: the least of several times, the
requests, and the bytes as a share of those stored. The lake has 10 000 entries; one store stands
for all of them. Without ``--full`` both are small.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from measuring import size_of
from side_by_side import table

import stemzarr
from stemzarr.options import ExportOptions, IngestOptions
from stemzarr.pixels import foresight
from stemzarr.storage.local import LocalFolder
from stemzarr.testing import write_synthetic_dm4
from stemzarr.testing.web import WebFolder, serve_folder
from stemzarr_catalog import open_lake, tables
from stemzarr_catalog.index import Index
from stemzarr_catalog.reconcile import read_row
from stemzarr_catalog.snapshot import put_snapshot

Work = Callable[[str], object]
"""Works on the store at an address or a path."""

SMALL, FULL = ((8, 16), (64, 64)), ((64, 64), (256, 256))
ENTRIES = (50, 10_000)
ROUNDS = 3
DELAY_S = 0.02
LATER = 2_000_000_000
"""Time of the root's metadata: later than of any shard, as `publish` leaves them."""


def make_store(folder: Path, *, full: bool) -> Path:
    """Return a store whose files have the times of a published one."""
    store = folder / "scan.zarr"
    write_synthetic_dm4(folder / "scan.dm4", *(FULL if full else SMALL))
    stemzarr.ingest(folder / "scan.dm4", store, IngestOptions(sync=False))
    for path in store.rglob("*"):
        os.utime(path, (LATER - 1,) * 2)
    os.utime(store / "zarr.json", (LATER,) * 2)
    return store


def look_through(where: str) -> None:
    """Sum a detector that is not made of whole tiles."""
    scan = stemzarr.open(where, chunks=None)
    scan.stem.virtual_image(mask=np.eye(scan.sizes["det_y"], dtype=bool))


def export(where: str) -> None:
    """Write a ``.npy``."""
    with tempfile.TemporaryDirectory() as folder:
        stemzarr.export(where, Path(folder, "scan.npy"), options=ExportOptions(sync=False))


def verify(where: str) -> None:
    """Read and compare every file."""
    assert stemzarr.verify(where).ok


def train(where: str) -> None:
    """Pass one shuffled epoch in batches of 64."""
    from stemzarr.torch import PatternDataset, make_loader

    for _ in make_loader(PatternDataset(where, memory=96 * 1024**2), 64):
        pass


WORK: dict[str, Work] = {
    "open": lambda where: stemzarr.open(where, chunks=None),
    "open, one pattern": lambda where: stemzarr.open(where, chunks=None).intensity[0, 1].load(),
    "virtual image": look_through,
    "export": export,
    "verify": verify,
    "training": train,
}


def measure(work: Work, store: Path, web: WebFolder) -> tuple[str, ...]:
    """Return the requests, the share of the bytes, and the least seconds: here, far, later."""
    seconds = dict.fromkeys((None, 0.0, DELAY_S), float("inf"))
    for _ in range(ROUNDS):
        for delay in seconds:
            # What an earlier round kept in memory would not be asked for again.
            foresight._kept = foresight._Kept()  # noqa: SLF001 - nothing else begins anew
            web.delay_s = delay or 0.0
            web.asked.clear()
            started = time.perf_counter()
            work(str(store) if delay is None else f"{web.address}/{store.name}")
            seconds[delay] = min(seconds[delay], time.perf_counter() - started)
    here, far, later = seconds.values()
    counted = f"{len(web.asked)}", f"{web.sent / size_of(store):.2f}"
    return *counted, f"{here:.2f}", f"{far:.2f}", f"{later:.2f}", f"{later / here:.2f}"


def measure_lake(folder: Path, store: Path, entries: int) -> list[tuple[str, ...]]:
    """Return what searching a published lake asks for, the first time and later."""
    lake = open_lake(folder / "lake", create=True)
    lake.ingest(store.with_suffix(".dm4"), options=IngestOptions(sync=False))
    row, _ = read_row(lake.path, "scan")
    index = Index(folder / "index.sqlite")

    def name_row(number: int) -> tables.NewRow:
        name, known = f"scan-{number:05}", row.record
        source = {**known.json["source"], "path": f"/data/{name}.dm4", "name": f"{name}.dm4"}
        record = dataclasses.replace(
            known,
            name=name,
            columns={**known.columns, "name": name},
            json={**known.json, "name": name, "source": source},
        )
        return dataclasses.replace(row, record=record)

    with index.writing() as connection:
        tables.put_rows(connection, [name_row(number) for number in range(entries)])
    place = LocalFolder(folder / "published")
    place.put("lake.json", put_snapshot(place, index, None, table=None).text)
    found = []
    os.environ["STEMZARR_CACHE"] = str(folder / "cache")
    with serve_folder(folder / "published") as web:
        for when in ("the first time", "later"):
            web.asked.clear()
            started = time.perf_counter()
            names = open_lake(web.address).names("kind=4d-stem")
            assert len(names) == entries
            seconds = f"{time.perf_counter() - started:.2f}"
            found.append((when, f"{len(web.asked)}", f"{web.sent / 1e6:.2f}", seconds))
    return found


def main() -> None:
    """Make store and lake, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="512 MiB, and 10 000 entries")
    parser.add_argument("--only", choices=[*WORK, "lake"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = make_store(folder, full=options.full)
        shards = sum(path.is_file() for path in store.rglob("intensity/c/**/*"))
        most = 2 * shards + size_of(store) / (8 * 1024**2)
        chosen = {what: work for what, work in WORK.items() if options.only in (None, what)}
        with serve_folder(folder) as web:
            rows = [(what, *measure(work, store, web)) for what, work in chosen.items()]
        head = ("", "requests", "of the bytes", "here s", "far s", "20 ms s", "to here")
        about = f"{shards} shards: 2 a shard and one for 8 MiB are {most:.0f} requests"
        if rows:
            table(f"A store from a web server, {about}", rows, head)
        if options.only in (None, "lake"):
            found = measure_lake(folder, store, ENTRIES[options.full])
            table("A published lake", found, ("", "requests", "MB", "seconds"))


if __name__ == "__main__":
    main()
