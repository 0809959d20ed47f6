"""The files that a store is made from: recorded, digested on the way, watched for changes."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xxhash
from numpy.typing import NDArray

from stemzarr.errors import ReadError, SourceChangedError
from stemzarr.model import ArrayBlocks, Source
from stemzarr.options import IngestOptions
from stemzarr.registry import read_source
from stemzarr.storage.fingerprints import digest_files, files_below, sample_files, state_of
from stemzarr.store import is_source_of, read_record, verify_store, write_store
from stemzarr.store.ingest import origin
from stemzarr.testing import DMImage, write_dm
from stemzarr.testing.sources import document_of, source_of

NO_SYNC = IngestOptions(sync=False, threads=1)
COUNTS = np.arange(4 * 5 * 8 * 8, dtype=np.uint16).reshape(4, 5, 8, 8)


def write_hdf5(path: Path, **attributes: float) -> Path:
    """Write a scan with attributes beside it."""
    with h5py.File(path, "w") as file:
        file["scan"] = COUNTS
        file["scan"].attrs.update(attributes)
    return path


def of_parts(folder: Path, **rest: Any) -> Source:
    """Return a source of three files."""
    main = source_of(folder / "scan.master", [document_of(COUNTS, "4d-stem")], **rest)
    parts = (folder / "raw" / "b.bin", folder / "raw" / "a.bin")
    (folder / "raw").mkdir(exist_ok=True)
    for number, part in enumerate(parts):
        part.write_bytes(bytes([number]) * 1000)
        os.utime(part, ns=(10**18 + number, 10**18 + number))
    states = [path.stat() for path in (main.path, *parts)]
    return dataclasses.replace(
        main,
        parts=parts,
        size=sum(state.st_size for state in states),
        modified_ns=max(state.st_mtime_ns for state in states),
    )


@pytest.mark.parametrize("threshold", [2**40, 0])
def test_all_bytes_of_all_files_are_recorded(
    tmp_path: Path, threshold: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the digest is taken beside the ingest or after it, it is that of each whole file."""
    monkeypatch.setattr(origin, "_LEAD_BYTES", threshold)
    source = of_parts(tmp_path)
    write_store(source, tmp_path / "x.zarr", NO_SYNC)
    files = read_record(tmp_path / "x.zarr")["files"]
    assert [file["name"] for file in files] == ["scan.master", "raw/b.bin", "raw/a.bin"]
    for file, path in zip(files, source.files, strict=True):
        assert file["xxh3"] == xxhash.xxh3_128_hexdigest(path.read_bytes())
        assert (file["size"], file["modified_ns"]) == (
            path.stat().st_size,
            path.stat().st_mtime_ns,
        )


