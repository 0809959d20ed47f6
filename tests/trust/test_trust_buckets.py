"""What is published to a bucket: all or nothing, in few requests, with what its server can do."""

from __future__ import annotations

import dataclasses
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import stemzarr
from stemzarr.errors import ReadError, SourceNotFoundError, StemzarrError, StoreExistsError
from stemzarr.options import IngestOptions, PublishOptions
from stemzarr.storage import probing
from stemzarr.storage.address import RemotePath
from stemzarr.storage.cached import cache_folder
from stemzarr.storage.local import LocalFolder
from stemzarr.storage.remote import RemoteFolder
from stemzarr.store import publish_store, revise, verify_store
from stemzarr.testing import write_synthetic_dm4
from stemzarr.testing.faults import Crash
from stemzarr_catalog import Lake, open_lake, tables
from stemzarr_catalog.committing import Sent, commit
from stemzarr_catalog.index import Index
from stemzarr_catalog.notes import Notes
from stemzarr_catalog.publishing import publish_lake
from stemzarr_catalog.reconcile import read_row
from stemzarr_catalog.record import read_digest
from stemzarr_catalog.snapshot import put_snapshot, read_state

pytest.importorskip("obstore")
werkzeug_app = pytest.importorskip("moto.moto_server.werkzeug_app")
from stemzarr.testing.web import serve_bucket  # noqa: E402 - it needs both

FAST = PublishOptions()
WRITERS, TURNS = 2, 3


class Server:
    """A bucket whose requests are counted, and which may heed no condition."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.asked: list[str] = []
        self.heeds = True
        self.lock = threading.Lock()
        self.conflicts = 0
        self.lost = 0

    def at(self, name: str) -> RemotePath:
        """Return an address in the bucket."""
        scheme, _, rest = self.address.partition("://")
        return RemotePath(f"{scheme}:/{rest}/{name}")

    def take(self, environ: dict[str, Any]) -> None:
        """Note a request, and take its conditions away where none are heeded."""
        is_list = "list-type" in environ.get("QUERY_STRING", "")
        self.asked.append("LIST" if is_list else environ["REQUEST_METHOD"])
        if not self.heeds:
            for name in ("HTTP_IF_NONE_MATCH", "HTTP_IF_MATCH"):
                environ.pop(name, None)

    def hinder(self, environ: dict[str, Any], answer: Callable[[], Any]) -> bytes | None:
        """Return what is answered to one that creates an object, in place of what would be."""
        creates = environ.get("HTTP_IF_NONE_MATCH") == "*"
        if creates and self.lost:
            self.lost -= 1
            list(answer())
            return b"<Error><Code>InternalError</Code></Error>"
        if creates and self.conflicts:
            self.conflicts -= 1
            return b"<Error><Code>ConditionalRequestConflict</Code></Error>"
        return None


@pytest.fixture(scope="module")
def served() -> Iterator[Server]:
    """Serve a bucket for all tests."""
    answer = werkzeug_app.DomainDispatcherApplication.__call__
    with pytest.MonkeyPatch.context() as patch, serve_bucket() as address:
        server = Server(address)

        def call(app: Any, environ: dict[str, Any], start: Any) -> Any:
            # As a server does, which decides on one request for an object after the other.
            with server.lock:
                server.take(environ)
                said = server.hinder(environ, lambda: answer(app, environ, lambda *_: None))
                if said is None:
                    return answer(app, environ, start)
            status = "500 Internal Server Error" if b"Internal" in said else "409 Conflict"
            start(status, [("Content-Length", str(len(said))), ("Content-Type", "application/xml")])
            return [said]

        patch.setattr(werkzeug_app.DomainDispatcherApplication, "__call__", call)
        yield server


@pytest.fixture
def server(served: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """Return the bucket, of which nothing is known yet."""
    monkeypatch.setattr(probing, "_known", {})
    served.asked.clear()
    served.heeds = True
    return served


def drop_all() -> None:
    """Forget the indexes that are kept on this machine."""
    folder = cache_folder()
    assert folder is not None
    shutil.rmtree(folder, ignore_errors=True)


def copy_of(address: RemotePath, folder: Path) -> Path:
    """Return a folder with all objects below an address."""
    place = RemoteFolder(address)
    for key in place.list():
        LocalFolder(folder).put(key, place.get(key))
    return folder


def files_of(folder: Path) -> dict[str, bytes]:
    """Return all files of a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_store_in_a_bucket_is_equal_and_costs_a_request_a_file(
    server: Server, tiny_store: Path, tmp_path: Path
) -> None:
    """A PUT a file, two listings and the probe; again, a listing and three GETs.

    Where one object was lost, a PUT and the listing that sees it come on top.
    """
    address = server.at("count/x.zarr")
    files = files_of(tiny_store)
    assert publish_store(tiny_store, address, FAST).status == "published"
    probed, sent = server.asked[1:9], [server.asked[0], *server.asked[9:]]
    assert sorted(probed) == ["GET", "GET", "LIST", "POST", "PUT", "PUT", "PUT", "PUT"]
    assert sorted(sent) == ["LIST", "LIST", *["PUT"] * len(files)]
    assert files_of(copy_of(address, tmp_path / "down")) == files
    server.asked.clear()
    assert publish_store(tiny_store, address, FAST).status == "unchanged"
    assert sorted(server.asked) == ["GET", "GET", "GET", "LIST"]
    RemoteFolder(address).delete("scan_x/c/0")
    server.asked.clear()
    assert publish_store(tiny_store, address, FAST).files == 1
    assert sorted(server.asked) == ["GET", "GET", "GET", "LIST", "LIST", "PUT"]


