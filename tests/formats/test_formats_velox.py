"""Velox files give every signal that can be read, and name the others."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from stemzarr.model import read_box
from stemzarr.options import ReadOptions
from stemzarr.registry import read_source
from stemzarr.testing.contracts import check_reader

SAMPLE = "Test SI 16x16 ReducedData 215 kx.emd"


@pytest.fixture(params=[SAMPLE, "spectra.h5"])
def velox(request: pytest.FixtureRequest, samples: Path, tmp_path: Path) -> Path:
    """Return a copy of a file with images, spectra and a spectrum image, under either suffix."""
    path = tmp_path / request.param
    shutil.copy(samples / "formats" / SAMPLE, path)
    return path


def test_images_and_spectra_need_no_sparse(velox: Path) -> None:
    """Every image and spectrum of the file is a document with its values; the rest is named."""
    source = check_reader(velox)
    with h5py.File(velox) as file:
        stored = [
            np.squeeze(group["Data"][()])
            for kind in ("Spectrum", "Image")
            for group in file[f"Data/{kind}"].values()
        ]
    assert len(source.documents) == len(stored)
    for document, values in zip(source.documents, stored, strict=True):
        start = (0,) * len(document.shape)
        np.testing.assert_array_equal(read_box(document.blocks, start, document.shape), values)
    assert source.find("haadf").kind == "image"
    assert source.document.slug == "haadf"
    assert any("Data/SpectrumImage" in note and "left out" in note for note in source.notes)


def test_a_stream_without_sparse_is_named(velox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream of X-rays that needs sparse is named with what installs it; images are read."""
    with h5py.File(velox, "a") as file:
        file.require_group("Data/SpectrumStream/0123")["Data"] = np.zeros((9, 1), "u2")
    find = importlib.util.find_spec
    absent = lambda name, *rest: None if name == "sparse" else find(name, *rest)  # noqa: E731
    monkeypatch.setattr(importlib.util, "find_spec", absent)
    source = read_source(velox)
    assert source.find("haadf").shape == (16, 16)
    assert any("sparse" in note and "stemzarr[formats]" in note for note in source.notes)


def test_one_broken_signal_never_costs_the_others(velox: Path) -> None:
    """An image without readable metadata, and items of unknown kinds, are named."""
    with h5py.File(velox, "a") as file:
        name = next(iter(file["Data/Image"]))
        del file[f"Data/Image/{name}/Metadata"]
        file["Data/SurfaceImage/77/Data"] = np.zeros((4, 5), "f4")
    source = read_source(velox)
    assert len(source.documents) == 8
    notes = " | ".join(source.notes)
    assert f"Data/Image/{name} is left out" in notes
    assert "Data/SurfaceImage (1 items) is left out" in notes
    chosen = read_source(velox, ReadOptions(dataset="Data/SurfaceImage/77/Data"))
    assert chosen.document.shape == (4, 5)


def _set_result(file: h5py.File, group: h5py.Group, **changes: str | None) -> None:
    """Change entries of ``BinaryResult`` in the metadata of an image; None removes one."""
    tree = json.loads(group["Metadata"][:, 0].tobytes().rstrip(b"\0"))
    for name, value in changes.items():
        tree["BinaryResult"].pop(name, None)
        if value is not None:
            tree["BinaryResult"][name] = value
    content = np.frombuffer(json.dumps(tree).encode(), "u1")[:, None]
    del group["Metadata"]
    group["Metadata"] = content
    file.flush()


def test_the_main_document_is_recorded_even_beside_larger_maps(velox: Path) -> None:
    """A map that is larger than every recorded image, or complex, is never the main document."""
    with h5py.File(velox, "a") as file:
        images = list(file["Data/Image"].values())
        maps = [image for image in images if image["Data"].dtype == "f4"]
        for image, values in zip(
            maps,
            (
                np.ones((16, 16, 1), "f8"),
                np.zeros((16, 16, 1), [("realFloat", "<f4"), ("imagFloat", "<f4")]),
            ),
            strict=False,
        ):
            del image["Data"]
            image.create_dataset("Data", data=values, chunks=values.shape)
    source = read_source(velox)
    assert source.document.slug == "haadf"
    assert source.document.nbytes < max(
        one.nbytes for one in source.documents if one.kind == "image"
    )


def test_recorded_spectra_come_before_maps_alone(velox: Path) -> None:
    """Where no detector recorded an image, a spectrum that was recorded is the main document."""
    with h5py.File(velox, "a") as file:
        for image in file["Data/Image"].values():
            _set_result(file, image, DetectorIndex=None)
    source = read_source(velox)
    assert source.document.kind == "spectrum"
    assert len(source.documents) == 9


def test_a_result_of_nexus_is_no_main_document(tmp_path: Path) -> None:
    """Data of an NXprocess group are kept beside smaller data that an instrument recorded."""
    path = tmp_path / "scan.h5"
    with h5py.File(path, "w") as file:
        file["entry/process/maps"] = np.ones((6, 5, 16, 16), "f8")
        file["entry/process"].attrs["NX_class"] = "NXprocess"
        file["entry/instrument/frames"] = np.ones((6, 5, 8, 8), "u2")
    source = read_source(path)
    assert source.document.shape == (6, 5, 8, 8)
    assert len(source.documents) == 2
