"""The table of formats in docs/formats.md, made from what is beside the readers.

``python -m stemzarr.testing.formats_table docs/formats.md`` writes it again.
"""

from __future__ import annotations

from typing import Final

from stemzarr.format_row import FormatRow
from stemzarr.registry import readers
from stemzarr.testing.pages import markdown_table, rewrite_page, write_page

__all__ = ["COMMAND", "format_rows", "format_table"]

COMMAND: Final = "stemzarr.testing.formats_table"
_HEADS: Final = (
    *("format", "suffixes", "what is read", "what of it is lazy", "how completeness is known"),
    *("what cannot be seen", "proved by"),
)


def format_rows() -> tuple[FormatRow, ...]:
    """Return the rows of all readers, in the order in which a file is shown to them."""
    return tuple(row for reader in readers() for row in reader.rows())


def format_table() -> str:
    """Return the table in Markdown."""
    return markdown_table(_HEADS, map(_cells, format_rows()))


def _cells(row: FormatRow) -> tuple[str, ...]:
    suffixes = " ".join(f"`{suffix}`" for suffix in row.suffixes)
    proofs = [f"`{sample}`" for sample in row.samples]
    if row.writers:
        proofs.append(f"written: {', '.join(row.writers)}")
    proof = "; ".join(proofs) or "no file at hand"
    return row.name, suffixes, row.read, row.lazy, row.complete, row.unseen, proof


if __name__ == "__main__":
    write_page(lambda page: rewrite_page(page, COMMAND, format_table()))
