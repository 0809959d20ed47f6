"""The tag tree of a source, drawn as a tree or walked by a path."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from rich.text import Text
from rich.tree import Tree

from stemzarr.errors import EntryNotFoundError
from stemzarr_cli.text import format_number, printable

__all__ = ["draw_found", "draw_tags", "find_tag", "search_tags"]

_LIST_SHOWN = 8


def find_tag(tree: Any, path: str) -> Any:  # noqa: ANN401 - any part of a JSON document
    """Return the part of a tag tree that a path names.

    Parameters
    ----------
    tree
        Objects, lists and values.
    path
        Names and positions in lists (``[1]`` or ``1``) joined by ``/`` or, where no name holds
        one, by ``.``.

    Raises
    ------
    EntryNotFoundError
        The tree has no such part.
    """
    rest = path.strip("/")
    if not rest:
        return tree
    for shown, child in _children(tree):
        for name in {shown, shown.strip("[]") if isinstance(tree, list) else shown}:
            if rest == name:
                return child
            if rest.startswith((f"{name}/", f"{name}.")):
                try:
                    return find_tag(child, rest[len(name) + 1 :])
                except EntryNotFoundError:
                    if rest[len(name)] == "/":
                        raise
    names = [name for name, _ in _children(tree)]
    close = difflib.get_close_matches(rest, names, n=3, cutoff=0.4) or names[:5]
    hint = f"beside it are {', '.join(close)}" if names else "the part before it is a single value"
    raise EntryNotFoundError(f"the metadata has no {rest!r} there", hint=hint)


def search_tags(tree: Any, word: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - any JSON
    """Give path and value of each tag that has a word in its path or its value, without case."""
    wanted = word.casefold()
    waiting: list[tuple[str, Any]] = [("", tree)]
    while waiting:
        path, value = waiting.pop()
        inside = [] if _is_row_of_values(value) else _children(value)
        below = f"{path}/" if path else ""
        waiting += [(f"{below}{name}", child) for name, child in reversed(inside)]
        if not inside and path and wanted in f"{path} {value}".casefold():
            yield path, value


def draw_found(found: Mapping[str, Any]) -> Text:
    """Return a line for each tag that was found, by its path."""
    return Text("\n").join(_leaf(path, value) for path, value in found.items())


def _children(tree: Any) -> list[tuple[str, Any]]:  # noqa: ANN401 - any part of a JSON document
    if isinstance(tree, dict):
        return [(str(name), child) for name, child in tree.items()]
    if isinstance(tree, list):
        return [(f"[{position}]", child) for position, child in enumerate(tree)]
    return []


def draw_tags(tree: Any, label: str) -> Tree | Text:  # noqa: ANN401 - any part of a JSON document
    """Return a part of the tag tree for the terminal; long lists of numbers are shortened."""
    if not _children(tree):
        return _leaf(label, tree)
    root = Tree(Text(printable(label), style="bold"))
    _grow(root, tree)
    return root


def _grow(branch: Tree, tree: Any) -> None:  # noqa: ANN401 - any part of a JSON document
    for name, child in _children(tree):
        if isinstance(child, dict | list) and child and not _is_row_of_values(child):
            _grow(branch.add(Text(printable(name), style="bold")), child)
        else:
            branch.add(_leaf(name, child))


def _is_row_of_values(tree: Any) -> bool:  # noqa: ANN401 - any part of a JSON document
    return isinstance(tree, list) and not any(isinstance(child, dict | list) for child in tree)


def _leaf(name: str, value: Any) -> Text:  # noqa: ANN401 - any part of a JSON document
    if isinstance(value, list):
        shown = ", ".join(format_number(child) for child in value[:_LIST_SHOWN])
        more = f", … {len(value)} values" if len(value) > _LIST_SHOWN else ""
        shown = f"[{shown}{more}]"
    else:
        shown = "" if value is None else format_number(value)
    return Text.assemble((printable(name), "dim"), ": ", shown)
