"""Spectra as text and pictures, stacks as ``.tif``: read again by programs of others."""

from __future__ import annotations

import csv
import dataclasses
import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stemzarr.errors import MissingDependencyError, UnsupportedDataError
from stemzarr.formats.picture.tif import write_tif
from stemzarr.formats.picture.writer import write_png
from stemzarr.formats.spectrum.csv import write_csv
from stemzarr.formats.spectrum.msa import write_msa
from stemzarr.model import Axis, Brightness, Document
from stemzarr.registry import ExportRequest

tifffile = pytest.importorskip("tifffile")

MakeDocument = Callable[..., Document]
MakeRequest = Callable[..., ExportRequest]
VALUES = arrays(
    st.sampled_from([np.uint8, np.int32, np.uint64, np.float32, np.float64]), st.integers(1, 20)
)


@given(values=VALUES)
def test_rosettasciio_reads_every_value_of_an_msa(
    make_document: MakeDocument, make_request: MakeRequest, values: Any
) -> None:
    """Each value comes back as the nearest float64, and the axis to the last digit."""
    from rsciio.msa import file_reader

    document = make_document("spectrum", values)
    request = make_request(document, "a.msa")
    write_msa(request)
    (found,) = file_reader(request.dest)
    np.testing.assert_array_equal(found["data"], values.astype(np.float64))
    (axis,) = found["axes"]
    ours = document.axes[0]
    assert (axis["scale"], axis["offset"], axis["units"], axis["name"]) == (
        ours.scale,
        ours.offset,
        ours.units,
        ours.name,
    )


def test_an_msa_says_what_is_known(make_document: MakeDocument, make_request: MakeRequest) -> None:
    """Facts are in the units of the format, under the names that RosettaSciIO gives them."""
    from rsciio.msa import file_reader

    facts = {
        "beam_energy_keV": 200.0,
        "probe_current_nA": 0.5,
        "convergence_angle_mrad": 21.0,
        "tilt_alpha_deg": -3.0,
        "exposure_s": 0.25,
        "dwell_time_s": 0.001,
        "acquired": "2026-01-15T10:20:30+01:00",
        "operator": "A. Person",
    }
    brightness = Brightness(scale=0.5, offset=1.0, units="e⁻")
    document = make_document(
        "spectrum", np.arange(5), title="Fe: L edge\nβ", facts=facts, brightness=brightness
    )
    request = make_request(document, "a.msa")
    exported = write_msa(request)
    (found,) = file_reader(request.dest)
    tem = found["metadata"]["Acquisition_instrument"]["TEM"]
    assert (tem["beam_energy"], tem["beam_current"], tem["convergence_angle"]) == (200, 0.5, 21)
    assert tem["Stage"]["tilt_alpha"] == -3
    assert (tem["Detector"]["EELS"]["exposure"], tem["Detector"]["EELS"]["dwell_time"]) == (250, 1)
    general = found["metadata"]["General"]
    assert (general["date"], general["time"]) == ("2026-01-15", "10:20:00")
    assert general["title"] == "Fe:L edge \\u03b2"
    assert found["original_metadata"]["OWNER"] == "A. Person"
    assert found["original_metadata"]["COMMENT"] == "in e\\u207b:1.0 + value * 0.5"
    assert "Latin letters" in exported.notes[0]


@given(values=VALUES)
def test_a_csv_is_a_table_of_numbers(
    make_document: MakeDocument, make_request: MakeRequest, values: Any
) -> None:
    """Names with units, then all digits of positions and values."""
    brightness = Brightness(scale=1.0, offset=0.0, units="counts")
    document = make_document("profile", values, brightness=brightness)
    request = make_request(document, "a.csv")
    write_csv(request)
    with request.dest.open(encoding="utf-8", newline="") as file:
        names, *rows = csv.reader(file)
    assert names == ["x (nm)", "intensity (counts)"]
    np.testing.assert_array_equal([float(x) for x, _ in rows], document.axes[0].values())
    np.testing.assert_array_equal([float(y) for _, y in rows], values.astype(np.float64))


@pytest.mark.parametrize("write", [write_msa, write_csv])
@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("image", np.ones((3, 4))),
        ("spectrum-image", np.ones((2, 3, 4))),
        ("spectrum", np.ones(3) * 1j),
    ],
)
def test_what_is_no_spectrum_is_refused(
    make_document: MakeDocument, make_request: MakeRequest, write: Any, kind: str, values: Any
) -> None:
    """Other kinds, and complex values, name the formats that hold them."""
    with pytest.raises(UnsupportedDataError, match=r"export \.hspy or \.npy"):
        write(make_request(make_document(kind, values), "a.txt"))


