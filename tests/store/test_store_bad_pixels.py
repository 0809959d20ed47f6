"""Pixels that a source marks as bad keep their values, and enter nothing that is made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

import stemzarr
from stemzarr.errors import CorruptFileError, UnsupportedDataError
from stemzarr.formats.writing.image import fold_previews
from stemzarr.labelled import from_dataset, to_dataset
from stemzarr.model import Document, RotatedBlocks, Source, read_all, read_box
from stemzarr.options import IngestOptions
from stemzarr.pixels.resources import Resources
from stemzarr.registry import read_source
from stemzarr.store import open_previews, read_store, revise, verify_store, write_store
from stemzarr.store.upkeep.redacting import redact_store
from stemzarr.testing import write_synthetic_dm4
from stemzarr.testing.sources import counted, document_of, source_of
from stemzarr.testing.stores import change_store
from stemzarr.views import View, apply, measure_document, virtual_image

NO_SYNC = IngestOptions(sync=False)
SHAPE = (5, 6, 24, 20)
BAD = np.zeros(SHAPE[2:], bool)
BAD[10:12, 5] = BAD[0, 19] = True
DTYPES = ("u1", "i2", "u2", "i4", "u4", "u8", "f4", "f8", "bool", "c8")


def flagged(dtype: str) -> NDArray[Any]:
    """Return sparse counts whose bad pixels have the largest value of their type, or none."""
    values = counted(SHAPE).astype(dtype)
    if dtype != "bool":
        values[..., 3, 3] = 0 if dtype.startswith("u") else -7  # a type that is signed has both
    kind = values.dtype.kind
    extreme = np.inf if kind in "fc" else True if kind == "b" else np.iinfo(dtype).max
    values[..., BAD] = extreme
    return values


def check_statistics(found: Any, good: NDArray[Any]) -> None:
    """Compare statistics with those that numpy makes of the good values alone."""
    wide = (np.abs(good) if good.dtype.kind == "c" else good).astype(np.float64)
    logs = np.log1p(np.maximum(wide, 0))
    assert (found.count, found.min, found.max) == (wide.size, wide.min(), wide.max())
    measured = (found.mean, found.std, found.zero_fraction, found.log1p_mean, found.log1p_std)
    wanted = (wide.mean(), wide.std(), (wide == 0).mean(), logs.mean(), logs.std())
    np.testing.assert_allclose(measured, wanted, rtol=1e-9)


def check_previews(previews: Any, values: NDArray[Any], there: NDArray[np.bool_]) -> None:
    """Compare pictures with those that numpy makes of the same values, bad ones being 0."""
    real = np.abs(values) if values.dtype.kind == "c" else values
    zeroed = np.where(BAD, 0, real).astype(np.float64)
    mean, top = zeroed[there].mean(axis=0), zeroed[there].max(axis=0)
    np.testing.assert_allclose(previews["mean_diffraction"], mean, rtol=1e-6)
    np.testing.assert_array_equal(previews["max_diffraction"], top)
    total = np.where(there, zeroed.sum(axis=(2, 3)), 0)
    np.testing.assert_allclose(previews["total_intensity"], total, rtol=1e-9)
    for name in ("bright_field", "annular_dark_field"):
        assert (np.asarray(previews[name]) <= total + 1e-6).all()


@pytest.mark.parametrize("salvaged", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_statistics_and_pictures_are_those_of_good_pixels(
    tmp_path: Path, dtype: str, salvaged: bool
) -> None:
    """In every type, of a salvaged scan too; the store keeps mask and values and is sound."""
    values, there = flagged(dtype), np.ones(SHAPE[:2], bool)
    there[3, 2:] = there[4] = not salvaged
    values[~there] = 0
    valid = there if salvaged else None
    document = document_of(values, valid=valid, bad_pixels=BAD)
    store = tmp_path / "x.zarr"
    write_store(source_of(tmp_path / "x.bin", [document]), store, NO_SYNC)
    opened = read_store(store).document
    assert opened.bad_pixels is not None
    np.testing.assert_array_equal(opened.bad_pixels, BAD)
    np.testing.assert_array_equal(read_box(opened.blocks, (0,) * 4, SHAPE), values)
    check_statistics(opened.statistics, values[there][..., ~BAD])
    check_previews(open_previews(store), values, there)
    check_previews(fold_previews(document, Resources(threads=2, memory=2**24)), values, there)
    assert verify_store(store).ok
    if values.dtype.kind != "c":
        check_statistics(measure_document(document), values[there][..., ~BAD])


def test_a_scan_that_keeps_each_pixel_together_is_masked(tmp_path: Path) -> None:
    """Where the scan is fastest on disk, statistics and pictures leave the same pixels out."""
    path, store = tmp_path / "scan.dm4", tmp_path / "x.zarr"
    write_synthetic_dm4(path, SHAPE[:2], SHAPE[2:], layout="scan-fast")
    source = read_source(path)
    plain = source.document
    assert isinstance(plain.blocks, RotatedBlocks)
    values = read_box(plain.blocks, (0,) * 4, SHAPE)
    masked = _with_bad(source)
    write_store(masked, store, NO_SYNC)
    check_statistics(read_store(store).document.statistics, values[..., ~BAD])
    check_previews(open_previews(store), values, np.ones(SHAPE[:2], bool))


def _with_bad(source: Source) -> Source:
    import dataclasses

    documents = [
        dataclasses.replace(one, bad_pixels=BAD) if one.index == source.main else one
        for one in source.documents
    ]
    return dataclasses.replace(source, documents=tuple(documents))


def test_all_documents_keep_their_masks(tmp_path: Path) -> None:
    """Those of stacks and of further documents too; xarray opens them without a warning."""
    store = tmp_path / "x.zarr"
    main = document_of(flagged("u2"), bad_pixels=BAD)
    stack = document_of(flagged("u4")[0], "stack", index=1, slug="frames", bad_pixels=BAD)
    write_store(source_of(tmp_path / "x.bin", [main, stack]), store, NO_SYNC)
    frames = read_store(store).find(1)
    assert frames.bad_pixels is not None
    assert frames.statistics is not None
    assert frames.statistics.max < 1000
    with xr.open_datatree(store, engine="zarr", chunks=None) as tree:
        assert tree["bad_pixels"].dims == ("det_y", "det_x")
        assert tree["documents/frames/bad_pixels"].dims == ("frames_y", "frames_x")
    with xr.open_zarr(store) as dataset:
        np.testing.assert_array_equal(dataset["bad_pixels"], BAD)
    revise(store, {"camera_length_mm": 77})
    redact_store(store)
    copy = tmp_path / "copy.zarr"
    stemzarr.export(store, copy)
    for one in (store, copy):
        assert verify_store(one).ok
        np.testing.assert_array_equal(read_store(one).document.bad_pixels, BAD)


def test_a_mask_of_another_shape_is_damage(tmp_path: Path) -> None:
    """What is no mask of the patterns is refused when the store is opened."""
    store = tmp_path / "x.zarr"
    write_store(source_of(tmp_path / "x.bin", [document_of(counted(SHAPE))]), store, NO_SYNC)
    change_store(store, arrays={"bad_pixels": (np.zeros((4, 4), bool), ("det_y", "det_x"))})
    with pytest.raises(CorruptFileError, match="not a mask of its patterns"):
        read_store(store)


def test_another_mask_begins_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unfinished ingest with another mask is not continued: its sums would be others."""
    from stemzarr.store.ingest import write as writing

    path, store = tmp_path / "x.bin", tmp_path / "x.zarr"
    values = flagged("u2")
    with monkeypatch.context() as patch:
        patch.setattr(writing, "_complete", _fail)
        with pytest.raises(UnsupportedDataError):
            write_store(source_of(path, [document_of(values)]), store, NO_SYNC)
    result = write_store(source_of(path, [document_of(values, bad_pixels=BAD)]), store, NO_SYNC)
    assert result.status == "ingested"
    check_statistics(read_store(store).document.statistics, values[..., ~BAD])


