"""Files that end too early: refused with what is known, recovered where patterns are complete."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from stemzarr.errors import CorruptFileError, OptionError, StemzarrError, TruncatedFileError
from stemzarr.formats.dm.reader import read_dm
from stemzarr.model import read_all, read_box
from stemzarr.options import ReadOptions
from stemzarr.testing import DMImage, synthetic_scan, write_dm, write_synthetic_dm4

SCAN, DETECTOR = (5, 6), (8, 10)
TRAILER = 8


@pytest.fixture(scope="module")
def scan_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return a whole file with thumbnail, scan and survey image."""
    path = tmp_path_factory.mktemp("whole") / "scan.dm4"
    write_synthetic_dm4(path, SCAN, DETECTOR, "u2", seed=1)
    return path.read_bytes()


def cut(tmp_path: Path, content: bytes, size: int) -> Path:
    """Return a file of the first bytes."""
    path = tmp_path / "cut.dm4"
    path.write_bytes(content[:size])
    return path


def test_every_cut_is_refused_in_one_line(tmp_path: Path, scan_bytes: bytes) -> None:
    """A file cut anywhere before the end of its last tag is refused, naming the file."""
    whole = len(scan_bytes) - TRAILER
    for size in [*range(200), *range(200, whole, 997), whole - 1]:
        path = cut(tmp_path, scan_bytes, size)
        with pytest.raises(TruncatedFileError) as raised:
            read_dm(path, ReadOptions())
        assert str(path) in str(raised.value)
        assert "\n" not in str(raised.value)
        assert "--salvage" in str(raised.value)


@pytest.mark.parametrize("missing", range(1, TRAILER + 1))
def test_a_missing_trailer_is_harmless(tmp_path: Path, scan_bytes: bytes, missing: int) -> None:
    """The zeros after the tree may be missing."""
    source = read_dm(cut(tmp_path, scan_bytes, len(scan_bytes) - missing), ReadOptions())
    assert source.complete
    assert source.document.kind == "4d-stem"


def test_the_message_says_what_is_known(tmp_path: Path, scan_bytes: bytes) -> None:
    """Size, number and type of values and the calibration are named."""
    middle = read_dm(cut(tmp_path, scan_bytes, len(scan_bytes)), ReadOptions()).segments[1]
    path = cut(tmp_path, scan_bytes, middle.offset + 1000)
    with pytest.raises(TruncatedFileError, match=r"500 of 2400 values of type uint16") as raised:
        read_dm(path, ReadOptions())
    assert "2.5 nm" in raised.value.message
    assert "0.021 1/nm" in raised.value.message
    assert str(len(scan_bytes) - 8) in raised.value.message


def test_complete_patterns_are_recovered(tmp_path: Path, scan_bytes: bytes) -> None:
    """Salvage gives the complete patterns, marks them, and fills the rest with zeros."""
    values = synthetic_scan(SCAN, DETECTOR, "u2", seed=1).to_array()
    segment = read_dm(cut(tmp_path, scan_bytes, len(scan_bytes)), ReadOptions()).segments[1]
    options = ReadOptions(salvage=True, scan_shape=SCAN)
    for patterns, extra in itertools.product((1, 6, 7, 17, 29), (0, 7)):
        size = segment.offset + patterns * values[0, 0].nbytes + extra
        source = read_dm(cut(tmp_path, scan_bytes, size), options)
        document = source.document
        assert not source.complete
        assert not source.rebuildable
        assert document.facts["complete"] == 0
        assert document.shape == values.shape
        assert [axis.units for axis in document.axes] == ["nm", "nm", "1/nm", "1/nm"]
        expected = values.copy().reshape(-1, *DETECTOR)
        expected[patterns:] = 0
        expected = expected.reshape(values.shape)
        found = read_box(document.blocks, (0, 0, 0, 0), values.shape)
        np.testing.assert_array_equal(found, expected)
        box = read_box(document.blocks, (1, 2, 3, 4), (3, 3, 2, 5))
        np.testing.assert_array_equal(box, expected[1:4, 2:5, 3:5, 4:9])
        assert document.valid is not None
        assert document.valid.shape == SCAN
        np.testing.assert_array_equal(document.valid.ravel(), np.arange(30) < patterns)


