"""The demonstration goes the whole way, again and again, and touches nothing else."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest

from stemzarr_cli.program import run


def test_the_whole_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every step is shown as it is typed, succeeds, and leaves its file in the folder."""
    monkeypatch.setattr("stemzarr_cli.demo._SCAN_SHAPE", (6, 8))
    monkeypatch.setattr("stemzarr_cli.demo._DETECTOR_SHAPE", (16, 16))
    monkeypatch.setattr("stemzarr_cli.demo._HYPERSPY", "")  # its import takes seconds
    monkeypatch.setenv("STEMZARR_LAKE", str(tmp_path / "elsewhere"))
    folder = tmp_path / "demo"
    assert run(["demo", str(folder)]) == 0
    shown = capsys.readouterr().out
    for command in ("info", "ingest", "ls", "show", "export"):
        assert f"$ stemzarr {command} " in shown
    for line in (">>> import h5py", ">>> import xarray as xr", ">>> import intake"):
        assert line in shown
    made = {"scan.dm4", "scan.hspy", "stemzarr-lake"}
    if importlib.util.find_spec("torch"):
        assert "torch.float32" in shown
        made |= {"scan.pt", "scan.pt.json"}
    assert {path.name for path in folder.iterdir()} == made
    assert not (tmp_path / "elsewhere").exists()
    assert run(["demo", str(folder), "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[1]["status"] == "unchanged"


def test_a_folder_of_something_else_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder that holds other files is refused, and a file too."""
    (tmp_path / "scan.dm4").write_bytes(b"mine")
    for target in (tmp_path, tmp_path / "scan.dm4"):
        assert run(["demo", str(target)]) == 1
        assert re.search(r"name (another|a folder): stemzarr demo FOLDER", capsys.readouterr().err)
    assert (tmp_path / "scan.dm4").read_bytes() == b"mine"
