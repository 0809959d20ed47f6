"""Images of scans as files: previews and virtual images, their values compared with numpy."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from numpy.typing import NDArray

import stemzarr
from stemzarr.errors import OptionError, UnsupportedDataError
from stemzarr.formats.writing.computed import COMPUTED
from stemzarr.formats.writing.image import fold_previews, take_image
from stemzarr.model import Document, read_box
from stemzarr.options import ExportOptions, ImageName, IngestOptions
from stemzarr.pixels.resources import Resources
from stemzarr.registry import ExportRequest
from stemzarr.store import open_previews
from stemzarr.testing import write_synthetic_dm4
from stemzarr.views import View

tifffile = pytest.importorskip("tifffile")
Image = pytest.importorskip("PIL.Image")

SCAN, DETECTOR = (9, 11), (30, 26)
IMAGES = [name for name in get_args(ImageName) if name not in COMPUTED]
MakeDocument = Callable[..., Document]
MakeRequest = Callable[..., ExportRequest]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with one scan in either layout, as a store, and as one without previews."""
    made = tmp_path_factory.mktemp("images")
    write_synthetic_dm4(made / "detector-fast.dm4", SCAN, DETECTOR)
    write_synthetic_dm4(made / "scan-fast.dm4", SCAN, DETECTOR, layout="scan-fast")
    stemzarr.ingest(made / "detector-fast.dm4", made / "store.zarr")
    stemzarr.ingest(made / "scan-fast.dm4", made / "turned.zarr")
    bare = IngestOptions(preview=False)
    stemzarr.ingest(made / "detector-fast.dm4", made / "bare.zarr", bare)
    return made


@pytest.fixture(scope="module")
def cube(folder: Path) -> NDArray[Any]:
    """Return all counts, (scan_y, scan_x, det_y, det_x)."""
    with stemzarr.open(folder / "detector-fast.dm4", chunks=None) as scan:
        counts: NDArray[Any] = scan["intensity"].to_numpy()
    return counts


def expected(cube: NDArray[Any], disk: dict[str, float]) -> dict[str, NDArray[Any]]:
    """Return all images of a scan, the disk given."""
    y, x = np.indices(cube.shape[2:])
    distance = np.hypot(y - disk["center_y"], x - disk["center_x"])
    return {
        "bright-field": cube[..., distance <= disk["radius"]].sum(axis=-1),
        "annular-dark-field": cube[..., distance > disk["annulus_inner"]].sum(axis=-1),
        "total-intensity": cube.sum(axis=(2, 3)),
        "mean-diffraction": cube.mean(axis=(0, 1)),
        "max-diffraction": cube.max(axis=(0, 1)),
    }


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize(
    "source", ["detector-fast.dm4", "scan-fast.dm4", "store.zarr", "bare.zarr"]
)
def test_every_source_gives_the_same_image(
    folder: Path, tmp_path: Path, cube: NDArray[Any], name: ImageName, source: str
) -> None:
    """A TIFF has the values that numpy sums under the disk of the store, whatever the source."""
    # the disk of a transposed source is looked for in other patterns
    previewed = "turned.zarr" if source == "scan-fast.dm4" else "store.zarr"
    disk = open_previews(folder / previewed).attrs["disk"]
    options = ExportOptions(image=name)
    result = stemzarr.export(folder / source, tmp_path / "image.tif", options=options)
    values = tifffile.imread(tmp_path / "image.tif")
    assert result.shape == values.shape
    np.testing.assert_allclose(values, expected(cube, disk)[name], rtol=1e-6)
    assert values.std() > 0


def test_previews_of_a_store_are_read_and_not_made(folder: Path, tmp_path: Path) -> None:
    """The pixels of the scan are not touched: the image comes where they are gone."""
    shutil.copytree(folder / "store.zarr", tmp_path / "store.zarr")
    shutil.rmtree(tmp_path / "store.zarr" / "intensity" / "c")
    for name in IMAGES:
        dest = tmp_path / f"{name}.npy"
        stemzarr.export(tmp_path / "store.zarr", dest, options=ExportOptions(image=name))
        preview = open_previews(folder / "store.zarr")[name.replace("-", "_")]
        np.testing.assert_array_equal(np.load(dest), preview)


@pytest.mark.parametrize("name", ["total-intensity", "mean-diffraction", "max-diffraction"])
def test_a_view_acts_before_the_image_and_its_scale_after(
    folder: Path, tmp_path: Path, cube: NDArray[Any], name: ImageName
) -> None:
    """Region, steps and bins choose what is summed; logarithm and type are those of the image."""
    view = View(
        roi="scan_y=1:8,det_x=2:26",
        scan_step=2,
        downsample=2,
        reduce="sum",
        normalize="log1p",
        dtype="float32",
    )
    options = ExportOptions(image=name)
    result = stemzarr.export(folder / "store.zarr", tmp_path / "i.tif", view=view, options=options)
    part = cube[1:8:2, ::2, :, 2:26].astype(np.int64)
    binned = part.reshape(*part.shape[:2], 15, 2, 12, 2).sum(axis=(3, 5))
    found = tifffile.imread(tmp_path / "i.tif")
    assert found.dtype == np.float32
    disk = dict.fromkeys(("center_y", "center_x", "radius", "annulus_inner"), 0.0)
    np.testing.assert_allclose(found, np.log1p(expected(binned, disk)[name]), rtol=1e-5)
    assert result.provenance["view"] == view.to_json()
    assert result.provenance["image"]["image"] == name


