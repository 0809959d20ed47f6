"""Real files: values and calibration as rosettasciio reads them, and back to the last byte."""

import hashlib
import json
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pint
import pytest
import rsciio.digitalmicrograph

from stemzarr.formats.dm.reader import read_dm
from stemzarr.model import Document, read_all
from stemzarr.options import ReadOptions
from stemzarr.pixels.segments import encode_pixels, iterate_segment

SAMPLES = os.environ.get("STEMZARR_SAMPLES")
pytestmark = pytest.mark.skipif(SAMPLES is None, reason="STEMZARR_SAMPLES is not set")
FILES = sorted(Path(SAMPLES or ".", "dm").glob("*.dm[34]")) if SAMPLES else []
by_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)

PACKED = "test_fft_packed_complex8.dm4"
"""rosettasciio makes 5 x 4 of this 5 x 5 plane: it assumes an even width."""
NO_UNITS_FOR_PINT = {"\u00b5", "\u00b5n", "\u00b5nn"}
"""Another program's test strings, which name no unit."""


def theirs(path: Path) -> list[dict[str, Any]]:
    """Return the signals that rosettasciio finds: every image but the thumbnail."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return rsciio.digitalmicrograph.file_reader(str(path))


def disk_values(document: Document) -> np.ndarray:
    """Return all values in the order of the disk, which is rosettasciio's."""
    values = read_all(document.blocks)
    return np.moveaxis(values, -1, 0) if document.kind == "spectrum-image" else values


@by_file
def test_values_equal_those_of_rosettasciio(path: Path) -> None:
    """Every document has rosettasciio's values, types and order."""
    documents = [
        document for document in read_dm(path, ReadOptions()).documents if not document.thumbnail
    ]
    signals = theirs(path)
    assert len(documents) == len(signals)
    for document, signal in zip(documents, signals, strict=True):
        expected = signal["data"]
        if expected.dtype.names:
            expected = np.stack([expected[name] for name in "RGBA"], axis=-1)
        found = disk_values(document)
        if path.name == PACKED:
            np.testing.assert_array_equal(found[:, :4], expected)
            continue
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected.reshape(found.shape))


@by_file
def test_calibrations_equal_those_of_rosettasciio(path: Path) -> None:
    """Scale, offset and units of every axis are rosettasciio's, but for 1-pixel dims of spectra."""
    documents = [
        document for document in read_dm(path, ReadOptions()).documents if not document.thumbnail
    ]
    for document, signal in zip(documents, theirs(path), strict=True):
        axes = list(document.axes)
        if document.kind == "spectrum-image":
            axes = [axes[-1], *axes[:-1]]
        expected = signal["axes"]
        if document.kind == "spectrum":
            expected = expected[-1:]
        assert len(axes) == len(expected)
        for axis, other in zip(axes, expected, strict=True):
            assert axis.scale == pytest.approx(other["scale"], rel=1e-12)
            assert axis.offset == pytest.approx(other["offset"], rel=1e-12)
            assert axis.source_units == other["units"]
            assert axis.size == other["size"]


@by_file
def test_units_are_those_of_pint(path: Path) -> None:
    """Units of every axis are read by pint, which writes them the same way."""
    registry = pint.get_application_registry()
    for document in read_dm(path, ReadOptions()).documents:
        for axis in document.axes:
            if axis.units not in NO_UNITS_FOR_PINT:
                # Newer releases of pint write the Greek letter instead of the micro sign.
                short = f"{registry.Unit(axis.units):~}".replace(" ", "").replace(
                    "\u03bc", "\u00b5"
                )
                assert short.replace("pix", "pixel").replace("pixelel", "pixel") == axis.units


@by_file
def test_header_and_pixels_are_the_file(path: Path) -> None:
    """The bytes outside the pixels, and the pixels written back, make up the file."""
    source = read_dm(path, ReadOptions())
    rebuilt = rebuild(source)
    content = path.read_bytes()
    assert hashlib.sha256(rebuilt).hexdigest() == hashlib.sha256(content).hexdigest()


def rebuild(source: Any) -> bytes:
    """Return a file made of its header and its canonical pixels."""
    header, whole, at = source.load_header(), bytearray(source.size), 0
    for start, nbytes in [*((s.offset, s.nbytes) for s in source.segments), (source.size, 0)]:
        gap = start - at
        whole[at:start], header = header[:gap], header[gap:]
        at = start + nbytes
    assert not header
    for segment in source.segments:
        blocks = source.find(segment.document).blocks
        box = read_all(blocks)
        pieces = list(iterate_segment(blocks, segment, memory=1000))
        for offset, piece in pieces:
            whole[offset : offset + len(piece)] = piece
        assert sum(len(piece) for _, piece in pieces) == segment.nbytes
        start = segment.offset
        assert bytes(whole[start : start + segment.nbytes]) == bytes(encode_pixels(box, segment))
    return bytes(whole)


@by_file
def test_metadata_is_clean_json(path: Path) -> None:
    """The tag tree is JSON without NaN, and names every tag."""
    tree = read_dm(path, ReadOptions()).load_metadata()
    text = json.dumps(tree, allow_nan=False)
    assert json.loads(text) == tree
    assert tree["ImageList"][-1]["ImageData"]["Calibrations"]["Brightness"]["Scale"] != 0


def facts(name: str) -> dict[str, Any]:
    """Return the facts of a sample's main document."""
    return dict(read_dm(Path(SAMPLES or "", "dm", name), ReadOptions()).document.facts)


def test_dates_are_iso_8601() -> None:
    """American, German and ambiguous dates, the last settled by the file time beside them."""
    assert facts("08_carbon.dm3")["acquired"] == "2017-08-29T13:58:43-07:00"
    assert facts("Fei HAADF-DE_location.dm3")["acquired"] == "2016-08-27T20:54:33+01:00"
    assert facts("test_diffraction_pattern.dm3")["acquired"] == "2014-07-09T18:56:37+02:00"
    assert facts("ref_F_0_2.dm4")["acquired"].startswith("2019-11-19T19:39:47")


def test_optics_follow_the_mode() -> None:
    """In TEM diffraction the magnification is the camera length; leftovers are left out."""
    diffraction = facts("test_diffraction_pattern.dm3")
    assert diffraction["camera_length_mm"] == pytest.approx(320)
    assert "magnification" not in diffraction
    imaging = facts("test_dm_image_um_unit.dm3")
    assert imaging["magnification"] == 51.0
    assert "camera_length_mm" not in imaging
    assert "camera_length_mm" not in facts("test-MonarcCL_spectrum-SI.dm4")


def test_facts_of_a_cropped_spectrum_image() -> None:
    """Facts come with units in their names; stale SI tags are noted and judge nothing."""
    source = read_dm(Path(SAMPLES or "", "dm", "test-MonarcCL_spectrum-SI.dm4"), ReadOptions())
    document = source.document
    assert document.facts["beam_energy_keV"] == 5.0
    assert document.facts["dwell_time_s"] == 0.05
    assert document.facts["software"] == "GMS 3.50.3554.1"
    assert document.fact_paths["beam_energy_keV"] == (
        "ImageList/[1]/ImageTags/Microscope Info/Voltage"
    )
    assert "complete" not in document.facts
    assert any("stale" in note and "128 x 128" in note for note in document.notes)
    assert document.attributes == {
        "scan_rect_top": 305,
        "scan_rect_left": 379,
        "scan_rect_bottom": 488,
        "scan_rect_right": 562,
    }
