"""Plugins of RosettaSciIO give lazily what they give at once, and calibrate what files say."""

from __future__ import annotations

import importlib
import shutil
import struct
import sys
import types
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemzarr.errors import (
    CorruptFileError,
    MissingDependencyError,
    ReadError,
    TruncatedFileError,
    UnsupportedDataError,
)
from stemzarr.formats.labelling import FoundAxis
from stemzarr.formats.rosettasciio import library
from stemzarr.formats.rosettasciio.axes import find_axes
from stemzarr.formats.rosettasciio.library import Plugin, plugins_for
from stemzarr.formats.rosettasciio.metadata import find_value
from stemzarr.model import Axis, read_all, read_box
from stemzarr.options import IngestOptions, ReadOptions
from stemzarr.registry import read_source
from stemzarr.store import read_store, write_store
from stemzarr.testing.contracts import check_reader


def signal(
    values: np.ndarray[Any, Any], units: tuple[str, ...], navigate: int = 0
) -> dict[str, Any]:
    """Return a signal as RosettaSciIO's writers take it, each axis with its own calibration."""
    names = ("scan", "y", "x")[-values.ndim :]
    axes = [
        {
            "name": name,
            "size": size,
            "scale": 0.25 * (dim + 1),
            "offset": float(dim),
            "units": unit,
            "navigate": dim < navigate,
            "index_in_array": dim,
        }
        for dim, (name, size, unit) in enumerate(zip(names, values.shape, units, strict=True))
    ]
    return {
        "data": values,
        "axes": axes,
        "metadata": {"General": {"title": "t"}, "Signal": {"signal_type": ""}},
        "original_metadata": {},
        "attributes": {"_lazy": False},
    }


def write(plugin: str, path: Path, given: dict[str, Any]) -> None:
    """Write a file by a writer of RosettaSciIO."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module(f"rsciio.{plugin}").file_writer(str(path), given)


def noise(*shape: int, dtype: str = "<u2") -> np.ndarray[Any, Any]:
    """Return values that hardly compress."""
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape).astype(dtype)


def smooth(*shape: int, dtype: str = "<u2") -> np.ndarray[Any, Any]:
    """Return values that compress well."""
    return np.arange(int(np.prod(shape))).reshape(shape).astype(dtype)


WRITERS = [
    ("pantarhei", "a.prz", 2, "<u2"),
    ("pantarhei", "a.prz", 3, "<f4"),
    ("ripple", "a.rpl", 2, "<i4"),
    ("ripple", "a.rpl", 3, "<f4"),
    ("semper", "a.unf", 2, "<f4"),
    ("digitalsurf", "a.sur", 2, "<i4"),
]


@pytest.mark.parametrize("fill", [noise, smooth])
@pytest.mark.parametrize(("plugin", "name", "rank", "dtype"), WRITERS)
def test_lazily_as_at_once(
    tmp_path: Path,
    plugin: str,
    name: str,
    rank: int,
    dtype: str,
    fill: Callable[..., np.ndarray[Any, Any]],
) -> None:
    """Values of a file are those that its plugin gives at once, however they are packed."""
    values = (fill(*(5, 16, 12)[-rank:]) % 1000).astype(dtype)
    path = tmp_path / name
    write(plugin, path, signal(values, ("nm",) * rank, navigate=rank - 2))
    theirs = importlib.import_module(f"rsciio.{plugin}").file_reader(str(path))[0]
    document = check_reader(path).document
    np.testing.assert_array_equal(read_all(document.blocks), theirs["data"])
    np.testing.assert_allclose(read_all(document.blocks), values, rtol=1e-6)


def test_a_packed_prz_is_read_whole_and_a_plain_one_lazily(tmp_path: Path) -> None:
    """Only the member that is stored as it is can be mapped."""
    values = smooth(64, 64)
    path = tmp_path / "packed.prz"
    write("pantarhei", path, signal(values, ("nm", "nm")))
    plain = tmp_path / "plain.prz"
    with zipfile.ZipFile(path) as packed, zipfile.ZipFile(plain, "w") as stored:
        assert packed.getinfo("data.npy").compress_type != zipfile.ZIP_STORED
        for name in packed.namelist():
            stored.writestr(name, packed.read(name))
    for one, lazily in ((path, False), (plain, True)):
        [read], _ = library.open_signals(one, plugins_for("prz")[0])
        assert hasattr(read["data"], "compute") == lazily
        np.testing.assert_array_equal(read_all(read_source(one).document.blocks), values)


def test_what_would_be_read_whole_has_a_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A packed file is judged by its size unpacked, and refused with a way out."""
    path = tmp_path / "a.prz"
    write("pantarhei", path, signal(np.zeros((256, 256), "<u2"), ("nm", "nm")))
    monkeypatch.setattr(library, "WHOLE_BYTES", 100_000)
    assert path.stat().st_size < 100_000
    with pytest.raises(UnsupportedDataError, match=r"PantaRhei .* more than the 100000 .*\.hspy"):
        read_source(path)


