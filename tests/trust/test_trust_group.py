"""A group shares a lake: each member's work is open to the others, or says what is in the way."""

from __future__ import annotations

import functools
import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import stemzarr_catalog.index
from stemzarr.errors import WriteError
from stemzarr_catalog import Lake, open_lake

GROUP = 30_777
MEMBERS = {"ada": 30_001, "bob": 30_002}
"""Users of numbers that no system gives; they may read everything, so that Python is found."""
SERVE = """
import json, os, sys
import stemzarr.exporting, stemzarr.formats.dm.reader, stemzarr.formats.npy, stemzarr.store
import stemzarr_catalog
from stemzarr_cli.program import run

def work(umask, words, files):
    os.umask(int(umask, 8))
    for number, file in enumerate(files, 1):
        os.dup2(file.fileno(), number)
    sys.argv[1:] = words
    return run()

for line in sys.stdin:
    umask, words = json.loads(line)
    with open(os.memfd_create("out"), "w+b") as out, open(os.memfd_create("err"), "w+b") as wrong:
        if not (child := os.fork()):
            status = 70
            try:
                status = work(umask, words, (out, wrong))
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                os._exit(status)
        _, ended = os.waitpid(child, 0)
        said = [file.seek(0) or file.read().decode() for file in (out, wrong)]
    print(json.dumps([os.waitstatus_to_exitcode(ended), *said]), flush=True)
"""
"""A process of a user, which forks for each command: imports take most of the time of one."""


def _as(member: str) -> list[str]:
    number = str(MEMBERS[member])
    rights = "+dac_read_search"
    return [
        *("setpriv", "--reuid", number, "--regid", number, "--groups", str(GROUP)),
        *("--inh-caps", rights, "--ambient-caps", rights),
    ]


def _can_change_user() -> bool:
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("setpriv") is None:
        return False
    return subprocess.run([*_as("ada"), "true"], capture_output=True, check=False).returncode == 0


users = pytest.mark.skipif(not _can_change_user(), reason="needs root, who can be others")


@functools.cache
def _server(name: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*_as(name), sys.executable, "-c", SERVE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={
            **os.environ,
            "HOME": "/nonexistent",
            "PYTHONDONTWRITEBYTECODE": "1",
        },
    )


@pytest.fixture(scope="module", autouse=True)
def servers() -> Iterator[None]:
    """Keep the processes of the users from the first test to the last."""
    if not _can_change_user():
        yield
        return
    kept = [_server(name) for name in MEMBERS]
    yield
    for server in kept:
        server.communicate()
    _server.cache_clear()


def member(name: str, umask: str, *words: object) -> tuple[int, list[Any], str]:
    """Run the command as a user; return its status, its JSON lines and its errors."""
    server = _server(name)
    assert server.stdin is not None
    assert server.stdout is not None
    print(json.dumps([umask, [*map(str, words), "--json"]]), file=server.stdin, flush=True)
    status, said, wrong = json.loads(server.stdout.readline())
    return status, [json.loads(line) for line in said.splitlines()], wrong


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Give a folder that all may enter, as those of pytest are not."""
    with tempfile.TemporaryDirectory(prefix="stemzarr-group-") as made:
        folder = Path(made)
        folder.chmod(0o755)
        yield folder


@pytest.fixture
def shared(open_folder: Path) -> Path:
    """Return the folder of a group, as docs/sharing.md says to make it."""
    folder = open_folder / "group"
    folder.mkdir()
    os.chown(folder, 0, GROUP)
    folder.chmod(0o2775)
    return folder


@pytest.fixture
def first_dm4(open_folder: Path, tiny: Any) -> Path:
    """Return a source that all may read."""
    made: Path = tiny.write(open_folder / "tiny.dm4", seed=6)
    return made


@pytest.fixture
def other_dm4(open_folder: Path, tiny: Any) -> Path:
    """Return a second source."""
    made: Path = tiny.write(open_folder / "other.dm4", seed=7)
    return made


@users
def test_a_group_works_in_one_lake(shared: Path, first_dm4: Path, other_dm4: Path) -> None:
    """With umask 002 in a setgid folder, each reads, adds to, revises and removes the others'."""
    lake = shared / "lake"
    for name, source in (("ada", first_dm4), ("bob", other_dm4), ("ada", other_dm4)):
        status, _, wrong = member(name, "002", "ingest", source, "--lake", lake)
        assert (status, wrong) == (0, "")
    for words in (
        ("tag", "tiny", "--add", "seen"),
        ("calibrate", "tiny", "camera_length_mm=100"),
        ("export", "tiny", shared / "x.npy"),
        ("ls", "seen"),
        ("catalog", "rebuild"),
        ("verify", "tiny"),
        ("catalog", "remove", "tiny", "--yes"),
    ):
        status, _, wrong = member("bob", "002", *words, "--lake", lake)
        assert (status, wrong) == (0, ""), words
    assert list(open_lake(lake, read_only=True)) == ["other"]
    for path in [lake, *lake.rglob("*")]:
        state = path.lstat()
        assert state.st_gid == GROUP, path
        assert state.st_mode & stat.S_IWGRP, path
        assert not state.st_mode & stat.S_IWOTH, path


