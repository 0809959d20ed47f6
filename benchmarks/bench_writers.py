"""Who writes the same shards fastest: our engine, zarrs, zarr-python, tensorstore.

``python benchmarks/bench_writers.py --folder /tmp/bench --full --other-python PYTHON`` writes the
pixels of one dm4 with equal metadata (chunks, shards, codec, checksums: our ``zarr.json`` is given
to all), each in a process of its own, on two threads, the second of two runs counted, the rounds
interleaved, medians. All but ours are handed one whole shard after the other, read into memory by
``preadv``, so that none pays for another's reader; ours also digests what it reads, writes labels
and publishes a store. PYTHON is one with zarr >= 3.3 and runs its fused pipeline. In the end
zarr-python, zarrs and tensorstore read patterns of every array and compare them with the dm4.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import os
import shutil
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from measuring import peak_bytes, run_process, size_of
from numpy.typing import NDArray

SMALL, FULL = ((32, 32), (128, 128)), ((128, 128), (256, 256))
THREADS = 2
SAMPLES = 16
FUSED = "zarr.core.codec_pipeline.FusedCodecPipeline"
BATCHED = "zarr.core.codec_pipeline.BatchedCodecPipeline"
RUST = "zarrs.ZarrsCodecPipeline"

Slices = tuple[slice, ...]
WriteShard = Callable[[Slices, NDArray[Any]], None]


def shards_of(folder: Path) -> Iterator[Slices]:
    """Yield the place of every shard."""
    node = json.loads((folder / "zarr.json").read_bytes())
    lengths = node["chunk_grid"]["configuration"]["chunk_shape"]
    spans = (range(0, n, step) for n, step in zip(node["shape"], lengths, strict=True))
    for corner in itertools.product(*spans):
        ends = zip(corner, lengths, node["shape"], strict=True)
        yield tuple(slice(a, min(a + step, n)) for a, step, n in ends)


def write_all(folder: Path, dest: Path, write: WriteShard, outer: int) -> None:
    """Read every shard's values from the dm4 and hand them to a writer, `outer` at a time."""
    spec = json.loads((folder / "spec.json").read_bytes())
    shape, dtype = spec["shape"], np.dtype(spec["dtype"])
    row_bytes = int(np.prod(shape[1:])) * dtype.itemsize
    buffers: list[NDArray[Any]] = []

    def work(place: Slices) -> None:
        rows = place[0].stop - place[0].start
        assert all(s.stop - s.start == n for s, n in zip(place[1:], shape[1:], strict=True))
        buffer = buffers.pop() if buffers else np.empty((0, *shape[1:]), dtype)
        if len(buffer) < rows:
            buffer = np.empty((rows, *shape[1:]), dtype)
        values = buffer[:rows]
        os.preadv(file.fileno(), [values.data], spec["offset"] + place[0].start * row_bytes)
        write(place, values)
        buffers.append(buffer)

    with (folder / "scan.dm4").open("rb") as file, ThreadPoolExecutor(outer) as pool:
        list(pool.map(work, shards_of(dest)))


def write_ours(folder: Path, dest: Path) -> None:
    """Ingest without previews; the array ends at `dest`."""
    from stemzarr.options import IngestOptions
    from stemzarr.registry import read_source
    from stemzarr.store import write_store

    options = IngestOptions(threads=THREADS, preview=False, sync=False)
    whole = dest.with_suffix(".store")
    shutil.rmtree(whole, ignore_errors=True)
    write_store(read_source(folder / "scan.dm4"), whole, options)
    shutil.rmtree(dest)
    (whole / "intensity").rename(dest)
    shutil.rmtree(whole)


def by_zarr(pipeline: str, outer: int) -> Callable[[Path, Path], None]:
    """Return the job of zarr-python with one of its codec pipelines."""

    def job(folder: Path, dest: Path) -> None:
        zarr: Any = importlib.import_module("zarr")
        inner = THREADS // outer
        settings: dict[str, Any] = {"codec_pipeline.path": pipeline, "threading.max_workers": inner}
        if pipeline == FUSED:
            settings["codec_pipeline.max_workers"] = inner
        with zarr.config.set(settings):
            array = zarr.open_array(dest, mode="r+")
            write_all(folder, dest, array.__setitem__, outer)

    return job


def write_tensorstore(folder: Path, dest: Path) -> None:
    """Write by tensorstore, which runs the codec in threads of its own."""
    tensorstore: Any = importlib.import_module("tensorstore")
    limits = {"data_copy_concurrency": {"limit": THREADS}, "file_io_concurrency": {"limit": 4}}
    spec = {"driver": "zarr3", "kvstore": f"file://{dest}/", "context": limits}
    array = tensorstore.open(spec, open=True).result()

    def write(place: Slices, values: NDArray[Any]) -> None:
        array[place].write(values).result()

    write_all(folder, dest, write, THREADS)


