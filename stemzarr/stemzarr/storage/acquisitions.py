"""Files that are one acquisition: a master and its data, a description and its frames.

Which files belong together is recognized by the names that the programs of detectors give them.
A part whose lead is beside it is no source of its own: a folder gives the lead alone.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

__all__ = ["acquisition_name", "find_beside", "lead_by_name", "parts_of"]

# name of a part, in any case; names that its lead may have
_PARTS: Final[tuple[tuple[re.Pattern[str], tuple[str, ...]], ...]] = tuple(
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), leads)
    for pattern, leads in (
        (r"(.+)_data_\d+\.h5", (r"\1_master.h5",)),  # DECTRIS: frames
        (r"(.+)(?<!_master)\.h5", (r"\1_master.h5",)),  # DECTRIS: the record of the scan
        (r"(.+)_(?!000)\d{3}\.tvips", (r"\1_000.tvips",)),
        (r"(.+)_\d+\.ser", (r"\1.emi",)),  # TIA
        (r"(.+)\.hdr", (r"\1.mib", r"\1_0000.mib", r"\1_0001.mib")),  # Merlin
        (r"(.+)\d\.bin", (r"\1.gtg",)),  # K2-IS
        (r"(.+)\.raw", (r"\1.dm5", r"\1.dm4", r"\1.rpl")),  # K3-IS, Continuum, Ripple
    )
)
_TAILS: Final = re.compile(r"(.+?)(?:_master(?=\.h5$)|_000(?=\.tvips$))", re.IGNORECASE | re.DOTALL)


def lead_by_name(path: Path) -> Path | None:
    """Return the file by which the acquisition of a part is read; None where it is no part.

    Parameters
    ----------
    path
        Any file.

    Returns
    -------
    Path or None
        A file in the same folder, which exists.
    """
    for pattern, leads in _PARTS:
        match = pattern.fullmatch(path.name)
        for lead in leads if match is not None else ():
            found = find_beside(path, match.expand(lead)) if match is not None else None
            if found is not None:
                return found
    return None


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


def parts_of(lead: Path) -> tuple[Path, ...]:
    """Return the files that are parts of the acquisition of a lead, sorted by name."""
    beside = sorted(lead.parent.iterdir())
    return tuple(path for path in beside if path.is_file() and lead_by_name(path) == lead)


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
