"""Exports beside HyperSpy's own save, and beside reading the store alone.

``python benchmarks/bench_exports.py --folder /tmp/bench`` runs on a small scan, with ``--full`` on
128 × 128 × 256 × 256 counts (2.1 GB). Every job is a process of its own; rounds are interleaved.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from side_by_side import Job, main, start_clock, table

from stemzarr.views import Method

SMALL, FULL = ((16, 32), (128, 128)), ((128, 128), (256, 256))
METHODS: tuple[Method, ...] = ("bin", "stride", "gauss", "fft")


def prepare(folder: Path, *, full: bool) -> None:
    """Make the scan as dm4, its store, and its counts as an array."""
    import stemzarr
    from stemzarr.options import IngestOptions
    from stemzarr.testing import write_synthetic_dm4

    scan, detector = FULL if full else SMALL
    size = "full" if full else "small"
    marker = folder / f"{size}.ready"
    if marker.exists():
        return
    for old in folder.glob("*.ready"):
        old.unlink()
    write_synthetic_dm4(folder / "scan.dm4", scan, detector)
    write_synthetic_dm4(folder / "scan-fast.dm4", scan, detector, layout="scan-fast")
    stemzarr.ingest(folder / "scan.dm4", folder / "scan.zarr", IngestOptions(overwrite=True))
    marker.touch()


def read_store(folder: Path) -> None:
    """Read and decode the whole store, in threads, into buffers."""
    from stemzarr.model import read_box
    from stemzarr.options import available_threads
    from stemzarr.registry import read_source
    from stemzarr.views import Box, map_boxes, plan_boxes

    blocks = read_source(folder / "scan.zarr").document.blocks
    start_clock()
    plan = plan_boxes(blocks, 2, memory=256 * 1024**2, threads=available_threads())

    def read(box: Box) -> int:
        return read_box(blocks, box.start, box.shape).nbytes

    for _ in map_boxes(read, plan.boxes, threads=plan.threads):
        pass


def write_bytes(folder: Path) -> None:
    """Write as many bytes as the binned .pt has and do nothing else, in threads."""
    from concurrent.futures import ThreadPoolExecutor

    from stemzarr.formats.writing.positioned import PositionedWriter
    from stemzarr.options import available_threads
    from stemzarr.registry import read_source

    total = read_source(folder / "scan.zarr").document.nbytes // 2
    dest, piece = fresh(folder / "bytes"), np.ones(8 * 1024**2, np.uint8).data
    dest.touch()
    start_clock()
    with PositionedWriter(dest) as file, ThreadPoolExecutor(available_threads()) as pool:
        list(pool.map(lambda start: file.write(piece, start), range(0, total, len(piece))))


def fresh(path: Path) -> Path:
    """Return a path where nothing is: file systems flush what replaces another file."""
    path.unlink(missing_ok=True)
    return path


def export_hspy(source: str) -> Job:
    """Return the job that exports a .hspy, like HyperSpy without waiting for the disk."""

    def job(folder: Path) -> None:
        import stemzarr
        import stemzarr.formats.hspy.writer
        import stemzarr.store
        from stemzarr.options import ExportOptions

        dest = fresh(folder / "ours.hspy")
        start_clock()
        stemzarr.export(folder / source, dest, options=ExportOptions(sync=False))

    return job


def save_hyperspy(folder: Path) -> None:
    """Save an array in memory by HyperSpy."""
    import hyperspy.api as hs

    from stemzarr.model import read_box
    from stemzarr.registry import read_source

    document = read_source(folder / "scan.zarr").document
    signal = hs.signals.Signal2D(read_box(document.blocks, (0, 0, 0, 0), document.shape))
    dest = fresh(folder / "theirs.hspy")
    start_clock()
    signal.save(dest)


def save_hyperspy_lazily(folder: Path) -> None:
    """Load the dm4 lazily by HyperSpy and save it."""
    import hyperspy.api as hs

    dest = fresh(folder / "lazily.hspy")
    start_clock()
    signal = next(s for s in hs.load(folder / "scan.dm4", lazy=True) if s.data.ndim == 4)
    signal.save(dest)


def load_pattern(folder: Path) -> float:
    """Open our .hspy lazily in HyperSpy and compute single random patterns: median seconds."""
    import hyperspy.api as hs

    signal = hs.load(folder / "ours.hspy", lazy=True)
    start_clock()
    rng = np.random.default_rng(0)
    times = []
    for _ in range(20):
        x, y = (int(rng.integers(axis.size)) for axis in signal.axes_manager.navigation_axes)
        started = time.perf_counter()
        signal.inav[x, y].compute(show_progressbar=False)
        times.append(time.perf_counter() - started)
    return float(np.median(times))


def export_pt(
    method: Method, *, source: str = "scan.zarr", sync: bool = False, before: int = 0
) -> Job:
    """Return the job that exports a .pt by a method, after some times that are not counted."""

    def job(folder: Path) -> None:
        import stemzarr
        import stemzarr.formats.torch_tensor.writer
        import stemzarr.store
        from stemzarr.options import ExportOptions

        view, options = stemzarr.View(downsample=2, method=method), ExportOptions(sync=sync)
        for _ in range(before):
            dest = fresh(folder / f"{method}.pt")
            stemzarr.export(folder / source, dest, view=view, options=options)
        dest = fresh(folder / f"{method}.pt")
        start_clock()
        stemzarr.export(folder / source, dest, view=view, options=options)

    return job


JOBS: dict[str, Job] = {
    "read the store": read_store,
    "write as many bytes as a .pt": write_bytes,
    "our .hspy": export_hspy("scan.zarr"),
    "our .hspy from the dm4": export_hspy("scan.dm4"),
    "HyperSpy save, from memory": save_hyperspy,
    "HyperSpy save, lazily from dm4": save_hyperspy_lazily,
    "one pattern through HyperSpy": load_pattern,
    **{f".pt {method}": export_pt(method) for method in METHODS},
    ".pt bin, the second in a process": export_pt("bin", before=1),
    ".pt bin, flushed to the disk": export_pt("bin", sync=True),
    ".pt bin from the dm4": export_pt("bin", source="scan.dm4"),
    ".pt bin from the dm4, scan-fast": export_pt("bin", source="scan-fast.dm4"),
}


def show(found: dict[str, dict[str, float]], folder: Path) -> None:
    """Print the tables."""
    rows = []
    reading = found.get("read the store", {}).get("figure", float("nan"))
    ours = found.get("our .hspy", {}).get("figure", float("nan"))
    for name, result in found.items():
        seconds = result["figure"]
        against = seconds / (ours if "HyperSpy save" in name else reading)
        unit = "× ours" if "HyperSpy save" in name else "× reading"
        rows.append((name, seconds, f"{against:.2f} {unit}", result["peak"], result["grown"]))
    table("Exports", rows, ("", "s", "ratio", "peak MB", "beyond imports"))
    paths = [folder / f"{name}.hspy" for name in ("ours", "theirs", "lazily")]
    sizes = {path.name: path.stat().st_size for path in paths if path.exists()}
    for name, size in sizes.items():
        print(f"  {name}: {size / 1e6:.1f} MB, ours is {sizes['ours.hspy'] / size:.3f} of it")


if __name__ == "__main__":
    import sys

    place = Path(sys.argv[sys.argv.index("--folder") + 1])
    main(JOBS, prepare, lambda found: show(found, place), __file__)
