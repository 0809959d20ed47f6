"""How fast a dm4 becomes a store, beside the codec alone, HyperSpy, xarray and zarrs.

Run ``python benchmarks/bench_ingest.py --full`` for 128×128 patterns of 256×256 counts in uint16
(2 GiB); without it a file of 64 MiB is used. Each case runs in a process of its own, twice, and
the second run counts: the first pays for new pages. Rounds are interleaved, the table shows
medians. ``peak`` is the largest resident memory of the process, mapped pages included.

The ceiling is as many threads that read each warm chunk into a reused buffer and encode it with
the same codec, nothing written; ``usual blocks`` is the same with the blocks that Blosc chooses, in
which whoever names no block size encodes.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from measuring import peak_bytes, size_of
from numcodecs import blosc
from numpy.typing import NDArray

from stemzarr.model import read_box
from stemzarr.options import Codec, IngestOptions
from stemzarr.registry import read_source
from stemzarr.store import read_store, verify_store, write_store
from stemzarr.store.format.encode import find_codec, with_crc
from stemzarr.store.format.plan import plan_array
from stemzarr.testing import write_synthetic_dm4

if TYPE_CHECKING:
    import dask.array as da

SMALL = ((64, 64), (64, 128))
FULL = ((128, 128), (256, 256))
THREADS = 2
SLOW = ("hyperspy", "xarray")
RANDOM_PATTERNS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One line of the table."""

    name: str
    """What runs."""
    run: Callable[[Path, Path], Any]
    """Takes the dm4 and a path to write to."""
    layout: str = "detector-fast"
    """Which file it reads."""
    against: str | None = "ceiling zstd"
    """The case whose time is the unit of the ratio."""


def usual_blocks(values: NDArray[Any]) -> object:
    """Encode a chunk with zstd as our codec does, but for the size of the blocks."""
    blosc.use_threads = False
    return with_crc(blosc.compress(values, b"zstd", 1, blosc.BITSHUFFLE, 0))


def ceiling(
    codec: Codec, encode: Callable[[NDArray[Any]], object] | None = None
) -> Callable[[Path, Path], None]:
    """Return a case that reads and encodes all chunks and writes nothing."""

    def run(path: Path, _: Path) -> None:
        source = read_source(path)
        document = source.document
        (segment,) = [s for s in source.segments if s.document == document.index]
        plan = plan_array(document, "intensity", 0)
        encoded = encode or find_codec(codec, document.dtype, plan.chunk).encode
        size, count = plan.chunk_bytes, segment.nbytes // plan.chunk_bytes

        def work(first: int) -> None:
            buffer = np.empty(size, np.uint8)
            with path.open("rb", buffering=0) as file:
                for number in range(first, count, THREADS):
                    file.seek(segment.offset + number * size)
                    file.readinto(buffer.data)
                    encoded(buffer.view(document.dtype))

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(work, range(THREADS)))

    return run


def ours(**options: object) -> Callable[[Path, Path], None]:
    """Return a case that ingests with some options."""

    def run(path: Path, dest: Path) -> None:
        chosen: dict[str, Any] = {"threads": THREADS, "sync": False, **options}
        write_store(read_source(path), dest, IngestOptions(**chosen))

    return run


def hyperspy(path: Path, dest: Path) -> None:
    """Load lazily and save, as the user guide says."""
    import hyperspy.api as hs

    signals = hs.load(path, lazy=True)
    signal = max(signals if isinstance(signals, list) else [signals], key=lambda s: s.data.nbytes)
    signal.save(dest.with_suffix(".hspy"), overwrite=True)


def same_codec() -> Any:  # noqa: ANN401 - a codec of zarr-python
    """Return our codec for counts as zarr-python knows it."""
    import zarr

    chain = find_codec("zstd", np.dtype(np.uint16), (1, 1)).metadata()
    (configuration,) = [codec["configuration"] for codec in chain if codec["name"] == "blosc"]
    return zarr.codecs.BloscCodec(**configuration)


def _lazy(path: Path) -> da.Array:
    """Return rosettasciio's lazy array of the scan, as it is on disk."""
    from rsciio.digitalmicrograph import file_reader

    return max(
        (signal["data"] for signal in file_reader(str(path), lazy=True)),
        key=lambda array: (array.ndim, array.size),
    )