@users
@pytest.mark.parametrize("umask", ["002", "022", "027"])
def test_modes_follow_the_umask(shared: Path, first_dm4: Path, umask: str) -> None:
    """Of all files and folders of a lake; nothing is closer or more open than was asked for."""
    lake = shared / "lake"
    assert member("ada", umask, "ingest", first_dm4, "--lake", lake)[0] == 0
    assert member("ada", umask, "tag", "tiny", "--add", "seen", "--lake", lake)[0] == 0
    assert {"catalog.sqlite", "catalog.yaml", "notes", "stores"} <= {p.name for p in lake.iterdir()}
    for path in [lake, *lake.rglob("*")]:
        mode = path.stat().st_mode & 0o777
        wanted = (0o777 if path.is_dir() else 0o666) & ~int(umask, 8)
        assert oct(mode) == oct(wanted), path


@users
def test_files_of_another_that_cannot_be_written_are_replaced(
    shared: Path, first_dm4: Path, other_dm4: Path
) -> None:
    """As earlier versions left them: the folder can be written, its index cannot."""
    lake = shared / "lake"
    assert member("ada", "002", "ingest", first_dm4, "--lake", lake)[0] == 0
    assert member("ada", "002", "tag", "tiny", "--add", "seen", "--lake", lake)[0] == 0
    files = [path for path in (*lake.iterdir(), *(lake / "notes").iterdir()) if path.is_file()]
    for path in files:
        path.chmod(0o644)
    status, _, wrong = member("bob", "002", "ingest", other_dm4, "--lake", lake)
    assert (status, wrong) == (0, "")
    status, _, wrong = member("bob", "002", "tag", "tiny", "--add", "too", "--lake", lake)
    assert (status, wrong) == (0, "")
    found = member("ada", "002", "ls", "--lake", lake)[1]
    assert [entry["name"] for entry in found] == ["other", "tiny"]
    assert (lake / "catalog.sqlite").stat().st_uid == MEMBERS["bob"]
    assert member("ada", "002", "ls", "too", "seen", "--lake", lake)[1][0]["name"] == "tiny"


@users
@pytest.mark.parametrize("closed", [".", "catalog.sqlite", "stores"])
def test_what_is_in_the_way_is_named_and_the_rest_is_read(
    shared: Path, first_dm4: Path, other_dm4: Path, closed: str
) -> None:
    """A folder that is closed: the lake is searched and read, and what writes names it."""
    lake = shared / "lake"
    assert member("ada", "002", "ingest", first_dm4, "--lake", lake)[0] == 0
    if closed == "catalog.sqlite":
        (lake / closed).chmod(0o644)
        lake.chmod(0o3775)  # where only its owner replaces a file
        os.chown(lake, MEMBERS["ada"], GROUP)
    else:
        (lake / closed).chmod(0o755)
    for words in (
        ("ls",),
        ("show", "tiny"),
        ("verify", "tiny"),
        ("export", "tiny", shared / "x.npy"),
    ):
        status, _, wrong = member("bob", "002", *words, "--lake", lake)
        assert status == 0, wrong
    for words in (("ingest", other_dm4), ("catalog", "remove", "tiny", "--yes")):
        status, _, wrong = member("bob", "002", *words, "--lake", lake)
        assert status == 1
        assert "internal error" not in wrong
        assert "report it" not in wrong
        assert f"{lake / closed}" in wrong
        assert "permission" in wrong.lower()
    assert list(open_lake(lake, read_only=True)) == ["tiny"]
    assert member("ada", "002", "verify", "tiny", "--lake", lake)[0] == 0


