"""HDF5 files of several data sets: each is a document or named, and the main one was recorded."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from stemzarr.errors import CorruptFileError, UnsupportedDataError
from stemzarr.model import Source, read_all
from stemzarr.options import ReadOptions
from stemzarr.registry import read_source
from stemzarr.testing.contracts import check_reader


def values_of(source: Source, slug: str) -> Any:
    """Return all values of a document."""
    blocks = source.find(slug).blocks
    return read_all(blocks)


@pytest.mark.parametrize(
    "shapes", [((4, 5, 8, 8), (4, 4, 8, 8)), ((4, 5, 8, 8), (3, 8, 8), (9, 9))]
)
def test_every_scan_is_a_document(tmp_path: Path, shapes: tuple[tuple[int, ...], ...]) -> None:
    """Scans of equal rank or not are documents of their own, named after their groups."""
    path = tmp_path / "scans.h5"
    with h5py.File(path, "w") as file:
        for number, shape in enumerate(shapes):
            file[f"scan{number}/data"] = np.full(shape, number, "u2")
    source = check_reader(path)
    assert [one.slug for one in source.documents] == [f"scan{n}" for n in range(len(shapes))]
    assert source.document.shape == shapes[0]
    for number in range(len(shapes)):
        assert (values_of(source, f"scan{number}") == number).all()


def test_axes_and_lists_are_no_documents(tmp_path: Path) -> None:
    """Axes, lists along an axis, short vectors and small tables stay in the metadata, whole."""
    path = tmp_path / "scan.h5"
    with h5py.File(path, "w") as file:
        file["scan"] = np.zeros((40, 50, 8, 9), "u1")
        file["times"] = np.arange(40 * 50)
        file["rows"] = np.arange(40) * 0.5
        file["metadata/matrix"] = np.eye(3)
        file["spectrum"] = np.arange(777)
        file["points"] = np.zeros(5, [("y", "f4"), ("x", "f4")])
    source = check_reader(path)
    assert {one.slug for one in source.documents} == {"document_scan", "spectrum"}
    assert not source.notes
    tree = source.load_metadata()
    assert len(tree["times"]) == 2000
    assert tree["metadata"]["matrix"][1] == [0.0, 1.0, 0.0]
    assert len(tree["points"]) == 5


def test_what_is_left_out_is_named(tmp_path: Path) -> None:
    """Large calibrations, tables and links are named, each array with the option that takes it."""
    path = tmp_path / "scan.h5"
    with h5py.File(path, "w") as file:
        file["scan"] = np.zeros((2, 3, 8, 9), "u1")
        file["header/flat field"] = np.ones((300, 300), "f4")
        file["table"] = np.zeros(70_000, [("y", "f4"), ("x", "f4")])
        lists = file.create_dataset("lists", (3,), dtype=h5py.vlen_dtype("f4"))
        lists[0] = np.arange(4.0)
        file["elsewhere"] = h5py.ExternalLink("other.h5", "/data")
    notes = " | ".join(check_reader(path).notes)
    for part in ("(300 × 300, float32)", '--dataset "header/flat field"', "'table'", "'lists'"):
        assert part in notes
    assert "'elsewhere'" in notes
    chosen = read_source(path, ReadOptions(dataset="header/flat field"))
    assert chosen.document.shape == (300, 300)


def test_many_data_sets_are_stored_or_named(tmp_path: Path) -> None:
    """However many data sets a file has, documents and named ones add up to them."""
    path = tmp_path / "many.h5"
    with h5py.File(path, "w") as file:
        for number in range(130):
            file[f"frame{number:03}"] = np.zeros((4, 4), "u1")
    source = read_source(path)
    named = [note for note in source.notes if "--dataset frame" in note]
    assert len(source.documents) + len(named) == 130


def test_one_unreadable_data_set_never_costs_the_others(tmp_path: Path) -> None:
    """A small one that cannot be read is named; the file is refused where it is the main one."""
    path = tmp_path / "scan.h5"
    (tmp_path / "raw").write_bytes(bytes(64))
    with h5py.File(path, "w") as file:
        file["scan"] = np.zeros((2, 3, 8, 9), "u1")
        file.create_dataset("image", (8, 8), "u1", external=str(tmp_path / "raw"))
    source = check_reader(path)
    assert [one.slug for one in source.documents] == ["document_scan"]
    assert any("'image'" in note and "another file" in note for note in source.notes)
    with h5py.File(path, "a") as file:
        file.create_dataset("cube", (9, 9, 16, 16), "u1", external=str(tmp_path / "raw"))
    with pytest.raises(UnsupportedDataError, match="cube"):
        read_source(path)
    assert read_source(path, ReadOptions(dataset="scan")).document.kind == "4d-stem"


@pytest.mark.parametrize(
    "picture", ["Preview/Image", "thumbnail", "Screenshot/data", "EBSD/Schematic 1", "histogram"]
)
def test_a_picture_is_never_the_main_document(tmp_path: Path, picture: str) -> None:
    """However large, a picture beside the data is a thumbnail; its colours are channels."""
    path = tmp_path / "scan.h5"
    with h5py.File(path, "w") as file:
        file["spectra"] = np.zeros((6, 5, 30), "f4")
        file[picture] = np.zeros((256, 256, 3), "u1")
        file[f"{picture} in grey"] = np.zeros((256, 256))
    source = check_reader(path)
    assert source.document.slug == "spectra"
    colours = [one for one in source.documents if one.channels]
    assert [one.shape for one in colours] == [(256, 256, 3)]
    assert sum(one.thumbnail for one in source.documents) == 2


def write_delmic(path: Path, cube: np.ndarray[Any, Any]) -> None:
    """Write an acquisition of spectra, the survey before it and a picture of the screen."""
    with h5py.File(path, "w") as file:
        for number, image in enumerate((np.ones((1, 1, 1, 200, 220), "u2"), cube)):
            group = file.create_group(f"Acquisition{number}/ImageData")
            data = group.create_dataset("Image", data=image)
            for dim, label in zip(data.dims, "CTZYX", strict=True):
                dim.label = label
            group["DimensionScaleX"], group["DimensionScaleY"] = 2e-8, 3e-8
            group["XOffset"], group["YOffset"] = 1e-6, 0.0
            group["DimensionScaleC"] = 4e-7 + np.arange(image.shape[0]) * 1e-9
            group["TOffset"] = 1724925265.5
            group.parent["PhysicalData/Title"] = ("Survey", "Spectra")[number]
        file["Preview/Image"] = np.zeros((512, 512, 3), "u1")


def test_delmic_spectra_come_first(tmp_path: Path) -> None:
    """The spectra are the main document, calibrated in nm; survey and screen are documents."""
    path = tmp_path / "cl.h5"
    cube = np.arange(64 * 10 * 12, dtype="u2").reshape(64, 1, 1, 10, 12)
    write_delmic(path, cube)
    source = check_reader(path)
    assert [one.slug for one in source.documents] == ["survey", "spectra", "preview"]
    main = source.document
    assert (main.slug, main.kind, main.shape) == ("spectra", "spectrum-image", (10, 12, 64))
    np.testing.assert_array_equal(values_of(source, "spectra"), np.moveaxis(cube[:, 0, 0], 0, -1))
    assert (main.axis("energy").units, main.axis("energy").offset) == ("nm", pytest.approx(400))
    assert main.axis("scan_x").scale == pytest.approx(20)
    assert main.axis("scan_x").offset == pytest.approx(1000 - 5.5 * 20)
    assert main.facts["acquired"] == "2024-08-29T09:54:25.500000+00:00"


def test_delmic_sample_equals_the_library(samples: Path) -> None:
    """Values and axes of a real file are RosettaSciIO's, of every acquisition in it."""
    path = samples / "formats" / "sparc-hyperspectral.h5"
    source = check_reader(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from rsciio.delmic import file_reader

        theirs = {one["metadata"]["General"]["title"]: one for one in file_reader(str(path), "all")}
    ours = {one.title: one for one in source.documents if not one.thumbnail}
    assert ours.keys() == theirs.keys()
    assert source.document.kind == "spectrum-image"
    for title, document in ours.items():
        np.testing.assert_array_equal(values_of(source, document.slug), theirs[title]["data"])
        for axis, their in zip(document.axes, theirs[title]["axes"], strict=True):
            positions = their.get("axis")
            first = their["offset"] if positions is None else positions[0]
            assert axis.offset == pytest.approx(first)
            assert axis.units == their["units"]


HEADERS = {
    "edax": ("Pattern", "nRows", "nColumns", "Step Y", "Step X"),
    "kikuchipy": ("patterns", "n_rows", "n_columns", "step_y", "step_x"),
    "bruker": ("RawPatterns", "NROWS", "NCOLS", "YSTEP", "XSTEP"),
    "oxford": ("Processed Patterns", "Y Cells", "X Cells", "Y Step", "X Step"),
}


def write_ebsd(path: Path, program: str, count: int = 6) -> np.ndarray[Any, Any]:
    """Write patterns as an EBSD program does, with a drawing that is larger than they are."""
    name, rows, columns, step_y, step_x = HEADERS[program]
    patterns = np.arange(count * 7 * 9, dtype="u2").reshape(count, 7, 9)
    with h5py.File(path, "w") as file:
        group = file.create_group("Scan 1/EBSD")
        group[f"Data/{name}"] = patterns
        group["Data/CI"] = np.zeros(count, "f4")
        group["Header/Coordinate System/Schematic 1"] = np.zeros((300, 300, 3), "u1")
        for tag, value in {rows: 2, columns: 3, step_y: 0.5, step_x: 0.25}.items():
            group[f"Header/{tag}"] = np.array([value])
    return patterns


@pytest.mark.parametrize("program", HEADERS)
def test_ebsd_patterns_are_a_scan(tmp_path: Path, program: str) -> None:
    """Rows, columns and steps of the header make a scan of the patterns; drawings are named."""
    path = tmp_path / "map.h5"
    patterns = write_ebsd(path, program)
    source = check_reader(path)
    main = source.document
    assert (main.kind, main.shape) == ("4d-stem", (2, 3, 7, 9))
    np.testing.assert_array_equal(values_of(source, main.slug).ravel(), patterns.ravel())
    assert (main.axis("scan_x").scale, main.axis("scan_x").units) == (0.25, "µm")
    assert any("Schematic 1" in note for note in source.notes)


def test_ebsd_patterns_that_are_missing(tmp_path: Path) -> None:
    """Fewer patterns than the header declares are a stack of an incomplete file."""
    path = tmp_path / "map.h5"
    write_ebsd(path, "edax", count=5)
    source = check_reader(path)
    assert (source.document.kind, source.complete) == ("stack", False)
    assert any("5 of 6 patterns are on disk" in note for note in source.document.notes)


def test_emsoft_patterns_come_before_what_is_larger(tmp_path: Path) -> None:
    """EMsoft's patterns are the main document, as a scan or as a list."""
    path = tmp_path / "simulated.h5"
    for shape, kind in (((2, 3, 7, 9), "4d-stem"), ((6, 7, 9), "stack")):
        with h5py.File(path, "w") as file:
            file["EMData/EBSD/EBSDPatterns"] = np.zeros(shape, "u1")
            file["NMLparameters/large"] = np.zeros((300, 300))
        assert check_reader(path).document.kind == kind
    assert check_reader(path, ReadOptions(scan_shape=(2, 3))).document.shape == (2, 3, 7, 9)


def test_the_edax_sample_is_a_scan(samples: Path) -> None:
    """A real EDAX file gives its patterns as a scan, and names its five drawings."""
    path = samples / "formats" / "edax_patterns.h5"
    source = check_reader(path)
    assert source.document.shape == (3, 3, 60, 60)
    assert sum("--dataset" in note for note in source.notes) == 5
    with h5py.File(path) as file:
        patterns = file["Scan 1/EBSD/Data/Pattern"][()]
    np.testing.assert_array_equal(
        values_of(source, source.document.slug).reshape(9, 60, 60), patterns
    )


def calibration(scale: float, units: str, offset: float = 0.0) -> dict[str, object]:
    """Return one of Nion Swift's calibrations."""
    return {"offset": offset, "scale": scale, "units": units}


def test_nion_items_are_calibrated(tmp_path: Path) -> None:
    """Title, axes, brightness and facts of Nion Swift's items come from their JSON text."""
    path = tmp_path / "scan.nhdf"
    properties = {
        "collection_dimension_count": 2,
        "datum_dimension_count": 2,
        "dimensional_calibrations": [
            *(calibration(0.5, "nm"), calibration(0.25, "nm", 3.0)),
            *(calibration(2.0, "mrad", -15.0), calibration(2.0, "mrad")),
        ],
        "intensity_calibration": calibration(0.1, "e", 4.0),
        "title": "Ronchi",
        "created": "2020-05-06T07:08:09.123456",
        "metadata": {
            "instrument": {"high_tension": 60000.0},
            "hardware_source": {"exposure": 0.02},
        },
    }
    spectra = {
        "collection_dimension_count": 2,
        "datum_dimension_count": 1,
        "dimensional_calibrations": [calibration(1, "nm")] * 2 + [calibration(0.5, "eV", -20)],
        "title": "EELS",
    }
    with h5py.File(path, "w") as file:
        file["data/0"] = np.arange(4 * 5 * 6 * 7, dtype="f4").reshape(4, 5, 6, 7)
        file["data/0"].attrs["properties"] = json.dumps(properties)
        file["data/1"] = np.zeros((4, 5, 9), "f4")
        file["data/1"].attrs["properties"] = json.dumps(spectra)
    source = check_reader(path)
    main = source.document
    assert (main.title, main.kind) == ("Ronchi", "4d-stem")
    assert [axis.units for axis in main.axes] == ["nm", "nm", "mrad", "mrad"]
    assert (main.axis("scan_x").scale, main.axis("scan_x").offset) == (0.25, 3.0)
    assert main.brightness is not None
    assert (main.brightness.scale, main.brightness.offset) == (0.1, 4.0)
    assert main.facts["beam_energy_keV"] == 60
    assert main.facts["exposure_s"] == 0.02
    assert main.facts["acquired"] == "2020-05-06T07:08:09.123456+00:00"
    tree: Any = source.load_metadata()
    for part in main.fact_paths["beam_energy_keV"].split("/"):
        tree = tree[part]
    assert tree == 60000
    assert source.find("eels").kind == "spectrum-image"
    assert source.find("eels").axis("energy").offset == -20


@pytest.mark.parametrize("text", ["", "[1]", "{", '{"title": 3, "data_shape": [9]}'])
def test_odd_properties_cost_nothing(tmp_path: Path, text: str) -> None:
    """A data set whose text says nothing usable is read as any other."""
    path = tmp_path / "scan.h5"
    with h5py.File(path, "w") as file:
        file["data"] = np.zeros((4, 5, 6, 7), "u1")
        file["data"].attrs["properties"] = text
    assert check_reader(path).document.kind == "4d-stem"


def test_a_broken_main_data_set_is_refused(tmp_path: Path) -> None:
    """A scan that declares far more than it stores is refused, with a whole image beside it."""
    path = tmp_path / "scan.h5"
    with h5py.File(path, "w") as file:
        file["image"] = np.zeros((9, 9))
        file.create_dataset("cube", (10**4, 10**4, 512, 512), "u2", chunks=(1, 1, 512, 512))
    with pytest.raises(CorruptFileError, match="cube"):
        read_source(path)


@pytest.mark.parametrize("chosen", [None, "scan"])
def test_chunks_that_were_never_written_are_counted(tmp_path: Path, chosen: str | None) -> None:
    """Room that was made for a scan and not filled reads as zeros, which a note says."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        data = file.create_dataset("scan", (4, 5, 8, 8), "u2", chunks=(1, 2, 8, 8))
        data[:2] = 1
        file.create_dataset("whole", data=np.ones((4, 5, 8, 8), "u2"), chunks=(3, 3, 8, 8))
    source = read_source(path, ReadOptions(dataset=chosen))
    said = {one.title or "scan": " ".join(one.notes) for one in source.documents}
    assert "6 of 12 chunks were never written and read as 0" in said.get("scan", said.get("a", ""))
    assert "never written" not in said.get("whole", "")
