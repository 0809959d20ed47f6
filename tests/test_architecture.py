"""The page on the architecture is current: its picture, and the tests that it names."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from stemzarr.testing import floor_plan
from stemzarr.testing.pages import rewrite_page

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"


def test_the_floor_plan_is_what_the_imports_say() -> None:
    """The picture of the page is the one that is made from the imports."""
    page = PAGE.read_text(encoding="utf-8")
    made = rewrite_page(page, floor_plan.COMMAND, floor_plan.floor_plan())
    assert made == page, f"python -m {floor_plan.COMMAND} docs/architecture.md"


def test_every_test_of_an_invariant_exists() -> None:
    """Each test that the page names is a test of the suite."""
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))
    named = re.findall(r"`(test_\w+)`", PAGE.read_text(encoding="utf-8"))
    assert named
    assert [name for name in named if f"def {name}(" not in text] == []


def test_every_part_of_the_plan_is_explained() -> None:
    """The table below the picture has each part that is drawn."""
    page = PAGE.read_text(encoding="utf-8")
    parts = [part.removeprefix("stemzarr.") for part in floor_plan.imported_parts()]
    assert [part for part in parts if f"`{part}`" not in page] == []


def test_a_page_without_markers_is_refused() -> None:
    """A page in which a made part has no place is not changed in silence."""
    with pytest.raises(ValueError, match="no lines"):
        rewrite_page("# Architecture", floor_plan.COMMAND, "")


CHANGES = frozenset(
    {"rename", "renames", "unlink", "rmdir", "rmtree", "fsync", "fdatasync", "hardlink_to", "link"}
)
"""Names of functions that rename, remove or flush files."""
ALLOWED = {
    ("stemzarr_catalog/index_manager.py", "write_error"): "SQLite wraps what the system says",
    ("stemzarr_catalog/removing.py", "write_error"): "names the store, not the folder aside",
    ("stemzarr_cli/rename.py", "rename"): "of an entry of a lake",
}
"""What is found outside of `storage` all the same, and why."""


def system_calls(tree: ast.AST) -> Iterator[str]:
    """Yield what a module does to files, or makes of the system's errors, by itself."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            # str.replace takes two arguments, dataclasses.replace keywords.
            is_move = name == "replace" and len(node.args) == 1 and not node.keywords
            if name in CHANGES | {"read_error", "write_error"} or is_move:
                yield name
        elif isinstance(node, ast.Attribute):
            if node.attr in {"errno", "winerror"}:
                yield node.attr
            elif isinstance(node.value, ast.Name) and node.value.id == "os":
                yield from {"remove", "replace"} & {node.attr}


def test_storage_alone_changes_files_and_reads_errors() -> None:
    """Outside of `storage` no module renames, flushes or removes files, or looks at an errno."""
    found = set()
    for package in ("stemzarr/stemzarr", "catalog/stemzarr_catalog", "cli/stemzarr_cli"):
        for path in (ROOT / package).rglob("*.py"):
            part = path.relative_to((ROOT / package).parent)
            if part.parts[1] not in {"storage", "testing"}:
                tree = ast.parse(path.read_text(encoding="utf-8"))
                found |= {(part.as_posix(), call) for call in system_calls(tree)}
    assert found == set(ALLOWED)


@pytest.mark.parametrize(
    "text",
    ["a.replace(b)", "os.replace(a, b)", "a.unlink()", "os.remove(a)", "e.errno", "fsync(f)"],
)
def test_a_change_of_files_is_seen(text: str) -> None:
    """Each way to change a file is one that the test above finds; texts are no files."""
    assert list(system_calls(ast.parse(text)))
    assert not list(system_calls(ast.parse("a.replace('b', 'c'); replace(a, b=1)")))
