"""Two different files are two entries, whatever their format and wherever they differ."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from stemzarr.errors import StemzarrError
from stemzarr.options import IngestOptions
from stemzarr.registry import read_source
from stemzarr.testing.files import FILE_WRITERS, NEEDED_MODULES
from stemzarr_catalog import Lake, open_lake

OPTIONS = IngestOptions(threads=1, sync=False, preview=False)
TIME = (1.7e9, 1.7e9)
CHANGES = 4


def scan() -> np.ndarray:
    """Return a small scan of counts."""
    return np.random.default_rng(random.randrange(2**32)).integers(1, 9, (2, 2, 12, 12))


def files_of(folder: Path) -> list[Path]:
    """Return all files of an acquisition."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def content_of(folder: Path) -> list[tuple[str, bytes]]:
    """Return what tells two acquisitions apart."""
    return [(str(path.relative_to(folder)), path.read_bytes()) for path in files_of(folder)]


def flip(folder: Path) -> None:
    """Change one bit of an acquisition, anywhere; its size and times stay."""
    path = random.choice(files_of(folder))
    content = bytearray(path.read_bytes())
    content[random.randrange(len(content))] ^= 1 << random.randrange(8)
    path.write_bytes(content)


def acquisitions(tmp_path: Path, name: str) -> Iterator[Path]:
    """Yield files that are all different, of one name, in folders of their own.

    The first two are written from scans that differ in one value; the others are copies of the
    first, each with one bit changed.
    """
    write, values, first = FILE_WRITERS[name], scan(), ""
    for number in range(2 + CHANGES):
        folder = tmp_path / str(number)
        if number < 2:
            folder.mkdir()
            path = write(folder, values)
            values[0, 0, 0, 5] += 9
        else:
            shutil.copytree(tmp_path / "0", folder)
            flip(folder)
            path = folder / first
        first = first or path.name
        for one in files_of(folder):
            os.utime(one, TIME)
        yield path


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Return the name of a format whose files can be read here."""
    pytest.importorskip(NEEDED_MODULES.get(request.param, "numpy"))
    return str(request.param)


def ingest(lake: Lake, path: Path) -> str | None:
    """Return the name of the entry that a file has, none where it is refused."""
    try:
        return lake.ingest(path, options=OPTIONS, believe=lambda _old, _new: True).name
    except StemzarrError:
        return None


@pytest.mark.parametrize("name", FILE_WRITERS, indirect=True)
def test_two_different_files_are_never_one_entry(tmp_path: Path, name: str) -> None:
    """Equal in size, time and name, different in one bit, in any order: two entries or an error.

    Even where the question whether a file was moved is answered with yes.
    """
    lake = open_lake(tmp_path / "lake", create=True)
    paths = list(acquisitions(tmp_path, name))
    random.shuffle(paths)
    named: dict[str, list[tuple[str, bytes]]] = {}
    for path in paths:
        entry, content = ingest(lake, path), content_of(path.parent)
        if entry is not None:
            assert named.setdefault(entry, content) == content
    assert named
    assert sorted(lake) == sorted(named)


@pytest.mark.parametrize("name", FILE_WRITERS, indirect=True)
def test_equal_files_are_one_entry(tmp_path: Path, name: str) -> None:
    """A copy of an acquisition in another folder, of another time, has the entry of the first."""
    lake = open_lake(tmp_path / "lake", create=True)
    (tmp_path / "0").mkdir()
    path = FILE_WRITERS[name](tmp_path / "0", scan())
    shutil.copytree(tmp_path / "0", tmp_path / "1")
    for one in files_of(tmp_path / "1"):
        os.utime(one, TIME)
    assert ingest(lake, path) == ingest(lake, tmp_path / "1" / path.name)
    assert len(lake) == 1


@pytest.mark.parametrize("name", FILE_WRITERS, indirect=True)
def test_every_file_of_an_acquisition_is_known(tmp_path: Path, name: str) -> None:
    """The files that a source names are all that were written for it, so that none may change."""
    path = FILE_WRITERS[name](tmp_path, scan())
    if path.is_dir():
        return
    assert sorted(read_source(path).files) == files_of(tmp_path)
