"""The table of facts in docs/store.md, made from the one in `stemzarr.metadata.facts`.

``python -m stemzarr.testing.facts_table docs/store.md`` writes it again.
"""

from __future__ import annotations

from typing import Final

from stemzarr.metadata.facts import FACTS, FactRow
from stemzarr.testing.pages import markdown_table, rewrite_page, write_page

__all__ = ["COMMAND", "facts_table"]

COMMAND: Final = "stemzarr.testing.facts_table"
_TYPES: Final = {"number": "number", "text": "text", "date": "ISO 8601", "flag": "0 or 1"}


def facts_table() -> str:
    """Return the table in Markdown."""
    return markdown_table(
        ("attribute", "means", "value", "removed by `--redact`"), map(_cells, FACTS)
    )


def _cells(fact: FactRow) -> tuple[str, ...]:
    value = f"{_TYPES[fact.type]} or text" if fact.or_text else fact.unit or _TYPES[fact.type]
    return f"`{fact.name}`", fact.meaning, value, "yes" if fact.personal else ""


if __name__ == "__main__":
    write_page(lambda page: rewrite_page(page, COMMAND, facts_table()))
