"""TIA's series as RosettaSciIO and ncempy read them, in place, and what is left of those cut."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ncempy.io.ser import fileSER
from rsciio.tia import file_reader

from stemzarr.errors import CorruptFileError, StemzarrError, UnsupportedDataError
from stemzarr.model import read_all
from stemzarr.options import ReadOptions
from stemzarr.registry import read_source
from stemzarr.testing.contracts import check_reader
from stemzarr.testing.tia import write_ser

SCAN = np.arange(4 * 3 * 6 * 5, dtype="<u2").reshape(4, 3, 6, 5)


def theirs(path: Path) -> dict[str, Any]:
    """Return what RosettaSciIO reads of a file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        signal: dict[str, Any] = file_reader(str(path))[0]
    return signal


@pytest.mark.parametrize("version", [0x0210, 0x0220])
@pytest.mark.parametrize("by_columns", [False, True])
def test_a_scan_of_images_is_what_the_libraries_read(
    tmp_path: Path, version: int, by_columns: bool
) -> None:
    """Values, steps and pixels of a 4D series, along rows or columns, with short and long places.

    RosettaSciIO gives the dims in the order of the disk, ncempy the elements one by one.
    """
    path = tmp_path / "scan.ser"
    write_ser(path, SCAN, steps=(2e-9, 3e-9), delta=4e8, by_columns=by_columns, version=version)
    source = check_reader(path)
    document = source.document
    signal = theirs(path)
    other = signal["data"].swapaxes(0, 1) if by_columns else signal["data"]
    np.testing.assert_array_equal(read_all(document.blocks), other)
    np.testing.assert_array_equal(read_all(document.blocks), SCAN)
    with fileSER(str(path)) as file:
        elements = SCAN.swapaxes(0, 1) if by_columns else SCAN
        for number, element in enumerate(elements.reshape(-1, 6, 5)):
            np.testing.assert_array_equal(file.getDataset(number)[0], element)
    assert (document.kind, source.complete) == ("4d-stem", True)
    assert [axis.units for axis in document.axes] == ["nm", "nm", "1/nm", "1/nm"]
    assert [axis.scale for axis in document.axes] == pytest.approx([2, 3, 0.4, 0.4])
    assert [axis.offset for axis in document.axes] == pytest.approx([0, 0, 1.6, 1.6])
    header = next(iter(source.load_metadata().values()))["original_metadata"]
    assert len(header["ser_header_parameters"]["PositionX"]) == 12


@pytest.mark.parametrize("by_columns", [False, True])
@pytest.mark.parametrize("rotation_deg", [-40, 0.001, 25])
def test_a_rotated_scan_has_its_rows(tmp_path: Path, by_columns: bool, rotation_deg: float) -> None:
    """Places of neighbours differ along both axes: the larger step says which one is fast."""
    path = tmp_path / "scan.ser"
    write_ser(path, SCAN, by_columns=by_columns, rotation_deg=rotation_deg)
    np.testing.assert_array_equal(read_all(check_reader(path).document.blocks), SCAN)


@pytest.mark.parametrize("dtype", ["u1", "i4", "f4", "c8"])
def test_images_spectra_and_their_series(tmp_path: Path, dtype: str) -> None:
    """One element, a line of them and a map are what RosettaSciIO makes of them, in every type."""
    values = SCAN.astype(dtype)
    path = tmp_path / "x.ser"
    for shape, inner, kind in (
        ((), 2, "image"),
        ((3,), 2, "stack"),
        ((), 1, "spectrum"),
        ((3,), 1, "spectrum-image"),
        ((4, 3), 1, "spectrum-image"),
    ):
        used = values[:, :, 0] if inner == 1 else values
        used = used[(0,) * (2 - len(shape))]
        write_ser(path, used, inner=inner, delta=0.5 if inner == 1 else 2e-10)
        document = check_reader(path).document
        signal = theirs(path)
        assert document.kind == kind
        np.testing.assert_array_equal(read_all(document.blocks).squeeze(), signal["data"].squeeze())
        np.testing.assert_array_equal(read_all(document.blocks).squeeze(), used)
        last, described = document.axes[-1], signal["axes"][-1]
        assert last.units == described["units"]
        assert last.scale == pytest.approx(described["scale"])


