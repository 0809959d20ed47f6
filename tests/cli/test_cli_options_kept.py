"""What is given on the command line acts, or is refused; nothing is dropped without a word."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stemzarr
from stemzarr.options import IngestOptions
from stemzarr.registry import read_source
from stemzarr.store import write_store
from stemzarr.testing import write_synthetic_dm4
from stemzarr_cli.program import run

Lines = list[dict[str, Any]]


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """Return a file with a scan of 6 × 5 patterns."""
    path = tmp_path / "s.npy"
    np.save(path, np.arange(6 * 5 * 8 * 8, dtype="u2").reshape(6, 5, 8, 8))
    return path


def test_regions_are_joined(scan: Path, tmp_path: Path, say: Callable[..., Lines]) -> None:
    """``--roi`` may be given for one dim after the other; for one dim twice it is refused."""
    dest = tmp_path / "o.npy"
    (line,) = say("export", scan, dest, "--roi", "scan_y=0:2", "--roi", "scan_x=1:3")
    assert line["shape"] == [2, 2, 8, 8]
    np.testing.assert_array_equal(np.load(dest), np.load(scan)[0:2, 1:3])
    assert run(["export", str(scan), str(tmp_path / "p.npy"), "--roi", "scan_y=0:2", "--roi",
                "scan_y=3:4"]) != 0  # fmt: skip
    assert not (tmp_path / "p.npy").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("--scan-step", "2", "--scan-step", "3"),
        ("--downsample", "2", "--downsample", "4"),
        ("--dtype", "float32", "--dtype", "float64"),
        ("--scan-shape", "6,5", "--scan-shape", "5,6"),
    ],
)
def test_an_option_given_twice_is_refused(
    scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    """Neither of the two values would be the right one to leave out."""
    assert run(["export", str(scan), str(tmp_path / "o.npy"), *words]) == 2
    assert f"{words[0]} is given twice" in capsys.readouterr().err


def test_a_new_scale_keeps_the_pixel_of_zero(tmp_path: Path, say: Callable[..., Lines]) -> None:
    """The centre of a diffraction pattern does not move when its step is measured again."""
    path = tmp_path / "scan.dm4"
    write_synthetic_dm4(path, (3, 4), (16, 16))
    before = stemzarr.open(path)
    lake = tmp_path / "lake"
    say("ingest", path, "--lake", lake)
    zero = -float(before.det_x.attrs["offset"]) / float(before.det_x.attrs["scale"])
    assert zero > 0
    say("calibrate", "scan", "det.scale=0.5", "--lake", lake)
    after = stemzarr.open(lake / "stores" / "scan.zarr")
    for axis in (after.det_y, after.det_x):
        assert axis.attrs["scale"] == 0.5
        assert -axis.attrs["offset"] / axis.attrs["scale"] == pytest.approx(zero)
    say("calibrate", "scan", "det_x.scale=2", "det_x.offset=-3", "--lake", lake)
    assert stemzarr.open(lake / "stores" / "scan.zarr").det_x.attrs["offset"] == -3
    assert run(["calibrate", "scan", "det.scale=1", "det_y.scale=2", "--lake", str(lake)]) == 2


def test_scale_set_at_the_ingest_keeps_the_pixel_of_zero(
    tmp_path: Path, say: Callable[..., Lines]
) -> None:
    """``--set`` means what `calibrate` means."""
    path = tmp_path / "scan.dm4"
    write_synthetic_dm4(path, (3, 4), (16, 16))
    source = read_source(path).document.axis("det_y")
    lake = tmp_path / "lake"
    say("ingest", path, "--set", "det.scale=0.25", "--set", "scan.units=nm", "--lake", lake)
    axis = read_source(lake / "stores" / "scan.zarr").document.axis("det_y")
    assert axis.offset / axis.scale == pytest.approx(source.offset / source.scale)
    assert axis.scale == 0.25


def test_what_is_kept_over_an_overwrite_fits_what_is_set(
    tmp_path: Path, say: Callable[..., Lines]
) -> None:
    """A scale given again replaces the one kept and its offset; the pixel of zero stays."""
    path = tmp_path / "scan.dm4"
    write_synthetic_dm4(path, (3, 4), (16, 16))
    lake = tmp_path / "lake"
    say("ingest", path, "--lake", lake, "--set", "det.scale=0.3")
    read = lambda: stemzarr.open(lake / "stores" / "scan.zarr").det_x.attrs  # noqa: E731
    zero = read()["offset"] / read()["scale"]
    say("calibrate", "scan", "det_x.scale=0.5", "--lake", lake)
    for words, scale in (
        ((), 0.5),
        (("--set", "det_x.scale=0.7"), 0.7),
        (("--set", "det.scale=2"), 2),
    ):
        say("ingest", path, "--lake", lake, "--overwrite", *words)
        assert read()["scale"] == scale
        assert read()["offset"] / read()["scale"] == pytest.approx(zero)


def test_a_calibration_is_not_kept_for_axes_of_another_meaning(
    scan: Path, tmp_path: Path, say: Callable[..., Lines]
) -> None:
    """Where ``--layout`` exchanges scan and detector, what was set for an axis is dropped."""
    lake = tmp_path / "lake"
    say("ingest", scan, "--lake", lake, "--layout", "detector-fast")
    say("calibrate", "s", "det.scale=0.5", "det.units=1/nm", "beam_energy_keV=300", "--lake", lake)
    (line,) = say("ingest", scan, "--lake", lake, "--layout", "scan-fast", "--overwrite")
    assert any("drops det_x.scale=0.5" in note for note in line["notes"])
    after = stemzarr.open(lake / "stores" / "s.zarr")
    assert (after.det_x.attrs["scale"], after.det_x.attrs["calibrated"]) == (1, 0)
    assert after.attrs["beam_energy_keV"] == 300


def test_an_empty_path_is_refused(
    scan: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A variable of the shell that is unset does not mean the folder that one is in."""
    monkeypatch.chdir(scan.parent)
    for words in (["ingest", "", "--lake", "lake"], ["info", ""], ["ls", "--lake", ""]):
        assert run(words) != 0
        assert "a path is empty" in capsys.readouterr().err
    assert [path.name for path in scan.parent.iterdir()] == ["s.npy"]


