"""``stemzarr publish``: copies a store or a lake, checked, to where others read it."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stemzarr.errors import OptionError, UnsupportedDataError
from stemzarr.options import PublishOptions
from stemzarr.storage.address import RemotePath, as_source
from stemzarr_cli.command import Command, lake_option
from stemzarr_cli.completing import complete_query, complete_sources
from stemzarr_cli.parts import split_progress
from stemzarr_cli.places import find_source
from stemzarr_cli.report import Report
from stemzarr_cli.text import format_bytes, format_count, format_seconds

if TYPE_CHECKING:
    from stemzarr.store import Publication
    from stemzarr_catalog import Lake

_DONE = {
    "published": "published",
    "resumed": "resumed",
    "replaced": "replaced",
    "unchanged": "unchanged",
}
_PLANNED = {
    "published": "would be published",
    "resumed": "would be resumed",
    "replaced": "would be replaced",
    "unchanged": "is there",
}


@click.command(cls=Command)
@click.argument("source", required=False, shell_complete=complete_sources)
@click.argument("dest", required=False)
@click.option(
    "--query",
    metavar="QUERY",
    shell_complete=complete_query,
    help="Publish what a query finds, as a lake, or into one that is at DEST.",
)
@click.option(
    "--redact",
    is_flag=True,
    help="Publish neither operator, specimen, session, paths nor remarks; the source stays.",
)
@click.option("--no-notes", is_flag=True, help="Publish no tags, remarks and fields of a lake.")
@click.option("--dry-run", is_flag=True, help="Say what would be sent, and send nothing.")
@click.option(
    "--overwrite",
    is_flag=True,
    help="Replace another version of a store at DEST; readers find none meanwhile.",
)
@click.option(
    "--threads", type=int, default=8, metavar="N", show_default=True, help="Files sent at once."
)
@click.option(
    "--sha256", is_flag=True, help="List the SHA-256 of every file of a published lake, too."
)
@click.option("--no-sync", is_flag=True, help="Trust the system to write to disk in time.")
@lake_option
@click.pass_obj
def publish(
    report: Report,
    /,
    *,
    source: str | None,
    dest: str | None,
    query: str | None,
    lake: Path | None,
    **chosen: Any,  # noqa: ANN401 - fields of PublishOptions
) -> None:
    """Copy a store or a lake, checked, to where others read it.

    SOURCE is a store, a name in the lake, or the folder of a lake; with --query, what that finds
    in the lake. Every file is compared with the manifest as it is sent. A store at DEST is absent
    until it is complete, whatever interrupts the command; the same command again sends the rest.
    """
    with_notes = not chosen.pop("no_notes")
    chosen["sync"] = not chosen.pop("no_sync")
    options = PublishOptions(**chosen)
    report.resume = "Run the same command again to send the rest"
    if query is not None and dest is None:
        source, dest = None, source
    if dest is None or (source is None and query is None):
        raise OptionError("needs SOURCE and DEST, or --query and DEST", hint="stemzarr publish -h")
    found = _find_lake(source, query, lake)
    if found is not None:
        _publish_lake(report, found, dest, query or "", (options, with_notes))
    elif source is not None:
        for name, given in (("--no-notes", not with_notes), ("--sha256", options.sha256)):
            if given:
                hint = "name a lake, or what --query finds in one"
                raise OptionError(f"{name} does not apply to a single store", hint=hint)
        address = as_source(source)
        is_far = isinstance(address, RemotePath)
        path = address if is_far else find_source(source, lake).path
        _publish_store(report, path, dest, options)


def _find_lake(source: str | None, query: str | None, lake: Path | None) -> Lake | None:
    """Return the lake that is published; None where SOURCE is a store."""
    from stemzarr_catalog import is_lake, open_lake

    if source is None:
        return open_lake(lake)
    path = as_source(source)
    if not isinstance(path, RemotePath) and is_lake(path):
        return open_lake(path)
    if query is not None:
        raise OptionError("--query needs a lake", path=path, hint="name the folder of one")
    return None


def _publish_store(report: Report, source: Path, dest: str, options: PublishOptions) -> None:
    from stemzarr.registry import is_store
    from stemzarr.store import publish_store
    from stemzarr_catalog import is_lake

    target = as_source(dest)
    if source.exists() and not is_store(source):
        hint = "'stemzarr ingest' makes a store of a file, which can be published"
        raise UnsupportedDataError("is not a store", path=source, hint=hint)
    if not isinstance(target, RemotePath) and is_lake(target):
        hint = f"--query name={source.stem} adds it to that lake"
        raise OptionError("is a lake, not a place for a single store", path=target, hint=hint)
    with report.progress(f"publishing {source.name}") as progress:
        done = publish_store(source, target, options, progress=progress)
    _tell(report, source.stem, done, options)
    _warn(report, [source.stem] if done.names else [], done.cautions)


def _publish_lake(
    report: Report, lake: Lake, dest: str, query: str, chosen: tuple[PublishOptions, bool]
) -> None:
    from stemzarr_catalog.citation import CITATION, read_citation
    from stemzarr_catalog.publishing import LEFT_OUT, publish_lake

    options, with_notes = chosen
    entries = lake.search(query)
    named: list[str] = []
    cautions: dict[str, None] = {}
    there = 0
    with report.progress(f"publishing {format_count(len(entries), 'entry')}") as progress:
        parts = split_progress(progress, [entry.stored_bytes for entry in entries])
        for one in publish_lake(
            lake, dest, query, options, notes=with_notes, begin=lambda _: next(parts)
        ):
            if one.error is not None:
                report.result(one.json(), lambda: None)
                with report.attempt():
                    raise one.error
            elif one.publication is not None:
                there += 1
                cautions |= dict.fromkeys(one.publication.cautions)
                named += [one.name] if one.publication.names else []
                _tell(report, one.name, one.publication, options, one.json())
                for what in one.left_out:
                    report.note(f"{report.name}: note: {one.name}: not published: {what}")
    for name, problem in lake.problems.items():
        report.note(f"{report.name}: note: {name} cannot be read and is not published: {problem}")
    report.note(f"{report.name}: note: {LEFT_OUT}")
    if read_citation(lake.path) is None:
        hint = "'stemzarr catalog describe' asks for title, creators and licence"
        report.note(f"{report.name}: note: it cannot be cited without {CITATION} ({hint})")
    _warn(report, named, cautions)
    if there and not options.dry_run:
        report.say(f"{as_source(dest)}  {format_count(there, 'entry')}  with a catalog")


def _tell(
    report: Report,
    name: str,
    done: Publication,
    options: PublishOptions,
    record: dict[str, Any] | None = None,
) -> None:
    """Give the result of one store, and on stderr what is not published of it."""
    said = {**(record or {"name": name, **done.json()}), "dry_run": options.dry_run}
    report.result(said, functools.partial(_draw, report, name, done, options))
    for what in done.left_out:
        report.note(f"{report.name}: note: {name}: not published: {what}")
    for slug in done.redaction.left if done.redaction is not None else ():
        report.note(f"{report.name}: note: {name}: the document {slug!r} keeps its name")


def _draw(report: Report, name: str, done: Publication, options: PublishOptions) -> None:
    what = (_PLANNED if options.dry_run else _DONE)[done.status]
    sent = f"{format_count(done.files, 'file')}, {format_bytes(done.nbytes)}"
    kept = f"{done.kept} there already" if done.kept else ""
    spent = "" if options.dry_run else f"in {format_seconds(done.seconds)}"
    report.say_fitting([f"{name}  {what}", sent, kept, spent])


def _warn(report: Report, names: list[str], cautions: Iterable[str]) -> None:
    """Say which names are published, and what the server does not guard against."""
    for caution in cautions:
        report.note(f"{report.name}: note: {caution}")
    if names:
        which = f"{names[0]} names" if len(names) == 1 else f"{len(names)} stores name"
        what = "operator, specimen, session or the folder of its file; --redact leaves that out"
        report.note(f"{report.name}: note: {which} {what}")