def xarray(path: Path, dest: Path) -> None:
    """Write rosettasciio's lazy array with `to_zarr`: whole patterns, our codec, no shards."""
    import xarray as xr

    array = _lazy(path)
    chunks = (1, 8, *array.shape[2:])
    dataset = xr.DataArray(array.rechunk((1, *array.shape[1:])), dims=list("abcd")).to_dataset(
        name="x"
    )
    codec = same_codec()
    encoding = {"x": {"chunks": chunks, "compressors": (codec,), "fill_value": 0}}
    dataset.to_zarr(dest, encoding=encoding, mode="w", consolidated=False)


def zarrs(path: Path, dest: Path) -> None:
    """Write shards through zarr-python with the codec pipeline in Rust."""
    import zarr

    document = read_source(path).document
    plan = plan_array(document, "intensity", 0)
    codec = same_codec()
    with zarr.config.set(
        {"codec_pipeline.path": "zarrs.ZarrsCodecPipeline", "threading.max_workers": THREADS}
    ):
        array = zarr.create_array(
            dest,
            shape=plan.shape,
            dtype=document.dtype,
            chunks=plan.chunk,
            shards=plan.shard,
            compressors=codec,
            fill_value=0,
            overwrite=True,
        )
        for number in range(plan.shards):
            start, shape = plan.shard_box(number)
            box = tuple(slice(a, a + n) for a, n in zip(start, shape, strict=True))
            array[box] = read_box(document.blocks, start, shape)


def _stored(path: Path) -> Path:
    """Return a store of the file, made once beside it."""
    store = path.with_suffix(".zarr")
    if not store.exists():
        write_store(read_source(path), store, IngestOptions(threads=THREADS, sync=False))
    return store


def random_patterns(path: Path, _: Path) -> None:
    """Read patterns one by one at random from a store."""
    document = read_store(_stored(path)).document
    rows, columns, *pattern = document.shape
    places = np.random.default_rng(0).integers(0, (rows, columns), (RANDOM_PATTERNS, 2))
    for y, x in places:
        read_box(document.blocks, (int(y), int(x), 0, 0), (1, 1, *pattern))


def random_chunks(path: Path, _: Path) -> None:
    """Decode as many whole chunks, which is the least that a random pattern can cost."""
    document = read_store(_stored(path)).document
    chunk = document.blocks.block_shape
    grid = [math.ceil(n / c) for n, c in zip(document.shape[:2], chunk[:2], strict=True)]
    places = np.random.default_rng(0).integers(0, grid, (RANDOM_PATTERNS, 2))
    for place in places:
        start = [int(p) * c for p, c in zip(place, chunk[:2], strict=True)]
        size = [
            min(c, n - a) for c, n, a in zip(chunk, document.shape, (*start, 0, 0), strict=True)
        ]
        read_box(document.blocks, (*start, 0, 0), size)


def virtual_image(path: Path, _: Path) -> None:
    """Sum all patterns of a store over a disk."""
    document = read_store(_stored(path)).document
    rows, columns, height, width = document.shape
    y, x = np.indices((height, width))
    mask = np.hypot(y - height / 2, x - width / 2) < height / 8
    weights = mask.astype(np.float32).reshape(-1)

    def work(row: int) -> NDArray[np.float32]:
        box = read_box(document.blocks, (row, 0, 0, 0), (1, columns, height, width))
        return box.reshape(columns, -1).astype(np.float32) @ weights

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(rows)))


def verify(path: Path, _: Path) -> None:
    """Check every file and chunk of a store."""
    assert verify_store(_stored(path), threads=THREADS).ok


CASES = (
    Case(name="ceiling zstd", run=ceiling("zstd")),
    Case(name="ceiling zstd, usual blocks", run=ceiling("zstd", usual_blocks)),
    Case(name="bare zstd", run=ours(preview=False)),
    Case(name="previews zstd", run=ours()),
    Case(name="previews zstd, synced", run=ours(sync=True)),
    Case(name="previews zstd, 1 thread", run=ours(threads=1)),
    Case(name="ceiling lz4", run=ceiling("lz4"), against="ceiling lz4"),
    Case(name="bare lz4", run=ours(preview=False, codec="lz4"), against="ceiling lz4"),
    Case(name="previews lz4", run=ours(codec="lz4"), against="ceiling lz4"),
    Case(name="scan-fast", run=ours(), layout="scan-fast", against="previews zstd"),
    Case(name="2 worker processes, started", run=ours(workers=2), against="previews zstd"),
    Case(name="zarrs", run=zarrs),
    Case(name="xarray", run=xarray),
    Case(name="hyperspy", run=hyperspy),
    Case(name="200 random chunks", run=random_chunks, against=None),
    Case(name="200 random patterns", run=random_patterns, against="200 random chunks"),
    Case(name="virtual image", run=virtual_image, against=None),
    Case(name="verify", run=verify, against=None),
)


