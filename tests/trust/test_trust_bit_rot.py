"""Bit rot: found wherever it is, never read as data, and what is whole stays readable."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemzarr.errors import DamagedStoreError, StemzarrError
from stemzarr.model import read_box
from stemzarr.options import IngestOptions
from stemzarr.store import open_previews, plan_store, read_store, verify_store, write_store
from stemzarr.testing.sources import counted, document_of, source_of

_EACH = 3
"""Bytes flipped in each file of the tiny store, and files put in its place; a seed chooses them."""
THOROUGH = "STEMZARR_THOROUGH" in os.environ
"""Whether every byte of the tiny store is flipped, which takes minutes."""


def files_of(store: Path) -> list[Path]:
    """Return all files of a store, sorted."""
    return sorted(path for path in store.rglob("*") if path.is_file())


def readings(store: Path) -> Iterator[tuple[str, Any]]:
    """Yield all that can be read of a store, piece by piece, each under a name.

    A piece that cannot be read is not there; one that raises anything but an error of ours fails
    the test.
    """
    try:
        source = read_store(store)
    except StemzarrError:
        return
    yield "main", (source.main, source.complete, source.notes, source.segments)
    for name, load in (("metadata", source.load_metadata), ("header", source.load_header)):
        try:
            yield name, load()
        except StemzarrError:
            continue
    for document in source.documents:
        slug = document.slug
        yield f"{slug} labels", (document.dims, document.axes, document.group_attributes())
        yield f"{slug} types", (document.dtype, document.shape, document.statistics)
        for row in range(document.shape[0]):
            start = (row, *(0 for _ in document.shape[1:]))
            try:
                values = read_box(document.blocks, start, (1, *document.shape[1:]))
            except StemzarrError:
                continue
            yield f"{slug} {row}", values.tobytes()
        try:
            previews = open_previews(store, document.index)
        except StemzarrError:
            continue
        images = {name: array.to_numpy().tobytes() for name, array in previews.items()}
        yield f"{slug} previews", (previews.attrs, images)


def wrong_readings(store: Path, truth: dict[str, Any]) -> list[str]:
    """Return the names of what reads as something else than it was."""
    return [name for name, value in readings(store) if repr(value) != repr(truth[name])]


def check_damage(store: Path, file: Path, damaged: bytes | None, truth: dict[str, Any]) -> None:
    """Damage one file, see that it is found and that nothing wrong is read, and mend it."""
    content, times = file.read_bytes(), file.stat()
    if damaged is None:
        file.unlink()
    else:
        file.write_bytes(damaged)
    where = file.relative_to(store)
    try:
        assert not found_sound(store), f"{where} is damaged and verify is content"
        assert not wrong_readings(store, truth), f"{where} is damaged and reads as data"
    finally:
        file.write_bytes(content)
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


def found_sound(store: Path) -> bool:
    """Return whether verify finds nothing; a store that is none any more is found."""
    try:
        return verify_store(store, threads=1).ok
    except StemzarrError as error:
        assert str(store) in str(error)  # noqa: PT017 - damage may be told either way
        return False


@pytest.fixture(scope="module")
def truth(tiny_store: Path) -> dict[str, Any]:
    """Return all that the whole store reads as."""
    assert verify_store(tiny_store).ok
    return dict(readings(tiny_store))


def flips(store: Path) -> Iterator[tuple[Path, int]]:
    """Yield bytes of all files, evenly spread from a place that differs from run to run."""
    for file in files_of(store):
        size = file.stat().st_size
        step = 1 if THOROUGH else max(1, size // _EACH)
        yield from ((file, at) for at in range(random.randrange(step), size, step))


def test_no_flipped_byte_goes_unnoticed(tiny_store: Path, truth: dict[str, Any]) -> None:
    """A sample of all bytes of all files: verify finds each, and nothing is read wrongly."""
    count = 0
    for file, at in flips(tiny_store):
        damaged = bytearray(file.read_bytes())
        damaged[at] ^= 1 << (at % 8)
        check_damage(tiny_store, file, bytes(damaged), truth)
        count += 1
    assert count > len(files_of(tiny_store))


@settings(max_examples=60)
@given(data=st.data())
def test_no_damage_of_any_form_goes_unnoticed(
    tiny_store: Path, truth: dict[str, Any], data: st.DataObject
) -> None:
    """Bytes overwritten, cut off, inserted or appended anywhere; one file in another's place."""
    file = data.draw(st.sampled_from(files_of(tiny_store)))
    content = file.read_bytes()
    at = data.draw(st.integers(0, len(content)))
    gone = data.draw(st.integers(0, 40))
    new = data.draw(st.binary(max_size=40))
    other = data.draw(st.sampled_from(files_of(tiny_store))).read_bytes()
    damaged = data.draw(st.sampled_from([content[:at] + new + content[at + gone :], other]))
    if damaged == other and len(other) == len(content):
        return  # whole in itself: see the next test
    if damaged != content:
        check_damage(tiny_store, file, damaged, truth)