def test_a_plugin_that_cannot_be_lazy_is_asked_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a plugin raises when it is asked lazily, it is asked for all values."""

    def file_reader(_name: str, *, lazy: bool) -> list[dict[str, Any]]:
        if lazy:
            msg = "no shape yet"
            raise AttributeError(msg)
        return [{"data": smooth(4, 5), "axes": [], "metadata": {}}]

    module = types.ModuleType("eager_plugin")
    module.file_reader = file_reader  # type: ignore[attr-defined]  # a module made here
    monkeypatch.setitem(sys.modules, "eager_plugin", module)
    monkeypatch.setattr(
        "stemzarr.formats.rosettasciio.reader.plugins_for",
        lambda _: [Plugin("Eager", "eager_plugin")],
    )
    (tmp_path / "a.eager").write_bytes(b"1")
    np.testing.assert_array_equal(
        read_all(read_source(tmp_path / "a.eager").document.blocks), smooth(4, 5)
    )


def write_mrc(
    path: Path,
    values: np.ndarray[Any, Any],
    cell: tuple[float, float, float] = (0, 0, 0),
    mode: int = 6,
) -> None:
    """Write an MRC file of uint16 with a cell (x, y, z) in Å."""
    stack = values.reshape(-1, *values.shape[-2:])
    size = stack.shape[::-1]
    header = struct.pack("<10i", *size, mode, 0, 0, 0, *size) + struct.pack(
        "<6f", *cell, 90, 90, 90
    )
    header += struct.pack("<3i", 1, 2, 3)
    path.write_bytes(header.ljust(208, b"\0").ljust(1024, b"\0") + stack.astype("<u2").tobytes())


def test_an_mrc_is_calibrated_by_its_cell(tmp_path: Path) -> None:
    """The cell in Å over its pixels is the step in nm, along each axis its own."""
    write_mrc(tmp_path / "a.mrc", noise(3, 8, 6), cell=(15.0, 40.0, 0.0))
    document = check_reader(tmp_path / "a.mrc").document
    np.testing.assert_array_equal(read_all(document.blocks), noise(3, 8, 6))
    assert document.axis("y").scale == pytest.approx(0.5)
    assert document.axis("x").scale == pytest.approx(0.25)
    assert not document.axis("frame").calibrated


@pytest.mark.parametrize("cell", [(0.0, 0.0, 0.0), (6.0, 8.0, 3.0), (-60.0, -80.0, 0.0)])
def test_an_mrc_without_a_cell_counts_pixels(
    tmp_path: Path, cell: tuple[float, float, float]
) -> None:
    """No cell, a cell of 1 Å a pixel, and a negative one are no calibration, and that is said."""
    write_mrc(tmp_path / "a.mrc", noise(3, 8, 6), cell=cell)
    document = check_reader(tmp_path / "a.mrc").document
    assert not any(axis.calibrated for axis in document.axes)
    assert any("header" in note for note in document.notes)


def test_an_mrc_stack_takes_a_scan_shape(tmp_path: Path) -> None:
    """Frames of an MRC file become a scan by --scan-shape."""
    write_mrc(tmp_path / "a.mrc", noise(12, 8, 6))
    document = check_reader(tmp_path / "a.mrc", ReadOptions(scan_shape=(3, 4))).document
    assert document.dims == ("scan_y", "scan_x", "det_y", "det_x")
    np.testing.assert_array_equal(read_all(document.blocks), noise(12, 8, 6).reshape(3, 4, 8, 6))


RECORD = {
    "Scan - Enable": "Enable",
    "Scan - Type": "Raster",
    "Scan - Size X": "4",
    "Scan - Size Y": "3",
    "Image Size X (pixels)": "6",
    "Image Size Y (pixels)": "8",
    "Instrument Project TEMorSTEM Mode": "-1",
    "Specimen Pixel Size X (nanometers)": "0.3",
    "Specimen Pixel Size Y (nanometers)": "0.4",
    "Diffraction Pixel Size X": "0.05",
    "Diffraction Pixel Size Y": "0.06",
    "Frames Per Second": "500",
    "Instrument Accelerating Voltage (V)": "200000",
    "Frame Exposure Time (nanoseconds)": "1427500",
}


def write_record(path: Path, **changed: str | None) -> None:
    """Write the record of a Direct Electron acquisition."""
    lines = {**RECORD, **{name.replace("__", " "): value for name, value in changed.items()}}
    path.write_text("".join(f"{k:60} = {v}\n" for k, v in lines.items() if v is not None))


def calibration(axes: tuple[Axis, ...]) -> list[tuple[float, str]]:
    """Return step and units of axes."""
    return [(axis.scale, axis.units) for axis in axes]


def test_direct_electron_is_calibrated_by_its_record(tmp_path: Path) -> None:
    """The scan, its sum and its virtual images have the steps of the record beside them."""
    write_record(tmp_path / "20240101_00001_info.txt")
    write_mrc(tmp_path / "20240101_00001_movie.mrc", noise(12, 8, 6), cell=(-60, -80, 0))
    write_mrc(tmp_path / "20240101_00001_final.mrc", noise(1, 8, 6), cell=(-60, -80, 0))
    write_mrc(tmp_path / "20240101_00001_0_Virt #0_sum.mrc", noise(1, 3, 4), cell=(-1, -1, 0))
    scan = check_reader(tmp_path / "20240101_00001_movie.mrc")
    detector = [(0.06, "1/nm"), (0.05, "1/nm")]
    assert scan.document.kind == "4d-stem"
    assert calibration(scan.document.axes) == [(0.4, "nm"), (0.3, "nm"), *detector]
    assert scan.document.facts["beam_energy_keV"] == pytest.approx(200)
    assert scan.document.facts["exposure_s"] == pytest.approx(1.4275e-3)
    assert [part.name for part in scan.parts] == ["20240101_00001_info.txt"]
    final = check_reader(tmp_path / "20240101_00001_final.mrc").document
    assert (final.kind, calibration(final.axes)) == ("diffraction", detector)
    virtual = check_reader(tmp_path / "20240101_00001_0_Virt #0_sum.mrc").document
    assert (virtual.kind, calibration(virtual.axes)) == ("image", [(0.4, "nm"), (0.3, "nm")])


@pytest.mark.parametrize("said", ["-1", "0", "nan", "", None])
def test_what_a_record_does_not_know_is_no_calibration(tmp_path: Path, said: str | None) -> None:
    """-1, 0, nan, no value and an absent line count pixels, and a note names the line."""
    write_record(tmp_path / "s_info.txt", Diffraction__Pixel__Size__X=said)
    write_mrc(tmp_path / "s_final.mrc", noise(1, 8, 6))
    document = check_reader(tmp_path / "s_final.mrc").document
    assert document.axes[0].calibrated
    assert not document.axes[1].calibrated
    wanted = f"says {said or 'nothing'} for 'Diffraction Pixel Size X'"
    assert any(wanted in note for note in document.notes)


def test_a_direct_electron_movie_without_scan_is_a_stack_in_time(tmp_path: Path) -> None:
    """A frame that sums so many lasts as long as they do."""
    write_record(
        tmp_path / "s_info.txt",
        **{"Scan - Enable": "Disable", "Autosave Movie Sum Count": "5"},
    )
    write_mrc(tmp_path / "s_movie.mrc", noise(12, 8, 6))
    document = check_reader(tmp_path / "s_movie.mrc").document
    assert calibration(document.axes) == [(0.01, "s"), (0.4, "nm"), (0.3, "nm")]


def test_installing_mrcz_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The order of the plugins of a suffix does not follow what is installed or listed."""
    listed = [dict(one) for one in library._library_plugins()]
    for order in (listed, listed[::-1]):
        monkeypatch.setattr(library, "_library_plugins", lambda order=order: order)
        assert [plugin.name for plugin in plugins_for("mrc")] == ["MRC", "MRCZ"]
        assert [plugin.name for plugin in plugins_for("mrcz")] == ["MRCZ"]
        assert [plugin.name for plugin in plugins_for("img")] == ["Hamamatsu", "JEOL"]
        assert [plugin.name for plugin in plugins_for("csv")] == ["Impulse", "Protochips"]


