"""What is said of a store that was verified."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from stemzarr.errors import DamagedStoreError
from stemzarr_cli.report import Report
from stemzarr_cli.text import (
    format_bytes,
    format_count,
    format_path,
    format_seconds,
    shorten_list,
)

if TYPE_CHECKING:
    from stemzarr.store import VerifyReport

__all__ = ["tell"]


def tell(report: Report, found: VerifyReport) -> None:
    """Print what was found; every problem is an error of its own."""
    report.result(found.json(), functools.partial(_draw, report, found))
    for note in found.notes:
        report.note(f"{found.path.stem}: {note}")
    for problem in found.problems:
        report.fail(DamagedStoreError(problem, path=found.path))


def _draw(report: Report, found: VerifyReport) -> None:
    count = format_count(len(found.problems), "problem")
    state = "sound" if found.ok else f"DAMAGED, {count}"
    checked = f"{format_count(found.files, 'file')} and {format_count(found.chunks, 'chunk')}"
    amount = f"{format_bytes(found.nbytes)} in {format_seconds(found.seconds)}"
    report.say(f"{found.path.stem}  {state}: {checked}, {amount}")
    if found.added:
        report.say(f"  added by the user, not checked: {shorten_list(found.added)}")
    if found.original is not None and found.ok:
        same = "the same, byte for byte" if found.whole else "the same values"
        report.say(f"  {same}, as {format_path(found.original)}")
        if not found.whole:
            report.say("  its other bytes were not compared: the store keeps no digest of them")
