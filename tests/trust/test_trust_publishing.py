"""What is published is absent or complete wherever it goes, and equal to its source."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import itertools
import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import xarray as xr

from stemzarr.errors import (
    DamagedStoreError,
    OptionError,
    SourceChangedError,
    SourceNotFoundError,
    StemzarrError,
    StoreBusyError,
    StoreExistsError,
    WriteError,
)
from stemzarr.options import IngestOptions, PublishOptions
from stemzarr.registry import read_source
from stemzarr.storage.local import LocalFolder
from stemzarr.store import publish_store, read_store, revise, verify_store, write_store
from stemzarr.testing.faults import Crash, Faults, inject_faults, no_space

FAST = PublishOptions(threads=1, sync=False)


def files_of(store: Path) -> dict[str, bytes]:
    """Return all files of a folder."""
    return {
        p.relative_to(store).as_posix(): p.read_bytes() for p in store.rglob("*") if p.is_file()
    }


def look(dest: Path, source: Path) -> bool:
    """See that a reader finds nothing, or all; return whether it finds all.

    No Zarr library finds a group without its ``zarr.json``.
    """
    if (dest / "zarr.json").exists():
        assert files_of(dest) == files_of(source)
        return True
    with pytest.raises(SourceNotFoundError):
        read_store(dest)
    return False


def with_flipped_byte(source: Path, key: str, folder: Path) -> Path:
    """Return a copy of a store with one byte of one file changed."""
    copy = Path(shutil.copytree(source, folder / "damaged.zarr"))
    content = bytearray((copy / key).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / key).write_bytes(content)
    return copy


@dataclasses.dataclass(frozen=True)
class Keys(LocalFolder):
    """A place that answers by keys alone, and fails at a chosen change of it."""

    at: int | None = None
    """Which change fails."""
    late: bool = False
    """Whether it is done all the same, and the answer is lost."""
    calls: Iterator[int] = dataclasses.field(default_factory=itertools.count, hash=False)

    @contextlib.contextmanager
    def _change(self) -> Iterator[None]:
        fails = next(self.calls) == self.at
        if fails and not self.late:
            raise Crash
        yield
        if fails:
            raise Crash

    @contextlib.contextmanager
    def writing(self, key: str, *, sync: bool = False) -> Iterator[Any]:
        with self._change(), super().writing(key, sync=sync) as file:
            yield file

    def put_if_absent(self, key: str, content: bytes, *, sync: bool = False) -> bool:
        with self._change():
            return super().put_if_absent(key, content, sync=sync)

    def delete(self, key: str) -> None:
        with self._change():
            super().delete(key)


def test_a_publication_is_absent_or_complete_whenever_it_stops(
    tiny_store: Path, tmp_path: Path, sweep: Any
) -> None:
    """A crash or a full disk at any call: nothing to a reader or all, and the rest follows."""
    folder = tmp_path / "place" / "there"
    raised: list[BaseException] = []

    def run() -> None:
        raised.clear()
        try:
            publish_store(tiny_store, folder / "x.zarr", PublishOptions(threads=1))
        except (StemzarrError, Crash) as error:
            raised.append(error)

    def check(faults: Faults) -> None:
        assert all(isinstance(error, WriteError | Crash) for error in raised)
        sweep.release_locks(folder)
        was_there = look(folder / "x.zarr", tiny_store)
        done = publish_store(tiny_store, folder / "x.zarr", FAST)
        assert look(folder / "x.zarr", tiny_store)
        assert (done.status == "unchanged") == was_there, faults.calls
        if not was_there:
            assert [path.name for path in folder.iterdir()] == ["x.zarr"]

    calls = [
        sweep(folder, run, check, error=error, mode=mode)
        for error, mode in ((Crash, "crash"), (no_space, "lasting"))
    ]
    assert min(calls) > len(files_of(tiny_store))


@pytest.mark.parametrize("late", [False, True], ids=["refused", "answer lost"])
def test_a_place_of_keys_has_all_or_nothing_whichever_change_fails(
    tiny_store: Path, tmp_path: Path, late: bool
) -> None:
    """Each put and each delete fails once, done or not; replacing another version included."""
    other = Path(shutil.copytree(tiny_store, tmp_path / "other.zarr"))
    revise(other, {"camera_length_mm": 80.0, "det_x.scale": 0.5})
    root = tmp_path / "bucket"
    for at in range(random.randrange(13), 2 * len(files_of(tiny_store)), 13):
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        place = Keys(root, at=at, late=late)
        with contextlib.suppress(Crash):
            publish_store(other, place, FAST)
            publish_store(tiny_store, place, dataclasses.replace(FAST, overwrite=True))
        is_other = (root / "zarr.json").exists() and read_store(root).path
        look(root, other if is_other and files_of(root) == files_of(other) else tiny_store)
        publish_store(tiny_store, Keys(root), dataclasses.replace(FAST, overwrite=True))
        assert look(root, tiny_store)


def test_what_is_there_and_right_is_not_sent_again(tiny_store: Path, tmp_path: Path) -> None:
    """A second run changes nothing; a lost or cut file is sent again, and no other."""
    dest = tmp_path / "x.zarr"
    done = publish_store(tiny_store, dest, FAST)
    sizes = [len(content) for content in files_of(tiny_store).values()]
    assert (done.status, done.files, done.nbytes) == ("published", len(sizes), sum(sizes))
    assert verify_store(dest).ok
    before = {path: path.stat().st_mtime_ns for path in dest.rglob("*")}
    again = publish_store(tiny_store, dest, FAST)
    assert (again.status, again.files, again.kept) == ("unchanged", 0, len(sizes))
    assert {path: path.stat().st_mtime_ns for path in dest.rglob("*")} == before
    shard = next(path for path in dest.glob("intensity/c/**/*") if path.is_file())
    shard.write_bytes(b"")
    (dest / "scan_y" / "c" / "0").unlink()
    mended = publish_store(tiny_store, dest, FAST)
    assert (mended.status, mended.files) == ("resumed", 2)
    assert look(dest, tiny_store)


def test_where_there_are_no_links_the_root_is_never_half_written(
    tiny_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On exFAT and some shares: the last calls fail one by one, and all or nothing is there."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    dest = tmp_path / "place" / "x.zarr"
    dest.parent.mkdir()
    with inject_faults(None, below=dest.parent) as faults:
        publish_store(tiny_store, dest, FAST)
    last = len(faults.calls)
    assert look(dest, tiny_store)
    for number in range(last - 10, last):
        shutil.rmtree(dest.parent)
        dest.parent.mkdir()
        with contextlib.suppress(StemzarrError), inject_faults(number, below=dest.parent):
            publish_store(tiny_store, dest, FAST)
        look(dest, tiny_store)


def test_no_reader_finds_what_is_not_complete(tiny_store: Path, tmp_path: Path) -> None:
    """All but the root's metadata is there: stemzarr and xarray find no store."""
    dest = tmp_path / "x.zarr"
    publish_store(tiny_store, dest, FAST)
    (dest / "zarr.json").unlink()
    assert not look(dest, tiny_store)
    with pytest.raises(FileNotFoundError):
        xr.open_zarr(dest)


