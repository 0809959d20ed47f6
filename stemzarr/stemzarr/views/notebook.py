"""What a notebook shows of views and of documents: small pieces of HTML that need nothing else."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

from stemzarr.model import Document

if TYPE_CHECKING:
    from stemzarr.views.view import View

__all__ = ["document_html", "view_html"]


def view_html(view: View) -> str:
    """Return a recipe in words, and the fields that it sets."""
    fields = (
        (field.name, repr(getattr(view, field.name)))
        for field in dataclasses.fields(view)
        if getattr(view, field.name) != field.default
    )
    return f"<div><p>{escape(f'View: {view.describe()}')}</p>{_table((), fields)}</div>"


def document_html(document: Document) -> str:
    """Return title, type, view and axes of a document; no value is read."""
    size = " × ".join(map(str, document.shape))
    words = document.group_attributes().get("view")
    lines = [f"{document.title} ({document.kind})", f"{size} {document.dtype.name}"]
    lines += [f"View: {words}"] if words is not None else []
    rows = (
        (
            axis.name,
            str(axis.size),
            f"{axis.scale:.6g}",
            f"{axis.offset:.6g} … {axis.offset + (axis.size - 1) * axis.scale:.6g}",
            axis.units,
        )
        for axis in document.axes
    )
    head = ("axis", "pixels", "pixel size", "from … to", "units")
    text = "".join(f"<p>{escape(line)}</p>" for line in lines)
    return f"<div>{text}{_table(head, rows)}</div>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table with every cell escaped."""
    lines = [_row("th", head)] if head else []
    return f"<table>{''.join([*lines, *(_row('td', row) for row in rows)])}</table>"


def _row(tag: str, cells: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"
