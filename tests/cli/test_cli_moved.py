"""Where a person sits at the terminal, a moved folder is one question; elsewhere it is none."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from stemzarr_catalog import open_lake
from stemzarr_cli.program import run

pty = pytest.importorskip("pty")  # not on Windows

QUESTION = "Were they moved?"


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bytes], None]]:
    """Return a function that types something at the terminal that stands for stdin."""
    master, slave = pty.openpty()
    with os.fdopen(slave, encoding="utf-8") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield lambda text: (os.write(master, text), None)[1]
    os.close(master)


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """Return a lake with two files of a folder that is elsewhere now."""
    (tmp_path / "old").mkdir()
    for number, name in enumerate(("one.npy", "two.npy")):
        np.save(tmp_path / "old" / name, np.full((3, 4, 8, 8), number, "u2"))
    assert run(["ingest", str(tmp_path / "old"), "--lake", str(tmp_path / "lake"), "-q"]) == 0
    shutil.move(tmp_path / "old", tmp_path / "new")
    return tmp_path / "lake"


@pytest.mark.parametrize("typed", ["y", "n"])
def test_a_moved_folder_is_one_question(
    lake: Path,
    typed: str,
    answer: Callable[[bytes], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The answer holds for all files of the folder; both find what is known, 'n' by its bytes."""
    new, old = lake.with_name("new"), lake.with_name("old")
    answer(f"{typed}\n".encode())
    assert run(["ingest", str(new), "--lake", str(lake)]) == 0
    captured = capsys.readouterr()
    assert captured.err.count(QUESTION) == 1
    assert f"files below {new} have the same names" in captured.err
    assert f"those below {old}" in captured.err
    assert captured.out.count("unchanged") == 2
    how = "moved here from" if typed == "y" else "is the same file as"
    assert captured.out.count(how) == 2
    known = open_lake(lake).known
    assert list(known.earlier_paths(str(new / "one.npy"))) == [str(old / "one.npy")] * (
        typed == "y"
    )
    assert run(["ingest", str(new), "--lake", str(lake)]) == 0
    captured = capsys.readouterr()
    assert QUESTION not in captured.err
    assert captured.out.count("unchanged") == 2


def test_a_file_that_only_looks_alike_is_stored_where_that_is_answered(
    lake: Path, answer: Callable[[bytes], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """'n' stores a file of the same name and size whose bytes differ, without a question."""
    one = lake.with_name("new") / "one.npy"
    times = one.stat()
    np.save(one, np.full((3, 4, 8, 8), 9, "u2"))
    os.utime(one, ns=(times.st_atime_ns, times.st_mtime_ns))
    answer(b"n\n")
    assert run(["ingest", str(one.parent), "--lake", str(lake)]) == 0
    captured = capsys.readouterr()
    assert captured.err.count(QUESTION) == 1
    assert len(open_lake(lake)) == 3


def test_who_leaves_the_question_stores_nothing(
    lake: Path, answer: Callable[[bytes], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """The end of the input instead of an answer stops the command, and the lake stays as it is."""
    answer(b"\x04")
    assert run(["ingest", str(lake.with_name("new")), "--lake", str(lake)]) != 0
    assert capsys.readouterr().err.count(QUESTION) == 1
    assert len(open_lake(lake)) == 2
    assert list(open_lake(lake).known.earlier_paths(str(lake.with_name("new") / "one.npy"))) == []


@pytest.mark.parametrize("option", ["--json", "--quiet"])
def test_scripts_are_not_asked(
    lake: Path,
    option: str,
    answer: Callable[[bytes], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With --json or --quiet both options that answer are named, at a terminal too."""
    answer(b"y\n")
    new, old = lake.with_name("new"), lake.with_name("old")
    assert run(["ingest", str(new), "--lake", str(lake), option]) == 1
    captured = capsys.readouterr()
    assert QUESTION not in captured.err
    assert captured.err.count(f"--moved '{old}={new}'") == 2
    assert run(["ingest", str(new), "--lake", str(lake), option, "--moved", f"{old}={new}"]) == 0
    assert len(open_lake(lake)) == 2
