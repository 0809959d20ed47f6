"""Ingesting into a lake: one store for each source, under a name that tells it."""

from __future__ import annotations

import dataclasses
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemzarr.errors import OptionError, StoreExistsError
from stemzarr.options import IngestOptions, ReadOptions
from stemzarr.testing import DMImage, write_dm
from stemzarr.testing.files import FILE_WRITERS
from stemzarr_catalog import Lake, known, open_lake, recognising
from stemzarr_catalog.names import casefold, safe_name
from stemzarr_catalog.naming import count_folders

OPTIONS = IngestOptions(sync=False, threads=1)

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes a tiny dm4 of 4D counts."""

    def write_scan(name: str, seed: int = 0, folder: str = "data") -> Path:
        path = tmp_path / folder / name
        path.parent.mkdir(exist_ok=True)
        counts = np.random.default_rng(seed).poisson(1.0, (3, 4, 8, 8)).astype(np.uint16)
        image = DMImage(data=counts, tags={"Microscope Info": {"Voltage": 300e3 + seed}})
        write_dm(path, [image])
        return path

    return write_scan


@pytest.fixture
def empty(lake_path: Path) -> Lake:
    """Return a lake without stores."""
    return open_lake(lake_path)


def ingest(lake: Lake, path: Path, name: str | None = None) -> tuple[str, str]:
    """Return name and status."""
    result = lake.ingest(path, name=name, options=OPTIONS)
    return result.name, result.status


def test_a_source_becomes_an_entry(empty: Lake, write: Write) -> None:
    """The values are those of the source, its facts are found, the result is one JSON line."""
    path = write("scan.dm4")
    result = empty.ingest(path, options=OPTIONS)
    assert empty.search("beam_energy=300keV kind=4d-stem").names == ["scan"]
    assert result.json()["store"] == str(empty.path / "stores" / "scan.zarr")
    assert result.json()["error"] is None
    assert result.source_bytes == path.stat().st_size
    files = [file for file in empty["scan"].path.rglob("*") if file.is_file()]
    on_disk = sum(file.stat().st_size for file in files)
    assert result.stored_bytes == empty["scan"].stored_bytes == on_disk
    expected = np.random.default_rng(0).poisson(1.0, (3, 4, 8, 8))
    np.testing.assert_array_equal(empty["scan"].open().intensity, expected)
    assert empty.search("tag:Microscope Info.Voltage=300000").names == ["scan"]


def test_the_same_source_again_changes_nothing(empty: Lake, write: Write) -> None:
    """Not a byte of the lake is written, under whatever name the source stands there."""
    path = write("scan.dm4")
    assert ingest(empty, path, "named") == ("named", "ingested")
    before = {p: p.stat().st_mtime_ns for p in empty.path.rglob("*") if p.is_file()}
    assert ingest(empty, path) == ("named", "unchanged")
    assert ingest(empty, path, "named") == ("named", "unchanged")
    assert {p: p.stat().st_mtime_ns for p in empty.path.rglob("*") if p.is_file()} == before


def test_files_of_one_name_are_told_apart_by_their_folders(empty: Lake, write: Write) -> None:
    """As many folders come first as it takes; case does not count."""
    first, second = write("scan.dm4"), write("Scan.dm4", 1, "b")
    assert ingest(empty, first) == ("scan", "ingested")
    assert ingest(empty, second) == ("b-Scan", "ingested")
    assert ingest(empty, second) == ("b-Scan", "unchanged")
    deep = write("scan.dm4", 2, "c")
    (far := first.parent / "b").mkdir()
    assert ingest(empty, Path(shutil.move(deep, far / "scan.dm4"))) == ("data-b-scan", "ingested")
    assert empty.search("b").names == ["b-Scan", "data-b-scan"]
    assert empty.search("folder=b").names == ["b-Scan", "data-b-scan"]
    assert empty.search("folder=data/b").names == ["data-b-scan"]
    assert empty.search(f"folder={first.parent}").names == ["data-b-scan", "scan"]
    assert empty.search("folder=at").names == []
    assert empty.search("folder=*at*").names == ["data-b-scan", "scan"]
    assert empty.unknown_values("folder=dat") == ["no entry has folder=dat; did you mean data"]


def test_files_of_one_name_in_one_folder_get_a_suffix(empty: Lake, write: Write) -> None:
    """It comes from the header, so that it is the same each time; no folder would tell more."""
    first, second = write("scan.dm4"), write("scan.v2.dm4", 1)
    assert ingest(empty, first) == ("scan", "ingested")
    second = second.rename(second.with_name("SCAN.dm4"))
    name, status = ingest(empty, second)
    assert (name[:5], len(name), status) == ("SCAN-", 13, "ingested")
    assert ingest(empty, second) == (name, "unchanged")


def test_a_redacted_entry_is_not_named_after_a_folder(empty: Lake, write: Write) -> None:
    """Folders are named after people."""
    options = dataclasses.replace(OPTIONS, redact=True)
    ingest(empty, write("scan.dm4"))
    name = empty.ingest(write("scan.dm4", 1, "alice"), options=options, folders=1).name
    assert name.startswith("scan-")
    assert empty.search("alice").names == empty.search("folder=alice").names == []


FOLDERS = st.lists(st.sampled_from(["a", "b", "Diff 1", "Diff_1", "ü"]), max_size=3)


@given(st.lists(st.tuples(FOLDERS, st.sampled_from(["x", "X", "y"])), unique_by=str, max_size=9))
def test_folders_tell_apart_whatever_they_can(files: list[tuple[list[str], str]]) -> None:
    """Two files of one stem have one name only where all their folders are named alike."""
    paths = [Path("/", *folders, f"{stem}.dm4") for folders, stem in files]
    depths = count_folders(paths)

    def safe(path: Path, depth: int) -> tuple[str, ...]:
        return tuple(casefold(safe_name(p)) for p in (*path.parts[1:-1][-depth or 99 :], path.stem))

    for one in paths:
        for other in paths:
            names = safe(one, depths[one] or 99), safe(other, depths[other] or 99)
            same = safe(one, 99) == safe(other, 99)
            assert casefold(one.stem) != casefold(other.stem) or (names[0] == names[1]) == same


def test_a_copy_is_found_to_hold_the_same(empty: Lake, write: Write) -> None:
    """A source with another modification time is read, and not kept twice."""
    path = write("scan.dm4")
    ingest(empty, path)
    copied = shutil.copy(path, path.with_name("copy.dm4"))
    os.utime(copied, (1, 1))
    os.utime(path, (2, 2))
    assert ingest(empty, Path(copied)) == ("scan", "unchanged")
    assert ingest(empty, path) == ("scan", "unchanged")
    assert sorted(item.name for item in empty.stores.glob("*.zarr")) == ["scan.zarr"]
    assert ingest(empty, Path(copied), "wanted") == ("wanted", "ingested")
    same = empty.find_hash(str(empty["scan"].source["hash"]))
    assert same.names == ["scan", "wanted"]
    assert len(set(map(known.key_of, same))) == 1


@pytest.mark.parametrize("stem", ["lake", "con", "aux.2026", "LAKE"])
def test_reserved_stems_get_a_suffix(empty: Lake, write: Write, stem: str) -> None:
    """No source is refused for its name."""
    name, status = ingest(empty, write(f"{stem}.dm4"))
    assert status == "ingested"
    assert name[:3].lower() == stem[:3].lower()
    assert len(name) > 8
    assert list(open_lake(empty.path)) == [name]


def test_a_name_that_is_taken_is_refused_and_can_be_replaced(empty: Lake, write: Write) -> None:
    """Only ``overwrite`` replaces another source."""
    first, second = write("one.dm4", 1), write("two.dm4", 2)
    ingest(empty, first, "mine")
    with pytest.raises(StoreExistsError, match="another source has the name"):
        ingest(empty, second, "mine")
    with pytest.raises(OptionError, match="reserved"):
        ingest(empty, second, "lake")
    with pytest.raises(OptionError, match="safe everywhere: x_y"):
        ingest(empty, second, "../x y")
    options = IngestOptions(sync=False, threads=1, overwrite=True)
    assert empty.ingest(second, name="mine", options=options).status == "ingested"
    assert empty["mine"].facts["beam_energy_keV"] == pytest.approx(300.002)


def test_a_store_is_no_source(empty: Lake, write: Write) -> None:
    """The message says how to add one."""
    ingest(empty, write("scan.dm4"))
    with pytest.raises(OptionError, match="is a store already"):
        ingest(empty, empty["scan"].path)


def write_npy(path: Path, value: int = 0, *, time: float = 1.7e9) -> Path:
    """Write a scan whose size and time are those of all others."""
    path.parent.mkdir(exist_ok=True)
    np.save(path, np.full((4, 4, 8, 8), value, np.uint16))
    os.utime(path, (time, time))
    return path


def refuse_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every read of a whole file, or of its values, fail."""

    def fail(*_: object, **__: object) -> None:
        raise AssertionError

    for module in (known, recognising):
        monkeypatch.setattr(module, "digest_files", fail)
    monkeypatch.setattr(recognising, "is_source_of", fail)