@pytest.mark.parametrize(("inner", "outer"), [(None, 2.6), (1.1, 2.6), (2.1, None)])
def test_a_ring_is_summed_in_the_units_of_the_detector(
    make_document: MakeDocument,
    make_request: MakeRequest,
    inner: float | None,
    outer: float | None,
) -> None:
    """Radii are distances from the central disk along axes of different scales."""
    counts = np.random.default_rng(1).poisson(0.5, (4, 5, 21, 17)).astype(np.uint16)
    counts[..., 9:12, 7:10] += 500
    document = make_document("4d-stem", counts)
    source = make_request(document, "x").source
    options = ExportOptions(inner=inner, outer=outer)
    image = take_image(source, document, None, options)
    y_scale, x_scale = (axis.scale for axis in document.axes[2:])
    y, x = np.ogrid[:21, :17]
    distance = np.hypot((y - 10) * y_scale, (x - 8) * x_scale)
    ring = (distance >= (inner or 0)) & (distance < (outer or np.inf))
    values = read_box(image.blocks, (0, 0), image.shape)
    np.testing.assert_array_equal(values, counts[..., ring].sum(axis=-1))
    assert values.dtype.kind == "u"


def test_a_tif_is_calibrated_and_a_png_is_grey(folder: Path, tmp_path: Path) -> None:
    """The TIFF has scale, offset and unit of the axes that it shows; the PNG shows its values."""
    with stemzarr.open(folder / "store.zarr") as scan:
        axes = {dim: scan[dim].attrs for dim in scan["intensity"].dims}
    for name, (y, x) in (
        ("annular-dark-field", ("scan_y", "scan_x")),
        ("mean-diffraction", ("det_y", "det_x")),
    ):
        options = ExportOptions(image=name)  # type: ignore[arg-type]
        for suffix in ("tif", "png"):
            stemzarr.export(folder / "store.zarr", tmp_path / f"{name}.{suffix}", options=options)
        with tifffile.TiffFile(tmp_path / f"{name}.tif") as file:
            tags = {tag.code: tag.value for tag in file.pages[0].tags}
            values = file.asarray()
        for number, axis in ((0, axes[x]), (1, axes[y])):
            assert tags[65003 + number] == axis["units"]
            assert tags[65006 + number] == pytest.approx(axis["offset"])
            assert tags[65009 + number] == pytest.approx(axis["scale"])
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert picture.mode == "L"
            assert name.replace("-", " ") in picture.text["Description"]
            shown = np.asarray(picture).astype(float)
        low, high = values.min(), np.percentile(values, 99.9)
        grey = np.clip((values - low) / (high - low), 0, 1) * 255
        np.testing.assert_allclose(shown, grey, atol=0.51)


def test_values_that_are_not_finite_count_as_nothing(make_document: MakeDocument) -> None:
    """Means and sums of floats leave out NaN and infinity, in any number of pieces and threads."""
    rng = np.random.default_rng(4)
    values = rng.normal(5, 1, (6, 7, 12, 9)).astype(np.float32)
    values[rng.random(values.shape) < 0.1] = np.nan
    values[2, 3, 4, 5] = np.inf
    values[:, :, 0, 0] = np.nan
    finite = np.where(np.isfinite(values), values, 0).astype(np.float64)
    for threads, memory in ((1, 2**28), (3, 2**14)):
        document = make_document("4d-stem", values)
        found = fold_previews(document, Resources(threads=threads, memory=memory))
        np.testing.assert_allclose(found["mean_diffraction"], finite.mean(axis=(0, 1)), rtol=1e-6)
        np.testing.assert_allclose(found["total_intensity"], finite.sum(axis=(2, 3)), rtol=1e-12)
        np.testing.assert_array_equal(found["max_diffraction"], finite.max(axis=(0, 1)))


def test_progress_of_a_pass_only_grows(make_document: MakeDocument) -> None:
    """Whoever waits for an image of a large file sees how far it is."""
    document = make_document("4d-stem", np.ones((16, 16, 8, 8), np.uint16))
    told: list[tuple[int, int]] = []
    fold_previews(
        document, Resources(threads=2, memory=2**14, progress=lambda *now: told.append(now))
    )
    assert told == sorted(told)
    assert len(told) > 1
    assert told[-1] == (document.nbytes, document.nbytes)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"image": "bright"}, "bright-field"),
        ({"image": "bright-field", "inner": 1.0}, "exclude each other"),
        ({"image": "bright-field", "outer": 1.0}, "exclude each other"),
        ({"inner": -1.0}, "at least 0"),
        ({"inner": 2.0, "outer": 2.0}, "outer larger than inner"),
        ({"outer": float("nan")}, "outer larger than inner"),
    ],
)
def test_images_that_cannot_be_are_refused(options: dict[str, Any], said: str) -> None:
    """An image and radii exclude each other, and a ring has a width."""
    with pytest.raises(OptionError, match=said):
        ExportOptions(**options)


