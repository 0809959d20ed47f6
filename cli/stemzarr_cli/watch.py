"""``stemzarr watch``: ingests what arrives in folders."""

from __future__ import annotations

import contextlib
import functools
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stemzarr.errors import OptionError
from stemzarr.options import IngestOptions
from stemzarr.storage.address import RemotePath
from stemzarr_catalog.wording import format_value
from stemzarr_cli.command import WORDS, Command, lake_option
from stemzarr_cli.integration import SERVICES, describe_service
from stemzarr_cli.live import serve_lake
from stemzarr_cli.parameters import PATH
from stemzarr_cli.report import Report
from stemzarr_cli.steady import pace_options
from stemzarr_cli.storing import store_options
from stemzarr_cli.text import format_path

if TYPE_CHECKING:
    from stemzarr_catalog.pace import Pace
    from stemzarr_catalog.watch import Watcher, WatchEvent


@click.command(cls=Command)
@click.argument("folders", nargs=-1, required=True, type=PATH, metavar="FOLDER...")
@click.option(
    "--settle",
    type=float,
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="How long a file must stay unchanged before it is read.",
)
@click.option(
    "--poll",
    type=float,
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="How often the folders are looked through.",
)
@click.option(
    "--retry",
    type=float,
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="When a failed file is tried again; later four times as long, and so on.",
)
@click.option(
    "--attempts",
    type=int,
    default=5,
    show_default=True,
    metavar="N",
    help="Attempts after which a file is given up until it changes.",
)
@click.option("--explore", is_flag=True, help="Show the lake in the browser meanwhile.")
@click.option(
    "--service",
    type=click.Choice(SERVICES),
    help="Print what turns this command into a system service, and end.",
)
@store_options
@lake_option
@click.pass_obj
@pace_options
def watch(  # noqa: PLR0913 - one argument for each option
    report: Report,
    /,
    *,
    folders: tuple[Path, ...],
    settle: float,
    poll: float,
    retry: float,
    attempts: int,
    explore: bool,
    service: str | None,
    options: IngestOptions,
    pace: Pace,
    lake: Path | None,
) -> None:
    """Ingest what arrives in folders.

    Files below the folders are taken when they have stayed unchanged for a while and hold all that
    they declare, never half-written. Ctrl-C ends it; a restart reads nothing again.
    """
    if service is not None:
        _print_service(report, service, folders, lake)
        return
    from stemzarr_catalog.opening import find_lake, lake_to_fill
    from stemzarr_catalog.watch import WatchOptions
    from stemzarr_catalog.watch import watch as watch_folders

    place = find_lake(lake)
    if isinstance(place, RemotePath):
        hint = "watch into a lake here, and 'stemzarr publish' that, or 'stemzarr ingest' into it"
        raise OptionError("watch needs a lake on this machine", path=place, hint=hint)
    patience = WatchOptions(settle_s=settle, poll_s=poll, retry_s=retry, attempts=attempts)
    report.resume = "Run the same command again to resume"
    with contextlib.ExitStack() as stack:
        opened = stack.enter_context(lake_to_fill(lake))
        if explore:
            stack.enter_context(serve_lake(report, opened.path))
        bar = stack.enter_context(report.progress("watching"))
        watched = ", ".join(map(format_path, folders))
        report.note(f"watching {watched}, ingesting into {format_path(opened.path)}; Ctrl-C stops")
        for event in watch_folders(
            opened,
            folders,
            options=options,
            patience=patience,
            pace=pace,
            progress=bar,
            looked=functools.partial(_describe, report),
        ):
            report.result(event.json(), functools.partial(_draw, report, event))


def _print_service(report: Report, system: str, folders: Sequence[Path], lake: Path | None) -> None:
    """Print the command as a service, with all of its options and absolute paths."""
    from stemzarr_catalog.opening import find_lake

    absolute = {str(folder): str(folder.absolute()) for folder in folders}
    place = find_lake(lake).absolute()
    words, given = ["watch"], list(click.get_current_context().meta[WORDS])
    while given:
        word = given.pop(0)
        if word in ("--service", "--lake"):
            given.pop(0)
        elif not word.startswith(("--service=", "--lake=")):
            words.append(absolute.get(word, word))
    words += ["--lake", str(place)]
    said = describe_service(system, words, [*map(Path, absolute.values()), place])
    report.result({"service": system, "text": said}, lambda: click.echo(said, nl=False))


def _describe(report: Report, watcher: Watcher) -> None:
    """Say in the display how many files grow, wait, or are tried again, and name one."""
    waiting = watcher.waiting()
    words = {"grows": "growing", "waits": "waiting", "is tried again": "to be tried again"}
    counts: Counter[str] = Counter(waiting.values())
    said = ", ".join(f"{counts[state]} {word}" for state, word in words.items() if counts[state])
    first = f": {next(iter(waiting)).name}" if waiting else ""
    report.rest(f"{said or 'watching'}{first}")


def _draw(report: Report, event: WatchEvent) -> None:
    name = f" as {event.name}" if event.name else ""
    why = f": {event.error.removeprefix(f'{event.path}: ')}" if event.error else ""
    when = format_value("ingested", event.time)
    report.say_wrapped(f"{when}  {format_path(event.path)}  {event.status}{name}{why}")
