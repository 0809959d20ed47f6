"""The table of docs/formats.md: as the readers say it, for every format, and proved by files."""

from __future__ import annotations

import dataclasses
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rsciio

from stemzarr.format_row import FormatRow
from stemzarr.formats.hdf5 import reader as hdf5
from stemzarr.formats.rosettasciio import library
from stemzarr.formats.rosettasciio.library import LibraryBlocks
from stemzarr.formats.rosettasciio.rows import PLUGIN_ROWS
from stemzarr.model import Source
from stemzarr.registry import READERS, read_source
from stemzarr.testing.files import FILE_WRITERS, NEEDED_MODULES
from stemzarr.testing.formats_table import COMMAND, format_rows, format_table
from stemzarr.testing.pages import rewrite_page

PAGE = Path(__file__).parents[2] / "docs" / "formats.md"
ROWS = format_rows()
WRITTEN = [(row, name) for row in ROWS for name in row.writers]
SAMPLES = [(row, name) for row in ROWS for name in row.samples]
NEEDED = {".blo": "skimage", ".tif": "tifffile", ".png": "PIL"}
MIXED = "read whole"
LARGE, SMALL = (16, 16, 128, 128), (2, 2, 16, 16)
FEW = {"k2is": (1, 2, 128, 128)}
"""What is large already in formats whose patterns are."""


def test_the_page_is_what_the_readers_say() -> None:
    """The table of the page is the one that is made of the readers' rows."""
    page = PAGE.read_text(encoding="utf-8")
    made = rewrite_page(page, COMMAND, format_table())
    assert made == page, f"python -m {COMMAND} docs/formats.md"


def test_every_row_says_all() -> None:
    """No cell of any row is empty, and none breaks the table."""
    for row in ROWS:
        cells = [row.name, *row.formats, row.read, row.lazy, row.complete, row.unseen]
        assert all(cells)
    for line in format_table().splitlines():
        assert line.count(" | ") == 6


def test_every_reader_has_a_row() -> None:
    """A reader cannot be added without a row, nor take a suffix that no row of it names."""
    for reader in READERS:
        assert reader.rows(), reader.name
        named = {suffix for row in reader.rows() for suffix in row.suffixes}
        assert {*reader.suffixes, *reader.named} <= named, reader.name


def test_every_plugin_has_a_row() -> None:
    """Each plugin of the installed RosettaSciIO that may be asked has a row with its suffixes."""
    known = {one["name"]: {e.lower() for e in one["file_extensions"]} for one in rsciio.IO_PLUGINS}
    for name, suffixes in known.items():
        if name in library._OURS | library._UNSAFE or suffixes <= {"h5", "hdf5"}:
            assert name not in PLUGIN_ROWS
        else:
            assert {f".{suffix}" for suffix in suffixes} <= set(PLUGIN_ROWS[name].suffixes), name
    assert set(PLUGIN_ROWS) <= set(known)


def test_every_arrangement_of_hdf5_has_a_row() -> None:
    """Each kind of HDF5 file that is known by its content has a row."""
    named = {name for row in ROWS for name in row.formats}
    known = (*hdf5._PROGRAMS, *hdf5._ARRANGEMENTS, hdf5._ARINA, hdf5._PLAIN)
    assert {row.name for row in known} <= named


def test_every_writer_proves_a_row() -> None:
    """Each format that a test can write is proved by what is written, once."""
    assert sorted(name for _, name in WRITTEN) == sorted(FILE_WRITERS)


def library_blocks(value: Any) -> Iterator[LibraryBlocks]:
    """Yield what of a document's blocks RosettaSciIO reads."""
    if isinstance(value, LibraryBlocks):
        yield value
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from library_blocks(getattr(value, field.name))


def open_measured(path: Path) -> tuple[Source, int]:
    """Return a source, and how many bytes Python and NumPy held at most while it was opened."""
    tracemalloc.start()
    try:
        source = read_source(path)
        return source, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def check_row(row: FormatRow, source: Source) -> None:
    """Require that a source is of the row, and that RosettaSciIO is asked as the row says."""
    assert source.format in row.formats
    if MIXED in row.lazy and not row.whole:
        return
    for document in source.documents:
        assert all(blocks.whole == row.whole for blocks in library_blocks(document.blocks))


@pytest.mark.parametrize(("row", "name"), WRITTEN, ids=[name for _, name in WRITTEN])
def test_what_is_written_proves_its_row(tmp_path: Path, row: FormatRow, name: str) -> None:
    """4 MiB of values or more are opened in less than 2, unless the row says: read whole."""
    pytest.importorskip(NEEDED_MODULES.get(name, "numpy"))
    paths = []
    for shape in (SMALL, FEW.get(name, LARGE)):
        folder = tmp_path / str(shape[0])
        folder.mkdir()
        paths.append(FILE_WRITERS[name](folder, np.zeros(shape, "u1")))
    read_source(paths[0])  # imports what would be measured with the second
    source, peak = open_measured(paths[1])
    check_row(row, source)
    assert row.whole or peak < 2 * 1024**2


@pytest.mark.parametrize(("row", "name"), SAMPLES, ids=[name for _, name in SAMPLES])
def test_a_sample_proves_its_row(samples: Path, tmp_path: Path, row: FormatRow, name: str) -> None:
    """A file of an instrument is read by the reader of its row, as lazily as the row says."""
    path = samples / name
    pytest.importorskip(NEEDED.get(path.suffix, "numpy"))
    paths = [path]
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            archive.extractall(tmp_path)
        paths = sorted(tmp_path.rglob("*.mib"))
    assert paths
    for one in paths:
        read_source(one)
        source, peak = open_measured(one)
        check_row(row, source)
        assert row.whole or peak < 8 * 1024**2
