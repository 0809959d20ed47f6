"""Whatever the terminal, the streams and the limits are: an answer, or one line that says why."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stemzarr.errors import StoreExistsError
from stemzarr.storage import reasons
from stemzarr.storage.files import check_destination, publish
from stemzarr.testing import write_synthetic_dm4
from stemzarr_cli.program import run
from stemzarr_cli.report import Report, explain

POSIX = pytest.mark.skipif(os.name == "nt", reason="a shell of its own")
RUN = [sys.executable, "-m", "stemzarr_cli"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a scan and a lake that holds it, where the command is run."""
    write_synthetic_dm4(tmp_path / "scan.dm4", (3, 4), (8, 8))
    monkeypatch.chdir(tmp_path)
    assert run(["ingest", "scan.dm4", "--lake", "lake", "-q"]) == 0
    return tmp_path


def shell(line: str, folder: Path) -> tuple[int, str, str]:
    """Run a line of sh where $S is the command; return its status and what it said."""
    quoted = " ".join(f"'{word}'" for word in RUN)
    done = subprocess.run(
        ["sh", "-c", line.replace("$S", quoted)],  # noqa: S607 - the shell of the system
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("columns", ["0", "1", "19", "-5", "", "many", "00", "²"])
@pytest.mark.parametrize("command", ["ls", "show scan"])
def test_no_width_hides_the_answer(
    columns: str,
    command: str,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """COLUMNS that no table fits into does not count; one that it fits into does."""
    monkeypatch.setenv("COLUMNS", columns)
    capsys.readouterr()
    assert run([*command.split(), "--lake", "lake"]) == 0
    assert "3×4×8×8" in capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", "40")
    assert Report("x").console.width == 40
    assert place.is_dir()


@pytest.mark.parametrize("encoding", ["cp1252", "cp437", "ascii"])
def test_a_terminal_of_few_characters_shows_the_rest(
    encoding: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A console of Windows has no box lines and no micro sign: every answer is there without."""
    for words in (["ls"], ["show", "scan"], ["info", "scan.dm4"]):
        written = io.BytesIO()
        with io.TextIOWrapper(written, encoding=encoding) as stream:
            monkeypatch.setattr(sys, "stdout", stream)
            assert run([*words, *([] if words[0] == "info" else ["--lake", "lake"])]) == 0
            stream.flush()
            text = written.getvalue().decode(encoding)
        assert "scan" in text
        assert "300 keV" in text or words == ["ls"]
    assert place.is_dir()


@POSIX
@pytest.mark.parametrize(
    ("line", "status", "words"),
    [
        ("$S catalog remove scan --lake lake <&-", 2, "--yes"),
        ("$S redact scan --lake lake <&-", 1, "--yes"),
        ("$S ls --lake lake <&-", 0, ""),
        ("$S ls --lake lake >&-", 0, ""),
        ("$S --help >&-", 0, ""),
        ("$S ls --lake lake <&- >&- 2>&-", 0, ""),
        ("$S ls --lake nowhere 2>&-", 1, ""),
        ("$S --help | head -n 1 >/dev/null", 0, ""),
    ],
)
def test_a_closed_stream_costs_no_traceback(
    line: str, status: int, words: str, place: Path
) -> None:
    """The status is that of the command, and what is said fits on one line."""
    got, _, wrong = shell(line, place)
    assert got in ({1, 2} if words else {status}), wrong
    assert words in wrong
    assert len(wrong.splitlines()) == bool(words), wrong


@POSIX
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    "words",
    ["--help", "--version", "ls --help", "ls --lake lake", "ls --json --lake lake", "show scan"],
)
def test_results_that_a_full_disk_refuses_are_an_error(words: str, place: Path) -> None:
    """Whatever prints: one line, what to do, and a status that is not 0."""
    lake = "" if "lake" in words or "show" not in words else " --lake lake"
    status, _, wrong = shell(f"$S {words}{lake} >/dev/full", place)
    assert status == 1
    assert len(wrong.splitlines()) == 1
    assert "No space left on device (free space there" in wrong


@POSIX
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_messages_that_a_full_disk_refuses_cost_no_work(place: Path) -> None:
    """The rest is done, and the status is the one that it would be."""
    write_synthetic_dm4(place / "other.dm4", (3, 5), (8, 8))
    status, said, _ = shell("$S ingest none.dm4 other.dm4 --lake lake 2>/dev/full", place)
    assert status == 1
    assert "other" in said
    assert shell("$S nonsense 2>/dev/full", place)[0] == 2


@POSIX
def test_a_closed_stderr_gets_no_file(place: Path) -> None:
    """What a library prints must not go into the file that got its number."""
    script = (
        "import os, sys; from stemzarr_cli.program import run; run(['--version']); "
        "file = open('made', 'wb'); os.write(1, b'x'); os.write(2, b'x'); file.close()"
    )
    line = f"'{sys.executable}' -c \"{script}\" <&- >&- 2>&-"
    assert shell(line, place)[0] == 0
    assert (place / "made").read_bytes() == b""


@POSIX
@pytest.mark.skipif(sys.platform != "linux", reason="limits on address space")
@pytest.mark.parametrize("kib", [20_000, 40_000, 60_000])
@pytest.mark.parametrize("words", ["info scan.dm4", "ingest scan.dm4", "export scan.dm4 o.hspy"])
def test_too_little_memory_is_said(kib: int, words: str, place: Path) -> None:
    """Where the system gives none, even to load a library: no traceback."""
    status, _, wrong = shell(f"ulimit -v {kib}; $S {words} --lake lake", place)
    if "OpenBLAS" in wrong or "Fatal Python error" in wrong or "cannot allocate" in wrong.lower():
        pytest.skip("the interpreter or a library gave up by itself")
    assert status in (1, 2, 127)
    assert "Traceback" not in wrong
    assert "please report" not in wrong
    assert "memory" in wrong


@POSIX
def test_a_folder_that_is_gone_is_said(place: Path) -> None:
    """The present folder was removed meanwhile, as by another window."""
    line = "mkdir gone; cd gone; rmdir ../gone; $S ls"
    status, _, wrong = shell(line, place)
    assert status == 1
    assert "the folder that you are in was removed" in wrong


@pytest.mark.parametrize(
    "words",
    [
        "info -",
        "ingest - --lake lake",
        "export scan.dm4 -",
        "export scan.dm4 - --format npy --overwrite",
        "export --query scan --to - --format npy --lake lake",
        "gallery - --lake lake",
        "catalog export - --lake lake",
        "ls --lake -",
        "info ~nobody-of-this-name/scan.dm4",
        "export scan.dm4 ~nobody-of-this-name/x.npy",
    ],
)
def test_a_dash_is_no_file(words: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither is a home that is not there: one line, and no file of that name."""
    before = sorted(place.iterdir())
    capsys.readouterr()
    assert run(words.split()) in (1, 2)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1
    assert "unexpected" not in captured.err
    assert sorted(place.iterdir()) == before


NAMES = ("ENOSPC", "EMFILE", "ENOMEM", "EROFS", "EDQUOT", "ENAMETOOLONG", "ESTALE", "ETIMEDOUT")


@pytest.mark.parametrize("name", [*NAMES, "EFBIG", "ENFILE", "EBUSY", "EHOSTDOWN", "EAGAIN"])
def test_the_hint_fits_what_the_system_said(name: str) -> None:
    """Each number has its own advice, whoever raised it; permissions are not blamed for all."""
    if not hasattr(errno, name):
        pytest.skip("not a number of this system")
    error = OSError(getattr(errno, name), "what the system says", "file")
    hint = reasons.advice(error)
    assert hint is not None
    for said in (reasons.read_error, reasons.write_error):
        assert said(Path("file"), error).hint == hint
    assert "memory" in explain(error) if name == "ENOMEM" else hint in explain(error)
    assert "permission" not in hint


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("can't start new thread"),
        SystemError("error return without exception set"),
        ImportError("lib.so: failed to map segment from shared object"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
)
def test_memory_that_is_missing_is_no_fault_of_ours(error: Exception) -> None:
    """Also where another error came of it."""
    wrapped = ValueError("something")
    wrapped.__cause__ = error
    for each in (error, wrapped):
        assert explain(each).startswith("not enough memory")
    assert not reasons.is_about_memory(RuntimeError("another"))


@pytest.fixture
def odd(tmp_path: Path) -> Iterator[list[Path]]:
    """Give what is neither a file nor a folder."""
    if os.name == "nt":
        pytest.skip("Windows has other devices")
    import socket

    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to("/dev/null")
    with socket.socket(socket.AF_UNIX) as listening:
        folder = os.open(tmp_path, os.O_RDONLY)
        here = Path.cwd()
        os.fchdir(folder)  # the path of a socket is short
        listening.bind("socket")
        os.chdir(here)
        os.close(folder)
        yield [pipe, link, tmp_path / "socket", Path("/dev/null")]


def test_no_device_is_replaced(
    odd: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A pipe, a socket, a device, a link to one: by no command, nor below them all."""
    scan, lake = tmp_path / "scan.dm4", tmp_path / "lake"
    write_synthetic_dm4(scan, (3, 4), (8, 8))
    assert run(["ingest", str(scan), "--lake", str(lake), "-q"]) == 0
    for path in odd:
        before = path.lstat()
        for words in (
            ["export", str(scan), str(path), "--format", "npy", "--overwrite"],
            ["export", str(scan), str(path), "--format", "zarr", "--overwrite"],
            ["export", str(scan), str(path), "--format", "npy"],
            ["gallery", str(path), "--lake", str(lake), "--overwrite"],
            ["catalog", "export", str(path), "--lake", str(lake), "--overwrite"],
        ):
            capsys.readouterr()
            assert run(words) == 1
            assert "never replaced" in capsys.readouterr().err
        with pytest.raises(StoreExistsError, match="not a file"), publish(path) as temporary:
            temporary.touch()
        now = path.lstat()
        assert (now.st_ino, now.st_mode) == (before.st_ino, before.st_mode)


def test_what_a_link_leads_to_is_replaced(tmp_path: Path) -> None:
    """The link stays, be it to a file, to a store, or to nothing yet."""
    scan, far = tmp_path / "scan.dm4", tmp_path / "far"
    far.mkdir()
    write_synthetic_dm4(scan, (3, 4), (8, 8))
    for name, suffix in (("a", "npy"), ("b", "zarr"), ("c", "npy")):
        link, end = tmp_path / f"{name}.{suffix}", far / f"end-{name}.{suffix}"
        try:
            link.symlink_to(end)
        except OSError:
            pytest.skip("no right to make links here")
        for _ in range(2):
            assert run(["export", str(scan), str(link), "--overwrite"]) == 0
            assert link.is_symlink()
            assert end.exists()
            assert run(["info", str(link)]) == 0
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".")]
    lost = tmp_path / "lost.npy"
    lost.symlink_to(tmp_path / "no folder" / "x.npy")
    with pytest.raises(FileNotFoundError, match="no folder"):
        check_destination(lost, overwrite=True)


def test_a_store_behind_a_link_is_ingested_again_in_its_place(tmp_path: Path) -> None:
    """A lake whose stores lie on another disk keeps its links, and its locks are the same."""
    from stemzarr.store.ingest.journal import store_lock

    scan, lake, far = tmp_path / "scan.dm4", tmp_path / "lake", tmp_path / "far"
    write_synthetic_dm4(scan, (3, 4), (8, 8))
    assert run(["ingest", str(scan), "--lake", str(lake)]) == 0
    store = lake / "stores" / "scan.zarr"
    store.rename(far)
    try:
        store.symlink_to(far, target_is_directory=True)
    except OSError:
        pytest.skip("no right to make links here")
    before = (far / "zarr.json").stat().st_ino
    assert run(["ingest", str(scan), "--lake", str(lake), "--overwrite"]) == 0
    assert store.is_symlink()
    assert (far / "zarr.json").stat().st_ino != before
    assert store_lock(store).path == store_lock(far).path
    assert run(["verify", "scan", "--lake", str(lake)]) == 0