def test_another_version_in_a_bucket_is_refused_or_replaced(
    server: Server, tiny_store: Path, tmp_path: Path
) -> None:
    """Only with overwrite, which sends what differs and nothing else."""
    address = server.at("versions/x.zarr")
    publish_store(tiny_store, address, FAST)
    other = Path(shutil.copytree(tiny_store, tmp_path / "other.zarr"))
    revise(other, {"camera_length_mm": 80.0})
    with pytest.raises(StoreExistsError, match="version of this"):
        publish_store(other, address, FAST)
    done = publish_store(other, address, dataclasses.replace(FAST, overwrite=True))
    assert done.status == "replaced"
    assert done.files < len(files_of(other)) / 2
    assert files_of(copy_of(address, tmp_path / "down")) == files_of(other)


def test_what_a_server_does_not_heed_is_said(server: Server, tiny_store: Path) -> None:
    """It creates an object twice, and gives parts of any version: what that means is said."""
    assert probing.probe(RemoteFolder(server.at("probe"))).creates_once
    assert len(server.asked) <= 10
    probing._known.clear()
    server.heeds = False
    done = publish_store(tiny_store, server.at("careless/x.zarr"), FAST)
    assert done.status == "published"
    assert any("twice" in caution for caution in done.cautions)
    assert any("If-Match" in caution for caution in done.cautions)
    assert publish_store(tiny_store, server.at("careless/x.zarr"), FAST).status == "unchanged"
    left = [key for key in RemoteFolder(server.at("careless")).list() if "probe" in key]
    assert left == []


@pytest.mark.parametrize("how", ["conflicts", "lost"])
def test_a_creation_that_collides_or_is_not_answered_is_made_again(
    server: Server, tiny_store: Path, how: str
) -> None:
    """Of two that create at one moment one is refused (409), and an answer may not arrive."""
    address = server.at(f"{how}/x.zarr")
    probing.probe(RemoteFolder(server.at("probe")))
    setattr(server, how, 1)
    assert publish_store(tiny_store, address, FAST).status == "published"
    assert (server.conflicts, server.lost) == (0, 0)
    assert publish_store(tiny_store, address, FAST).status == "unchanged"


def test_a_bucket_is_read_by_few_requests(server: Server, tiny_store: Path) -> None:
    """Two open a store and one reads a pattern, nothing is listed; verify asks once for a file."""
    address = server.at("read/x.zarr")
    publish_store(tiny_store, address, FAST)
    server.asked.clear()
    scan = stemzarr.open(address, chunks=None)
    assert server.asked == ["GET", "GET"]
    scan.intensity[1, 2].load()
    # A shard that was put in the same second as the root is asked for the root once more.
    assert [one for one in server.asked if one != "HEAD"] == ["GET"] * 3
    server.asked.clear()
    assert verify_store(address).ok
    assert sorted(server.asked) == [*["GET"] * len(files_of(tiny_store)), "LIST"]


def test_a_published_store_is_a_source_too(
    server: Server, tiny_store: Path, tmp_path: Path
) -> None:
    """It is copied back, compared with its manifest on the way."""
    address = server.at("back/x.zarr")
    publish_store(tiny_store, address, FAST)
    assert publish_store(address, tmp_path / "back.zarr", FAST).status == "published"
    assert files_of(tmp_path / "back.zarr") == files_of(tiny_store)
    assert verify_store(address).ok