def test_a_spectrum_is_drawn_between_axes(
    make_document: MakeDocument, make_request: MakeRequest
) -> None:
    """The picture opens elsewhere; a peak is where its energy is, and all of the curve is drawn."""
    image = pytest.importorskip("PIL.Image")
    pytest.importorskip("matplotlib")
    values = np.zeros(200)
    values[150] = 1
    request = make_request(make_document("spectrum", values), "a.png")
    exported = write_png(request)
    with image.open(request.dest) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    assert pixels.shape[:2] == exported.shape
    blue = pixels[..., 2] - pixels[..., 0] > 60
    columns = np.flatnonzero(blue.any(axis=0))
    peak = np.flatnonzero(blue[: blue.shape[0] // 2].any(axis=0)).mean()
    share = (peak - columns[0]) / (columns[-1] - columns[0])
    assert math.isclose(share, 150 / 199, abs_tol=0.01)


def test_a_curve_without_matplotlib_says_what_to_install(
    make_document: MakeDocument, make_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing else of pictures needs it."""
    for name in [*sys.modules]:
        if name.partition(".")[0] == "matplotlib":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingDependencyError, match=r"stemzarr\[plot\]"):
        write_png(make_request(make_document("spectrum", np.ones(5)), "a.png"))
    write_png(make_request(make_document("image", np.ones((4, 5))), "b.png"))


@given(
    dtype=st.sampled_from(
        [np.uint8, np.uint16, np.int16, np.int32, np.float16, np.float32, np.bool_]
    ),
    shape=st.tuples(st.integers(1, 5), st.integers(1, 7), st.integers(1, 7)),
    units=st.sampled_from(["s", "nm"]),
)
def test_a_stack_is_a_tif_of_as_many_pages(
    make_document: MakeDocument,
    make_request: MakeRequest,
    dtype: Any,
    shape: tuple[int, int, int],
    units: str,
) -> None:
    """Every page has its frame, for tifffile and Pillow; ImageJ reads how far apart they are."""
    import PIL.Image

    values = np.random.default_rng(1).integers(0, 100, shape).astype(dtype)
    document = make_document("stack", values)
    frame = Axis(name="frame", size=shape[0], scale=0.25, units=units, calibrated=True)
    document = dataclasses.replace(document, axes=(frame, *document.axes[1:]))
    request = make_request(document, "a.tif")
    assert write_tif(request).shape == shape
    with tifffile.TiffFile(request.dest) as file:
        assert len(file.pages) == shape[0]
        told = file.imagej_metadata
        for page, expected in zip(file.pages, values, strict=True):
            np.testing.assert_array_equal(page.asarray(), expected)
    assert told["images"] == shape[0]
    assert told["finterval" if units == "s" else "spacing"] == 0.25
    np.testing.assert_array_equal(tifffile.imread(request.dest).reshape(shape), values)
    if np.dtype(dtype) != np.int16:  # of which Pillow makes another type
        with PIL.Image.open(request.dest) as picture:
            assert picture.n_frames == shape[0]
            picture.seek(shape[0] - 1)
            np.testing.assert_array_equal(np.asarray(picture), values[-1])


def test_hyperspy_scales_the_frames_of_a_tif(
    make_document: MakeDocument, make_request: MakeRequest
) -> None:
    """RosettaSciIO finds the pixels, and the scale of the plane."""
    from rsciio.tiff import file_reader

    values = np.arange(60, dtype=np.uint16).reshape(3, 4, 5)
    document = make_document("stack", values)
    request = make_request(document, "a.tif")
    write_tif(request)
    (found,) = file_reader(request.dest)
    np.testing.assert_array_equal(found["data"], values)
    scales = [axis["scale"] for axis in found["axes"]]
    np.testing.assert_allclose(scales[-2:], [axis.scale for axis in document.axes[1:]])


@pytest.mark.parametrize("dtype", [np.float64, np.int64, np.complex64])
def test_a_stack_that_a_tif_cannot_hold_is_refused(
    make_document: MakeDocument, make_request: MakeRequest, dtype: Any
) -> None:
    """Values are not rounded unasked."""
    with pytest.raises(UnsupportedDataError, match=r"TIFF|\.tif"):
        write_tif(make_request(make_document("stack", np.ones((2, 3, 4), dtype)), "a.tif"))
