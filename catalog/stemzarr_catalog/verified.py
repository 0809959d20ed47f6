"""When stores of a lake were verified, and with what result: ``verified.jsonl`` in the lake.

A store is known there by the digest of its source and the end of its ingest, so that an entry keeps
its record when it is renamed, and has none when its source was ingested again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from stemzarr.storage.local import LocalFolder, put_text

if TYPE_CHECKING:
    from stemzarr.store import VerifyReport
    from stemzarr_catalog.entry import Entry
    from stemzarr_catalog.lake import Lake

__all__ = ["Verification", "note_verification", "oldest_first", "read_verifications"]

_LOG: Final = "verified.jsonl"
_LARGEST_LOG = 4 * 1024**2
"""Bytes from which a log is shortened to what was found last of each store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """The last verification of a store."""

    store: str
    """What tells the store from others."""
    time: str
    """When it ended, in UTC."""
    problems: int
    """How many problems it found."""


def _key_of(entry: Entry) -> str:
    finished = (entry.source.get("ingest") or {}).get("finished")
    return f"{entry.source.get('hash') or entry.name} {finished or ''}"


def _keys(lake: Lake) -> dict[str, str]:
    """Return what tells each store from others, by name; of one that cannot be read, its name."""
    unreadable = {name: f"{name} " for name in lake.problems}
    return unreadable | {entry.name: _key_of(entry) for entry in lake.search()}


def read_verifications(lake: Lake) -> dict[str, Verification]:
    """Return the last verification of each store that has one, by the name of its entry.

    Raises
    ------
    OSError
        The record cannot be read.
    """
    last = {one.store: one for one in _read(lake)}
    return {name: last[key] for name, key in _keys(lake).items() if key in last}


def oldest_first(lake: Lake) -> list[str]:
    """Return the names of all stores: those that were never verified, then the longest ago."""
    known = read_verifications(lake)
    names = sorted({*lake, *lake.problems})
    return sorted(names, key=lambda name: known[name].time if name in known else "")


def note_verification(
    lake: Lake,
    name: str,
    report: VerifyReport,
    now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
) -> None:
    """Remember what a verification of an entry found; in a lake that is read only, nothing is.

    Parameters
    ----------
    lake
        The lake.
    name
        The entry, or the store there that cannot be read.
    report
        What was found.
    now
        Gives the time; another one serves tests.

    Raises
    ------
    WriteError
        The lake cannot be written.
    """
    if lake.read_only:
        return
    found = Verification(
        store=_key_of(lake[name]) if name in lake else f"{name} ",
        time=now().isoformat(timespec="seconds"),
        problems=len(report.problems),
    )
    LocalFolder(lake.path).append(_LOG, _line(found).encode())
    _shorten(lake)


def _line(one: Verification) -> str:
    return f"{json.dumps(dataclasses.asdict(one))}\n"


def _read(lake: Lake) -> Iterator[Verification]:
    """Give the lines of the log, the oldest first; one that a crash cut off says nothing."""
    try:
        lines = (lake.path / _LOG).read_bytes().splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        with contextlib.suppress(ValueError, TypeError):
            yield Verification(**json.loads(line))


def _shorten(lake: Lake) -> None:
    path = lake.path / _LOG
    if path.stat().st_size > _LARGEST_LOG:
        present = {*_keys(lake).values()}
        last = {one.store: one for one in _read(lake) if one.store in present}
        put_text(path, "".join(map(_line, last.values())))
