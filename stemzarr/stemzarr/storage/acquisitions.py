"""Files that are one acquisition: those beside another, and the name that they have in common."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

__all__ = ["acquisition_name", "find_beside"]

_TAILS: Final = re.compile(r"(.+?)(?:_master(?=\.h5$)|_000(?=\.tvips$))", re.IGNORECASE | re.DOTALL)


def find_beside(path: Path, name: str) -> Path | None:
    """Return the file of that name beside another, in whatever case it is spelled."""
    found = path.with_name(name)
    if found.is_file():
        return found
    folded = name.casefold()
    try:
        return next((one for one in path.parent.iterdir() if one.name.casefold() == folded), None)
    except OSError:
        return None


def acquisition_name(path: Path) -> str:
    """Return the name of an acquisition, without what only tells its files apart.

    Examples
    --------
    >>> acquisition_name(Path("scan_master.h5")), acquisition_name(Path("tilt_000.tvips"))
    ('scan', 'tilt')
    >>> acquisition_name(Path("night_master.dm4"))
    'night_master'
    """
    match = _TAILS.match(path.name)
    return path.stem if match is None else match[1]
