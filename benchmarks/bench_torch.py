"""Training from a store beside single xarray reads and a memory-mapped .pt.

``python benchmarks/bench_torch.py --folder /tmp/bench`` runs on a small scan, with ``--full`` on
128 × 128 × 256 × 256 counts (2.1 GB). All jobs give shuffled float32 batches of 64 patterns, binned
by 2; the figure is patterns per second over one epoch, or over 200 patterns for single reads. The
share that a step waits is that of an epoch whose every batch is used for 5 ms, asleep as a
processor is while a GPU works; decoding alone is numcodecs' of the same chunks, from memory.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sized
from pathlib import Path

from bench_exports import prepare as prepare_scan
from side_by_side import Job, main, start_clock, table

BATCH = 64
SINGLE_READS = 200
STEP_S = 0.005


def prepare(folder: Path, *, full: bool) -> None:
    """Make the store, and the tensor that a conversion would have made of it."""
    import stemzarr
    from stemzarr.options import ExportOptions

    prepare_scan(folder, full=full)
    stemzarr.export(
        folder / "scan.zarr",
        folder / "bin.pt",
        view=stemzarr.View(downsample=2),
        options=ExportOptions(overwrite=True),
    )


def train_from_store(workers: int) -> Job:
    """Return the job that passes one shuffled epoch of a store."""

    def job(folder: Path) -> float:
        import stemzarr
        from stemzarr.torch import PatternDataset, make_loader

        dataset = PatternDataset(folder / "scan.zarr", stemzarr.View(downsample=2))
        loader = make_loader(dataset, BATCH, num_workers=workers)
        start_clock()
        return _rate(loader, len(dataset))

    return job


def train_with_labels(folder: Path) -> float:
    """Pass the epoch with a label for each pattern, of classes that are weighed."""
    import stemzarr
    from stemzarr.torch import PatternDataset, make_loader

    bright = stemzarr.open(folder / "scan.zarr").stem.virtual_image(outer=0.1)
    labels = {"bright": (bright > bright.mean()).astype("int64")}
    view = stemzarr.View(downsample=2)
    dataset = PatternDataset(folder / "scan.zarr", view, targets=labels)
    assert len(dataset.class_weights("bright")) == 2
    loader = make_loader(dataset, BATCH)
    start_clock()
    started = time.perf_counter()
    seen = sum(len(patterns) for patterns, _, _ in loader)
    assert seen == len(dataset)
    return seen / (time.perf_counter() - started)


def decode_alone(folder: Path) -> float:
    """Decode every chunk of the store from memory, into one buffer a thread."""
    import itertools
    import json
    import threading
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np
    from numcodecs import blosc

    from stemzarr.options import available_threads
    from stemzarr.registry import read_source
    from stemzarr.store.format.encode import CRC_BYTES

    blocks = read_source(folder / "scan.zarr").document.blocks
    node = json.loads((folder / "scan.zarr/intensity/zarr.json").read_text())
    chunk = node["codecs"][0]["configuration"]["chunk_shape"]
    edges = [range(-(-n // c)) for n, c in zip(blocks.shape, chunk, strict=True)]
    find = blocks._find  # type: ignore[attr-defined]  # noqa: SLF001 - where chunks are
    found = [find(place) for place in itertools.product(*edges)]
    shards = {key: (folder / "scan.zarr" / key).read_bytes() for key in {c.key for c in found}}
    blosc.use_threads = False
    local = threading.local()

    def decode(chunks: list[tuple[str, int, int]]) -> None:
        if not hasattr(local, "buffer"):
            local.buffer = np.empty(chunk, blocks.dtype)
        for key, offset, length in chunks:
            stored = memoryview(shards[key])[offset : offset + length - CRC_BYTES]
            blosc.decompress(stored, local.buffer)

    work = [(c.key, c.offset, c.length) for c in found]
    runs = [work[n : n + 16] for n in range(0, len(work), 16)]
    start_clock()
    started = time.perf_counter()
    with ThreadPoolExecutor(available_threads()) as pool:
        list(pool.map(decode, runs))
    return blocks.shape[0] * blocks.shape[1] / (time.perf_counter() - started)


def wait_in_steps(folder: Path) -> float:
    """Use every batch of an epoch for 5 ms; return the share of its time spent waiting, in %."""
    import stemzarr
    from stemzarr.torch import PatternDataset, make_loader

    dataset = PatternDataset(folder / "scan.zarr", stemzarr.View(downsample=2))
    loader = make_loader(dataset, BATCH)
    start_clock()
    started, used = time.perf_counter(), 0.0
    for _ in loader:
        begun = time.perf_counter()
        time.sleep(STEP_S)
        used += time.perf_counter() - begun
    whole = time.perf_counter() - started
    return 100 * (whole - used) / whole


def _rate(loader: Iterable[Sized], count: int) -> float:
    started = time.perf_counter()
    seen = sum(len(batch) for batch in loader)
    assert seen == count
    return count / (time.perf_counter() - started)


def train_from_tensor(folder: Path) -> float:
    """Pass one shuffled epoch of a mapped .pt."""
    import torch

    data = torch.load(folder / "bin.pt", mmap=True, weights_only=True)
    dataset = torch.utils.data.TensorDataset(data)
    loader = torch.utils.data.DataLoader(dataset, BATCH, shuffle=True)
    start_clock()
    started = time.perf_counter()
    seen = sum(len(batch) for (batch,) in loader)
    return seen / (time.perf_counter() - started)


def train_from_cold_tensor(folder: Path) -> float:
    """Pass the epoch after the pages of the file were dropped from the page cache."""
    with (folder / "bin.pt").open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return train_from_tensor(folder)


def read_singly(folder: Path) -> float:
    """Read random patterns one at a time through xarray and zarr, as scripts do."""
    import numpy as np
    import xarray as xr

    intensity = xr.open_zarr(folder / "scan.zarr", chunks=None)["intensity"]
    rng = np.random.default_rng(0)
    start_clock()
    started = time.perf_counter()
    for _ in range(SINGLE_READS):
        y, x = rng.integers(intensity.shape[0]), rng.integers(intensity.shape[1])
        pattern = intensity[int(y), int(x)].astype("float32")
        pattern.coarsen(det_y=2, det_x=2, boundary="trim").mean().to_numpy()
    return SINGLE_READS / (time.perf_counter() - started)


JOBS: dict[str, Job] = {
    "xarray, one at a time": read_singly,
    "store, no workers": train_from_store(0),
    "store, with labels": train_with_labels,
    "store, 2 workers": train_from_store(2),
    "decoding alone": decode_alone,
    "% that a 5 ms step waits": wait_in_steps,
    ".pt mapped, in the page cache": train_from_tensor,
    ".pt mapped, read cold": train_from_cold_tensor,
}


def show(found: dict[str, dict[str, float]]) -> None:
    """Print the table."""
    single = found.get("xarray, one at a time", {}).get("figure", float("nan"))
    rows = [
        (name, r["figure"], f"{r['figure'] / single:.1f}×", r["peak"], r["grown"], r["worker"])
        for name, r in found.items()
    ]
    head = ("", "patterns/s", "single reads", "peak MB", "beyond imports", "largest worker MB")
    table("Shuffled epochs, downsample 2, batch 64", rows, head)


if __name__ == "__main__":
    main(JOBS, prepare, show, __file__)