def test_a_failing_ingest_stops_its_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is that of the ingest, and no thread waits for pixels that never come."""
    monkeypatch.setattr(origin, "_LEAD_BYTES", 0)

    class Failing(ArrayBlocks):
        def read_into(self, out: NDArray[Any], start: Sequence[int]) -> None:
            del out, start
            raise ReadError("fails", path="x", hint="h")

    document = document_of(COUNTS, "4d-stem", blocks=Failing(COUNTS))
    source = source_of(tmp_path / "source.bin", [document])
    with pytest.raises(ReadError, match="fails"):
        write_store(source, tmp_path / "x.zarr", NO_SYNC)


def test_a_redacted_store_names_no_folder(tmp_path: Path) -> None:
    """Of the path of a part its last name is left."""
    options = dataclasses.replace(NO_SYNC, redact=True)
    write_store(of_parts(tmp_path), tmp_path / "x.zarr", options)
    record = read_record(tmp_path / "x.zarr")
    assert [file["name"] for file in record["files"]] == ["scan.master", "b.bin", "a.bin"]
    assert record.get("path") is None


@pytest.mark.parametrize("part", [0, 1, 2])
@pytest.mark.parametrize("how", ["touched", "longer", "gone"])
def test_a_change_of_any_file_is_noticed(tmp_path: Path, part: int, how: str) -> None:
    """Also when one of several files changes while its pixels are read."""
    source = of_parts(tmp_path)
    path = source.files[part]

    class Changing(ArrayBlocks):
        def read_into(self, out: NDArray[Any], start: Sequence[int]) -> None:
            super().read_into(out, start)
            change(path, how)

    for blocks in (None, Changing(COUNTS)):
        source = of_parts(tmp_path)
        if blocks is None:
            change(path, how)
        else:
            document = document_of(COUNTS, "4d-stem", blocks=blocks)
            source = dataclasses.replace(source, documents=(document,))
        with pytest.raises(SourceChangedError, match=r"changed since|is gone since"):
            write_store(source, tmp_path / "x.zarr", NO_SYNC)
        assert not (tmp_path / "x.zarr").exists()
        path.unlink(missing_ok=True)


def change(path: Path, how: str) -> None:
    """Change a file, once."""
    if how == "gone":
        path.unlink(missing_ok=True)
    elif how == "longer":
        path.write_bytes(b"another")
    else:
        os.utime(path, (2e9, 2e9))


def test_a_file_of_equal_values_is_not_taken_for_the_original(tmp_path: Path) -> None:
    """Another attribute makes another file, though every value and label is the same."""
    first = write_hdf5(tmp_path / "first.h5", gain=1.0)
    other = write_hdf5(tmp_path / "other.h5", gain=2.0)
    assert first.stat().st_size == other.stat().st_size
    write_store(read_source(first), tmp_path / "x.zarr", NO_SYNC)
    same = verify_store(tmp_path / "x.zarr", source=first)
    assert same.ok
    assert same.whole
    assert verify_store(tmp_path / "x.zarr", source=other).problems == (
        "other.h5: its bytes are not those that were ingested",
    )


def test_a_part_that_differs_is_another_original(tmp_path: Path) -> None:
    """Files are digested in their order, so that two that changed places are noticed."""
    one = digest_files(of_parts(tmp_path).files)
    source = of_parts(tmp_path)
    swapped = digest_files((source.path, *reversed(source.parts)))
    assert one != swapped
    assert sorted(one) == sorted(swapped)


def test_a_dm_file_is_known_by_its_store(tmp_path: Path) -> None:
    """No digest of the file is needed: a copy is compared with what the store can give back."""
    path, copy = tmp_path / "scan.dm4", tmp_path / "copy.dm4"
    write_dm(path, DMImage(data=COUNTS, swapped=True))
    write_store(read_source(path), tmp_path / "x.zarr", NO_SYNC)
    assert read_record(tmp_path / "x.zarr")["files"][0].get("xxh3") is None
    content = path.read_bytes()
    copy.write_bytes(content)
    assert is_source_of(copy, tmp_path / "x.zarr")
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(content), 40):
        changed = bytearray(content)
        changed[place] ^= 1
        copy.write_bytes(changed)
        assert not is_source_of(copy, tmp_path / "x.zarr"), f"byte {place}, seed 0"


def test_packed_pixels_are_compared_as_they_lie(tmp_path: Path) -> None:
    """The copy of a file whose FFT is stored as one half is known; one byte off, it is another."""
    rng = np.random.default_rng(0)
    plane = np.fft.fftshift(np.fft.fft2(rng.random((8, 8)))).astype(np.complex64)
    path, copy = tmp_path / "fft.dm4", tmp_path / "copy.dm4"
    write_dm(path, DMImage(data=plane, packed=True), thumbnail=False)
    source = read_source(path)
    write_store(source, tmp_path / "x.zarr", NO_SYNC)
    content = path.read_bytes()
    copy.write_bytes(content)
    assert is_source_of(copy, tmp_path / "x.zarr")
    packed = next(segment for segment in source.segments if segment.encoding != "plain")
    for place in range(packed.offset, packed.offset + packed.nbytes, 7):
        changed = bytearray(content)
        changed[place] ^= 1
        copy.write_bytes(changed)
        assert not is_source_of(copy, tmp_path / "x.zarr"), f"byte {place}"


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 2**20, 2**20 + 1, 3 * 2**20])
def test_samples_tell_heads_tails_and_sizes_apart(tmp_path: Path, size: int) -> None:
    """A byte more, another head or tail gives another digest; the same bytes the same."""
    path, other = tmp_path / "a", tmp_path / "b"
    content = np.random.default_rng(size).bytes(size)
    path.write_bytes(content)
    other.write_bytes(content)
    assert sample_files([path]) == sample_files([other])
    for changed in (content + b"x", b"y" + content[1:], content[:-1] + b"z"):
        if changed != content:
            other.write_bytes(changed)
            assert sample_files([path]) != sample_files([other])


def test_a_folder_is_all_that_is_below_it(tmp_path: Path) -> None:
    """Its digest covers names and bytes; what file managers leave there is no part of it."""
    folder = tmp_path / "scan.zspy"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "x").write_bytes(b"12")
    (folder / "y").write_bytes(b"3")
    state, digest = state_of(folder, tmp_path), digest_files([folder])
    assert (state.name, state.size) == ("scan.zspy", 3)
    (folder / ".DS_Store").write_bytes(b"litter")
    (folder / "sub" / "._x").write_bytes(b"litter")
    assert (state_of(folder, tmp_path), digest_files([folder])) == (state, digest)
    (folder / "y").rename(folder / "z")
    assert digest_files([folder]) != digest
    assert [path.name for path in files_below(folder)] == ["x", "z"]
