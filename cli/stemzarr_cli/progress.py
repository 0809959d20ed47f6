"""A progress display with rate, time left and memory in use."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psutil
from rich.console import Console
from rich.progress import (
    BarColumn,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
)
from rich.progress import (
    Progress as Display,
)
from rich.table import Column
from rich.text import Text

from stemzarr_cli.text import format_bytes, format_seconds

__all__ = ["Bar", "memory_in_use", "show_progress"]

_NARROW = 100
_LEAST_WIDTH = 12
_LINE = Column(no_wrap=True)


def memory_in_use() -> int:
    """Return the resident bytes of this process and of the workers that it started."""
    own = psutil.Process()
    total = int(own.memory_info().rss)
    for child in own.children(recursive=True):
        with contextlib.suppress(psutil.Error):
            total += child.memory_info().rss
    return total


class _Amount(ProgressColumn):
    """Bytes done of all bytes, or things of all things."""

    def __init__(self, counted: str | None) -> None:
        super().__init__(_LINE)
        self._counted = counted

    def render(self, task: Task) -> Text:
        if task.total is None:
            return Text("")
        if self._counted is not None:
            return Text(f"{task.completed:.0f} of {task.total:.0f} {self._counted}")
        return Text(f"{format_bytes(task.completed)} of {format_bytes(task.total)}")


class _Rate(ProgressColumn):
    """Bytes of pixel data in a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{format_bytes(speed)}/s" if speed else "", style="progress.data.speed")


class _TimeLeft(ProgressColumn):
    """How long it will still take, at the present rate."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        left = task.time_remaining
        if left is None or task.finished:
            return Text("")
        return Text(f"{format_seconds(max(1, left))} left", style="progress.remaining")


class _Memory(ProgressColumn):
    """Memory in use, workers counted in."""

    max_refresh = 1.0

    def render(self, task: Task) -> Text:  # noqa: ARG002 - the same for every task
        return Text(f"{format_bytes(memory_in_use())} of memory", style="dim")


class Bar:
    """The bar of one operation: called with bytes done and bytes in all, it moves.

    Parameters
    ----------
    display, task
        The display, running, and its only task.
    width
        Columns for what is going on: a display of two lines would erase what is above it.
    """

    def __init__(self, display: Display, task: TaskID, width: int) -> None:
        self._display = display
        self._task = task
        self._width = width

    def __call__(self, done: int, total: int) -> None:
        """Move to `done` of `total`."""
        self._display.update(self._task, completed=done, total=total)

    def describe(self, doing: str) -> None:
        """Say what is going on now."""
        text = Text(doing)
        text.truncate(self._width, overflow="ellipsis")
        self._display.update(self._task, description=text.plain)

    def rest(self, doing: str) -> None:
        """Forget what was done, and say what is waited for."""
        self._display.reset(self._task, total=None)
        self.describe(doing)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Take the bar away while something is printed."""
        self._display.stop()
        try:
            yield
        finally:
            self._display.start()


@contextlib.contextmanager
def show_progress(doing: str, console: Console, counted: str | None = None) -> Iterator[Bar]:
    """Show a bar while the block runs, and give the callback that moves it.

    Parameters
    ----------
    doing
        What is going on, in a word or two.
    console
        Where it is shown.
    counted
        What is counted, where it is not bytes.
    """
    width = console.width
    wide = width >= _NARROW
    columns: list[ProgressColumn] = [
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30 if wide else 10),
        TextColumn("{task.percentage:>3.0f} %"),
        *((_Amount(counted),) if wide or counted else ()),
        *((_Rate(_LINE),) if wide and not counted else ()),
        _TimeLeft(_LINE),
        *((_Memory(_LINE),) if width >= _NARROW * 3 // 4 else ()),
    ]
    display = Display(
        *columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False
    )
    with display:
        bar = Bar(
            display, display.add_task("", total=None), width=max(_LEAST_WIDTH, width * 3 // 8)
        )
        bar.describe(doing)
        yield bar