@users
def test_an_entry_that_cannot_be_deleted_stays_whole(shared: Path, first_dm4: Path) -> None:
    """One closed folder deep in a store: nothing of it is gone, and its notes stay."""
    lake = shared / "lake"
    assert member("ada", "002", "ingest", first_dm4, "--lake", lake)[0] == 0
    assert member("ada", "002", "tag", "tiny", "--add", "seen", "--lake", lake)[0] == 0
    deep = lake / "stores" / "tiny.zarr" / "intensity" / "c"
    deep.chmod(0o755)
    status, _, wrong = member("bob", "002", "catalog", "remove", "tiny", "--yes", "--lake", lake)
    assert status == 1
    assert "cannot be deleted" in wrong
    assert str(deep) in wrong
    assert member("bob", "002", "ls", "seen", "--lake", lake)[1][0]["name"] == "tiny"
    assert member("ada", "002", "verify", "tiny", "--lake", lake)[0] == 0
    assert not [path for path in (lake / "stores").iterdir() if path.name.startswith(".")]


@pytest.fixture
def lake(tmp_path: Path, tiny: Any, tiny_dm4: Path) -> Lake:
    """Return a lake with one entry that has notes."""
    made = open_lake(tmp_path / "lake", create=True)
    made.ingest(tiny_dm4, name="scan", options=tiny.fast)
    made.tag("scan", "seen")
    return made


@pytest.mark.parametrize("part", ["nothing", "some", "rename"])
def test_a_removal_that_fails_leaves_the_entry(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """Whatever the system refuses, and when: the entry is listed, with its notes."""
    import stemzarr_catalog.removing as module

    def refuse(path: Path) -> None:
        deep = next(iter(sorted(path.rglob("*"))), path)
        if part == "some" and deep.is_file():
            deep.unlink()
        raise PermissionError(13, "Permission denied", str(deep))

    monkeypatch.setattr(module, "remove_tree", refuse)
    if part == "rename":
        monkeypatch.setattr(Path, "replace", lambda self, _: refuse(self))
    with pytest.raises(WriteError, match=r"cannot be deleted: Permission denied .*entry stays"):
        lake.remove("scan")
    monkeypatch.undo()
    again = open_lake(lake.path)
    known = {*again, *again.problems}
    assert known == {"scan"}
    assert (lake.path / "notes" / "scan.json").is_file()
    again.remove("scan")
    assert not list(open_lake(lake.path))
    assert list((lake.path / "stores").iterdir()) == []


@pytest.fixture
def broken_mount(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Give what lets SQLite fail, as it does on mounts without locks, at reading or writing."""
    connect = sqlite3.connect

    def fail(what: str) -> None:
        class Failing(sqlite3.Connection):
            def execute(self, words: str, *values: Any) -> sqlite3.Cursor:
                if words.startswith("BEGIN" if what == "reading" else "BEGIN IMMEDIATE"):
                    raise sqlite3.OperationalError("disk I/O error")
                return super().execute(words, *values)

        def opened(address: str, *arguments: Any, **options: Any) -> sqlite3.Connection:
            kind = sqlite3.Connection if "memory" in address else Failing
            return connect(address, *arguments, factory=kind, **options)

        monkeypatch.setattr(stemzarr_catalog.index.sqlite3, "connect", opened)

    yield fail
    monkeypatch.undo()


@pytest.mark.parametrize("what", ["reading", "writing"])
@pytest.mark.parametrize("moment", ["before", "while open"])
def test_a_mount_on_which_the_index_fails_is_read(
    lake: Lake, tiny: Any, tmp_path: Path, broken_mount: Any, what: str, moment: str
) -> None:
    """`disk I/O error`: entries are found in the folders, and what writes names the index."""
    opened = open_lake(lake.path) if moment == "while open" else None
    broken_mount(what)
    shutil.copytree(lake.path / "stores" / "scan.zarr", lake.path / "stores" / "copy.zarr")
    opened = opened or open_lake(lake.path)
    opened.refresh()
    assert list(opened) == ["copy", "scan"]
    assert opened.search("seen").names == ["scan"]
    assert opened.read_only
    assert "catalog.sqlite" in str(opened.obstacle)
    source = tiny.write(tmp_path / "third.dm4", seed=3)
    for act in (lambda: opened.tag("scan", "x"), lambda: opened.ingest(source, options=tiny.fast)):
        with pytest.raises(WriteError, match=r"catalog\.sqlite: .*reading only: .*disk I/O error"):
            act()


def test_a_lake_that_can_be_written_again_is(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, broken_mount: Any
) -> None:
    """An obstacle that goes, as a full disk that is emptied, needs no new process."""
    broken_mount("writing")
    (lake.path / "stores" / "scan.zarr").rename(lake.path / "stores" / "named.zarr")
    lake.refresh()
    assert lake.read_only
    monkeypatch.undo()
    lake.refresh()
    assert not lake.read_only
    assert lake.obstacle is None
    lake.tag("named", "back")
    assert open_lake(lake.path).search("back").names == ["named"]
