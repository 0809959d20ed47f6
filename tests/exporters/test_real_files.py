"""Exports of every real DM file, opened by the programs that they are for."""

from __future__ import annotations

import json
import os
import re
import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

import stemzarr
from stemzarr.errors import UnsupportedDataError
from stemzarr.model import Document, read_all
from stemzarr.registry import read_source

hyperspy = pytest.importorskip("hyperspy.api")

SAMPLES = os.environ.get("STEMZARR_SAMPLES")
FILES = sorted(Path(SAMPLES, "dm").glob("*.dm[345]")) if SAMPLES else []
each_file = pytest.mark.parametrize("path", FILES, ids=[path.name for path in FILES])
pytestmark = pytest.mark.skipif(not FILES, reason="STEMZARR_SAMPLES names no DM files")

WORDS = {
    "beam_energy_keV": "beam_energy",
    "camera_length_mm": "camera_length",
    "magnification": "magnification",
    "convergence_angle_mrad": "convergence_angle",
    "probe_current_nA": "beam_current",
    "dwell_time_s": "dwell_time",
    "scan_rotation_deg": "rotation",
    "instrument": "microscope",
    "tilt_alpha_deg": "Stage.tilt_alpha",
    "tilt_beta_deg": "Stage.tilt_beta",
    "exposure_s": "Detector.Camera.exposure",
    "detector": "Detector.Camera.name",
}
"""Facts and where HyperSpy keeps them, below the microscope."""


