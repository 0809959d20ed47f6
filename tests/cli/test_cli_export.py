"""``stemzarr export``: names of files, refusals, and what is said beside the result."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stemzarr.testing import DMImage, write_dm, write_synthetic_dm4
from stemzarr_cli.program import run

Lines = list[dict[str, Any]]


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """Return a small realistic dm4."""
    path = tmp_path / "scan.dm4"
    write_synthetic_dm4(path, (4, 6), (16, 16))
    return path


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[..., Lines]:
    """Return a function that runs a command with ``--json`` and gives its lines."""

    def call(*words: object, status: int = 0) -> Lines:
        assert run([*map(str, words), "--json"]) == status, capsys.readouterr().err
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return call


def test_dm_files_get_the_suffix_of_their_version(
    scan: Path, tmp_path: Path, say: Callable[..., Lines]
) -> None:
    """Of a lake with both versions, each file comes back under its own suffix, byte for byte."""
    old = tmp_path / "old.dm3"
    write_dm(old, [DMImage(data=np.ones((2, 3, 4, 4), np.uint16))], version=3)
    lake, out = tmp_path / "lake", tmp_path / "out"
    say("ingest", scan, old, "--lake", lake)
    say("export", "--query", "kind=4d-stem", "--to", out, "--format", "dm", "--lake", lake)
    assert sorted(path.name for path in out.iterdir()) == ["old.dm3", "scan.dm4"]
    for path in (scan, old):
        assert (out / path.name).read_bytes() == path.read_bytes()


def test_a_dm4_is_not_named_dm3(
    scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The suffix of the other version is refused with the right one in the hint."""
    assert run(["ingest", str(scan), "--lake", str(tmp_path / "lake"), "--quiet"]) == 0
    for source in (scan, tmp_path / "lake" / "stores" / "scan.zarr"):
        assert run(["export", str(source), str(tmp_path / "x.DM3")]) == 2
        assert "name it x.dm4" in capsys.readouterr().err
        assert not (tmp_path / "x.DM3").exists()
    words = ["export", str(scan), str(tmp_path / "copy"), "--format", "dm", "--quiet"]
    assert run(words) == 0
    assert (tmp_path / "copy").read_bytes() == scan.read_bytes()


def test_what_a_format_cannot_keep_is_said_on_stderr(
    scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A note names the file; the JSON on stdout stays clean."""
    words = ["export", str(scan), str(tmp_path / "x.blo"), "--dtype", "uint8", "--json"]
    assert run(words) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["format"] == "blo"
    assert said.err.startswith("stemzarr export: note: ")
    assert "x.blo: a .blo file cannot hold detector pixels" in said.err
