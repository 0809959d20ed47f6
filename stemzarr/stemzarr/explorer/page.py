"""The files of the page."""

from __future__ import annotations

from importlib.resources import files

__all__ = ["PAGE_FILES", "read_page_file"]

_FOLDER = files("stemzarr.explorer") / "page"
PAGE_FILES = frozenset(
    each.name for each in _FOLDER.iterdir() if each.name.endswith((".html", ".css", ".js"))
)
"""Names of all files of the page: nothing else is ever sent."""


def read_page_file(name: str) -> str:
    """Return the text of one of the files of the page."""
    return (_FOLDER / name).read_text(encoding="utf-8")
