"""The page on the architecture is current: its picture, and the tests that it names."""

from __future__ import annotations

import re
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
