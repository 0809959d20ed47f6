"""Which patterns of a salvaged scan are there is in every file that can say it."""

from __future__ import annotations

import gc
import json
from pathlib import Path

import h5py
import numpy as np
import pytest

import stemzarr
from stemzarr.options import ExportOptions, IngestOptions, ReadOptions
from stemzarr.registry import read_source
from stemzarr.testing import DMImage, write_dm
from stemzarr.views import View

SALVAGE = ReadOptions(salvage=True, scan_shape=(8, 8))
COUNTS = np.random.default_rng(0).poisson(3, (8, 8, 6, 6)).astype(np.uint16)
VIEW = View(roi="scan_y=1:8,scan_x=2:8", scan_step=2)


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a dm4 that ends after 4 rows and 3 patterns of its 8 × 8."""
    path = tmp_path_factory.mktemp("cut") / "cut.dm4"
    write_dm(path, [DMImage(data=COUNTS)], thumbnail=False)
    whole = path.read_bytes()
    start = whole.index(COUNTS[0, 0].tobytes())
    path.write_bytes(whole[: start + 35 * 72 + 5])
    return path


def expected(view: View | None) -> np.ndarray:
    """Return the mask of the scan, or of the view of it."""
    mask = (np.arange(64) < 35).reshape(8, 8)
    return mask if view is None else mask[1::2, 2::2]


@pytest.mark.parametrize("view", [None, VIEW])
@pytest.mark.parametrize("name", ["x.npy", "x.pt"])
def test_a_sidecar_gives_runs_of_patterns(
    cut: Path, tmp_path: Path, name: str, view: View | None
) -> None:
    """The runs are numbers of patterns, row by row, as they stand in the file."""
    if name == "x.pt":
        pytest.importorskip("torch")
    stemzarr.export(cut, tmp_path / name, view=view, read=SALVAGE)
    sidecar = json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8"))
    mask = np.zeros(expected(view).size, bool)
    for first, end in sidecar["valid"]:
        mask[first:end] = True
    np.testing.assert_array_equal(mask.reshape(expected(view).shape), expected(view))


@pytest.mark.leaves_open
def test_hyperspy_opens_a_salvaged_scan_lazily(cut: Path, tmp_path: Path) -> None:
    """The mask is an array of the metadata, and HyperSpy wraps each of these by its chunks."""
    hs = pytest.importorskip("hyperspy.api")
    stemzarr.export(cut, tmp_path / "x.hspy", read=SALVAGE)
    signal = hs.load(tmp_path / "x.hspy", lazy=True)
    np.testing.assert_array_equal(np.asarray(signal.metadata.stemzarr.valid), expected(None))
    np.testing.assert_array_equal(np.asarray(signal.data)[:4], COUNTS[:4])


@pytest.mark.parametrize("view", [None, VIEW])
def test_hyperspy_keeps_the_mask_of_a_hspy(cut: Path, tmp_path: Path, view: View | None) -> None:
    """HyperSpy has it among the metadata, also of a file that HyperSpy wrote again."""
    hs = pytest.importorskip("hyperspy.api")
    stemzarr.export(cut, tmp_path / "x.hspy", view=view, read=SALVAGE)
    signal = hs.load(tmp_path / "x.hspy")
    np.testing.assert_array_equal(signal.metadata.stemzarr.valid, expected(view))
    signal.save(tmp_path / "again.hspy")
    for name in ("x.hspy", "again.hspy"):
        found = read_source(tmp_path / name).document.valid
        np.testing.assert_array_equal(found, expected(view))
    gc.collect()


@pytest.mark.parametrize("view", [None, VIEW])
def test_emdfile_keeps_the_mask_of_an_emd(cut: Path, tmp_path: Path, view: View | None) -> None:
    """It stands in the metadata, as an array; RosettaSciIO finds nothing but the scan."""
    emdfile = pytest.importorskip("emdfile")
    reader = pytest.importorskip("rsciio.emd")
    stemzarr.export(cut, tmp_path / "x.emd", view=view, read=SALVAGE)
    with h5py.File(tmp_path / "x.emd") as file:
        tags = emdfile.Metadata.from_h5(file["stemzarr_root/metadatabundle/stemzarr"])
    np.testing.assert_array_equal(tags["valid"], expected(view))
    (signal,) = reader.file_reader(tmp_path / "x.emd")
    assert signal["data"].shape[:2] == expected(view).shape
    (document,) = read_source(tmp_path / "x.emd").documents
    np.testing.assert_array_equal(document.valid, expected(view))


@pytest.mark.parametrize("name", ["x.hspy", "x.emd"])
def test_training_from_the_file_leaves_missing_patterns_out(
    cut: Path, tmp_path: Path, name: str
) -> None:
    """As many patterns are trained on as the broken file held."""
    pytest.importorskip("torch")
    from stemzarr.torch import PatternDataset

    stemzarr.export(cut, tmp_path / name, read=SALVAGE)
    patterns = PatternDataset(tmp_path / name)
    assert len(patterns) == 35
    np.testing.assert_array_equal(patterns[34][0], COUNTS.reshape(64, 6, 6)[34])


@pytest.mark.parametrize("wrong", [np.ones((8, 7), bool), np.ones((8, 8), np.uint8), None])
@pytest.mark.parametrize("name", ["x.hspy", "x.emd"])
def test_a_mask_of_another_shape_or_type_is_none(
    cut: Path, tmp_path: Path, name: str, wrong: np.ndarray | None
) -> None:
    """What stands in its place in a file of others is not taken for a mask."""
    stemzarr.export(cut, tmp_path / name, read=SALVAGE)
    with h5py.File(tmp_path / name, "r+") as file:
        masks: list[str] = []
        file.visititems(lambda path, item: masks.append(path) if is_mask(item) else None)
        (place,) = masks
        del file[place]
        if wrong is not None:
            file[place] = wrong
    assert all(document.valid is None for document in read_source(tmp_path / name).documents)


def is_mask(item: h5py.Group | h5py.Dataset) -> bool:
    """Tell whether an object is the mask."""
    return isinstance(item, h5py.Dataset) and item.dtype == bool and item.shape == (8, 8)


def test_images_of_a_salvaged_scan_leave_out_what_is_missing(cut: Path, tmp_path: Path) -> None:
    """Positions that were not recovered are NaN, and scale nothing."""
    options = ExportOptions(image="total-intensity")
    view = View(normalize="log1p-zscore")
    stemzarr.ingest(cut, tmp_path / "cut.zarr", IngestOptions(read=SALVAGE))
    for name in ("i.npy", "z.npy"):
        chosen = view if name == "z.npy" else None
        stemzarr.export(tmp_path / "cut.zarr", tmp_path / name, view=chosen, options=options)
    image, scaled = (np.load(tmp_path / name) for name in ("i.npy", "z.npy"))
    np.testing.assert_array_equal(np.isnan(image), ~expected(None))
    np.testing.assert_array_equal(image[expected(None)], COUNTS.sum(axis=(2, 3))[expected(None)])
    there = scaled[expected(None)].astype(np.float64)
    assert abs(there.mean()) < 1e-5
    assert there.std() == pytest.approx(1, rel=1e-5)
