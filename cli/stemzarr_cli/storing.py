"""The options that say how a source becomes a store, shared by the commands that write one."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from stemzarr.options import IngestOptions
from stemzarr_cli.completing import complete_facts
from stemzarr_cli.parameters import ASSIGNMENT, BYTES, gather
from stemzarr_cli.reading import read_options

__all__ = ["store_options"]

_OPTIONS = (
    click.option(
        "--codec",
        type=click.Choice(["zstd", "lz4", "none"]),
        default="zstd",
        show_default=True,
        help="Compression: zstd is small, lz4 is fast.",
    ),
    click.option("--memory", type=BYTES, help="Budget for buffers. [default: 512MiB]"),
    click.option("--threads", type=int, metavar="N", help="[default: as many as processors]"),
    click.option("--workers", type=int, metavar="N", help="Use N processes of this machine."),
    click.option("--scheduler", metavar="ADDRESS", help="Use a dask.distributed cluster."),
    click.option("--virtual", is_flag=True, help="Catalogue files in place, copying no pixels."),
    click.option(
        "--redact",
        is_flag=True,
        help="Leave out operator, specimen, session, paths, remarks, printer records.",
    ),
    click.option(
        "--sha256", is_flag=True, help="Record the file's SHA-256 too, for a second read."
    ),
    click.option("--no-preview", is_flag=True, help="Leave previews and statistics out."),
    click.option("--no-sync", is_flag=True, help="Do not wait until the disk has the data."),
    click.option(
        "--set",
        "facts",
        type=ASSIGNMENT,
        multiple=True,
        shell_complete=complete_facts,
        help="Calibration or fact that overrides the file's, such as camera_length_mm=115.",
    ),
)
_PLAIN = ("codec", "memory", "threads", "workers", "scheduler", "virtual", "redact", "sha256")


def store_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of reading and storing, as one `IngestOptions` ``options``."""

    @functools.wraps(function)
    def wrapped(*args: Any, **given: Any) -> Any:  # noqa: ANN401 - whatever the command takes
        from stemzarr_catalog.calibrating import spell_facts

        plain = {name: value for name in _PLAIN if (value := given.pop(name)) is not None}
        options = IngestOptions(
            read=given.pop("read"),
            preview=not given.pop("no_preview"),
            sync=not given.pop("no_sync"),
            facts=spell_facts(gather(given.pop("facts"))),
            **plain,
        )
        return function(*args, options=options, **given)

    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return read_options(wrapped)
