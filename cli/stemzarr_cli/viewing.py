"""The options that say what of a scan is wanted, shared by the commands that render a view."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from stemzarr_cli.parameters import FACTORS

if TYPE_CHECKING:
    from stemzarr.views import View

__all__ = ["view_options"]

_OPTIONS = (
    click.option(
        "--roi",
        metavar="REGION",
        multiple=True,
        help="Part of scan and detector: scan_y=10:50 in pixels, det_x=-1nm:1nm in units. "
        "Several are joined.",
    ),
    click.option(
        "--bad-pixels",
        type=click.Choice(["mask", "median"]),
        help="Set bad pixels, named by the file or found, to 0, or to the median of their "
        "neighbours. [default: as they are]",
    ),
    click.option("--scan-step", type=int, metavar="N", help="Keep every Nth scan position."),
    click.option("--scan-downsample", type=int, metavar="N", help="Join N × N scan positions."),
    click.option(
        "--downsample",
        type=FACTORS,
        help="Reduce the detector F times, or FY,FX; a remainder is dropped.",
    ),
    click.option(
        "--method",
        type=click.Choice(["bin", "stride", "gauss", "fft"]),
        help="How to reduce it: mean or sum of blocks [default], every Fth pixel, a Gaussian "
        "before that, or a crop of the spectrum.",
    ),
    click.option(
        "--reduce",
        type=click.Choice(["mean", "sum"]),
        help="Mean or sum of each block. [default: mean]",
    ),
    click.option("--sigma", type=float, help="Width of the Gaussian in pixels. [default: F/2]"),
    click.option("--clip-negative", is_flag=True, help="Set negative values to 0."),
    click.option(
        "--normalize",
        type=click.Choice(["none", "log1p", "log1p-zscore", "minmax"]),
        help="Scale of the values. [default: none]",
    ),
    click.option("--dtype", metavar="TYPE", help="Type of the values, such as float32."),
)
_NAMES = (
    "roi",
    "bad_pixels",
    "scan_step",
    "scan_downsample",
    "downsample",
    "method",
    "reduce",
    "sigma",
    "clip_negative",
    "normalize",
    "dtype",
)


def view_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of views, handed over as ``view``: a `View`, or None if unused."""

    @functools.wraps(function)
    def wrapped(*args: Any, **options: Any) -> Any:  # noqa: ANN401 - whatever the command takes
        given = {name: options.pop(name) for name in _NAMES}
        given["roi"] = ",".join(given["roi"]) or None
        chosen = {
            name: value for name, value in given.items() if value is not None and value is not False
        }
        return function(*args, view=_view(chosen), **options)

    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def _view(chosen: dict[str, Any]) -> View | None:
    if not chosen:
        return None
    from stemzarr.views import View

    return View(**chosen)
