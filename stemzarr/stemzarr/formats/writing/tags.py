"""The tag tree of a source as plain values, without the marks by which our JSON keeps its types."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.lib.recfunctions import structured_to_unstructured
from numpy.typing import NDArray

from stemzarr.model import Document

__all__ = ["own_tags", "plain_tags"]

_TYPES, _ARRAY, _ENTRIES = "@types", "@array", "@entries"


def plain_tags(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tag tree for programs that know nothing of our JSON.

    An encoded array becomes an array, or what is known of it where its values are elsewhere.
    Entries whose names repeat become a dictionary in which the later ones are numbered, and
    entries without any name a list. What was JSON before stays as it is.
    """
    # "@types" is not a tag: it says which types the numbers of our JSON had
    plain = _plain({name: value for name, value in tree.items() if name != _TYPES})
    return plain if isinstance(plain, dict) else _named(list(enumerate(plain)))


def own_tags(tree: Mapping[str, Any], document: Document) -> dict[str, Any] | None:
    """Return the part of a tag tree that is about one document; None where there is none.

    A program that opens all documents of a file would read the whole tree once for each.
    """
    images = tree.get("ImageList")
    if isinstance(images, list) and document.index < len(images):
        return {"ImageList": [images[document.index]]}
    own = tree.get(document.slug)
    return {document.slug: own} if isinstance(own, Mapping) else None


def _plain(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    array, entries = value.get(_ARRAY), value.get(_ENTRIES)
    if len(value) == 1 and isinstance(array, dict) and "count" in array:
        return _array(array)
    if len(value) == 1 and isinstance(entries, list):
        pairs = [(name, _plain(item)) for name, item in entries]
        return _named(pairs) if any(name for name, _ in pairs) else [item for _, item in pairs]
    return {name: _plain(item) for name, item in value.items()}


def _named(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for number, (name, value) in enumerate(pairs):
        unique = str(name) or str(number)
        while unique in named:
            unique += f" ({number})"
        named[unique] = value
    return named


def _array(described: dict[str, Any]) -> NDArray[Any] | dict[str, Any]:
    if "base64" not in described:
        return described
    dtype = described["dtype"]
    stored = np.dtype([tuple(field) for field in dtype] if isinstance(dtype, list) else dtype)
    values = np.frombuffer(base64.b64decode(described["base64"]), stored)
    if values.dtype.names is not None:
        values = structured_to_unstructured(values)
    return values.astype(values.dtype.newbyteorder("="), copy=False)
