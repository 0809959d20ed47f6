"""The floor plan in docs/architecture.md: which part imports which, read from the imports.

``python -m stemzarr.testing.floor_plan docs/architecture.md`` writes it again.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from stemzarr.testing.pages import rewrite_page, write_page

__all__ = ["COMMAND", "floor_plan", "imported_parts", "reduce_plan"]

COMMAND: Final = "stemzarr.testing.floor_plan"
_PACKAGES: Final = ("stemzarr", "stemzarr_catalog", "stemzarr_cli")
_LEFT_OUT: Final = (
    "stemzarr.testing",
    "stemzarr.format_row",
    "stemzarr.recognition",
    "stemzarr._version",
)
"""Test support, the two tables of which the registry and the readers consist, and the version."""


def imported_parts() -> dict[str, frozenset[str]]:
    """Return for each part of stemzarr, and for the catalog and the program, what it imports.

    A part is a folder or a module directly below the package. Imports inside functions count,
    those for type checking alone do not.
    """
    plan: dict[str, set[str]] = {}
    for package in _PACKAGES:
        spec = importlib.util.find_spec(package)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            for path in sorted(Path(folder).rglob("*.py")):
                names = path.relative_to(Path(folder).parent).with_suffix("").parts
                part = _part(".".join(name for name in names if name != "__init__"))
                imported = map(_part, _imports(ast.parse(path.read_text(encoding="utf-8"))))
                plan.setdefault(part, set()).update(imported)
    drawn = {part for part in plan if part not in (*_LEFT_OUT, "stemzarr")}
    return {part: frozenset(plan[part] & drawn - {part}) for part in sorted(drawn)}


def _part(module: str) -> str:
    """Return the part that a module belongs to."""
    package, _, rest = module.partition(".")
    return f"{package}.{rest.partition('.')[0]}" if package == "stemzarr" and rest else package


def _imports(node: ast.AST) -> Iterator[str]:
    """Give the modules of ours that code imports when it runs."""
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    for child in ast.iter_child_nodes(node):
        yield from _imports(child)


def reduce_plan(plan: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """Return a plan without the arrows that follow from others.

    Examples
    --------
    >>> reduce_plan({"a": ["b", "c"], "b": ["c"], "c": []})
    {'a': ['b'], 'b': ['c'], 'c': []}
    """
    below: dict[str, set[str]] = {}

    def reach(part: str) -> set[str]:
        if part not in below:
            below[part] = set()
            below[part] = set(plan[part]).union(*(reach(other) for other in plan[part]))
        return below[part]

    return {
        part: sorted(set(others).difference(*map(reach, others))) for part, others in plan.items()
    }


def floor_plan() -> str:
    """Return the plan as a mermaid graph, each arrow from a part to one that it imports."""
    plan = reduce_plan(imported_parts())
    lines = ["```mermaid", "graph TD"]
    for part, others in plan.items():
        lines += [f"    {_label(part)} --> {_label(other)}" for other in others]
    return "\n".join([*lines, "```"])


def _label(part: str) -> str:
    return part.removeprefix("stemzarr.")


if __name__ == "__main__":
    write_page(lambda page: rewrite_page(page, COMMAND, floor_plan()))
