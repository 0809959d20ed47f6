"""``stemzarr tag``: what people say about entries."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stemzarr.errors import EntryNotFoundError, OptionError
from stemzarr_cli.command import Command, lake_option
from stemzarr_cli.completing import complete_names, complete_tags
from stemzarr_cli.parameters import ASSIGNMENT, gather
from stemzarr_cli.report import Report
from stemzarr_cli.selecting import confirm_many, find_entries, query_options
from stemzarr_cli.text import format_count, format_number, shorten_list

if TYPE_CHECKING:
    from stemzarr_catalog import Entry, Lake


@click.command(cls=Command)
@click.argument("names", nargs=-1, metavar="NAME...", shell_complete=complete_names)
@query_options
@click.option(
    "--add",
    "-a",
    multiple=True,
    metavar="TAG",
    shell_complete=complete_tags,
    help="Add a tag; may be repeated.",
)
@click.option(
    "--remove",
    "-r",
    multiple=True,
    metavar="TAG",
    shell_complete=complete_tags,
    help="Remove a tag.",
)
@click.option("--remark", metavar="TEXT", help="Set the remark; an empty text removes it.")
@click.option(
    "--set",
    "fields",
    type=ASSIGNMENT,
    multiple=True,
    metavar="FIELD=VALUE",
    help="Set a field of your own, which queries know like any other.",
)
@click.option("--unset", multiple=True, metavar="FIELD", help="Remove a field of your own.")
@lake_option
@click.pass_obj
def tag(  # noqa: PLR0913 - one argument for each option
    report: Report,
    /,
    *,
    names: tuple[str, ...],
    query: str | None,
    yes: bool,
    add: tuple[str, ...],
    remove: tuple[str, ...],
    remark: str | None,
    fields: tuple[tuple[str, Any], ...],
    unset: tuple[str, ...],
    lake: Path | None,
) -> None:
    """Add tags, remarks and fields of your own to entries.

    They are kept beside the stores, survive a rebuild, and are found by 'stemzarr ls'. Without
    options the present ones are shown. With --query, all entries that it finds are changed, after
    a question.
    """
    from stemzarr_catalog import open_lake

    given = gather(fields)
    both = {*add} & {*remove} or {*given} & {*unset}
    if both:
        msg = f"{', '.join(sorted(both))} cannot be both added and removed"
        raise OptionError(msg, hint="choose one of the two")
    if bool(names) == (query is not None):
        raise OptionError("needs NAME..., or --query", hint="'stemzarr ls' lists the names")
    opened = open_lake(lake)
    own = {**dict.fromkeys(unset), **given}
    changes = add or remove or own or remark is not None
    if query is not None:
        names = tuple(place.path.stem for place in find_entries(query, lake))
        question = f"Tag {format_count(len(names), 'entry')}?"
        if changes and not confirm_many(report, [shorten_list(names)], question, yes=yes):
            return
    for name in names:
        with report.attempt():
            entry = _find(opened, name, None if changes else names[0])
            if changes:
                entry = opened.tag(name, *add, remove=remove, remark=remark, fields=own)
            notes = entry.notes.json()
            report.result({"name": name, **notes}, functools.partial(_draw, report, name, notes))


def _find(lake: Lake, name: str, first: str | None) -> Entry:
    """Return an entry; a name that is none, behind one that is, was meant as a tag."""
    try:
        return lake[name]
    except EntryNotFoundError as error:
        if first in lake:
            hint = f"to add it as a tag: stemzarr tag {first} --add {name}"
            raise EntryNotFoundError(error.message, path=error.path, hint=hint) from error
        raise


def _draw(report: Report, name: str, notes: Mapping[str, Any]) -> None:
    report.say(f"{name}  {', '.join(notes['tags']) or 'no tags'}")
    if notes["remark"]:
        report.say(f"  {notes['remark']}")
    for field, value in notes["fields"].items():
        report.say(f"  {field} = {format_number(value)}")
    for export in notes["exports"]:
        report.say(f"  exported to {export.get('dest')}")
