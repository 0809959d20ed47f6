"""What all commands share: their common options, and the one place that catches errors."""

from __future__ import annotations

import sys
from typing import Any

import click

from stemzarr_cli.parameters import ANY_LAKE, LAKE
from stemzarr_cli.report import BROKEN_PIPE, FAILED, INTERRUPTED, Report, stop_writing

__all__ = ["WORDS", "Command", "any_lake_option", "lake_option"]

WORDS = "stemzarr.words"
"""Where the context of a command keeps the words that it was given."""

_SHARED = (
    click.Option(
        ["--json", "as_json"], is_flag=True, help="Print results as JSON lines, nothing else."
    ),
    click.Option(["-q", "--quiet"], is_flag=True, help="Print errors alone."),
    click.Option(["--debug"], is_flag=True, help="Print the traceback of an error."),
)

lake_option = click.option(
    "--lake",
    type=LAKE,
    metavar="FOLDER",
    help="The lake: else $STEMZARR_LAKE, the enclosing folder that is one, or ./stemzarr-lake.",
)
"""The option of every command that changes a lake, or needs its folder."""

any_lake_option = click.option(
    "--lake",
    type=ANY_LAKE,
    metavar="FOLDER|ADDRESS",
    help="The lake: else $STEMZARR_LAKE, the enclosing folder that is one, or ./stemzarr-lake.",
)
"""The option of every command that reads a lake, or a name in one, wherever it is."""


class Command(click.Command):
    """A command whose function gets a `Report` first and whose errors become one line.

    This is the only place where errors end; functions of commands raise, or use
    `Report.attempt` where the rest is still to be done.
    """

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - click's interface
        super().__init__(*args, **options)
        self.params.extend(_SHARED)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the command line; an option that is given twice and takes one value is refused.

        Otherwise the last value would win, and the first be left out in silence.
        """
        _, _, order = self.make_parser(ctx).parse_args(args=list(args))
        given: set[str | None] = set()
        for param in order:
            if not isinstance(param, click.Option) or param.multiple or param.is_flag:
                continue
            if param.name in given:
                msg = f"{param.opts[-1]} is given twice; give it once"
                raise click.UsageError(msg, ctx)
            given.add(param.name)
        ctx.meta[WORDS] = list(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> int:
        """Run the command and return its exit status."""
        ctx.obj = report = Report(
            ctx.command_path,
            as_json=ctx.params.pop("as_json"),
            quiet=ctx.params.pop("quiet"),
            debug=ctx.params.pop("debug"),
        )
        try:
            with report.warnings_as_notes():
                super().invoke(ctx)
                sys.stdout.flush()
        except (click.ClickException, click.exceptions.Exit):
            raise
        except (KeyboardInterrupt, click.Abort):
            report.interrupted()
            return INTERRUPTED
        except BrokenPipeError:
            stop_writing(sys.stdout)
            return BROKEN_PIPE
        except Exception as error:  # noqa: BLE001 - no user should see a traceback unasked
            report.fail(error)
            return report.status or FAILED
        return report.status
