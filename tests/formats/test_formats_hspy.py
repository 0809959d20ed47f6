"""HyperSpy's files keep values, axes and metadata, whatever wrote them."""

from __future__ import annotations

import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from rsciio.hspy import file_writer

from stemzarr.model import read_all, read_box
from stemzarr.options import ReadOptions
from stemzarr.registry import read_source
from stemzarr.testing.contracts import check_reader

AXES = {
    "scan_y": ("y", 0.5, 1.0, "nm", True),
    "scan_x": ("x", 0.25, -3.0, "nm", True),
    "det_y": ("ky", 0.02, -0.5, "1/nm", False),
    "det_x": ("kx", 0.03, -0.6, "1/nm", False),
}


def write_signal(path: Path, data: np.ndarray[Any, Any], names: list[str], **metadata: Any) -> None:
    """Write a signal by RosettaSciIO's own writer."""
    axes = [
        {
            "_type": "UniformDataAxis",
            "name": AXES[name][0],
            "scale": AXES[name][1],
            "offset": AXES[name][2],
            "units": AXES[name][3],
            "navigate": AXES[name][4],
            "size": size,
        }
        for name, size in zip(names, data.shape, strict=True)
    ]
    signal = {
        "data": data,
        "axes": axes,
        "metadata": {"General": {"title": "A scan"}, "Signal": {"signal_type": ""}, **metadata},
        "original_metadata": {"tags": {"a.b": 1, "nan": np.nan, "raw": b"\x00\xff"}, "l": [1, 2]},
        "learning_results": {},
        "models": {},
        "attributes": {"_lazy": False},
        "package_info": {"package": "hyperspy", "package_version": "2.0"},
        "tmp_parameters": {},
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file_writer(str(path), signal)


def counts(shape: tuple[int, ...], dtype: str) -> np.ndarray[Any, Any]:
    """Return sparse counts."""
    return np.random.default_rng(0).poisson(0.6, shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["u1", "<u2", "<i4", "<f4", ">u2", "<f8", "<c8"])
@pytest.mark.parametrize("shape", [(3, 4, 6, 5), (1, 4, 6, 5), (3, 1, 6, 5), (1, 1, 6, 5)])
def test_round_trip(tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    """Values, calibration and axes of one pixel come back as they were written."""
    path = tmp_path / "scan.hspy"
    data = counts(shape, dtype)
    write_signal(path, data, list(AXES))
    source = check_reader(path)
    document = source.document
    assert (source.format, document.title, document.kind) == ("hspy", "A scan", "4d-stem")
    assert document.dims == tuple(AXES)
    np.testing.assert_array_equal(read_box(document.blocks, (0,) * 4, shape), data)
    for axis in document.axes:
        _, scale, offset, units, _ = AXES[axis.name]
        assert (axis.scale, axis.offset, axis.units) == (scale, offset, units)
        assert axis.calibrated


def test_scan_fast_signal_is_transposed(tmp_path: Path) -> None:
    """A file with the detector first is read as scan first, whatever its flags say."""
    path = tmp_path / "scan.hspy"
    data = counts((6, 5, 3, 4), "u2")
    write_signal(path, data, ["det_y", "det_x", "scan_y", "scan_x"])
    document = check_reader(path).document
    assert document.layout is not None
    assert document.layout.order == "scan-fast"
    np.testing.assert_array_equal(
        read_box(document.blocks, (0,) * 4, (3, 4, 6, 5)), data.transpose(2, 3, 0, 1)
    )


def test_line_scan(tmp_path: Path) -> None:
    """Patterns along a line are a scan of one row."""
    path = tmp_path / "line.hspy"
    data = counts((7, 6, 5), "u2")
    write_signal(path, data, ["scan_x", "det_y", "det_x"])
    document = check_reader(path).document
    assert document.shape == (1, 7, 6, 5)
    np.testing.assert_array_equal(read_box(document.blocks, (0,) * 4, (1, 7, 6, 5))[0], data)
    shaped = check_reader(path, ReadOptions(scan_shape=(7, 1))).document
    assert shaped.shape == (7, 1, 6, 5)


def test_metadata_and_facts(tmp_path: Path) -> None:
    """Facts come from HyperSpy's metadata; the original metadata is kept as clean JSON."""
    path = tmp_path / "scan.hspy"
    tem = {"beam_energy": 200.0, "camera_length": 0.0, "Stage": {"tilt_alpha": 0.0}}
    write_signal(path, counts((2, 2, 3, 3), "u1"), list(AXES), Acquisition_instrument={"TEM": tem})
    source = check_reader(path)
    assert source.document.facts == {"beam_energy_keV": 200.0, "tilt_alpha_deg": 0.0}
    original = source.load_metadata()["a_scan"]["original_metadata"]
    assert original["tags"]["a.b"] == 1
    assert original["tags"]["nan"] == "NaN"
    assert original["tags"]["raw"] == {"base64": "AP8="}
    assert original["l"] == [1, 2]


def test_reading_loads_no_pixels(tmp_path: Path) -> None:
    """A file of 64 MB is recognised, and one pattern read, in a hundredth of that memory."""
    path = tmp_path / "large.hspy"
    with h5py.File(path, "w") as file:
        file.attrs["file_format"] = "HyperSpy"
        file.attrs["file_format_version"] = "3.3"
        group = file.create_group("Experiments/large")
        data = group.create_dataset("data", (32, 32, 128, 256), "u2", chunks=(1, 1, 128, 256))
        for row in range(32):
            data[row] = row
        group.create_group("metadata")
        group.create_group("original_metadata")
    read_box(read_source(path).document.blocks, (0, 0, 0, 0), (1, 1, 128, 256))  # what it imports
    tracemalloc.start()
    document = read_source(path).document
    pattern = read_box(document.blocks, (5, 6, 0, 0), (1, 1, 128, 256))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert pattern.min() == pattern.max() == 5
    assert document.blocks.block_shape == (1, 1, 128, 256)
    assert peak < 640_000


def test_several_signals(tmp_path: Path) -> None:
    """Every signal of a file becomes a document; the 4D one is the main one."""
    path = tmp_path / "many.hspy"
    write_signal(path, counts((2, 3, 4, 5), "u1"), list(AXES))
    with h5py.File(path, "a") as file:
        survey = file.create_group("Experiments/Survey")
        survey["data"] = np.zeros((64, 64), "u2")
        survey.create_group("metadata/General").attrs["title"] = "A scan"
        words = file.create_group("Experiments/Words")
        words["data"] = np.array([b"no numbers"])
        words.create_group("metadata")
    source = check_reader(path)
    assert [one.slug for one in source.documents] == ["a_scan", "a_scan_2"]
    assert source.document.kind == "4d-stem"
    chosen = read_source(path, ReadOptions(dataset="Experiments/Survey/data"))
    assert [one.kind for one in chosen.documents] == ["image"]


def test_uneven_axis_and_colours(tmp_path: Path) -> None:
    """An axis of uneven steps is not calibrated; colours become a channel."""
    path = tmp_path / "odd.hspy"
    rgb = np.zeros((4, 3), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    rgb["G"] = 7
    with h5py.File(path, "w") as file:
        spectrum = file.create_group("Experiments/spectrum")
        spectrum["data"] = np.arange(3.0)
        spectrum.create_group("metadata")
        axis = spectrum.create_group("axis-0")
        axis.attrs.update({"name": "Energy", "units": "eV"})
        axis["axis"] = np.array([1.0, 2.0, 9.0])
        colours = file.create_group("Experiments/colours")
        colours["data"] = rgb
        colours.create_group("metadata")
    source = check_reader(path)
    spectrum, colours = source.find("spectrum"), source.find("colours")
    assert spectrum.kind == "spectrum"
    assert not spectrum.axis("energy").calibrated
    assert any("uneven by up to 0.75" in note for note in spectrum.notes)
    assert source.load_metadata()["spectrum"]["axes"]["axis-0"]["axis"] == [1.0, 2.0, 9.0]
    assert colours.dims == ("y", "x", "channel")
    assert colours.channels == ("red", "green", "blue")
    assert read_box(colours.blocks, (0, 0, 0), (4, 3, 3))[..., 1].min() == 7


@pytest.mark.slow
def test_hyperspy_writes_and_we_read(tmp_path: Path) -> None:
    """A file saved by HyperSpy itself has its values, axes and metadata here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hyperspy = pytest.importorskip("hyperspy.api")
        signal = hyperspy.signals.Signal2D(counts((3, 4, 6, 5), "u2"))
        for place, (name, scale, offset, units, _) in enumerate(AXES.values()):
            axis = signal.axes_manager._axes[place]
            axis.name, axis.scale, axis.offset, axis.units = name, scale, offset, units
        signal.metadata.General.title = "From HyperSpy"
        signal.metadata.set_item("Acquisition_instrument.TEM.beam_energy", 300)
        signal.save(tmp_path / "scan.hspy")
    document = check_reader(tmp_path / "scan.hspy").document
    assert document.title == "From HyperSpy"
    assert document.facts["beam_energy_keV"] == 300
    np.testing.assert_array_equal(read_all(document.blocks), signal.data)
    assert [axis.scale for axis in document.axes] == [one[1] for one in AXES.values()]
