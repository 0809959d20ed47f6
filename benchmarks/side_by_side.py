"""Jobs measured side by side: each a fresh process, the rounds interleaved, medians in a table.

A job is a function of a script that has run once; the script calls itself with ``--job NAME``. It
measures its own time after its imports, and its peak memory, mapped pages included.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from measuring import peak_bytes

__all__ = ["Job", "main", "table"]

Job = Callable[[Path], float | None]
"""Does its work in a folder; returns a figure of its own, or None for the time it took."""


class Prepare(Protocol):
    """Makes the data of a script in a folder."""

    def __call__(self, folder: Path, *, full: bool) -> None:
        """Make them, small or in full size, unless they are there already."""


def main(
    jobs: Mapping[str, Job],
    prepare: Prepare,
    show: Callable[[dict[str, dict[str, float]]], None],
    script: str,
) -> None:
    """Run all jobs of a script in rounds and show their medians.

    Parameters
    ----------
    jobs
        By name; each does its own imports, then calls `start_clock`.
    prepare
        Makes the data in a folder, small or in full size.
    show
        Prints what was found: for each job median figure and peak memory in MB.
    script
        The script's ``__file__``.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--full", action="store_true", help="the size of the published figures")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, required=True, help="where the data are made")
    parser.add_argument("--only", nargs="*", help="names of jobs")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        print(json.dumps(_measure(jobs[options.job], options.folder)))
        return
    options.folder.mkdir(parents=True, exist_ok=True)
    prepare(options.folder, full=options.full)
    chosen = [name for name in jobs if not options.only or name in options.only]
    found: dict[str, list[dict[str, float]]] = {name: [] for name in chosen}
    for round_ in range(options.rounds + 1):
        for name in chosen:
            result = _run(script, name, options.folder)
            if round_:  # the first round warms the page cache
                found[name].append(result)
    show(
        {
            name: {key: statistics.median(run[key] for run in runs) for key in runs[0]}
            for name, runs in found.items()
        }
    )


def _run(script: str, name: str, folder: Path) -> dict[str, float]:
    command = [sys.executable, script, "--folder", str(folder), "--job", name]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result: dict[str, float] = json.loads(output.splitlines()[-1])
    return result


_started: list[float] = []


def start_clock() -> None:
    """Begin to count: called by a job when its imports are done."""
    _started[:] = [time.perf_counter(), _peak_megabytes()]


def _peak_megabytes() -> float:
    return peak_bytes() / 2**20


def _measure(job: Job, folder: Path) -> dict[str, float]:
    figure = job(folder)
    seconds = time.perf_counter() - _started[0]
    workers = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return {
        "figure": seconds if figure is None else figure,
        "peak": _peak_megabytes(),
        "grown": _peak_megabytes() - _started[1],
        "worker": workers,
    }


def table(title: str, rows: list[tuple[Any, ...]], head: tuple[str, ...]) -> None:
    """Print rows under a head, columns aligned."""
    cells = [head, *([f"{c:.3g}" if isinstance(c, float) else str(c) for c in r] for r in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    print(f"\n{title}")
    for row in cells:
        aligned = [row[0].ljust(widths[0])]
        aligned += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        print("  " + "  ".join(aligned))
