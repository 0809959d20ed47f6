"""Commands that change many entries: those that a query finds, after a preview and a question."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from stemzarr.errors import OptionError, SourceNotFoundError
from stemzarr_cli.completing import complete_query
from stemzarr_cli.places import Place
from stemzarr_cli.report import Report

__all__ = ["confirm_many", "find_entries", "query_options"]


def query_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options ``query`` and ``yes``."""

    @functools.wraps(function)
    def wrapped(*args: Any, **given: Any) -> Any:  # noqa: ANN401 - whatever the command takes
        return function(*args, **given)

    query = click.option(
        "--query",
        metavar="QUERY",
        shell_complete=complete_query,
        help="All entries that 'ls QUERY' finds.",
    )
    yes = click.option("--yes", "-y", is_flag=True, help="Do not ask.")
    return query(yes(wrapped))


def find_entries(query: str, lake: Path | None) -> list[Place]:
    """Return the entries that a query finds, sorted by name.

    Raises
    ------
    SourceNotFoundError
        It finds none.
    """
    from stemzarr_catalog import open_lake

    opened = open_lake(lake)
    entries = opened.search(query)
    if not entries:
        said = "; ".join(opened.unknown_values(query)) or "'stemzarr ls' shows what there is"
        raise SourceNotFoundError(f"no entry matches {query!r}", path=opened.path, hint=said)
    return [Place(path=entry.path, entry=entry, lake=opened) for entry in entries]


def confirm_many(report: Report, preview: Sequence[str], question: str, *, yes: bool) -> bool:
    """Show what would be done, and ask the person, who must be there to be asked.

    Raises
    ------
    OptionError
        Standard input is not a terminal.
    """
    for line in preview:
        report.note(line)
    if yes:
        return True
    if not sys.stdin.isatty() or report.as_json:
        raise OptionError(f"would ask: {question}", hint="use --yes without a terminal")
    if report.ask("", question):
        return True
    report.note("nothing was changed")
    return False
