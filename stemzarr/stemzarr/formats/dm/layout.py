"""What the axes of a 4D image mean, and the evidence for it.

Not every reader looks for it: docs/upstream/rosettasciio-dm-layout.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from stemzarr.errors import LayoutError
from stemzarr.metadata.units import normalise_units, quantity_of
from stemzarr.model import Layout, LayoutOrder
from stemzarr.options import LayoutChoice

__all__ = ["LayoutClues", "detect_layout", "pair_meaning"]

_OPPOSITE: Final[dict[LayoutOrder, LayoutOrder]] = {
    "detector-fast": "scan-fast",
    "scan-fast": "detector-fast",
}
_HINTED_BY_FORMAT: Final[dict[str, LayoutOrder]] = {
    "diffraction image": "detector-fast",
    "spectrum image": "scan-fast",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutClues:
    """All that a 4D image says of its axes."""

    shape: tuple[int, int, int, int]
    """Lengths of the dims on disk, slowest first."""
    units: tuple[str, str, str, str]
    """Units of the dims as the source spells them, slowest first."""
    swapped: bool | None = None
    """The flag ``Data Order Swapped``; None where it is absent, which is not evidence."""
    format: str = ""
    """The tag ``Meta Data/Format``."""
    scan_shape: tuple[int, int] | None = None
    """(height, width) of the scan by the SI tags, which go stale when the data is cropped."""


def pair_meaning(units: Sequence[str]) -> Literal["scan", "detector"] | None:
    """Return what the units of two axes speak for: lengths a scan, reciprocal ones a detector."""
    found = {quantity_of(normalise_units(unit)) for unit in units}
    detector = bool(found & {"reciprocal length", "angle"})
    scan = "length" in found
    if detector == scan:
        return None
    return "detector" if detector else "scan"


def detect_layout(clues: LayoutClues, choice: LayoutChoice, *, path: Path) -> Layout:
    """Return the order of the axes by the strongest evidence.

    In falling strength: the option ``layout``, the flag ``Data Order Swapped``, units, the SI tags
    and ``Format`` (which only break ties), the default.

    Raises
    ------
    LayoutError
        The flag says one thing and the units of both pairs the other.
    """
    by_flag, by_units = _flag_order(clues.swapped), _units_order(clues)
    weak = _weak_orders(clues)
    evidence = [f"set by --layout: {choice}"] if choice != "auto" else []
    if by_flag is not None:
        evidence.append(f"Data Order Swapped is {str(clues.swapped).lower()}: {by_flag}")
    if by_units is not None:
        evidence.append(f"units {_both(clues.units)} on disk, slowest first: {by_units}")
    evidence += [f"{text}: {order}" for order, text in weak]
    if choice != "auto":
        return Layout(order=choice, evidence=tuple(evidence))
    if by_flag is not None and by_units == _OPPOSITE[by_flag] and _both_pairs_speak(clues):
        raise _contradiction(clues, by_flag, path)
    order = by_flag or by_units
    if order is not None:
        return Layout(order=order, evidence=tuple(evidence))
    votes = {vote for vote, _ in weak}
    if len(votes) == 1:
        sure = any(text.startswith("SI") for _, text in weak)
        return Layout(
            order=votes.pop(), evidence=tuple(evidence), confidence="high" if sure else "low"
        )
    evidence.append("nothing in the file decides: detector-fast by default")
    return Layout(order="detector-fast", evidence=tuple(evidence), confidence="low")


def _flag_order(swapped: bool | None) -> LayoutOrder | None:  # noqa: FBT001 - three states
    if swapped is None:
        return None
    return "detector-fast" if swapped else "scan-fast"


def _pairs(
    clues: LayoutClues,
) -> tuple[Literal["scan", "detector"] | None, Literal["scan", "detector"] | None]:
    return pair_meaning(clues.units[:2]), pair_meaning(clues.units[2:])


def _units_order(clues: LayoutClues) -> LayoutOrder | None:
    slow, fast = _pairs(clues)
    if slow == fast:
        return None
    return "detector-fast" if slow == "scan" or fast == "detector" else "scan-fast"


def _both_pairs_speak(clues: LayoutClues) -> bool:
    return None not in _pairs(clues)


def _weak_orders(clues: LayoutClues) -> list[tuple[LayoutOrder, str]]:
    """Return what only breaks ties, each with its words."""
    weak: list[tuple[LayoutOrder, str]] = []
    slow, fast = clues.shape[:2], clues.shape[2:]
    if clues.scan_shape is not None and (slow == clues.scan_shape) != (fast == clues.scan_shape):
        text = f"SI tags name a scan of {clues.scan_shape[0]} x {clues.scan_shape[1]}"
        weak.append(("detector-fast" if slow == clues.scan_shape else "scan-fast", text))
    hinted = _HINTED_BY_FORMAT.get(clues.format.strip().lower())
    if hinted is not None:
        weak.append((hinted, f"Format is {clues.format.strip()!r}"))
    return weak


def _both(units: Sequence[str]) -> str:
    return ", ".join(repr(unit) for unit in units)


def _contradiction(clues: LayoutClues, by_flag: LayoutOrder, path: Path) -> LayoutError:
    slow, fast = clues.shape[:2], clues.shape[2:]
    readings = {
        "detector-fast": f"scan {slow}, detector {fast}",
        "scan-fast": f"scan {fast}, detector {slow}",
    }
    by_units = _OPPOSITE[by_flag]
    msg = (
        f"the axes contradict themselves: Data Order Swapped is {str(clues.swapped).lower()},"
        f" which means {by_flag} ({readings[by_flag]}), while units {_both(clues.units)} on disk"
        f" mean {by_units} ({readings[by_units]})"
    )
    hint = "say which is right with --layout detector-fast or --layout scan-fast"
    return LayoutError(msg, path=path, hint=hint)
