"""What ISA-L leaves in the processor costs the decoder that runs next in the same thread.

``python benchmarks/bench_isal.py`` decodes chunks of counts, alone, after a checksum of ISA-L as it
is, and after one as exports make it, which clears the vector registers; one thread, microseconds a
chunk, the checksum included.
"""

from __future__ import annotations

import argparse
import statistics
import timeit
from collections.abc import Callable

import numpy as np
from isal import isal_zlib
from side_by_side import table

from stemzarr.formats.writing.isal import crc32
from stemzarr.options import IngestOptions
from stemzarr.store.format.encode import find_codec
from stemzarr.testing import synthetic_scan

SCAN, DETECTOR = (1, 8), (256, 256)
SUMMED = memoryview(bytes(4096))
"""What the checksum is of: so little that it takes no time."""


def make_jobs() -> dict[str, Callable[[], None]]:
    """Return what is timed, by name."""
    chunk = synthetic_scan(SCAN, DETECTOR).to_array()
    codec = find_codec(IngestOptions().codec, chunk.dtype, chunk.shape)
    stored, out = memoryview(b"".join(codec.encode(chunk))), np.empty_like(chunk)

    def after(checksum: Callable[[memoryview], int]) -> Callable[[], None]:
        def job() -> None:
            checksum(SUMMED)
            codec.decode(stored, out)

        return job

    return {
        "decoding alone": lambda: codec.decode(stored, out),
        "after a checksum of ISA-L": after(isal_zlib.crc32),
        "after one that clears the registers": after(crc32),
    }


def measure(jobs: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Return the median seconds of each job, the rounds interleaved."""
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            times[name].append(timeit.timeit(job, number=20) / 20)
    return {name: statistics.median(found) for name, found in times.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    found = measure(make_jobs(), parser.parse_args().rounds)
    alone = found["decoding alone"]
    rows = [(name, seconds * 1e6, f"{seconds / alone:.2f}") for name, seconds in found.items()]
    table("A chunk of 1 MiB", rows, ("", "µs", "to decoding alone"))


if __name__ == "__main__":
    main()
