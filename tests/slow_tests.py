"""Write ``tests/slow.json``: which tests take long, as the processor seconds of each say.

``STEMZARR_DURATIONS=durations.txt pytest -n 2`` appends a line for each test, and
``python tests/slow_tests.py durations.txt`` keeps those that take more than `LEAST`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

LEAST = 0.3
"""Processor seconds, of all its parameters together, from which on a test is slow."""


def write_slow(durations: Path, kept: Path) -> None:
    """Write the slow tests of a run, each without its parameters."""
    seconds: dict[str, float] = {}
    for line in durations.read_text("utf-8").splitlines():
        taken, _, test = line.partition(" ")
        name = test.partition("[")[0]
        seconds[name] = seconds.get(name, 0.0) + float(taken)
    slow = {name: round(taken, 1) for name, taken in sorted(seconds.items()) if taken > LEAST}
    kept.write_text(json.dumps(slow, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_slow(Path(sys.argv[1]), Path(__file__).with_name("slow.json"))
