"""Other formats, each opened by the program it is for, values and calibration compared."""

from __future__ import annotations

import dataclasses
import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import stemzarr
from stemzarr.errors import OptionError, UnsupportedDataError
from stemzarr.formats.blockfile import write_blo
from stemzarr.formats.dm.reader import read_dm
from stemzarr.formats.dm.writer import write_dm_source
from stemzarr.formats.emd.writer import write_emd
from stemzarr.formats.npy.writer import write_npy
from stemzarr.formats.picture.tif import write_tif
from stemzarr.formats.picture.writer import write_png
from stemzarr.formats.zarr.writer import write_zarr
from stemzarr.model import Document, read_box
from stemzarr.options import IngestOptions, ReadOptions
from stemzarr.registry import EXPORTERS, ExportRequest, find_exporter, read_source
from stemzarr.store import read_store, write_store
from stemzarr.testing import DMImage, write_dm, write_synthetic_dm4
from stemzarr.views import View, apply

tifffile = pytest.importorskip("tifffile")
Image = pytest.importorskip("PIL.Image")

COUNTS = np.random.default_rng(3).poisson(0.9, (6, 7, 10, 12)).astype(np.uint16)

MakeDocument = Callable[..., Document]
MakeRequest = Callable[..., ExportRequest]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "complex64", "bool"])
def test_numpy_loads_what_was_written(
    make_document: MakeDocument, make_request: MakeRequest, dtype: str
) -> None:
    """Numpy maps the file; the sidecar says what the numbers are."""
    request = make_request(make_document("4d-stem", COUNTS.astype(dtype)), "scan.npy")
    exported = write_npy(request)
    values = np.load(request.dest)
    assert values.dtype == dtype
    np.testing.assert_array_equal(values, COUNTS.astype(dtype))
    assert exported.sidecar is not None
    sidecar = json.loads(json.dumps(exported.sidecar, allow_nan=False))
    assert sidecar["dims"] == ["scan_y", "scan_x", "det_y", "det_x"]
    assert sidecar["coordinates"]["det_x"]["units"] == "1/nm"


def test_a_view_becomes_a_store_of_its_own(
    make_document: MakeDocument, make_request: MakeRequest
) -> None:
    """The derived store opens in plain xarray, with the view's coordinates and its lineage."""
    made = apply(make_document("4d-stem", COUNTS), View(scan_step=2, downsample=2))
    request = make_request(made, "view.zarr")
    folder = request.dest.parent
    (folder / "scan 1.dm4").touch()
    state = (folder / "scan 1.dm4").stat()
    source = dataclasses.replace(
        request.source, path=folder / "scan 1.dm4", size=0, modified_ns=state.st_mtime_ns
    )
    write_zarr(dataclasses.replace(request, source=source))
    with xr.open_zarr(request.dest) as opened:
        expected = COUNTS[::2, ::2].reshape(3, 4, 5, 2, 6, 2).mean(axis=(3, 5))
        np.testing.assert_allclose(opened["intensity"], expected, rtol=1e-6)
        for axis in made.axes:
            np.testing.assert_array_equal(opened[axis.name], axis.values())
        assert opened.attrs["derived_from"] == "scan 1.dm4"
        assert "blocks of 2×2 detector pixels" in opened.attrs["view"]
        assert json.loads(opened.attrs["provenance"])["stemzarr"] == "test"
    assert not read_store(request.dest).rebuildable


def test_emdfile_opens_the_whole_emd_as_py4dstem_does(
    make_document: MakeDocument, make_request: MakeRequest, py4dstem_classes: Any
) -> None:
    """emdfile, with which py4DSTEM reads, gives values, dim vectors, calibration and all tags."""
    document = make_document("4d-stem", COUNTS, facts={"beam_energy_keV": 200.0})
    request = make_request(document, "scan.h5")
    write_emd(request)
    cube = py4dstem_classes.emdfile.read(request.dest)
    assert isinstance(cube, py4dstem_classes.DataCube)
    np.testing.assert_array_equal(cube.data, COUNTS)
    for place, axis in enumerate(document.axes):
        factor = 0.1 if axis.units == "1/nm" else 1.0
        np.testing.assert_allclose(cube.dims[place], axis.values() * factor, atol=1e-12)
    assert list(cube.dim_names) == ["scan_y", "scan_x", "det_y", "det_x"]
    assert list(cube.dim_units) == ["nm", "nm", "A^-1", "A^-1"]
    calibration = cube.root.metadata["calibration"]
    assert isinstance(calibration, py4dstem_classes.Calibration)
    np.testing.assert_allclose(calibration["Q_pixel_size"], document.axis("det_x").scale / 10)
    assert (calibration["R_pixel_units"], calibration["Q_pixel_units"]) == ("nm", "A^-1")
    assert calibration["_target_paths"] == ["/datacube"]
    tags = cube.root.metadata["stemzarr"]
    assert tags["facts"]["beam_energy_keV"] == 200.0
    assert tags["original_metadata"]["Microscope Info"]["Name"] == "Titan"