def test_an_mrc_that_needs_mrcz_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A packed .mrc names its mode, and the package that reads it."""
    monkeypatch.setitem(sys.modules, "mrcz", None)
    monkeypatch.delitem(sys.modules, "rsciio.mrcz", raising=False)
    monkeypatch.delitem(sys.modules, "rsciio.mrcz._api", raising=False)
    write_mrc(tmp_path / "a.mrc", noise(1, 8, 6), mode=2006)
    with pytest.raises(
        (CorruptFileError, MissingDependencyError), match=r"2006.*rosettasciio\[mrcz"
    ):
        read_source(tmp_path / "a.mrc")


nan = float("nan")
DOUBTFUL: list[tuple[str, dict[str, Any], dict[str, Any], tuple[float, str] | None]] = [
    # plugin, axis as it gives it, original metadata, (step, units) or None for not calibrated
    (
        "Blockfile",
        {"name": "dx", "scale": 1, "units": "cm"},
        {"blockfile_header": {"SDP": 0}},
        None,
    ),
    (
        "Blockfile",
        {"name": "dx", "scale": 0.5, "units": "cm"},
        {"blockfile_header": {"SDP": 200}},
        (0.5, "cm"),
    ),
    ("Blockfile", {"name": "x", "scale": 0.0, "units": "nm"}, {"blockfile_header": {}}, None),
    ("TVIPS", {"name": "dx", "scale": 0, "units": "1/nm"}, {}, None),
    ("Quadstar", {"name": "Time", "scale": 1.0, "units": "s"}, {}, None),
    ("Quadstar", {"name": "Time", "scale": 2.5, "units": "s"}, {}, (2.5, "s")),
    ("EDAX", {"name": "x", "scale": 1, "units": None}, {}, None),
    ("EDAX", {"name": "x", "scale": 0.5, "units": "µm"}, {}, (0.5, "µm")),
    ("Bruker", {"name": "x", "scale": 3.0, "units": "pix"}, {}, None),
    ("Ripple", {"name": "x", "scale": 1.0, "units": ""}, {}, None),
    ("Semper", {"name": "x", "scale": nan, "units": "nm"}, {}, None),
    ("Semper", {"name": "x", "scale": float("inf"), "units": "nm"}, {}, None),
    ("Hamamatsu", {"name": "x", "scale": 1, "units": "px"}, {}, None),
    ("JobinYvon", {"name": "w", "axis": np.array([1.0, 2.0, 4.0]), "units": "nm"}, {}, None),
    ("JobinYvon", {"name": "w", "axis": np.array([1.0, 3.0, 5.0]), "units": "nm"}, {}, (2.0, "nm")),
    ("Phenom", {"name": "x", "scale": 1, "units": "<undefined>"}, {}, None),
]


@pytest.mark.parametrize(("plugin", "described", "original", "expected"), DOUBTFUL)
def test_only_what_is_said_is_a_calibration(
    plugin: str,
    described: dict[str, Any],
    original: dict[str, Any],
    expected: tuple[float, str] | None,
) -> None:
    """A default of a plugin counts pixels; what the format says is kept."""
    given = {"axes": [{"size": 3, **described}], "original_metadata": original}
    [axis], _ = find_axes(plugin, Path("a"), given, (3,))
    labelled = axis.label("x")
    if expected is not None:
        assert (labelled.scale, labelled.units) == (pytest.approx(expected[0]), expected[1])
    assert labelled.calibrated == (expected is not None)


@given(
    st.sampled_from([one[0] for one in DOUBTFUL]),
    st.sampled_from([0, 0.0, nan, None, float("inf"), "unknown"]),
    st.sampled_from(["nm", "1/nm", "cm", "s", "eV"]),
)
@settings(max_examples=60)
def test_no_step_is_no_calibration(plugin: str, scale: object, units: str) -> None:
    """Whatever the plugin, an axis without a finite step that is not 0 is not calibrated."""
    given = {"axes": [{"size": 3, "name": "x", "scale": scale, "units": units}]}
    [axis], notes = find_axes(plugin, Path("a"), given, (3,))
    assert not axis.label("x").calibrated
    assert plugin == "Quadstar" or notes


def test_axes_that_do_not_fit_are_left_bare_and_said() -> None:
    """Axes of another number than the array's dims are not kept in silence."""
    given = {"axes": [{"size": 3, "name": "x", "scale": 1.0, "units": "nm"}]}
    axes, notes = find_axes("TVIPS", Path("a"), given, (3, 4))
    assert axes == (FoundAxis(size=3), FoundAxis(size=4))
    assert "names 1 axes of 2" in notes[0]


