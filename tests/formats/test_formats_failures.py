"""Files that are not what they seem give errors of ours that say what to do."""

from __future__ import annotations

import tracemalloc
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest

from stemzarr.errors import (
    CorruptFileError,
    OptionError,
    SourceNotFoundError,
    StemzarrError,
    UnknownFormatError,
)
from stemzarr.formats.rosettasciio.library import known_suffixes
from stemzarr.options import ReadOptions
from stemzarr.registry import read_source


@pytest.mark.parametrize("suffix", [".hspy", ".h5", ".dm4", ".dm3", ".emd", ".npy", ".mib", ".blo"])
@pytest.mark.parametrize("content", [b"", b"just text\n" * 9, bytes(5000)])
def test_wrong_bytes_under_a_known_suffix(tmp_path: Path, suffix: str, content: bytes) -> None:
    """A file that is not what its suffix says is corrupt, in one line with its name."""
    path = tmp_path / f"file{suffix}"
    path.write_bytes(content)
    with pytest.raises(CorruptFileError) as caught:
        read_source(path)
    assert caught.value.path == str(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".blo", ".mrc", ".tvips", ".mib", ".npy", ".raw"])
def test_a_header_of_nonsense_costs_no_memory(tmp_path: Path, suffix: str) -> None:
    """Sizes that a header invents are compared with the file before anything is made of them."""
    path = tmp_path / f"file{suffix}"
    path.write_bytes(b"just text\n" * 200)
    with pytest.raises(StemzarrError):  # imports what it needs, which is not measured
        read_source(path)
    tracemalloc.start()
    try:
        with pytest.raises(StemzarrError):
            read_source(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 25


def suffixes() -> list[str]:
    """Return every suffix that RosettaSciIO reads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return known_suffixes()


@pytest.mark.parametrize("suffix", suffixes())
def test_garbage_under_any_suffix(tmp_path: Path, suffix: str) -> None:
    """Whatever a foreign reader makes of garbage, only an error of ours comes out."""
    path = tmp_path / f"file{suffix}"
    path.write_bytes(np.random.default_rng(0).bytes(3000))
    with pytest.raises(StemzarrError):
        read_source(path)


@pytest.mark.parametrize("name", ["notes.txt", "nosuffix", "data.xyz"])
def test_unknown_suffix(tmp_path: Path, name: str) -> None:
    """A file that nobody knows is answered with what is known."""
    path = tmp_path / name
    path.write_bytes(b"what is this")
    with pytest.raises(UnknownFormatError, match=r"\.dm4 .*\.mib"):
        read_source(path)


def test_folder_and_nothing(tmp_path: Path) -> None:
    """A folder is not a file, and a wrong path names nothing."""
    with pytest.raises(UnknownFormatError, match="folder"):
        read_source(tmp_path)
    with pytest.raises(SourceNotFoundError):
        read_source(tmp_path / "missing.hspy")


def test_programs_in_files_are_not_run(tmp_path: Path) -> None:
    """The old netCDF reader, which evaluates text of the file, is not offered."""
    path = tmp_path / "old.nc"
    path.write_bytes(b"CDF\x01" + bytes(100))
    with pytest.raises(UnknownFormatError):
        read_source(path)


def test_a_data_set_of_a_format_without_paths(tmp_path: Path) -> None:
    """An option that cannot act is refused."""
    path = tmp_path / "scan.npy"
    np.save(path, np.zeros((2, 2)))
    with pytest.raises(OptionError, match="no data set"):
        read_source(path, ReadOptions(dataset="a"))


def test_messages_cannot_steer_a_terminal(tmp_path: Path) -> None:
    """Names that a file chooses appear in a message on one line, their control bytes spelled."""
    path = tmp_path / "names.h5"
    with h5py.File(path, "w") as file:
        file["evil\x1b[31m\nname"] = np.zeros((2, 2, 2, 2))
    with pytest.raises(StemzarrError) as caught:
        read_source(path, ReadOptions(dataset="missing"))
    assert str(caught.value).isprintable()
    assert r"\x1b[31m" in str(caught.value)
