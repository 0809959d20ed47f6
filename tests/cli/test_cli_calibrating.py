"""Calibration of many entries, as people write it, and back."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stemzarr.store import read_record, read_store, undo_revision, verify_store
from stemzarr.testing import write_synthetic_dm4
from stemzarr_catalog import Lake, open_lake
from stemzarr_cli.program import run

Lines = list[dict[str, Any]]
FACTS = ("camera_length=12cm", "beam_energy=2e5 eV", "det.scale=0.03/nm", "specimen=Au")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a lake of two scans and a npy without calibration."""
    root = tmp_path_factory.mktemp("made")
    for day in ("Mon", "Tue"):
        (root / day).mkdir()
        write_synthetic_dm4(root / day / "SI.dm4", (3, 4), (32, 32), seed=len(day + day[0]))
    write_synthetic_dm4(root / "Tue" / "SI.dm4", (3, 4), (32, 32), seed=5)
    assert run(["ingest", str(root), "--lake", str(root / "lake"), "--quiet"]) == 0
    return root / "lake"


@pytest.fixture
def lake(made: Path, tmp_path: Path) -> Lake:
    """Return a copy of it."""
    shutil.copytree(made, tmp_path / "lake")
    return open_lake(tmp_path / "lake")


def labels(lake: Lake, name: str) -> tuple[Any, ...]:
    """Return all that a revision can change."""
    document = read_store(lake[name].path).document
    return document.title, dict(document.facts), document.axes, document.brightness


def test_every_spelling_of_a_query_calibrates(lake: Lake, say: Callable[..., Lines]) -> None:
    """Units are converted, and the step of an axis brings its unit."""
    say("calibrate", "Mon-SI", *FACTS, "--lake", lake.path)
    for query in (*FACTS, "camera_length_mm=120", "det_x.scale=0.03"):
        written = query.replace("det.scale=0.03/nm", "det_y.scale=0.03")
        assert lake.search(written.replace("2e5 eV", "200keV")).names == ["Mon-SI"], query
    assert read_store(lake["Mon-SI"].path).document.axis("det_x").units == "1/nm"


