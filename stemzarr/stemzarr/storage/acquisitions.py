"""Files that are one acquisition: those beside another, and the name that they have in common."""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

__all__ = ["acquisition_name", "find_beside", "names_in"]

_SETTLED_NS: Final = 2 * 10**9
"""Within so long, a folder may change again and keep its time of modification."""

_TAILS: Final = re.compile(r"(.+?)(?:_master(?=\.h5$)|_000(?=\.tvips$))", re.IGNORECASE | re.DOTALL)


def find_beside(path: Path, name: str) -> Path | None:
    """Return the file of that name beside another, in whatever case it is spelled."""
    found = path.with_name(name)
    if found.is_file():
        return found
    spelled = names_in(path.parent).get(name.casefold())
    return None if spelled is None else path.with_name(spelled)


def names_in(folder: Path) -> Mapping[str, str]:
    """Return the names in a folder by their spelling without case; none where it cannot be read.

    A folder that nothing came into for a while is listed once, however many files are looked for.
    """
    try:
        modified_ns = folder.stat().st_mtime_ns
        if time.time_ns() - modified_ns > _SETTLED_NS:
            return _names_once(folder, modified_ns)
        return _names(folder)
    except OSError:
        return {}


def _names(folder: Path) -> Mapping[str, str]:
    return {one.name.casefold(): one.name for one in sorted(folder.iterdir(), reverse=True)}


@functools.lru_cache(maxsize=8)
def _names_once(folder: Path, _modified_ns: int) -> Mapping[str, str]:
    return _names(folder)


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