def test_no_exchange_of_two_files_goes_unnoticed(tiny_store: Path) -> None:
    """Files in the place of any other: verify finds it, and always where both are of one size."""
    contents = {file.read_bytes(): file for file in files_of(tiny_store)}
    equal = 0
    for content, file in contents.items():
        others = [other for other in contents if other != content]
        same = [other for other in others if len(other) == len(content)]
        equal += len(same)
        sample = others if THOROUGH else same + random.sample(others, _EACH)
        for wrong in sample:
            file.write_bytes(wrong)
            try:
                assert not found_sound(tiny_store), f"{file} holds {contents[wrong]}"
            finally:
                file.write_bytes(content)
    assert equal


def test_no_lost_cut_or_added_file_goes_unnoticed(tiny_store: Path, truth: dict[str, Any]) -> None:
    """Each file in turn is deleted, emptied, cut in half; and one is added in each folder."""
    for file in files_of(tiny_store):
        content = file.read_bytes()
        for damaged in (None, b"", content[: len(content) // 2]):
            check_damage(tiny_store, file, damaged, truth)
        added = file.with_name("added")
        added.write_bytes(b"x")
        assert not found_sound(tiny_store)
        assert not wrong_readings(tiny_store, truth)
        added.unlink()
    assert found_sound(tiny_store)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store of several shards with several chunks each."""
    folder = tmp_path_factory.mktemp("shards")
    values = counted((16, 8, 64, 64), seed=3)
    source = source_of(folder / "source.bin", [document_of(values)])
    options = IngestOptions(threads=1, sync=False, codec="lz4")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stemzarr.store.format.plan.CHUNK_BYTES", 2**14)
        patch.setattr("stemzarr.store.format.plan._LEAST_SHARD", 2**17)
        patch.setattr("stemzarr.store.format.plan._SHARD_PATTERNS", 1)
        array = plan_store(source, options).arrays[0]
        assert array.shards > 1 < len(list(array.chunks_of(array.shard_box(0))))
        write_store(source, folder / "shards.zarr", options)
    np.save(folder / "values.npy", values)
    return folder / "shards.zarr"


def test_a_damaged_chunk_is_named_and_its_neighbours_are_read(shards: Path) -> None:
    """The message says which chunk and which patterns; every other pattern has its values."""
    truth = np.load(shards.with_name("values.npy"))
    file = max(path for path in (shards / "intensity" / "c").rglob("*") if path.is_file())
    content = bytearray(file.read_bytes())
    content[10] ^= 1
    file.write_bytes(content)
    blocks = read_store(shards).document.blocks
    lost, said, chunk = [], set(), blocks.block_shape
    for y, x in np.ndindex(truth.shape[:2]):
        try:
            pattern = read_box(blocks, (y, x, 0, 0), (1, 1, *truth.shape[2:]))
        except DamagedStoreError as error:
            lost.append((y, x))
            said.add(error.message)
        else:
            assert np.array_equal(pattern[0, 0], truth[y, x])
    (first, last), (message,) = (lost[0], lost[-1]), said
    patterns = ", ".join(f"{a}:{b + 1}" for a, b in zip(first, last, strict=True))
    assert f"values [{patterns}, 0:64, 0:64]" in message
    assert f"chunk {first[0] // chunk[0]}/{first[1] // chunk[1]}/0/0 of intensity" in message
    assert len(lost) == chunk[0] * chunk[1]
    problems = verify_store(shards).problems
    content[10] ^= 1
    file.write_bytes(content)
    assert any("values [" in problem for problem in problems)


def test_a_lost_shard_raises_and_never_reads_as_zeros(shards: Path) -> None:
    """Through the blocks, the Dataset and dask; the other shards stay readable."""
    import stemzarr

    truth = np.load(shards.with_name("values.npy"))
    file = min(path for path in (shards / "intensity" / "c").rglob("*") if path.is_file())
    aside = shutil.move(file, shards.with_name("aside"))
    with stemzarr.open(shards) as dataset:
        with pytest.raises(DamagedStoreError, match="its shard is missing"):
            dataset["intensity"][0, 0].compute(scheduler="synchronous")
        with pytest.raises(DamagedStoreError):
            dataset["intensity"].mean().compute(scheduler="synchronous")
        assert np.array_equal(dataset["intensity"][-1, -1].to_numpy(), truth[-1, -1])
    shutil.move(aside, file)
