"""Whatever is wrong with a file, a name or a destination: one line, a way out, nothing left."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from stemzarr.model import Source
from stemzarr.testing import write_synthetic_dm4
from stemzarr_catalog import open_lake
from stemzarr_cli.program import run


def truncated(folder: Path) -> Path:
    """Return a dm4 that ends inside its pixels."""
    path = intact(folder)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def intact(folder: Path) -> Path:
    """Return a dm4 that is whole."""
    path = folder / "bad.dm4"
    write_synthetic_dm4(path, (4, 5), (16, 16))
    return path


def empty(folder: Path) -> Path:
    """Return a file without bytes."""
    path = folder / "bad.dm4"
    path.touch()
    return path


def another_type(folder: Path) -> Path:
    """Return a text file that calls itself a dm4."""
    path = folder / "bad.dm4"
    path.write_text("these are no pixels\n" * 100, encoding="utf-8")
    return path


def directory(folder: Path) -> Path:
    """Return a folder that calls itself a dm4."""
    path = folder / "bad.dm4"
    path.mkdir()
    return path


def missing(folder: Path) -> Path:
    """Return a path where nothing is."""
    return folder / "bad.dm4"


def unreadable(folder: Path) -> Path:
    """Return a file that the system refuses to read."""
    if hasattr(os, "geteuid") and os.geteuid() != 0:
        path = intact(folder)
        path.chmod(0)
        return path
    memory = Path("/proc/self/mem")
    if not memory.exists():
        pytest.skip("this system lets this user read everything")
    return memory


def beyond_its_end(folder: Path) -> Path:
    """Return a dm4 whose first array declares more values than the file has bytes."""
    path = intact(folder)
    data = bytearray(path.read_bytes())
    at = data.index(b"%%%%", data.index(b"\x04Data")) + 4
    count = struct.unpack_from(">Q", data, at)[0]
    struct.pack_into(">Q", data, at + 8 * count, 2**60)
    path.write_bytes(data)
    return path


WRONG = (truncated, empty, another_type, directory, missing, unreadable, beyond_its_end)


def one_line(capsys: pytest.CaptureFixture[str], *parts: str) -> None:
    """Check that stderr holds one line with all the parts, and that nothing else was said."""
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1, captured.err
    assert all(part in captured.err for part in parts), captured.err


@pytest.mark.parametrize("command", ["info", "ingest", "export"])
@pytest.mark.parametrize("make", WRONG)
def test_a_wrong_file_is_one_line(
    command: str,
    make: Callable[[Path], Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The file is named, a way out is given in brackets, and no half-made thing stays."""
    (tmp_path / "source").mkdir()
    path = make(tmp_path / "source")
    monkeypatch.chdir(tmp_path)
    words = {"info": [], "ingest": ["--lake", "lake"], "export": ["out.hspy"]}[command]
    assert run([command, str(path), *words]) == 1
    one_line(capsys, path.name, "(", ")")
    left = {file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*")}
    assert not {name for name in left if ".zarr" in name or ".partial" in name or "out" in name}


def test_one_failure_does_not_stop_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of several files the good ones are done, and the status says that one was not."""
    (tmp_path / "bad").mkdir()
    (tmp_path / "good").mkdir()
    bad, good = truncated(tmp_path / "bad"), intact(tmp_path / "good")
    assert run(["ingest", str(bad), str(good), "--lake", str(tmp_path / "lake"), "--json"]) == 1
    captured = capsys.readouterr()
    assert len(captured.err.splitlines()) == 1
    assert '"failed"' in captured.out.splitlines()[0]
    assert '"ingested"' in captured.out.splitlines()[1]


def test_an_empty_folder_does_not_stop_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder without data is named, files beside it are ingested, and alone it makes no lake."""
    (tmp_path / "nothing").mkdir()
    (tmp_path / "nothing" / "picture.png").write_bytes(b"")
    words = [str(tmp_path / "nothing"), "--lake", str(tmp_path / "lake")]
    assert run(["ingest", *words]) == 1
    one_line(capsys, "nothing", "name the files")
    assert not (tmp_path / "lake").exists()
    assert run(["ingest", str(intact(tmp_path)), *words, "--quiet"]) == 1
    one_line(capsys, "nothing")
    assert (tmp_path / "lake" / "stores" / "bad.zarr").is_dir()


@pytest.mark.parametrize(
    "words", [["show", "nmae"], ["export", "nmae", "out.hspy"], ["info", "nmae"]]
)
def test_an_unknown_name_is_told_its_neighbours(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name that the lake has not is named, and so is the nearest that it has."""
    lake = tmp_path / "lake"
    source = intact(tmp_path)
    assert run(["ingest", str(source), "--name", "name", "--lake", str(lake), "--quiet"]) == 0
    assert run([*words, "--lake", str(lake)]) == 1
    one_line(capsys, "nmae", "did you mean name")


@pytest.mark.parametrize("words", [["ls"], ["show", "scan"], ["export", "scan", "out.hspy"]])
def test_reading_never_makes_a_lake(
    words: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without a lake, commands that read one say how to make it, and make none."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STEMZARR_LAKE", raising=False)
    assert run(words) == 1
    one_line(capsys, "stemzarr-lake", "stemzarr ingest")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_replaced_unasked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A destination that exists stays as it is, until ``--overwrite``."""
    source, dest = intact(tmp_path), tmp_path / "out.hspy"
    dest.write_bytes(b"mine")
    assert run(["export", str(source), str(dest)]) == 1
    one_line(capsys, "out.hspy", "--overwrite")
    assert dest.read_bytes() == b"mine"
    assert run(["export", str(source), str(dest), "--overwrite", "--quiet"]) == 0
    assert dest.read_bytes()[1:4] == b"HDF"


def test_a_name_that_another_source_has_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """``--name`` is an error when another source has it, and its store stays."""
    lake = tmp_path / "lake"
    other = tmp_path / "other.dm4"
    write_synthetic_dm4(other, (3, 3), (8, 8), seed=5)
    assert run(["ingest", str(intact(tmp_path)), "--name", "a", "--lake", str(lake), "-q"]) == 0
    assert run(["ingest", str(other), "--name", "a", "--lake", str(lake)]) == 1
    one_line(capsys, "--overwrite")


@pytest.mark.parametrize(
    ("dest", "said"), [("out.nonsense", "known formats: hspy"), ("no/folder/out.hspy", "folder")]
)
def test_a_wrong_destination_is_one_line(
    dest: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unknown suffix is told the known ones; a folder that is not there is named."""
    assert run(["export", str(intact(tmp_path)), str(tmp_path / dest)]) == 1
    one_line(capsys, Path(dest).name.split(".")[0] if "/" not in dest else "folder", said)


@pytest.mark.parametrize(
    ("query", "said"), [("beam_enrgy_keV>200", "beam_energy_keV"), ("kind=", "kind")]
)
def test_a_wrong_query_is_usage(
    query: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A query that cannot be understood says which word is wrong, with status 2."""
    lake = tmp_path / "lake"
    assert run(["ingest", str(intact(tmp_path)), "--lake", str(lake), "--quiet"]) == 0
    assert run(["ls", query, "--lake", str(lake)]) == 2
    one_line(capsys, said)


def test_a_misspelt_file_makes_no_lake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where no file is there, each is named and nothing is made."""
    lake = tmp_path / "lake"
    assert run(["ingest", str(tmp_path / "nofile.dm4"), "--lake", str(lake)]) == 1
    one_line(capsys, "nofile.dm4", "no such file")
    assert not lake.exists()


def test_a_lake_that_stays_empty_is_not_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An ingest or a watch that brings nothing makes no lake, and no folder."""
    monkeypatch.chdir(tmp_path)
    bad = another_type(tmp_path)
    for words in (["ingest", "bad.dm4"], ["watch", "nowhere"], ["ingest", "bad.dm4", "nofile.dm4"]):
        assert run(words) == 1
        assert list(tmp_path.iterdir()) == [bad]
    (tmp_path / "mine").mkdir()
    assert run(["ingest", "bad.dm4", "--lake", "mine"]) == 1
    assert list((tmp_path / "mine").iterdir()) == []
    (tmp_path / "mine" / "plan.txt").touch()
    assert run(["ingest", "bad.dm4", "--lake", "mine"]) == 1
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["plan.txt"]
    capsys.readouterr()


def test_a_lake_that_was_there_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An empty one too, which somebody made."""
    monkeypatch.chdir(tmp_path)
    another_type(tmp_path)
    lake = open_lake(tmp_path / "stemzarr-lake", create=True)
    assert run(["ingest", "bad.dm4"]) == 1
    assert lake.yaml.is_file()
    capsys.readouterr()


def test_an_interrupted_ingest_keeps_its_lake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was begun is resumed in it."""
    monkeypatch.chdir(tmp_path)
    intact(tmp_path)

    def interrupt(_: Source, dest: Path, *__: object) -> None:
        (dest.parent / f".{dest.name}.ingest").mkdir()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("stemzarr.store.write_store", interrupt)
        assert run(["ingest", "bad.dm4"]) == 130
    assert (tmp_path / "stemzarr-lake" / "stores" / ".bad.zarr.ingest").is_dir()
    assert run(["ingest", "bad.dm4"]) == 0
    capsys.readouterr()
