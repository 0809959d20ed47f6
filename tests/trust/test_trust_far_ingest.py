"""A source that is ingested straight into a bucket: absent or complete, resumed, never mixed."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import stemzarr
from stemzarr.errors import (
    OptionError,
    SourceNotFoundError,
    StoreBusyError,
    StoreExistsError,
    WriteError,
)
from stemzarr.model import Source
from stemzarr.options import IngestOptions
from stemzarr.storage import sending
from stemzarr.storage.address import RemotePath, as_source
from stemzarr.storage.cached import cache_folder
from stemzarr.storage.remote import RemoteFolder
from stemzarr.storage.sending import PartSink
from stemzarr.store import read_store, verify_store, write_store
from stemzarr.store.format import plan
from stemzarr.store.format.manifest import read_manifest
from stemzarr.store.format.tree import read_nodes
from stemzarr.store.ingest import write
from stemzarr.testing import write_synthetic_dm4
from stemzarr.testing.sources import document_of, source_of
from stemzarr_catalog import open_lake
from stemzarr_cli.program import run

pytest.importorskip("obstore")
pytest.importorskip("moto.moto_server.werkzeug_app")
from stemzarr.testing.web import serve_bucket

pytestmark = pytest.mark.filterwarnings("ignore:the server")
OPTIONS = IngestOptions(sync=False, threads=1)
SHARDS = 4
VALUES = np.random.default_rng(0).poisson(2.0, (16, 8, 32, 32)).astype(np.uint16)
CHANGES = ("put", "put_if_absent", "swap", "delete", "writing")


class Crash(BaseException):
    """The process dies."""


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """Serve a bucket."""
    with serve_bucket() as address:
        yield address


@pytest.fixture
def dest(bucket: str, request: pytest.FixtureRequest) -> RemotePath:
    """Return an address for a store, in a folder of its own."""
    return as_bucket(f"{bucket}/{request.node.name.replace('[', '-').strip(']')}/x.zarr")


def as_bucket(address: str) -> RemotePath:
    """Return an address as a path."""
    path = as_source(address)
    assert isinstance(path, RemotePath)
    return path


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    """Return a scan that becomes four shards."""
    for name, size in (("CHUNK_BYTES", 2**14), ("_LEAST_SHARD", 2**16), ("_SHARD_PATTERNS", 1)):
        monkeypatch.setattr(plan, name, size)
    return source_of(tmp_path / "x.bin", [document_of(VALUES, "4d-stem")])


def digests(store: Path) -> dict[str, tuple[int, str]]:
    """Return what the manifest says of all files but the record of the ingest."""
    files = read_manifest(store, read_nodes(store)).files
    return {key: state for key, state in files.items() if key != "source/zarr.json"}


def there(dest: RemotePath) -> list[str]:
    """Return all keys at a store and beside it."""
    return sorted(RemoteFolder(as_bucket(str(dest.parent))).list())


def test_a_bucket_gets_the_store_that_a_folder_gets(
    dest: RemotePath, source: Source, tmp_path: Path
) -> None:
    """The same files to the byte; nothing is left beside it, here or there."""
    near = write_store(source, tmp_path / "x.zarr", OPTIONS)
    far = write_store(source, dest, OPTIONS)
    assert digests(dest) == digests(tmp_path / "x.zarr")
    assert (far.stored_bytes, far.notes) == (near.stored_bytes, near.notes)
    assert verify_store(dest).ok
    assert len([key for key in there(dest) if "/intensity/c/" in key]) == SHARDS
    assert all(key.startswith("x.zarr/") for key in there(dest))
    work = Path(cache_folder() or "") / "work"
    assert not [path for path in work.rglob("*") if not path.is_dir()]
    with pytest.raises(StoreExistsError, match="exists already"):
        write_store(source, dest, OPTIONS)


def dying(patch: pytest.MonkeyPatch, at: int, *, late: bool) -> list[int]:
    """Let the process die at its change number `at`, before or after that is done."""
    count = [0]

    def step(act: Callable[[], Any]) -> Any:
        count[0] += 1
        if count[0] > at or (count[0] == at and not late):
            raise Crash
        answer = act()
        if count[0] == at:
            raise Crash
        return answer

    def wrapped(name: str) -> Callable[..., Any]:
        method = getattr(RemoteFolder, name)

        @contextlib.contextmanager
        def writing(*args: Any, **options: Any) -> Iterator[Any]:
            with contextlib.ExitStack() as stack:
                yield stack.enter_context(method(*args, **options))
                step(stack.pop_all().close)

        return writing if name == "writing" else lambda *a, **o: step(lambda: method(*a, **o))

    for name in CHANGES:
        patch.setattr(RemoteFolder, name, wrapped(name))
    # What is dead tidies nothing up.
    patch.setattr(write, "_keep_or_remove", lambda *_: True)
    return count


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
def test_a_store_in_a_bucket_is_absent_or_complete_whenever_its_ingest_dies(
    dest: RemotePath, source: Source, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    """Dead again and again, at any change: no reader finds half of it, and it resumes."""
    status = ""
    for died in range(30):
        with monkeypatch.context() as patch, contextlib.suppress(Crash):
            dying(patch, random.randint(1, 15 * (died + 1)), late=late)
            status = write_store(source, dest, OPTIONS).status
        if "x.zarr/zarr.json" in there(dest):
            break
        with pytest.raises(SourceNotFoundError):
            read_store(dest)
    assert died > 1
    assert status in ("", "resumed")
    assert verify_store(dest).ok
    np.testing.assert_array_equal(stemzarr.open(dest).intensity, VALUES)


def test_two_machines_never_mix_what_they_write(
    dest: RemotePath, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who comes second is refused, also while the first is dead; the first one resumes."""
    with monkeypatch.context() as patch:
        dying(patch, 3, late=True)
        with pytest.raises(Crash):
            write_store(source, dest, OPTIONS)
    with monkeypatch.context() as patch:
        patch.setenv("STEMZARR_CACHE", str(tmp_path / "another"))
        with pytest.raises(StoreExistsError, match="other things"):
            write_store(source, dest, OPTIONS)
    assert write_store(source, dest, OPTIONS).status == "resumed"
    other = as_bucket(str(dest.parent / "y.zarr"))
    with monkeypatch.context() as patch:
        dying(patch, 1, late=True)
        with pytest.raises(Crash):
            write_store(source, other, OPTIONS)
    monkeypatch.setenv("STEMZARR_CACHE", str(tmp_path / "another"))
    with pytest.raises(StoreBusyError, match="another machine") as busy:
        write_store(source, other, OPTIONS)
    claim = as_bucket(str(busy.value.hint).rpartition(" ")[2])
    RemoteFolder(as_bucket(str(claim.parent))).delete(claim.name)
    assert write_store(source, other, OPTIONS).status == "ingested"


