""".hspy files: opened by HyperSpy and by plain h5py, values and calibration compared."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stemzarr.formats.hdf5.writer import chunk_shape
from stemzarr.formats.hspy.writer import write_hspy
from stemzarr.model import ArrayBlocks, Brightness, Document
from stemzarr.registry import ExportRequest
from stemzarr.views import View, apply

hs = pytest.importorskip("hyperspy.api")
pytestmark = pytest.mark.usefixtures("lazy_signals_are_closed")

COUNTS = np.random.default_rng(2).poisson(0.7, (7, 9, 12, 10)).astype(np.uint16)
DTYPES = "uint8 uint16 uint32 uint64 int8 int16 int32 int64 float16 float32 float64 complex64 bool"

MakeDocument = Callable[..., Document]
MakeRequest = Callable[..., ExportRequest]


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("dtype", DTYPES.split())
def test_hyperspy_loads_values_and_calibration(
    make_document: MakeDocument, make_request: MakeRequest, dtype: str, lazy: bool
) -> None:
    """HyperSpy, eager or lazy, gives the values in their type and every axis, without a warning."""
    document = make_document("4d-stem", COUNTS.astype(dtype))
    request = make_request(document, "scan.hspy")
    exported = write_hspy(request)
    assert (exported.shape, exported.dtype) == (COUNTS.shape, dtype)
    signal = hs.load(request.dest, lazy=lazy)
    values = signal.data.compute() if lazy else signal.data
    assert values.dtype == dtype
    np.testing.assert_array_equal(values, COUNTS.astype(dtype))
    assert signal.axes_manager.navigation_dimension == 2
    for axis in document.axes:
        theirs = signal.axes_manager[axis.name]
        assert (theirs.size, theirs.offset, theirs.scale, theirs.units) == (
            axis.size,
            axis.offset,
            axis.scale,
            axis.units,
        )


@given(
    shape=st.tuples(*(st.integers(1, 9) for _ in range(4))),
    block=st.tuples(*(st.integers(1, 7) for _ in range(4))),
    memory=st.sampled_from([16 * 1024**2, 2**30]),
    data=st.data(),
)
@settings(max_examples=25)
def test_plain_h5py_reads_any_shape(
    make_document: MakeDocument,
    make_request: MakeRequest,
    shape: tuple[int, ...],
    block: tuple[int, ...],
    memory: int,
    data: st.DataObject,
) -> None:
    """Chunks that stick out of the data, and blocks of any cut, give every value to plain h5py."""
    values = np.random.default_rng(0).integers(0, 2**16, shape).astype(np.uint16)
    document = make_document("4d-stem", values)
    blocks = CutBlocks(values, tuple(map(min, block, shape)))
    name = f"{data.draw(st.uuids())}.hspy"
    with pytest.MonkeyPatch.context() as patch:
        # Small enough that the chunks of these small data are several, and stick out of them.
        patch.setattr("stemzarr.formats.hdf5.writer._CHUNK_BYTES", 300)
        request = make_request(dataclasses.replace(document, blocks=blocks), name, memory=memory)
        write_hspy(request)
    with h5py.File(request.dest) as file:
        np.testing.assert_array_equal(file["Experiments/A 4d-stem/data"], values)


class CutBlocks:
    """Values in memory that say they lie in blocks, some of which split patterns."""

    def __init__(self, values: NDArray[Any], cut: tuple[int, ...]) -> None:
        self.shape, self.dtype, self.block_shape = values.shape, values.dtype, cut
        self.read_into = ArrayBlocks(values).read_into


def test_chunks_hold_whole_patterns_of_a_moderate_size() -> None:
    """A chunk is whole patterns of about 1 MiB, or one pattern that is larger."""
    assert chunk_shape((128, 128, 256, 256), 2, 2) == (1, 8, 256, 256)
    assert chunk_shape((10, 10, 4096, 4096), 2, 2) == (1, 1, 4096, 4096)
    assert chunk_shape((300, 7, 16, 16), 1, 2) == (300, 7, 16, 16)
    rows, columns, *_ = chunk_shape((300, 700, 16, 16), 2, 2)
    assert columns == 700
    assert rows * columns * 512 <= 1024**2


def test_metadata_stands_in_hyperspys_model(
    make_document: MakeDocument, make_request: MakeRequest
) -> None:
    """Facts stand where HyperSpy's users look for them, in its units."""
    facts = {
        "beam_energy_keV": 300.0,
        "camera_length_mm": 115.0,
        "exposure_s": 0.01,
        "tilt_alpha_deg": 1.5,
        "instrument": "Titan",
        "acquired": "2026-01-02T03:04:05",
        "specimen": "SrTiO3",
    }
    brightness = Brightness(scale=0.5, offset=1.0, units="e⁻")
    document = make_document("4d-stem", COUNTS, facts=facts, brightness=brightness)
    request = make_request(document, "scan.hspy")
    write_hspy(request)
    metadata = hs.load(request.dest).metadata
    tem = metadata.Acquisition_instrument.TEM
    assert (tem.beam_energy, tem.camera_length, tem.microscope) == (300.0, 115.0, "Titan")
    assert tem.Detector.Camera.exposure == 0.01
    assert tem.Stage.tilt_alpha == 1.5
    assert (metadata.General.date, metadata.General.time) == ("2026-01-02", "03:04:05")
    assert metadata.General.title == "A 4d-stem"
    assert metadata.General.original_filename == "scan 1.dm4"
    assert metadata.Sample.description == "SrTiO3"
    assert metadata.Signal.signal_type == ""
    assert metadata.Signal.quantity == "Intensity (e⁻)"
    assert metadata.Signal.Noise_properties.Variance_linear_model.gain_factor == 0.5
    assert metadata.stemzarr.beam_energy_keV == 300.0


