"""Words and numbers as a person reads them; nothing here prints."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from stemzarr_catalog.wording import format_bytes

__all__ = [
    "format_bytes",
    "format_count",
    "format_number",
    "format_path",
    "format_seconds",
    "format_shape",
    "one_line",
    "printable",
    "shorten_list",
]

_MINUTE = 60
_HOUR = 3600
_SHORT = 10
_MOST_NAMED = 5


def printable(text: object) -> str:
    r"""Return text that a terminal shows rather than obeys.

    Control characters, and those that reorder or hide text, become their escapes; metadata of a
    file must not be able to move the cursor or retitle the window.

    Examples
    --------
    >>> printable("SrTiO\u2083 \x1b[2J")
    'SrTiO₃ \\x1b[2J'
    """
    said = str(text)
    if said.isprintable():
        return said
    return "".join(
        sign if sign.isprintable() else " " if sign == "\xa0" else ascii(sign)[1:-1]
        for sign in said
    )


def one_line(text: object) -> str:
    r"""Return text on one line that a terminal shows rather than obeys.

    Examples
    --------
    >>> one_line("two\n  lines")
    'two lines'
    """
    return printable(" ".join(str(text).split()))


def format_path(path: object) -> str:
    """Return a path as short as it means the same from the present folder; an address whole.

    Examples
    --------
    >>> format_path(Path.cwd() / "scan.dm4"), format_path("s3://bucket/scan.zarr")
    ('scan.dm4', 's3://bucket/scan.zarr')
    """
    if "://" in str(path):
        return printable(path)
    given = Path(str(path))
    here = Path.cwd()
    return printable(given.relative_to(here) if given.is_relative_to(here) else given)


def format_seconds(seconds: float) -> str:
    """Return a duration as short as it may be said.

    Examples
    --------
    >>> format_seconds(0.042), format_seconds(3.21), format_seconds(75), format_seconds(7300)
    ('0.04 s', '3.2 s', '1 min 15 s', '2 h 1 min')
    """
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < _SHORT:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"


def format_number(value: object) -> str:
    """Return a value of the metadata, numbers with up to six digits.

    Examples
    --------
    >>> format_number(0.020999999716877937), format_number(200.0), format_number("K2")
    ('0.021', '200', 'K2')
    """
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else str(value)
    return printable(value)


def format_count(count: int, one: str) -> str:
    """Return how many there are of something, in singular or plural.

    Examples
    --------
    >>> format_count(1, "entry"), format_count(1200, "entry"), format_count(2, "file")
    ('1 entry', '1,200 entries', '2 files')
    """
    many = f"{one[:-1]}ies" if one.endswith("y") else f"{one}s"
    return f"{count:,} {one if count == 1 else many}"


def format_shape(sizes: Iterable[int]) -> str:
    """Return lengths of dims as they are spoken.

    Examples
    --------
    >>> format_shape((128, 128, 256, 256))
    '128×128×256×256'
    """
    return "×".join(str(size) for size in sizes)


def shorten_list(names: Sequence[str]) -> str:
    """Return names one after the other, the first few of them where there are many.

    Examples
    --------
    >>> shorten_list(["a", "b"])
    'a, b'
    >>> shorten_list([str(n) for n in range(9)])
    '0, 1, 2, 3, 4 and 4 more'
    """
    shown = ", ".join(map(printable, names[:_MOST_NAMED]))
    more = len(names) - _MOST_NAMED
    return f"{shown} and {more} more" if more > 0 else shown