def test_names_are_compared_as_hyperspy_spells_them() -> None:
    """Blanks and signs in the names of a file are found by the words of the mapping."""
    tree = {"Info": {"High tension_kV": 200.0, "Stage A_deg": -1.5, "Plain": {"x": 1}}}
    assert find_value(tree, "Info.High_tension_kV") == 200.0
    assert find_value(tree, "Info.Stage_A_deg") == -1.5
    assert find_value(tree, "Info.Plain.x") == 1
    assert find_value(tree, "Info.Missing.x") is None


def test_emi_facts(samples: Path, tmp_path: Path) -> None:
    """Beam energy, tilts, rotation and dwell time of an .emi are found; its series are parts."""
    for one in (samples / "formats" / "tia").iterdir():
        shutil.copy(one, tmp_path)
    source = check_reader(tmp_path / "16x16_STEM_BF_DF_acquire.emi")
    facts = source.document.facts
    assert facts["beam_energy_keV"] == pytest.approx(200)
    assert (facts["tilt_alpha_deg"], facts["tilt_beta_deg"]) == (0, 0)
    assert facts["scan_rotation_deg"] == 0
    assert facts["dwell_time_s"] == pytest.approx(48e-6)
    assert len(source.parts) == 2
    assert source.size == sum(path.stat().st_size for path in source.files)


