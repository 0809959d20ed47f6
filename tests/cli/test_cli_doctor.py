"""The doctor says what works, finds what does not, and leaves nothing behind."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from stemzarr.errors import WriteError
from stemzarr_cli import doctor
from stemzarr_cli.program import run


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_SAMPLE_BYTES", 2**20)


def findings(folder: Path, status: int, capsys: pytest.CaptureFixture[str]) -> dict[str, dict]:
    """Return what the doctor finds by check."""
    assert run(["doctor", "--lake", str(folder), "--json"]) == status
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return {line["check"]: line for line in lines}


def test_a_sound_installation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All checks pass here, and the folder is as it was."""
    found = findings(tmp_path / "lake", 0, capsys)
    assert {"system", "zarr", "zstd", "disk", "locks", "round trip"} <= found.keys()
    assert all(line["ok"] for line in found.values())
    assert list(tmp_path.iterdir()) == []


def test_a_check_that_fails_is_a_finding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of one check is what it found; the others are still made."""

    def broken(*_: object) -> None:
        raise WriteError("no space left", path="x")

    monkeypatch.setattr("stemzarr.ingest", broken)
    found = findings(tmp_path, 1, capsys)
    assert "no space left" in found["round trip"]["found"]
    assert found["locks"]["ok"]


@pytest.mark.parametrize("kind", ["fuse.rclone", "fuse.s3fs", "ext4"])
def test_a_mount_of_a_bucket_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Locks that hold on one machine do not between two, and the check says so."""
    root, mount = (
        SimpleNamespace(mountpoint=str(p), fstype=t) for p, t in [("/", "ext4"), (tmp_path, kind)]
    )
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: [root, mount])
    assert ("two machines" in doctor._locks(tmp_path).hint) == (kind != "ext4")


def test_a_folder_that_cannot_be_written_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a place to write, the folder is the finding."""

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryDirectory", refused)
    assert "cannot be written" in findings(tmp_path, 1, capsys)["folder"]["found"]