@pytest.mark.parametrize("last", [12, 11])
def test_show_says_whether_a_scan_is_complete(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], last: int
) -> None:
    """A scan that was stopped early is not complete, and one that was not is."""
    path = tmp_path / "scan.dm4"
    sampling = {"Height (pixels)": np.uint32(3), "Width (pixels)": np.uint32(4)}
    record = {"Last pixel": np.uint32(last), "Spatial Sampling": sampling}
    tags = {"SI": {"Acquisition": record}}
    write_synthetic_dm4(path, (3, 4), (8, 8), tags=tags)
    store = tmp_path / "scan.zarr"
    write_store(read_source(path), store, IngestOptions())
    assert run(["show", str(store)]) == 0
    (line,) = [row for row in capsys.readouterr().out.splitlines() if row.startswith("complete")]
    assert ("yes" in line) == (last == 12)
    assert ("no" in line) == (last != 12)


def test_an_address_of_this_machine_is_a_path(
    scan: Path, tmp_path: Path, say: Callable[..., Lines]
) -> None:
    """``file://`` is taken wherever a path is, with the characters that it escapes."""
    odd = tmp_path / "a scan.npy"
    scan.rename(odd)
    (line,) = say("info", odd.as_uri())
    assert line["path"] == str(odd)
    dest = tmp_path / "copy of it.npy"
    say("export", odd.as_uri(), dest.as_uri())
    np.testing.assert_array_equal(np.load(dest), np.load(odd))
    assert stemzarr.open(odd.as_uri()).intensity.shape == (6, 5, 8, 8)
    say("ingest", odd.as_uri(), "--lake", (tmp_path / "lake").as_uri())
    assert (tmp_path / "lake" / "stores").is_dir()
    assert run(["info", "file://elsewhere/a.npy"]) != 0


def test_an_incomplete_source_is_exported_with_a_word(tmp_path: Path) -> None:
    """An export of what is there says what is not, in every format."""
    path = tmp_path / "cut.npy"
    np.save(path, np.ones((30, 8, 8), "u2"))
    with path.open("r+b") as file:
        file.truncate(3000)
    for suffix in ("npy", "hspy", "zarr"):
        result = stemzarr.export(path, tmp_path / f"o.{suffix}")
        assert "22 of 30 patterns are on disk" in result.notes