WRITERS: dict[str, Callable[[Path, Path], None]] = {
    "stemzarr": write_ours,
    "zarrs, 1 shard at a time": by_zarr(RUST, 1),
    "zarrs, 2 shards at a time": by_zarr(RUST, 2),
    "tensorstore": write_tensorstore,
    "zarr-python": by_zarr(BATCHED, 2),
    "zarr-python, fused": by_zarr(FUSED, 2),
}


def run_job(name: str, folder: Path) -> dict[str, float]:
    """Write an array twice in this process and measure the second time."""
    dest = folder / "out" / name.replace(" ", "-")
    seconds = worked = 0.0
    for _ in range(2):
        shutil.rmtree(dest, ignore_errors=True)
        dest.mkdir(parents=True)
        shutil.copy(folder / "zarr.json", dest)
        started, before = time.perf_counter(), time.process_time()
        WRITERS[name](folder, dest)
        seconds, worked = time.perf_counter() - started, time.process_time() - before
    return {"seconds": seconds, "cpu": worked, "peak": peak_bytes(), "size": size_of(dest)}


def read_by(library: str, dest: Path, places: NDArray[Any]) -> NDArray[Any]:
    """Return some patterns of an array as one library reads them."""
    zarr: Any = importlib.import_module("zarr")
    if library == "tensorstore":
        tensorstore: Any = importlib.import_module("tensorstore")
        spec = {"driver": "zarr3", "kvstore": f"file://{dest}/"}
        array = tensorstore.open(spec, open=True).result()
        return np.stack([np.asarray(array[int(y), int(x)].read().result()) for y, x in places])
    path = RUST if library == "zarrs" else BATCHED
    with zarr.config.set({"codec_pipeline.path": path}):
        array = zarr.open_array(dest, mode="r")
        return np.stack([array[int(y), int(x)] for y, x in places])


def check(folder: Path, dest: Path) -> str:
    """Return which libraries read the dm4's own values from an array."""
    from stemzarr.model import read_box
    from stemzarr.registry import read_source

    document = read_source(folder / "scan.dm4").document
    rows, columns, *pattern = document.shape
    places = np.random.default_rng(0).integers(0, (rows, columns), (SAMPLES, 2))
    corners = [(int(y), int(x), 0, 0) for y, x in places]
    boxes = [read_box(document.blocks, corner, (1, 1, *pattern)) for corner in corners]
    wanted = np.concatenate(boxes)[:, 0]
    libraries = ("zarr-python", "zarrs", "tensorstore")
    good = [n for n in libraries if np.array_equal(read_by(n, dest, places), wanted)]
    return "all three" if len(good) == len(libraries) else f"ONLY {', '.join(good)}"


def prepare(folder: Path, *, full: bool) -> None:
    """Make the dm4, our metadata of its array, and where its pixels are."""
    from stemzarr.options import IngestOptions
    from stemzarr.registry import read_source
    from stemzarr.store import write_store
    from stemzarr.testing import write_synthetic_dm4

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_synthetic_dm4(folder / "scan.dm4", *(FULL if full else SMALL))
    source = read_source(folder / "scan.dm4")
    write_store(source, folder / "scan.zarr", IngestOptions(preview=False, sync=False))
    shutil.copy(folder / "scan.zarr/intensity/zarr.json", folder)
    document = source.document
    (segment,) = [s for s in source.segments if s.document == document.index]
    spec = {"offset": segment.offset, "shape": document.shape, "dtype": document.dtype.str}
    (folder / "spec.json").write_text(json.dumps(spec))


def main() -> None:
    """Make the file, run the writers, read what they wrote, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="where the files are made")
    parser.add_argument("--full", action="store_true", help="a file of 2 GiB")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--other-python", metavar="PATH", help="one with zarr >= 3.3")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    folder = options.folder / "writers"
    if options.job:
        print(json.dumps(run_job(options.job, folder)))
        return
    from side_by_side import table

    prepare(folder, full=options.full)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in WRITERS}
    for _, name in itertools.product(range(options.rounds), WRITERS):
        python = (options.other_python if "fused" in name else None) or sys.executable
        try:
            run = run_process([python, __file__, "--folder", options.folder, "--job", name])
        except RuntimeError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
            continue
        found[name].append(json.loads(run.output.splitlines()[-1]))
    rows, unit = [], float("nan")
    for name, runs in found.items():
        if not runs:
            continue
        median = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        unit = median["seconds"] if name == "stemzarr" else unit
        ratio, peak = f"{median['seconds'] / unit:.2f}", f"{median['peak'] / 1e6:.0f}"
        read = check(folder, folder / "out" / name.replace(" ", "-"))
        size = f"{median['size'] / 1e6:.1f}"
        rows.append((name, median["seconds"], median["cpu"], ratio, peak, size, read))
    shutil.rmtree(folder)
    table("Writers", rows, ("", "seconds", "cpu s", "to ours", "peak MB", "MB", "read by"))


if __name__ == "__main__":
    main()
