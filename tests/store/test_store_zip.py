"""A store in one file: read as the folder is, here and far away, by any Zarr library."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import stemzarr
from stemzarr.errors import (
    CorruptFileError,
    DamagedStoreError,
    OptionError,
    SourceChangedError,
    StemzarrError,
)
from stemzarr.model import Source
from stemzarr.options import ExportOptions, IngestOptions
from stemzarr.storage.local import LocalFolder
from stemzarr.storage.zipped import ZippedFolder
from stemzarr.store import write_store
from stemzarr.testing.web import serve_folder
from stemzarr.views import View
from stemzarr_cli.program import run

SHARD = "intensity/c/0/0/0/0"
VALUES: NDArray[np.uint16] = (
    np.random.default_rng(0).poisson(3.0, (16, 16, 64, 64)).astype(np.uint16)
)


@pytest.fixture
def store(make_source: Callable[..., Source], tmp_path: Path) -> Path:
    """Return a store of a shard of several chunks."""
    write_store(make_source(VALUES), tmp_path / "x.zarr", IngestOptions(sync=False))
    return tmp_path / "x.zarr"


@pytest.fixture
def zipped(store: Path, tmp_path: Path) -> Path:
    """Return the same store in one file."""
    stemzarr.export(store, tmp_path / "x.zarr.zip", options=ExportOptions(sync=False))
    return tmp_path / "x.zarr.zip"


def test_one_file_is_the_store(store: Path, zipped: Path) -> None:
    """It opens, verifies and exports as the folder, whose files it holds to the byte."""
    opened = stemzarr.open(zipped)
    assert opened.identical(stemzarr.open(store))
    np.testing.assert_array_equal(opened.intensity[3:9, ::5], VALUES[3:9, ::5])
    assert stemzarr.verify(zipped).ok
    for command in ("info", "show", "verify"):
        assert run([command, str(zipped), "--quiet"]) == 0
    with zipfile.ZipFile(zipped) as archive:
        names = archive.namelist()
        for name in names:
            assert archive.read(name) == (store / name).read_bytes()
    assert names[0] == "zarr.json"
    assert names[-1] == SHARD
    assert set(names) == set(LocalFolder(store).list())


def test_other_libraries_read_the_file(zipped: Path) -> None:
    """Zarr opens it as a zip, with the same values."""
    with zarr.storage.ZipStore(zipped, mode="r") as place:
        opened = xr.open_zarr(place)
        np.testing.assert_array_equal(opened.intensity, VALUES)


def test_the_same_store_is_the_same_file(store: Path, zipped: Path, tmp_path: Path) -> None:
    """Nothing in it depends on when it was made."""
    stemzarr.export(store, tmp_path / "y.zarr.zip", options=ExportOptions(sync=False))
    assert (tmp_path / "y.zarr.zip").read_bytes() == zipped.read_bytes()


def test_a_view_becomes_one_file(store: Path, tmp_path: Path) -> None:
    """It is what `.zarr` would have been, and leaves nothing beside it."""
    dest = tmp_path / "out" / "v.zarr.zip"
    dest.parent.mkdir()
    stemzarr.export(store, dest, view=View(scan_step=2), options=ExportOptions(sync=False))
    np.testing.assert_array_equal(stemzarr.open(dest).intensity, VALUES[::2, ::2])
    assert stemzarr.verify(dest).ok
    assert list(dest.parent.iterdir()) == [dest]
    with pytest.raises(OptionError, match="not be recognised"):
        stemzarr.export(store, tmp_path / "v.zip", format="zip")


def test_one_file_becomes_a_folder(zipped: Path, tmp_path: Path) -> None:
    """A view of it is a store again, here and far away."""
    options = ExportOptions(sync=False)
    with serve_folder(tmp_path) as web:
        for number, source in enumerate((zipped, f"{web.address}/{zipped.name}")):
            dest = tmp_path / f"{number}.zarr"
            stemzarr.export(source, dest, view=View(scan_step=2), options=options)
            np.testing.assert_array_equal(stemzarr.open(dest).intensity, VALUES[::2, ::2])
            assert stemzarr.verify(dest).ok


def test_what_is_large_has_large_numbers(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond 2 GiB the other form of lengths is written and read."""
    monkeypatch.setattr("stemzarr.formats.zarr.zip_writer._ZIP64_BYTES", 100_000)
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100_000)
    stemzarr.export(store, tmp_path / "l.zarr.zip", options=ExportOptions(sync=False))
    np.testing.assert_array_equal(stemzarr.open(tmp_path / "l.zarr.zip").intensity, VALUES)


def test_results_are_left_out_and_named(store: Path, tmp_path: Path) -> None:
    """What people added is not covered by the manifest, and a note says that it is not there."""
    added = xr.Dataset({"strain": ("scan_y", np.arange(16.0))})
    added.to_zarr(store, group="analysis/mine", mode="a", consolidated=False)
    result = stemzarr.export(store, tmp_path / "r.zarr.zip", options=ExportOptions(sync=False))
    assert any("below analysis" in note for note in result.notes)
    assert stemzarr.verify(tmp_path / "r.zarr.zip").ok


