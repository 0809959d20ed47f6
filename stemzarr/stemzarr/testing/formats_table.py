"""The table of formats in docs/formats.md, made from what is beside the readers.

``python -m stemzarr.testing.formats_table docs/formats.md`` writes it again.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from stemzarr.format_row import FormatRow
from stemzarr.registry import readers

__all__ = ["BEGIN", "END", "format_rows", "format_table", "rewrite_page"]

BEGIN: Final = "<!-- the table is written by python -m stemzarr.testing.formats_table -->"
END: Final = "<!-- end of the table -->"
_HEADS: Final = (
    *("format", "suffixes", "what is read", "what of it is lazy", "how completeness is known"),
    *("what cannot be seen", "proved by"),
)


def format_rows() -> tuple[FormatRow, ...]:
    """Return the rows of all readers, in the order in which a file is shown to them."""
    return tuple(row for reader in readers() for row in reader.rows())


def format_table(rows: Iterable[FormatRow] | None = None) -> str:
    """Return the table in Markdown."""
    lines = [" | ".join(_HEADS), " | ".join("---" for _ in _HEADS)]
    lines += [" | ".join(_cells(row)) for row in (format_rows() if rows is None else rows)]
    return "\n".join(f"| {line} |" for line in lines)


def _cells(row: FormatRow) -> tuple[str, ...]:
    suffixes = " ".join(f"`{suffix}`" for suffix in row.suffixes)
    proofs = [f"`{sample}`" for sample in row.samples]
    if row.writers:
        proofs.append(f"written: {', '.join(row.writers)}")
    proof = "; ".join(proofs) or "no file at hand"
    return row.name, suffixes, row.read, row.lazy, row.complete, row.unseen, proof


def rewrite_page(page: str) -> str:
    """Return a page with the table between its markers as it is now.

    Raises
    ------
    ValueError
        The page has no markers.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        msg = f"the page has no lines {BEGIN!r} and {END!r}"
        raise ValueError(msg)
    return f"{before}{BEGIN}\n\n{format_table()}\n\n{END}{after}"


def _main() -> None:
    path = Path(sys.argv[1])
    path.write_text(rewrite_page(path.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    _main()
