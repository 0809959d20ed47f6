"""What an image is, and in which order its axes lie, follows from the evidence in the file."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stemzarr.errors import LayoutError, OptionError, UnsupportedDataError
from stemzarr.formats.dm.reader import read_dm
from stemzarr.model import Source, read_all, read_box
from stemzarr.options import ReadOptions
from stemzarr.testing import DMAxis, DMImage, StreamedArray, write_dm

NM, PER_NM, MRAD, EV, NONE = (DMAxis(scale=0.5, units=u) for u in ("nm", "1/nm", "mrad", "eV", ""))
SCAN_UNITS, DETECTOR_UNITS = (NM, NM), (PER_NM, PER_NM)


def read(
    tmp_path: Path, *images: DMImage, options: ReadOptions | None = None, **rest: Any
) -> Source:
    """Write images to a file and read it."""
    path = tmp_path / "x.dm4"
    write_dm(path, images, **rest)
    return read_dm(path, options or ReadOptions())


def numbers(*shape: int) -> np.ndarray:
    """Return values that are all different."""
    return np.arange(np.prod(shape), dtype="u4").reshape(shape)


@pytest.mark.parametrize(
    ("image", "kind", "shape"),
    [
        (DMImage(data=numbers(9)), "profile", (9,)),
        (DMImage(data=numbers(9), axes=(EV,)), "spectrum", (9,)),
        (DMImage(data=numbers(9), format="Spectrum"), "spectrum", (9,)),
        (DMImage(data=numbers(1, 9), format="Spectrum"), "spectrum", (9,)),
        (DMImage(data=numbers(9), tags={"Meta Data": {"Signal": "EELS"}}), "spectrum", (9,)),
        (DMImage(data=numbers(4, 9), format="Spectrum image"), "spectrum-image", (1, 4, 9)),
        (DMImage(data=numbers(4, 9), axes=(NM, EV)), "spectrum-image", (1, 4, 9)),
        (DMImage(data=numbers(4, 9)), "image", (4, 9)),
        (DMImage(data=numbers(4, 9), axes=SCAN_UNITS), "image", (4, 9)),
        (DMImage(data=numbers(4, 9), axes=DETECTOR_UNITS), "diffraction", (4, 9)),
        (DMImage(data=numbers(4, 9), axes=(MRAD, MRAD)), "diffraction", (4, 9)),
        (DMImage(data=numbers(4, 9), format="Diffraction image"), "diffraction", (4, 9)),
        (DMImage(data=numbers(4, 9).astype("c8"), axes=DETECTOR_UNITS), "image", (4, 9)),
        (DMImage(data=numbers(3, 4, 9)), "stack", (3, 4, 9)),
        (DMImage(data=numbers(3, 4, 9), axes=(NM, NM, EV)), "spectrum-image", (3, 4, 9)),
        (DMImage(data=numbers(3, 4, 9), axes=(NM, *DETECTOR_UNITS)), "4d-stem", (1, 3, 4, 9)),
        (
            DMImage(data=numbers(3, 4, 9), swapped=True, format="Diffraction image"),
            "4d-stem",
            (1, 3, 4, 9),
        ),
        (DMImage(data=numbers(2, 3, 4, 9)), "4d-stem", (2, 3, 4, 9)),
        (DMImage(data=numbers(2, 3, 4, 9), axes=(NM, NM, NONE, EV)), "array", (2, 3, 4, 9)),
        (DMImage(data=numbers(2, 2, 3, 4, 9)), "array", (2, 2, 3, 4, 9)),
    ],
)
def test_kinds(tmp_path: Path, image: DMImage, kind: str, shape: tuple[int, ...]) -> None:
    """Rank, units, format and signal decide the kind; the values are those that were written."""
    document = read(tmp_path, image).document
    assert (document.kind, document.shape) == (kind, shape)
    np.testing.assert_array_equal(read_all(document.blocks), image.data.reshape(shape))


def test_spectrum_images_have_energy_last(tmp_path: Path) -> None:
    """Energy is slowest on disk and last in the document, with its calibration."""
    data = numbers(3, 4, 9)
    axes = (NM, DMAxis(scale=2, units="nm"), DMAxis(scale=0.1, origin=-100, units="eV"))
    image = DMImage(data=data, kind="spectrum-image", layout="scan-fast", axes=axes)
    for extra in ({}, {"format": "Spectrum image"}):
        document = read(tmp_path, DMImage(**{**_fields(image), **extra})).document
        assert document.dims == ("scan_y", "scan_x", "energy")
        np.testing.assert_array_equal(read_all(document.blocks), data)
        np.testing.assert_array_equal(
            read_box(document.blocks, (1, 2, 3), (2, 1, 4)), data[1:3, 2:3, 3:7]
        )
        assert [axis.units for axis in document.axes] == ["nm", "nm", "eV"]
        assert document.axis("energy").offset == pytest.approx(10.0)


def _fields(image: DMImage) -> dict[str, Any]:
    return {name: getattr(image, name) for name in image.__slots__}


def test_a_line_scan_on_a_slow_detector_is_turned(tmp_path: Path) -> None:
    """(scan_x, det_x, det_y) with units on each axis becomes (1, scan_x, det_y, det_x)."""
    data = numbers(4, 9, 3)
    document = read(tmp_path, DMImage(data=data, axes=(PER_NM, PER_NM, NM))).document
    assert (document.kind, document.shape) == ("4d-stem", (1, 3, 4, 9))
    np.testing.assert_array_equal(read_all(document.blocks)[0], data.transpose(2, 0, 1))
    assert [axis.calibrated for axis in document.axes] == [False, True, True, True]


UNITS = {
    "detector-fast": (*SCAN_UNITS, *DETECTOR_UNITS),
    "scan-fast": (*SCAN_UNITS, *DETECTOR_UNITS),
}


@pytest.mark.parametrize("layout", ["detector-fast", "scan-fast"])
@pytest.mark.parametrize(
    ("evidence", "confidence"),
    [
        ({"swapped": True}, "high"),
        ({"axes": (*SCAN_UNITS, *DETECTOR_UNITS)}, "high"),
        ({"axes": (NONE, NONE, *DETECTOR_UNITS)}, "high"),
        ({"axes": (*SCAN_UNITS, NONE, NONE)}, "high"),
        ({"axes": (*SCAN_UNITS, MRAD, MRAD)}, "high"),
        ({"si": (2, 3)}, "high"),
    ],
)
def test_evidence_decides_the_layout(
    tmp_path: Path, layout: str, evidence: dict[str, Any], confidence: str
) -> None:
    """Flag, units or SI tags alone are enough for either order."""
    given = dict(evidence)
    if "swapped" in given:
        given["swapped"] = layout == "detector-fast"
    if "si" in given:
        rows, columns = given.pop("si")
        sampling = {"Height (pixels)": rows, "Width (pixels)": columns}
        given["tags"] = {"SI": {"Acquisition": {"Spatial Sampling": sampling}}}
    data = numbers(2, 3, 4, 5)
    document = read(tmp_path, DMImage(data=data, layout=layout, **given)).document
    assert document.layout is not None
    assert document.layout.order == layout
    assert document.layout.confidence == confidence
    assert document.layout.evidence
    np.testing.assert_array_equal(read_all(document.blocks), data)


def test_the_flag_outranks_stale_si_tags(tmp_path: Path) -> None:
    """SI tags that contradict the flag lose, and are noted when they name no scan that is there."""
    sampling = {"Height (pixels)": 132, "Width (pixels)": 218}
    tags = {"SI": {"Acquisition": {"Spatial Sampling": sampling, "Last pixel": 132 * 218}}}
    document = read(tmp_path, DMImage(data=numbers(2, 2, 4, 5), swapped=True, tags=tags)).document
    assert document.layout is not None
    assert document.layout.order == "detector-fast"
    assert any("132 x 218" in note and "2 x 2" in note for note in document.notes)
    assert "complete" not in document.facts
    sampling = {"Height (pixels)": 4, "Width (pixels)": 5}
    tags = {"SI": {"Acquisition": {"Spatial Sampling": sampling}}}
    document = read(tmp_path, DMImage(data=numbers(2, 2, 4, 5), swapped=True, tags=tags)).document
    assert document.layout is not None
    assert document.layout.order == "detector-fast"


def test_no_evidence_is_said(tmp_path: Path) -> None:
    """Without evidence the layout is detector-fast with low confidence and a note."""
    document = read(tmp_path, DMImage(data=numbers(2, 3, 4, 5))).document
    assert document.layout is not None
    assert (document.layout.order, document.layout.confidence) == ("detector-fast", "low")
    assert any("--layout" in note for note in document.notes)
    hinted = read(tmp_path, DMImage(data=numbers(2, 3, 4, 5), format="Diffraction image"))
    assert hinted.document.layout is not None
    assert (hinted.document.layout.order, hinted.document.layout.confidence) == (
        "detector-fast",
        "low",
    )


@pytest.mark.parametrize(("swapped", "layout"), [(True, "scan-fast"), (False, "detector-fast")])
def test_contradictions_are_refused_with_both_readings(
    tmp_path: Path, swapped: bool, layout: str
) -> None:
    """A flag against the units of both pairs: both readings are shown, the user decides."""
    image = DMImage(
        data=numbers(2, 3, 4, 5),
        layout=layout,
        axes=(*SCAN_UNITS, *DETECTOR_UNITS),
        swapped=swapped,
    )
    with pytest.raises(LayoutError) as raised:
        read(tmp_path, image)
    assert "(2, 3)" in raised.value.message
    assert "(4, 5)" in raised.value.message
    assert "--layout" in str(raised.value)
    for choice in ("detector-fast", "scan-fast"):
        source = read(tmp_path, image, options=ReadOptions(layout=choice))
        assert source.document.layout is not None
        assert source.document.layout.order == choice
        assert source.document.layout.evidence[0] == f"set by --layout: {choice}"
    right = read(tmp_path, image, options=ReadOptions(layout=layout)).document
    np.testing.assert_array_equal(read_all(right.blocks), image.data)


def test_half_a_contradiction_follows_the_flag(tmp_path: Path) -> None:
    """Units on one pair only do not contradict the flag."""
    axes = (NONE, NONE, PER_NM, PER_NM)
    image = DMImage(data=numbers(2, 3, 4, 5), layout="scan-fast", axes=axes, swapped=True)
    document = read(tmp_path, image).document
    assert document.layout is not None
    assert document.layout.order == "detector-fast"


def test_titanx_stacks_become_scans(tmp_path: Path) -> None:
    """A stack whose tags name the shape of the scan is a 4D document; without them a stack."""
    data = numbers(6, 4, 5)
    tags = {"4D STEM Tags": {"Scan shape X": 3, "Scan shape Y": 2}}
    document = read(tmp_path, DMImage(data=data, tags=tags, axes=(NONE, PER_NM, PER_NM))).document
    assert (document.kind, document.shape) == ("4d-stem", (2, 3, 4, 5))
    np.testing.assert_array_equal(read_all(document.blocks), data.reshape(2, 3, 4, 5))
    assert [axis.units for axis in document.axes] == ["pixel", "pixel", "1/nm", "1/nm"]
    wrong = {"4D STEM Tags": {"Scan shape X": 3, "Scan shape Y": 3}}
    assert read(tmp_path, DMImage(data=data, tags=wrong)).document.kind == "stack"


def test_the_user_gives_the_scan_shape(tmp_path: Path) -> None:
    """``scan_shape`` turns a stack into a scan in either order, and must fit."""
    data = numbers(6, 4, 5)
    options = ReadOptions(scan_shape=(2, 3))
    document = read(tmp_path, DMImage(data=data), options=options).document
    np.testing.assert_array_equal(read_all(document.blocks), data.reshape(2, 3, 4, 5))
    turned = np.ascontiguousarray(data.transpose(1, 2, 0))
    options = ReadOptions(scan_shape=(2, 3), layout="scan-fast")
    document = read(tmp_path, DMImage(data=turned), options=options).document
    np.testing.assert_array_equal(read_all(document.blocks), data.reshape(2, 3, 4, 5))
    with pytest.raises(OptionError, match="6"):
        read(tmp_path, DMImage(data=data), options=ReadOptions(scan_shape=(2, 4)))
    with pytest.raises(OptionError, match="none of its images"):
        read(tmp_path, DMImage(data=data[0]), options=ReadOptions(scan_shape=(2, 3)))
    same = read(tmp_path, DMImage(data=numbers(2, 3, 4, 5)), options=ReadOptions(scan_shape=(2, 3)))
    assert same.document.shape == (2, 3, 4, 5)


def test_options_that_cannot_act_are_refused(tmp_path: Path) -> None:
    """A path of a data set means nothing in a DM file."""
    with pytest.raises(OptionError, match="no data sets"):
        read(tmp_path, DMImage(data=numbers(2, 2)), options=ReadOptions(dataset="/a/b"))


def test_the_main_document_is_the_scan(tmp_path: Path) -> None:
    """Neither thumbnail nor a larger image outranks the scan; all have slugs of their own."""
    source = read(
        tmp_path,
        DMImage(data=numbers(64, 64), name="Survey"),
        DMImage(data=numbers(2, 2, 3, 3), name="Scan"),
        DMImage(data=numbers(4, 4), name="Survey"),
        DMImage(data=numbers(4, 4)),
    )
    assert source.document.title == "Scan"
    slugs = [document.slug for document in source.documents]
    assert len(set(slugs)) == len(slugs) == 5
    assert source.documents[0].thumbnail
    assert slugs[0] == "thumbnail"


def test_scan_and_survey_image_are_linked(tmp_path: Path) -> None:
    """The survey image carries the rectangle of the scan, the scan the name of the survey."""
    survey_id = (7, 8, 9, 10)
    link = {
        "Spectrum Image Rect": tuple(np.int64(n) for n in (1, 2, 30, 40)),
        "Unique Image ID": tuple(np.int64(n) for n in survey_id),
    }
    tags = {"SI": {"Acquisition": {"Survey Image": link}}}
    source = read(
        tmp_path,
        DMImage(data=numbers(2, 2, 3, 3), name="Scan", tags=tags, unique_id=(1, 2, 3, 4)),
        DMImage(data=numbers(50, 50), name="HAADF", unique_id=survey_id),
    )
    survey = source.find("survey")
    assert survey.title == "HAADF"
    rectangle = {
        "scan_rect_top": 1,
        "scan_rect_left": 2,
        "scan_rect_bottom": 30,
        "scan_rect_right": 40,
    }
    assert survey.attributes == {**rectangle, "scan_document": source.document.slug}
    assert source.document.attributes == {**rectangle, "survey_document": "survey"}


def test_pixels_in_another_file_are_named(tmp_path: Path) -> None:
    """An image whose pixels are not in the file is unsupported, never read as garbage."""
    path = tmp_path / "linked.dm4"
    write_dm(path, DMImage(data=numbers(4, 4)))
    content = path.read_bytes()
    count = (16).to_bytes(8, "big")
    at = content.rindex(b"\x00" * 7 + b"\x14" + b"\x00" * 7 + b"\x05" + count)
    path.write_bytes(content[: at + 16] + bytes(8) + content[at + 24 :][64:])
    with pytest.raises(UnsupportedDataError, match="another file"):
        read_dm(path, ReadOptions())


def test_large_files_are_opened_without_reading_pixels(tmp_path: Path) -> None:
    """A file of 8 GiB opens from its tags alone."""
    zeros = StreamedArray(shape=(256, 256, 256, 256), dtype=np.dtype("u2"))
    source = read(tmp_path, DMImage(data=zeros, swapped=True))
    assert source.document.nbytes == 8 * 1024**3
    assert len(source.load_header()) < 100_000
    last = read_box(source.document.blocks, (255, 255, 255, 255), (1, 1, 1, 1))
    assert last.item() == 0
