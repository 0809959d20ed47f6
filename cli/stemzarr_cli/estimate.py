"""What is said before files are ingested: how many are new, the space and the time they need."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stemzarr.errors import StemzarrError
from stemzarr.storage.address import RemotePath
from stemzarr_cli.text import format_bytes, format_count, format_seconds

if TYPE_CHECKING:
    from stemzarr.options import IngestOptions

__all__ = ["BYTES_A_STORE", "describe_need"]

_SAMPLES = 8
"""Files of which a few chunks are encoded; the others are taken to be like them."""
_MINUTE = 60.0
_SECONDS_A_FILE = 0.2
"""What each file takes besides its pixels."""
BYTES_A_STORE = 25_000
"""What each store takes besides its pixels: metadata, previews, the record of its source."""


def describe_need(
    sizes: Mapping[Path, int], lake: Path, options: IngestOptions, bandwidth: int | None
) -> str:
    """Say how much space and time the ingest of some files needs, estimated from a few of them.

    Parameters
    ----------
    sizes
        Bytes of each new file.
    lake
        Where they go.
    options
        How they are stored.
    bandwidth
        Bytes a second at which they are read at most; None for no limit.

    Returns
    -------
    str
        One sentence; empty where none of the files that were tried can be read.
    """
    total = sum(sizes.values())
    sampled = [_need(path, options) for path in _choose(sizes)]
    known = [one for one in sampled if one is not None]
    read = sum(nbytes for nbytes, _, _ in known)
    if not read:
        return ""
    share = total / read
    space = round(sum(stored for _, stored, _ in known) * share) + BYTES_A_STORE * len(sizes)
    seconds = sum(seconds for _, _, seconds in known) * share + _SECONDS_A_FILE * len(sizes)
    if bandwidth is not None:
        seconds = max(seconds, total / bandwidth)
    room = ""
    if not isinstance(lake, RemotePath):
        free = shutil.disk_usage(lake).free
        fits = "" if space < free else ": not enough for all of them"
        room = f", {format_bytes(free)} free{fits}"
    time = f"about {format_seconds(seconds)}" if seconds >= _MINUTE else "less than a minute"
    return (
        f"{format_count(len(sizes), 'file')} to ingest, {format_bytes(total)}: "
        f"about {format_bytes(space)} needed{room}; {time}"
    )


def _choose(sizes: Mapping[Path, int]) -> Sequence[Path]:
    """Return some of the files, spread evenly over their sizes, the largest among them."""
    ordered = sorted(sizes, key=sizes.__getitem__, reverse=True)
    step = max(1, -(-len(ordered) // _SAMPLES))
    return ordered[::step]


def _need(path: Path, options: IngestOptions) -> tuple[int, int, float] | None:
    """Return the bytes of a file, of its store, and the seconds that it takes."""
    from stemzarr.registry import read_source
    from stemzarr.store import expected_bytes, plan_store

    # What cannot be read is reported when its turn comes.
    with contextlib.suppress(StemzarrError):
        source = read_source(path, options.read)
        plan = plan_store(source, options)
        return source.size, expected_bytes(source, plan), plan.describe()["expected_seconds"]
    return None
