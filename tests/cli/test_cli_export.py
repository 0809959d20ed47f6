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


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["x.npy", "--tensor", "scan"], "tensor is for the format 'pt'"),
        (["x.hspy", "--with-metadata"], "with_metadata is for the format 'pt'"),
        (["x.dm4", "--document", "survey"], "given back whole"),
    ],
)
def test_an_option_without_meaning_for_the_format_is_wrong_usage(
    words: list[str], said: str, scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is ignored without a word: one line, a way out, and nothing is written."""
    dest = tmp_path / words[0]
    assert run(["export", str(scan), str(dest), *words[1:]]) == 2
    captured = capsys.readouterr()
    assert (captured.out, len(captured.err.splitlines())) == ("", 1)
    assert said in captured.err
    assert "(leave " in captured.err
    assert not dest.exists()


@pytest.mark.parametrize("words", [["--layout", "scan-fast"], ["--scan-shape", "6,4"]])
def test_a_store_is_not_read_in_another_way(
    words: list[str], scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its layout was settled at its ingest, whether it is named, or found by a query."""
    lake, out = tmp_path / "lake", tmp_path / "out"
    assert run(["ingest", str(scan), "--lake", str(lake), "--quiet"]) == 0
    many = ["--query", "kind=4d-stem", "--to", str(out), "--format", "npy"]
    for what in (["scan", str(tmp_path / "x.npy")], many):
        assert run(["export", *what, *words, "--lake", str(lake)]) == 2
        assert "leave the options of reading out" in capsys.readouterr().err
    assert not out.exists()
    assert not (tmp_path / "x.npy").exists()


def test_the_folder_of_many_is_no_file(
    scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """``--to`` a file, or below one, says so and what to do."""
    lake, file = tmp_path / "lake", tmp_path / "file"
    file.write_text("mine", encoding="utf-8")
    assert run(["ingest", str(scan), "--lake", str(lake), "--quiet"]) == 0
    words = ["export", "--query", "kind=4d-stem", "--format", "npy", "--lake", str(lake)]
    for folder, status in ((file, 2), (file / "below", 1)):
        assert run([*words, "--to", str(folder)]) == status
        said = capsys.readouterr().err
        assert str(folder) in said
        assert "folder" in said.partition("(")[2]
    assert file.read_text(encoding="utf-8") == "mine"


def test_a_tensor_of_no_scan_is_noted(
    scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The form of scans means nothing for an image, which keeps its dims."""
    pytest.importorskip("torch")
    words = ["export", str(scan), str(tmp_path / "x.pt"), "--document", "survey"]
    assert run([*words, "--tensor", "scan"]) == 0
    assert "survey is not a 4D scan" in capsys.readouterr().err


def test_a_failed_export_has_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --json a single export that fails gives one line, with the reason."""
    write_synthetic_dm4(tmp_path / "scan.dm4", (2, 3), (8, 8))
    dest = tmp_path / "scan.npy"
    dest.write_bytes(b"mine")
    assert run(["export", str(tmp_path / "scan.dm4"), str(dest), "--json"]) == 1
    said = capsys.readouterr()
    (line,) = map(json.loads, said.out.splitlines())
    assert line["dest"] == str(dest)
    assert "exists already" in line["error"]
    assert "exists already" in said.err
    assert dest.read_bytes() == b"mine"
