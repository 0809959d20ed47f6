"""Files and folders as they lie about on real disks: one that is odd never costs the others."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

import stemzarr
from stemzarr.errors import ReadError, StemzarrError, UnsupportedDataError
from stemzarr.registry import is_data
from stemzarr.storage.reasons import read_error, write_error
from stemzarr_catalog import open_lake
from stemzarr_cli.program import run

NOT_TEXT = os.fsdecode(b"K\xf6ln")
"""A name as a system of another encoding wrote it."""


def ingest(folder: Path, lake: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, Any, str]:
    """Ingest a folder by the command; return its status, the names that are there, its errors."""
    status = run(["ingest", str(folder), "--lake", str(lake), "--no-sync", "--json"])
    captured = capsys.readouterr()
    lines = [json.loads(line) for line in captured.out.splitlines()]
    return status, [line["name"] for line in lines if line["status"] == "ingested"], captured.err


@pytest.fixture
def folder(tmp_path: Path, tiny: Any) -> Path:
    """Return a folder with a file that is sound, the last one by its name."""
    path = tmp_path / "session"
    path.mkdir()
    tiny.write(path / "zz.dm4", seed=9)
    return path


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are text")
def test_a_name_that_is_no_text_is_refused_and_the_rest_is_done(
    folder: Path, tiny: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Of the file, or of a folder above it: no store could name its source."""
    odd = tiny.write(folder / f"{NOT_TEXT}.dm4")
    status, names, errors = ingest(folder, tmp_path / "lake", capsys)
    assert (status, names) == (1, ["zz"])
    assert "bytes that are not text" in errors
    assert "rename it" in errors
    for act in (stemzarr.info, stemzarr.open):
        with pytest.raises(UnsupportedDataError, match="not text"):
            act(odd)
    assert list(open_lake(tmp_path / "lake")) == ["zz"]


def test_odd_neighbours_cost_no_file(
    folder: Path, tmp_path: Path, tiny: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Empty files, text, links to nothing, to themselves and upwards, folders with a suffix."""
    (folder / "empty.dm4").touch()
    (folder / "text.dm4").write_text("text", encoding="utf-8")
    (folder / "loop.dm4").symlink_to("loop.dm4")
    (folder / "gone.dm4").symlink_to("nowhere.dm4")
    (folder / "up").symlink_to("..")
    (folder / "folder.dm4").mkdir()
    tiny.write(folder / "folder.dm4" / "inside.dm4", seed=8)
    status, names, errors = ingest(folder, tmp_path / "lake", capsys)
    assert (status, names) == (1, ["inside", "zz"])
    told = [name for name in ("empty", "text", "loop", "gone") if f"{name}.dm4" in errors]
    assert len(told) == len(errors.splitlines()) == 4, errors
    assert not is_data(folder / "folder.dm4")


def test_a_folder_that_may_not_be_read_is_told_of_and_the_rest_is_done(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A colleague's private folder amidst the others."""
    private = folder / "private"
    private.mkdir()
    iterdir = Path.iterdir

    def refuse(self: Path) -> Any:
        if self == private:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
        return iterdir(self)

    monkeypatch.setattr(Path, "iterdir", refuse)
    status, names, errors = ingest(folder, tmp_path / "lake", capsys)
    assert (status, names) == (1, ["zz"])
    assert "private" in errors


def test_a_fault_of_ours_with_one_file_is_told_and_the_rest_is_done(
    folder: Path,
    tmp_path: Path,
    tiny: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An exception that nobody thought of ends one file, not the night's work."""
    tiny.write(folder / "aa.dm4")
    import stemzarr_catalog.ingesting

    read = stemzarr_catalog.ingesting.read_source

    def stumble(path: Path, *rest: Any) -> Any:
        if path.name == "aa.dm4":
            msg = "never thought of"
            raise ZeroDivisionError(msg)
        return read(path, *rest)

    monkeypatch.setattr(stemzarr_catalog.ingesting, "read_source", stumble)
    status, names, errors = ingest(folder, tmp_path / "lake", capsys)
    assert (status, names) == (1, ["zz"])
    assert "never thought of" in errors
    assert "internal error" in errors


@pytest.mark.parametrize(
    "name", ["µ 日本 e\u0301 (1) [x]", "q\"uote's;$(rm)", "n" * 240, "日" * 78]
)
def test_names_of_every_kind_go_all_the_way(tmp_path: Path, tiny: Any, name: str) -> None:
    """Spaces, quotes, brackets, other scripts and great length: ingested, found, rebuilt."""
    source = tiny.write(tmp_path / f"{name}.dm4")
    lake = open_lake(tmp_path / "lake", create=True)
    entry = lake[lake.ingest(source, options=tiny.fast).name]
    assert entry.source["path"] == str(source)
    again = tmp_path / "again.dm4"
    stemzarr.export(entry.path, again)
    assert again.read_bytes() == source.read_bytes()
    assert stemzarr.verify(entry.path, source=source).ok


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="there is no other file system")  # noqa: S108 - made for tests
def test_stores_and_exports_go_to_another_file_system(
    tmp_path: Path, tiny: Any, tiny_dm4: Path
) -> None:
    """Nothing is renamed from one to another: temporary names stand beside their destination."""
    folder = Path("/dev/shm") / tmp_path.name  # noqa: S108
    folder.mkdir()
    try:
        store = tiny.ingest(tiny_dm4, folder / "x.zarr")
        stemzarr.export(tiny_dm4, folder / "x.dm4")
        assert stemzarr.verify(store, source=folder / "x.dm4").ok
        assert sorted(path.name for path in folder.iterdir()) == ["x.dm4", "x.zarr"]
    finally:
        shutil.rmtree(folder)


def test_a_folder_may_be_read_only_where_the_source_lies(tmp_path: Path, tiny: Any) -> None:
    """Nothing is written beside a source: neither a lock nor an index."""
    source = tiny.write(tmp_path / "in" / "x.dm4") if (tmp_path / "in").mkdir() is None else None
    source.chmod(0o400)
    source.parent.chmod(0o500)
    try:
        tiny.ingest(source, tmp_path / "x.zarr")
        stemzarr.export(source, tmp_path / "x.npy")
        assert [path.name for path in source.parent.iterdir()] == ["x.dm4"]
    finally:
        source.parent.chmod(0o700)


@pytest.mark.parametrize(
    ("number", "word"),
    [
        (errno.ENOSPC, "free space"),
        (errno.EROFS, "read-only"),
        (errno.ENAMETOOLONG, "shorter"),
        (errno.ENOTDIR, "a file is"),
        (errno.EISDIR, "name a file"),
        (errno.ELOOP, "link"),
        (errno.EMFILE, "ulimit"),
        (errno.EIO, "copy it elsewhere"),
        (errno.EACCES, "permissions"),
    ],
)
def test_what_the_system_says_comes_with_what_to_do(number: int, word: str) -> None:
    """Read or written, the advice fits the reason."""
    for make in (read_error, write_error):
        error: StemzarrError = make(Path("x"), OSError(number, os.strerror(number)))
        assert word in (error.hint or "")
        assert isinstance(error, ReadError) == (make is read_error)
