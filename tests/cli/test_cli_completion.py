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
    lake.tag("Diff_one", "good", "goody", "two words", fields={"grain": 3})
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
    assert complete("ls", "kind", "=", "4") == ["4d-stem"]
    assert complete("ls", "kind", "=") == ["4d-stem"]
    assert complete("ls", "tag", "=", "good", "kind", "=") == ["4d-stem"]
    assert complete("ls", "--lake", "=", "stemzarr-lake", "--sort", "gra") == ["grain"]
    assert complete("ls", "tag", "=", "goo") == ["good", "goody"]
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


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a search path on which the program is found."""
    program = tmp_path_factory.mktemp("bin") / "stemzarr"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m stemzarr_cli "$@"\n')
    program.chmod(0o755)
    return f"{program.parent}{os.pathsep}{os.environ['PATH']}"


def ask_shell(shell: str, script: str, place: Path, path: str) -> list[str]:
    """Return what a shell prints; it is skipped where it is not installed."""
    if shutil.which(shell) is None or sys.platform == "win32":
        pytest.skip(f"needs {shell}")
    done = subprocess.run(
        [shell, "-c", script],
        cwd=place,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_bash_gets_names_files_and_values(place: Path, path: str) -> None:
    """The function fills the reply with them, blanks and all; it is asked as bash cuts words."""
    script = (
        'eval "$(stemzarr completion bash)"; compopt() { :; }\n'
        'ask() { COMP_WORDS=(stemzarr "$@"); COMP_CWORD=$#; _stemzarr_completion stemzarr\n'
        'printf "%s\\n" "${COMPREPLY[@]}"; }\n'
        "ask show Diff; ask ls kind =; ask tag Diff_one --add two"
    )
    names = ["Diff one.dm4", "Diff two.txt", "Diff_one"]
    said = ask_shell("bash", script, place, path)
    assert sorted(said) == sorted([*names, "4d-stem", r"two\ words"])


def test_fish_gets_names_files_and_values(place: Path, path: str) -> None:
    """Each with what it is behind a tab."""
    words = ("show Diff", "ls kind=", "tag Diff_one --add two", "ls --sort acq")
    asked = "; ".join(f'complete -C "stemzarr {one}"' for one in words)
    said = ask_shell("fish", f"stemzarr completion fish | source; {asked}", place, path)
    names = ["Diff one.dm4", "Diff two.txt", "Diff_one\t4d-stem"]
    assert said[:3] == names
    assert said[3:] == ["kind=4d-stem", "two words", "acquired\twhen it was acquired"]


def test_zsh_gets_names_and_values(place: Path, path: str) -> None:
    """What ends in an equals sign is given apart: no blank goes behind it."""
    script = (
        "compdef() { :; }; _path_files() { print FILES; }\n"
        "_describe() { print -l -- ${(P)3}; }; compadd() { print -l -- ${(P)@[-1]}; }\n"
        'eval "$(stemzarr completion zsh)"\n'
        "words=(stemzarr show di); CURRENT=3; _stemzarr_completion\n"
        "words=(stemzarr ls camera); _stemzarr_completion\n"
        "words=(stemzarr ls kind=4); _stemzarr_completion"
    )
    said = ask_shell("zsh", script, place, path)
    assert said == ["FILES", "Diff_one:4d-stem", "camera_length_mm=:camera length", "kind=4d-stem"]


def test_commands_are_completed_without_their_modules(complete: Complete) -> None:
    """All of them, in the order of the list."""
    assert complete("") == [*COMMANDS, "FILES"]
