"""The options that say how a source is understood, shared by the commands that read one."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from stemzarr_cli.parameters import SCAN_SHAPE

__all__ = ["read_options"]

_OPTIONS = (
    click.option(
        "--layout",
        type=click.Choice(["auto", "detector-fast", "scan-fast"]),
        default="auto",
        show_default=True,
        help="Meaning of the axes on disk, where the file states it wrongly.",
    ),
    click.option(
        "--scan-shape", type=SCAN_SHAPE, help="Scan positions, where the file holds a plain stack."
    ),
    click.option("--dataset", metavar="PATH", help="One data set of an HDF5 file or Zarr folder."),
    click.option(
        "--salvage", is_flag=True, help="Recover the complete patterns of a truncated file."
    ),
    click.option(
        "--join", is_flag=True, help="Read a folder of files with one frame each as one stack."
    ),
)


def read_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of reading, handed over as one `ReadOptions` named ``read``."""

    @functools.wraps(function)
    def wrapped(*args: Any, **options: Any) -> Any:  # noqa: ANN401 - whatever the command takes
        from stemzarr.options import ReadOptions

        names = ("layout", "scan_shape", "dataset", "salvage", "join")
        read = ReadOptions(**{name: options.pop(name) for name in names})
        return function(*args, read=read, **options)

    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped
