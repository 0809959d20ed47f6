"""Sample files of other formats give what RosettaSciIO gives, with the right labels."""

from __future__ import annotations

import importlib
import json
import multiprocessing
import warnings
import zipfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stemzarr.model import Blocks, read_all
from stemzarr.options import ReadOptions
from stemzarr.registry import read_source
from stemzarr.testing.contracts import check_reader

STEM = ("scan_y", "scan_x", "det_y", "det_x")


def library(plugin: str, path: Path) -> list[dict[str, Any]]:
    """Return what RosettaSciIO itself reads, its chatter left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read = importlib.import_module(f"rsciio.{plugin}").file_reader
        quiet = {"show_progressbar": False} if plugin == "topspin" else {}
        signals: list[dict[str, Any]] = read(str(path), **quiet)
        return signals


@pytest.fixture
def merlin(samples: Path, tmp_path: Path) -> Path:
    """Return a folder with the unpacked Merlin files."""
    with zipfile.ZipFile(samples / "formats" / "Merlin_navigation4x2_ROI.zip") as archive:
        archive.extractall(tmp_path)
    return tmp_path


CASES = [
    ("example1_v1.2.hdf5", "hspy", "spectrum", ("energy",)),
    ("example2_v3.1.hspy", "hspy", "diffraction", ("det_y", "det_x")),
    ("test2.blo", "blockfile", "4d-stem", STEM),
    ("test_tvips_2345_000.tvips", "tvips", "stack", ("frame", "y", "x")),
    ("arina/test_00_master.h5", "arina", "4d-stem", STEM),
    ("arina/test_00_data_000001.h5", "arina", "4d-stem", STEM),
]


@pytest.mark.parametrize(("name", "plugin", "kind", "dims"), CASES)
def test_sample_equals_the_library(
    samples: Path, name: str, plugin: str, kind: str, dims: tuple[str, ...]
) -> None:
    """Values, kind and dims of a file with one data set are those of RosettaSciIO."""
    if plugin == "blockfile":
        pytest.importorskip("skimage")
    path = samples / "formats" / name
    document = check_reader(path).document
    [signal] = library(plugin, path)
    assert (document.kind, document.dims) == (kind, dims)
    # RosettaSciIO narrows ARINA's uint32 to uint16; the store keeps the source's type
    np.testing.assert_array_equal(read_all(document.blocks), signal["data"])
    if plugin != "arina":
        assert document.dtype == signal["data"].dtype
    for axis, theirs in zip(document.axes, signal["axes"], strict=True):
        if axis.calibrated and plugin != "arina":
            assert (axis.scale, axis.offset) == (theirs["scale"], theirs["offset"])


@pytest.mark.parametrize("name", ["001_4x2_6bit.mib", "002_4x2_6bit_roi128.mib"])
def test_merlin_equals_the_library(merlin: Path, name: str) -> None:
    """A Merlin file with its header is a 4D scan with the library's values."""
    path = merlin / name
    document = check_reader(path).document
    assert document.dims == STEM
    np.testing.assert_array_equal(
        read_all(document.blocks), library("quantumdetector", path)[0]["data"]
    )
    assert document.facts["dwell_time_s"] == pytest.approx(0.1)


def test_scan_shape_regroups_the_patterns(merlin: Path) -> None:
    """The patterns of a scan keep their order under another scan shape."""
    path = merlin / "001_4x2_6bit.mib"
    document = check_reader(path, ReadOptions(scan_shape=(4, 2))).document
    theirs = library("quantumdetector", path)[0]["data"]
    np.testing.assert_array_equal(
        read_all(document.blocks), theirs.reshape(4, 2, *theirs.shape[2:])
    )


def test_a_stack_becomes_a_scan(samples: Path) -> None:
    """TVIPS frames with a scan shape are a 4D scan, in the order of the frames."""
    path = samples / "formats" / "test_tvips_2345_000.tvips"
    document = check_reader(path, ReadOptions(scan_shape=(2, 3))).document
    assert document.dims == STEM
    np.testing.assert_array_equal(
        read_all(document.blocks), library("tvips", path)[0]["data"].reshape(2, 3, 4, 5)
    )
    assert document.axis("det_y").units == "1/nm"


