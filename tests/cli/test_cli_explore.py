"""``stemzarr explore`` serves what it is given and says where."""

from __future__ import annotations

import json
import signal
import urllib.request
import webbrowser
from pathlib import Path
from typing import Any

import pytest

from stemzarr.testing import write_synthetic_dm4
from stemzarr_cli.program import run
from stemzarr_cli.report import INTERRUPTED


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Read what the page asks for first in place of a browser, and type Ctrl-C."""
    found: list[Any] = []

    def read(address: str) -> bool:
        with urllib.request.urlopen(f"{address}api/describe", timeout=60) as answer:  # noqa: S310
            found.append((address, json.loads(answer.read())))
        signal.raise_signal(signal.SIGINT)
        return True

    monkeypatch.setattr(webbrowser, "open", read)
    return found


@pytest.mark.parametrize("words", [[], ["--document", "survey"]])
def test_a_file_is_shown_and_its_address_is_said(
    words: list[str], opened: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that was never ingested; one JSON line."""
    write_synthetic_dm4(tmp_path / "scan.dm4", (3, 4), (8, 8))
    assert run(["explore", str(tmp_path / "scan.dm4"), "--json", *words]) == INTERRUPTED
    ((address, about),) = opened
    assert json.loads(capsys.readouterr().out) == {"address": address}
    assert about["name"] == "scan"
    assert about["kind"] == ("image" if words else "4d-stem")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing.dm4"], "there is no such file"),
        (["scan.dm4", "--document", "x"], "there is no document"),
        (["scan.dm4", "--port", "70000"], "70000"),
        ([], "there is no lake"),
        (["--document", "survey"], "of a lake, there is no document"),
    ],
)
def test_what_cannot_be_shown_is_said(
    words: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No server is started."""
    monkeypatch.chdir(tmp_path)
    write_synthetic_dm4(Path("scan.dm4"), (3, 4), (8, 8))
    assert run(["explore", *words, "--no-browser"]) in (1, 2)
    assert message in capsys.readouterr().err


def test_pages_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One of a scan, and one that opens stores; another file is not replaced."""
    write_synthetic_dm4(tmp_path / "scan.dm4", (3, 4), (8, 8))
    page = tmp_path / "page.html"
    assert run(["explore", str(tmp_path / "scan.dm4"), "--html", str(page), "--json"]) == 0
    line = json.loads(capsys.readouterr().out)
    assert line == {"dest": str(page), "bytes": page.stat().st_size, "bin": 1}
    assert run(["explore", "--html", str(page), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"dest": str(page), "bytes": page.stat().st_size}
    page.write_text("mine")
    assert run(["explore", "--html", str(page)]) == 1
    assert "not a page of stemzarr" in capsys.readouterr().err
    assert run(["explore", "--html", str(page), "--overwrite"]) == 0