def test_files_of_one_size_and_time_are_two_entries(empty: Lake, tmp_path: Path) -> None:
    """Also where they have one name, in any number of folders."""
    paths = [write_npy(tmp_path / f"f{number}" / "scan.npy", number) for number in range(6)]
    names = {ingest(empty, path)[0] for path in paths}
    assert len(names) == len(empty) == 6
    for number, path in enumerate(paths):
        name, status = ingest(empty, path)
        assert status == "unchanged"
        assert (empty[name].open().intensity == number).all()


def test_a_part_that_comes_later_is_seen(empty: Lake, tmp_path: Path) -> None:
    """A Merlin's header beside frames that are known says what scan they are."""
    path = FILE_WRITERS["mib"](tmp_path, np.zeros((3, 4, 16, 16), "u2"))
    header = path.with_suffix(".hdr")
    header.rename(tmp_path / "away")
    first = ingest(empty, path)
    os.utime(path, (1.7e9, 1.7e9))
    assert recognising.find_unread(empty, [path]) == {}
    again = empty.ingest(path, options=IngestOptions(sync=False, overwrite=True))
    assert set(recognising.find_unread(empty, [path])) == {path}
    (tmp_path / "away").rename(header)
    assert recognising.find_unread(empty, [path]) == {}
    name, status = ingest(empty, path)
    assert (again.name, status) == (first[0], "ingested")
    assert empty[name].open().intensity.shape == (3, 4, 16, 16)


