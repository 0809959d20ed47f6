"""One virtual image over a whole scan: from our store, by LiberTEM from the dm4, by HyperSpy.

``python benchmarks/bench_virtual_images.py --folder /tmp/bench --full`` sums a disk over 2 GiB of
counts, each program on its own format: a store through ``.stem.virtual_image``, LiberTEM on the
dm4 (uncompressed, mapped), HyperSpy on the ``.hspy`` that it saved. ``decode`` reads and decodes
the store and does nothing else: what a virtual image costs at least. Each job is a process of its
own on two processors; it opens its file, warms up once (LiberTEM compiles), then measures the
median of warm runs, and of runs after the system forgot the file. LiberTEM may live in another
environment: ``--libertem-python PATH``. A peer that is not installed is left out with a message.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from measuring import drop_from_cache, run_process, size_of

SMALL, FULL = ((32, 32), (128, 128)), ((128, 128), (256, 256))
RADIUS = 1 / 8
"""Of the disk, in detector heights."""
PROCESSORS = 2
WARM, COLD = 3, 2

Image = Callable[[], float]
"""Computes the virtual image and returns its sum."""


def disk_of(height: int, width: int) -> tuple[float, float, float]:
    """Return centre (y, x) and radius of the disk in pixels, no pixel centre on its edge."""
    return (height - 1) / 2, (width - 1) / 2, height * RADIUS


def open_ours(path: Path) -> Image:
    """Open the store as its users do."""
    import numpy as np

    import stemzarr

    scan = stemzarr.open(path, chunks=None)
    y, x, radius = disk_of(*scan["intensity"].shape[2:])
    step, edge = (scan["det_y"].attrs[name] for name in ("scale", "offset"))
    assert np.isclose(step, scan["det_x"].attrs["scale"])
    center = (edge + y * step, scan["det_x"].attrs["offset"] + x * step)
    return lambda: float(scan.stem.virtual_image(outer=radius * step, center=center).sum())


def open_decoding(path: Path) -> Image:
    """Read and decode all chunks of the store into buffers, and sum nothing."""
    from stemzarr.model import read_box
    from stemzarr.registry import read_source

    document = read_source(path).document
    rows, columns, *pattern = document.shape

    def decode() -> float:
        with ThreadPoolExecutor(PROCESSORS) as pool:
            boxes = pool.map(
                lambda row: read_box(document.blocks, (row, 0, 0, 0), (1, columns, *pattern)).size,
                range(rows),
            )
            assert sum(boxes) == rows * columns * pattern[0] * pattern[1]
        return float("nan")

    return decode


def open_libertem(path: Path) -> Image:
    """Open the dm4 by LiberTEM, with as many worker processes as there are processors."""
    api: Any = importlib.import_module("libertem.api")
    context = api.Context.make_with(cpus=PROCESSORS)
    dataset = context.load("dm", path=str(path))
    y, x, radius = disk_of(*dataset.shape[2:])
    analysis = context.create_disk_analysis(dataset=dataset, cx=x, cy=y, r=radius)
    return lambda: float(context.run(analysis).intensity.raw_data.sum(dtype="f8"))


def open_hyperspy(path: Path) -> Image:
    """Open the .hspy lazily by HyperSpy."""
    hyperspy: Any = importlib.import_module("hyperspy.api")
    signal = hyperspy.load(path, lazy=True)
    x_axis, y_axis = signal.axes_manager.signal_axes
    y, x, radius = disk_of(y_axis.size, x_axis.size)
    roi = hyperspy.roi.CircleROI(
        x_axis.offset + x * x_axis.scale, y_axis.offset + y * y_axis.scale, radius * x_axis.scale
    )

    def image() -> float:
        cut = roi(signal, axes=signal.axes_manager.signal_axes)
        summed = cut.nansum(axis=cut.axes_manager.signal_axes)
        summed.compute(show_progressbar=False)
        return float(summed.data.sum(dtype="f8"))

    return image


OPENERS: dict[str, tuple[Callable[[Path], Image], str]] = {
    "decode": (open_decoding, "scan.zarr"),
    "stemzarr": (open_ours, "scan.zarr"),
    "LiberTEM": (open_libertem, "scan.dm4"),
    "HyperSpy": (open_hyperspy, "scan.hspy"),
}


def run_job(name: str, folder: Path) -> dict[str, Any]:
    """Measure one program in this process."""
    opener, file = OPENERS[name]
    image = opener(folder / file)
    total = image()
    times: dict[str, list[float]] = {"warm": [], "cold": []}
    for state, count in (("warm", WARM), ("cold", COLD)):
        for _ in range(count):
            if state == "cold":
                drop_from_cache(folder / file)
            started = time.perf_counter()
            image()
            times[state].append(time.perf_counter() - started)
    return {"sum": total, **{state: statistics.median(found) for state, found in times.items()}}


def prepare(folder: Path, *, full: bool) -> None:
    """Make the dm4, the store, and the .hspy as HyperSpy saves it, unless that was done before."""
    import stemzarr
    from stemzarr.options import IngestOptions
    from stemzarr.testing import write_synthetic_dm4

    folder.mkdir(parents=True, exist_ok=True)
    made = folder / ("full" if full else "small")
    if made.exists():
        return
    path = folder / "scan.dm4"
    write_synthetic_dm4(path, *(FULL if full else SMALL))
    stemzarr.ingest(path, folder / "scan.zarr", IngestOptions(overwrite=True))
    with contextlib.suppress(ImportError):
        hyperspy: Any = importlib.import_module("hyperspy.api")
        signals = hyperspy.load(path, lazy=True)
        largest = max(signals, key=lambda signal: signal.data.nbytes)
        largest.save(folder / "scan.hspy", overwrite=True)
    made.touch()


def main() -> None:
    """Make the files, run the programs, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="where the files are made")
    parser.add_argument("--full", action="store_true", help="a file of 2 GiB")
    parser.add_argument("--libertem-python", default=sys.executable, metavar="PATH")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    folder = options.folder / "virtual-images"
    if options.job:
        print(json.dumps(run_job(options.job, folder)))
        return
    from side_by_side import table

    prepare(folder, full=options.full)
    rows, unit = [], None
    for name, (_, file) in OPENERS.items():
        python = options.libertem_python if name == "LiberTEM" else sys.executable
        try:
            run = run_process([python, __file__, "--folder", options.folder, "--job", name])
        except RuntimeError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
            continue
        found = json.loads(run.output.splitlines()[-1])
        unit = unit or found
        ratios = (f"{found[state] / unit[state]:.2f}" for state in ("warm", "cold"))
        size = f"{size_of(folder / file) / 1e6:.0f}"
        rows.append((name, found["warm"], found["cold"], *ratios, size, f"{found['sum']:.0f}"))
    head = ("", "warm s", "cold s", "warm/decode", "cold/decode", "file MB", "sum")
    table("A virtual image", rows, head)


if __name__ == "__main__":
    main()
