"""Velox files give every signal that can be read, and name the others."""

from __future__ import annotations

import importlib.util
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
    assert source.document.kind == "image"
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
