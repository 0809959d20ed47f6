"""EMPAD-G2: words combined as they are described, what belongs together, what is refused."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from stemzarr.errors import (
    CorruptFileError,
    SourceChangedError,
    SourceNotFoundError,
    TruncatedFileError,
    UnsupportedDataError,
)
from stemzarr.model import Document, read_box
from stemzarr.options import ReadOptions
from stemzarr.registry import read_source
from stemzarr.testing.contracts import check_reader
from stemzarr.testing.empad2 import pack_words, write_calibration, write_words

SCAN = (3, 4)
Model = Literal["linear", "quadratic"]


def parts(scan: tuple[int, int] = SCAN) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return analog values, counters and gains of a scan, of every size that a word holds."""
    rng, shape = np.random.default_rng(7), (*scan, 128, 128)
    gain = rng.integers(0, 2, shape)
    return rng.integers(0, 2**14, shape), rng.integers(0, 2**16, shape) * gain, gain


def combined(
    model: Model, constants: dict[str, NDArray[np.float32]], scan: tuple[int, int] = SCAN
) -> NDArray[np.float64]:
    """Return the intensities by the formulas of the package ``empad2``, in float64."""
    analog, counter, gain = parts(scan)
    values = np.where(gain, 0.0, analog)
    for column in range(scan[1]):
        a, n, g = (part[:, column] for part in (analog, counter, gain))
        if model == "linear":
            g1, b2, g2 = (constants[f"{name}{'AB'[column % 2]}"] for name in ("G1", "B2", "G2"))
            values[:, column] += np.where(g, g1.astype(float) * (a - b2.astype(float)), 0) + g2 * n
        else:
            ml, alpha, md, oh, ot = (
                constants[name][..., column % 2].astype(float)
                for name in ("Ml", "alpha", "Md", "Oh", "Ot")
            )
            values[:, column] += np.where(g, ml * a + alpha * a**2 + oh, 0) + md * n - ot
    return values


def values_of(document: Document) -> NDArray[Any]:
    """Return all values of a document."""
    return read_box(document.blocks, (0,) * len(document.shape), document.blocks.shape)


@pytest.mark.parametrize("model", ["linear", "quadratic"])
def test_words_are_combined_as_described(tmp_path: Path, model: Model) -> None:
    """Every pattern, any box of it, in either model; which constants is said."""
    constants = write_calibration(tmp_path / "sensor.h5", model)
    path = write_words(tmp_path, pack_words(*parts()))
    source = check_reader(path)
    document, expected = source.document, combined(model, constants)
    assert (document.kind, document.shape, source.complete) == ("4d-stem", (*SCAN, 128, 128), True)
    assert document.dtype == np.float32
    np.testing.assert_allclose(values_of(document), expected, rtol=1e-5, atol=0.5)
    box = read_box(pickle.loads(pickle.dumps(document.blocks)), (1, 2, 30, 40), (2, 2, 5, 6))
    np.testing.assert_array_equal(box, values_of(document)[1:3, 2:4, 30:35, 40:46])
    assert source.load_metadata()["calibration"]["model"] == model
    assert any("sensor.h5" in note for note in document.notes)
    assert any("background" in note for note in document.notes)
    assert [part.name for part in source.parts] == ["sensor.h5"]


def test_the_two_sets_of_constants_begin_anew_with_each_line(tmp_path: Path) -> None:
    """Even and odd are columns, in lines of odd length too; without a name it is a square."""
    constants, scan = write_calibration(tmp_path / "sensor.h5"), (3, 3)
    path = write_words(tmp_path, pack_words(*parts(scan)))
    expected = combined("linear", constants, scan)
    np.testing.assert_allclose(values_of(read_source(path).document), expected, rtol=1e-5, atol=0.5)
    path = path.rename(tmp_path / "square.raw")
    document = check_reader(path).document
    assert document.layout is not None
    assert (document.kind, document.layout.confidence) == ("4d-stem", "low")
    np.testing.assert_allclose(values_of(document), expected, rtol=1e-5, atol=0.5)
    line = read_source(path, ReadOptions(scan_shape=(1, 9))).document
    assert line.shape[:2] == (1, 9)


def test_a_file_cut_anywhere_is_salvaged_or_refused(tmp_path: Path) -> None:
    """Whole patterns come back at their positions; less than one is refused."""
    constants = write_calibration(tmp_path / "sensor.h5")
    path = write_words(tmp_path, pack_words(*parts()))
    content, expected = path.read_bytes(), combined("linear", constants).reshape(12, 128, 128)
    for end in (1, 65535, 65536, 65537, 5 * 65536 - 1, 5 * 65536, len(content) - 1):
        path.write_bytes(content[:end])
        whole = end // 65536
        if not whole:
            with pytest.raises(TruncatedFileError, match="no whole pattern"):
                read_source(path)
            continue
        source = check_reader(path)
        assert (source.complete, source.document.shape[0]) == (False, whole)
        scan = check_reader(path, ReadOptions(salvage=True)).document
        assert scan.valid is not None
        np.testing.assert_allclose(
            values_of(scan)[scan.valid], expected[:whole], rtol=1e-5, atol=0.5
        )


def test_what_is_beside_the_file_decides(tmp_path: Path) -> None:
    """No calibration, two of them, a changed one, one of another shape, values combined before."""
    path = write_words(tmp_path, pack_words(*parts()))
    with pytest.raises(SourceNotFoundError, match="need the calibration"):
        read_source(path)
    sensor = tmp_path / "sensor.h5"
    write_calibration(sensor)
    blocks = read_source(path).document.blocks
    write_calibration(tmp_path / "other.h5", "quadratic")
    with pytest.raises(UnsupportedDataError, match=r"other.h5, sensor.h5"):
        read_source(path)
    (tmp_path / "other.h5").unlink()
    write_calibration(sensor, "quadratic")
    with pytest.raises(SourceChangedError):
        read_box(blocks, (0, 0, 0, 0), (1, 1, 2, 2))
    for name, values, words in (
        ("Ml", np.zeros((128, 128)), "shape"),
        ("Oh", np.full((128, 128, 2), np.nan), "not a number"),
        ("alpha", np.full((128, 128, 2), 1e30), "beyond"),
    ):
        write_calibration(sensor, "quadratic")
        with h5py.File(sensor, "a") as file:
            del file[name]
            file[name] = values
        with pytest.raises(CorruptFileError, match=words):
            read_source(path)
    write_calibration(sensor)
    np.full((*SCAN, 128, 128), 57.5, "<f4").tofile(path)
    with pytest.raises(UnsupportedDataError, match="bit 30"):
        read_source(path)


def test_size_tells_the_older_detector(tmp_path: Path) -> None:
    """Frames of 130 rows under the same name are those of the EMPAD before."""
    write_calibration(tmp_path / "sensor.h5")
    path = tmp_path / "scan_x4_y3.raw"
    np.ones((*SCAN, 130, 128), "<f4").tofile(path)
    source = check_reader(path)
    assert (source.format, source.document.shape) == ("empad", (*SCAN, 128, 128))
    assert (values_of(source.document) == 1).all()
