"""The program: its commands by name, and what becomes of a wrong command line.

A command's module is imported when the command is used, so that ``stemzarr -h`` answers at once;
its line in the list of commands therefore is here.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

import stemzarr
from stemzarr_cli.report import (
    BROKEN_PIPE,
    FAILED,
    INTERRUPTED,
    USAGE,
    complain,
    explain,
    stop_writing,
)
from stemzarr_cli.text import one_line

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = ["COMMANDS", "program", "run"]

COMMANDS: dict[str, tuple[str, str]] = {
    "info": ("stemzarr_cli.info:info", "Show what is in a file, without reading its pixels."),
    "ingest": ("stemzarr_cli.ingest:ingest", "Turn files into labelled, compressed stores."),
    "ls": ("stemzarr_cli.ls:ls", "List the lake, or the part of it that a query finds."),
    "show": ("stemzarr_cli.show:show", "Show one entry: facts, axes, pictures, metadata."),
    "export": ("stemzarr_cli.export:export", "Write a scan, or a view of it, in another format."),
    "verify": ("stemzarr_cli.verify:verify", "Check every file and chunk of stores."),
    "calibrate": (
        "stemzarr_cli.calibrate:calibrate",
        "Revise calibration and facts of a store.",
    ),
    "redact": (
        "stemzarr_cli.redact:redact",
        "Remove from a store who made it, of what, and where.",
    ),
    "tag": ("stemzarr_cli.tag:tag", "Add tags, remarks and fields of your own to entries."),
    "result": (
        "stemzarr_cli.result:result",
        "Keep what was computed from entries: maps, segmentations, latents.",
    ),
    "rename": ("stemzarr_cli.rename:rename", "Give an entry another name."),
    "watch": ("stemzarr_cli.watch:watch", "Ingest what arrives in folders."),
    "gallery": ("stemzarr_cli.gallery:gallery", "Write one HTML page of the lake."),
    "explore": ("stemzarr_cli.explore:explore", "Look at a scan, or the lake, in the browser."),
    "publish": (
        "stemzarr_cli.publish:publish",
        "Copy a store or a lake, checked, to where others read it.",
    ),
    "catalog": ("stemzarr_cli.catalog:catalog", "Maintain the index of a lake."),
    "completion": (
        "stemzarr_cli.completion:completion",
        "Print the completion script of a shell.",
    ),
    "doctor": ("stemzarr_cli.doctor:doctor", "Check this installation."),
    "demo": ("stemzarr_cli.demo:demo", "Show the whole workflow on a small realistic dm4."),
}
"""Name → where the command is, and its line in the help."""


class Program(click.Group):
    """The group of all commands, each imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's interface
        """Return the names in the order of a day's work, not of the alphabet."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the command of that name."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)  # noqa: S101 - the table is ours
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which one was probably meant; a path alone is for ``info``."""
        is_other = bool(args) and args[0] not in COMMANDS and not args[0].startswith("-")
        if is_other and not ctx.resilient_parsing:
            if _is_path(args[0]):
                return super().resolve_command(ctx, ["info", *args])
            ctx.fail(f"there is no command {args[0]!r}{_nearest(args[0])}")
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete commands without importing them, and paths, which are for ``info``."""
        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        from stemzarr_cli.completing import complete_commands

        return complete_commands(((name, line) for name, (_, line) in COMMANDS.items()), incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


def _is_path(text: str) -> bool:
    """Return whether a word is a file or folder that exists."""
    try:
        return Path(text).expanduser().exists()
    except (OSError, RuntimeError, ValueError):
        return False


_CALLED = {
    **dict.fromkeys(("list", "dir", "search", "find", "query"), "'stemzarr ls'"),
    **dict.fromkeys(("open", "view", "display", "cat"), "'stemzarr show'"),
    **dict.fromkeys(("delete", "del", "rm"), "'stemzarr catalog remove'"),
    **dict.fromkeys(("import", "add", "convert", "load"), "'stemzarr ingest'"),
    **dict.fromkeys(("mv", "move"), "'stemzarr rename'"),
    **dict.fromkeys(("check", "test"), "'stemzarr verify'"),
    **dict.fromkeys(("save", "write"), "'stemzarr export'"),
    **dict.fromkeys(("upload", "copy", "sync", "share", "deploy"), "'stemzarr publish'"),
    "undo": "'stemzarr calibrate NAME --undo'",
    "help": "'stemzarr -h'",
    "rebuild": "'stemzarr catalog rebuild'",
}
"""What people type, and what it is called here."""


def _nearest(name: str) -> str:
    if name.lower() in _CALLED:
        return f"; use {_CALLED[name.lower()]}"
    close = difflib.get_close_matches(name, COMMANDS, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


@click.group(
    cls=Program,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="'stemzarr demo' shows the whole workflow; 'stemzarr COMMAND -h' explains a command.",
)
@click.version_option(stemzarr.__version__, "-V", "--version", message="stemzarr %(version)s")
def program() -> None:
    """From Gatan dm4 files to labelled, searchable, trainable 4D-STEM data in Zarr."""


def _prepare_streams() -> None:
    """Let no terminal end the program: one that shows no micro sign, or none that is there.

    Where one of the three is closed, the next file that is opened would get its number, and what
    a library prints would go into that file.
    """
    names = ("stdin", "stdout", "stderr")
    for number, name in enumerate(names):
        if getattr(sys, name) is None:
            _occupy(number)
    for name in names:
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115
        with contextlib.suppress(AttributeError, ValueError):
            getattr(sys, name).reconfigure(errors="replace")


def _occupy(number: int) -> None:
    """Open nothing under the number of a standard stream that is closed."""
    with contextlib.suppress(OSError):
        try:
            os.fstat(number)
        except OSError:
            handle = os.open(os.devnull, os.O_RDWR)
            if handle != number:
                os.dup2(handle, number)
                os.close(handle)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit status.

    Parameters
    ----------
    arguments
        The words after the program's name; those of this process when None.

    Returns
    -------
    int
        0 all done, 1 something failed, 2 wrong usage, 130 interrupted, 141 nobody reads on.
    """
    _prepare_streams()
    if "_STEMZARR_COMPLETE" in os.environ:
        from stemzarr_cli.completing import register_shells

        register_shells()
    words = sys.argv[1:] if arguments is None else list(arguments)
    status = _settle(lambda: _dispatch(words), words)
    return max(status, _settle(_flush, words))


def _settle(act: Callable[[], int], words: Sequence[str]) -> int:
    """Return the status of an act, whatever befalls it outside of a command."""
    try:
        return act()
    except BrokenPipeError:
        stop_writing(sys.stdout)
        return BROKEN_PIPE
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - no user should see a traceback unasked
        stop_writing(sys.stdout)
        if "--debug" in words:
            complain("".join(traceback.format_exception(error)), newline=False)
        complain(f"stemzarr: {one_line(explain(error))}")
        return FAILED


def _flush() -> int:
    """Hand over what was printed, which a full disk may refuse only now."""
    sys.stdout.flush()
    return 0


def _dispatch(words: Sequence[str]) -> int:
    """Run the command that the words name; a wrong command line is one line of stderr."""
    try:
        status = program.main(args=list(words), prog_name="stemzarr", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        complain(error.format_message())
        return USAGE
    except click.UsageError as error:
        name = error.ctx.command_path if error.ctx else "stemzarr"
        message = error.format_message().removesuffix(".")
        complain(one_line(f"{name}: {message} (see '{name} -h')"))
        return USAGE
    except click.Abort:
        return INTERRUPTED
    return int(status or 0)
