"""Damaged files: only errors of ours come out. `benchmarks/fuzz.py` does the same for hours."""

from __future__ import annotations

import contextlib
import importlib.util
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stemzarr.errors import CorruptFileError, StemzarrError
from stemzarr.model import read_box
from stemzarr.options import ReadOptions
from stemzarr.registry import read_source
from stemzarr.testing import DMAxis, DMImage, write_dm

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
RUNS = {
    "dm": 1500,
    "npy": 300,
    "ndata": 100,
    "ser": 200,
    "empad2": 40,
    "k2is": 20,
    "store": 150,
    "hdf5": 60,
}


@pytest.fixture(scope="module")
def targets() -> dict[str, Any]:
    """Return the targets of the fuzzer."""
    spec = importlib.util.spec_from_file_location("fuzz_targets", BENCHMARKS / "fuzz_targets.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fuzz_targets"] = module
    spec.loader.exec_module(module)
    return dict(module.TARGETS)


@pytest.mark.parametrize("name", RUNS)
def test_nothing_but_our_errors_comes_out(targets: dict[str, Any], name: str) -> None:
    """Some inputs of each target; anything but a `StemzarrError` would fail the test here."""
    target = targets[name]()
    rng = random.Random(random.randrange(2**32))
    seeds = target.seeds()
    outcomes = [target.run(seed) for seed in seeds]
    outcomes += [target.run(target.mutate(rng.choice(seeds), rng)) for _ in range(RUNS[name])]
    assert "read" in outcomes
    assert len(set(outcomes)) > 2


def read_all(path: Path, **options: Any) -> None:
    """Read documents, metadata and pixels."""
    source = read_source(path, ReadOptions(**options))
    source.load_metadata()
    for document in source.documents:
        read_box(document.blocks, (0,) * len(document.shape), document.shape)


def write(path: Path, **changes: Any) -> Path:
    """Write a dm4 whose image has something odd about it."""
    image = {"data": np.ones((4, 4), np.float32), "axes": (DMAxis(units="nm"),) * 2} | changes
    write_dm(path, DMImage(**image), thumbnail=False)
    return path


def test_tags_of_another_type_than_expected_are_no_error(tmp_path: Path) -> None:
    """Names that are arrays, sizes that are arrays: what the fuzzer found in the first minutes."""
    odd = np.arange(3, dtype=np.int32)
    tags = {
        "SI": {
            "Acquisition": {"Spatial Sampling": {"Height (pixels)": odd, "Width (pixels)": odd}}
        },
        "Meta Data": {"Format": odd, "Signal": odd, "Data Order Swapped": odd},
        "4D STEM Tags": {"Scan shape X": odd, "Scan shape Y": np.float64("nan")},
        "Microscope Info": {"Voltage": odd, "Indicated Magnification": "text"},
    }
    path = tmp_path / "odd.dm4"
    for data in (np.ones((4, 4), np.float32), np.ones((2, 2, 3, 3), np.uint8)):
        read_all(write(path, data=data, axes=(), tags=tags))


def test_a_message_names_the_byte_where_the_wrong_value_stands(tmp_path: Path) -> None:
    """Of the version, the byte order and the kind of the first entry; text is no DM file."""
    path = write(tmp_path / "x.dm4")
    content = path.read_bytes()
    for at, length in ((0, 4), (12, 4), (26, 1)):
        path.write_bytes(content[:at] + b"\x63" * length + content[at + length :])
        with pytest.raises(CorruptFileError, match=f"at byte {at},"):
            read_source(path)
    path.write_text("hello world", encoding="utf-8")
    with pytest.raises(CorruptFileError, match=r"'hell' instead of version 3 or 4.*at byte 0,"):
        read_source(path)


def test_a_packed_line_is_refused(tmp_path: Path) -> None:
    """Half of a line is no half of a plane: no `ValueError` when its values are read."""
    path = write(tmp_path / "line.dm4", data=np.ones(8, np.complex64), axes=(), code=27)
    try:
        read_all(path)
    except StemzarrError as error:
        assert str(path) in str(error)  # noqa: PT017 - to be read as it is would be right, too


def test_a_cut_file_without_calibration_is_described(tmp_path: Path) -> None:
    """What a truncated file is told by does not need what it has lost."""
    path = write(tmp_path / "cut.dm4", data=np.ones((40, 40), np.float32), axes=())
    content = path.read_bytes()
    for end in range(40, len(content), 97):
        path.write_bytes(content[:end].replace(b"Scale", b"Scalp"))
        with pytest.raises(CorruptFileError):
            read_all(path)
        with contextlib.suppress(CorruptFileError):
            read_all(path, salvage=True)


def test_a_bracket_that_stays_open_is_no_npy(tmp_path: Path) -> None:
    """Numpy's parser raised a `TokenError`."""
    path = tmp_path / "x.npy"
    np.save(path, np.ones((2, 3)))
    path.write_bytes(path.read_bytes().replace(b"(2, 3)", b"(2, 3 "))
    with pytest.raises(CorruptFileError):
        read_source(path)
