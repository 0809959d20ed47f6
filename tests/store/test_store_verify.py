"""Damage of any kind is found and named; what is whole stays readable."""

from __future__ import annotations

import dataclasses
import errno
import inspect
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemzarr.errors import (
    DamagedStoreError,
    ReadError,
    SourceNotFoundError,
    StoreExistsError,
    UnsupportedDataError,
)
from stemzarr.model import Source, read_box
from stemzarr.options import IngestOptions, ReadOptions
from stemzarr.registry import read_source
from stemzarr.storage.local import LocalFolder
from stemzarr.storage.objects import Stamp
from stemzarr.store import read_record, read_store, rebuild, verify_store, write_store
from stemzarr.store.blocks import StoreBlocks
from stemzarr.store.format.shard import read_index
from stemzarr.store.upkeep import verify as verify_module
from stemzarr.testing import write_synthetic_dm4
from stemzarr.testing.sources import counted
from stemzarr_cli.program import run

NO_SYNC = IngestOptions(sync=False)


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small realistic dm4 with three documents."""
    path = tmp_path_factory.mktemp("dm") / "scan.dm4"
    write_synthetic_dm4(path, (4, 5), (16, 18))
    return path


@pytest.fixture(scope="module")
def whole(scan: Path) -> Path:
    """Return the store of that file."""
    store = scan.with_name("whole.zarr")
    write_store(read_source(scan), store, NO_SYNC)
    return store


def files(store: Path) -> list[Path]:
    """Return all files of a store, sorted."""
    return sorted(path for path in store.rglob("*") if path.is_file())


def test_a_whole_store_verifies_and_equals_its_source(scan: Path, whole: Path) -> None:
    """All files, chunks and values are counted, nothing is found."""
    report = verify_store(whole, source=scan)
    assert report.ok
    assert report.problems == ()
    assert report.rebuildable
    assert report.files == len(files(whole)) - 3
    assert report.nbytes == sum(document.nbytes for document in read_store(whole).documents)
    assert report.json()["ok"] is True


@settings(max_examples=150)
@given(data=st.data())
def test_any_flipped_bit_of_any_file_is_found(whole: Path, data: st.DataObject) -> None:
    """One flipped bit anywhere in the store, metadata included, is a problem."""
    path = data.draw(st.sampled_from(files(whole)), label="file")
    content = path.read_bytes()
    where = data.draw(st.integers(0, len(content) - 1), label="byte")
    damaged = bytearray(content)
    damaged[where] ^= 1 << data.draw(st.integers(0, 7), label="bit")
    path.write_bytes(damaged)
    try:
        try:
            assert not verify_store(whole).ok
        except (ValueError, SourceNotFoundError) as error:
            assert str(whole) in str(error)  # noqa: PT017 - a store that says it is none is found
    finally:
        path.write_bytes(content)


def test_every_lost_or_cut_or_added_file_is_found(whole: Path) -> None:
    """Each file of the store in turn: removed, cut by a byte; and one that does not belong."""
    for path in files(whole):
        content = path.read_bytes()
        path.write_bytes(content[:-1])
        if path != whole / "zarr.json":
            assert not verify_store(whole).ok, path
            path.unlink()
            assert not verify_store(whole).ok, path
        path.write_bytes(content)
    extra = whole / "intensity" / "c" / "9"
    extra.write_bytes(b"")
    assert verify_store(whole).problems == ("intensity/c/9: does not belong to the store",)
    extra.unlink()
    assert verify_store(whole).ok


@pytest.mark.parametrize(
    ("written", "instead"),
    [
        (b'"must_understand":false', b'"must_understand":0'),
        (b'"storage_transformers":[]', b'"storage_transformers":0'),
        (b'"storage_transformers":[]', b'"storage_transformers":null'),
        (b'"configuration":{}', b'"configuration":[]'),
    ],
)
def test_another_kind_of_nothing_is_found(
    whole: Path, tmp_path: Path, written: bytes, instead: bytes
) -> None:
    """What is empty may be left out of the root's metadata, but be nothing else."""
    copy = Path(shutil.copytree(whole, tmp_path / "copy.zarr"))
    root = copy / "zarr.json"
    metadata = root.read_bytes()
    assert written in metadata
    root.write_bytes(metadata.replace(written, instead, 1))
    assert verify_store(copy).problems