def test_a_lake_in_a_bucket_is_a_lake_where_it_is_copied(server: Server, tmp_path: Path) -> None:
    """Stores, notes and catalog of all that is there, also of what was there before."""
    lake = open_lake(tmp_path / "lake", create=True)
    for name in ("a", "b"):
        write_synthetic_dm4(tmp_path / f"{name}.dm4", (3, 4), (8, 8), seed=ord(name))
        lake.ingest(tmp_path / f"{name}.dm4", options=IngestOptions(sync=False))
    lake.tag("a", "good")
    address = server.at("lake")
    for query in ("name=a", "name=b"):
        [done] = publish_lake(lake, address, query, PublishOptions(sha256=query == "name=b"))
        assert done.error is None
    copy = open_lake(copy_of(address, tmp_path / "down"), read_only=True)
    assert copy.names() == ["a", "b"]
    assert copy.names("tag=good") == ["a"]
    assert verify_store(copy["b"].path).ok
    assert "stores/a.zarr/zarr.json" in (tmp_path / "down" / "manifest-sha256.txt").read_text()
    lake.tag("a", remove=("good",))
    list(publish_lake(lake, address, "name=a", PublishOptions(redact=False)))
    assert not any(RemoteFolder(address).list("notes"))
    RemoteFolder(address).put("mine.txt", b"a letter")
    with pytest.raises(StoreExistsError, match=r"mine\.txt"):
        list(publish_lake(lake, address))


