"""The page about trust promises nothing that no test holds it to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "trust.md").read_text(encoding="utf-8")
FAULTS = {
    "killed at any moment": "SIGKILL",
    "disk fills": "a full disk",
    "read-only": "folders that cannot be written",
    "shrinks, grows, vanishes": "a source that changes",
    "EIO": "a failing read",
    "journal cannot grow": "a full journal",
    "journal of an unfinished ingest is cut": "a corrupt journal",
    "clock jumps": "a clock that jumps",
    "has no locks": "a file system without locks",
    "byte of any file flips": "bit rot",
    "shard is lost": "a lost shard",
    "deleted, emptied or cut, or one is added": "files that come and go",
    "`export` is killed": "an interrupted export",
    "in any order": "any order of work",
}


def rows() -> list[list[str]]:
    """Return the cells of all rows of the tables of promises."""
    found = []
    for table in re.findall(r"^\| what happens .*\n\|---.*\n((?:\|.*\n)+)", PAGE, re.MULTILINE):
        found += [line.strip("| \n").split(" | ") for line in table.splitlines()]
    return found


def defined() -> set[str]:
    """Return the names of all tests."""
    names = set()
    for file in (ROOT / "tests").rglob("test_*.py"):
        text = file.read_text(encoding="utf-8")
        names |= set(re.findall(r"^def (test_\w+)\(|^(Test\w+) =", text, re.MULTILINE))
    return {name for pair in names for name in pair if name}


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0][:50])
def test_every_row_names_tests_that_are_there(row: list[str]) -> None:
    """Three cells: what happens, what comes of it, and the tests of that."""
    assert len(row) == 3, row
    named = re.findall(r"`((?:test_|Test)\w+)`", row[2])
    assert named
    assert set(named) <= defined()


def test_every_test_and_script_in_the_text_is_there() -> None:
    """What is named outside the tables, too."""
    assert set(re.findall(r"`(test_\w+)`", PAGE)) <= defined()
    for script in re.findall(r"(\w+\.py)", PAGE):
        places = (ROOT / "benchmarks", ROOT / "tests" / "trust")
        assert any((place / script).is_file() for place in places), script


@pytest.mark.parametrize("words", FAULTS, ids=FAULTS.values())
def test_every_kind_of_fault_has_a_row(words: str) -> None:
    """None of the faults that must be survived is left out."""
    assert any(words in row[0] for row in rows())