@each_file
@pytest.mark.leaves_open
def test_hyperspy_opens_every_export(tmp_path: Path, path: Path) -> None:
    """All documents of a file open in HyperSpy, lazily too, with their values and axes."""
    source = read_source(path)
    export = tmp_path / "all.hspy"
    stemzarr.export(path, export, document="all")
    first = source.document
    documents = [first, *(one for one in source.documents if one is not first)]
    for lazy in (False, True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loaded = hyperspy.load(str(export), lazy=lazy)
        check_signals(loaded if isinstance(loaded, list) else [loaded], documents)


def check_signals(signals: list[Any], documents: list[Document]) -> None:
    """Compare what HyperSpy loaded with values and axes of the documents."""
    assert len(signals) == len(documents)
    for signal, document in zip(signals, documents, strict=True):
        given = np.asarray(signal.data)
        if given.dtype.names:
            given = given.view(given.dtype[0]).reshape(*given.shape, -1)
        np.testing.assert_array_equal(given.reshape(document.shape), read_all(document.blocks))
        axes = {axis.name: axis for axis in signal.axes_manager._axes}
        for axis in document.axes:
            if axis.size == 1 and axis.name not in axes:
                continue
            theirs = axes[axis.name]
            assert theirs.size == axis.size
            assert theirs.scale == pytest.approx(axis.scale)
            assert theirs.offset == pytest.approx(axis.offset)
            assert str(theirs.units) == axis.units


@each_file
def test_every_array_of_an_export_can_be_read_lazily(tmp_path: Path, path: Path) -> None:
    """HyperSpy wraps each array of the tag tree by its chunks, so each has some."""
    export = tmp_path / "one.hspy"
    stemzarr.export(path, export)
    lists = ("_list_", "_tuple_")
    with h5py.File(export) as file:
        bare: list[str] = []
        file.visititems(
            lambda name, item: (
                bare.append(name)
                if isinstance(item, h5py.Dataset)
                and item.chunks is None
                and not name.rpartition("/")[2].startswith(lists)
                else None
            )
        )
    assert bare == []


@each_file
def test_facts_come_back(tmp_path: Path, path: Path) -> None:
    """What is known of an acquisition is still known of the export that is read again."""
    source = read_source(path)
    export = tmp_path / "again.hspy"
    stemzarr.export(path, export)
    again = read_source(export).document.facts
    before = dict(source.document.facts)
    assert {name: again.get(name) for name in before} == pytest.approx(before)


def documents_of(path: Path) -> list[tuple[Document, NDArray[Any]]]:
    """Return all documents of a file with their values."""
    return [(document, read_all(document.blocks)) for document in read_source(path).documents]


def written(path: Path, dest: Path, document: Document) -> bool:
    """Export a document; tell whether the format holds such a one."""
    try:
        stemzarr.export(path, dest, document=document.slug)
    except UnsupportedDataError:
        return False
    return True


@each_file
def test_numpy_loads_and_maps_every_document(tmp_path: Path, path: Path) -> None:
    """Values and types are those of the file; the sidecar has axes and facts."""
    for document, values in documents_of(path):
        dest = tmp_path / f"{document.slug}.npy"
        assert written(path, dest, document)
        for mode in (None, "r"):
            found = np.load(dest, mmap_mode=mode)  # type: ignore[call-overload]
            assert found.dtype == values.dtype
            np.testing.assert_array_equal(found, values)
        sidecar = json.loads((tmp_path / f"{document.slug}.npy.json").read_text(encoding="utf-8"))
        assert sidecar["facts"].items() >= document.facts.items()
        for axis in document.axes:
            described = sidecar["coordinates"][axis.name]
            assert (described["scale"], described["offset"]) == (axis.scale, axis.offset)
            assert described["units"] == axis.units


@each_file
def test_torch_loads_and_maps_every_document(tmp_path: Path, path: Path) -> None:
    """A tensor of float32, or of the complex type, has the values of the file."""
    torch = pytest.importorskip("torch")
    for document, values in documents_of(path):
        dest = tmp_path / f"{document.slug}.pt"
        assert written(path, dest, document)
        for mapped in (False, True):
            found = torch.load(dest, weights_only=True, mmap=mapped).numpy()
            expected = values.astype(found.dtype).reshape(found.shape)
            np.testing.assert_array_equal(found, expected)


@each_file
def test_xarray_opens_every_document(tmp_path: Path, path: Path) -> None:
    """Plain xarray gives values, coordinates, units and facts, lazily."""
    for document, values in documents_of(path):
        dest = tmp_path / f"{document.slug}.zarr"
        assert written(path, dest, document)
        with xr.open_zarr(dest) as opened:
            np.testing.assert_array_equal(opened.intensity, values)
            assert opened.attrs.items() >= document.facts.items()
            for axis in document.axes:
                np.testing.assert_array_equal(opened[axis.name], axis.values())
                assert opened[axis.name].attrs["units"] == axis.units


@each_file
def test_emdfile_opens_every_document(tmp_path: Path, path: Path) -> None:
    """The library of py4DSTEM gives values, dims with their units, facts and tags."""
    emdfile = pytest.importorskip("emdfile")
    for document, values in documents_of(path):
        dest = tmp_path / f"{document.slug}.emd"
        assert written(path, dest, document)
        array = emdfile.read(str(dest))
        np.testing.assert_array_equal(array.data, values)
        for place, axis in enumerate(document.axes):
            factor = 0.1 if axis.units == "1/nm" else 1.0
            expected = axis.values() * factor
            np.testing.assert_allclose(array.dims[place], expected, rtol=1e-9, atol=1e-12)
            assert array.dim_names[place] == axis.name
        tags = array.root.metadata["stemzarr"]
        assert {name: tags["facts"][name] for name in document.facts} == document.facts


@each_file
def test_pictures_of_every_image_open(tmp_path: Path, path: Path) -> None:
    """Values by tifffile, the pixel size in the tags that HyperSpy reads, a .png by Pillow."""
    tifffile = pytest.importorskip("tifffile")
    image = pytest.importorskip("PIL.Image")
    for document, values in documents_of(path):
        tif, png = tmp_path / f"{document.slug}.tif", tmp_path / f"{document.slug}.png"
        if not written(path, tif, document):
            pictures = ("image", "diffraction", "stack", "4d-stem")
            assert document.kind not in pictures or values.dtype.kind == "c"
            continue
        expected = values.sum((2, 3)) if document.kind == "4d-stem" else values
        with tifffile.TiffFile(tif) as file:
            np.testing.assert_array_equal(file.asarray(), expected)
            x = document.axes[1 if document.kind == "4d-stem" else -1]
            assert file.pages[0].tags[65009].value == x.scale
            assert file.pages[0].tags[65006].value == x.offset
        assert written(path, png, document) == (document.kind != "stack")
        if document.kind == "stack":
            continue
        with image.open(png) as opened:
            assert opened.size == expected.shape[1::-1]


@each_file
@pytest.mark.leaves_open
def test_one_document_opens_in_hyperspy_with_its_facts(tmp_path: Path, path: Path) -> None:
    """Each document for itself, lazily, has its facts under HyperSpy's own words."""
    for document, values in documents_of(path):
        dest = tmp_path / f"{document.slug}.hspy"
        assert written(path, dest, document)
        signal = hyperspy.load(str(dest), lazy=True)
        found = np.asarray(signal.data)
        if found.dtype.names:
            found = found.view(found.dtype[0]).reshape(*found.shape, -1)
        np.testing.assert_array_equal(found.reshape(values.shape), values)
        for fact, place in WORDS.items():
            if fact in document.facts:
                given = signal.metadata.get_item(f"Acquisition_instrument.TEM.{place}")
                assert given == document.facts[fact]
        acquired = str(document.facts.get("acquired", ""))
        if acquired:
            general = signal.metadata.General
            moment = general.get_item("date") + "T" + general.get_item("time", "")
            assert acquired.startswith(moment.rstrip("T"))
            assert not re.search("[Z+-]", general.get_item("time", ""))