def test_what_fails_before_a_shard_is_sent_leaves_nothing(
    dest: RemotePath, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No claim keeps others away from the name."""
    monkeypatch.setattr(write, "_write_pixels", crash)
    with pytest.raises(Crash):
        write_store(source, dest, OPTIONS)
    assert there(dest) == []


@pytest.mark.parametrize("name", ["virtual", "overwrite", "scheduler"])
def test_what_needs_a_folder_is_refused(dest: RemotePath, source: Source, name: str) -> None:
    """Before anything is sent."""
    options: dict[str, Any] = {name: "tcp://x" if name == "scheduler" else True}
    with pytest.raises(OptionError, match=f"{name} does not go with an address"):
        write_store(source, dest, IngestOptions(**options))
    assert there(dest) == []


def scans(folder: Path, names: str) -> list[str]:
    """Write a small scan for each letter."""
    for name in names:
        write_synthetic_dm4(folder / f"{name}.dm4", (2, 3), (4, 4), seed=ord(name))
    return [str(folder / f"{name}.dm4") for name in names]


def test_a_lake_in_a_bucket_grows_by_ingest(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is made, found again, listed for intake; what was shown and not listed is listed."""
    address = f"{bucket}/grows"
    place, files = RemoteFolder(as_bucket(address)), scans(tmp_path, "abc")
    given = ["--lake", address, "--json"]
    assert run(["ingest", *files[:2], *given]) == 0
    assert open_lake(address).names("kind=4d-stem") == ["a", "b"]
    capsys.readouterr()
    monkeypatch.setenv("STEMZARR_CACHE", str(tmp_path / "another machine"))
    with monkeypatch.context() as patch:
        patch.setattr("stemzarr_catalog.committing.commit", crash)
        with pytest.raises(Crash):
            open_lake(address).ingest(files[2], options=OPTIONS)
    assert open_lake(address).names() == ["a", "b"]
    assert run(["ingest", *files, *given]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["status"] for line in lines] == ["unchanged"] * 3
    lake = open_lake(address)
    assert lake.names() == ["a", "b", "c"]
    assert b"stores/c.zarr" in place.get("catalog.yaml")
    assert all(verify_store(entry.path).ok for entry in lake.search())
    (tmp_path / "more").mkdir()
    write_synthetic_dm4(tmp_path / "more" / "a.dm4", (2, 3), (4, 4), seed=9)
    assert run(["ingest", str(tmp_path / "more" / "a.dm4"), *given]) == 0
    assert [name for name in open_lake(address).names() if name not in "abc"] == ["more-a"]
    assert run(["ingest", files[0], "--overwrite", *given]) == 1
    assert run(["watch", str(tmp_path), *given]) == 2


def crash(*_: Any, **__: Any) -> None:
    """Die."""
    raise Crash


@given(
    st.lists(st.integers(0, 50), max_size=12),
    st.integers(1, 20),
    st.integers(0, 60),
    st.integers(0, 8),
)
def test_a_sink_sends_what_it_takes_or_nothing(
    sizes: list[int], part: int, in_memory: int, fails: int
) -> None:
    """In parts of one size, by one request where it is small; what fails is raised."""
    sent: list[bytes] = []

    def send(content: bytes | Iterator[bytes]) -> None:
        if isinstance(content, bytes):
            sent.append(content)
            return
        taken = []
        for piece in content:
            taken.append(piece)
            if len(taken) == fails:
                raise WriteError("full")
        assert all(len(piece) == part for piece in taken[:-1])
        sent.append(b"".join(taken))

    pieces = [bytes([number]) * size for number, size in enumerate(sizes)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sending, "PART_BYTES", part)
        patch.setattr(sending, "_IN_MEMORY", in_memory)
        sink = PartSink(send)
        try:
            for piece in pieces:
                sink.write(piece)
            sink.finish()
        except WriteError:
            sink.stop()
            assert fails
            assert not sent
        else:
            assert sent == [b"".join(pieces)]
        stopped = PartSink(lambda content: sent.append(b"".join(content)))  # type: ignore[arg-type]
        sent.clear()
        for piece in pieces:
            stopped.write(piece)
        stopped.stop()
        assert not sent
