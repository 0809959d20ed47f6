"""What is in a folder, and what an ingest of it would do: one table, and nothing is written."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stemzarr.errors import StemzarrError, TruncatedFileError
from stemzarr.options import IngestOptions, as_path
from stemzarr.registry import read_source
from stemzarr_catalog.known import NO_HEADER, Given
from stemzarr_catalog.naming import count_folders, expected_name
from stemzarr_catalog.opening import find_lake, is_lake, open_lake
from stemzarr_catalog.recognising import find_known, find_unread, looks_like
from stemzarr_cli.batch import file_size
from stemzarr_cli.estimate import BYTES_A_STORE
from stemzarr_cli.parts import split_progress
from stemzarr_cli.report import Report
from stemzarr_cli.tables import Listing
from stemzarr_cli.text import format_bytes, format_count, format_shape

if TYPE_CHECKING:
    from stemzarr.model import Source
    from stemzarr_catalog import Lake

__all__ = ["Describe", "Row", "look_at", "show_survey"]

Describe = Callable[["Source"], Mapping[str, Any]]
"""Makes the JSON line of a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One file."""

    path: Path
    """Where it is."""
    size: int
    """Its bytes."""
    state: str
    """``new``, ``known``, ``copy``, ``truncated`` or ``unreadable``."""
    entry: str = ""
    """The entry that it is, that it looks like, or that it would become."""
    kind: str = ""
    """What its main document is."""
    shape: tuple[int, ...] = ()
    """Shape of that."""
    space: int = 0
    """About how many bytes its store will take."""


@dataclass(slots=True)
class _Survey:
    """Files seen so far, by which copies among them are found."""

    lake: Lake | None
    options: IngestOptions
    folders: Mapping[Path, int]
    seen: dict[tuple[int, str, str], str] = field(default_factory=dict)

    def look(self, path: Path, size: int) -> tuple[Row, Source | None]:
        """Return the row of a file, and the file; None of one whose patterns were recovered.

        Raises
        ------
        StemzarrError
            It cannot be read, or is not complete, and the lake does not have it.
        """
        try:
            return self._read(path, size)
        except TruncatedFileError:
            if self.lake is None or self.options.overwrite:
                raise
            match = find_unread(self.lake, [path]).get(path)
            if match is None:
                raise
        entry = match.entries[0]
        return Row(
            path=path,
            size=size,
            state="known",
            entry=entry.name,
            kind=entry.kind,
            shape=entry.shape,
        ), None

    def _read(self, path: Path, size: int) -> tuple[Row, Source]:
        source = read_source(path, self.options.read)
        if not (source.complete or self.options.read.salvage):
            why = "; ".join(source.notes) or "holds less than it declares"
            hint = "copy it again, or keep what is there with --salvage"
            raise TruncatedFileError(why, path=path, hint=hint)
        state, entry = self._recognise(source)
        row = Row(
            path=path,
            size=size,
            state=state,
            entry=entry,
            kind=source.document.kind,
            shape=source.document.shape,
            space=self._space(source) if state == "new" else 0,
        )
        return row, source

    def _recognise(self, source: Source) -> tuple[str, str]:
        given = Given(source)
        if self.lake is not None:
            match = find_known(self.lake, given)
            if match is not None:
                return "known", match.entries[0].name
            alike = looks_like(self.lake, given)
            if alike:
                return "copy", alike[0].name
        name = expected_name(source.path, self.folders[source.path])
        key = (source.size, given.header, given.sample)
        first = self.seen.setdefault(key, name) if given.header != NO_HEADER else name
        return ("new" if first == name else "copy"), first

    def _space(self, source: Source) -> int:
        from stemzarr.store import expected_bytes, plan_store

        return BYTES_A_STORE + expected_bytes(source, plan_store(source, self.options))


def look_at(path: Path, where: Path | None, options: IngestOptions) -> tuple[Row, Source | None]:
    """Return what one file is and would become, and the file; None where it was salvaged.

    Parameters
    ----------
    path
        The file.
    where
        The lake; it need not exist.
    options
        How it would be ingested.

    Raises
    ------
    StemzarrError
        It cannot be read, or is not complete, and the lake does not have it.
    """
    path = as_path(path)
    survey = _Survey(_open_for_reading(find_lake(where)), options, count_folders([path]))
    return survey.look(path, file_size(path))


def _open_for_reading(folder: Path) -> Lake | None:
    return open_lake(folder, read_only=True) if is_lake(folder) else None


def show_survey(
    report: Report,
    paths: Sequence[Path],
    where: Path | None,
    options: IngestOptions,
    describe: Describe,
) -> None:
    """Print one table of files: what they are, whether the lake has them, the space they need.

    Parameters
    ----------
    report
        Where it is said; with ``--json`` a line a file, that of `describe` with ``state``.
    paths
        The files.
    where
        The lake; it need not exist.
    options
        How they would be ingested.
    describe
        Makes the JSON line of a file.
    """
    paths = list(map(as_path, paths))
    folder = find_lake(where)
    survey = _Survey(_open_for_reading(folder), options, count_folders(paths))
    rows: list[Row] = []
    errors: list[Exception] = []
    for row, line, error in _look(report, survey, paths, describe):
        rows.append(row)
        if error is not None:
            errors.append(error)
        if report.as_json:
            report.result({**line, "state": row.state}, lambda: None)
    if not report.as_json:
        report.show(_table(rows))
        report.say()
        report.say_wrapped(_sum_up(rows, folder))
    for error in errors:
        with report.attempt():
            raise error


def _look(
    report: Report, survey: _Survey, paths: Sequence[Path], describe: Describe
) -> Iterator[tuple[Row, Mapping[str, Any], Exception | None]]:
    sizes = [file_size(path) for path in paths]
    with report.progress("looking at") as bar:
        parts = split_progress(bar, sizes)
        for number, (path, size, _) in enumerate(zip(paths, sizes, parts, strict=True), start=1):
            report.describe(f"{number} of {len(paths)} {path.name}")
            try:
                row, source = survey.look(path, size)
                line = _line(row, source, describe) if report.as_json else {}
            except StemzarrError as error:
                state = "truncated" if isinstance(error, TruncatedFileError) else "unreadable"
                failed = Row(path=path, size=size, state=state)
                yield failed, {"path": str(path), "error": str(error)}, error
            else:
                yield row, line, None


def _line(row: Row, source: Source | None, describe: Describe) -> Mapping[str, Any]:
    if source is not None:
        return describe(source)
    return {"path": str(row.path), "name": row.entry, "error": None}


_WORDS = {"known": "in the lake", "copy": "looks like"}


def _table(rows: Sequence[Row]) -> Listing:
    above = os.path.commonpath([row.path.parent for row in rows])
    cells = [
        {
            "file": row.path.relative_to(above).as_posix(),
            "kind": row.kind,
            "shape": format_shape(row.shape),
            "size": format_bytes(row.size),
            "state": _WORDS.get(row.state, row.state),
            "entry": row.entry,
            "store": f"≈ {format_bytes(row.space)}" if row.space else "",
        }
        for row in rows
    ]
    return Listing(cells, dispensable=("store", "entry", "shape", "kind", "size"))


def _sum_up(rows: Sequence[Row], lake: Path) -> str:
    """Say in one sentence what would be ingested, and the space that is needed and there."""
    words = {
        "new": "new",
        "known": "in the lake already",
        "copy": "that look like copies",
        "truncated": "truncated",
        "unreadable": "unreadable",
    }
    counts = {state: sum(row.state == state for row in rows) for state in words}
    if counts["copy"] == 1:
        words["copy"] = "that looks like a copy"
    listed = ", ".join(f"{count} {words[state]}" for state, count in counts.items() if count)
    size = format_bytes(sum(row.size for row in rows))
    space = sum(row.space for row in rows)
    existing = next(folder for folder in (lake, *lake.parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    needed = f" · about {format_bytes(space)} needed, {format_bytes(free)} free" if space else ""
    return f"{format_count(len(rows), 'file')}, {size}: {listed}{needed}"
