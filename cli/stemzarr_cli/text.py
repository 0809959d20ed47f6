"""Words and numbers as a person reads them; nothing here prints."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

__all__ = [
    "format_bytes",
    "format_number",
    "format_path",
    "format_seconds",
    "format_shape",
    "format_with_unit",
    "one_line",
    "printable",
]

_STEP = 1000
_MINUTE = 60
_HOUR = 3600
_SHORT = 10


def printable(text: object) -> str:
    r"""Return text that a terminal shows rather than obeys.

    Control characters, and those that reorder or hide text, become their escapes; metadata of a
    file must not be able to move the cursor or retitle the window.

    Examples
    --------
    >>> printable("SrTiO\u2083 \x1b[2J")
    'SrTiO₃ \\x1b[2J'
    """
    return "".join(
        sign if sign.isprintable() else " " if sign == "\xa0" else ascii(sign)[1:-1]
        for sign in str(text)
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
    """Return a path as short as it means the same from the present folder.

    Examples
    --------
    >>> format_path(Path.cwd() / "scan.dm4")
    'scan.dm4'
    """
    given = Path(str(path))
    here = Path.cwd()
    return printable(given.relative_to(here) if given.is_relative_to(here) else given)


def format_bytes(count: float) -> str:
    """Return a size with three digits and a decimal unit.

    Examples
    --------
    >>> format_bytes(2_147_483_648), format_bytes(999)
    ('2.15 GB', '999 B')
    """
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if abs(value) < _STEP:
            return f"{value:.0f} B" if unit == "B" else f"{value:.3g} {unit}"
        value /= _STEP
    return f"{value:.3g} TB"


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


def format_with_unit(value: object, unit: str) -> str:
    """Return a value of the metadata with its unit; times below 0.1 s as people say them.

    Examples
    --------
    >>> format_with_unit(300.0, "keV"), format_with_unit(0.0005, "s"), format_with_unit(2, "s")
    ('300 keV', '0.5 ms', '2 s')
    """
    if unit == "s" and isinstance(value, int | float):
        for factor, prefix in ((1e3, "m"), (1e6, "µ")):
            if 0.1 / factor <= value < 100 / factor:
                return f"{format_number(value * factor)} {prefix}s"
    return f"{format_number(value)} {unit}"


def format_shape(sizes: Iterable[int]) -> str:
    """Return lengths of dims as they are spoken.

    Examples
    --------
    >>> format_shape((128, 128, 256, 256))
    '128×128×256×256'
    """
    return "×".join(str(size) for size in sizes)
