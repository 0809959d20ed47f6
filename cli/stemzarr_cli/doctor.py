"""``stemzarr doctor``: what this installation can do, and what is slow and why."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click

import stemzarr
from stemzarr.errors import OptionError, StemzarrError
from stemzarr.storage.address import RemotePath
from stemzarr.storage.local import LocalFolder
from stemzarr_cli.command import Command, lake_option
from stemzarr_cli.report import FAILED, Report
from stemzarr_cli.text import format_bytes, format_seconds, printable

_NEEDED = ("numpy", "zarr", "xarray", "dask", "numcodecs", "h5py", "intake", "rosettasciio")
_OPTIONAL = {
    "torch": "what .pt files need: pip install 'stemzarr[torch]'",
    "hyperspy": "HyperSpy itself: pip install 'stemzarr[hyperspy]'",
    "numba": "what bins counts faster: pip install 'stemzarr[fast]'",
    "obstore": "what reads stores at addresses: pip install 'stemzarr[cloud]'",
}
_BUCKET_MOUNTS = ("rclone", "s3", "goofys", "geesefs", "gcsfuse", "blobfuse")
_MOUNTED = (
    "on a mount of a bucket two machines can both get a lock; let one at a time write here, "
    "and read it by its address"
)
_SAMPLE_BYTES = 64 * 1024**2
_SLOW_SYNC_S = 0.2
_SLOW_DISK = 50e6
_SLOW_CODEC = 100e6
_LITTLE_SPACE = 10e9
_LITTLE_MEMORY = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found."""

    check: str
    """What was looked at."""
    ok: bool
    """Whether it works."""
    found: str
    """What was seen, with numbers."""
    hint: str = ""
    """What to do, where something is wrong or slow."""


@click.command(cls=Command)
@lake_option
@click.pass_obj
def doctor(report: Report, /, *, lake: Path | None) -> None:
    """Check this installation.

    What works, what is slow, and why: versions, memory, codecs, and in the folder of the lake
    the disk, locks, and the way of a tiny scan from dm4 to store and back. What it writes there,
    it removes again.
    """
    from stemzarr_catalog.opening import find_lake

    found = find_lake(lake)
    if isinstance(found, RemotePath):
        hint = "name a folder of this machine with --lake"
        raise OptionError("is no folder whose disk and locks could be tried", path=found, hint=hint)
    folder = _existing(found)
    for finding in _findings(folder):
        report.result(asdict(finding), lambda finding=finding: _draw(report, finding))  # type: ignore[misc]
        if not finding.ok:
            report.status = FAILED


def _existing(folder: Path) -> Path:
    """Return the folder, or the nearest above it that is there."""
    return next(path for path in (folder, *folder.parents) if path.is_dir())


def _draw(report: Report, finding: Finding) -> None:
    mark = "ok   " if finding.ok else "WRONG"
    report.say(f"{mark}  {finding.check:<12}  {finding.found}", fg=None if finding.ok else "red")
    if finding.hint:
        report.say(f"       {'':<12}  {finding.hint}", fg="yellow")


def _findings(folder: Path) -> Iterator[Finding]:
    """Run all checks; one that raises has found what it raises."""
    yield _system()
    for package in (*_NEEDED, *_OPTIONAL):
        yield _package(package)
    yield _memory()
    checks: tuple[tuple[str, Callable[[Path], Finding]], ...] = (
        ("folder", _space),
        ("disk", _disk),
        ("locks", _locks),
        ("round trip", _round_trip),
    )
    yield _codec("zstd")
    yield _codec("lz4")
    try:
        with tempfile.TemporaryDirectory(prefix=".stemzarr-doctor-", dir=folder) as scratch:
            for name, check in checks:
                try:
                    yield check(Path(scratch))
                except (StemzarrError, OSError, ValueError) as error:
                    yield Finding(check=name, ok=False, found=f"{type(error).__name__}: {error}")
    except OSError as error:
        hint = "name another lake with --lake, or change the folder's permissions"
        found = f"{folder} cannot be written: {error.strerror or error}"
        yield Finding(check="folder", ok=False, found=found, hint=hint)


def _system() -> Finding:
    from stemzarr.options import available_threads

    encoding = sys.stdout.encoding or "none"
    found = (
        f"stemzarr {stemzarr.__version__}, Python {platform.python_version()},"
        f" {platform.system()} {platform.machine()}, {available_threads()} of {os.cpu_count()}"
        f" processors, terminal in {encoding}"
    )
    return Finding(check="system", ok=True, found=found)


