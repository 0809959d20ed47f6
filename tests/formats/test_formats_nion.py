"""Nion Swift's zip files: values, calibrations, colours, and what is left where they end early."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stemzarr.errors import (
    CorruptFileError,
    StemzarrError,
    TruncatedFileError,
    UnsupportedDataError,
)
from stemzarr.model import read_all, read_box
from stemzarr.options import ReadOptions
from stemzarr.registry import read_source
from stemzarr.testing.contracts import check_reader
from stemzarr.testing.nion import write_ndata

VALUES = np.arange(4 * 5 * 6 * 7, dtype="<f4").reshape(4, 5, 6, 7)
PROPERTIES: dict[str, Any] = {
    "collection_dimension_count": 2,
    "datum_dimension_count": 2,
    "dimensional_calibrations": [
        {"offset": offset, "scale": scale, "units": units}
        for offset, scale, units in (
            *((0.0, 0.5, "nm"), (3.0, 0.25, "nm")),
            *((-15.0, 2.0, "mrad"), (0.0, 2.0, "mrad")),
        )
    ],
    "intensity_calibration": {"offset": 4.0, "scale": 0.1, "units": "e"},
    "title": "Ronchi",
    "created": "2020-05-06T07:08:09.123456",
    "metadata": {
        "instrument": {"high_tension": 60000.0},
        "hardware_source": {"exposure": 0.02},
    },
}
each_suffix = pytest.mark.parametrize("suffix", [".ndata", ".ndata1"])


def values_of(path: Path, slug: str = "", **options: Any) -> NDArray[Any]:
    """Return all values of a document of a file."""
    source = read_source(path, ReadOptions(**options))
    document = source.find(slug) if slug else source.document
    return read_all(document.blocks)


@pytest.mark.parametrize("name", ["scale", "offset"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), "unknown", True])
def test_what_is_no_number_calibrates_nothing(tmp_path: Path, name: str, value: object) -> None:
    """Neither as a step nor as the position of the first pixel; other axes stay calibrated."""
    first, *others = PROPERTIES["dimensional_calibrations"]
    tree = {**PROPERTIES, "dimensional_calibrations": [{**first, name: value}, *others]}
    write_ndata(tmp_path / "x.ndata", VALUES, tree)
    axes = read_source(tmp_path / "x.ndata").document.axes
    assert [axis.calibrated for axis in axes] == [False, True, True, True]
    assert (axes[0].scale, axes[0].offset, axes[0].units) == (1, 0, "pixel")


@pytest.mark.parametrize("count", [1, 3, 5])
def test_calibrations_of_other_dims_are_named(tmp_path: Path, count: int) -> None:
    """Which of them belongs to which dim is not known: none is used, and that is said."""
    few = (PROPERTIES["dimensional_calibrations"] * 2)[:count]
    write_ndata(tmp_path / "x.ndata", VALUES, {**PROPERTIES, "dimensional_calibrations": few})
    document = read_source(tmp_path / "x.ndata").document
    assert not any(axis.calibrated for axis in document.axes)
    assert any(f"{count} calibrations for 4 dims" in note for note in document.notes)


@each_suffix
@pytest.mark.parametrize("form", ["plain", "data_source", "data_sources"])
def test_an_item_is_read_as_it_was_saved(tmp_path: Path, suffix: str, form: str) -> None:
    """What numpy and json take out of the zip file: values, axes, brightness, facts, old forms."""
    path, tree = tmp_path / f"item{suffix}", PROPERTIES
    if form != "plain":
        inner = {name: value for name, value in tree.items() if name not in ("title", "created")}
        below = {"data_source": inner, "data_sources": [inner]}[form]
        tree = {"title": "Ronchi", "created": PROPERTIES["created"], form: below}
        suffix = ".ndata"
        path = path.with_suffix(suffix)
    write_ndata(path, VALUES, tree)
    source = check_reader(path)
    main = source.document
    with zipfile.ZipFile(path) as archive:
        kept = np.load(io.BytesIO(archive.read("data.npy")))
        assert source.load_metadata() == {"properties": json.loads(archive.read("metadata.json"))}
    np.testing.assert_array_equal(values_of(path), kept)
    assert (source.complete, source.format, main.title) == (True, "ndata", "Ronchi")
    assert main.kind == "4d-stem"
    assert [axis.units for axis in main.axes] == ["nm", "nm", "mrad", "mrad"]
    assert [axis.scale for axis in main.axes] == [0.5, 0.25, 2, 2]
    assert [axis.offset for axis in main.axes] == [0, 3, -15, 0]
    assert main.brightness is not None
    assert (main.brightness.scale, main.brightness.offset) == (0.1, 4.0)
    assert main.facts["beam_energy_keV"] == 60
    assert main.facts["exposure_s"] == 0.02
    assert main.facts["acquired"] == "2020-05-06T07:08:09.123456+00:00"


def test_rows_and_columns_of_any_order_are_told_apart(tmp_path: Path) -> None:
    """An array that numpy saved in Fortran's order has the same values and calibrations."""
    path = tmp_path / "item.ndata"
    write_ndata(path, np.asfortranarray(VALUES), PROPERTIES)
    np.testing.assert_array_equal(values_of(path), VALUES)
    assert [axis.scale for axis in check_reader(path).document.axes] == [0.5, 0.25, 2, 2]


