"""The words of code, messages, help and documentation are those of the field, in plain English."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHIPPED = ("stemzarr/stemzarr", "catalog/stemzarr_catalog", "cli/stemzarr_cli")
SUFFIXES = (".py", ".js", ".css", ".json")

INSTEAD = {
    r"\banew\b": "again, rebuilt, new",
    r"\blest\b": "so that … not",
    r"\b(lend|lends|lent|lent room|lender)\b": "borrow, buffer",
    r"\b(class|some|borrowed) [Rr]ooms?\b|\bRoom\(": "Buffer, buffer pool",
    r"\btold\b|\btells? (of|nobody)\b": "reported, progress callback",
    r"\bTell whether\b": "Return whether",
    r"the user's word|takes its word": "set by --layout, trusts",
    r"\bbe had\b": "cannot be read, recovered",
    r"nothing to train from": "unsupported source type",
    r"beyond all numbers": "out of range",
    r"is no size": "not a valid size",
    r"(?<!here )\b(is|are|was|were) no (file|store|tag|path|part|number|whole)\b": "is not a …",
    r"no bytes that stemzarr knows|nobody reads the suffix": "unrecognized file format",
    r"a? ?fault of stemzarr": "internal error, please report",
    r"no terminal to ask at": "use --yes without a terminal",
    r"same command goes on": "Run the same command again to resume",
    r"found by that\b": "No scans match",
    r"\b(memory|buffers?) (is|are) dear\b|\bfresh memory\b": "expensive, allocate",
    r"\bpassed over\b(?! every)|RosettaSciIO passes over\b": "reported, skipped",
    r"\b(stands|stand|stood)\b(?! (for|out|alone|still|side))": "is, exists, is located",
    r"(?<!make it )\b(lies|lie|lay|lying)\b(?! (there|them))": "is, exists, is located",
    r"\bmend(s|ed|ing)?\b|\bmend_": "sanitize, correct",
    r"\bsay_(value|name|bytes)\b": "format_value, label, format_bytes",
    r"\b[Tt]ally\b": "counter",
    r"\b[Kk]eeper\b|\bwrite_face\b|\bits face\b|\bintake face\b": "index manager, catalog.yaml",
    r"\bturned through\b|\bturn the order\b": "transpose, reverse",
    r"\bTurn(Task|edBlocks)\b|\b(is|are) turned\b(?! away)": "transpose",
    r"(?<!\")\bfolds?\b|\bfolded (to|through|at|in)\b": "accumulate, partial sums, measure",
    r"\b(the|more|no|such|much) room\b(?! for a)": "space, size, budget",
    r"\bnot sound\b|\bfirst days\b|\bnone of ours\b|\bastray\b": "not valid, an early version",
    r"\bknows no\b": "does not take",
    r"(?<!here )\b(is|are) no (error|matter|angle|JSON|text|number)\b": "is not a …",
    r"\b[Tt]wins?\b|\b[Ss]trangers?\b": "copy, unknown source",
}
"""What a person of the field would stumble over, as an expression → what is said instead."""


def shipped() -> list[Path]:
    """Return the files of the packages, their documentation and the README."""
    packages = [
        path for root in SHIPPED for path in (ROOT / root).rglob("*") if path.suffix in SUFFIXES
    ]
    pages = [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "upstream").glob("*.md")]
    return [*sorted(packages), *sorted(pages), ROOT / "README.md"]


def modules() -> list[Path]:
    """Return the modules of the packages that hold any code or text."""
    found = [path for root in SHIPPED for path in sorted((ROOT / root).rglob("*.py"))]
    return [path for path in found if path.read_text(encoding="utf-8").strip()]


@pytest.mark.parametrize("phrase", INSTEAD)
def test_no_phrase_of_the_list_is_used(phrase: str) -> None:
    """Code, comments, messages, help and pages are free of words that have a plainer one."""
    pattern = re.compile(phrase)
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in shipped()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line)
    ]
    assert not found, f"say {INSTEAD[phrase]!r}:\n" + "\n".join(found)


def test_every_module_says_what_it_is_for() -> None:
    """The first line of each module is a sentence on one line, and no two are the same."""
    first: dict[str, Path] = {}
    for path in modules():
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        line = text.partition("\n")[0]
        assert line.endswith((".", ":", "`")), f"{path.relative_to(ROOT)}: {line!r}"
        assert line not in first, f"{path.relative_to(ROOT)} says the same as {first[line]}"
        first[line] = path
