"""Files that appear complete or not at all, and reads at a position."""

from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import stemzarr.storage.files
from stemzarr.errors import ReadError, SourceChangedError, StemzarrError, WriteError
from stemzarr.storage.files import PositionedFile, publish, read_positioned


def test_a_file_is_published_by_a_rename(tmp_path: Path) -> None:
    """Inside the block nothing stands at the destination, after it the whole file does."""
    dest = tmp_path / "scan.bin"
    with publish(dest) as temporary:
        temporary.write_bytes(b"counts")
        assert not dest.exists()
    assert dest.read_bytes() == b"counts"
    assert list(tmp_path.iterdir()) == [dest]


def test_a_folder_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    """A store is replaced as a whole: nothing of the old one shines through."""
    dest = tmp_path / "scan.zarr"
    for name in ("old", "new"):
        with publish(dest) as temporary:
            (temporary / name).mkdir(parents=True)
            (temporary / "zarr.json").touch()
    assert sorted(path.name for path in dest.iterdir()) == ["new", "zarr.json"]
    assert list(tmp_path.iterdir()) == [dest]


def fail_halfway(path: Path, error: BaseException) -> None:
    """Write something and raise."""
    path.write_bytes(b"half")
    raise error


@pytest.mark.parametrize("error", [ValueError("in the block"), KeyboardInterrupt()])
def test_a_failure_leaves_what_was_there(tmp_path: Path, error: BaseException) -> None:
    """The old file stays, the temporary one goes, the exception passes through."""
    dest = tmp_path / "scan.bin"
    dest.write_bytes(b"old")
    with pytest.raises(type(error)), publish(dest) as temporary:
        fail_halfway(temporary, error)
    assert dest.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [dest]


def test_an_error_of_the_system_names_the_destination(tmp_path: Path) -> None:
    """A full disk becomes a `WriteError` that says what to do, and stays an OSError."""
    dest = tmp_path / "scan.bin"
    with pytest.raises(WriteError, match="free space") as caught, publish(dest):
        raise OSError(28, "No space left on device")
    assert caught.value.path == str(dest)
    assert isinstance(caught.value, OSError)


def test_threads_read_one_file_at_their_own_positions(tmp_path: Path) -> None:
    """No read moves another's position."""
    path = tmp_path / "bytes"
    content = os.urandom(1 << 16)
    path.write_bytes(content)

    def read(offset: int) -> bool:
        out = bytearray(100)
        read_positioned(path, memoryview(out), offset)
        return bytes(out) == content[offset : offset + 100]

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(read, range(0, len(content) - 100, 37)))


def test_a_read_beyond_the_end_says_how_much_is_missing(tmp_path: Path) -> None:
    """A file that shrank never gives short or stale data."""
    path = tmp_path / "bytes"
    path.write_bytes(b"x" * 10)
    with pytest.raises(SourceChangedError, match="ends at byte 10, but 5 more were expected"):
        read_positioned(path, memoryview(bytearray(8)), 7)


@pytest.mark.parametrize("system", ["as it is", "without preadv"])
def test_runs_are_read_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str
) -> None:
    """Runs in any order, overlapping too, fill the buffer; one beyond the end is an error."""
    if system == "without preadv":
        monkeypatch.delattr(os, "preadv", raising=False)
    path, offsets = tmp_path / "bytes", [7, 0, 3, 3, 96]
    content = bytes(range(100))
    path.write_bytes(content)
    out = bytearray(20)
    file = PositionedFile(path)
    file.read_runs_into(memoryview(out), 4, offsets)
    assert out == b"".join(content[offset : offset + 4] for offset in offsets)
    with pytest.raises(SourceChangedError, match="ends at byte 100"):
        file.read_runs_into(memoryview(out), 4, [0, 97])
    file.close()


def test_a_file_that_was_replaced_is_read_anew(tmp_path: Path) -> None:
    """A new file under an old name gives its own bytes, though the old one is still open."""
    path, out = tmp_path / "bytes", bytearray(3)
    for content in (b"old", b"new"):
        fresh = tmp_path / "fresh"
        fresh.write_bytes(content)
        fresh.replace(path)
        read_positioned(path, memoryview(out), 0)
        assert out == content


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    """The error is ours, with the path."""
    with pytest.raises(ReadError, match="nothing-here") as caught:
        PositionedFile(tmp_path / "nothing-here")
    assert isinstance(caught.value, StemzarrError)


def test_windows_waits_for_those_who_have_a_file_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rename that is refused for a moment is made; one that is refused for long is an error."""
    rename, refusals = Path.replace, iter([True, True, False])

    def refuse(self: Path, target: Path) -> Path:
        if next(refusals, True):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return rename(self, target)

    monkeypatch.setattr(stemzarr.storage.files, "_WINDOWS", True)
    monkeypatch.setattr(stemzarr.storage.files, "_PATIENCE_S", 0.1)
    monkeypatch.setattr(Path, "replace", refuse)
    with publish(tmp_path / "x") as temporary:
        temporary.write_text("whole", encoding="utf-8")
    assert (tmp_path / "x").read_text(encoding="utf-8") == "whole"
    with pytest.raises(WriteError), publish(tmp_path / "x") as temporary:
        temporary.write_text("other", encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
