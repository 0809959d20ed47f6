"""Every message of the commands on one page, as a person reads it; and what no message says.

``python tests/test_messages.py`` prints the page: errors, hints, notes, help and summaries, by the
module that says them, with {…} for what is filled in.
"""

from __future__ import annotations

import ast
import functools
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("cli/stemzarr_cli", "catalog/stemzarr_catalog", "stemzarr/stemzarr")
NOT_SAID = (
    *("once that", "judged by", "is found by", "nor such", "takes it away", "no store and no"),
    *(
        "says nothing of",
        "say nothing",
        "of themselves",
        "so already",
        "nobody can",
        "one too many",
    ),
    *("is made again", "ends the process", "by its own word"),
)
"""Words that a reading of the page changed; those of the code at large are in `test_words`."""
_SHORTEST = 12


def is_command(node: ast.AST) -> bool:
    """Return whether a function is a command, whose docstring is its help."""
    marks = node.decorator_list if isinstance(node, ast.FunctionDef) else []
    return any(".command" in ast.unparse(mark) for mark in marks)


def texts(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield line and text of all sentences of a module but its documentation."""
    hidden: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            hidden |= {id(part) for part in ast.walk(node) if part is not node}
        body = getattr(node, "body", None)
        for part in body if isinstance(body, list) else []:
            is_help = is_command(node) and part is body[0]
            if isinstance(part, ast.Expr) and not is_help:
                hidden.add(id(part.value))
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.JoinedStr):
            parts = (v.value if isinstance(v, ast.Constant) else "{…}" for v in node.values)
            yield node.lineno, "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def is_sentence(text: str) -> bool:
    """Return whether a text is for people, and no statement of SQL, pattern or style."""
    words = re.findall(r"[a-z]{2,}", text)
    return len(text) > _SHORTEST and " " in text.strip() and len(words) > 1 and "SELECT" not in text


@functools.cache
def messages() -> list[tuple[str, int, str]]:
    """Return module, line and text of every message."""
    return [
        (path.relative_to(ROOT).as_posix(), line, text)
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        if "testing" not in path.parts
        for line, text in texts(ast.parse(path.read_text(encoding="utf-8")))
        if is_sentence(text)
    ]


def page() -> str:
    """Return all messages as one page."""
    lines, before = [], ""
    for module, line, text in messages():
        if module != before:
            lines += ["", f"## {module}", ""]
            before = module
        lines.append(f"- {line}: {' '.join(text.split())}")
    return "\n".join(["# What stemzarr says", *lines, ""])


def test_the_page_has_every_kind_of_message() -> None:
    """Errors, hints, help and summaries, from all three packages."""
    said = page()
    for text in (
        "in the lake already",
        "copy it again, or recover its patterns with --salvage",
        "Check every file and chunk of stores.",
        "no entry matches {…}",
        "the index is busy",
    ):
        assert text in said, text
    assert len(messages()) > 1000


def test_no_message_says_what_nobody_would() -> None:
    """Nor has a blank before a comma."""
    wrong = [
        (module, line, text)
        for module, line, text in messages()
        if any(words in text for words in NOT_SAID) or re.search(r"[a-z] [,;]( |$)", text)
    ]
    assert wrong == []


if __name__ == "__main__":
    sys.stdout.write(page())
