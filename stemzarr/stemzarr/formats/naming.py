"""Slugs: the names that documents bear in paths and dims."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

__all__ = ["make_slugs"]

_LONGEST = 40
_RESERVED: Final = frozenset({"scan", "det", "dim", "frame", "energy", "channel", "x", "y"})
"""Names whose dims (``scan_y``) or coordinates would collide with those of the main document."""
_DEVICES: Final = frozenset(
    {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}
)
"""Names that Windows keeps for itself."""


def make_slugs(titles: Iterable[str]) -> tuple[str, ...]:
    """Return a name for each title that is safe in paths and dims, unique without case.

    Lower-case ASCII letters, digits and single underscores; a title of which nothing is left
    becomes ``document``, a name that is taken otherwise gets it in front, repeated ones are
    numbered from 2.

    Examples
    --------
    >>> make_slugs(["Survey Image", "survey image", "スキャン", "2nd scan", "scan"])
    ('survey_image', 'survey_image_2', 'document', '2nd_scan', 'document_scan')
    """
    taken: set[str] = set()
    slugs = []
    for title in titles:
        stem = slug = _slug(title)
        number = 1
        while slug in taken:
            number += 1
            slug = f"{stem}_{number}"
        taken.add(slug)
        slugs.append(slug)
    return tuple(slugs)


def _slug(title: str) -> str:
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode("ascii")
    words = re.sub(r"[^a-z0-9]+", "_", plain.lower()).strip("_")[:_LONGEST].strip("_")
    if not words:
        return "document"
    if words in _RESERVED | _DEVICES:
        return f"document_{words}"
    return words