def test_what_has_no_image_is_refused(
    folder: Path, tmp_path: Path, make_document: MakeDocument, make_request: MakeRequest
) -> None:
    """No option is passed over: other documents have no images, and a DM file is not one."""
    bright = ExportOptions(image="bright-field")
    with pytest.raises(OptionError, match="no image"):
        stemzarr.export(folder / "store.zarr", tmp_path / "again.dm4", options=bright)
    with pytest.raises(OptionError, match="holds no pixel"):
        stemzarr.export(
            folder / "store.zarr", tmp_path / "ring.png", options=ExportOptions(inner=99.0)
        )
    picture = make_document("image", np.ones((3, 4)))
    source = dataclasses.replace(make_request(picture, "x").source)
    with pytest.raises(UnsupportedDataError, match="4D scans"):
        take_image(source, picture, None, bright)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", ["hspy", "zarr", "npy", "emd"])
def test_other_formats_take_an_image_too(
    folder: Path, tmp_path: Path, cube: NDArray[Any], suffix: str
) -> None:
    """An image is a document like any other, and is read back as one."""
    dest = tmp_path / f"total.{suffix}"
    options = ExportOptions(image="total-intensity")
    stemzarr.export(folder / "store.zarr", dest, options=options)
    with stemzarr.open(dest) as image:
        np.testing.assert_array_equal(image["intensity"], cube.sum(axis=(2, 3)))


@pytest.mark.parametrize("source", ["detector-fast.dm4", "store.zarr", "bare.zarr"])
def test_computed_images_are_those_of_the_accessor(
    folder: Path, tmp_path: Path, source: str
) -> None:
    """Of a store, of its source, and of a store without measures: float32, never float64."""
    scan = stemzarr.open(folder / source)
    shift = scan.stem.center_of_mass(center=(0.1, 0.2))
    expected = {
        "com-y": shift["com_y"],
        "com-x": shift["com_x"],
        "com-magnitude": np.hypot(shift["com_y"], shift["com_x"]),
        "likeness": scan.stem.likeness((2, 3)),
    }
    for name, values in expected.items():
        how: dict[str, Any] = {"at": (2, 3)} if name == "likeness" else {"center": (0.1, 0.2)}
        options = ExportOptions(image=name, **how)  # type: ignore[arg-type]
        stemzarr.export(folder / source, tmp_path / f"{name}.tif", options=options)
        found = tifffile.imread(tmp_path / f"{name}.tif")
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, values, rtol=1e-5, atol=1e-6)
    stemzarr.export(folder / source, tmp_path / "dpc.png", options=ExportOptions(image="dpc"))
    colors = np.asarray(Image.open(tmp_path / "dpc.png"))
    assert colors.shape == (*SCAN, 3)
    assert colors.std(axis=(0, 1)).min() > 0
    profile = ExportOptions(image="radial-profile")
    stemzarr.export(folder / source, tmp_path / "profile.npy", options=profile)
    np.testing.assert_allclose(
        np.load(tmp_path / "profile.npy"), scan.stem.radial_profile(), rtol=1e-5
    )


def test_one_pattern_is_written_as_it_is(folder: Path, tmp_path: Path, cube: NDArray[Any]) -> None:
    """By its position, in the type of the scan, with the axes of the detector."""
    dest = tmp_path / "one.hspy"
    stemzarr.export(folder / "store.zarr", dest, options=ExportOptions(at=(4, 7)))
    found = stemzarr.open(dest)
    assert found["intensity"].dims == ("det_y", "det_x")
    np.testing.assert_array_equal(found["intensity"], cube[4, 7])
    assert found["intensity"].dtype == cube.dtype
    options = ExportOptions(at=(9, 0), overwrite=True)
    with pytest.raises(OptionError, match="no position"):
        stemzarr.export(folder / "store.zarr", dest, options=options)


@pytest.mark.parametrize(
    "how",
    [
        {"image": "likeness"},
        {"image": "com-x", "at": (1, 2)},
        {"at": (1, 2), "inner": 1.0},
        {"center": (0.0, 0.0)},
        {"center": (0.0, 0.0), "image": "bright-field"},
    ],
)
def test_a_place_that_says_nothing_is_refused(how: dict[str, Any]) -> None:
    """A position belongs to a pattern or a likeness, a centre to what has one."""
    with pytest.raises(OptionError):
        ExportOptions(**how)


def test_sums_of_integers_stay_integers_in_a_tiff(folder: Path, tmp_path: Path) -> None:
    """Images that ImageJ opens: integers as they are, all else float32."""
    for name, kind in (("total-intensity", "u"), ("mean-diffraction", "f")):
        stemzarr.export(
            folder / "store.zarr",
            tmp_path / f"{name}.tif",
            options=ExportOptions(image=name),  # type: ignore[arg-type]
        )
        found = tifffile.imread(tmp_path / f"{name}.tif").dtype
        assert (found.kind, found.itemsize <= 4) == (kind, True)
