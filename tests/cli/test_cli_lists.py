"""Lists: the newest first, whole names, how many there are, and words that mean something else."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stemzarr.testing import write_synthetic_dm4
from stemzarr_catalog import Lake, open_lake
from stemzarr_cli.program import _CALLED, COMMANDS, run
from stemzarr_cli.report import Report

Lines = list[dict[str, Any]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a lake of three scans, in the order of their names the middle one is the newest."""
    root = tmp_path_factory.mktemp("made")
    for number, name in enumerate(("a_long_name_that_stays_whole", "b", "c")):
        write_synthetic_dm4(root / f"{name}.dm4", (2, 3), (8, 8), seed=number)
    assert run(["ingest", str(root), "--lake", str(root / "lake"), "--quiet"]) == 0
    lake = open_lake(root / "lake")
    for name, date in (("b", "2026-01-02"), ("c", "2026-01-01T12:00:00")):
        lake.calibrate(name, {"acquired": date})
    return lake.path


@pytest.fixture
def lake(made: Path, tmp_path: Path) -> Lake:
    """Return a copy of it."""
    shutil.copytree(made, tmp_path / "lake")
    return open_lake(tmp_path / "lake")


def test_the_newest_come_first(lake: Lake, say: Callable[..., Lines]) -> None:
    """Unless another order is asked for; what was acquired at one time is sorted by name."""
    where = ("--lake", lake.path)
    names = ["b", "c", "a_long_name_that_stays_whole"]
    assert [line["name"] for line in say("ls", *where)] == names
    assert [line["name"] for line in say("ls", "--sort", "newest", *where)] == names
    assert [line["name"] for line in say("ls", "--sort", "name", *where)] == sorted(names)
    assert [line["name"] for line in say("ls", "--sort", "-kind", *where)] == sorted(names)
    assert [line["name"] for line in say("ls", "--limit", "1", *where)] == ["b"]


@pytest.mark.parametrize(
    ("words", "count"),
    [
        ([], "3 entries"),
        (["--limit", "2"], "the first 2 of 3 entries"),
        (["name=b"], "1 of 3 entries"),
        (["name=b,c", "--limit", "1"], "the first 1 of 2 that match, of 3 entries"),
    ],
)
def test_how_many_there_are_is_said(
    lake: Lake,
    words: list[str],
    count: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a terminal: what is piped is the table alone."""
    assert run(["ls", *words, "--lake", str(lake.path)]) == 0
    piped = capsys.readouterr()
    assert piped.err == ""
    assert len(piped.out.splitlines()) == 2 + int(re.findall(r"\d+", count)[0])
    monkeypatch.setattr(Report, "terminal_width", 200)
    assert run(["ls", *words, "--lake", str(lake.path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == count


@pytest.mark.parametrize("columns", [20, 40, 60, 80, 200])
def test_names_are_whole_at_any_width(
    lake: Lake, columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other columns go first; where even the name does not fit it is folded, never cut."""
    monkeypatch.setenv("COLUMNS", str(columns))
    assert run(["ls", "--lake", str(lake.path)]) == 0
    out = capsys.readouterr().out
    assert all(len(line) <= columns for line in out.splitlines())
    assert "a_long_name_that_stays_whole" in out.replace("\n", "").replace(" ", "")
    assert (columns < 28) or "a_long_name_that_stays_whole" in out
    monkeypatch.delenv("COLUMNS")
    assert run(["ls", "--lake", str(lake.path)]) == 0
    piped = capsys.readouterr().out
    assert "folder" in piped.splitlines()[0]
    assert not [line for line in piped.splitlines()[2:] if line != line.rstrip()]


def test_all_stores_are_checked_where_that_is_asked_for(
    lake: Lake, say: Callable[..., Lines], capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a terminal nobody can be asked, and nothing is checked."""
    assert run(["verify", "--lake", str(lake.path)]) == 2
    assert "3 stores" in capsys.readouterr().err
    assert len(say("verify", "--all", "--lake", lake.path)) == 3


def test_another_file_is_no_damage(
    made: Path, lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mistyped source is named as what it is; a store that is damaged is called that."""
    other = str(made.parent / "c.dm4")
    assert run(["verify", "b", "--source", other, "--lake", str(lake.path)]) == 1
    captured = capsys.readouterr()
    assert "DAMAGED" not in captured.out + captured.err
    assert f"{other}: is not the file that b came from" in captured.err
    shard = next(
        path
        for path in lake["b"].path.joinpath("intensity").rglob("*")
        if path.is_file() and path.name != "zarr.json"
    )
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    own = str(made.parent / "b.dm4")
    assert run(["verify", "b", "--source", own, "--lake", str(lake.path)]) == 1
    assert "DAMAGED" in capsys.readouterr().out


def test_a_word_finds_tags(lake: Lake, say: Callable[..., Lines]) -> None:
    """In names and in values, without regard to case; a path is still a path."""
    where = ("--lake", lake.path)
    (found,) = say("show", "b", "--metadata", "voltage", *where)
    assert list(found["tags"].values()) == [300000.0, 300000.0]
    assert all(path.endswith("Microscope Info/Voltage") for path in found["tags"])
    (one,) = say("show", "b", "--metadata", next(iter(found["tags"])), *where)
    assert one["value"] == 300000.0
    (found,) = say("show", "b", "--metadata", "a. microscopist", *where)
    assert set(found["tags"].values()) == {"A. Microscopist"}
    say("show", "b", "--metadata", "nothing at all", *where, status=1)


@pytest.mark.parametrize("word", ["open", "delete", "search", "list", "view"])
def test_other_words_are_told_what_it_is_called_here(
    word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line names the command."""
    assert run([word, "scan"]) == 2
    assert "; use 'stemzarr " in capsys.readouterr().err


def test_what_they_are_called_exists() -> None:
    """Each answer is a command, and no command is among the words."""
    for word, answer in _CALLED.items():
        assert word not in COMMANDS
        assert answer == "'stemzarr -h'" or answer.strip("'").split()[1] in COMMANDS