@settings(max_examples=25)
@given(
    members=st.dictionaries(
        st.from_regex(r"[a-z]{1,3}(/[a-zé]{1,3}){0,2}", fullmatch=True),
        st.binary(max_size=200),
        max_size=6,
    ),
    comment=st.binary(max_size=30),
    data=st.data(),
)
def test_members_are_read_by_their_bytes(
    tmp_path: Path, members: dict[str, bytes], comment: bytes, data: st.DataObject
) -> None:
    """Any part of any member is that part of it, whatever else is in the file."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.comment = comment
        for name, content in members.items():
            archive.writestr(name, content)
    place = ZippedFolder(LocalFolder(tmp_path), "a.zip")
    assert sorted(place.list()) == sorted(members)
    for name, content in members.items():
        assert place.get(name) == content
        begin = data.draw(st.integers(0, len(content)))
        out = bytearray(data.draw(st.integers(0, len(content) - begin)))
        place.read_ranges(name, [(begin, memoryview(out))], place.stamp(name))
        assert bytes(out) == content[begin : begin + len(out)]
    with pytest.raises(FileNotFoundError):
        place.get("nothing")
    assert pickle.loads(pickle.dumps(place)) == place


@pytest.mark.parametrize("cut", [1, 30, 5000])
def test_a_file_that_was_cut_is_no_store(zipped: Path, cut: int) -> None:
    """Its directory is at its end: what is left is refused."""
    zipped.write_bytes(zipped.read_bytes()[:-cut])
    with pytest.raises(CorruptFileError, match="not a whole zip"):
        stemzarr.open(zipped)


def test_a_file_that_was_compressed_is_refused(store: Path, tmp_path: Path) -> None:
    """Members that are not stored cannot be read in parts."""
    with zipfile.ZipFile(tmp_path / "c.zarr.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for key in LocalFolder(store).list():
            archive.write(store / key, key)
    with pytest.raises(CorruptFileError, match="not stored"):
        stemzarr.open(tmp_path / "c.zarr.zip")


def test_a_flipped_byte_in_one_file_is_found(zipped: Path) -> None:
    """The chunk is named, and verify finds it."""
    content = bytearray(zipped.read_bytes())
    at = zipped.stat().st_size - 300_000
    content[at] ^= 1
    zipped.write_bytes(content)
    with pytest.raises(DamagedStoreError, match="chunk"):
        stemzarr.open(zipped).intensity.load()
    assert not stemzarr.verify(zipped).ok


def test_one_file_that_is_replaced_is_not_read_on(
    zipped: Path, make_source: Callable[..., Source], tmp_path: Path
) -> None:
    """Patterns of another store never come under the labels of the one that was opened."""
    scan = stemzarr.open(zipped, chunks=None)
    scan.intensity[0, 0].load()
    other = tmp_path / "other.zarr"
    write_store(make_source(VALUES[::-1].copy()), other, IngestOptions(sync=False))
    stemzarr.export(other, zipped, options=ExportOptions(sync=False, overwrite=True))
    os.utime(zipped, (2_000_000_000, 2_000_000_000))
    with pytest.raises(SourceChangedError):
        scan.intensity[15, 15].load()


def test_one_file_is_not_changed(zipped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What revises a store says that a file is only read, and leaves it as it is."""
    before = zipped.read_bytes()
    for words in (["calibrate", str(zipped), "det_x.scale=1"], ["redact", str(zipped), "--yes"]):
        assert run(words) != 0
        assert "read and not changed" in capsys.readouterr().err
    assert zipped.read_bytes() == before


def test_a_damaged_store_is_not_packed(store: Path, tmp_path: Path) -> None:
    """Each file is compared with the manifest, and no file is left."""
    content = bytearray((store / SHARD).read_bytes())
    content[100] ^= 1
    (store / SHARD).write_bytes(content)
    with pytest.raises(StemzarrError, match="not as it was written"):
        stemzarr.export(store, tmp_path / "d.zarr.zip")
    assert not (tmp_path / "d.zarr.zip").exists()


def test_one_file_on_the_web_is_read_by_its_parts(zipped: Path) -> None:
    """Few requests open it, one reads a pattern, and a verification reads it by long parts."""
    pytest.importorskip("obstore")
    os.utime(zipped, (1_900_000_000, 1_900_000_000))
    with serve_folder(zipped.parent) as web:
        address = f"{web.address}/{zipped.name}"
        scan = stemzarr.open(address, chunks=None)
        assert len(web.asked) <= 3
        web.asked.clear()
        np.testing.assert_array_equal(scan.intensity[2, 3], VALUES[2, 3])
        assert [one.method for one in web.asked] == ["GET"]
        web.asked.clear()
        assert stemzarr.verify(address).ok
        assert len(web.asked) <= 8
        assert web.sent <= 1.01 * zipped.stat().st_size + 2 * 128 * 1024
        found: dict[str, Any] = stemzarr.info(address)
        assert found["path"] == address