def test_nothing_damaged_is_published(tiny_store: Path, tmp_path: Path) -> None:
    """A byte of any file flipped, a file lost: the file is named, and no store is shown."""
    keys = sorted(files_of(tiny_store))
    for key in [*keys[:: max(1, len(keys) // 8)], "zarr.json"]:
        source = with_flipped_byte(tiny_store, key, tmp_path)
        with pytest.raises(StemzarrError):
            publish_store(source, tmp_path / "x.zarr", FAST)
        assert not (tmp_path / "x.zarr" / "zarr.json").exists()
        shutil.rmtree(source)
    lost = Path(shutil.copytree(tiny_store, tmp_path / "lost.zarr"))
    (lost / "scan_y" / "c" / "0").unlink()
    with pytest.raises(DamagedStoreError, match="scan_y/c/0: is missing"):
        publish_store(lost, tmp_path / "y.zarr", FAST)


def test_another_thing_at_the_destination_is_refused_by_name(
    tiny_store: Path, tmp_path: Path
) -> None:
    """Another version only with overwrite, what was cut short of it too; other things never."""
    dest = tmp_path / "x.zarr"
    publish_store(tiny_store, dest, FAST)
    other = Path(shutil.copytree(tiny_store, tmp_path / "other.zarr"))
    revise(other, {"camera_length_mm": 80.0})
    forced = dataclasses.replace(FAST, overwrite=True)
    for root in (True, False):
        if not root:
            (dest / "zarr.json").unlink()
        with pytest.raises(StoreExistsError, match="version of this"):
            publish_store(other, dest, FAST)
    (dest / "mine.txt").write_text("notes")
    for options in (FAST, forced):
        with pytest.raises(StoreExistsError, match=r"other things \(mine.txt\)"):
            publish_store(other, dest, options)
    (dest / "mine.txt").unlink()
    done = publish_store(other, dest, forced)
    assert done.status == "replaced"
    assert 0 < done.files < len(files_of(other)) / 2
    assert look(dest, other)
    (tmp_path / "file").touch()
    with pytest.raises(StoreExistsError, match="not a folder"):
        publish_store(other, tmp_path / "file", forced)


def test_an_object_that_is_lost_on_the_way_is_noticed(
    tiny_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A place that drops what it took, or cuts it, gets no root: the listing is compared."""
    writing = LocalFolder.writing

    @contextlib.contextmanager
    def losing(self: LocalFolder, key: str, *, sync: bool = False) -> Iterator[Any]:
        with writing(self, key, sync=sync) as file:
            yield file
        if key == "scan_x/c/0":
            (self.root / key).write_bytes(b"short")

    monkeypatch.setattr(LocalFolder, "writing", losing)
    with pytest.raises(DamagedStoreError, match="scan_x/c/0: has 5 bytes instead of"):
        publish_store(tiny_store, tmp_path / "x.zarr", FAST)
    assert not look(tmp_path / "x.zarr", tiny_store)


def test_two_versions_at_once_do_not_mix(
    tiny_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who puts the manifest first goes on; the other finds it and stops."""
    other = Path(shutil.copytree(tiny_store, tmp_path / "other.zarr"))
    revise(other, {"camera_length_mm": 80.0})
    place = LocalFolder(tmp_path / "bucket")
    place.root.mkdir()
    sizes = LocalFolder.sizes
    begun: list[str] = []

    def listing(self: LocalFolder, prefix: str = "") -> Iterator[tuple[str, int]]:
        found = list(sizes(self, prefix))
        if not begun:
            begun.append("first")
            publish_store(other, place, FAST)
        return iter(found)

    monkeypatch.setattr(LocalFolder, "sizes", listing)
    with pytest.raises(StoreBusyError, match="another version"):
        publish_store(tiny_store, place, FAST)
    assert look(place.root, other)


def test_a_store_that_is_revised_meanwhile_is_refused(tiny_store: Path, tmp_path: Path) -> None:
    """Files of two versions are never put together."""
    source = Path(shutil.copytree(tiny_store, tmp_path / "s.zarr"))

    def change(done: int, _: int) -> None:
        if done and read_store(source).document.facts.get("camera_length_mm") != 80:
            revise(source, {"camera_length_mm": 80.0, "scan_y.scale": 9.0})

    with pytest.raises(SourceChangedError, match="revised"):
        publish_store(source, tmp_path / "x.zarr", FAST, progress=change)
    assert not look(tmp_path / "x.zarr", source)
    forced = dataclasses.replace(FAST, overwrite=True)
    publish_store(source, tmp_path / "x.zarr", forced)
    assert look(tmp_path / "x.zarr", source)


def test_what_people_added_stays_where_it_is(tiny_store: Path, tmp_path: Path) -> None:
    """Results are named and not published, nor listed; those at the destination are left alone."""
    source = Path(shutil.copytree(tiny_store, tmp_path / "s.zarr"))
    dest = tmp_path / "x.zarr"
    results = xr.Dataset({"strain": ("k", [1.0, 2.0])})
    results.to_zarr(source, group="analysis/mine", mode="a", consolidated=False)
    (source / "notes.txt").write_text("by hand")
    done = publish_store(source, dest, FAST)
    assert len(done.left_out) == 2
    assert "analysis/mine/strain" in done.left_out[0]
    assert "notes.txt" in done.left_out[1]
    assert look(dest, tiny_store)
    results.to_zarr(dest, group="analysis/theirs", mode="a", consolidated=False)
    assert publish_store(source, dest, FAST).status == "unchanged"
    with xr.open_zarr(dest, group="analysis/theirs", consolidated=False) as theirs:
        assert "strain" in theirs


def test_what_cannot_be_published_says_why(
    tiny_dm4: Path, tiny_store: Path, tmp_path: Path
) -> None:
    """A virtual store, a store into itself, a folder that is not there."""
    virtual = tmp_path / "v.zarr"
    write_store(read_source(tiny_dm4), virtual, IngestOptions(sync=False, virtual=True))
    with pytest.raises(OptionError, match="virtual"):
        publish_store(virtual, tmp_path / "x.zarr", FAST)
    for inside in (tiny_store, tiny_store / "documents"):
        with pytest.raises(OptionError):
            publish_store(tiny_store, inside, FAST)
    with pytest.raises(SourceNotFoundError, match="does not exist"):
        publish_store(tiny_store, tmp_path / "no" / "x.zarr", FAST)
    with pytest.raises(SourceNotFoundError, match="no store"):
        publish_store(tmp_path / "no.zarr", tmp_path / "x.zarr", FAST)
    assert not (tmp_path / "x.zarr").exists()


def test_a_dry_run_changes_nothing_and_says_the_same(tiny_store: Path, tmp_path: Path) -> None:
    """It gives the numbers of the run that follows, and makes no folder."""
    dest = tmp_path / "x.zarr"
    planned = publish_store(tiny_store, dest, dataclasses.replace(FAST, dry_run=True))
    assert not dest.exists()
    done = publish_store(tiny_store, dest, FAST)
    same = ("status", "files", "nbytes", "kept", "left_out")
    assert [getattr(planned, n) for n in same] == [getattr(done, n) for n in same]


def test_a_root_in_other_words_is_published_as_it_is(tiny_store: Path, tmp_path: Path) -> None:
    """What another program or version wrote, and means the same, comes back byte for byte."""
    source = Path(shutil.copytree(tiny_store, tmp_path / "s.zarr"))
    root = json.loads((source / "zarr.json").read_bytes())
    (source / "zarr.json").write_text(json.dumps(root, indent=2, ensure_ascii=False))
    publish_store(source, tmp_path / "x.zarr", FAST)
    assert look(tmp_path / "x.zarr", source)
    assert publish_store(tiny_store, tmp_path / "x.zarr", FAST).status == "unchanged"
