"""Parts of the docs that a program writes, between two lines that say which."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path

__all__ = ["markdown_table", "rewrite_page", "write_page"]


def rewrite_page(page: str, command: str, content: str) -> str:
    """Return a page with its made part as it is now.

    Parameters
    ----------
    page
        The page, with a line for the begin of the part and one for its end.
    command
        The module that makes the part, as ``python -m`` takes it.
    content
        The part.

    Raises
    ------
    ValueError
        The page has no place for the part.
    """
    begin, end = f"<!-- written by python -m {command} -->", f"<!-- end of {command} -->"
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        msg = f"the page has no lines {begin!r} and {end!r}"
        raise ValueError(msg)
    return f"{before}{begin}\n\n{content}\n\n{end}{after}"


def write_page(rewrite: Callable[[str], str]) -> None:
    """Write the page that the command line names, as `rewrite` makes it from what it was."""
    path = Path(sys.argv[1])
    page = path.read_text(encoding="utf-8") if path.exists() else ""
    path.write_text(rewrite(page), encoding="utf-8", newline="\n")


def markdown_table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table in Markdown."""
    heads = tuple(heads)
    lines = (heads, ["---"] * len(heads), *rows)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
