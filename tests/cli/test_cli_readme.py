"""The README and the documentation do what they say."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from stemzarr.testing import write_synthetic_dm4
from stemzarr_cli.program import COMMANDS, program, run

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_first_two_blocks_are_the_two_commands() -> None:
    """Installing and trying is one line, testing is one line, and they come first."""
    first, second = (text for language, text in BLOCKS[:2] if language == "sh")
    assert len(first.splitlines()) == len(second.splitlines()) == 1
    assert first.rstrip().endswith("stemzarr demo")
    assert "pytest" in second


def test_the_tour_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command and every line of Python of the tour runs, in its order, in one folder."""
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STEMZARR_LAKE", raising=False)
    write_synthetic_dm4(Path("scan.dm4"), (6, 8), (16, 16))
    for language, text in BLOCKS[2:]:
        if language == "sh":
            for line in text.splitlines():
                program_name, *words = shlex.split(line)
                assert program_name == "stemzarr"
                assert run(words) == 0, line
        else:
            assert language == "python"
            names: dict[str, object] = {}
            exec(compile(text, "README.md", "exec"), names)  # noqa: S102 - our own page
            for value in names.values():
                if hasattr(value, "close") and not isinstance(value, type):
                    value.close()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_is_written_exists(page: Path) -> None:
    """No page shows a command or option that the program does not have."""
    text = page.read_text(encoding="utf-8")
    spans = re.findall(r"`(stemzarr [^`\n]+)`", text)
    for _, block in re.findall(r"^```(sh)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        spans += [line for line in block.splitlines() if line.startswith("stemzarr ")]
    for span in spans:
        _, name, *words = span.replace("'", "").split()
        if name.isupper() or name.startswith("-"):
            continue
        assert name in COMMANDS, span
        command = program.get_command(click.Context(program), name)
        if isinstance(command, click.Group):
            command = command.commands[words[0]]
        assert command is not None
        known = {opt for param in command.params for opt in param.opts} | {"-h"}
        given = {word for word in words if re.fullmatch(r"--?[a-z][\w-]*", word)}
        assert given <= known, span


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_link_leads_nowhere(page: Path) -> None:
    """Every relative link of a page leads to a file that is there."""
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert "://" in target or (page.parent / target).exists(), target
