"""``stemzarr catalog describe``: who made the data of a lake, and who may use them how."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stemzarr.errors import OptionError, StemzarrError
from stemzarr_cli.command import Command, lake_option
from stemzarr_cli.report import Report

if TYPE_CHECKING:
    from stemzarr_catalog.citation import Citation

_CREATOR = "Family, Given; ORCID; AFFILIATION"


@click.command(cls=Command)
@click.option("--title", metavar="TEXT", help="What the data are called.")
@click.option(
    "--creator",
    "creators",
    multiple=True,
    metavar="NAME",
    help=f"Who made them, as '{_CREATOR}'; once for each, in the order of the citation.",
)
@click.option("--licence", metavar="NAME", help="Such as CC-BY-4.0, or the address of a licence.")
@click.option("--description", metavar="TEXT", help="What they are, in a few sentences.")
@click.option("--publisher", metavar="NAME", help="Who keeps them, such as Zenodo.")
@click.option("--doi", metavar="DOI", help="Their own, once they have one.")
@click.option("--keyword", "keywords", multiple=True, metavar="WORD", help="May be repeated.")
@click.option(
    "--funding", multiple=True, metavar="FUNDER", help="Who paid, as 'FUNDER; NUMBER OF GRANT'."
)
@click.option(
    "--related",
    multiple=True,
    metavar="DOI",
    help="What they belong to, as 'DOI; RELATION'. [default relation: IsSupplementTo]",
)
@lake_option
@click.pass_obj
def describe(report: Report, /, *, lake: Path | None, **given: Any) -> None:  # noqa: ANN401 - texts
    """Say who made the data of a lake, so that they can be cited.

    Title, creators and licence are asked for where they are not given; all is kept in lake.toml.
    'stemzarr publish' and 'stemzarr catalog export' write it in the form that data catalogues
    read. A value that is given again replaces the earlier one; without options, all is shown.
    """
    from stemzarr_catalog import open_lake
    from stemzarr_catalog.citation import CITATION, Citation, read_citation, write_citation

    opened = open_lake(lake)
    known = read_citation(opened.path)
    said = {name: value for name, value in given.items() if value}
    wanted = {**(known.json() if known is not None else {}), **dict(_read(said))}
    missing = [name for name in ("title", "creators", "licence") if name not in wanted]
    if missing or said:
        opened.manager.check_writable()
    if missing:
        wanted |= _ask(missing, opened.path)
    citation = Citation.from_json(wanted)
    if citation != known:
        write_citation(opened.path, citation)
    record = {"lake": str(opened.path), "changed": citation != known, **citation.json()}
    report.result(record, lambda: _draw(report, citation, opened.path / CITATION))


def _parsers() -> dict[str, Callable[[str], Any]]:
    """Return what reads each item of the options that may be repeated."""
    from stemzarr_catalog.citation import Creator, Funding, Related

    return {"creators": Creator.parse, "funding": Funding.parse, "related": Related.parse}


def _read(said: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield what options say, in the form of the file."""
    from stemzarr_catalog.citation import plain_doi, table_of

    parsers = _parsers()
    for name, value in said.items():
        if name in parsers:
            yield name, [table_of(parsers[name](text)) for text in value]
        elif name == "keywords":
            yield name, list(value)
        else:
            yield name, plain_doi(value) if name == "doi" else value


def _ask(missing: list[str], lake: Path) -> dict[str, Any]:
    """Ask the person at the terminal for what a citation needs."""
    from stemzarr_catalog.citation import LICENCES

    if not sys.stdin.isatty():
        hint = "give --title, --creator and --licence"
        raise OptionError(f"still needs {', '.join(missing)}", path=lake, hint=hint)
    asked: dict[str, Any] = {}
    if "title" in missing:
        asked["title"] = click.prompt("Title of the data", err=True)
    if "creators" in missing:
        click.echo(f"Creators, one a line: {_CREATOR}; an empty line ends", err=True)
        asked["creators"] = list(_ask_creators())
    if "licence" in missing:
        words = f"Licence ({', '.join(LICENCES)}, or an address)"
        asked["licence"] = click.prompt(words, default="CC-BY-4.0", err=True)
    return asked


def _ask_creators() -> Iterator[dict[str, str]]:
    """Yield the creators that a person types; one that is wrong is asked for again."""
    while text := click.prompt("Creator", default="", show_default=False, err=True):
        try:
            yield from dict(_read({"creators": [text]}))["creators"]
        except StemzarrError as error:
            click.echo(str(error), err=True)


def _draw(report: Report, citation: Citation, file: Path) -> None:
    by = "; ".join(creator.name for creator in citation.creators)
    report.say(f"{citation.title}  {by}  {citation.licence}")
    report.say(f"  {file}")
