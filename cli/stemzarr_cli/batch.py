"""Files that one command ingests: a line each, and at the end what became of all of them."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stemzarr.errors import CorruptFileError, StemzarrError, TruncatedFileError
from stemzarr.options import IngestOptions, as_path
from stemzarr_catalog.ingesting import find_unchanged
from stemzarr_catalog.naming import count_folders, expected_name
from stemzarr_catalog.salvaging import complete_options, count_recoverable, count_recovered
from stemzarr_catalog.wording import format_recovered
from stemzarr_cli.estimate import describe_need
from stemzarr_cli.parts import split_progress
from stemzarr_cli.report import Report
from stemzarr_cli.steady import Steady
from stemzarr_cli.text import (
    format_bytes,
    format_count,
    format_path,
    format_seconds,
    format_shape,
    shorten_list,
)

if TYPE_CHECKING:
    from stemzarr.model import Progress
    from stemzarr_catalog import Entry, Lake
    from stemzarr_catalog.ingesting import Ingested

__all__ = ["Outcome", "Run", "failure", "file_size"]

_LONGEST_REASON = 60
_WIDE = 100
"""Columns from which the line of a file has its type."""
_WIDEST_NAME = 40
_AT_ONCE = 500
"""Files that are looked up in the lake together: one by one, thousands would take a while."""
_FAILED = ("name", "store", "kind", "shape", "dtype", "source_bytes", "stored_bytes", "seconds")


def file_size(path: Path) -> int:
    """Return the bytes of a file or of all files below a folder; 0 where it cannot be seen."""
    from stemzarr.storage.fingerprints import state_of

    try:
        return state_of(path, path.parent).size
    except OSError:
        return 0


@dataclass(slots=True)
class Outcome:
    """What became of the files of one command."""

    report: Report
    """Where it is said."""
    width: int = 0
    """Width of the column of names."""
    ingested: list[Ingested] = field(default_factory=list)
    """Files that were written."""
    known: int = 0
    """Files that were in the lake before."""
    copies: dict[str, str] = field(default_factory=dict)
    """Name of the entry for each file that is a copy of its source."""
    failed: dict[Path, str] = field(default_factory=dict)
    """Why a file was not ingested, in a few words."""
    truncated: list[Path] = field(default_factory=list)
    """Those of them that end early, and can be salvaged."""
    noted: list[str] = field(default_factory=list)
    """Entries with notes that wait for ``show``."""

    def add(self, path: Path, result: Ingested, lake: Lake, *, alone: bool) -> None:
        """Take the result of a file, and print its line.

        Parameters
        ----------
        path
            The file.
        result
            What became of it.
        lake
            Where its entry is.
        alone
            Whether it is the only file, so that all of its notes are shown at once.
        """
        # A copy has a note, and of a file that was there all is known: of thousands, none is read.
        entry = lake[result.name] if result.notes else None
        is_copy = entry is not None and result.status == "unchanged" and _is_copy(entry, path)
        if result.status != "unchanged":
            self.ingested.append(result)
        elif is_copy:
            self.copies[path.name] = result.name
        else:
            self.known += 1
        # A note of the store waits for `show`, unless it is the only file; that on a copy is said.
        waiting = () if alone or entry is None else tuple(entry.source.get("notes") or ())
        if result.status != "unchanged" and any(note in waiting for note in result.notes):
            self.noted.append(result.name)
        shown = [note for note in result.notes[int(is_copy) :] if note not in waiting]
        if entry is not None and result.status != "unchanged":
            shown = [*_recovered(entry), *shown]
        record = result.json()
        copied = path.name if is_copy else None
        self.report.result(record, lambda: self._draw(record, shown, copied, alone=alone))

    def fail(self, path: Path, error: Exception) -> None:
        """Take the error of a file, which was printed already."""
        reason = error.message if isinstance(error, StemzarrError) else str(error)
        if isinstance(error, TruncatedFileError):
            self.truncated.append(path)
            reason = "truncated"
        elif isinstance(error, CorruptFileError):
            reason = "damaged, or not what its name says"
        if len(reason) > _LONGEST_REASON:
            reason = f"{reason[:_LONGEST_REASON].rstrip()} …"
        self.failed[path] = reason

    def _draw(
        self, found: Mapping[str, Any], notes: list[str], copied: str | None, *, alone: bool
    ) -> None:
        if copied is not None:
            self.report.say(f"{copied}  is a copy of {found['name']}")
        else:
            name = f"{found['name']:<{min(self.width, _WIDEST_NAME)}}"
            width = self.report.terminal_width
            brief = width is not None and width < _WIDE
            self.report.say_fitting([name, *_describe(found, brief=brief)])
            if alone and found["status"] != "unchanged":
                self.report.say(f"  in {format_path(found['store'])}")
        for note in notes:
            self.report.say_wrapped(f"  note: {note}", fg="yellow")

    def summarize(self) -> None:
        """Print what became of all files, in one sentence, and what to do next."""
        counts = []
        if self.ingested:
            counts.append(f"{len(self.ingested)} ingested")
        if self.known:
            was = "was" if self.known == 1 else "were"
            counts.append(f"{self.known} {was} in the lake already")
        if self.copies:
            is_what = "is a copy" if len(self.copies) == 1 else "are copies"
            of = shorten_list(list(dict.fromkeys(self.copies.values())))
            counts.append(f"{len(self.copies)} {is_what} of {of}")
        if self.failed:
            reasons = [f"{path.name} ({why})" for path, why in self.failed.items()]
            counts.append(f"{len(self.failed)} failed: {shorten_list(reasons)}")
        said = [", ".join(counts)]
        if self.ingested:
            before = sum(result.source_bytes for result in self.ingested)
            after = sum(result.stored_bytes for result in self.ingested)
            said.append(f"{format_bytes(before)} → {format_bytes(after)}")
        if self.noted:
            has = "has notes" if len(self.noted) == 1 else "have notes"
            said.append(f"{format_count(len(self.noted), 'entry')} {has}: 'stemzarr show NAME'")
        if self.ingested:
            said.append("next: stemzarr explore")
        elif self.known or self.copies:
            said.append("next: stemzarr ls")
        self.report.say()
        self.report.say_wrapped(" · ".join(said))


def _is_copy(entry: Entry, path: Path) -> bool:
    """Return whether the file that an entry was made from is at another path."""
    origin = entry.source.get("path")
    if origin is None:
        return bool(entry.source.get("name") != path.name)
    return origin != str(path) and Path(origin).exists()


def _recovered(entry: Entry) -> list[str]:
    """Say how much of a source that ends early was recovered."""
    found = count_recovered(entry.path) if entry.facts.get("complete") == 0 else None
    return [] if found is None else [f"recovered {format_recovered(found)}"]


def _describe(found: Mapping[str, Any], *, brief: bool) -> list[str]:
    """Return what is said of a file, the most important first; briefly, without its type."""
    ratio = found["source_bytes"] / max(1, found["stored_bytes"])
    size = f"{format_bytes(found['source_bytes'])} → {format_bytes(found['stored_bytes'])}"
    what = f"{found['kind']} {format_shape(found['shape'])}"
    what += "" if brief else f" {found['dtype']}"
    said = [f"{found['status']:<9}", what]
    if found["status"] == "unchanged":
        return said
    return [*said, f"{size} ({ratio:.1f}×)", format_seconds(found["seconds"])]


@dataclass(slots=True)
class Run:
    """One call of the command."""

    report: Report
    """Where it is said."""
    lake: Lake
    """Where the files go."""
    options: IngestOptions
    """How they are stored."""
    name: str | None
    """Name of the entry, of a single file."""
    facts_from: Path | None
    """A file of the same session, which knows what others lack."""
    believe: Callable[[str, str], bool] | None
    """Is asked whether a folder was moved to another one."""
    steady: Steady
    """Waits for hours, and for shares that went away."""

    def run(self, sources: Sequence[Path]) -> None:
        """Ingest files, ask once whether those that end early are salvaged, and sum up."""
        sources = list(map(as_path, sources))
        outcome = self.ingest(sources)
        if outcome.truncated and not self.options.read.salvage:
            outcome = self.salvage(sources, outcome)
        if len(sources) > 1:
            outcome.summarize()

    def ingest(self, sources: Sequence[Path], outcome: Outcome | None = None) -> Outcome:
        """Ingest files under one display, with a line for each."""
        folders = count_folders(sources)
        width = max(len(expected_name(path, folders[path])) for path in sources)
        outcome = outcome or Outcome(self.report, width)
        sizes = [file_size(path) for path in sources]
        alone = len(sources) == 1
        known = self._find_unchanged(sources)
        if len(sources) - len(known) > 1 and not self.report.as_json:
            self._announce({p: n for p, n in zip(sources, sizes, strict=True) if p not in known})
        with self.report.progress("ingesting") as bar, self.lake.together():
            for number, (path, part) in enumerate(
                zip(sources, split_progress(bar, sizes), strict=True), start=1
            ):
                if path in known:
                    outcome.add(path, known[path], self.lake, alone=alone)
                    continue
                count = "" if alone else f"{number} of {len(sources)} "
                self.report.describe(f"{count}{path.name}")
                self._ingest_one(path, folders[path], part, outcome, alone=alone)
        return outcome

    def _announce(self, sizes: Mapping[Path, int]) -> None:
        """Say what new files need, before the first is begun."""
        need = describe_need(sizes, self.lake.path, self.options, self.steady.pace.bandwidth)
        if need:
            self.report.note(need)

    def _find_unchanged(self, paths: Sequence[Path]) -> dict[Path, Ingested]:
        """Return what becomes of files that need not be looked into."""
        if self.name is not None or self.facts_from is not None:
            return {}
        found: dict[Path, Ingested] = {}
        # Where the index does not answer, each file is tried by itself, and says so.
        with contextlib.suppress(StemzarrError):
            for start in range(0, len(paths), _AT_ONCE):
                some = paths[start : start + _AT_ONCE]
                found |= find_unchanged(self.lake, some, self.options)
        return found

    def _ingest_one(
        self, path: Path, folders: int, part: Progress | None, outcome: Outcome, *, alone: bool
    ) -> None:
        with self.report.attempt(failure(self.name or path.stem)) as failed:
            options = self.options
            if self.facts_from is not None:
                options = complete_options(path, options, self.facts_from)
            ingest = functools.partial(
                self.lake.ingest,
                path,
                name=self.name,
                folders=folders,
                options=options,
                progress=self.steady.pace.follow(part),
                believe=self.believe,
            )
            result = self.steady.do(ingest, path)
            outcome.add(path, result, self.lake, alone=alone)
        for error in failed:
            outcome.fail(path, error)

    def salvage(self, sources: Sequence[Path], outcome: Outcome) -> Outcome:
        """Say what a salvage would recover, ask once whether to, and do it."""
        can = {}
        for path in outcome.truncated:
            found = count_recoverable(path, self.options.read, self.facts_from)
            how = "--salvage" if found else "--salvage with --scan-shape Y,X or --facts-from FILE"
            much = f"{found[0]:,} of {found[1]:,} patterns" if found else "what is complete"
            outcome.failed[path] = f"truncated; {how} recovers {much}"
            if found:
                can[path] = much
        is_watched = sys.stdin.isatty() and not (self.report.as_json or self.report.quiet)
        listed = shorten_list([f"{path.name} ({much})" for path, much in can.items()])
        if not (can and is_watched) or not self.report.ask(
            f"{listed} can be recovered", "Ingest what is there?"
        ):
            return outcome
        read = dataclasses.replace(self.options.read, salvage=True)
        again = dataclasses.replace(self, options=dataclasses.replace(self.options, read=read))
        for path in can:
            outcome.truncated.remove(path)
            del outcome.failed[path]
        before, self.report.status = self.report.status if outcome.failed else 0, 0
        outcome = again.ingest(list(can), outcome if len(sources) > 1 else None)
        self.report.status = max(before, self.report.status)
        return outcome


def failure(name: str) -> dict[str, Any]:
    """Return what is reported of a file that could not be ingested, as JSON."""
    return {**dict.fromkeys(_FAILED), "name": name, "status": "failed", "notes": []}
