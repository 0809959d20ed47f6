"""Zarr of other programs is read as what it is, lazily, and never taken for a store."""

from __future__ import annotations

import gzip
import json
import lzma
import shutil
import warnings
import zipfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.storage import LocalStore, ZipStore

import stemzarr
from stemzarr.errors import (
    CorruptFileError,
    EntryNotFoundError,
    StemzarrError,
    UnknownFormatError,
    UnsupportedDataError,
)
from stemzarr.model import Source, read_all, read_box
from stemzarr.options import ReadOptions
from stemzarr.registry import is_data_folder, is_store, read_source
from stemzarr.testing.contracts import check_reader
from stemzarr.testing.files import FILE_WRITERS

FORMATS: tuple[Literal[2, 3], ...] = (2, 3)


def values_of(source: Source, slug: str) -> Any:
    """Return all values of a document."""
    blocks = source.find(slug).blocks
    return read_all(blocks)


@settings(max_examples=40)
@given(
    shape=st.lists(st.integers(1, 7), min_size=1, max_size=5),
    chunk=st.integers(1, 4),
    dtype=st.sampled_from(["u1", "<i4", ">u2", "f4", "f8", "c8", "?"]),
    form=st.sampled_from(FORMATS),
)
def test_any_array_comes_back(
    tmp_path_factory: pytest.TempPathFactory,
    shape: list[int],
    chunk: int,
    dtype: str,
    form: Literal[2, 3],
) -> None:
    """An array of any shape, chunks and type of either format has zarr's own values."""
    path = tmp_path_factory.mktemp("zarr") / "array.zarr"
    values = (np.arange(np.prod(shape)) % 251).reshape(shape).astype(dtype)
    # three chunks along an axis have a first, a middle and a last; more are only more files
    chunks = tuple(max(min(chunk, size), -(-size // 3)) for size in shape)
    zarr.create_array(LocalStore(path), data=values, chunks=chunks, zarr_format=form)
    document = read_source(path).document
    ours = read_all(document.blocks)
    np.testing.assert_array_equal(ours.reshape(shape), values)


@pytest.mark.parametrize("form", FORMATS)
def test_datasets_of_xarray_are_calibrated(tmp_path: Path, form: Literal[2, 3]) -> None:
    """Dims and coordinates name and calibrate the axes; every variable is a document."""
    path = tmp_path / "scan.zarr"
    scan = xr.DataArray(
        np.arange(2 * 3 * 4 * 5, dtype="u2").reshape(4, 5, 2, 3),
        dims=("ky", "kx", "scan_y", "scan_x"),
        coords={
            "scan_y": ("scan_y", 7 + np.arange(2) * 0.5, {"units": "nm"}),
            "kx": ("kx", np.arange(5) * 0.1, {"units": "1/nm"}),
            "scan_x": ("scan_x", np.array([0.0, 1.0, 9.0]), {"units": "nm"}),
        },
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        xr.Dataset({"counts": scan, "adf": scan.sum(("ky", "kx"))}).to_zarr(path, zarr_format=form)
    source = check_reader(path)
    assert [one.title for one in source.documents] == ["counts", "adf"]
    main = source.document
    assert main.kind == "4d-stem"
    np.testing.assert_array_equal(values_of(source, main.slug), scan.values.transpose(2, 3, 0, 1))
    assert (main.axis("scan_y").scale, main.axis("scan_y").offset) == (0.5, 7)
    assert main.axis("det_x").scale == pytest.approx(0.1)
    assert not main.axis("scan_x").calibrated
    assert any("uneven" in note for note in main.notes)
    assert source.load_metadata()["scan_x"]["value"] == [0.0, 1.0, 9.0]


@pytest.mark.parametrize("form", FORMATS)
def test_chunks_that_are_absent_are_counted(tmp_path: Path, form: Literal[2, 3]) -> None:
    """Chunks that are not stored read as the fill value, and a note counts them."""
    path = tmp_path / "sparse.zarr"
    array = zarr.create_array(
        LocalStore(path), shape=(4, 5, 8, 8), chunks=(1, 5, 8, 8), dtype="f4", zarr_format=form
    )
    array[0] = 3.0
    source = check_reader(path)
    assert any("3 of 4 chunks are not stored" in note for note in source.document.notes)
    assert values_of(source, source.document.slug).sum() == 3 * 5 * 64


def test_levels_of_ome_zarr_are_named(tmp_path: Path) -> None:
    """The full image of OME-Zarr is calibrated; its smaller copies are named, not stored."""
    path = tmp_path / "image.ome.zarr"
    group = zarr.open_group(LocalStore(path), mode="w", zarr_format=2)
    levels = []
    for level, size in enumerate((16, 8)):
        group.create_array(str(level), data=np.full((3, size, size), level, "u1"))
        scale = {"type": "scale", "scale": [2.0, 0.5 * 2**level, 0.5 * 2**level]}
        levels.append({"path": str(level), "coordinateTransformations": [scale]})
    axes = [
        {"name": "t", "unit": "second"},
        {"name": "y", "unit": "micrometer"},
        {"name": "x", "unit": "micrometer"},
    ]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": levels}]
    source = check_reader(path)
    [image] = source.documents
    assert image.kind == "stack"
    assert [(axis.scale, axis.units) for axis in image.axes] == [(2, "s"), (0.5, "µm"), (0.5, "µm")]
    assert any("--dataset 1 takes it" in note for note in source.notes)
    assert read_source(path, ReadOptions(dataset="1")).document.shape == (3, 8, 8)


def test_what_is_no_data_is_refused(tmp_path: Path) -> None:
    """Groups without arrays, arrays that are not there and damage are refused by name."""
    path = tmp_path / "empty.zarr"
    zarr.open_group(LocalStore(path), mode="w", zarr_format=2)
    with pytest.raises(UnsupportedDataError, match="without arrays of numbers"):
        read_source(path)
    zarr.open_group(LocalStore(path), mode="w", zarr_format=2).create_array("a/b", data=np.eye(4))
    with pytest.raises(EntryNotFoundError, match="'a/b'"):
        read_source(path, ReadOptions(dataset="c"))
    document = read_source(path).document
    for chunk in (path / "a" / "b").iterdir():
        if not chunk.name.startswith("."):
            chunk.write_bytes(b"damage")
    with pytest.raises(StemzarrError, match="cannot decode"):
        read_box(document.blocks, (0, 0), (4, 4))
    (path / ".zgroup").write_text("{")
    with pytest.raises(CorruptFileError):
        read_source(path)


def test_stores_stay_stores(tmp_path: Path) -> None:
    """A store, whole or damaged, is never read as Zarr of another program."""
    foreign = tmp_path / "foreign.zarr"
    zarr.create_array(LocalStore(foreign), data=np.ones((2, 3, 8, 8), "u2"), zarr_format=3)
    assert is_data_folder(foreign)
    assert not is_store(foreign)
    store = tmp_path / "store.zarr"
    stemzarr.ingest(foreign, store)
    assert is_store(store)
    assert not is_data_folder(store)
    assert read_source(store).format == "stemzarr"
    tree = json.loads((store / "zarr.json").read_text())
    del tree["attributes"]["stemzarr_schema"]
    (store / "zarr.json").write_text(json.dumps(tree))
    assert is_store(store)
    with pytest.raises(StemzarrError):
        read_source(store)


@pytest.mark.parametrize("packed", [False, True])
def test_zspy_equals_the_library(samples: Path, tmp_path: Path, *, packed: bool) -> None:
    """A .zspy folder, and a zipped one, have RosettaSciIO's values, and are not written to."""
    name = f"signal1d_10x10-{'Zip' if packed else 'Directory'}Store.zspy"
    path = tmp_path / name
    original = samples / "formats" / "zspy" / name
    shutil.copy(original, path) if packed else shutil.copytree(original, path)
    source = check_reader(path)
    from rsciio.zspy import file_reader

    [theirs] = file_reader(str(path), lazy=False)
    values = values_of(source, source.document.slug)
    np.testing.assert_array_equal(values.reshape(10, 10), theirs["data"])
    if packed:
        assert zipfile.is_zipfile(path)
        assert path.read_bytes() == original.read_bytes()


def test_a_damaged_zspy_is_refused(tmp_path: Path) -> None:
    """A folder or a file of that suffix that holds no signals says so."""
    (tmp_path / "folder.zspy").mkdir()
    (tmp_path / "file.zspy").write_bytes(b"no zip at all")
    with ZipStore(tmp_path / "zip.zspy", mode="w") as store:
        zarr.open_group(store, zarr_format=2)
    for name in ("folder", "file", "zip"):
        with pytest.raises(StemzarrError):
            read_source(tmp_path / f"{name}.zspy")


def write_abtem(path: Path, zarr_format: Literal[2, 3], **changes: Any) -> None:
    """Write a 4D scan as abTEM does, with what it says of the axes."""
    scan = [
        {"_type": "ScanAxis", "label": label, "units": "Å", "sampling": step, "offset": 1.0}
        for label, step in (("x", 0.25), ("y", 0.5))
    ]
    root = zarr.open_group(path, mode="w", zarr_format=zarr_format)
    root.create_array("array0", data=np.ones((4, 5, 8, 9), "f4"))
    described = {
        "ensemble_axes_metadata": scan,
        "sampling": [0.05, 0.06],
        "fftshift": True,
        "metadata": {"energy": 80e3},
        **changes,
    }
    root.attrs.update({"kwargs0": described, "type0": "DiffractionPatterns"})


@pytest.mark.parametrize("zarr_format", FORMATS)
def test_axes_of_abtem(tmp_path: Path, zarr_format: Literal[2, 3]) -> None:
    """Steps, units, the zero in the middle and the beam energy are those that abTEM names."""
    write_abtem(tmp_path / "sim.zarr", zarr_format)
    document = check_reader(tmp_path / "sim.zarr").document
    axes = [(one.scale, one.offset, one.units) for one in document.axes]
    assert axes[:2] == [(0.25, 1.0, "Å"), (0.5, 1.0, "Å")]
    assert axes[2:] == [
        (pytest.approx(0.05), pytest.approx(-0.2), "1/Å"),
        (pytest.approx(0.06), pytest.approx(-0.24), "1/Å"),
    ]
    assert document.layout is not None
    assert (document.kind, document.layout.confidence) == ("4d-stem", "high")
    assert document.facts == {"beam_energy_keV": 80.0}
    assert document.fact_paths == {"beam_energy_keV": "@kwargs0/metadata/energy"}
    assert any("x before y" in note for note in document.notes)


@pytest.mark.parametrize(
    "changes",
    [
        {"fftshift": False},
        {"sampling": [0, None]},
        {"sampling": 0.05},
        {"ensemble_axes_metadata": None},
        {"ensemble_axes_metadata": [None], "metadata": 3},
    ],
)
def test_what_abtem_does_not_say_is_no_calibration(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Frequencies that are not in order, no steps, or a description that does not fit."""
    write_abtem(tmp_path / "sim.zarr", 3, **changes)
    document = read_source(tmp_path / "sim.zarr").document
    assert [axis.calibrated for axis in document.axes[2:]] == [False, False]


def test_archives_are_refused_as_what_they_are(tmp_path: Path) -> None:
    """A packed file of an unknown suffix says what is in it, and that it is to be unpacked."""
    np.save(tmp_path / "data.npy", np.ones((4, 5), "u2"))
    np.savez(tmp_path / "many.npz", one=np.ones(3))
    with zipfile.ZipFile(tmp_path / "nion.zip", "w") as archive:
        archive.write(tmp_path / "data.npy", "data.npy")
        archive.writestr("metadata.json", "{}")
    with ZipStore(tmp_path / "sim.zarr.zip", mode="w") as store:
        zarr.open_group(store, mode="w").create_array("a", data=np.ones((4, 5), "u2"))
    (tmp_path / "scan.gz").write_bytes(gzip.compress(b"0123456789"))
    (tmp_path / "scan.xz").write_bytes(lzma.compress(b"0123456789"))
    for name, words in {
        "many.npz": r"zip archive \(one.npy\).*file of data",
        "nion.zip": r"zip archive \(data.npy, metadata.json\).*file of data",
        "sim.zarr.zip": r"zip archive .*give the folder",
        "scan.gz": r"packed by gzip.*unpack",
        "scan.xz": r"packed by xz.*unpack",
    }.items():
        with pytest.raises(UnknownFormatError, match=words):
            read_source(tmp_path / name)
    (tmp_path / "notes.odd").write_text("text")
    with pytest.raises(UnknownFormatError, match=r"format \('\.odd'\)"):
        read_source(tmp_path / "notes.odd")


def test_a_zspy_has_its_metadata_in_one_order(tmp_path: Path) -> None:
    """Zarr lists groups by chance: the metadata of equal files are equal to the byte."""
    path = FILE_WRITERS["zspy"](tmp_path, np.ones((2, 3, 4, 4)), "secret")
    tree = read_source(path).load_metadata()["scan_of_secret"]
    assert list(tree["metadata"]) == ["General", "Sample", "Signal"]
    assert list(tree["original_metadata"]["Tags"])[-1] == "Session"
