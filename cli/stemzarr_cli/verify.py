"""``stemzarr verify``: whether stores are sound, and which originals are safe to delete."""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stemzarr.errors import DamagedStoreError, OptionError, UnsupportedDataError
from stemzarr_cli.command import Command, lake_option
from stemzarr_cli.completing import complete_sources
from stemzarr_cli.parameters import PATH
from stemzarr_cli.places import find_source
from stemzarr_cli.report import Report
from stemzarr_cli.text import (
    format_bytes,
    format_count,
    format_path,
    format_seconds,
    one_line,
    shorten_list,
)

if TYPE_CHECKING:
    from stemzarr.store import VerifyReport
    from stemzarr_catalog import Entry


@click.command(cls=Command)
@click.argument("names", nargs=-1, metavar="NAME...", shell_complete=complete_sources)
@click.option(
    "--source",
    type=PATH,
    metavar="FILE",
    help="Compare one store with its original, value by value and byte by byte.",
)
@click.option(
    "--originals",
    is_flag=True,
    help="List the sources that their stores can give back byte for byte: safe to delete.",
)
@click.option(
    "--restore-metadata",
    "restore",
    is_flag=True,
    help="First put back metadata that another program or the disk changed.",
)
@click.option("--all", "everything", is_flag=True, help="Check all stores of the lake.")
@lake_option
@click.pass_obj
def verify(  # noqa: PLR0913 - one argument for each option
    report: Report,
    /,
    *,
    names: tuple[str, ...],
    everything: bool,
    source: Path | None,
    originals: bool,
    restore: bool,
    lake: Path | None,
) -> None:
    """Check every file and chunk of stores.

    Files are compared with the manifest, chunks with their checksums and digests; what fails is
    read a second time. Nothing is repaired, but with --restore-metadata: then every zarr.json is
    written as the manifest remembers it. NAME is a name in the lake or the path of a store.

    With --originals, stores of the lake (all, or those named) are checked and compared with the
    files that they were made from; a file is listed only when its store is sound, holds every
    byte of it, and it is still the same.
    """
    if originals:
        if source is not None or restore:
            hint = "leave --source and --restore-metadata out"
            raise OptionError("--originals finds the sources itself and changes nothing", hint=hint)
        _list_originals(report, names, lake)
        return
    if source is not None and len(names) != 1:
        hint = "'stemzarr ls' lists the names of a lake"
        raise OptionError("--source needs just one NAME", hint=hint)
    for name in names or _all_names(report, lake, everything=everything):
        with report.attempt():
            path = find_source(name, lake).path
            if restore:
                _restore(report, path)
            with report.progress(f"verifying {path.stem}") as progress:
                import stemzarr

                found = stemzarr.verify(path, source=source, progress=progress)
            if source is not None and not found.ok and stemzarr.verify(path).ok:
                _tell_other(report, found)
                continue
            _tell(report, found)


def _all_names(report: Report, where: Path | None, *, everything: bool) -> tuple[str, ...]:
    """Return the names of all entries, which must be asked for: it may take hours."""
    from stemzarr_catalog import open_lake

    lake = open_lake(where)
    names = tuple(sorted({*lake, *lake.problems}))
    size = format_bytes(sum(entry.stored_bytes for entry in lake.search()))
    what = f"{format_count(len(names), 'store')}, {size}"
    if everything:
        return names
    if not sys.stdin.isatty() or report.as_json:
        hint = "name stores, or give --all"
        raise OptionError(f"would check all of {lake.path}: {what}", hint=hint)
    return names if report.ask(f"{lake.path}: {what}", "Check them all?") else ()


def _tell_other(report: Report, found: VerifyReport) -> None:
    """Say that a sound store was compared with a file that it was not made from."""
    name = found.path.stem
    report.result(
        {**found.json(), "other": True},
        lambda: report.say(f"{name}  sound, and made from another file"),
    )
    differs = found.problems[0]
    more = len(found.problems) - 1
    msg = f"is not the file that {name} came from: {differs}{f', and {more} more' if more else ''}"
    report.fail(UnsupportedDataError(msg, path=found.original))


def _restore(report: Report, path: Path) -> None:
    """Put the metadata of a store back, and say what was otherwise."""
    from stemzarr.store import restore_metadata

    for difference in restore_metadata(path):
        report.note(f"{path.stem}: restored, for {difference}")


def _tell(report: Report, found: VerifyReport) -> None:
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


def _list_originals(report: Report, names: tuple[str, ...], where: Path | None) -> None:
    from stemzarr_catalog import open_lake

    lake = open_lake(where)
    judged = _Judged()
    for name in names or tuple(lake):
        with report.attempt():
            _judge(report, lake[name], judged)
    judged.show(report)


@dataclass(slots=True)
class _Judged:
    """Originals for a person to read under headings; for a program they are lines at once."""

    safe: dict[str, int] = field(default_factory=dict)
    """Bytes of each that can be deleted."""
    keep: dict[str, str] = field(default_factory=dict)
    """Why each other one cannot."""

    def show(self, report: Report) -> None:
        """Print both groups on a terminal."""
        if report.terminal_width is None:
            return
        if self.safe:
            size = format_bytes(sum(self.safe.values()))
            report.say(f"Safe to delete: {format_count(len(self.safe), 'file')}, {size}", bold=True)
        for path in self.safe:
            report.say(f"  {format_path(path)}")
        if self.keep:
            report.say(f"To keep: {format_count(len(self.keep), 'file')}", bold=True)
        for path, why in self.keep.items():
            report.say_wrapped(f"  {format_path(path)}: {why}")


def _judge(report: Report, entry: Entry, judged: _Judged) -> None:
    """Print the original of an entry if it is safe to delete, or say on stderr why it is not."""
    import stemzarr

    why_not = _reason_to_keep(entry)
    original = Path(entry.source.get("path") or "")
    if why_not is None:
        with report.progress(f"comparing {original.name}") as progress:
            found = stemzarr.verify(entry.path, source=original, progress=progress)
        if found.notes or not found.ok:
            _tell(report, found)
            why_not = "its store is damaged, or it is another file now"
    is_read = report.terminal_width is not None and not report.as_json
    if why_not is not None:
        judged.keep[str(original)] = why_not
        if not is_read:
            report.note(f"keep {original}: {why_not}")
        return
    judged.safe[str(original)] = int(entry.source.get("size") or 0)
    record: dict[str, Any] = {
        "name": entry.name,
        "original": str(original),
        "bytes": entry.source.get("size"),
        "safe": True,
    }
    said = (lambda: None) if is_read else functools.partial(report.say, one_line(original))
    report.result(record, said)


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
