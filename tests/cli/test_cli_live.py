"""Watching shows the lake meanwhile, and messages are whole words on a terminal."""

from __future__ import annotations

import io
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from stemzarr.testing import write_synthetic_dm4
from stemzarr_catalog import open_lake, watch
from stemzarr_cli import live
from stemzarr_cli.program import run
from stemzarr_cli.report import Report, complain


def test_the_lake_is_served_as_long_as_the_command_runs(tmp_path: Path) -> None:
    """And no longer: nothing listens, and no thread is left."""
    lake = open_lake(tmp_path / "lake", create=True)
    report = Report("stemzarr watch", quiet=True)
    with (
        live.serve_lake(report, lake.path, browser=False) as address,
        urllib.request.urlopen(address, timeout=30) as answer,  # noqa: S310 - our own
    ):
        assert answer.status == 200
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(address, timeout=5)  # noqa: S310


def test_watch_explores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The address is said, the browser opened, and Ctrl-C ends both."""
    opened: list[str] = []
    monkeypatch.setattr(live.webbrowser, "open", opened.append)

    def interrupt(*_: object, **__: object) -> list[object]:
        raise KeyboardInterrupt

    monkeypatch.setattr(watch, "watch", interrupt)
    (tmp_path / "disk").mkdir()
    write_synthetic_dm4(tmp_path / "disk" / "scan.dm4", (2, 2), (4, 4))
    lake = str(tmp_path / "lake")
    assert run(["watch", str(tmp_path / "disk"), "--lake", lake, "--explore"]) == 130
    said = capsys.readouterr().err
    assert "shows the lake" in said
    assert all(address in said for address in opened)


class Terminal(io.StringIO):
    """A terminal that remembers what it shows."""

    def isatty(self) -> bool:
        return True


def test_no_word_is_broken_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """To a program a message stays one line."""
    text = "stemzarr info: /a/rather/long/path/of/a/file.dm4: ends at byte 60000 of about 110976"
    monkeypatch.setenv("COLUMNS", "40")
    for stream in (Terminal(), io.StringIO()):
        monkeypatch.setattr(sys, "stderr", stream)
        complain(text)
        lines = stream.getvalue().splitlines()
        assert " ".join(lines) == text
        assert (len(lines) > 1) == stream.isatty()
