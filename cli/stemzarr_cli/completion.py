"""``stemzarr completion``: lets a shell complete commands, options, names, fields and tags."""

from __future__ import annotations

import click

from stemzarr_cli.command import Command
from stemzarr_cli.completing import SHELLS, script_for
from stemzarr_cli.report import Report


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, /, *, shell: str) -> None:
    r"""Print the completion script of a shell.

    \b
    bash        eval "$(stemzarr completion bash)"   in ~/.bashrc
    zsh         eval "$(stemzarr completion zsh)"    in ~/.zshrc, after compinit
    fish        stemzarr completion fish > ~/.config/fish/completions/stemzarr.fish
    powershell  stemzarr completion powershell | Out-String | Invoke-Expression   in $PROFILE
    """
    report: Report = ctx.obj
    script = script_for(shell, ctx.find_root().command)
    report.result({"shell": shell, "script": script}, lambda: click.echo(script))
