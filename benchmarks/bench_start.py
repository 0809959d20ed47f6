"""What a command costs before it works: whole processes on a tiny file, rounds interleaved.

``python benchmarks/bench_start.py`` prints the median of each, beside a Python that does nothing.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from measuring import run_process
from side_by_side import table


def commands_in(folder: Path) -> dict[str, list[str | Path]]:
    """Return what is run, by name; `folder` holds ``tiny.dm4`` and two lakes."""
    program: list[str | Path] = [sys.executable, "-m", "stemzarr_cli"]
    tiny, lake, fresh = folder / "tiny.dm4", folder / "lake", folder / "fresh"
    return {
        "python -c pass": [sys.executable, "-c", "pass"],
        "--help": [*program, "--help"],
        "info tiny.dm4": [*program, "info", tiny],
        "ls": [*program, "ls", "--lake", lake],
        "ingest tiny.dm4": [*program, "ingest", tiny, "--lake", fresh],
        "ingest tiny.dm4 again": [*program, "ingest", tiny, "--lake", lake],
        "verify tiny": [*program, "verify", "tiny", "--lake", lake],
        "export tiny tiny.npy": [
            *[*program, "export", "tiny", folder / "tiny.npy", "--overwrite", "--lake", lake]
        ],
    }


def main() -> None:
    """Make the file, run the commands, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    from stemzarr.testing import write_synthetic_dm4

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_synthetic_dm4(folder / "tiny.dm4", (4, 4), (16, 16))
        commands = commands_in(folder)
        run_process(commands["ingest tiny.dm4 again"])
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for _ in range(options.rounds):
            for name, command in commands.items():
                shutil.rmtree(folder / "fresh", ignore_errors=True)
                run = run_process(command)
                found[name].append((run.seconds, run.cpu_s))
    rows = [
        (name, *(f"{statistics.median(figures):.2f}" for figures in zip(*runs, strict=True)))
        for name, runs in found.items()
    ]
    table("Whole processes, a tiny file", rows, ("", "seconds", "cpu s"))


if __name__ == "__main__":
    main()
