"""``stemzarr redact``: removes from a store who made it, of what, and where it was kept."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stemzarr.errors import OptionError
from stemzarr_cli.command import Command, lake_option
from stemzarr_cli.completing import complete_sources
from stemzarr_cli.places import find_source
from stemzarr_cli.report import Report

if TYPE_CHECKING:
    from stemzarr_catalog import Entry


@click.command(cls=Command)
@click.argument(
    "names", nargs=-1, required=True, metavar="NAME...", shell_complete=complete_sources
)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@lake_option
@click.pass_obj
def redact(report: Report, /, *, names: tuple[str, ...], yes: bool, lake: Path | None) -> None:
    """Remove from a store who made it, of what, and where.

    As 'ingest --redact' does for a new one: operator, specimen, session, paths, remarks and
    printer records go from facts, tags, header, notes, index and catalog.yaml, and these names
    wherever else they are found. Pixels, calibration and the name of the file stay, also text
    that is part of a picture. What is removed cannot be rebuilt: keep the original, or a copy of
    the store, where it is wanted. NAME is a name in the lake or the path of a store.
    """
    for name in names:
        with report.attempt():
            place = find_source(name, lake)
            if not (yes or _confirmed(place.path)):
                report.note(f"{place.path.stem} stays as it is")
                continue
            if place.entry is not None and place.lake is not None:
                done = place.lake.redact(place.entry.name)
            else:
                from stemzarr.store import redact_store

                done = redact_store(place.path)
            record = {
                "name": place.path.stem,
                "status": "redacted" if done.changed else "unchanged",
                "facts": list(done.facts),
                "tags": done.tags,
                "left": list(done.left),
            }
            what = ", ".join((*done.facts, f"{done.tags} tags and paths"))
            said = f"redacted: {what}" if done.changed else "holds nothing personal"
            report.result(record, functools.partial(report.say, f"{place.path.stem}  {said}"))
            for slug in done.left:
                hint = "to change it, ingest the original again with --redact --overwrite"
                report.note(f"the document {slug!r} keeps its name; {hint}")
            if place.entry is not None and _has_more(place.entry):
                hint = f"'stemzarr rename {place.entry.name} NEW' gives it another"
                report.note(f"{place.entry.name} keeps its name, which may be personal: {hint}")
            report.note("exports and galleries that were made before are not changed")


def _has_more(entry: Entry) -> bool:
    """Return whether the name of an entry is not that of its file, but one with folders in it."""
    from stemzarr.storage.acquisitions import acquisition_name
    from stemzarr_catalog.names import safe_name

    stem = safe_name(acquisition_name(Path(entry.source.get("name") or "")))
    return not entry.name.startswith(stem)


def _confirmed(store: Path) -> bool:
    """Ask the person, who must be there to be asked."""
    if not sys.stdin.isatty():
        msg = "redacting cannot be undone"
        raise OptionError(msg, path=store, hint="use --yes without a terminal")
    asked = f"What is removed cannot be rebuilt. Redact {store.stem} for good ({store})?"
    return click.confirm(asked, err=True)
