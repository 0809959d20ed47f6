"""The walk "add a format": one file and one line in the table of readers, applied to a copy."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import stemzarr
import stemzarr_catalog
import stemzarr_cli

FORMAT = '''
"""Frames of a detector that writes its shape before its counts."""

from pathlib import Path

import numpy as np

from stemzarr.format_row import FormatRow
from stemzarr.storage.objects import Stamp
from stemzarr.formats.found import FileFacts, Found, build_source
from stemzarr.formats.labelling import FoundAxis
from stemzarr.pixels.raw import RawBlocks
from stemzarr.model import Source
from stemzarr.options import ReadOptions

FORMATS = (
    FormatRow(
        name="Walk detector",
        read="the frames",
        lazy="each box at its place in the file",
        complete="not known",
        unseen="frames that are missing",
    ),
)


def read_walk(path: Path, options: ReadOptions) -> Source:
    """Return the frames of a file."""
    stamp = Stamp.of(path)
    shape = tuple(np.fromfile(path, "<u4", 4, offset=8).tolist())
    base = RawBlocks(path=path, stamp=stamp, offset=24, disk_shape=shape, stored=np.dtype("<u2"))
    found = Found(title="", base=base, axes=tuple(FoundAxis(size=size) for size in shape))
    return build_source(path, FileFacts(format="walk"), [found], options)
'''
LINE = """
    Reader(
        name="walk",
        target="stemzarr.formats.walk:read_walk",
        magic=(b"WALKFILE",),
        suffixes=(".walk",),
        parts=((r"(.+)\\.walknote", (r"\\1.walk",)),),
        formats="stemzarr.formats.walk:FORMATS",
    ),
"""
WATCH = """
import sys
from pathlib import Path
from stemzarr_catalog import open_lake
from stemzarr_catalog.watch import Watcher

lake = open_lake(Path(sys.argv[1]), create=True)
now = [0.0]
watcher = Watcher(lake, [Path(sys.argv[2])], clock=lambda: now[0])
for _ in range(3):
    for event in watcher.step():
        print(Path(event.path).name, event.status)
    now[0] += 60
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a folder with the packages, in which the walk was gone."""
    folder = tmp_path / "copy"
    for package in (stemzarr, stemzarr_catalog, stemzarr_cli):
        source = Path(package.__path__[0])
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, folder / source.name, ignore=ignored)
    (folder / "stemzarr" / "formats" / "walk.py").write_text(FORMAT, encoding="utf-8")
    table = folder / "stemzarr" / "recognition.py"
    before, mark, after = table.read_text(encoding="utf-8").partition("] = (\n    Reader(\n")
    assert mark
    table.write_text(f"{before}] = ({LINE}    Reader(\n{after}", encoding="utf-8")
    return folder


def run(copy: Path, *arguments: str | Path) -> str:
    """Return what Python prints that knows the copy alone."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(copy)},
        cwd=copy,
        check=False,
        capture_output=True,
        text=True,
    )
    assert not done.returncode, done.stdout + done.stderr
    return done.stdout


def test_a_format_is_one_file_and_one_line(copy: Path, tmp_path: Path) -> None:
    """Commands, folders, the watched ones too, and the page of formats know it."""
    data = tmp_path / "data"
    data.mkdir()
    counts = np.arange(3 * 4 * 8 * 8, dtype="<u2").reshape(3, 4, 8, 8)
    header = b"WALKFILE" + np.array(counts.shape, "<u4").tobytes()
    (data / "scan.walk").write_bytes(header + counts.tobytes())
    (data / "other.name").write_bytes(header + counts.tobytes()[::-1])
    (data / "scan.walknote").write_text("beside it")
    assert "4d-stem" in run(copy, "-m", "stemzarr_cli", "info", data / "scan.walk")
    lake = tmp_path / "lake"
    run(copy, "-m", "stemzarr_cli", "ingest", data, "--lake", lake)
    listed = run(copy, "-m", "stemzarr_cli", "ls", "--lake", lake)
    assert "scan" in listed
    assert "other" in listed
    assert "walknote" not in listed
    watched = run(copy, "-c", WATCH, tmp_path / "second", data)
    assert "scan.walk ingested" in watched
    assert "other.name ingested" in watched
    assert "walknote" not in watched
    table = run(copy, "-m", "stemzarr.testing.formats_table", _page(tmp_path))
    assert not table
    assert "| Walk detector | `.walk` | the frames |" in _page(tmp_path).read_text("utf-8")


def _page(folder: Path) -> Path:
    """Return a copy of the page of formats, made where there is none."""
    page = folder / "formats.md"
    if not page.exists():
        shutil.copy(Path(__file__).parents[2] / "docs" / "formats.md", page)
    return page
