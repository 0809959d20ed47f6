"""A lake that was moved to a place where nothing can be written works through every door."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import intake
import numpy as np
import pytest

from stemzarr.errors import WriteError
from stemzarr.storage.files import forget_open_files
from stemzarr_catalog import Lake, open_lake
from stemzarr_cli.program import run

NOBODY = 65534
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="modes of POSIX")


@contextlib.contextmanager
def write_protected(folder: Path) -> Iterator[None]:
    """Take all rights to write away; from root, too, whom modes do not bind."""
    paths = [folder, *folder.rglob("*")]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        for path in paths:
            path.chmod(0o755 if path.is_dir() else 0o644)


def through_python(lake: Path) -> None:
    """Open, search, count, read values; changes are refused."""
    opened = open_lake(lake)
    assert opened.search("tag=good SrTiO3").names == ["scan"]
    assert opened.facets("kind") == {"4d-stem": 2, "image": 1}
    assert opened["scan"].path == lake / "stores" / "scan.zarr"
    values = opened["scan"].open()["intensity"].to_numpy()
    np.testing.assert_array_equal(values.ravel(), np.arange(values.size))
    with pytest.raises(WriteError, match="reading only"):
        opened.tag("scan", "x")


def through_the_shell(lake: Path) -> None:
    """List and show; a tag is refused with a message and a status."""
    here = ("--lake", str(lake))
    assert run(["ls", "SrTiO3", "--json", *here]) == 0
    assert run(["show", "scan", "--json", *here]) == 0
    assert run(["ls", "--sessions", *here]) == 0
    assert run(["tag", "scan", "-a", "x", *here]) == 1


def through_intake(lake: Path) -> None:
    """Open by the YAML and by the lazy catalog, at the new place."""
    catalog = intake.open_catalog(str(lake / "catalog.yaml"))
    assert catalog["scan"].to_dask()["intensity"].shape == (2, 3, 4, 5)
    assert list(catalog["lake"].search("kind=image")) == ["overview"]
    assert intake.open_stemzarr_lake(str(lake))["scan"].read()["intensity"].shape == (2, 3, 4, 5)


@pytest.fixture
def moved(lake: Lake) -> Iterator[Path]:
    """Return a lake at a new place that everyone may read."""
    lake.tag("scan", "good")
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    target = folder / "moved lake"
    shutil.move(lake.path, target)
    yield target
    forget_open_files()
    shutil.rmtree(folder)


@pytest.mark.leaves_open
@pytest.mark.parametrize("use", [through_python, through_the_shell, through_intake])
def test_a_moved_lake_that_cannot_be_written_is_read(
    lake: Lake, moved: Path, use: Callable[[Path], None], tmp_path: Path
) -> None:
    """Through Python, the shell and intake; no file of it changes or comes."""
    assert not lake.path.exists()
    # What is imported late is imported here: nobody may not read the modules of root.
    warm = tmp_path / "warm"
    shutil.copytree(moved, warm)
    with contextlib.suppress(AssertionError, pytest.fail.Exception):
        use(warm)
    before = {path: path.read_bytes() for path in moved.rglob("*") if path.is_file()}
    with write_protected(moved):
        use(moved)
        assert open_lake(moved).read_only
    assert {path: path.read_bytes() for path in moved.rglob("*") if path.is_file()} == before


@pytest.mark.leaves_open
def test_what_came_since_is_found_though_the_index_cannot_be_written(
    moved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A lost or older index is rebuilt in memory."""
    open_lake(moved, read_only=True).search("x")
    for damage in (lambda path: path.unlink(), _make_old):
        damage(moved / "catalog.sqlite")
        with write_protected(moved):
            assert run(["ls", "--json", "--lake", str(moved)]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert [json.loads(line)["name"] for line in lines] == ["overview", "scan", "map"]
        open_lake(moved)


def _make_old(index: Path) -> None:
    connection = sqlite3.connect(index)
    connection.execute("PRAGMA user_version = 1")
    connection.close()