def test_the_whole_tag_tree_comes_back(
    make_document: MakeDocument, make_request: MakeRequest
) -> None:
    """Every tag of the source is in original_metadata: long text, mixed lists, all names."""
    request = make_request(make_document("4d-stem", COUNTS), "scan.hspy")
    write_hspy(request)
    tree = hs.load(request.dest).original_metadata.as_dictionary()
    expected = request.source.load_metadata()
    assert tree["Microscope Info"] == expected["Microscope Info"]
    assert tree["CCD∕Pixel Size (um)"] == expected["CCD/Pixel Size (um)"]  # noqa: RUF001 - a look-alike on purpose
    for key in ("list", "many", "numbers", "names", "nothing", "none", "flag", "long"):
        assert tree[key] == expected[key]
    assert tree["large"] == str(2**70)
    assert tree["_"] == 5
    assert len(tree) == len(expected)


NAMES = ("a.b", ".", "Align min. correlation", "a.b/c.d", "_list_x", "_sig_1", "_datetime_date")


@pytest.mark.parametrize("value", [1, "text", [1, 2], {"in.ner": 2.5}, [{"a.b": 1}], np.arange(3)])
@pytest.mark.leaves_open
def test_odd_names_of_tags_survive_hyperspy_and_its_writers(
    make_document: MakeDocument, make_request: MakeRequest, tmp_path: Path, value: Any
) -> None:
    """Tags with dots, or named like HyperSpy's marks, are all there; .emd and .hspy are saved."""
    request = make_request(make_document("image", COUNTS[0, 0]), "odd.hspy")
    source = dataclasses.replace(request.source, load_metadata=lambda: dict.fromkeys(NAMES, value))
    write_hspy(dataclasses.replace(request, source=source))
    loaded = hs.load(request.dest)
    tree = loaded.original_metadata.as_dictionary()
    assert len(tree) == len(NAMES)
    assert not any("." in name for name in tree)
    assert tree["Align min․ correlation"] is not None  # noqa: RUF001 - a look-alike on purpose
    loaded.save(tmp_path / "again.hspy")
    again = hs.load(tmp_path / "again.hspy").original_metadata.as_dictionary()
    assert set(again) == set(tree)
    if not isinstance(value, list | dict):
        loaded.save(tmp_path / "again.emd")


