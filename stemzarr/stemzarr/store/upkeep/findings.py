"""What a verification finds: problems that last, notes on those that do not, damaged chunks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from stemzarr.errors import ReadError
from stemzarr.store.format.plan import ArrayPlan, Box

__all__ = ["DamagedChunk", "Findings", "describe_damage", "read_twice"]

_T = TypeVar("_T")


@dataclass(slots=True)
class Findings:
    """Problems, notes and counts, gathered from several threads."""

    problems: list[str] = field(default_factory=list)
    """What is wrong, one sentence each."""
    notes: list[str] = field(default_factory=list)
    """What was wrong at the first reading alone, one sentence each."""
    files: int = 0
    """Files that were read."""
    chunks: int = 0
    """Chunks that were decoded."""
    nbytes: int = 0
    """Bytes of values in them."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def problem(self, text: str) -> None:
        """Add a problem."""
        with self._lock:
            self.problems.append(text)

    def count(self, chunks: int, nbytes: int) -> None:
        """Add to the chunks that were decoded."""
        with self._lock:
            self.chunks += chunks
            self.nbytes += nbytes

    def add(self, part: Findings) -> None:
        """Add all that was found in a part."""
        with self._lock:
            self.problems += part.problems
            self.notes += part.notes
            self.files += part.files
            self.chunks += part.chunks
            self.nbytes += part.nbytes


def read_twice(found: Findings, check: Callable[[Findings], _T]) -> _T:
    """Check a part of a store, and once more where something is wrong with it.

    Parameters
    ----------
    found
        Gets what the last reading finds, and a note on what the first alone found.
    check
        Reads the part, and adds what it finds to the findings that it is given.

    Raises
    ------
    ReadError
        The part cannot be read at the second reading either, and `check` raises that.
    """
    first = Findings()
    try:
        value = check(first)
    except ReadError as error:
        first.problem(f"{error.path}: {error.message}")
    else:
        if not first.problems:
            found.add(first)
            return value
    second = Findings()
    value = check(second)
    gone = [problem for problem in first.problems if problem not in second.problems]
    end = "" if second.problems else "; could be read the second time"
    second.notes += [f"only at the first reading: {problem}{end}" for problem in gone]
    found.add(second)
    return value


class DamagedChunk(NamedTuple):
    """A chunk that cannot be decoded."""

    number: int
    """Its place in the index of its shard."""
    box: Box
    """Corner and shape of its values."""
    message: str
    """What reading it says, ending with ``is damaged: REASON``."""


def describe_damage(plan: ArrayPlan, shard: int, damaged: Sequence[DamagedChunk]) -> Iterator[str]:
    """Yield a sentence on every run of neighbouring chunks of a shard that are damaged.

    Parameters
    ----------
    plan
        How the array is cut.
    shard
        Place of the shard in the grid.
    damaged
        Its damaged chunks, in the order of their numbers.
    """
    runs: list[list[DamagedChunk]] = []
    for chunk in damaged:
        if runs and chunk.number == runs[-1][-1].number + 1:
            runs[-1].append(chunk)
        else:
            runs.append([chunk])
    for run in runs:
        yield run[0].message if len(run) == 1 else _describe_run(plan, shard, run)


def _describe_run(plan: ArrayPlan, shard: int, run: Sequence[DamagedChunk]) -> str:
    ends = [tuple(a + n for a, n in zip(*chunk.box, strict=True)) for chunk in run]
    lows = map(min, zip(*(chunk.box[0] for chunk in run), strict=True))
    highs = map(max, zip(*ends, strict=True))
    bounds = [f"{a}:{b}" for a, b in zip(lows, highs, strict=True)]
    scan = len(plan.shape) - plan.pattern_ndim
    whole = bounds[scan:] == [f"0:{n}" for n in plan.shape[scan:]]
    kind, shown = ("patterns", bounds[:scan]) if scan and whole else ("values", bounds)
    reasons = dict.fromkeys(chunk.message.rpartition("is damaged: ")[2] for chunk in run)
    place = "/".join(map(str, plan.shard_index(shard)))
    return (
        f"chunks {run[0].number} to {run[-1].number} of shard {place} of {plan.path}, "
        f"{kind} [{', '.join(shown)}], are damaged: {'; '.join(reasons)}"
    )