@pytest.fixture
def tia(samples: Path, tmp_path: Path) -> Path:
    """Return a copy of an .emi with its two series."""
    for one in (samples / "formats" / "tia").iterdir():
        shutil.copyfile(one, tmp_path / one.name)
    return tmp_path / "16x16_STEM_BF_DF_acquire.emi"


@pytest.mark.parametrize("gone", [1, 2])
def test_a_missing_series_is_named(tia: Path, tmp_path: Path, gone: int) -> None:
    """An .emi that declares more series than are there is incomplete; a salvage keeps the rest."""
    complete = read_source(tia)
    assert complete.complete
    assert len(complete.documents) == 2
    kept = read_box(complete.documents[2 - gone].blocks, (0, 0), (16, 16))
    name = f"{tia.stem}_{gone}.ser"
    (tmp_path / name).unlink()
    source = check_reader(tia)
    assert not source.complete
    with pytest.raises(ReadError, match=name):
        read_box(complete.documents[gone - 1].blocks, (0, 0), (16, 16))
    assert f"its series {name!r} is missing" in source.notes
    values = read_box(source.document.blocks, (0, 0), (16, 16))
    np.testing.assert_array_equal(values, kept)
    with pytest.raises(TruncatedFileError, match=r"missing.*--salvage"):
        write_store(source, tmp_path / "s.zarr", IngestOptions(sync=False))
    salvage = IngestOptions(sync=False, read=ReadOptions(salvage=True))
    write_store(source, tmp_path / "s.zarr", salvage)
    assert read_store(tmp_path / "s.zarr").document.facts["complete"] == 0