def _fail(_: object) -> None:
    raise UnsupportedDataError("stopped", hint="try again")


@pytest.mark.parametrize(
    ("view", "mask"),
    [
        (View(roi="det_y=8:14,det_x=2:12"), BAD[8:14, 2:12]),
        (View(downsample=2), BAD.reshape(12, 2, 10, 2).any(axis=(1, 3))),
        (View(downsample=(5, 3)), BAD[:20, :18].reshape(4, 5, 6, 3).any(axis=(1, 3))),
        (View(downsample=(5, 5), method="stride"), BAD[::5, ::5][:4, :4]),
        (View(scan_downsample=2), BAD),
        (View(roi="det_y=0:4,det_x=0:4"), None),
    ],
)
def test_a_view_carries_what_is_bad(view: View, mask: NDArray[np.bool_] | None) -> None:
    """Regions crop the mask, and a joined pixel is bad where any of its pixels is."""
    viewed = apply(document_of(flagged("u4"), bad_pixels=BAD), view)
    if mask is None:
        assert viewed.bad_pixels is None
    else:
        np.testing.assert_array_equal(viewed.bad_pixels, mask)
        assert mask.any() or viewed.bad_pixels is None
    assert measure_document(viewed).max < 2**31


@pytest.mark.parametrize("normalize", ["minmax", "log1p-zscore"])
@pytest.mark.parametrize("region", ["", "det_y=6:18"])
def test_scales_are_those_of_good_pixels(normalize: Any, region: str) -> None:
    """A normalisation with and without a region of its own scales by good values alone."""
    view = View(normalize=normalize, roi=region, dtype="float64")
    viewed = apply(document_of(flagged("u4"), bad_pixels=BAD), view)
    rows = slice(6, 18) if region else slice(None)
    good = read_all(viewed.blocks)[..., ~BAD[rows]]
    if normalize == "minmax":
        assert (good.min(), good.max()) == (0.0, pytest.approx(1.0))
    else:
        assert (good.mean(), good.std()) == (pytest.approx(0, abs=1e-6), pytest.approx(1))


