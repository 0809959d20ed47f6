"""The table of fields in docs/queries.md.

``python -m stemzarr_catalog.field_table docs/queries.md`` writes it again.
"""

from __future__ import annotations

from typing import Final

from stemzarr.testing.pages import markdown_table, rewrite_page, write_page
from stemzarr_catalog.fields import FIELDS, Field

__all__ = ["COMMAND", "field_table"]

COMMAND: Final = "stemzarr_catalog.field_table"
_VALUES: Final = {
    "text": "text",
    "path": "text",
    "number": "numbers",
    "date": "dates",
    "flag": "yes or no",
}


def field_table() -> str:
    """Return the table in Markdown."""
    return markdown_table(("field", "values", "means"), map(_cells, FIELDS.values()))


def _cells(field: Field) -> tuple[str, str, str]:
    values = "whole numbers" if field.whole else _VALUES[field.type]
    said = field.meaning + (f" ({field.unit})" if field.unit else "")
    return f"`{field.name}`", values, said


if __name__ == "__main__":
    write_page(lambda page: rewrite_page(page, COMMAND, field_table()))