def test_a_cut_behind_the_pixels_keeps_all_patterns(tmp_path: Path, scan_bytes: bytes) -> None:
    """When only tags are lost, salvage keeps every value, with the shape as far as it is known."""
    values = synthetic_scan(SCAN, DETECTOR, "u2", seed=1).to_array()
    segment = read_dm(cut(tmp_path, scan_bytes, len(scan_bytes)), ReadOptions()).segments[1]
    end = segment.offset + segment.nbytes
    for size, options in (
        (end, ReadOptions(salvage=True, scan_shape=SCAN)),
        (end + 400, ReadOptions(salvage=True)),
        (end + 2000, ReadOptions(salvage=True)),
    ):
        document = read_dm(cut(tmp_path, scan_bytes, size), options).document
        assert document.valid is None
        found = read_box(document.blocks, (0, 0, 0, 0), values.shape)
        np.testing.assert_array_equal(found, values)


def test_what_cannot_be_recovered_is_refused(tmp_path: Path, scan_bytes: bytes) -> None:
    """Without the scan shape, with a wrong one, or without one complete pattern: an error."""
    segment = read_dm(cut(tmp_path, scan_bytes, len(scan_bytes)), ReadOptions()).segments[1]
    path = cut(tmp_path, scan_bytes, segment.offset + 1000)
    with pytest.raises(TruncatedFileError, match="--scan-shape"):
        read_dm(path, ReadOptions(salvage=True))
    with pytest.raises(TruncatedFileError, match="2400 values"):
        read_dm(path, ReadOptions(salvage=True, scan_shape=(7, 7)))
    path = cut(tmp_path, scan_bytes, segment.offset + 10)
    with pytest.raises(TruncatedFileError, match="no complete pattern"):
        read_dm(path, ReadOptions(salvage=True, scan_shape=SCAN))
    path = cut(tmp_path, scan_bytes, segment.offset - 300)
    with pytest.raises(TruncatedFileError, match="nothing is complete"):
        read_dm(path, ReadOptions(salvage=True, scan_shape=SCAN))


def test_scan_fast_files_have_no_complete_pattern(tmp_path: Path) -> None:
    """Where the detector is slowest, every pattern lacks its end; the file is refused."""
    path = tmp_path / "fast.dm4"
    write_synthetic_dm4(path, SCAN, DETECTOR, "u2", layout="scan-fast")
    segment = read_dm(path, ReadOptions()).segments[1]
    path = cut(tmp_path, path.read_bytes(), segment.offset + segment.nbytes - 1)
    with pytest.raises(TruncatedFileError, match="no complete pattern"):
        read_dm(path, ReadOptions(salvage=True, scan_shape=SCAN))


def test_salvage_of_anything_gives_documents_or_our_error(
    tmp_path: Path, scan_bytes: bytes
) -> None:
    """Wherever a file is cut, salvage answers with documents that can be read, or an error."""
    options = ReadOptions(salvage=True, scan_shape=SCAN)
    for size in range(0, len(scan_bytes), 701):
        try:
            source = read_dm(cut(tmp_path, scan_bytes, size), options)
        except (TruncatedFileError, OptionError):
            continue
        for document in source.documents:
            read_all(document.blocks)


def test_a_length_beyond_a_whole_file_is_corruption(tmp_path: Path) -> None:
    """A file as long as it says, with a length that is longer, is corrupt, and says where."""
    path = tmp_path / "bad.dm4"
    write_dm(path, DMImage(data=np.zeros((4, 4), "u2"), tags={"Name of it": "text"}))
    content = bytearray(path.read_bytes())
    at = content.index(b"Name of it") + len(b"Name of it") + 8 + 4 + 8 + 16
    content[at : at + 8] = (1 << 40).to_bytes(8, "big")
    path.write_bytes(content)
    with pytest.raises(CorruptFileError, match="ImageTags/Name of it") as raised:
        read_dm(path, ReadOptions())
    assert not isinstance(raised.value, TruncatedFileError)
    assert isinstance(raised.value, StemzarrError)
