"""What ``source`` records of a document that its group does not say."""

from __future__ import annotations

import dataclasses
from typing import Any

from stemzarr.model import Document
from stemzarr.store.virtual import describe_pixels

__all__ = ["document_record"]


def document_record(document: Document, *, virtual: bool) -> dict[str, Any]:
    """Return what ``source`` records of a document that its group does not say."""
    layout = document.layout
    record = {
        "index": document.index,
        "slug": document.slug,
        "thumbnail": document.thumbnail,
        "notes": list(document.notes),
        "fact_paths": dict(document.fact_paths),
        "layout": None if layout is None else dataclasses.asdict(layout),
    }
    return record | {"pixels": describe_pixels(document)} if virtual else record
