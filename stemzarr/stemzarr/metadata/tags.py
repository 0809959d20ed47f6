"""Tag trees as JSON from which every value and its type can be recovered.

* A group is an object, a group without names an array. A group whose names repeat, or that mixes
  named and unnamed entries, is ``{"@entries": [[name, value], …]}``.
* Text, truth values and numbers are themselves; NaN and infinities the strings ``NaN``,
  ``Infinity``, ``-Infinity``; a struct is an array of its members.
* An array is a JSON array where it is short, else
  ``{"@array": {"dtype": …, "count": …, "base64": …}}``; pixels, which the store holds elsewhere,
  and arrays beyond 64 MiB come without ``base64`` and with their ``offset`` in the source.
* ``@types`` of the root maps the JSON pointer (RFC 6901) of a value to its type, such as ``f4``,
  ``u2``, ``f4[3]`` for an array, ``(i2,i2,i2)`` for a struct. Where it says nothing, a value is
  what JSON shows: text, a truth value, a 32-bit integer or a double.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stemzarr.model import Document

__all__ = [
    "TYPES",
    "encoded_array",
    "entry_list",
    "is_mark",
    "own_tags",
    "plain_tags",
    "pointer_to",
]

TYPES: Final = "@types"
_ARRAY: Final = "@array"
ENTRIES: Final = "@entries"


def is_mark(name: str) -> bool:
    """Return whether a name could be taken for a mark, so that its group is an `entry_list`."""
    return not name or name.startswith("@")


def entry_list(entries: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return a group whose names repeat, are empty, or look like marks."""
    return {ENTRIES: [[name, value] for name, value in entries]}


def encoded_array(
    dtype: np.dtype[Any], count: int | None, *, payload: bytes | None = None, offset: int = 0
) -> dict[str, Any]:
    """Return an array whose form is not a JSON list.

    Parameters
    ----------
    dtype
        Type of its values.
    count
        How many there are.
    payload
        Their bytes; None where they are only in the source.
    offset
        First of their bytes in the source.
    """
    described = [list(member) for member in dtype.descr] if dtype.names else dtype.str
    place = (
        {"offset": offset} if payload is None else {"base64": base64.b64encode(payload).decode()}
    )
    return {_ARRAY: {"dtype": described, "count": count, **place}}


def pointer_to(pointer: str, *names: str | int) -> str:
    """Return the JSON pointer (RFC 6901) of a member below another.

    Examples
    --------
    >>> pointer_to("", "a/b", 0)
    '/a~1b/0'
    """
    parts = (str(name).replace("~", "~0").replace("/", "~1") for name in names)
    return "/".join((pointer, *parts))


def plain_tags(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tag tree for programs that know nothing of our JSON.

    An encoded array becomes an array, or what is known of it where its values are elsewhere.
    Entries whose names repeat become a dictionary in which the later ones are numbered, and
    entries without any name a list. What was JSON before stays as it is.
    """
    # "@types" is not a tag: it says which types the numbers of our JSON had
    plain = _plain({name: value for name, value in tree.items() if name != TYPES})
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
    array, entries = value.get(_ARRAY), value.get(ENTRIES)
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
        from numpy.lib.recfunctions import structured_to_unstructured  # few files need it

        values = structured_to_unstructured(values)
    return values.astype(values.dtype.newbyteorder("="), copy=False)
