"""Leaves out what says who made a scan, of what, and where it was kept."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

from stemzarr.model import Document, Source

__all__ = ["redact_source"]

_NAMES = re.compile(
    r"operator|specimen|sample name|user ?name|path|folder|director|print", re.IGNORECASE
)
_PATHS = re.compile(r"^(?:[A-Za-z]:[\\/]|\\\\|/(?:home|Users|mnt|media|data)/)")
_FACTS = ("operator", "specimen", "session")
_LEAST_LENGTH = 3
_NEAR = 120


@dataclasses.dataclass(frozen=True, slots=True)
class _Metadata:
    """The tag tree without what is redacted."""

    source: Source

    def __call__(self) -> dict[str, Any]:
        tree: dict[str, Any] = _without(self.source.load_metadata())
        return tree


@dataclasses.dataclass(frozen=True, slots=True)
class _Header:
    """The bytes outside the pixels with redacted text overwritten by spaces of equal length.

    Equal length keeps the file well-formed when it is rebuilt.
    """

    source: Source

    def __call__(self) -> bytes:
        content = self.source.load_header()
        for name, text in sorted(_redacted(self.source.load_metadata()), key=_by_length):
            content = _blank(content, name, text)
        return content


def redact_source(source: Source) -> Source:
    """Return the source without operator, specimen, session, paths and printer records."""
    note = "redacted: operator, specimen, paths and printer records are left out"
    if source.rebuildable:
        note += "; a rebuilt file will differ from the original there"
    return dataclasses.replace(
        source,
        documents=tuple(_redact_document(document) for document in source.documents),
        load_metadata=_Metadata(source),
        load_header=_Header(source),
        notes=(*source.notes, note),
    )


def _redact_document(document: Document) -> Document:
    return dataclasses.replace(
        document,
        facts={name: fact for name, fact in document.facts.items() if name not in _FACTS},
        fact_paths={n: path for n, path in document.fact_paths.items() if n not in _FACTS},
    )


def _is_redacted(name: str, value: Any) -> bool:  # noqa: ANN401 - any JSON
    return _NAMES.search(name) is not None or (
        isinstance(value, str) and _PATHS.match(value) is not None
    )


def _without(value: Any) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, dict):
        return {
            name: _without(item) for name, item in value.items() if not _is_redacted(name, item)
        }
    if isinstance(value, list):
        return [_without(item) for item in value if not _is_redacted("", item)]
    return value


def _redacted(value: Any, name: str = "", *, inside: bool = False) -> Iterator[tuple[str, str]]:  # noqa: ANN401
    """Yield name and text of every string that is left out."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _redacted(item, key, inside=inside or _is_redacted(key, item))
    elif isinstance(value, list):
        for item in value:
            yield from _redacted(item, name, inside=inside or _is_redacted("", item))
    elif inside and isinstance(value, str) and value:
        yield name, value


def _by_length(item: tuple[str, str]) -> tuple[int, str, str]:
    # The longest first: a text that is part of another must not spoil it.
    return -len(item[1]), item[1], item[0]


def _blank(content: bytes, name: str, text: str) -> bytes:
    """Overwrite a text of a DM file; a very short one only near the name of its tag."""
    for encoding in ("utf-16-le", "utf-16-be"):
        stored, blank = text.encode(encoding, "ignore"), (" " * len(text)).encode(encoding)
        blank = blank[: len(stored)]
        if len(text) >= _LEAST_LENGTH:
            content = content.replace(stored, blank)
            continue
        label = re.escape(name.encode("latin-1", "ignore"))
        near = rb"(?s)(" + label + rb".{0,%d}?)" % _NEAR + re.escape(stored)
        content = re.sub(near, rb"\g<1>" + blank, content)
    return content