def lake_of(folder: Path, names: str) -> Lake:
    """Return a lake with an entry for each letter."""
    lake = open_lake(folder / "lake", create=True)
    for name in names:
        write_synthetic_dm4(folder / f"{name}.dm4", (2, 3), (4, 4), seed=ord(name))
        lake.ingest(folder / f"{name}.dm4", options=IngestOptions(sync=False))
    return lake


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Return a lake of two entries, which no test changes."""
    return lake_of(tmp_path_factory.mktemp("home"), "ab")


@pytest.fixture(scope="module")
def shared(served: Server, home: Lake) -> RemotePath:
    """Return where it was published; each test leaves it whole."""
    address = served.at("shared")
    assert all(one.error is None for one in publish_lake(home, address))
    return address


def test_a_published_lake_opens_by_two_requests_and_later_by_one(
    server: Server, home: Lake, shared: RemotePath
) -> None:
    """Its index is kept on this machine; entries are found, and their pixels are those at home."""
    drop_all()
    server.asked.clear()
    opened = open_lake(str(shared))
    assert server.asked == ["GET", "GET"]
    assert opened.names("kind=4d-stem") == ["a", "b"]
    assert [opened[name].facts for name in "ab"] == [home[name].facts for name in "ab"]
    server.asked.clear()
    assert open_lake(shared).names() == ["a", "b"]
    opened.refresh()
    assert server.asked == ["GET", "GET"]
    np.testing.assert_array_equal(opened["a"].open().intensity, home["a"].open().intensity)
    assert str(opened["a"].path) == f"{shared}/stores/a.zarr"
    with pytest.raises(ReadError, match="no such bucket"):
        open_lake("s3://another-bucket/shared")
    with pytest.raises(SourceNotFoundError, match="no published lake"):
        open_lake(server.at("elsewhere"))


def test_publishers_of_one_lake_lose_nothing_of_each_other(server: Server, home: Lake) -> None:
    """Each adds entries of its own while the others do: all are listed, and each state follows."""
    store, address = home["a"].path, server.at("together")
    place, raised = RemoteFolder(address), []
    root = (store / "zarr.json").read_bytes()
    sent = Sent(store=store, digest=read_digest(store), notes=Notes())

    def publish(number: int) -> None:
        try:
            for turn in range(TURNS):
                name = f"{number}-{turn}"
                place.put(f"stores/{name}.zarr/zarr.json", root)
                commit(address, place, {name: sent}, PublishOptions(threads=1))
        except StemzarrError as error:
            raised.append(error)

    threads = [threading.Thread(target=publish, args=(number,)) for number in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert raised == []
    expected = sorted(f"{number}-{turn}" for number in range(WRITERS) for turn in range(TURNS))
    assert open_lake(address).names() == expected
    # No state was skipped: each publication moved the one that was there.
    assert json.loads(place.get("lake.json"))["version"] == WRITERS * TURNS


@pytest.mark.usefixtures("server")
def test_another_lab_publishes_to_the_same_place(
    home: Lake, shared: RemotePath, tmp_path: Path
) -> None:
    """Catalog, page and pictures name the entries of both; what was deleted goes.

    A publication that finds all there moves nothing.
    """
    place = RemoteFolder(shared)
    other = lake_of(tmp_path, "c")
    other.tag("c", "old")
    assert all(one.error is None for one in publish_lake(other, shared))
    before = place.get("lake.json")
    list(publish_lake(home, shared))
    assert place.get("lake.json") == before
    assert sorted(yaml.safe_load(place.get("catalog.yaml"))["sources"]) == [*"abc", "lake"]
    page = place.get("index.html").decode()
    for name in "abc":
        assert f"./pictures/{name}/bright_field.png" in page
        assert place.get(f"pictures/{name}/bright_field.png").startswith(b"\x89PNG")
    other.calibrate("c", {"camera_length_mm": 70.0})
    other.tag("c", "new", remove=("old",))
    list(publish_lake(other, shared, options=PublishOptions(overwrite=True)))
    assert open_lake(shared).names("tag=new camera_length_mm=70 not tag=old") == ["c"]
    place.delete("stores/c.zarr")
    list(publish_lake(home, shared, "name=a"))
    assert open_lake(shared).names() == ["a", "b"]


@pytest.mark.parametrize("what", ["missing", "flipped", "no lake.json", "noise"])
@pytest.mark.usefixtures("server")
def test_a_lake_that_is_damaged_is_whole_after_the_next_publication(
    home: Lake, shared: RemotePath, what: str
) -> None:
    """One error says so until then; the index is made again from the stores that are there."""
    drop_all()
    place = RemoteFolder(shared)
    said = json.loads(place.get("lake.json"))
    if what == "missing":
        place.delete(said["index"])
    elif what == "flipped":
        content = bytearray(place.get(said["index"]))
        content[len(content) // 2] ^= 1
        place.put(said["index"], bytes(content))
    elif what == "noise":
        place.put("lake.json", b'{"stemzarr_lake": 1}')
    else:
        place.delete("lake.json")
    with pytest.raises(StemzarrError) as caught:
        open_lake(shared)
    assert "publish" in str(caught.value.hint)
    list(publish_lake(home, shared, "name=a"))
    assert open_lake(shared).names() == ["a", "b"]


@pytest.mark.parametrize("late", [False, True], ids=["refused", "answer lost"])
@pytest.mark.usefixtures("server")
def test_a_lake_is_published_or_not_whenever_it_stops(
    home: Lake, shared: RemotePath, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    """Killed at each change of the lake: readers have the state before or after, whole."""
    place, calls = RemoteFolder(shared), [0]
    said = json.loads(place.get("lake.json"))
    index, row = Index(None), read_row(home.path, "a")[0]
    with index.writing() as connection:
        tables.put_rows(connection, [row])
    before = put_snapshot(place, index, read_state(place), table=None).text
    assert json.loads(before)["previous"] == said["index"]

    def dying(name: str, at: int) -> Callable[..., Any]:
        method = getattr(RemoteFolder, name)

        def call(*args: Any, **options: Any) -> Any:
            calls[0] += 1
            if calls[0] == at and not late:
                raise Crash
            answer = method(*args, **options)
            if calls[0] == at:
                raise Crash
            return answer

        return call

    seen = set()
    for at in range(1, 40):
        place.put("lake.json", before)
        calls[0] = 0
        with monkeypatch.context() as patch:
            for name in ("put", "put_if_absent", "swap", "delete"):
                patch.setattr(RemoteFolder, name, dying(name, at))
            try:
                list(publish_lake(home, shared, "name=b"))
                break
            except Crash:
                pass
        names = open_lake(shared).names()
        assert names in (["a"], ["a", "b"])
        seen.add(len(names))
    assert seen == {1, 2}
    assert open_lake(shared).names() == ["a", "b"]


def test_where_a_server_replaces_what_others_changed_it_is_said(server: Server, home: Lake) -> None:
    """It is published all the same, and one at a time is asked for."""
    server.heeds = False
    [done] = publish_lake(home, server.at("plain"), "name=a")
    assert done.publication is not None
    assert any("one machine at a time" in one for one in done.publication.cautions)
    assert open_lake(server.at("plain")).names() == ["a"]
