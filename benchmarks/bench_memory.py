"""How much memory a whole ``stemzarr ingest`` takes, for sources of any size, in both layouts.

``python benchmarks/bench_memory.py --folder /tmp/bench --gib 2 8 32`` makes one file after the
other (scans of 256×256 pixels in uint16; those above ``--counted`` GiB are holes, which take no
room on the disk), ingests it in a process of its own and prints its peak: mapped pages and the
imports included. The store of each is verified and exported with ``--more``. All files are removed.
"""

from __future__ import annotations

import argparse
import math
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from measuring import Finished, run_process
from side_by_side import table

from stemzarr.model import LayoutOrder
from stemzarr.options import IngestOptions
from stemzarr.testing import DMAxis, DMImage, StreamedArray, write_dm, write_synthetic_dm4

DETECTOR = (256, 256)
LAYOUTS: tuple[LayoutOrder, ...] = ("detector-fast", "scan-fast")
BUDGET = IngestOptions().memory
IMPORTS = 250 * 10**6
MORE = {
    "verify": ["verify"],
    "export .hspy": ["export", "out.hspy"],
    "export .pt bin 2": ["export", "out.pt", "--downsample", "2"],
}


EPOCH = """
import sys, stemzarr
from stemzarr.torch import PatternDataset, make_loader
for batch in make_loader(PatternDataset(sys.argv[1], stemzarr.View(downsample=2)), 64):
    pass
"""
"""What trains from a store, in shuffled batches, and does nothing with them."""


def scan_shape(gib: float) -> tuple[int, int]:
    """Return the scan that makes a file of about that size."""
    side = round(math.sqrt(gib * 2**30 / (2 * math.prod(DETECTOR))))
    return side, side


def write_hole(path: Path, shape: tuple[int, int], layout: LayoutOrder) -> None:
    """Write a dm4 whose pixels are a hole in the file, read as zeros."""
    steps = (DMAxis(scale=2.5, units="nm"),) * 2 + (DMAxis(scale=0.02, units="1/nm"),) * 2
    image = DMImage(
        data=StreamedArray(shape=(*shape, *DETECTOR), dtype=np.dtype(np.uint16)),
        layout=layout,
        axes=steps,
        swapped=True if layout == "detector-fast" else None,
        format="Diffraction image",
    )
    write_dm(path, [image])


def write_scan(path: Path, gib: float, layout: LayoutOrder, counted: float) -> None:
    """Write a dm4 of that size: counts, or a hole where it is larger than `counted` GiB."""
    if gib <= counted:
        write_synthetic_dm4(path, scan_shape(gib), DETECTOR, layout=layout)
    else:
        write_hole(path, scan_shape(gib), layout)


def commands_for(path: Path, *, more: bool) -> Iterator[tuple[str, list[str | Path]]]:
    """Yield what is run on a file, by name."""
    program: list[str | Path] = [sys.executable, "-m", "stemzarr_cli"]
    lake = ["--lake", path.parent / "lake"]
    yield "ingest", [*program, "ingest", path, "--no-sync", *lake]
    for name, (verb, *rest) in MORE.items() if more else ():
        target = [path.parent / rest[0], *rest[1:]] if rest else []
        yield name, [*program, verb, path.stem, *target, *lake]
    if more:
        store = path.parent / "lake" / "stores" / f"{path.stem}.zarr"
        yield "an epoch of training", [sys.executable, "-c", EPOCH, store]


def row_of(name: str, gib: float, run: Finished) -> tuple[str, ...]:
    """Return one line of the table."""
    within = "yes" if run.peak <= BUDGET + IMPORTS else "NO"
    speed = f"{gib * 2**30 / 1e9 / run.seconds:.2f}"
    return name, f"{gib:g}", f"{run.peak / 1e6:.0f}", within, f"{run.seconds:.1f}", speed


def main() -> None:
    """Make the files, run the commands, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="where the files are made")
    parser.add_argument("--gib", type=float, nargs="+", default=[0.125, 0.5])
    parser.add_argument("--counted", type=float, default=2, help="largest file of counts, in GiB")
    parser.add_argument("--more", action="store_true", help="verify and export, too")
    parser.add_argument("--make", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make:
        write_scan(Path(options.make[0]), options.gib[0], options.make[1], options.counted)
        return
    folder = options.folder / "memory"
    rows = []
    for gib in options.gib:
        for layout in LAYOUTS:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            path = folder / "scan.dm4"
            # The peak of a process is never below that of the one that starts it, so we stay small.
            arguments = ["--gib", gib, "--counted", options.counted, "--make", path, layout]
            run_process([sys.executable, __file__, "--folder", folder, *arguments])
            for name, command in commands_for(path, more=options.more):
                rows.append(row_of(f"{name}, {layout}", gib, run_process(command)))
    shutil.rmtree(folder)
    limit = (BUDGET + IMPORTS) / 1e6
    table("Peak memory", rows, ("", "GiB", "peak MB", f"<= {limit:.0f}", "s", "GB/s"))


if __name__ == "__main__":
    main()
