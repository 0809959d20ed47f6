"""A place for stores: what each verb promises, held by a folder and by one without any files."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import itertools
import os
import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemzarr.errors import OptionError, ReadError, SourceChangedError, StemzarrError
from stemzarr.model import Source, read_box
from stemzarr.options import IngestOptions
from stemzarr.storage.address import RemotePath, as_source
from stemzarr.storage.fingerprints import digest_of
from stemzarr.storage.foreign import is_foreign
from stemzarr.storage.local import LocalFolder, open_root
from stemzarr.storage.objects import Stamp, Writable
from stemzarr.storage.remote import RemoteFolder
from stemzarr.store import read_store, write_store
from stemzarr.store.blocks import StoreBlocks
from stemzarr.store.open import open_previews
from stemzarr.testing.web import serve_bucket, serve_folder

NO_SYNC = IngestOptions(sync=False)
KEYS: st.SearchStrategy[str] = st.sampled_from(
    ["a", "b/c", "b/d/e", "b/d/zarr.json", "zarr.json", "b/.DS_Store"]
)
STEPS = st.lists(st.tuples(st.sampled_from(["put", "writing", "delete"]), KEYS), max_size=8)


@dataclasses.dataclass(frozen=True)
class Memory:
    """Objects in memory, with nothing but keys: as a bucket has them."""

    root: Path = Path("memory")
    objects: dict[str, tuple[int, bytes]] = dataclasses.field(default_factory=dict, hash=False)
    versions: Iterator[int] = dataclasses.field(default_factory=itertools.count, hash=False)
    reads: list[str] = dataclasses.field(default_factory=list, hash=False)

    def _find(self, key: str) -> tuple[int, bytes]:
        if key not in self.objects:
            raise FileNotFoundError(key)
        return self.objects[key]

    def get(self, key: str) -> bytes:
        return self._find(key)[1]

    def stream(self, key: str) -> Iterator[memoryview]:
        content = memoryview(self._find(key)[1])
        yield from (content[at : at + 7] for at in range(0, len(content), 7))

    def read_ranges(self, key: str, ranges: Sequence[tuple[int, memoryview]], stamp: Stamp) -> None:
        self.reads.append(key)
        if key not in self.objects or self.stamp(key) != stamp:
            raise SourceChangedError("changed", path=key)
        for start, out in ranges:
            out[:] = self.get(key)[start : start + len(out)]

    far = True

    def expect(self, *keys: str) -> None:
        """Nothing takes long."""

    def read_end(self, key: str, out: memoryview, size: Callable[[], int]) -> Stamp:
        stamp = self.stamp(key)
        assert stamp.size == size()
        self.read_ranges(key, [(stamp.size - len(out), out)], stamp)
        return stamp

    def read_first(self, key: str, ranges: Sequence[tuple[int, memoryview]], size: int) -> Stamp:
        stamp = self.stamp(key)
        assert stamp.size == size
        self.read_ranges(key, ranges, stamp)
        return stamp

    def recall(self, key: str) -> Stamp:
        return self.stamp(key)

    def state(self, key: str, seen: Stamp) -> None:
        """Nobody else knows of it."""

    def stamp(self, key: str) -> Stamp:
        version, content = self._find(key)
        return Stamp(len(content), 0, str(version))

    def list(self, prefix: str = "") -> Iterator[str]:
        for key in list(self.objects):
            below = not prefix or key.startswith(f"{prefix}/")
            if below and not any(map(is_foreign, key.split("/"))):
                yield key

    def sizes(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        for key in self.list(prefix):
            yield key, len(self.get(key))

    def put(self, key: str, content: bytes, *, sync: bool = False) -> None:
        del sync
        self.objects[key] = next(self.versions), content

    @contextlib.contextmanager
    def writing(self, key: str, *, sync: bool = False) -> Iterator[io.BytesIO]:
        sink = io.BytesIO()
        yield sink
        self.put(key, sink.getvalue(), sync=sync)

    def put_if_absent(self, key: str, content: bytes, *, sync: bool = False) -> bool:
        del sync
        absent = key not in self.objects
        if absent:
            self.put(key, content)
        return absent

    def delete(self, key: str) -> None:
        for gone in [k for k in self.objects if not key or k == key or k.startswith(f"{key}/")]:
            del self.objects[gone]

    def flush(self, key: str) -> None:
        """Nothing waits in memory."""

    def settle(self) -> None:
        """Nothing is ever half done."""


@pytest.fixture(scope="module")
def bucket() -> Iterator[str | None]:
    """Give the address of an S3 bucket on this machine; None without what serves it."""
    if find_spec("obstore") is None or find_spec("moto") is None:
        yield None
        return
    with serve_bucket() as address:
        yield address


@pytest.fixture(params=["folder", "unshown", "memory", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path, bucket: str | None) -> Any:
    """Return a place of each kind, empty."""
    if request.param == "memory":
        return Memory()
    if request.param == "bucket":
        return in_bucket(bucket, tmp_path.name)
    parts = tmp_path / "parts" if request.param == "unshown" else None
    return LocalFolder(tmp_path / "root", parts=parts)


def in_bucket(bucket: str | None, name: str) -> RemoteFolder:
    """Return a folder of the bucket as a place."""
    if bucket is None:
        pytest.skip("needs obstore and moto")
    return RemoteFolder(RemotePath(f"{bucket}/{name}/root.zarr"))


@pytest.mark.parametrize("kind", ["folder", "unshown", "memory"])
@settings(max_examples=25)
@given(steps=STEPS)
def test_a_place_is_a_mapping_of_keys_to_bytes(
    tmp_path: Path, kind: str, steps: list[tuple[str, str]]
) -> None:
    """Whatever is put and deleted, every object that is left is there whole, and no other."""
    parts = tmp_path / "parts" if kind == "unshown" else None
    place = Memory() if kind == "memory" else LocalFolder(tmp_path / "root", parts=parts)
    check_mapping(place, steps)


@settings(max_examples=4)
@given(steps=STEPS)
def test_a_bucket_is_a_mapping_of_keys_to_bytes(
    bucket: str | None, tmp_path: Path, steps: list[tuple[str, str]]
) -> None:
    """The same over a network."""
    check_mapping(in_bucket(bucket, tmp_path.name), steps)


def check_mapping(place: Any, steps: list[tuple[str, str]]) -> None:
    """Compare a place with a dictionary in which the same was done."""
    place.delete("")
    known: dict[str, bytes] = {}
    for number, (step, key) in enumerate(steps):
        content = f"{number}".encode() * 3
        if step == "delete":
            place.delete(key)
            known.pop(key, None)
            continue
        if step == "put":
            place.put(key, content, sync=True)
        else:
            with place.writing(key) as sink:
                sink.write(content[:1])
                sink.write(content[1:])
        known[key] = content
    assert {key: place.get(key) for key in known} == known
    assert sorted(place.list()) == sorted(key for key in known if key != "b/.DS_Store")
    assert dict(place.sizes("b")) == {key: len(place.get(key)) for key in place.list("b")}
    assert sorted(place.list("b/d")) == sorted(key for key in known if key.startswith("b/d/"))
    for key, content in known.items():
        assert b"".join(map(bytes, place.stream(key))) == content
        assert digest_of(place, key)[0] == place.stamp(key).size == len(content)
        out = bytearray(2)
        ranges = [(2, memoryview(out)[1:]), (0, memoryview(out)[:1])]
        place.read_ranges(key, ranges, place.stamp(key))
        assert bytes(out) == content[:1] + content[2:3]
        assert place.read_end(key, memoryview(out), content.__len__) == place.stamp(key)
        assert bytes(out) == content[-2:]
        ranges = [(0, memoryview(out))]
        assert place.read_first(key, ranges, len(content)) == place.stamp(key)
        assert bytes(out) == content[:2]


def test_what_is_missing_or_changed_is_said(place: Any) -> None:
    """A missing object is a `FileNotFoundError`; parts of another object are never read."""
    for read in (place.get, place.stamp, lambda key: list(place.stream(key))):
        with pytest.raises(FileNotFoundError):
            read("a")
    place.delete("a")
    place.put("a", b"first")
    stamp = place.stamp("a")
    place.put("a", b"other")
    with pytest.raises(SourceChangedError):
        place.read_ranges("a", [(0, memoryview(bytearray(2)))], stamp)
    place.delete("a")
    with pytest.raises(SourceChangedError):
        place.read_ranges("a", [(0, memoryview(bytearray(2)))], stamp)


def test_what_fails_half_way_is_not_there(place: Any) -> None:
    """The object that was there stays until the block ends, and after a block that failed."""
    place.put("b/c", b"old")

    def fail() -> None:
        with place.writing("b/c") as sink:
            sink.write(b"new")
            assert place.get("b/c") == b"old"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert place.get("b/c") == b"old"
    assert list(place.list()) == ["b/c"]


def test_only_one_puts_what_is_absent(place: Any) -> None:
    """The first that puts an object wins; the others see that they did not."""
    place.put("x", b"")
    for key in ("lock", "a/b/lock"):
        assert place.put_if_absent(key, b"mine")
        assert not place.put_if_absent(key, b"yours")
        assert place.get(key) == b"mine"
    assert sorted(place.list()) == ["a/b/lock", "lock", "x"]


def test_a_folder_travels(tmp_path: Path) -> None:
    """A folder as a place is equal to its copy in another process."""
    place = LocalFolder(tmp_path, parts=tmp_path / "parts")
    assert pickle.loads(pickle.dumps(place)) == place


def test_a_bucket_travels_by_its_address(bucket: str | None, tmp_path: Path) -> None:
    """What is pickled is the address alone, and another process connects by it again."""
    place = in_bucket(bucket, tmp_path.name)
    place.put("key", b"content")
    pickled = pickle.dumps(place)
    assert b"secret" not in pickled
    assert "secret" not in repr(place)
    code = "import pickle, sys; print(pickle.load(sys.stdin.buffer).get('key'))"
    command = [sys.executable, "-c", code]
    other = subprocess.run(command, input=pickled, capture_output=True, check=True)
    assert other.stdout.strip() == b"b'content'"
    assert open_root(as_source(str(place.root))) == place


def test_large_objects_go_in_parts(bucket: str | None, tmp_path: Path) -> None:
    """An object beyond what is held in memory arrives whole."""
    place = in_bucket(bucket, tmp_path.name)
    piece = np.random.default_rng(0).bytes(5 * 1024**2)
    with place.writing("large") as sink:
        for _ in range(4):
            sink.write(piece)
    assert place.get("large") == 4 * piece
    out = bytearray(10)
    at = len(piece) - 5
    place.read_ranges("large", [(at, memoryview(out))], place.stamp("large"))
    assert bytes(out) == piece[-5:] + piece[:5]


@pytest.mark.parametrize(
    "address",
    [
        "https://user:secret@host/scan.zarr",
        "https://host/scan.zarr?X-Amz-Signature=secret",
        "s3://key:secret@bucket/scan.zarr",
        "https://host/scan.zarr#secret",
        "s3://bucket/../secret",
    ],
)
def test_an_address_with_a_secret_is_refused_and_not_repeated(address: str) -> None:
    """Credentials come from the environment: an address with one goes nowhere."""
    with pytest.raises(OptionError) as caught:
        as_source(address)
    assert "secret" not in str(caught.value)


def test_the_web_gives_ranges_of_one_object_alone(tmp_path: Path) -> None:
    """Parts come in few requests, and never of an object that was replaced, nor cut short."""
    pytest.importorskip("obstore")
    content = np.random.default_rng(0).bytes(3 * 1024**2)
    (tmp_path / "key").write_bytes(content)
    with serve_folder(tmp_path) as web:
        place = RemoteFolder(as_source(web.address))
        stamp = place.stamp("key")
        outs = [memoryview(bytearray(1000)) for _ in range(3)]
        starts = (10, 2000, 2_500_000)
        web.asked.clear()
        place.read_ranges("key", list(zip(starts, outs, strict=True)), stamp)
        assert [bytes(out) for out in outs] == [content[at : at + 1000] for at in starts]
        assert [one.method for one in web.asked] == ["GET", "GET"]
        assert place.get("key") == b"".join(map(bytes, place.stream("key"))) == content
        for etags in (True, False):
            web.etags = etags
            stamp = place.stamp("key")
            os.utime(tmp_path / "key", (1_000_000_000 + etags, 1_000_000_000 + etags))
            with pytest.raises(SourceChangedError):
                place.read_ranges("key", [(0, outs[0])], stamp)


@pytest.mark.parametrize(
    ("status", "said", "expected"),
    [
        (403, "AccessDenied secret", "denies access"),
        (400, "<Code>ExpiredToken</Code> secret", "have expired"),
        (404, "<Code>NoSuchBucket</Code> secret", "no such bucket"),
        (418, "secret", "answers 418"),
    ],
)
def test_what_a_server_refuses_is_said_without_its_words(
    tmp_path: Path, status: int, said: str, expected: str
) -> None:
    """An answer may repeat the request, with what signs it; the message never does."""
    pytest.importorskip("obstore")
    with serve_folder(tmp_path) as web:
        web.status, web.said = status, said
        with pytest.raises(ReadError, match=expected) as caught:
            RemoteFolder(as_source(web.address)).get("key")
    assert caught.value.hint
    assert "secret" not in "".join(traceback.format_exception(caught.value))


def test_a_server_without_ranges_is_said_before_anything_is_downloaded(tmp_path: Path) -> None:
    """One error, and no more than the beginning of the object was sent."""
    pytest.importorskip("obstore")
    (tmp_path / "key").write_bytes(bytes(1000))
    with serve_folder(tmp_path) as web:
        web.ranges = False
        place = RemoteFolder(as_source(web.address))
        out = memoryview(bytearray(10))
        with pytest.raises(ReadError, match="does not serve parts of objects"):
            place.read_ranges("key", [(0, out)], place.stamp("key"))


def test_errors_of_the_system_name_the_file(tmp_path: Path) -> None:
    """What cannot be written is named, with what to do."""
    (tmp_path / "file").touch()
    place = LocalFolder(tmp_path / "file")
    for write in (place.put, place.append, place.put_if_absent):
        with pytest.raises(StemzarrError, match="file/key") as caught:
            write("key", b"")
        assert caught.value.hint


def test_a_store_without_files_reads_as_the_folder(
    make_source: Callable[..., Source], tmp_path: Path
) -> None:
    """A store that is copied key by key to a place with nothing but keys has the same pixels."""
    values = np.arange(4 * 6 * 16 * 16, dtype=np.uint16).reshape(4, 6, 16, 16)
    write_store(make_source(values), tmp_path / "x.zarr", NO_SYNC)
    folder, memory = LocalFolder(tmp_path / "x.zarr"), Memory()
    target: Writable = memory
    for key in folder.list():
        target.put(key, folder.get(key))
    document = read_store(memory).document
    np.testing.assert_array_equal(read_box(document.blocks, (0,) * 4, values.shape), values)
    assert open_previews(memory).equals(open_previews(tmp_path / "x.zarr"))


def test_a_box_takes_one_read_of_each_shard(
    make_source: Callable[..., Source], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunks that are apart in a shard are read by one call, each from its own range."""
    monkeypatch.setattr("stemzarr.store.format.plan.CHUNK_BYTES", 2**10)
    values = np.random.default_rng(0).integers(0, 9, (8, 8, 16, 16), dtype=np.uint16)
    write_store(make_source(values), tmp_path / "x.zarr", NO_SYNC)
    folder, memory = LocalFolder(tmp_path / "x.zarr"), Memory()
    for key in folder.list():
        memory.put(key, folder.get(key))
    blocks = read_store(memory).document.blocks
    assert isinstance(blocks, StoreBlocks)
    read_box(blocks, (0,) * 4, (1, 1, 16, 16))
    memory.reads.clear()
    box = read_box(blocks, (0, 2, 0, 0), (8, 3, 16, 16))
    np.testing.assert_array_equal(box, values[:, 2:5])
    assert len(memory.reads) == 1