KINDS: dict[str, tuple[tuple[int, ...], int]] = {
    "diffraction": ((12, 10), 2),
    "image": ((12, 10), 2),
    "spectrum-image": ((4, 5, 30), 1),
    "spectrum": ((30,), 1),
    "profile": ((30,), 1),
    "stack": ((4, 12, 10), 2),
    "array": ((2, 3, 4, 5, 6), 2),
}


@pytest.mark.parametrize("kind", KINDS)
def test_other_kinds_export_too(
    make_document: MakeDocument, make_request: MakeRequest, kind: str
) -> None:
    """A spectrum becomes a signal of one dim, an image of two, their axes named and scaled."""
    shape, signal_dims = KINDS[kind]
    values = np.arange(math.prod(shape), dtype=np.float32).reshape(shape)
    document = make_document(kind, values)
    request = make_request(document, "other.hspy")
    write_hspy(request)
    signal = hs.load(request.dest)
    np.testing.assert_array_equal(signal.data, values)
    assert signal.axes_manager.signal_dimension == signal_dims
    for axis in document.axes:
        assert signal.axes_manager[axis.name].scale == axis.scale


def test_several_documents_are_experiments_of_one_file(
    make_document: MakeDocument, make_request: MakeRequest
) -> None:
    """All documents stand in one file, the main one first though its name comes later."""
    colours = np.random.default_rng(1).integers(0, 255, (6, 5, 4)).astype(np.uint8)
    documents = [
        make_document("4d-stem", COUNTS, title="Z/scan"),
        make_document("image", COUNTS[0, 0], index=1, slug="survey", title="Z/scan"),
        make_document(
            "image",
            colours,
            index=2,
            slug="thumbnail",
            title="A",
            channels=("red", "green", "blue", "alpha"),
        ),
    ]
    viewed = apply(documents[0], View(roi="scan_y=0:7"))
    request = make_request([viewed, *documents[1:]], "all.hspy")
    provenance = {"document": "4d-stem", "view": viewed.attributes["view"]}
    write_hspy(dataclasses.replace(request, provenance=provenance))
    scan, survey, thumbnail = hs.load(request.dest)
    np.testing.assert_array_equal(scan.data, COUNTS)
    np.testing.assert_array_equal(survey.data, COUNTS[0, 0])
    for channel, name in enumerate("RGBA"):
        np.testing.assert_array_equal(thumbnail.data[name], colours[..., channel])
    assert survey.original_metadata.as_dictionary()["flag"] is True
    made = [signal.metadata.stemzarr.provenance for signal in (scan, survey, thumbnail)]
    assert [each.document for each in made] == ["4d-stem", "survey", "thumbnail"]
    assert made[0].view == viewed.attributes["view"]
    assert (made[1].view, made[2].view) == (None, None)


def test_a_view_is_what_the_file_holds(
    make_document: MakeDocument, make_request: MakeRequest
) -> None:
    """A view is rendered while it is written, its coordinates with it."""
    document = apply(make_document("4d-stem", COUNTS), View(scan_step=2, downsample=3))
    request = make_request(document, "view.hspy")
    write_hspy(request)
    signal: Any = hs.load(request.dest)
    expected = COUNTS[::2, ::2, :, :9].reshape(4, 5, 4, 3, 3, 3).mean(axis=(3, 5))
    np.testing.assert_allclose(signal.data, expected, rtol=1e-6)
    assert signal.axes_manager["det_x"].offset == document.axis("det_x").offset
    assert "every 2nd scan position" in signal.metadata.stemzarr.view