@pytest.fixture
def py4dstem_classes(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give emdfile the classes that py4DSTEM adds to it, which itself needs numpy 1."""
    emdfile = pytest.importorskip("emdfile")
    module: Any = types.ModuleType("stand_in_for_py4dstem")
    module._emd_hook = True
    module.emdfile = emdfile
    module.Calibration = type("Calibration", (emdfile.Metadata,), {})
    module.DataCube = type("DataCube", (emdfile.Array,), {})
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("kind", ["4d-stem", "diffraction"])
def test_rosettasciio_reads_emd(
    make_document: MakeDocument, make_request: MakeRequest, kind: str, lazy: bool
) -> None:
    """RosettaSciIO gives the values of a scan and of one pattern, each axis with its scale."""
    reader = pytest.importorskip("rsciio.emd")
    values = COUNTS if kind == "4d-stem" else COUNTS[0, 0]
    document = make_document(kind, values)
    request = make_request(document, "x.emd")
    write_emd(request)
    (signal,) = reader.file_reader(request.dest, lazy=lazy)
    np.testing.assert_array_equal(np.asarray(signal["data"]), values)
    for theirs, axis in zip(signal["axes"], document.axes, strict=True):
        factor = 0.1 if axis.units == "1/nm" else 1.0
        assert theirs["name"] == axis.name
        np.testing.assert_allclose(
            (theirs["scale"], theirs["offset"]), (axis.scale * factor, axis.offset * factor)
        )


def test_emdfile_opens_colour(make_document: MakeDocument, make_request: MakeRequest) -> None:
    """The channels of a colour image are a dim like the others."""
    emdfile = pytest.importorskip("emdfile")
    values = np.random.default_rng(0).integers(0, 255, (6, 8, 3)).astype(np.uint8)
    document = make_document("image", values, channels=("red", "green", "blue"))
    request = make_request(document, "colour.emd")
    write_emd(request)
    array = emdfile.read(request.dest)
    np.testing.assert_array_equal(array.data, values)
    assert list(array.dim_names) == ["y", "x", "channel"]
    np.testing.assert_array_equal(array.dims[2], [0, 1, 2])
    again = read_source(request.dest).document
    assert (again.kind, again.dims, again.channels) == ("image", document.dims, document.channels)


def test_blo_opens_in_rosettasciio(make_document: MakeDocument, make_request: MakeRequest) -> None:
    """A scan of bytes comes back from the block file; other types are refused with a way out."""
    blockfile = pytest.importorskip("rsciio.blockfile")
    square = COUNTS[..., :10].astype(np.uint8)
    facts = {"camera_length_mm": 200.0, "beam_energy_keV": 200.0}
    document = make_document("4d-stem", square, facts=facts)
    request = make_request(document, "scan.blo")
    assert write_blo(request).notes == ()
    for lazy in (False, True):
        (found,) = blockfile.file_reader(request.dest, lazy=lazy)
        np.testing.assert_array_equal(found["data"], square)
    wavelength_nm = 0.0025079  # of electrons of 200 keV
    centimetres = document.axis("det_x").scale * wavelength_nm * 20
    np.testing.assert_allclose(found["axes"][3]["scale"], centimetres, rtol=1e-3)
    np.testing.assert_allclose(found["axes"][1]["scale"], document.axis("scan_x").scale)
    np.testing.assert_allclose(found["axes"][0]["scale"], document.axis("scan_y").scale)
    assert [axis["units"] for axis in found["axes"]] == ["nm", "nm", "cm", "cm"]
    with pytest.raises(UnsupportedDataError, match="dtype uint8"):
        write_blo(make_request(make_document("4d-stem", COUNTS), "wide.blo"))


def test_blo_takes_what_a_microscope_writes(tmp_path: Path) -> None:
    """Detector pixels too small for the format lose their calibration, which is said."""
    blockfile = pytest.importorskip("rsciio.blockfile")
    write_synthetic_dm4(tmp_path / "scan.dm4", (4, 6), (64, 64), np.uint8)
    (note,) = stemzarr.export(tmp_path / "scan.dm4", tmp_path / "scan.blo").notes
    assert "µm on the camera" in note
    (found,) = blockfile.file_reader(tmp_path / "scan.blo")
    with stemzarr.open(tmp_path / "scan.dm4") as scan:
        np.testing.assert_array_equal(found["data"], scan["intensity"])
    assert found["original_metadata"]["blockfile_header"]["SDP"] == 0
    np.testing.assert_allclose([axis["scale"] for axis in found["axes"][:2]], 2.5)


@pytest.mark.parametrize(("units", "scale"), [("cm", 0.02), ("mm", 0.2), ("µm", 200.0)])
def test_blo_keeps_a_camera_in_lengths(
    make_document: MakeDocument, make_request: MakeRequest, units: str, scale: float
) -> None:
    """A detector that is in lengths on the camera, as that of a .blo is, stays calibrated."""
    blockfile = pytest.importorskip("rsciio.blockfile")
    document = make_document("4d-stem", COUNTS.astype("u1")[..., : COUNTS.shape[-2]])
    axes = tuple(
        dataclasses.replace(axis, units=units, scale=scale, offset=0.0, calibrated=True)
        if axis.name.startswith("det")
        else axis
        for axis in document.axes
    )
    request = make_request(dataclasses.replace(document, axes=axes), "scan.blo")
    assert write_blo(request).notes == ()
    (found,) = blockfile.file_reader(request.dest)
    assert found["axes"][-1]["scale"] == pytest.approx(0.02, rel=1e-3)


def test_blo_says_what_it_cannot_keep(
    make_document: MakeDocument, make_request: MakeRequest
) -> None:
    """A scan in other units than lengths is written without them; too long a line is refused."""
    square = COUNTS[..., :10].astype(np.uint8)
    document = make_document("4d-stem", square)
    pixels = tuple(dataclasses.replace(axis, units="pixel") for axis in document.axes)
    notes = write_blo(make_request(dataclasses.replace(document, axes=pixels), "scan.blo")).notes
    assert len(notes) == 2
    assert "in pixel is not kept" in notes[0]
    line = make_document("4d-stem", np.zeros((1, 2**16, 1, 1), np.uint8))
    with pytest.raises(UnsupportedDataError, match="counts to 65535"):
        write_blo(make_request(line, "line.blo"))
    with pytest.raises(UnsupportedDataError, match="square"):
        write_blo(make_request(make_document("4d-stem", COUNTS.astype("u1")), "oblong.blo"))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float32", "float64"])
def test_tiff_keeps_values_and_scale(
    make_document: MakeDocument, make_request: MakeRequest, dtype: str
) -> None:
    """Tifffile gives the values in their type, and the pixel size as ImageJ understands it."""
    document = make_document("image", COUNTS[0, 0].astype(dtype))
    request = make_request(document, "image.tif")
    write_tif(request)
    with tifffile.TiffFile(request.dest) as file:
        np.testing.assert_array_equal(file.asarray(), COUNTS[0, 0].astype(dtype))
        page = file.pages[0]
        for tag, axis in (("XResolution", document.axes[1]), ("YResolution", document.axes[0])):
            numerator, denominator = page.tags[tag].value
            np.testing.assert_allclose(denominator / numerator, axis.scale, rtol=1e-6)
        assert file.imagej_metadata is not None
        assert file.imagej_metadata["unit"] == "nm"


WIDE = np.array([[0, 1, 2], [5, 6, 7]])


@pytest.mark.parametrize(
    ("values", "stored"),
    [
        (WIDE.astype(np.uint64), "uint8"),
        ((WIDE + 2**32 - 8).astype(np.uint64), "uint32"),
        ((WIDE - 2**31).astype(np.int64), "int32"),
        (WIDE / 4, "float32"),
        ((WIDE / 4).astype(np.float16), "float32"),
        (WIDE % 2 == 1, "uint8"),
    ],
)
def test_tiff_stores_what_other_programs_read(
    make_document: MakeDocument, make_request: MakeRequest, values: Any, stored: str
) -> None:
    """No value changes; PIL, which has no counts above 2**31, opens the rest."""
    request = make_request(make_document("image", values), "image.tif")
    assert write_tif(request).dtype == stored
    found = tifffile.imread(request.dest)
    assert found.dtype == stored
    np.testing.assert_array_equal(found.astype(values.dtype), values)
    if float(values.max()) < 2**31:
        with Image.open(request.dest) as picture:
            np.testing.assert_array_equal(np.asarray(picture).astype(values.dtype), values)


@pytest.mark.parametrize(
    "values", [(WIDE + 2**32 - 7).astype(np.uint64), WIDE - 2**31 - 1, WIDE / 3, WIDE * 1e300]
)
def test_tiff_rounds_no_value_unasked(
    make_document: MakeDocument, make_request: MakeRequest, values: Any
) -> None:
    """What neither 32 bits nor float32 hold exactly is refused, and rounded where that is asked."""
    request = make_request(make_document("image", values), "image.tif")
    with pytest.raises(UnsupportedDataError, match="no type") as raised:
        write_tif(request)
    assert "--dtype float32" in str(raised.value.hint)
    assert not request.dest.exists()


def test_pil_opens_the_image_of_a_scan_of_a_large_detector(
    make_document: MakeDocument, make_request: MakeRequest
) -> None:
    """The sum over more pixels than 32 bits are sure to hold still comes in 32 bits."""
    values = np.zeros((1, 2, 300, 300), np.uint16)
    values[0, 1] = 3
    request = make_request(make_document("4d-stem", values), "scan.tif")
    write_tif(request)
    with Image.open(request.dest) as picture:
        np.testing.assert_array_equal(np.asarray(picture), [[0, 270000]])


@given(scale=st.floats(1e-9, 1e9))
def test_tiff_holds_any_pixel_size(
    make_document: MakeDocument, make_request: MakeRequest, scale: float
) -> None:
    """From a billionth to a billion of its units, the resolution is that of the axis."""
    document = make_document("image", COUNTS[0, 0])
    axes = tuple(dataclasses.replace(axis, scale=scale) for axis in document.axes)
    request = make_request(dataclasses.replace(document, axes=axes), "image.tif")
    write_tif(request)
    with tifffile.TiffFile(request.dest) as file:
        numerator, denominator = file.pages[0].tags["XResolution"].value
    np.testing.assert_allclose(denominator / numerator, scale, rtol=1e-5)


def test_hyperspy_scales_the_tiff(make_document: MakeDocument, make_request: MakeRequest) -> None:
    """HyperSpy reads pixel size and unit from the file."""
    hs = pytest.importorskip("hyperspy.api")
    document = make_document("image", COUNTS[0, 0])
    request = make_request(document, "image.tif")
    write_tif(request)
    signal = hs.load(request.dest)
    np.testing.assert_array_equal(signal.data, COUNTS[0, 0])
    assert [axis.units for axis in signal.axes_manager.signal_axes] == ["nm", "nm"]
    for ours, theirs in zip(reversed(document.axes), signal.axes_manager.signal_axes, strict=True):
        np.testing.assert_allclose((theirs.scale, theirs.offset), (ours.scale, ours.offset))


def test_png_shows_the_image(make_document: MakeDocument, make_request: MakeRequest) -> None:
    """A picture is grey, from the smallest value to the brightest, and says its scale."""
    ramp = np.linspace(-2, 5, 6 * 8).reshape(6, 8)
    request = make_request(make_document("image", ramp), "image.png")
    write_png(request)
    with Image.open(request.dest) as picture:
        pixels = np.asarray(picture)
        assert picture.mode == "L"
        assert "0.25 nm" in picture.info["Description"]
    assert (pixels.min(), pixels.max()) == (0, 255)
    assert (np.diff(pixels.ravel().astype(int)) >= 0).all()


def test_png_shows_true_as_white(make_document: MakeDocument, make_request: MakeRequest) -> None:
    """A mask is black and white, and one that is True everywhere is white."""
    for mask in (np.eye(4, dtype=bool), np.ones((4, 4), bool), np.zeros((4, 4), bool)):
        request = make_request(make_document("image", mask), "mask.png")
        write_png(request)
        with Image.open(request.dest) as picture:
            np.testing.assert_array_equal(np.asarray(picture), mask * 255)


def test_png_refuses_more_channels_than_colours(
    make_document: MakeDocument, make_request: MakeRequest
) -> None:
    """Five channels are no colour; the message says how many a picture holds."""
    values = np.zeros((3, 4, 5), np.uint8)
    document = make_document("image", values, channels=tuple("abcde"))
    with pytest.raises(UnsupportedDataError, match="4 channels at most, and these are 5"):
        write_png(make_request(document, "five.png"))


@pytest.mark.parametrize(("channels", "mode"), [("red green blue", "RGB"), ("r g b a", "RGBA")])
def test_colour_stays_as_it_is(
    make_document: MakeDocument, make_request: MakeRequest, channels: str, mode: str
) -> None:
    """Colour images keep every channel, in both formats."""
    names = channels.split()
    values = np.random.default_rng(0).integers(0, 255, (6, 8, len(names))).astype(np.uint8)
    document = make_document("image", values, channels=names)
    for write, name in ((write_png, "image.png"), (write_tif, "image.tif")):
        request = make_request(document, name)
        write(request)
        with Image.open(request.dest) as picture:
            assert picture.mode == mode
            np.testing.assert_array_equal(np.asarray(picture), values)


def test_a_scan_becomes_its_virtual_image(
    make_document: MakeDocument, make_request: MakeRequest
) -> None:
    """Asked for a picture of a scan, the sum over the detector is drawn."""
    request = make_request(make_document("4d-stem", COUNTS), "scan.tif")
    write_tif(request)
    np.testing.assert_array_equal(tifffile.imread(request.dest), COUNTS.sum(axis=(2, 3)))


def test_pictures_of_other_documents_are_refused(
    make_document: MakeDocument, make_request: MakeRequest
) -> None:
    """A spectrum is no .tif and a stack no .png; the message names other formats."""
    for write, kind, values in (
        (write_png, "stack", COUNTS[0]),
        (write_tif, "spectrum", COUNTS[0, 0, 0]),
    ):
        with pytest.raises(UnsupportedDataError, match=f"is not an image but {kind}"):
            write(make_request(make_document(kind, values), "picture"))


def test_a_store_gives_its_dm4_back(tmp_path: Path, make_request: MakeRequest) -> None:
    """From a store, or from the file itself, the same bytes come; a view is refused."""
    path = tmp_path / "scan.dm4"
    write_dm(path, [DMImage(data=COUNTS)])
    source = read_dm(path, ReadOptions())
    write_store(source, tmp_path / "scan.zarr", IngestOptions())
    for number, origin in enumerate((source, read_store(tmp_path / "scan.zarr"))):
        request = make_request(origin.document, f"again{number}.dm4")
        write_dm_source(dataclasses.replace(request, source=origin))
        assert request.dest.read_bytes() == path.read_bytes()
    viewed = make_request(apply(source.document, View(downsample=2)), "view.dm4")
    with pytest.raises(OptionError, match="takes no view"):
        write_dm_source(dataclasses.replace(viewed, source=source))


def test_a_source_of_another_format_becomes_no_dm4(
    make_document: MakeDocument, make_request: MakeRequest
) -> None:
    """What was no DM file is not made one."""
    request = make_request(make_document("4d-stem", COUNTS), "scan.dm4")
    source = dataclasses.replace(request.source, format="hspy")
    with pytest.raises(UnsupportedDataError, match="becomes no DM file"):
        write_dm_source(dataclasses.replace(request, source=source))


@pytest.mark.parametrize("exporter", EXPORTERS, ids=lambda exporter: str(exporter.name))
def test_suffixes_find_their_exporter(exporter: Any) -> None:
    """Every suffix of the table leads to its exporter, in capitals too, and so does its name."""
    for suffix in exporter.suffixes:
        assert find_exporter(Path(f"x{suffix.upper()}")).name == exporter.name
    assert find_exporter(Path("x"), exporter.name) is exporter


def test_exports_read_back_through_our_own_readers(
    make_document: MakeDocument, make_request: MakeRequest
) -> None:
    """What is written as .hspy and .emd is understood by this package's own readers."""
    from stemzarr.formats.hspy.writer import write_hspy
    from stemzarr.registry import read_source

    document = make_document("4d-stem", COUNTS)
    for write, name in ((write_hspy, "scan.hspy"), (write_emd, "scan.h5")):
        request = make_request(document, name)
        write(request)
        again = read_source(request.dest).document
        assert again.kind == "4d-stem"
        np.testing.assert_array_equal(read_box(again.blocks, (0, 0, 0, 0), again.shape), COUNTS)
        np.testing.assert_allclose(again.axis("scan_x").values(), document.axis("scan_x").values())


def test_formats_of_one_document_refuse_several(
    make_document: MakeDocument, make_request: MakeRequest
) -> None:
    """No document is left out without a word; the message names formats that take all."""
    documents = [make_document("image", COUNTS[0, 0], index=n, slug=f"n{n}") for n in range(2)]
    with pytest.raises(OptionError, match="'npy' holds one document, and 2 are given") as caught:
        find_exporter(Path("x.npy")).write(make_request(documents, "x.npy"))
    assert "hspy" in str(caught.value)
    request = make_request(documents, "x.hspy")
    assert find_exporter(Path("x.hspy")).write(request).shape == (10, 12)
