"""Public functions say which errors they raise."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
MODULES = sorted(
    path
    for package in ("stemzarr/stemzarr", "catalog/stemzarr_catalog")
    for path in (ROOT / package).rglob("*.py")
)
Function = ast.FunctionDef | ast.AsyncFunctionDef


def public(tree: ast.Module) -> Iterator[tuple[str, str, Function]]:
    """Yield the name, the documentation and the node of each public function and method."""
    for node in tree.body:
        if isinstance(node, Function) and not node.name.startswith("_"):
            yield node.name, ast.get_docstring(node) or "", node
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            said = ast.get_docstring(node) or ""
            for inner in node.body:
                if isinstance(inner, Function) and inner.name in {"__init__", "__post_init__"}:
                    yield f"{node.name}.{inner.name}", said, inner
                elif isinstance(inner, Function) and not inner.name.startswith("_"):
                    said_here = ast.get_docstring(inner) or ""
                    yield f"{node.name}.{inner.name}", said_here, inner


def raised(function: Function) -> set[str]:
    """Return the errors that a function makes and raises itself."""
    calls = [node.exc for node in own_nodes(function) if isinstance(node, ast.Raise)]
    return {ast.unparse(call.func) for call in calls if isinstance(call, ast.Call)}


def own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what is below a node, but for functions inside it."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, Function | ast.Lambda):
            yield child
            yield from own_nodes(child)


def test_public_functions_name_what_they_raise() -> None:
    """Each error that a public function raises itself is in its docstring, or in its class's."""
    silent = [
        f"{path.relative_to(ROOT)}: {name} raises {error}"
        for path in MODULES
        if "raise" in (text := path.read_text(encoding="utf-8"))
        for name, said, function in public(ast.parse(text))
        if "Raise" not in said
        for error in sorted(raised(function))
        if error.rpartition(".")[2][:1].isupper() and error not in said
    ]
    assert not silent, "\n".join(silent)