def test_topspin_equals_the_library(samples: Path) -> None:
    """TopSpin's image and scan have the library's values and calibration."""
    path = samples / "formats" / "topspin_test_A.app5"
    image, scan = check_reader(path).documents
    their_image, their_scan = library("topspin", path)
    assert (image.kind, scan.kind) == ("image", "4d-stem")
    np.testing.assert_array_equal(read_all(image.blocks), their_image["data"])
    np.testing.assert_array_equal(read_all(scan.blocks), their_scan["data"])
    for axis, theirs in zip(scan.axes, their_scan["axes"], strict=True):
        assert axis.scale == pytest.approx(theirs["scale"])
        assert axis.offset == pytest.approx(theirs["offset"])
    # RosettaSciIO gives the image's y axis the calibration of x, and the other way round
    for axis, theirs in zip(image.axes, reversed(their_image["axes"]), strict=True):
        assert axis.offset == pytest.approx(theirs["offset"])
    assert [axis.units for axis in scan.axes] == ["nm", "nm", "rad", "rad"]
    assert scan.facts["acquired"] == "2025-05-12T12:33:37"
    assert scan.facts["beam_energy_keV"] == pytest.approx(200)


def test_py4dstem_file_that_the_library_cannot_open(samples: Path) -> None:
    """A py4DSTEM file keeps the order of its disk: its x is the slow axis."""
    h5py = pytest.importorskip("h5py")
    path = samples / "formats" / "py4DSTEM_size2x3x4x5.h5"
    document = check_reader(path).document
    with h5py.File(path) as file:
        values = file["datacube_root/datacube/data"][()]
        step = file["datacube_root/datacube/dim3"][()]
    np.testing.assert_array_equal(read_all(document.blocks), values)
    assert document.dims == STEM
    assert document.axis("det_x").scale == step[1] - step[0]
    assert [axis.units for axis in document.axes] == ["nm", "nm", "1/Å", "1/Å"]


def test_arina_scan_and_facts_come_from_the_record_beside(samples: Path) -> None:
    """Scan shape, step and beam energy of a DECTRIS file stand in a third file."""
    document = read_source(samples / "formats" / "arina" / "test_00_master.h5").document
    assert document.axis("scan_x").scale == pytest.approx(0.13915206)
    assert document.axis("scan_x").units == "nm"
    assert document.facts["beam_energy_keV"] == pytest.approx(300)
    assert document.facts["camera_length_mm"] == pytest.approx(115)
    assert document.layout is not None
    assert document.layout.confidence == "high"


def resolve(tree: Any, path: str) -> Any:
    """Return what stands at a path of a metadata tree."""
    for part in path.split("/"):
        tree = tree[part]
    return tree


@pytest.mark.parametrize("name", [name for name, *_ in CASES])
def test_fact_paths_lead_to_tags(samples: Path, name: str) -> None:
    """The path of each fact leads to a tag of the source's metadata."""
    if name.endswith(".blo"):
        pytest.importorskip("skimage")
    source = read_source(samples / "formats" / name)
    tree = source.load_metadata()
    for document in source.documents:
        assert document.facts.keys() == document.fact_paths.keys()
        for path in document.fact_paths.values():
            assert resolve(tree, path) is not None


def total(blocks: Blocks) -> float:
    """Return the sum of all values, in whatever process."""
    return float(read_all(blocks).sum(dtype=np.float64))


@pytest.mark.slow
def test_blocks_work_in_spawned_processes(samples: Path, merlin: Path) -> None:
    """Blocks of every kind of reader read the same in a process that was spawned."""
    folder = samples / "formats"
    paths = [
        merlin / "001_4x2_6bit.mib",
        folder / "example2_v3.1.hspy",
        folder / "arina" / "test_00_master.h5",
        folder / "topspin_test_A.app5",
    ]
    blocks = [read_source(path).document.blocks for path in paths]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        assert list(pool.map(total, blocks)) == [total(one) for one in blocks]


@pytest.mark.parametrize("name", [name for name, *_ in CASES])
def test_libraries_are_quiet(samples: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing is printed while a file is read, whatever the libraries have to say."""
    if name.endswith(".blo"):
        pytest.importorskip("skimage")
    source = read_source(samples / "formats" / name)
    json.dumps(source.load_metadata(), allow_nan=False)
    assert capfd.readouterr() == ("", "")
