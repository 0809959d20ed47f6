"""What a command says: results on stdout, messages and errors on stderr, JSON where asked."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sys
import textwrap
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from stemzarr.errors import OptionError, QueryError, StemzarrError
from stemzarr.storage.reasons import advice, is_about_memory
from stemzarr_cli.text import one_line, printable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from stemzarr_cli.progress import Bar

__all__ = [
    "BROKEN_PIPE",
    "FAILED",
    "INTERRUPTED",
    "USAGE",
    "Report",
    "complain",
    "explain",
    "stop_writing",
]

FAILED = 1
USAGE = 2
INTERRUPTED = 130
BROKEN_PIPE = 141

_PLAIN_WIDTH = 10_000
_UNKNOWN_WIDTH = 80
_LEAST_WIDTH = 20


class Report:
    """The voice of one command.

    Parameters
    ----------
    name
        The command, as its messages begin.
    as_json
        Whether results are JSON lines, and stdout holds nothing else.
    quiet
        Whether only errors (and the JSON that was asked for) are shown.
    debug
        Whether errors come with their traceback.
    """

    def __init__(
        self, name: str, *, as_json: bool = False, quiet: bool = False, debug: bool = False
    ) -> None:
        self.name = name
        self.as_json = as_json
        self.quiet = quiet
        self.debug = debug
        self.status = 0
        self._bar: Bar | None = None
        self.resume: str | None = None
        """What a person does after an interruption."""
        self._kept: list[Mapping[str, Any]] | None = None

    def keep_results(self) -> list[Mapping[str, Any]]:
        """Return a list that each further result is added to."""
        self._kept = []
        return self._kept

    def result(self, record: Mapping[str, Any], draw: Callable[[], None]) -> None:
        """Give one result: its JSON line, or whatever `draw` prints for a person."""
        if self._kept is not None:
            self._kept.append(record)
        with self._paused():
            if self.as_json:
                click.echo(json.dumps(record, allow_nan=False))
            elif not self.quiet:
                draw()

    def say(self, text: str = "", **style: Any) -> None:  # noqa: ANN401 - words of click.style
        """Print one line of a result for a person; `text` is made safe for the terminal."""
        if not (self.quiet or self.as_json):
            plain = False if "NO_COLOR" in os.environ else None
            click.secho(printable(text), color=plain, **style)

    @property
    def terminal_width(self) -> int | None:
        """Columns of the terminal; None where results go to a file or a program, uncut."""
        return self.console.width if sys.stdout.isatty() else None

    def say_wrapped(self, text: str, **style: Any) -> None:  # noqa: ANN401 - as `say`
        """Print a sentence, on a terminal without a break within a word."""
        width = self.terminal_width
        if width is None:
            self.say(text, **style)
            return
        wrap = functools.partial(textwrap.wrap, break_on_hyphens=False, break_long_words=False)
        for line in wrap(text, width):
            self.say(line, **style)

    def say_fitting(self, parts: Sequence[str]) -> None:
        """Print one line of a result: as many of its parts as fit into the terminal.

        Parameters
        ----------
        parts
            The most important first; that one is always shown.
        """
        line, width = parts[0], self.terminal_width
        for part in parts[1:]:
            longer = f"{line}  {part}"
            if width is not None and len(longer.rstrip()) > width:
                break
            line = longer
        self.say(line.rstrip())

    def show(self, *renderables: RenderableType) -> None:
        """Print what rich can draw; whoever made it has made its text safe."""
        if not (self.quiet or self.as_json):
            for renderable in renderables:
                self.console.print(renderable)

    def note(self, text: str) -> None:
        """Print a message that is not a result, on stderr."""
        if not self.quiet:
            with self._paused():
                complain(one_line(text))

    def ask(self, what: str, question: str) -> bool:
        """Ask the person at the terminal something that is answered by yes or no."""
        with self._paused():
            click.echo(one_line(what), err=True)
            return click.confirm(question, err=True)

    def fail(self, error: BaseException) -> None:
        """Print an error on one line of stderr and remember that something failed."""
        with self._paused():
            if self.debug:
                complain("".join(traceback.format_exception(error)), newline=False)
            complain(f"{self.name}: {one_line(explain(error))}")
        wrong_usage = isinstance(error, OptionError | QueryError)
        self.status = max(self.status, USAGE if wrong_usage else FAILED)

    @contextlib.contextmanager
    def attempt(self, record: Mapping[str, Any] | None = None) -> Iterator[list[Exception]]:
        """Do one of several things: when it fails, that is said, and the rest is still done.

        The block gets a list, which holds the error after it failed.

        Parameters
        ----------
        record
            The result that a failure gives with ``--json``, where there is one; the error is
            added to it.
        """
        failed: list[Exception] = []
        try:
            yield failed
        except (BrokenPipeError, click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except Exception as error:  # noqa: BLE001 - even a fault of ours must not end the rest
            failed.append(error)
            self.fail(error)
            self.status = FAILED
            if record is not None:
                self.result({**record, "error": explain(error)}, lambda: None)

    def interrupted(self) -> None:
        """Say that the command was stopped, and what to do to go on."""
        then = f". {self.resume}" if self.resume else ""
        complain(f"\n{self.name}: Interrupted{one_line(then)}")

    @functools.cached_property
    def console(self) -> Console:
        """The rich console on stdout, as wide as the terminal."""
        return _console(sys.stdout)

    @contextlib.contextmanager
    def progress(self, doing: str, *, counted: str | None = None) -> Iterator[Bar | None]:
        """Show how far a long operation is, in bytes or what is counted, where a person watches."""
        if self.quiet or not sys.stderr.isatty():
            yield None
            return
        from stemzarr_cli.progress import show_progress

        with show_progress(one_line(doing), _console(sys.stderr), counted) as bar:
            self._bar = bar
            try:
                yield bar
            finally:
                self._bar = None

    def describe(self, doing: str) -> None:
        """Say in the display of a long operation what is going on now."""
        if self._bar is not None:
            self._bar.describe(one_line(doing))

    def rest(self, doing: str) -> None:
        """Say in the display of an operation that nothing is done now, and what is waited for."""
        if self._bar is not None:
            self._bar.rest(one_line(doing))

    def _paused(self) -> contextlib.AbstractContextManager[None]:
        """Return what takes the progress display away while something is printed."""
        return self._bar.paused() if self._bar is not None else contextlib.nullcontext()

    @contextlib.contextmanager
    def warnings_as_notes(self) -> Iterator[None]:
        """Show a warning for the user as one line, and hide those for programmers."""
        with warnings.catch_warnings():
            if not self.debug:
                for category in (DeprecationWarning, FutureWarning, ResourceWarning):
                    warnings.simplefilter("ignore", category)
                warnings.showwarning = self._show_warning
            yield

    def _show_warning(
        self,
        message: Warning | str,
        category: type[Warning],  # noqa: ARG002 - the interface of warnings.showwarning
        filename: str,  # noqa: ARG002
        lineno: int,  # noqa: ARG002
        file: TextIO | None = None,  # noqa: ARG002
        line: str | None = None,  # noqa: ARG002
    ) -> None:
        self.note(f"{self.name}: note: {message}")


def explain(error: BaseException) -> str:
    """Return what went wrong and what to do, whoever raised the error."""
    if isinstance(error, StemzarrError):
        return str(error)
    if is_about_memory(error):
        return (
            "not enough memory (close other programs, give a smaller --memory where there is one, "
            "or raise the limits on memory and processes: ulimit -v, ulimit -u)"
        )
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        hint = advice(error) or _lost_folder(error)
        return f"{where}{error.strerror or error}{f' ({hint})' if hint else ''}"
    if isinstance(error, ImportError):
        first = str(error).strip().partition("\n")[0]
        return f"{error.name or 'a package'} cannot be loaded: {first} (install it again)"
    name = type(error).__name__
    return f"unexpected {name}: {error} (internal error, please report it with --debug)"


def _lost_folder(error: OSError) -> str | None:
    """Return what to do where the present folder was removed."""
    if not isinstance(error, FileNotFoundError) or error.filename:
        return None
    try:
        Path.cwd()
    except OSError:
        return "the folder that you are in was removed; change to another"
    return None


def complain(text: str, *, newline: bool = True) -> None:
    """Print on stderr, on a terminal without a break within a word, but for what ends no line.

    Where stderr is full or closed, there is nowhere to say so.
    """
    try:
        click.echo(_wrapped(text) if newline else text, err=True, nl=newline)
    except BrokenPipeError:
        raise
    except (OSError, ValueError):
        stop_writing(sys.stderr)


def _wrapped(text: str) -> str:
    """Return a message as a terminal shows it best; to a file or a program it is one line."""
    if not sys.stderr.isatty():
        return text
    wrap = functools.partial(textwrap.wrap, break_on_hyphens=False, break_long_words=False)
    return "\n".join("\n".join(wrap(line, _width(sys.stderr))) for line in text.split("\n"))


def stop_writing(stream: TextIO | None) -> None:
    """Let what a stream still holds go nowhere: its reader has gone, or its disk is full."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # type: ignore[union-attr]


def _width(stream: TextIO) -> int:
    """Return how wide a table may be; a width that shows nothing, as COLUMNS=0, does not count."""
    wanted = os.environ.get("COLUMNS", "")
    if wanted.isdecimal() and int(wanted) >= _LEAST_WIDTH:
        return int(wanted)
    if not stream.isatty():
        return _PLAIN_WIDTH
    try:
        return os.get_terminal_size(stream.fileno()).columns or _UNKNOWN_WIDTH
    except (OSError, ValueError):
        return _UNKNOWN_WIDTH


def _console(stream: TextIO) -> Console:
    """Return a console that leaves text as it is: no markup, no emoji, no highlighting."""
    from rich.console import Console

    class Pipe(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # ends the command as it would without rich

    return Pipe(
        file=stream,
        width=_width(stream),
        # rich takes both for numbers where they are none
        _environ={k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")},
        markup=False,
        emoji=False,
        highlight=False,
        soft_wrap=False,
    )
