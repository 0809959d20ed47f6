"""The state of a lake: what it holds and saves, what was verified, what fails, what is double."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stemzarr_catalog.asked import dataset_of
from stemzarr_catalog.verified import read_verifications

if TYPE_CHECKING:
    from stemzarr_catalog.entry import Entry
    from stemzarr_catalog.lake import Lake

__all__ = ["Health", "read_health"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The state of a lake."""

    entries: int
    """How many entries there are."""
    virtual: int
    """Those of them whose pixels are in their sources alone."""
    source_bytes: int
    """Bytes of the sources of all entries that hold their pixels."""
    stored_bytes: int
    """Bytes of their stores."""
    verified: int
    """Stores that were verified since they were made."""
    unverified: tuple[str, ...]
    """Names of the others."""
    unverified_bytes: int
    """Bytes of those."""
    oldest: str | None
    """When the one that was verified longest ago was; None where none was."""
    failing: dict[str, str]
    """Name → what is wrong: it cannot be read, or its last verification found problems."""
    duplicates: tuple[tuple[str, ...], ...]
    """Names of entries whose sources hold the same data."""

    @property
    def saved_bytes(self) -> int:
        """By how much the stores are smaller than their sources; negative where they are larger."""
        return self.source_bytes - self.stored_bytes

    def json(self) -> dict[str, Any]:
        """Return the line that ``ls --health --json`` prints."""
        return {**dataclasses.asdict(self), "saved_bytes": self.saved_bytes}


def read_health(lake: Lake) -> Health:
    """Return the state of a lake, from its index and the record of its verifications.

    Raises
    ------
    OSError
        The record cannot be read.
    """
    entries = lake.search()
    known = read_verifications(lake)
    stored = [entry for entry in entries if not entry.source.get("virtual")]
    unverified = [entry for entry in entries if entry.name not in known]
    problems = {name: one.problems for name, one in known.items() if one.problems}
    return Health(
        entries=len(entries),
        virtual=len(entries) - len(stored),
        source_bytes=sum(int(entry.source.get("size") or 0) for entry in stored),
        stored_bytes=sum(entry.stored_bytes for entry in stored),
        verified=len(entries) - len(unverified),
        unverified=tuple(entry.name for entry in unverified),
        unverified_bytes=sum(entry.stored_bytes for entry in unverified),
        oldest=min((one.time for one in known.values()), default=None),
        failing={
            **{name: _say_problems(number) for name, number in problems.items()},
            **lake.problems,
        },
        duplicates=_duplicates(stored),
    )


def _say_problems(number: int) -> str:
    return f"{number} problem{'s' if number > 1 else ''} at its last verification"


def _duplicates(entries: list[Entry]) -> tuple[tuple[str, ...], ...]:
    """Return the names of entries of one data set, of sources with the same header and values."""
    alike: dict[tuple[str, str | None], list[str]] = defaultdict(list)
    for entry in entries:
        if entry.source.get("hash"):
            alike[entry.source["hash"], dataset_of(entry)].append(entry.name)
    return tuple(tuple(names) for names in alike.values() if len(names) > 1)