def _package(name: str) -> Finding:
    try:
        return Finding(check=name, ok=True, found=importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        needed = name in _NEEDED
        hint = "install stemzarr again" if needed else _OPTIONAL[name]
        return Finding(check=name, ok=not needed, found="not installed", hint=hint)


def _memory() -> Finding:
    import psutil

    memory = psutil.virtual_memory()
    found = f"{format_bytes(memory.available)} of {format_bytes(memory.total)} are free"
    little = memory.available < _LITTLE_MEMORY
    hint = "close other programs, or give a smaller --memory" if little else ""
    return Finding(check="memory", ok=True, found=found, hint=hint)


def _codec(name: str) -> Finding:
    """Encode and decode counts as a detector gives them, in one thread."""
    import numpy as np
    from numcodecs import Blosc

    counts = np.random.default_rng(0).poisson(0.2, _SAMPLE_BYTES // 16).astype(np.uint16)
    codec = Blosc(cname=name, clevel=1, shuffle=Blosc.BITSHUFFLE)
    codec.encode(counts[: counts.size // 8])
    started = time.perf_counter()
    encoded = codec.encode(counts)
    rate = counts.nbytes / (time.perf_counter() - started)
    same = np.array_equal(np.frombuffer(codec.decode(encoded), np.uint16), counts)
    found = f"{format_bytes(rate)}/s in one thread, {counts.nbytes / len(encoded):.1f}×"
    hint = "this processor is slow or busy" if rate < _SLOW_CODEC else ""
    return Finding(check=name, ok=same, found=found, hint=hint)


def _space(scratch: Path) -> Finding:
    free = shutil.disk_usage(scratch).free
    hint = "this may not be enough for another scan" if free < _LITTLE_SPACE else ""
    found = f"{printable(scratch.parent)}, {format_bytes(free)} free"
    return Finding(check="folder", ok=True, found=found, hint=hint)


def _disk(scratch: Path) -> Finding:
    """Write a file as a shard is written, flush it, rename it, and read it back."""
    block = os.urandom(_SAMPLE_BYTES)
    place = LocalFolder(scratch, parts=scratch)
    started = time.perf_counter()
    with place.writing("shard", sync=True) as file:
        file.write(block)
        written = time.perf_counter()
    synced = time.perf_counter() - written
    rate = _SAMPLE_BYTES / (time.perf_counter() - started)
    same = place.get("shard") == block
    found = f"writes {format_bytes(rate)}/s, of which flushing took {format_seconds(synced)}"
    hint = ""
    if rate < _SLOW_DISK or synced > _SLOW_SYNC_S + _SAMPLE_BYTES / 500e6:
        hint = "the disk or network is slow; 'ingest --no-sync' does not wait for it"
    return Finding(check="disk", ok=same, found=found, hint=hint)


def _locks(scratch: Path) -> Finding:
    """See that of two owners of a lock one is turned away."""
    from stemzarr.errors import StoreBusyError
    from stemzarr.storage.locks import FileLock

    path = scratch / "lock"
    with FileLock(path):
        try:
            with FileLock(path):
                found = "two owners held the same lock"
        except StoreBusyError:
            kind = _object_storage(path)
            hint = f"{_MOUNTED} ({kind})" if kind else ""
            return Finding(check="locks", ok=True, found="one owner at a time", hint=hint)
    hint = "let only one program write to a lake in this folder"
    return Finding(check="locks", ok=False, found=found, hint=hint)


def _object_storage(path: Path) -> str:
    """Return the kind of mount that a path is on, where it is one of a bucket."""
    import psutil

    mounts = [part for part in psutil.disk_partitions(all=True) if part.mountpoint]
    above = [part for part in mounts if path.resolve().is_relative_to(part.mountpoint)]
    kind: str = max(above, key=lambda part: len(part.mountpoint)).fstype if above else ""
    return kind if any(name in kind.lower() for name in _BUCKET_MOUNTS) else ""


def _round_trip(scratch: Path) -> Finding:
    """Write a tiny dm4, ingest it, and compare what xarray reads with what was written."""
    import numpy as np
    import xarray as xr

    from stemzarr.testing import write_synthetic_dm4

    source, store = scratch / "tiny.dm4", scratch / "tiny.zarr"
    write_synthetic_dm4(source, (4, 5), (16, 16))
    started = time.perf_counter()
    stemzarr.ingest(source, store)
    with xr.open_zarr(store) as written, stemzarr.open(source) as original:
        same = np.array_equal(written.intensity.values, original.intensity.values)
    found = f"dm4 to store and back in {format_seconds(time.perf_counter() - started)}"
    hint = "" if same else "the store differs from its source: please report it"
    return Finding(check="round trip", ok=same, found=found, hint=hint)
