"""The README and the documentation do what they say."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import urllib.request
import webbrowser
from pathlib import Path

import click
import pytest

from stemzarr.testing import write_synthetic_dm4
from stemzarr_cli.program import COMMANDS, program, run
from stemzarr_cli.report import INTERRUPTED

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
DOCS = [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "upstream").glob("*.md")]
PAGES = [ROOT / "README.md", *sorted(DOCS)]


def test_the_first_two_blocks_are_the_two_commands() -> None:
    """Installing and trying is one line, testing is one line, and they come first."""
    first, second = (text for language, text in BLOCKS[:2] if language == "sh")
    assert len(first.splitlines()) == len(second.splitlines()) == 1
    assert first.rstrip().endswith("stemzarr demo")
    assert "pytest" in second


def run_example(script: str, *words: str) -> None:
    """Run a script of the repository, named from its top folder; a training for one epoch."""
    pytest.importorskip("matplotlib")
    command = [sys.executable, str(ROOT / script), *words, "--epochs", "1"]
    # two trainings beside each other lose more by waiting for each other than threads gain
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=alone)
    assert done.returncode == 0, done.stderr


def run_explorer(words: list[str]) -> None:
    """Serve the explorer; what it opens as its browser reads the page, then types Ctrl-C."""
    pages = []

    def read(address: str) -> bool:
        with urllib.request.urlopen(address, timeout=60) as page:  # noqa: S310 - it is ours
            pages.append(page.read())
        signal.raise_signal(signal.SIGINT)
        return True

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(webbrowser, "open", read)
        assert run(words) == INTERRUPTED
    assert b'data-source="server"' in pages[0]


def run_blocks(blocks: list[tuple[str, str]]) -> None:
    """Run commands and Python of a page, in their order, in the present folder, as one reader."""
    names: dict[str, object] = {}
    for language, text in blocks:
        if language == "sh":
            for line in text.splitlines():
                program_name, *words = shlex.split(line)
                if program_name == "python":
                    run_example(*words)
                elif words[0] == "explore":
                    run_explorer(words)
                else:
                    assert program_name == "stemzarr"
                    assert run(words) == 0, line
        else:
            assert language == "python"
            exec(compile(text, "README.md", "exec"), names)  # noqa: S102 - our own page
    for value in names.values():
        if hasattr(value, "close") and not isinstance(value, type):
            value.close()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder that holds a scan and nothing else."""
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STEMZARR_LAKE", raising=False)
    write_synthetic_dm4(Path("scan.dm4"), (16, 16), (16, 16))
    return tmp_path


def test_the_tour_works(folder: Path) -> None:
    """Every command and every line of Python of the README's tour runs."""
    run_blocks(BLOCKS[2:])
    assert (folder / "again.dm4").read_bytes() == (folder / "scan.dm4").read_bytes()


@pytest.mark.filterwarnings("ignore:.*tensorboardX:UserWarning")  # of Lightning
@pytest.mark.parametrize(
    "page", ["cookbook", "far", "programs", "publish", "queries", "store", "training"]
)
@pytest.mark.usefixtures("folder")
def test_the_examples_of_a_page_work(page: str) -> None:
    """What a page shows for a store of the lake runs as it is written."""
    if page == "far":
        pytest.importorskip("obstore")
    if page == "queries":
        pytest.importorskip("pyarrow")
    if page == "programs":
        pytest.importorskip("hyperspy")
    write_synthetic_dm4(Path("scan.dm4"), (48, 48), (32, 32))
    assert run(["ingest", "scan.dm4", "--quiet"]) == 0
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    run_blocks(re.findall(r"^```(sh|python)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    for name in re.findall(r"\]\(pictures/(.*?)\)", text):
        assert Path(name).stat().st_size, "the page shows what its recipes draw"


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
