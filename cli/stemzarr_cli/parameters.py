"""Values of options that are more than a word or a number."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from stemzarr.errors import OptionError

__all__ = [
    "ANY_LAKE",
    "ASSIGNMENT",
    "BYTES",
    "CENTER",
    "DURATION",
    "FACTORS",
    "LAKE",
    "LIKE",
    "MOVED",
    "PATH",
    "POSITION",
    "PUBLISHED",
    "SCAN_SHAPE",
    "Parsed",
    "gather",
    "read_value",
]


PUBLISHED = (
    "a lake at an address was published, and is only read there",
    "change the lake that it was published from, and 'stemzarr publish' that again",
)
"""What is said of a published lake that would be changed, and what to do."""
_SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


class Parsed(click.ParamType[Any]):
    """An option's value, read by a function that raises `ValueError` or `OptionError`.

    Parameters
    ----------
    name
        How the value is called in the help.
    parse
        From the text to the value.
    """

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self._parse = parse

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:  # noqa: ARG002 - click's
        """Return how the value appears in the help."""
        return self.name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401 - click's interface
        """Read the value, or say what is wrong with it."""
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except OptionError as error:
            self.fail(str(error), param, ctx)
        except ValueError:
            self.fail(f"{value!r} is not {self.name}", param, ctx)


class LocalPath(click.Path):
    """A path of this machine: an address may hold a password, which no message must repeat."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401 - click's interface
        """Make the path, or say that it is not one."""
        from stemzarr.options import as_path

        try:
            path = as_path(value)
        except OptionError as error:
            self.fail(str(error), param, ctx)
        return super().convert(path if str(value).startswith("file:") else value, param, ctx)


class LakePath(LocalPath):
    """The folder of a lake; of commands that only read, also the address of a published one."""

    def __init__(self, *, far: bool) -> None:
        super().__init__()
        self._far = far

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401 - click's interface
        """Make the path or address, or say that the command cannot use it."""
        from stemzarr.storage.address import RemotePath, as_source

        try:
            place = as_source(value)
        except OptionError as error:
            self.fail(str(error), param, ctx)
        if not isinstance(place, RemotePath):
            return super().convert(value, param, ctx)
        if not self._far:
            self.fail(f"{PUBLISHED[0]}; {PUBLISHED[1]}", param, ctx)
        return place


def _bytes(text: str) -> int:
    from stemzarr.options import parse_bytes

    return parse_bytes(text)


def _duration(text: str) -> float:
    """Read ``90min``, ``2h`` or ``1.5d`` as seconds.

    Examples
    --------
    >>> _duration("90min"), _duration("2 h"), _duration("30")
    (5400.0, 7200.0, 30.0)
    """
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) *(s|min|h|d)?", text.strip())
    if found is None:
        raise ValueError(text)
    return float(found[1]) * _SECONDS[found[2] or "s"]


def _scan_shape(text: str) -> tuple[int, int]:
    """Read ``Y,X``."""
    rows, columns = (int(part) for part in text.replace("x", ",").split(","))
    return rows, columns


def _position(text: str) -> tuple[int, int]:
    """Read ``Y,X``."""
    y, x = (int(part) for part in text.split(","))
    return y, x


def _like(text: str) -> tuple[str, tuple[int, int]]:
    """Read ``SOURCE@Y,X``."""
    source, _, at = text.rpartition("@")
    if not source:
        raise ValueError(text)
    return source, _position(at)


def _center(text: str) -> tuple[float, float]:
    """Read ``Y,X``."""
    y, x = (float(part) for part in text.split(","))
    return y, x


def _factors(text: str) -> int | tuple[int, int]:
    """Read ``F`` or ``FY,FX``."""
    if "," not in text:
        return int(text)
    down, across = (int(part) for part in text.split(","))
    return down, across


def read_value(text: str) -> str | int | float:
    """Return the number that a text stands for, or the text.

    Examples
    --------
    >>> read_value("115"), read_value("2.1e-2"), read_value("1/nm"), read_value("2026_01")
    (115, 0.021, '1/nm', '2026_01')
    """
    if re.fullmatch(r"[+-]?[0-9]+", text):
        return int(text)
    if re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text):
        return float(text)
    return text


def _assignment(text: str) -> tuple[str, str | int | float]:
    """Read ``FACT=VALUE``."""
    name, equals, value = text.partition("=")
    if not (equals and name.strip() and value.strip()):
        raise ValueError(text)
    return name.strip(), read_value(value.strip())


def _moved(text: str) -> tuple[str, str] | None:
    """Read ``OLD=NEW``, or ``none``; the folder that exists tells where a path with ``=`` ends."""
    from stemzarr.options import as_path

    if text == "none":
        return None
    places = [place for place, letter in enumerate(text) if letter == "="]
    cuts = [(text[:place], text[place + 1 :]) for place in places]
    cuts = [cut for cut in cuts if all(cut)]
    if not cuts:
        raise ValueError(text)
    old, new = next((cut for cut in cuts if Path(cut[1]).exists()), cuts[0])
    is_windows = re.match(r"[A-Za-z]:[\\/]|\\\\", old) is not None
    return old if is_windows else str(as_path(old)), str(as_path(new))


def gather(pairs: Iterable[tuple[str, str | int | float]]) -> dict[str, str | int | float]:
    """Return assignments as a dictionary.

    Raises
    ------
    OptionError
        A name is given two values, of which the first would be left out.

    Examples
    --------
    >>> gather([("a", 1), ("b", 2), ("a", 1)])
    {'a': 1, 'b': 2}
    """
    gathered: dict[str, str | int | float] = {}
    for name, value in pairs:
        if gathered.setdefault(name, value) != value:
            msg = f"{name} is given as {gathered[name]!r} and as {value!r}"
            raise OptionError(msg, hint="give it once")
    return gathered


PATH = LocalPath()
"""A file or folder on this machine."""
BYTES = Parsed("SIZE", _bytes)
"""A number of bytes, such as ``512MiB``."""
DURATION = Parsed("DURATION", _duration)
"""A time in seconds, such as ``90min`` or ``2h``."""
LAKE = LakePath(far=False)
"""The folder of a lake."""
ANY_LAKE = LakePath(far=True)
"""The folder of a lake, or the address of a published one."""
SCAN_SHAPE = Parsed("Y,X", _scan_shape)
"""Scan positions, such as ``128,256``."""
POSITION = Parsed("Y,X", _position)
"""A position in a scan, counted from 0, such as ``12,40``."""
LIKE = Parsed("SOURCE@Y,X", _like)
"""A pattern of a scan, such as ``scan@12,40``."""
CENTER = Parsed("Y,X", _center)
"""A point on the detector in the units of its axes, such as ``0.1,-0.2``."""
FACTORS = Parsed("F|FY,FX", _factors)
"""One factor for both dims of the detector, or one for each."""
MOVED = Parsed("OLD=NEW|none", _moved)
"""A folder that was moved, and where it is now."""
ASSIGNMENT = Parsed("FACT=VALUE", _assignment)
"""One fact or calibration with its value."""
