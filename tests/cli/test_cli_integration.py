"""What is printed for a system is what that system reads."""

from __future__ import annotations

import configparser
import plistlib
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stemzarr_cli.program import run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a blank, a percent sign and a quote in its name."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "day 100% o'clock"
    path.mkdir()
    return path


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Return what a command prints; it makes no lake and watches nothing."""
    assert run(words) == 0
    return capsys.readouterr().out


def expected(folder: Path) -> list[str]:
    """Return the words of the service that the tests print."""
    lake = str(folder.parent / "stemzarr-lake")
    start = [sys.executable, "-m", "stemzarr_cli", "watch", str(folder)]
    return [*start, "--codec", "lz4", "--hours", "20:00-07:00", "--lake", lake]


ASKED = ("--codec", "lz4", "--hours", "20:00-07:00", "--service")


def test_a_unit_runs_the_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With all options, from any folder, when what it needs is mounted."""
    said = printed(capsys, "watch", folder.name, *ASKED, "systemd")
    assert list(folder.parent.iterdir()) == [folder]
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[method-assign,assignment]
    unit.read_string(said)
    command = unit["Service"]["ExecStart"].replace("%%", "%").replace("$$", "$")
    assert shlex.split(command) == expected(folder)
    if shutil.which("systemd-analyze"):
        path = folder.parent / "stemzarr-watch.service"
        path.write_text(said, encoding="utf-8")
        checked = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", str(path)],  # noqa: S607 - where it is
            capture_output=True,
            text=True,
            check=False,
        )
        assert "stemzarr-watch" not in checked.stderr, checked.stderr


def test_an_agent_runs_the_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As a property list of macOS."""
    said = printed(capsys, "watch", str(folder), "--lake=elsewhere", *ASKED, "macos")
    words = plistlib.loads(said.encode())["ProgramArguments"]
    assert words == [*expected(folder)[:-1], str(folder.parent / "elsewhere")]


def test_a_task_names_the_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Single quotes of PowerShell are doubled."""
    said = printed(capsys, "watch", str(folder), *ASKED, "windows")
    assert str(folder).replace("'", "''") in said
    assert f"'{sys.executable}'" in said


@pytest.mark.parametrize("system", ["linux", "windows"])
def test_an_icon_opens_what_is_dropped(system: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An entry of a desktop, or a shortcut."""
    said = printed(capsys, "explore", "--desktop", system)
    if system == "linux":
        entry = configparser.RawConfigParser()
        entry.read_string(said)
        words = shlex.split(entry["Desktop Entry"]["exec"])
        assert words == [sys.executable, "-m", "stemzarr_cli", "explore", "%f"]
    else:
        assert "CreateShortcut" in said
        assert "'-m stemzarr_cli explore'" in said
