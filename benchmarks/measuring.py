"""What benchmarks measure of processes and files: time, processor time, peak memory, size."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Finished", "drop_from_cache", "peak_bytes", "run_process", "size_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A process that has ended well."""

    seconds: float
    """From its start to its end."""
    cpu_s: float
    """Processor time of all its threads, and of its own children that have ended."""
    peak: int
    """Largest resident memory in bytes, mapped pages included; never less than our own."""
    output: str
    """What it printed."""


def run_process(command: Sequence[object]) -> Finished:
    """Run a command to its end.

    Raises
    ------
    RuntimeError
        It failed; the message is the last line that it wrote.
    """
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        started = time.perf_counter()
        process = subprocess.Popen([*map(str, command)], stdout=output, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        if process.returncode:
            last = (errors.read().strip().splitlines() or ["no message"])[-1]
            msg = f"{' '.join(map(str, command))}: {last}"
            raise RuntimeError(msg)
        return Finished(
            seconds=seconds,
            cpu_s=usage.ru_utime + usage.ru_stime,
            peak=usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
            output=output.read(),
        )


def peak_bytes() -> int:
    """Return the largest resident memory of this process so far, mapped pages included."""
    import psutil

    info = psutil.Process().memory_info()
    if hasattr(info, "peak_wset"):
        return int(info.peak_wset)
    status = Path("/proc/self/status")
    if status.exists():
        # getrusage would count what the parent held before this program was loaded.
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        return 1024 * int(line.split()[1])
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


def size_of(path: Path) -> int:
    """Return the bytes of a file or folder."""
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size if path.exists() else 0


def drop_from_cache(path: Path) -> None:
    """Let the system forget what it holds in memory of a file, or of the files of a folder."""
    for file in [path] if path.is_file() else path.rglob("*"):
        if file.is_file():
            with file.open("rb+") as opened:
                os.fsync(opened.fileno())  # what is not written yet cannot be forgotten
                os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
