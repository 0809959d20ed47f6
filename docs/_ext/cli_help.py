"""The directive ``cli-help``: what each command prints with ``-h``, asked of the commands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from stemzarr_cli.program import COMMANDS, program

_WIDTH = 74  # characters that fit between the two columns beside it


class CliHelp(SphinxDirective):
    """A section for each command, those of a group too, with its help as a person reads it."""

    def run(self) -> list[nodes.Node]:
        """Return the sections."""
        with click.Context(program, info_name="stemzarr", terminal_width=_WIDTH) as top:
            text = "\n\n".join(
                f"## {name}\n\n```text\n{said}\n```\n\n[More on it](commands.md#{name.split()[0]})"
                for name, said in _helps(top)
            )
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def _helps(top: click.Context) -> Iterator[tuple[str, str]]:
    """Give the name and the help of each command."""
    for name in COMMANDS:
        command = program.get_command(top, name)
        assert command is not None  # noqa: S101 - it is one of the program's own
        context = click.Context(command, parent=top, info_name=name, terminal_width=_WIDTH)
        yield name, command.get_help(context)
        if isinstance(command, click.Group):
            for part, inner in command.commands.items():
                inside = click.Context(inner, parent=context, info_name=part, terminal_width=_WIDTH)
                yield f"{name} {part}", inner.get_help(inside)


def setup(app: Sphinx) -> dict[str, Any]:
    """Make the directive known."""
    app.add_directive("cli-help", CliHelp)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
