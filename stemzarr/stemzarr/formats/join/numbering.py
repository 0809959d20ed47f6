"""Names of files that count: their order, and which numbers are missing."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

__all__ = ["Numbering", "natural_key", "number_names", "pattern_of"]

_DIGITS = re.compile(r"(\d+)")
_MOST_SAID = 8


def natural_key(name: str) -> tuple[object, ...]:
    """Return what sorts a relative path as people count: ``frame_10`` behind ``frame_9``.

    Examples
    --------
    >>> sorted(["b/f_10.tif", "b/f_9.tif", "a/f_11.tif"], key=natural_key)
    ['a/f_11.tif', 'b/f_9.tif', 'b/f_10.tif']
    """
    parts = tuple(
        tuple(
            int(piece) if place % 2 else piece.casefold()
            for place, piece in enumerate(_DIGITS.split(part))
        )
        for part in name.split("/")
    )
    return (parts, name)


def pattern_of(name: str) -> str:
    """Return a relative path with ``#`` for every number in it, that of the suffix too.

    Examples
    --------
    >>> pattern_of("Second_01/run_Second_01_Frame_0007.dm4")
    'Second_#/run_Second_#_Frame_#.dm#'
    """
    return _DIGITS.sub("#", name)


@dataclass(frozen=True, slots=True)
class Numbering:
    """What the names of files, in their natural order, count."""

    numbers: tuple[int, ...] | None
    """The number of each file, as all would count through; None where the names do not tell."""
    gaps: str
    """Which numbers are missing, in words; empty where none are."""


def number_names(names: Sequence[str]) -> Numbering:
    """Return what names of one pattern count.

    Parameters
    ----------
    names
        Relative paths in natural order, at least one, no two alike, all of one `pattern_of`.
    """
    rows = [tuple(map(int, _DIGITS.findall(name))) for name in names]
    columns = [column for column in zip(*rows, strict=True) if len(set(column)) > 1]
    columns = list(dict.fromkeys(columns))
    if not columns:
        return Numbering(None, "")
    if len(columns) == 1:
        numbers = columns[0]
        return Numbering(numbers, _say(_gaps(numbers), numbers))
    return _number_groups(names, columns)


def _gaps(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Return the first and the last number of each gap in rising numbers."""
    return [(a + 1, b - 1) for a, b in itertools.pairwise(numbers) if b - a > 1]


def _say(gaps: Sequence[tuple[int, int]], numbers: Sequence[int]) -> str:
    if not gaps:
        return ""
    if len(gaps) > len(numbers) // 2:
        return f"the {len(numbers)} numbers of the files, {numbers[0]} to {numbers[-1]}, leave gaps"
    return f"of the numbers {numbers[0]} to {numbers[-1]} {_list(map(_range, gaps))} missing"


def _range(gap: tuple[int, int]) -> str:
    return str(gap[0]) if gap[0] == gap[1] else f"{gap[0]}-{gap[1]}"


def _list(found: Iterator[str]) -> str:
    items = list(found)
    shown = ", ".join(items[:_MOST_SAID])
    more = f" and {len(items) - _MOST_SAID} more" if len(items) > _MOST_SAID else ""
    verb = "is" if len(items) == 1 and "-" not in shown else "are"
    return f"{shown}{more} {verb}"


def _number_groups(names: Sequence[str], columns: Sequence[tuple[int, ...]]) -> Numbering:
    """Return what names count whose last number begins again with each value of the others.

    All groups are taken to count as far as the farthest: one that begins later, or ends earlier,
    lacks what others have; but the first may begin later, and the last end earlier.
    """
    *outer, last = columns
    keys = list(zip(*outer, strict=True))
    groups = [list(found) for _, found in itertools.groupby(range(len(names)), keys.__getitem__)]
    if len(groups) > len(names) // 2:
        return Numbering(None, "")
    low, high = min(last), max(last)
    # One outer number says which groups are missing; several, as minutes and seconds, do not.
    counts = [members[0][0] for members in ([keys[m] for m in group] for group in groups)]
    places = [n - counts[0] for n in counts] if len(outer) == 1 else list(range(len(groups)))
    numbers = [
        place * (high - low + 1) + last[member] - low
        for place, group in zip(places, groups, strict=True)
        for member in group
    ]
    said = []
    for place, group in enumerate(groups):
        begin = last[group[0]] if place == 0 else low
        end = last[group[-1]] if place == len(groups) - 1 else high
        gaps = _gaps([begin - 1, *(last[member] for member in group), end + 1])
        if gaps:
            said.append(f"{_list(map(_range, gaps))} missing {_where(names[group[0]])}")
    shown = "; ".join(said[:_MOST_SAID])
    more = f"; so in {len(said) - _MOST_SAID} more" if len(said) > _MOST_SAID else ""
    within = [f"of the numbers {low} to {high} {shown}{more}"] if said else []
    between = [_say(_gaps(counts), counts)] if len(outer) == 1 else []
    return Numbering(tuple(numbers), "; ".join(filter(None, [*between, *within])))


def _where(name: str) -> str:
    folder = PurePosixPath(name).parent.name
    return f"in {folder}" if folder else f"from {name} on"
