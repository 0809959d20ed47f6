"""``stemzarr ls``: the catalog, filtered."""

from __future__ import annotations

import functools
import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stemzarr.errors import OptionError
from stemzarr_cli.command import Command, any_lake_option
from stemzarr_cli.completing import complete_fields, complete_query
from stemzarr_cli.parameters import LIKE
from stemzarr_cli.report import Report
from stemzarr_cli.text import format_count, format_number

if TYPE_CHECKING:
    from stemzarr_catalog import Lake


@click.command(cls=Command)
@click.argument("query", nargs=-1, shell_complete=complete_query)
@click.option(
    "--facet",
    metavar="FIELD",
    shell_complete=complete_fields,
    help="Count the values of a field instead.",
)
@click.option("--sessions", is_flag=True, help="List days at an instrument instead of entries.")
@click.option(
    "--health",
    is_flag=True,
    help="Say how much the lake saves, what was verified when, what fails, what is there twice.",
)
@click.option(
    "--sort",
    metavar="FIELD",
    shell_complete=complete_fields,
    help="Sort by a field; -FIELD puts the largest first.",
)
@click.option(
    "--like",
    type=LIKE,
    help="Rank scans by their pattern that is most like the one at this position of SOURCE.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    metavar="N",
    help="List N entries, values or sessions at most; with --like, [default: 10].",
)
@any_lake_option
@click.pass_obj
def ls(  # noqa: PLR0913 - one argument for each option
    report: Report,
    /,
    *,
    query: tuple[str, ...],
    facet: str | None,
    sessions: bool,
    health: bool,
    sort: str | None,
    like: tuple[str, tuple[int, int]] | None,
    limit: int | None,
    lake: Path | None,
) -> None:
    """List the lake, or the part of it that a query finds.

    The newest come first, by the time of acquisition or else of ingest.
    QUERY is made of comparisons and words, all of which must hold:
    'beam_energy_keV>=200' kind=4d-stem SrTiO3. Quote what the shell would interpret.
    """
    from stemzarr_catalog import open_lake

    words = " ".join(query)
    kinds = {"--facet": facet is not None, "--sessions": sessions, "--health": health}
    kinds["--like"] = like is not None
    _check_kind([name for name, given in kinds.items() if given], words, sort, limit)
    opened = open_lake(lake)
    if health:
        from stemzarr_cli.health import show_health

        show_health(report, opened)
        return
    if facet is not None:
        _count(report, opened, facet, words, limit)
        return
    if sessions:
        _list_sessions(report, opened, words, limit)
        return
    if like is not None:
        from stemzarr_cli.alike import list_alike

        list_alike(report, opened, like, words, limit)
        return
    _list_entries(report, opened, words, sort, limit)


def _list_entries(
    report: Report, opened: Lake, words: str, sort: str | None, limit: int | None
) -> None:
    """Print the entries of a query, the newest first."""
    descending = sort in (None, "newest") or sort.startswith("-")
    field = sort.removeprefix("-") if sort else "newest"
    if report.as_json:
        for entry in opened.search(words, sort=field, limit=limit, descending=descending):
            report.result(entry.json(), lambda: None)
    elif found := opened.briefs(words, sort=field, limit=limit, descending=descending):
        from stemzarr_cli.tables import entries_table

        report.show(entries_table(found))
        if report.terminal_width is not None:
            report.say(_count_entries(opened, words, len(found)))
    else:
        _report_no_match(report, opened, words)
    for name, problem in opened.problems.items():
        report.note(f"{name} cannot be listed: {problem}")


def _check_kind(kinds: list[str], query: str, sort: str | None, limit: int | None) -> None:
    """Refuse what does not go together."""
    if len(kinds) > 1:
        raise OptionError(f"{' and '.join(kinds)} exclude each other", hint="give one of them")
    if sort is not None and kinds:
        msg = "--sort is for lists of entries"
        hint = "leave it out: the most frequent, the latest or the most alike come first"
        raise OptionError(msg, hint=hint)
    if kinds == ["--health"] and (query or limit is not None):
        raise OptionError("--health is about the whole lake", hint="give it alone")


def _count_entries(lake: Lake, query: str, listed: int) -> str:
    """Say how many entries are listed, of how many that were found, of how many there are."""
    there = format_count(len(lake), "entry")
    found = len(lake.names(query)) if query else len(lake)
    if found == len(lake):
        return f"the first {listed:,} of {there}" if listed < found else there
    return (
        f"the first {listed:,} of {found:,} that match, of {there}"
        if listed < found
        else (f"{found:,} of {there}")
    )


def _report_no_match(report: Report, lake: Lake, query: str) -> None:
    what = "No scans match" if query else "this lake is empty"
    report.note("; ".join((f"{lake.path}: {what}", *lake.unknown_values(query))))


def _count(report: Report, lake: Lake, field: str, query: str, limit: int | None) -> None:
    """Print how often each value of a field occurs, the most frequent first."""
    counts = dict(itertools.islice(lake.facets(field, query).items(), limit))
    if not counts and not report.as_json:
        _report_no_match(report, lake, query)
    names = {value: "(not known)" if value is None else format_number(value) for value in counts}
    width = max(map(len, names.values()), default=0)
    for value, count in counts.items():
        record = {"field": field, "value": value, "count": count}
        report.result(record, functools.partial(report.say, f"{names[value]:<{width}}  {count}"))


def _list_sessions(report: Report, lake: Lake, query: str, limit: int | None) -> None:
    """Print each day of one person at one instrument, the latest first."""
    found = [session.json() for session in lake.sessions(query)[:limit]]
    if report.as_json:
        for record in found:
            report.result(record, lambda: None)
    elif found:
        from stemzarr_cli.tables import sessions_table

        report.show(sessions_table(found))
    else:
        _report_no_match(report, lake, query)