@pytest.mark.parametrize("method", ["gauss", "fft"])
def test_what_would_smear_bad_pixels_is_refused(method: Any) -> None:
    """A filter that spreads bad values over good ones is refused; without bad ones it works."""
    document = document_of(flagged("u4"), bad_pixels=BAD)
    with pytest.raises(UnsupportedDataError, match="3 bad pixels"):
        apply(document, View(downsample=2, method=method))
    apply(document, View(downsample=2, method=method, roi="det_y=12:24"))


def test_virtual_images_leave_bad_pixels_out() -> None:
    """The sum over the whole detector is that of its good pixels."""
    values = flagged("u4")
    image = virtual_image(document_of(values, bad_pixels=BAD))
    np.testing.assert_array_equal(image, np.where(BAD, 0, values).sum(axis=(2, 3)))


def test_datasets_keep_the_mask() -> None:
    """A document comes back from a Dataset with it, also from a part, or transposed."""
    document = document_of(flagged("u2"), bad_pixels=BAD)
    dataset = to_dataset(document)
    assert dataset["bad_pixels"].dims == ("det_y", "det_x")
    part = from_dataset(dataset.isel(det_y=slice(8, 14)))
    np.testing.assert_array_equal(part.bad_pixels, BAD[8:14])
    np.testing.assert_array_equal(from_dataset(dataset).bad_pixels, BAD)
    turned = dataset.assign(bad_pixels=dataset["bad_pixels"].T)
    np.testing.assert_array_equal(from_dataset(turned).bad_pixels, BAD)
    assert from_dataset(dataset.drop_vars("bad_pixels")).bad_pixels is None


@pytest.mark.parametrize("suffix", ["hspy", "emd"])
def test_exports_keep_the_mask(tmp_path: Path, suffix: str) -> None:
    """A file that other programs read has it, and reading the file takes it back."""
    store, dest = tmp_path / "x.zarr", tmp_path / f"x.{suffix}"
    write_store(
        source_of(tmp_path / "x.bin", [document_of(flagged("u2"), bad_pixels=BAD)]), store, NO_SYNC
    )
    stemzarr.export(store, dest)
    _check_read(read_source(dest).document)


def _check_read(document: Document) -> None:
    np.testing.assert_array_equal(document.bad_pixels, BAD)
    assert "3 of 480 detector pixels are marked as bad" in document.notes


@pytest.mark.parametrize("place", ["", "detectorSpecific/"])
@pytest.mark.parametrize("dtype", ["u2", "u4"])
def test_a_master_names_its_bad_pixels(tmp_path: Path, place: str, dtype: str) -> None:
    """The pixel mask of a DECTRIS master, in either of its places, is that of the document."""
    values, path = flagged(dtype).reshape(-1, *SHAPE[2:]), tmp_path / "s_master.h5"
    _write_master(path, values, f"entry/instrument/detector/{place}pixel_mask")
    document = read_source(path).document
    assert document.shape == SHAPE
    _check_read(document)
    virtual = tmp_path / "v.zarr"
    write_store(read_source(path), virtual, IngestOptions(sync=False, virtual=True))
    _check_read(read_store(virtual).document)
    assert measure_document(read_store(virtual).document).max < 1000


def _write_master(path: Path, values: NDArray[Any], mask: str) -> None:
    data = path.with_name("s_data_000001.h5")
    with h5py.File(data, "w") as file:
        frames = file.create_dataset("entry/data/data", data=values)
        frames.attrs["image_nr_low"] = np.uint64(1)
    with h5py.File(path, "w") as file:
        file["entry/data/data_000001"] = h5py.ExternalLink(data.name, "/entry/data/data")
        specific = file.require_group("entry/instrument/detector/detectorSpecific")
        specific["nimages"], specific["ntrigger"] = np.uint64(SHAPE[1]), np.uint64(SHAPE[0])
        file[mask] = BAD.astype("u4") * 16


def test_a_nexus_detector_names_its_bad_pixels(tmp_path: Path) -> None:
    """A pixel mask beside the data of any HDF5 file counts, one of another shape does not."""
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["entry/detector/data"] = flagged("u2")
        file["entry/detector/pixel_mask"] = BAD.astype("i4")
    _check_read(read_source(path).document)
    with h5py.File(path, "r+") as file:
        del file["entry/detector/pixel_mask"]
        file["entry/detector/pixel_mask"] = np.ones((3, 3), "i4")
    assert read_source(path).document.bad_pixels is None
