"""What an export that died leaves behind, and what the next one makes of it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import stemzarr
from stemzarr.errors import OptionError, StoreExistsError
from stemzarr.options import ExportOptions
from stemzarr.storage.files import publish, remove_abandoned
from stemzarr.testing import write_synthetic_dm4
from stemzarr.testing.faults import Crash, inject_faults

KILLED = """
import os, sys
from pathlib import Path
from stemzarr.storage.files import publish
with publish(Path(sys.argv[1])) as temporary:
    temporary.write_bytes(b"half")
    temporary.with_name(temporary.name + ".hole").touch()
    print("ready", flush=True)
    sys.stdin.read()
    os._exit(9)
"""


def begin(dest: Path) -> subprocess.Popen[str]:
    """Return a process that is in the middle of publishing `dest`."""
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(dest)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def names(folder: Path) -> list[str]:
    """Return the names of the hidden files in a folder."""
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def test_the_next_export_removes_what_a_dead_process_left(tmp_path: Path) -> None:
    """Temporary files stay while their process lives, and go with any export after its death."""
    source = tmp_path / "scan.dm4"
    write_synthetic_dm4(source, (2, 3), (4, 4))
    folder = tmp_path / "out"
    folder.mkdir()
    with begin(folder / "killed.npy") as process:
        stemzarr.export(source, folder / "first.npy")
        assert len(names(folder)) == 2
        process.kill()
    stemzarr.export(source, folder / "second.npy")
    assert names(folder) == []


def test_what_another_machine_writes_stays_for_a_day(tmp_path: Path) -> None:
    """Files of unknown machines go when nobody touched them for long; all other files stay."""
    kept = [".hidden", ".x.npy.12345678.partial", "x.partial", ".a.partial"]
    for name in [*kept, ".y.npy.00000000-1-12345678.partial"]:
        (tmp_path / name).touch()
    old = tmp_path / ".z.zarr.00000000-1-12345678.partial"
    (old / "inner").mkdir(parents=True)
    before = time.time() - 2 * 24 * 3600
    os.utime(old / "inner", (before, before))
    os.utime(old, (before, before))
    remove_abandoned(tmp_path)
    assert names(tmp_path) == sorted(
        [".hidden", ".x.npy.12345678.partial", ".a.partial", ".y.npy.00000000-1-12345678.partial"]
    )


def test_a_folder_that_cannot_be_listed_is_left_alone(tmp_path: Path) -> None:
    """Tidying never fails what comes after it."""
    remove_abandoned(tmp_path / "missing")
    with publish(tmp_path / "x") as temporary:
        temporary.touch()
        remove_abandoned(tmp_path)
        assert temporary.exists()


def test_a_sidecar_never_describes_another_file(tmp_path: Path) -> None:
    """Killed at any moment of replacing a file, what stands beside it fits it or is not there."""
    shapes = {"old": (2, 3), "new": (3, 2)}
    for name, shape in shapes.items():
        write_synthetic_dm4(tmp_path / f"{name}.dm4", shape, (4, 4))
    folder = tmp_path / "out"
    folder.mkdir()
    dest, beside = folder / "x.npy", folder / "x.npy.json"
    replacing = ExportOptions(threads=1, overwrite=True)
    reached, moment = set(), 0
    while True:
        stemzarr.export(tmp_path / "old.dm4", dest, options=replacing)
        with (
            inject_faults(moment, error=Crash, mode="crash", below=folder) as faults,
            contextlib.suppress(Crash),
        ):
            stemzarr.export(tmp_path / "new.dm4", dest, options=replacing)
        found = np.load(dest).shape[:2]
        described = tuple(json.loads(beside.read_text())["shape"][:2]) if beside.exists() else None
        assert described in (None, found), faults.calls
        reached.add((found, described))
        if not faults.struck:
            break
        moment += 1
    assert {(shapes["old"], shapes["old"]), (shapes["new"], shapes["new"])} <= reached


def test_a_failed_export_keeps_the_file_and_its_sidecar(tmp_path: Path) -> None:
    """An export that fails on its way changes nothing of what stood there."""
    source, dest = tmp_path / "scan.dm4", tmp_path / "x.npy"
    write_synthetic_dm4(source, (2, 3), (4, 4))
    stemzarr.export(source, dest)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def broken(done: int, total: int) -> None:
        raise ValueError(done, total)

    with pytest.raises(ValueError, match="192"):
        stemzarr.export(source, dest, options=ExportOptions(overwrite=True), progress=broken)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_nothing_is_lost_in_the_place_of_a_sidecar(tmp_path: Path) -> None:
    """A file or folder named as the sidecar would be is told of before any work, and stays."""
    source, progressed = tmp_path / "scan.dm4", []
    write_synthetic_dm4(source, (2, 3), (4, 4))
    (tmp_path / "a.npy.json").write_text("notes", encoding="utf-8")
    (tmp_path / "b.npy.json").mkdir()
    (tmp_path / "c.npy.json").write_bytes(source.read_bytes())
    for name, given, options in (
        ("a.npy", source, ExportOptions()),
        ("b.npy", source, ExportOptions(overwrite=True)),
        ("c.npy", tmp_path / "c.npy.json", ExportOptions(overwrite=True)),
    ):
        with pytest.raises((StoreExistsError, OptionError)) as caught:
            stemzarr.export(
                given,
                tmp_path / name,
                options=options,
                progress=lambda done, _: progressed.append(done),
            )
        assert caught.value.path == str(tmp_path / f"{name}.json")
        assert not (tmp_path / name).exists()
    assert progressed == []
    assert (tmp_path / "a.npy.json").read_text(encoding="utf-8") == "notes"
    stemzarr.export(source, tmp_path / "a.npy", options=ExportOptions(overwrite=True))
    assert json.loads((tmp_path / "a.npy.json").read_text(encoding="utf-8"))["shape"]


def test_a_sidecar_whose_file_is_gone_is_in_nobodys_way(tmp_path: Path) -> None:
    """Who removed a file exports it again without a word, and its sidecar describes the new one."""
    write_synthetic_dm4(tmp_path / "scan.dm4", (2, 3), (4, 4))
    dest, beside = tmp_path / "x.npy", tmp_path / "x.npy.json"
    stemzarr.export(tmp_path / "scan.dm4", dest)
    dest.unlink()
    stemzarr.export(tmp_path / "scan.dm4", dest, view=stemzarr.View(downsample=2))
    assert json.loads(beside.read_text())["shape"] == [2, 3, 2, 2]


@pytest.mark.parametrize("foreign", ["notes", "[]", '{"provenance": null}', '{"provenance": [1]}'])
def test_a_file_without_sidecar_takes_away_that_of_the_one_it_replaces(
    tmp_path: Path, foreign: str
) -> None:
    """No sidecar of ours describes what replaced its file; JSON of others is left alone."""
    source, dest = tmp_path / "scan.dm4", tmp_path / "x.out"
    beside = tmp_path / "x.out.json"
    write_synthetic_dm4(source, (2, 3), (4, 4))
    replacing = ExportOptions(overwrite=True)
    stemzarr.export(source, dest, format="npy")
    assert beside.exists()
    stemzarr.export(source, dest, format="hspy", options=replacing)
    assert not beside.exists()
    beside.write_text(foreign, encoding="utf-8")
    stemzarr.export(source, dest, format="hspy", options=replacing)
    assert beside.read_text(encoding="utf-8") == foreign