def test_a_shard_laid_out_anew_is_indexed_anew(whole: Path, tmp_path: Path) -> None:
    """What is kept of a shard holds for chunks of the shape that was asked for."""
    copy = Path(shutil.copytree(whole, tmp_path / "copy.zarr"))
    blocks = read_store(copy, ReadOptions()).documents[0].blocks
    assert isinstance(blocks, StoreBlocks)
    first = (0,) * len(blocks.shape)
    read_box(blocks, first, blocks.shape)
    halves = dataclasses.replace(blocks, chunk=(*blocks.chunk[:-1], blocks.chunk[-1] // 2))
    with pytest.raises(DamagedStoreError):
        read_box(halves, first, halves.shape)


def test_another_original_is_told_apart(scan: Path, whole: Path, tmp_path: Path) -> None:
    """One changed count, one changed byte of the header: both are named."""
    content = bytearray(scan.read_bytes())
    segment = max(read_store(whole).segments, key=lambda each: each.nbytes)
    content[segment.offset + 11] ^= 1
    (tmp_path / "count.dm4").write_bytes(content)
    (problem,) = verify_store(whole, source=tmp_path / "count.dm4").problems
    assert "differ from the original" in problem
    content[segment.offset + 11] ^= 1
    content[content.index("Microscopist".encode("utf-16-le"))] ^= 1
    (tmp_path / "header.dm4").write_bytes(content)
    report = verify_store(whole, source=tmp_path / "header.dm4")
    assert any("outside its pixels" in problem for problem in report.problems)


def test_what_is_undamaged_stays_readable(
    make_source: Callable[..., Source], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one chunk spoiled, all patterns of the others read as they were."""
    values = counted((4, 6, 16, 16))
    monkeypatch.setattr("stemzarr.store.format.plan.CHUNK_BYTES", 1024)
    write_store(make_source(values), tmp_path / "x.zarr", NO_SYNC)
    shard = tmp_path / "x.zarr/intensity/c/0/0/0/0"
    content = bytearray(shard.read_bytes())
    content[40] ^= 4
    shard.write_bytes(content)
    blocks = read_store(tmp_path / "x.zarr").document.blocks
    with pytest.raises(DamagedStoreError, match=r"\[0:1, 0:2, 0:16, 0:16\]"):
        read_box(blocks, (0, 0, 0, 0), (1, 1, 16, 16))
    np.testing.assert_array_equal(read_box(blocks, (1, 0, 0, 0), (3, 6, 16, 16)), values[1:])
    (problem,) = [p for p in verify_store(tmp_path / "x.zarr").problems if "chunk" in p]
    assert "checksum" in problem


@pytest.mark.parametrize("layout", ["detector-fast", "scan-fast"])
def test_the_original_comes_back_to_the_byte(tmp_path: Path, layout: str) -> None:
    """A dm4 of either layout, all its documents and tags, equals what its store rebuilds."""
    scan = tmp_path / "scan.dm4"
    write_synthetic_dm4(scan, (5, 6), (10, 12), layout=layout)  # type: ignore[arg-type]
    write_store(read_source(scan), tmp_path / "x.zarr", NO_SYNC)
    result = rebuild(tmp_path / "x.zarr", tmp_path / "again.dm4")
    assert result.exact
    assert (tmp_path / "again.dm4").read_bytes() == scan.read_bytes()
    with pytest.raises(StoreExistsError):
        rebuild(tmp_path / "x.zarr", tmp_path / "again.dm4")
    assert verify_store(tmp_path / "x.zarr", source=tmp_path / "again.dm4").ok


def test_sha256_is_recorded_and_checked(scan: Path, tmp_path: Path) -> None:
    """With `sha256` the record has the digest that any tool gives, and rebuilding checks it."""
    import hashlib

    write_store(read_source(scan), tmp_path / "x.zarr", IngestOptions(sync=False, sha256=True))
    digest = hashlib.sha256(scan.read_bytes()).hexdigest()
    assert read_record(tmp_path / "x.zarr")["sha256"] == digest
    rebuild(tmp_path / "x.zarr", tmp_path / "again.dm4")


def test_every_dm_sample_is_rebuilt(samples: Path, tmp_path: Path) -> None:
    """Files of all GMS versions and other writers come back to the byte and verify."""
    for path in sorted((samples / "dm").glob("*.dm[34]")):
        store, again = tmp_path / f"{path.name}.zarr", tmp_path / path.name
        write_store(read_source(path), store, NO_SYNC)
        assert verify_store(store, source=path).ok, path.name
        rebuild(store, again)
        assert again.read_bytes() == path.read_bytes(), path.name


def test_a_damaged_store_rebuilds_nothing(
    make_source: Callable[..., Source], scan: Path, tmp_path: Path
) -> None:
    """A lost shard leaves no file at the destination; a source without segments is refused."""
    write_store(read_source(scan), tmp_path / "x.zarr", NO_SYNC)
    (tmp_path / "x.zarr/intensity/c/0/0/0/0").unlink()
    with pytest.raises(DamagedStoreError):
        rebuild(tmp_path / "x.zarr", tmp_path / "again.dm4")
    write_store(make_source(counted((2, 2, 8, 8))), tmp_path / "y.zarr", NO_SYNC)
    with pytest.raises(UnsupportedDataError, match="every byte"):
        rebuild(tmp_path / "y.zarr", tmp_path / "again.dm4")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["source.bin", "x.zarr", "y.zarr"]


def spoil_reads(
    monkeypatch: pytest.MonkeyPatch, name: str, times: int, error: OSError | None
) -> list[Path]:
    """Let the first reads of files that are named so fail, or give a flipped byte."""
    struck: list[Path] = []
    digest, read = verify_module.digest_of, LocalFolder.read_ranges

    def is_struck(path: Path) -> bool:
        hit = path.as_posix().endswith(name) and len(struck) < times
        if hit:
            struck.append(path)
            if error is not None:
                raise error
        return hit

    def digested(store: LocalFolder, key: str) -> tuple[int, str]:
        return (0, "") if is_struck(store.root / key) else digest(store, key)

    def read_flipped(
        store: LocalFolder, key: str, ranges: list[tuple[int, memoryview]], stamp: Stamp
    ) -> None:
        hit = is_struck(store.root / key)
        read(store, key, ranges, stamp)
        if hit:
            ranges[0][1][len(ranges[0][1]) // 2] ^= 1

    monkeypatch.setattr(verify_module, "digest_of", digested)
    monkeypatch.setattr(LocalFolder, "read_ranges", read_flipped)
    return struck


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), None])
@pytest.mark.parametrize("name", ["intensity/c/0/0/0/0", "source/header/c/0", "x/zarr.json"])
def test_what_fails_once_is_a_note_and_no_damage(
    whole: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: OSError | None,
    name: str,
) -> None:
    """A failed or flipped read of any kind of file is noted, exit 0; one that lasts is damage."""
    struck = spoil_reads(monkeypatch, name, 1, error)
    assert run(["verify", str(whole)]) == 0
    assert struck
    said = capsys.readouterr()
    assert "could be read the second time" in said.err
    assert "sound" in said.out
    spoil_reads(monkeypatch, name, 10**6, error)
    report = verify_store(whole)
    assert not report.ok
    assert report.notes == ()


def test_a_chunk_that_fails_once_is_decoded_again(
    whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flipped read of pixels alone, behind the digests of files, is a note; counts are right."""
    before = verify_store(whole)
    read, struck = LocalFolder.read_ranges, []

    def flipped(
        store: LocalFolder, key: str, ranges: list[tuple[int, memoryview]], stamp: Stamp
    ) -> None:
        read(store, key, ranges, stamp)
        if not struck:
            struck.append(key)
            ranges[0][1][0] ^= 1

    monkeypatch.setattr(LocalFolder, "read_ranges", flipped)
    report = verify_store(whole, threads=1)
    assert struck
    assert report.ok
    assert len(report.notes) == 1
    assert (report.files, report.chunks, report.nbytes) == (
        before.files, before.chunks, before.nbytes,
    )  # fmt: skip


def test_metadata_that_cannot_be_read_once_are_read_again(
    whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed read of the root's metadata is a note; one that lasts is an error."""
    read, left = Path.read_bytes, [1]

    def failing(path: Path) -> bytes:
        if path == whole / "zarr.json" and "_open" in callers() and left[0]:
            left[0] -= 1
            raise OSError(errno.EIO, "Input/output error")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", failing)
    report = verify_store(whole)
    assert (left, report.ok, len(report.notes)) == ([0], True, 1)
    left[0] = 10**6
    with pytest.raises(ReadError, match="cannot be read"):
        verify_store(whole)


def callers() -> set[str]:
    """Return the names of the functions that are running."""
    return {frame.function for frame in inspect.stack()}


@pytest.mark.parametrize("lost", [False, True])
def test_neighbouring_damaged_chunks_are_one_line(
    make_source: Callable[..., Source],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    lost: bool,
) -> None:
    """Runs of damaged chunks of a shard are a line each, with their numbers and patterns."""
    monkeypatch.setattr("stemzarr.store.format.plan.CHUNK_BYTES", 1024)
    store = tmp_path / "x.zarr"
    write_store(make_source(counted((4, 6, 16, 16))), store, NO_SYNC)
    shard = store / "intensity/c/0/0/0/0"
    if lost:
        shard.unlink()
        expected = [("chunks 0 to 11", "patterns [0:4, 0:6]")]
    else:
        index = read_index(LocalFolder(shard.parent), shard.name, 12, lambda: 0).places
        content = bytearray(shard.read_bytes())
        for number in (1, 2, 3, 4, 7):
            content[int(index[number][0]) + 5] ^= 4
        shard.write_bytes(content)
        expected = [("chunks 1 to 4", "patterns [0:2, 0:6]"), ("chunk 2/1/0/0", "[2:3, 2:4,")]
    said = [problem for problem in verify_store(store).problems if "chunk" in problem]
    assert len(said) == len(expected)
    for words in expected:
        assert any(all(word in problem for word in words) for problem in said), said
