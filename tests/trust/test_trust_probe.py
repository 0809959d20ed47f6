"""Files that a C library stumbles over without end are tried by another process first."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

import stemzarr_catalog.probe
from stemzarr.errors import CorruptFileError
from stemzarr.options import IngestOptions, ReadOptions
from stemzarr_catalog import open_lake
from stemzarr_catalog.probe import probe_source, try_source
from stemzarr_catalog.watch import Watcher, WatchOptions


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """Return an HDF5 file that is sound."""
    path = tmp_path / "in" / "scan.h5"
    path.parent.mkdir()
    with h5py.File(path, "w") as file:
        file["scan"] = np.ones((2, 3, 4, 4), np.uint16)
    return path


def test_a_sound_file_passes(scan: Path, tiny_dm4: Path) -> None:
    """With any options; our own formats are not tried, and what is wrong otherwise comes later."""
    probe_source(scan, ReadOptions(dataset="scan", scan_shape=(2, 3)))
    probe_source(tiny_dm4, ReadOptions(), longest_s=0)
    scan.write_bytes(scan.read_bytes()[:700])
    probe_source(scan, ReadOptions())
    try_source(str(scan), '{"layout": "auto", "scan_shape": [2, 3], "dataset": null}')


@pytest.mark.parametrize(
    ("program", "message"),
    [("while True: pass", "has not finished"), ("import os; os.abort()", "crashed while opening")],
)
def test_a_watch_outlives_what_never_ends_or_ends_the_process(
    scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, message: str
) -> None:
    """As HDF5 does with a few flipped bytes: the file is given up, and the next one is taken."""
    lake = open_lake(tmp_path / "lake", create=True)
    watcher = Watcher(
        lake,
        [scan.parent],
        options=IngestOptions(sync=False),
        patience=WatchOptions(settle_s=0, attempts=1),
    )
    with monkeypatch.context() as patch:
        patch.setattr(stemzarr_catalog.probe, "_PROGRAM", program)
        patch.setattr(stemzarr_catalog.probe.probe_source, "__kwdefaults__", {"longest_s": 1.0})
        (event,) = watcher.step()
        assert event.status == "given up"
        assert message in (event.error or "")
        with pytest.raises(CorruptFileError, match=message):
            probe_source(scan, ReadOptions())
    assert list(watcher.step()) == []
    scan.rename(scan.with_name("other.h5"))
    assert [event.status for event in watcher.step()] == ["ingested"]