def test_a_record_that_comes_later_is_seen(empty: Lake, tmp_path: Path) -> None:
    """Direct Electron's, which belongs to every file whose name begins like its own."""
    path = FILE_WRITERS["mrc"](tmp_path, np.zeros((1, 3, 16, 16), "u2"))
    path = path.rename(tmp_path / "20240101_00001_movie.mrc")
    os.utime(path, (1.7e9, 1.7e9))
    ingest(empty, path)
    record = "Instrument Project TEM Mode = Diffraction\nDiffraction Pixel Size X = 0.5\n"
    (tmp_path / "20240101_00001_info.txt").write_text(record + "Diffraction Pixel Size Y = 0.5\n")
    name, status = ingest(empty, path)
    assert status == "ingested"
    assert "20240101_00001_info.txt" in str(empty[name].source["files"])


@pytest.mark.parametrize("suffix", [".npy", ".dm4"])
def test_a_copy_is_named_read_once_and_remembered(
    empty: Lake, write: Write, tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its bytes are compared at the first ingest, and at no later one, also after a rebuild."""
    path = write_npy(tmp_path / "scan.npy") if suffix == ".npy" else write("scan.dm4")
    copied = Path(shutil.copy(path, path.with_name(f"copy{suffix}")))
    ingest(empty, path)
    refused = pytest.MonkeyPatch()
    refuse_pixels(refused)
    with pytest.raises(AssertionError):
        ingest(empty, copied)
    refused.undo()
    first = empty.ingest(copied, options=OPTIONS)
    assert (first.name, first.status) == ("scan", "unchanged")
    assert first.notes == (f"copy{suffix} is the same file as scan",)
    refuse_pixels(monkeypatch)
    empty.rebuild()
    assert open_lake(empty.path).ingest(copied, options=OPTIONS).notes == first.notes
    assert open_lake(empty.path).ingest(path, options=OPTIONS).notes == ()


def test_a_moved_folder_is_asked_for_and_remembered(empty: Lake, tmp_path: Path) -> None:
    """Never believed unasked, never read: one answer holds for all files below it."""
    for number in range(3):
        ingest(empty, write_npy(tmp_path / "old" / f"scan{number}.npy", number))
    (tmp_path / "old").rename(tmp_path / "new")
    refused = pytest.MonkeyPatch()
    refuse_pixels(refused)
    with pytest.raises(StoreExistsError, match=f"--moved '{tmp_path}/old={tmp_path}/new'"):
        ingest(empty, tmp_path / "new" / "scan0.npy")
    asked: list[tuple[str, str]] = []

    def believe(old: str, new: str) -> bool:
        asked.append((old, new))
        return True

    for number in range(3):
        path = tmp_path / "new" / f"scan{number}.npy"
        result = empty.ingest(path, options=OPTIONS, believe=believe)
        assert (result.name, result.status) == (f"scan{number}", "unchanged")
        assert ingest(empty, path) == (f"scan{number}", "unchanged")
    assert asked == [(str(tmp_path / "old"), str(tmp_path / "new"))]
    refused.undo()


def test_a_denied_move_compares_all_bytes(empty: Lake, tmp_path: Path) -> None:
    """Equal bytes are still one entry."""
    path = write_npy(tmp_path / "old" / "scan.npy")
    ingest(empty, path)
    (tmp_path / "old").rename(tmp_path / "new")
    moved = tmp_path / "new" / "scan.npy"
    result = empty.ingest(moved, options=OPTIONS, believe=lambda _old, _new: False)
    assert (result.name, result.status) == ("scan", "unchanged")


@pytest.mark.parametrize(
    ("option", "hint"),
    [
        ({"read": ReadOptions(layout="scan-fast")}, "--overwrite"),
        ({"read": ReadOptions(scan_shape=(2, 8))}, "--overwrite"),
        ({"redact": True}, "stemzarr redact scan"),
        ({"virtual": True}, "--overwrite"),
        ({"facts": {"camera_length_mm": 115.0}}, "stemzarr calibrate scan camera_length_mm=115.0"),
    ],
)
def test_options_that_would_change_an_entry_are_refused(
    empty: Lake, tmp_path: Path, option: dict[str, Any], hint: str
) -> None:
    """The hint is the command that does it; without the option all is unchanged."""
    path = write_npy(tmp_path / "scan.npy")
    ingest(empty, path)
    with pytest.raises(StoreExistsError, match="is in the lake as 'scan'") as caught:
        empty.ingest(path, options=dataclasses.replace(OPTIONS, **option))
    assert hint in str(caught.value.hint)
    assert ingest(empty, path) == ("scan", "unchanged")


def test_a_virtual_entry_is_not_taken_for_stored_pixels(empty: Lake, tmp_path: Path) -> None:
    """Whoever ingests the file without ``virtual`` learns that its pixels are not in the lake."""
    path = write_npy(tmp_path / "scan.npy")
    virtual = dataclasses.replace(OPTIONS, virtual=True)
    assert empty.ingest(path, options=virtual).status == "ingested"
    assert empty.ingest(path, options=virtual).status == "unchanged"
    with pytest.raises(StoreExistsError, match="which is virtual"):
        ingest(empty, path)


def test_overwriting_keeps_what_was_set_by_hand(empty: Lake, tmp_path: Path) -> None:
    """And says so; for another file it says what is dropped."""
    path = write_npy(tmp_path / "scan.npy")
    ingest(empty, path)
    empty.calibrate("scan", {"det_x.scale": 0.5, "camera_length_mm": 115.0})
    again = dataclasses.replace(OPTIONS, overwrite=True)
    result = empty.ingest(path, options=again)
    assert "keeps what was set by hand" in result.notes[-1]
    assert empty["scan"].facts["camera_length_mm"] == 115.0
    other = write_npy(tmp_path / "other.npy", 1)
    result = empty.ingest(other, name="scan", options=again)
    assert "drops camera_length_mm=115.0: it was set for another file" in result.notes
    assert "camera_length_mm" not in empty["scan"].facts


@given(
    bytes_of=st.lists(st.binary(min_size=8, max_size=8), min_size=2, max_size=5),
    suffix=st.sampled_from([".npy", ".dm4", ".h5"]),
)
@settings(max_examples=15, deadline=None)
def test_there_are_as_many_entries_as_different_files(bytes_of: list[bytes], suffix: str) -> None:
    """Of one size, time and name, in any order: never one entry for two files."""
    with tempfile.TemporaryDirectory() as folder:
        lake = open_lake(Path(folder) / "lake", create=True)
        made: dict[bytes, str] = {}
        for number, content in enumerate(bytes_of):
            values = np.zeros((2, 2, 4, 4), np.uint16)
            values[0, 0, 0] = np.frombuffer(content, np.uint16)
            path = Path(folder) / f"{number}" / f"scan{suffix}"
            path.parent.mkdir()
            if suffix == ".npy":
                np.save(path, values)
            elif suffix == ".dm4":
                write_dm(path, [DMImage(data=values)], thumbnail=False)
            else:
                with h5py.File(path, "w") as file:
                    file["scan"] = values * 0
                    file.attrs["remark"] = values.tobytes().hex()
            os.utime(path, (1.7e9, 1.7e9))
            whole = path.read_bytes()
            result = lake.ingest(path, options=OPTIONS)
            assert made.setdefault(whole, result.name) == result.name
        assert len(lake) == len(made) == len(set(made.values()))


def test_a_redacted_entry_knows_its_files_without_their_paths(
    empty: Lake, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither at the ingest nor afterwards does the lake keep where they are."""
    path, other = write("scan.dm4"), write("other.dm4", 1)
    copied = Path(shutil.copy(path, path.with_name("copy.dm4")))
    for file in (path, copied):
        ingest(empty, file)
    empty.redact("scan")
    empty.ingest(other, options=dataclasses.replace(OPTIONS, redact=True))
    for file in empty.path.rglob("*"):
        assert file.is_dir() or str(path.parent).encode() not in file.read_bytes(), file
    refuse_pixels(monkeypatch)
    for file, name in ((path, "scan"), (copied, "scan"), (other, "other")):
        assert ingest(open_lake(empty.path), file) == (name, "unchanged")