def test_an_emi_alone_names_its_series(tia: Path, tmp_path: Path) -> None:
    """Where no series is there, the names of those that are missing are said."""
    for number in (1, 2):
        (tmp_path / f"{tia.stem}_{number}.ser").unlink()
    with pytest.raises(UnsupportedDataError, match=rf"{tia.stem}_1.ser, {tia.stem}_2.ser") as error:
        read_source(tia)
    assert "folder" in (error.value.hint or "")


def test_series_beyond_nine_are_read(tia: Path, tmp_path: Path) -> None:
    """A tenth series is a document with its values, and one that cannot be read is named."""
    shutil.copyfile(tmp_path / f"{tia.stem}_2.ser", tmp_path / f"{tia.stem}_10.ser")
    (tmp_path / f"{tia.stem}_11.ser").write_bytes(b"II" + bytes(40))
    source = read_source(tia)
    values = [read_box(one.blocks, (0, 0), (16, 16)) for one in source.documents]
    assert len(values) == 3
    np.testing.assert_array_equal(values[1], values[2])
    assert any(f"{tia.stem}_11.ser is left out" in note for note in source.notes)


def test_direct_electron_sample(samples: Path) -> None:
    """The real scan is 0.2 × 0.1 nm a step, 0.1 1/nm a pixel; so is its sum."""
    folder = samples / "formats" / "de_mrc"
    scan = check_reader(folder / "20241021_00405_movie.mrc").document
    detector = [(0.1, "1/nm"), (0.1, "1/nm")]
    assert calibration(scan.axes) == [(0.2, "nm"), (0.1, "nm"), *detector]
    final = check_reader(folder / "20241021_00405_final.mrc").document
    assert calibration(final.axes) == detector


def test_an_uneven_axis_is_said_and_kept(samples: Path) -> None:
    """A wavelength axis that is not uniform counts pixels, and its positions stay."""
    source = check_reader(samples / "formats" / "jobinyvon_test_spec_range.xml")
    assert any("uneven" in note for note in source.document.notes)
    assert source.notes == ()  # that a package for another class of signals is absent is no news
    [tree] = source.load_metadata().values()
    assert len(tree["axes"][0]["axis"]) == source.document.shape[0]


def test_notes_name_no_folder(samples: Path) -> None:
    """What RosettaSciIO says of a file names it without its folder."""
    source = read_source(samples / "formats" / "de_mrc" / "20241021_00405_movie.mrc")
    assert not any(str(samples) in note for note in (*source.notes, *source.document.notes))


def test_velox_images_without_chunks(samples: Path, tmp_path: Path) -> None:
    """Images of Velox that are stored in one piece are read, as those in chunks are."""
    whole_file, chunked = (
        tmp_path / "a.emd",
        samples / "formats" / "STEM HAADF Diffraction Micro.emd",
    )
    shutil.copy(chunked, whole_file)
    with h5py.File(whole_file, "r+") as file:
        for group in list(file["Data/Image"].values()):
            values = group["Data"][()]
            del group["Data"]
            group["Data"] = values
    got, expected = check_reader(whole_file), read_source(chunked)
    assert len(got.documents) == len(expected.documents)
    np.testing.assert_array_equal(read_all(got.document.blocks), read_all(expected.document.blocks))