@pytest.mark.parametrize(
    "words",
    [
        ["Mon-SI", "camera_length=12keV"],
        ["Mon-SI", "det.scale=3px"],
        ["Mon-SI", "det.scale=1/nm", "det.scale=2/nm"],
        ["Mon-SI"],
        ["camera_length=12cm"],
        ["Mon-SI", "--undo", "specimen=Au"],
        ["--query", "kind=4d-stem", "specimen=Au"],
        ["Mon-SI", "--known-spacing", "0.2nm"],
        ["Mon-SI", "--known-spacing", "0.2nm@0"],
        ["Mon-SI", "--disk-radius", "20nm"],
    ],
)
def test_what_cannot_be_meant_changes_nothing(
    lake: Lake, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """One line says what is wrong; without a terminal nobody can be asked."""
    before = labels(lake, "Mon-SI")
    assert run(["calibrate", *words, "--lake", str(lake.path)]) == 2
    assert "stemzarr calibrate" in capsys.readouterr().err.splitlines()[-1]
    assert labels(lake, "Mon-SI") == before


def test_many_are_calibrated_and_given_back(
    lake: Lake, say: Callable[..., Lines], capsys: pytest.CaptureFixture[str]
) -> None:
    """The preview names each change once; undo is undone step by step, down to the file's own."""
    before = {name: labels(lake, name) for name in lake}
    assert len(before) == 2
    words = ["--query", "kind=4d-stem", "--lake", str(lake.path), "--yes"]
    assert run(["calibrate", "camera_length=12cm", *words]) == 0
    said = capsys.readouterr()
    assert said.err.splitlines() == ["camera_length_mm: 115 → 120 in Mon-SI, Tue-SI"]
    assert said.out == "2 entries calibrated\n"
    between = {name: labels(lake, name) for name in lake}
    say("calibrate", "exposure=3ms", "det.scale=2mrad", "brightness.offset=4", "title=x", *words)
    assert lake.search("exposure=3ms camera_length=12cm").names == ["Mon-SI", "Tue-SI"]
    assert run(["calibrate", "exposure=3ms", *words]) == 0
    assert "2 entries already have these values" in capsys.readouterr().out
    say("calibrate", "--undo", *words)
    assert {name: labels(lake, name) for name in lake} == between
    say("calibrate", "--undo", *words)
    assert {name: labels(lake, name) for name in lake} == before
    assert run(["calibrate", "--undo", *words]) == 1
    assert "no revision to undo" in capsys.readouterr().err
    record = read_record(lake["Mon-SI"].path)
    assert ["undone" in revision for revision in record["revisions"]] == [True, True]
    assert verify_store(lake["Mon-SI"].path).ok
    assert lake.search("camera_length=115").names == ["Mon-SI", "Tue-SI"]


def test_entries_that_do_not_fit_are_named_and_the_rest_is_done(
    lake: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An image has no detector axes."""
    np.save(tmp_path / "image.npy", np.zeros((4, 5), np.uint16))
    lake.ingest(tmp_path / "image.npy")
    words = ["--query", "", "det.scale=0.03/nm", "--yes", "--lake", str(lake.path)]
    assert run(["calibrate", *words]) == 1
    said = capsys.readouterr()
    assert "1 entry left out, image: it has no axis 'det_y'" in said.err
    assert lake.search("det_x.scale=0.03").names == ["Mon-SI", "Tue-SI"]


def test_a_fact_that_was_not_known_is_unknown_again(lake: Lake) -> None:
    """Not empty, and not zero."""
    lake.calibrate("Mon-SI", {"spot_size": 5})
    undo_revision(lake["Mon-SI"].path)
    assert "spot_size" not in lake.update("Mon-SI").facts


def test_the_disk_and_a_spacing_calibrate(lake: Lake, say: Callable[..., Lines]) -> None:
    """The radius of the disk is the angle; a reflection at R pixels has 1/d."""
    say("calibrate", "Mon-SI", "--disk-radius", "20mrad", "--lake", lake.path)
    document = read_store(lake["Mon-SI"].path).document
    from stemzarr.store import open_previews

    disk = open_previews(lake["Mon-SI"].path).attrs["disk"]
    for name in ("det_y", "det_x"):
        axis = document.axis(name)
        assert axis.units == "mrad"
        assert axis.scale * disk["radius"] == pytest.approx(20)
        assert axis.offset + axis.scale * disk[f"center_{name[-1]}"] == pytest.approx(0, abs=1e-9)
    assert document.facts["convergence_angle_mrad"] == 20
    say("calibrate", "Mon-SI", "--known-spacing", "2.24Å@31.5", "--lake", lake.path)
    axis = read_store(lake["Mon-SI"].path).document.axis("det_x")
    assert (axis.units, axis.scale * 31.5) == ("1/nm", pytest.approx(1 / 0.224))
    assert math.isclose(
        axis.offset / axis.scale, document.axis("det_x").offset / (document.axis("det_x").scale)
    )


def test_show_tells_what_was_revised_and_a_dm4_what_it_carries(
    lake: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """When, from what to what, and what was undone."""
    where = ["--lake", str(lake.path)]
    assert run(["calibrate", "Mon-SI", "camera_length=12cm", *where]) == 0
    assert run(["show", "Mon-SI", *where]) == 0
    assert "camera length 115 mm → 120 mm" in capsys.readouterr().out
    assert run(["export", "Mon-SI", str(tmp_path / "back.dm4"), *where]) == 0
    assert "carries the microscope's values" in capsys.readouterr().err
    assert run(["calibrate", "Mon-SI", "--undo", *where]) == 0
    assert "Mon-SI  camera_length_mm: 120 → 115" in capsys.readouterr().out
    assert run(["show", "Mon-SI", *where]) == 0
    assert "120 mm (undone " in capsys.readouterr().out
    assert run(["export", "Mon-SI", str(tmp_path / "again.dm4"), *where]) == 0
    assert "carries" not in capsys.readouterr().err


def test_many_are_tagged(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    """All that a query finds, after a question; names and a query exclude each other."""
    where = ["--lake", str(lake.path)]
    assert run(["tag", "--query", "folder=Mon", "--add", "good", *where]) == 2
    assert "use --yes without a terminal" in capsys.readouterr().err
    assert run(["tag", "--query", "folder=Mon", "--add", "good", "--yes", *where]) == 0
    assert lake.search("tag=good").names == ["Mon-SI"]
    assert run(["tag", "Mon-SI", "--query", "Mon", "--add", "x", "--yes", *where]) == 2
    assert run(["tag", "--query", "nothing", "--add", "x", "--yes", *where]) == 1
    assert "no entry matches 'nothing'" in capsys.readouterr().err
