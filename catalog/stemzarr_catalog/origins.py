"""Marks by which entries are seen to come from the same acquisition."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import xxhash

if TYPE_CHECKING:
    from stemzarr.model import Document

__all__ = ["list_origins"]

_PROVENANCE = "provenance"
_DEEPEST = 8


def list_origins(
    record: Mapping[str, Any],
    main: Document,
    tags: Mapping[str, Any],
    files: Mapping[str, tuple[int, str]],
) -> list[str]:
    """Return the marks of a store; two stores with one in common have one origin.

    Parameters
    ----------
    record
        What the store says of its source.
    main
        The main document.
    tags
        The tag tree of the source, in which exports of stemzarr say what they were made from.
    files
        Size and digest of each file of the store, as its manifest has them.
    """
    marks = [f"source {record.get('hash')}"] if record.get("hash") else []
    marks += _file_of(record, "name")
    shards = (key for key in files if key.startswith("intensity/c/"))
    values = [(key, files[key][1]) for key in sorted(shards)]
    if values:
        what = json.dumps([main.dtype.name, list(main.shape), values])
        marks.append(f"pixels {xxhash.xxh3_128_hexdigest(what.encode())}")
    marks += (mark for lineage in _lineages(main, tags) for mark in _marks_of(lineage))
    return list(dict.fromkeys(marks))


def _lineages(main: Document, tags: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Give what an export says of where it came from: in its attributes, or in its tags."""
    said = main.attributes.get(_PROVENANCE)
    if isinstance(said, str):
        try:
            lineage = json.loads(said)
        except ValueError:
            lineage = None
        if isinstance(lineage, Mapping):
            yield lineage
    waiting: list[tuple[Mapping[str, Any], int]] = [(tags, 0)]
    while waiting:
        tree, depth = waiting.pop()
        for key, value in tree.items():
            if not isinstance(value, Mapping):
                continue
            if key == _PROVENANCE and "stemzarr" in value:
                yield value
            elif depth < _DEEPEST:
                waiting.append((value, depth + 1))


def _marks_of(lineage: Mapping[str, Any]) -> Iterator[str]:
    """Give the marks of everything that an export was made from, step by step."""
    for _ in range(_DEEPEST):
        if lineage.get("hash"):
            yield f"source {lineage['hash']}"
        yield from _file_of(lineage, "source")
        origin = lineage.get("origin")
        if not isinstance(origin, Mapping):
            return
        lineage = origin


def _file_of(record: Mapping[str, Any], name: str) -> Iterator[str]:
    """Give the mark of a file; scans of a session often have one name and one size."""
    said = [record.get(key) for key in (name, "size", "modified")]
    if all(said):
        yield f"file {said[0]} {said[1]} {str(said[2])[:19]}"