def test_colours_are_red_first(tmp_path: Path) -> None:
    """Swift keeps blue, green, red, alpha; every reader of a store expects red first."""
    path = tmp_path / "picture.ndata"
    stored = np.arange(3 * 4 * 4, dtype="u1").reshape(3, 4, 4)
    properties = {"datum_dimension_count": 2, "dimensional_calibrations": [{}, {}]}
    write_ndata(path, stored, properties)
    document = check_reader(path).document
    assert document.channels == ("red", "green", "blue", "alpha")
    np.testing.assert_array_equal(values_of(path), stored[..., [2, 1, 0, 3]])
    green = read_box(document.blocks, (1, 2, 1), (2, 1, 2))
    np.testing.assert_array_equal(green, stored[1:3, 2:3, [1, 0]])


@each_suffix
def test_a_file_cut_anywhere_is_salvaged_or_refused(tmp_path: Path, suffix: str) -> None:
    """At every boundary: patterns that are whole come back, nothing is made up, nothing silent."""
    path = tmp_path / f"item{suffix}"
    write_ndata(path, VALUES, PROPERTIES)
    content = path.read_bytes()
    first = content.index(VALUES.tobytes()[:64])
    pattern = VALUES[0, 0].nbytes
    ends = {*range(0, len(content), 211), *range(first - 3, first + 3), len(content) - 1}
    ends |= {first + pattern * count + more for count in (1, 7, 20) for more in (-1, 0, 1)}
    for end in sorted(ends):
        path.write_bytes(content[:end])
        whole = min(20, max(0, end - first) // pattern)
        if not whole:
            with pytest.raises(StemzarrError):
                read_source(path)
            continue
        source = check_reader(path)
        assert not source.complete
        assert source.notes
        np.testing.assert_array_equal(
            values_of(path).reshape(-1, 6, 7), VALUES.reshape(-1, 6, 7)[:whole]
        )
        if whole < 20:
            scan = check_reader(path, ReadOptions(salvage=True)).document
            assert scan.shape == VALUES.shape
            assert scan.valid is not None
            assert int(scan.valid.sum()) == whole
        if suffix == ".ndata1":
            assert source.document.axis("det_x").units == "mrad" if whole == 20 else True


def zipped(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    """Write a zip file."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_what_is_no_item_is_refused(tmp_path: Path) -> None:
    """Text, a zip file of something else, packed values, values that are no numbers, no length."""
    file = io.BytesIO()
    np.save(file, VALUES)
    values, path = file.getvalue(), tmp_path / "item.ndata"
    path.write_text("no zip file at all")
    with pytest.raises(CorruptFileError, match="not a readable zip file"):
        read_source(path)
    with pytest.raises(UnsupportedDataError, match=r"no data.npy: metadata.json"):
        read_source(zipped(path, {"metadata.json": b"{}"}))
    with pytest.raises(UnsupportedDataError, match="packed"):
        read_source(zipped(path, {"data.npy": values}, zipfile.ZIP_DEFLATED))
    with pytest.raises(CorruptFileError, match="declares"):
        read_source(zipped(path, {"data.npy": values + bytes(7)}))
    path.write_bytes(zipped(path, {"metadata.json": b"{}"}).read_bytes()[:-9])
    with pytest.raises(TruncatedFileError, match=r"no data.npy"):
        read_source(path)
    np.save(file := io.BytesIO(), np.array(["text"]))
    with pytest.raises(UnsupportedDataError, match="numbers"):
        read_source(zipped(path, {"data.npy": file.getvalue()}))


@pytest.mark.parametrize("text", [b"", b"[1]", b"\xff{", b"{" * 99_999])
def test_values_without_a_text_are_read_bare(tmp_path: Path, text: bytes) -> None:
    """A text that says nothing is named in a note, and the values are read."""
    file = io.BytesIO()
    np.save(file, VALUES)
    path = zipped(tmp_path / "i.ndata", {"data.npy": file.getvalue(), "metadata.json": text})
    source = check_reader(path)
    np.testing.assert_array_equal(values_of(path), VALUES)
    assert any("nothing is calibrated" in note for note in source.notes)
