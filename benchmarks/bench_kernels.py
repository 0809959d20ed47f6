"""Kernels alone, warm, in one process: ours in threads beside scipy in float32 on one thread."""

from __future__ import annotations

import argparse
import functools
import statistics
import timeit
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import scipy.ndimage
import scipy.signal
from numpy.typing import NDArray
from side_by_side import table

from stemzarr.options import available_threads
from stemzarr.testing import synthetic_scan
from stemzarr.views import Method, downsample

METHODS: tuple[Method, ...] = ("bin", "stride", "gauss", "fft")
GROUP = 8
"""Patterns that are worked on at once, as views do it."""


def by_scipy(patterns: NDArray[Any], factor: int, method: str) -> None:
    """Downsample pattern by pattern in float32."""
    for pattern in patterns:
        values = pattern.astype(np.float32)
        if method == "gauss":
            scipy.ndimage.gaussian_filter(values, factor / 2)[::factor, ::factor]
        elif method == "fft":
            y, x = (size // factor for size in values.shape)
            scipy.signal.resample(scipy.signal.resample(values, y, axis=0), x, axis=1)
        elif method == "stride":
            np.ascontiguousarray(values[::factor, ::factor])
        else:
            y, x = (size // factor * factor for size in values.shape)
            blocks = values[:y, :x].reshape(y // factor, factor, x // factor, factor)
            blocks.mean(axis=(1, 3))


def by_us(patterns: NDArray[Any], factor: int, method: Method, pool: ThreadPoolExecutor) -> None:
    """Downsample in threads, a few patterns at a time."""
    groups = range(0, len(patterns), GROUP)

    def work(start: int) -> None:
        np.ascontiguousarray(
            downsample(patterns[start : start + GROUP], (factor, factor), method=method)
        )

    list(pool.map(work, groups))


def measure(jobs: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Return the median seconds of each job, the rounds interleaved.

    A job is repeated for a fifth of a second at least: an operating system takes tens of
    milliseconds to put threads that wake up together on processors of their own.
    """
    timers = {name: timeit.Timer(job) for name, job in jobs.items()}
    numbers = {name: timer.autorange()[0] for name, timer in timers.items()}
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, timer in timers.items():
            times[name].append(timer.timeit(numbers[name]) / numbers[name])
    return {name: statistics.median(found) for name, found in times.items()}


def main() -> None:
    """Print a table for each factor."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--full", action="store_true", help="256 × 256 detectors, more patterns")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    side, count = (256, 256) if options.full else (128, 64)
    scan = synthetic_scan((1, count), (side, side))
    patterns = np.concatenate(list(scan.pieces()))
    with ThreadPoolExecutor(available_threads()) as pool:
        for factor in (2, 4):
            rows = []
            for method in METHODS:
                jobs: dict[str, Callable[[], None]] = {
                    "scipy": functools.partial(by_scipy, patterns, factor, method),
                    "ours": functools.partial(by_us, patterns, factor, method, pool),
                }
                found = measure(jobs, options.rounds)
                pixels = patterns.size
                rows.append(
                    (
                        method,
                        found["scipy"] / pixels * 1e9,
                        found["ours"] / pixels * 1e9,
                        f"{found['scipy'] / found['ours']:.1f}×",
                        patterns.nbytes / found["ours"] / 1e9,
                    )
                )
            head = ("method", "scipy, 1 thread, ns/px", "ours, ns/px", "faster", "ours, GB/s")
            table(f"Detector {side} × {side} uint16, factor {factor}", rows, head)


if __name__ == "__main__":
    main()
