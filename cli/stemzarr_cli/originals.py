"""``stemzarr verify --originals``: which sources need not be kept, and a place to move them to."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stemzarr.errors import StemzarrError
from stemzarr_cli.report import Report
from stemzarr_cli.text import (
    format_bytes,
    format_count,
    format_path,
    format_seconds,
    one_line,
)
from stemzarr_cli.verdict import tell

if TYPE_CHECKING:
    from stemzarr.store import VerifyReport
    from stemzarr_catalog import Entry, Lake
    from stemzarr_catalog.moving import State

__all__ = ["Moving", "list_originals"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moving:
    """Where originals go, and when."""

    folder: Path
    """The folder."""
    wait_s: float
    """Seconds after its ingest before which an original is left where it is."""


@dataclass(slots=True)
class _Judged:
    """Originals for a person to read under headings; for a program they are lines at once."""

    safe: dict[str, int] = field(default_factory=dict)
    """Bytes of each that can be deleted, or was moved."""
    keep: dict[str, str] = field(default_factory=dict)
    """Why each other one cannot."""

    def show(self, report: Report, moving: Moving | None) -> None:
        """Print both groups on a terminal, and what is to be done with what was moved."""
        if report.terminal_width is not None:
            heading = "Safe to delete"
            if moving is not None:
                heading = f"Moved to {format_path(moving.folder)}"
            size = format_bytes(sum(self.safe.values()))
            if self.safe:
                report.say(f"{heading}: {format_count(len(self.safe), 'file')}, {size}", bold=True)
            for path in self.safe:
                report.say(f"  {format_path(path)}")
            if self.keep:
                report.say(f"Keep: {format_count(len(self.keep), 'file')}", bold=True)
            for path, why in self.keep.items():
                report.say_wrapped(f"  {format_path(path)}: {why}")
        if moving is not None and self.safe:
            from stemzarr_catalog.moving import RECEIPT

            receipt = format_path(moving.folder / RECEIPT)
            report.note(f"{receipt} says what was moved, and how to get it back")


def list_originals(
    report: Report,
    names: tuple[str, ...],
    lake: Lake,
    moving: Moving | None,
    note: Callable[[Lake, str, VerifyReport], None],
) -> None:
    """List the sources that their stores can give back, and move them where that is asked for.

    Parameters
    ----------
    report
        Where it is said.
    names
        Entries; all where none is given.
    lake
        Their lake.
    moving
        Where to move them; None leaves them where they are.
    note
        Remembers each verification.
    """
    judged = _Judged()
    for name in names or tuple(lake):
        with report.attempt():
            found = _judge(report, lake[name], judged, moving)
            if found is not None:
                note(lake, name, found)
                if moving is not None and not found.ok:
                    report.note(
                        f"{report.name}: nothing more is moved: the comparison of {name} failed"
                    )
                    break
    judged.show(report, moving)


def _judge(
    report: Report, entry: Entry, judged: _Judged, moving: Moving | None
) -> VerifyReport | None:
    """Print the original of an entry if it is safe to delete, or say on stderr why it is not."""
    import stemzarr

    original = Path(entry.source.get("path") or "")
    why_not = _reason_to_keep(entry) or _reason_to_wait(entry, moving)
    found: VerifyReport | None = None
    if why_not is None:
        from stemzarr_catalog.moving import state_now

        before = state_now(original)
        with report.progress(f"comparing {original.name}") as progress:
            found = stemzarr.verify(entry.path, source=original, progress=progress)
        if found.notes or not found.ok:
            tell(report, found)
            why_not = "its store is damaged, or it is another file now"
        elif not found.whole:
            why_not = "not all of its bytes could be compared"
        elif moving is not None:
            why_not = _move(report, entry, original, before, moving)
    is_read = report.terminal_width is not None and not report.as_json
    if why_not is not None:
        judged.keep[str(original)] = why_not
        if not is_read:
            report.note(f"keep {original}: {why_not}")
        return found
    judged.safe[str(original)] = int(entry.source.get("size") or 0)
    record: dict[str, Any] = {
        "name": entry.name,
        "original": str(original),
        "bytes": entry.source.get("size"),
        "safe": True,
        **({"moved": str(moving.folder)} if moving is not None else {}),
    }
    said = (lambda: None) if is_read else functools.partial(report.say, one_line(original))
    report.result(record, said)
    return found


def _move(
    report: Report, entry: Entry, original: Path, before: State, moving: Moving
) -> str | None:
    """Move an original that was just compared; return why it stays where it does."""
    from stemzarr_catalog.moving import move_original

    try:
        move_original(entry, original, moving.folder, before)
    except StemzarrError as error:
        report.fail(error)
        return "it could not be moved"
    return None


def _reason_to_keep(entry: Entry) -> str | None:
    """Return why an original must be kept, as far as the record of its store tells."""
    source = entry.source
    path = source.get("path")
    if source.get("virtual"):
        return "its entry is virtual, so the pixels are nowhere else"
    if not source.get("virtual") and entry.facts.get("complete") == 0:
        return "it ends early, and its store holds what could be recovered"
    if not source.get("rebuildable"):
        return f"a store cannot give {source.get('format')} files back byte for byte"
    if source.get("redacted"):
        return "its store is redacted, so what it gives back would differ"
    if not path or not Path(path).exists():
        return "it is not there any more"
    return None


def _reason_to_wait(entry: Entry, moving: Moving | None) -> str | None:
    """Return why an original is not moved yet."""
    finished = (entry.source.get("ingest") or {}).get("finished")
    if moving is None or finished is None:
        return None
    age = dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(finished)
    left = moving.wait_s - age.total_seconds()
    if left <= 0:
        return None
    return f"it was ingested recently, and is moved in {format_seconds(left)} at the earliest"
