"""A shell completes what is in the lake, and file names as ever."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stemzarr.testing import write_synthetic_dm4
from stemzarr_catalog import open_lake
from stemzarr_cli.completing import SHELLS
from stemzarr_cli.program import COMMANDS, run

Complete = Callable[..., list[str]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a lake and two files with blanks in their names."""
    root = tmp_path_factory.mktemp("place")
    write_synthetic_dm4(root / "Diff one.dm4", (2, 3), (8, 8))
    (root / "Diff two.txt").write_text("")
    lake = open_lake(root / "stemzarr-lake", create=True)
    lake.ingest(root / "Diff one.dm4")
    lake.tag("Diff_one", "good", "goody", fields={"grain": 3})
    return root


@pytest.fixture
def complete(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Complete:
    """Return a function that gives what zsh is told for words, the last one incomplete."""
    monkeypatch.chdir(place)
    monkeypatch.setenv("_STEMZARR_COMPLETE", "bash_complete")

    def ask(*words: str) -> list[str]:
        monkeypatch.setenv("COMP_WORDS", " ".join(("stemzarr", *words)))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        with pytest.raises(SystemExit):
            run([])
        lines = filter(None, capsys.readouterr().out.splitlines())
        return [line.partition(",")[2] or "FILES" for line in lines]

    return ask


def test_names_facts_fields_and_tags_are_known(complete: Complete) -> None:
    """What begins as the word, in any case; a value behind ``=``."""
    assert complete("show", "di") == ["Diff_one", "di"]
    assert complete("rename", "D") == ["Diff_one"]
    assert complete("ls", "camera") == ["camera_length_mm="]
    assert complete("ls", "kind=4") == ["kind=4d-stem"]
    assert complete("ls", "kind", "=", "4") == ["4d-stem"]
    assert complete("ls", "tag=goo") == ["tag=good", "tag=goody"]
    assert complete("ls", "--sort", "gra") == ["grain"]
    assert complete("tag", "Diff_one", "--add", "good") == ["good", "goody"]
    assert complete("calibrate", "Diff_one", "det.s") == ["det.scale="]
    assert complete("calibrate", "Diff_one", "expo") == ["exposure_s="]
    assert complete("ls", "nothing=") == []


def test_files_are_left_to_the_shell(complete: Complete) -> None:
    """Wherever a file can be meant, also in place of a command."""
    assert complete("ingest", "Di") == ["Di"]
    assert complete("export", "Di")[-1] == "Di"
    assert complete("Di") == ["Di"]
    assert complete("wat") == ["watch", "wat"]


def test_without_a_lake_nothing_is_wrong(
    complete: Complete, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No lake is made, and no error is printed into the line that is typed."""
    monkeypatch.chdir(tmp_path)
    assert complete("show", "di") == ["di"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_has_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It names the program and the variable by which it is asked."""
    assert run(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "_STEMZARR_COMPLETE" in script
    assert f"{shell}_complete" in script
    assert "%(" not in script


@pytest.mark.skipif(shutil.which("bash") is None or sys.platform == "win32", reason="needs bash")
def test_bash_gets_names_and_files(place: Path, tmp_path: Path) -> None:
    """The function fills the reply with both, blanks and all."""
    program = tmp_path / "stemzarr"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m stemzarr_cli "$@"\n')
    program.chmod(0o755)
    script = (
        'eval "$(stemzarr completion bash)"; compopt() { :; }\n'
        "COMP_WORDS=(stemzarr show Diff); COMP_CWORD=2; _stemzarr_completion stemzarr\n"
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", script],  # noqa: S607 - whichever bash there is
        cwd=place,
        env={**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert sorted(done.stdout.splitlines()) == ["Diff one.dm4", "Diff two.txt", "Diff_one"]
    assert done.stderr == ""


def test_commands_are_completed_without_their_modules(complete: Complete) -> None:
    """All of them, in the order of the list."""
    assert complete("") == [*COMMANDS, "FILES"]