@pytest.mark.parametrize("by_columns", [False, True])
def test_a_map_of_spectra_scanned_along_columns(tmp_path: Path, by_columns: bool) -> None:
    """Its positions say which axis is the fast one; what was not recorded is masked."""
    path, values = tmp_path / "map.ser", SCAN[:, :, 0]
    write_ser(path, values, inner=1, by_columns=by_columns)
    np.testing.assert_array_equal(read_all(check_reader(path).document.blocks), values)
    write_ser(path, values, inner=1, by_columns=by_columns, valid=7)
    assert not check_reader(path).complete
    document = check_reader(path, ReadOptions(salvage=True)).document
    assert document.valid is not None
    assert int(document.valid.sum()) == 7
    np.testing.assert_array_equal(read_all(document.blocks)[document.valid], values[document.valid])
    np.testing.assert_array_equal(document.valid[0], [True, True, True and not by_columns])


@pytest.mark.parametrize("by_columns", [False, True])
def test_a_series_that_was_stopped_is_incomplete(tmp_path: Path, by_columns: bool) -> None:
    """What was recorded is a stack, and by a salvage the scan, with a mask."""
    path = tmp_path / "scan.ser"
    write_ser(path, SCAN, valid=5, by_columns=by_columns)
    source = check_reader(path)
    assert (source.complete, source.document.kind) == (False, "stack")
    assert any("5 of 12 patterns" in note for note in source.notes)
    if not by_columns:
        document = check_reader(path, ReadOptions(salvage=True)).document
        assert document.valid is not None
        np.testing.assert_array_equal(
            read_all(document.blocks)[document.valid], SCAN.reshape(12, 6, 5)[:5]
        )


@pytest.mark.parametrize("inner", [1, 2])
def test_a_series_cut_anywhere_is_salvaged_or_refused(tmp_path: Path, inner: int) -> None:
    """At every byte: whole elements come back, and nothing is complete that is not whole."""
    path = tmp_path / "scan.ser"
    values = SCAN if inner > 1 else SCAN[:, :, 0]
    write_ser(path, values, inner=inner)
    content, lead = path.read_bytes(), read_source(path).document.blocks
    step = 37 if inner > 1 else 17
    elements = values.reshape(12, *values.shape[2:])
    for end in (*range(0, len(content), step), len(content) - 1):
        path.write_bytes(content[:end])
        try:
            source = check_reader(path)
        except StemzarrError:
            continue
        assert not source.complete
        assert source.notes
        found = read_all(source.document.blocks)
        found = found.reshape(-1, *elements.shape[1:])
        np.testing.assert_array_equal(found, elements[: len(found)])
    assert len(found) == 12
    assert lead.shape == values.shape


def test_what_is_no_series_is_refused(tmp_path: Path) -> None:
    """Other bytes, no elements, elements of two sizes or at uneven distances, absurd numbers."""
    path = tmp_path / "x.ser"
    path.write_bytes(b"II" + bytes(60))
    with pytest.raises(CorruptFileError, match="not as a series of TIA"):
        read_source(path)
    write_ser(path, SCAN, valid=0)
    with pytest.raises(UnsupportedDataError, match="no elements"):
        read_source(path)
    write_ser(path, SCAN)
    content = bytearray(path.read_bytes())
    (place,) = struct.unpack_from("<Q", content, 22)
    first, second = struct.unpack_from("<2Q", content, place)
    for at, layout, value, words in (
        (second + 42, "<I", 4, "element 1 has another size"),
        (second + 40, "<H", 3, "element 1 has another size"),
        (place + 8, "<Q", second + 2, "even distances"),
        (first + 40, "<H", 99, "type 99"),
        (first + 42, "<I", 2**31, "bytes apart"),
        (30, "<I", 999, "999 dimensions"),
        (18, "<I", 13, "13 of 12 recorded"),
    ):
        changed = bytearray(content)
        struct.pack_into(layout, changed, at, value)
        path.write_bytes(changed)
        with pytest.raises(StemzarrError, match=words):
            read_source(path)