def run_case(name: str, folder: Path) -> dict[str, float]:
    """Run one case in this process and return its seconds, size and peak memory."""
    (case,) = [case for case in CASES if case.name == name]
    path, dest = folder / f"{case.layout}.dm4", folder / "out.zarr"
    seconds = cpu_s = math.nan
    for _ in range(1 if name in SLOW else 2):
        shutil.rmtree(dest, ignore_errors=True)
        started, began = time.perf_counter(), time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            case.run(path, dest)
        seconds, cpu_s = time.perf_counter() - started, time.process_time() - began
    written = size_of(dest) or size_of(dest.with_suffix(".hspy"))
    shutil.rmtree(dest, ignore_errors=True)
    dest.with_suffix(".hspy").unlink(missing_ok=True)
    return {"seconds": seconds, "cpu_s": cpu_s, "written": written, "peak": peak_bytes()}


def measure(names: Sequence[str], folder: Path, rounds: int) -> dict[str, list[dict[str, float]]]:
    """Run the cases in processes of their own, round after round."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for number in range(rounds):
        for name in names:
            if name in SLOW and number:
                continue
            command = [sys.executable, __file__, "--case", name, "--folder", str(folder)]
            environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, env=environment
            )
            if done.returncode:
                reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
                print(f"{name}: {reason}", file=sys.stderr)
                continue
            found[name].append(json.loads(done.stdout.splitlines()[-1]))
    return found


def report(found: dict[str, list[dict[str, float]]]) -> list[str]:
    """Return the table, a line each: median seconds, ratio, size, peak memory.

    ``processor`` is the ratio of the processor times of all threads, which other programs on the
    machine disturb less; that of worker processes is not in it.
    """
    columns = f"{'seconds':>9}{'ratio':>7}{'processor':>11}  {'to':24}{'written':>10}{'peak':>11}"
    lines = [f"{'case':30}{columns}"]
    medians, processor = (
        {name: statistics.median(run[key] for run in runs) for name, runs in found.items() if runs}
        for key in ("seconds", "cpu_s")
    )
    for case in CASES:
        if case.name not in medians:
            continue
        ratio, against = f"{'':18}", case.against or ""
        if against in medians and against != case.name:
            ratio = f"{medians[case.name] / medians[against]:>7.2f}"
            ratio += f"{processor[case.name] / processor[against]:>11.2f}"
        written = max(run["written"] for run in found[case.name]) / 1e6
        peak = max(run["peak"] for run in found[case.name]) / 2**20
        size = f"{written:.0f} MB" if written else ""
        lines.append(
            f"{case.name:30}{medians[case.name]:>9.3f}{ratio}  "
            f"{against if ratio.strip() else '':24}{size:>10}{peak:>7.0f} MiB"
        )
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the files, run the cases, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="a file of 2 GiB")
    parser.add_argument("--scan", type=int, nargs=2, metavar=("Y", "X"))
    parser.add_argument("--detector", type=int, nargs=2, metavar=("Y", "X"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", metavar="CASE", help="names of the cases to run")
    parser.add_argument("--folder", type=Path, help="where the files are or are made")
    parser.add_argument("--case", help="run this case alone, in this process")
    chosen = parser.parse_args(arguments)
    if chosen.case:
        print(json.dumps(run_case(chosen.case, chosen.folder)))
        return
    names = chosen.only or [case.name for case in CASES]
    scan, detector = FULL if chosen.full else SMALL
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for layout in {case.layout for case in CASES if case.name in names}:
            path = folder / f"{layout}.dm4"
            if not path.exists():
                shape = tuple(chosen.scan or scan), tuple(chosen.detector or detector)
                write_synthetic_dm4(path, *shape, layout=layout)  # type: ignore[arg-type]
        print("\n".join(report(measure(names, folder, chosen.rounds))))


if __name__ == "__main__":
    main()
