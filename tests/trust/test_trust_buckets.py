"""What is published to a bucket: all or nothing, in few requests, with what its server can do."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stemzarr.errors import StoreExistsError
from stemzarr.options import IngestOptions, PublishOptions
from stemzarr.storage import probing
from stemzarr.storage.address import RemotePath
from stemzarr.storage.local import LocalFolder
from stemzarr.storage.remote import RemoteFolder
from stemzarr.store import publish_store, revise, verify_store
from stemzarr.testing import write_synthetic_dm4
from stemzarr_catalog import open_lake
from stemzarr_catalog.publishing import publish_lake

pytest.importorskip("obstore")
werkzeug_app = pytest.importorskip("moto.moto_server.werkzeug_app")
from stemzarr.testing.web import serve_bucket  # noqa: E402 - it needs both

FAST = PublishOptions()


class Server:
    """A bucket whose requests are counted, and which may heed no condition."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.asked: list[str] = []
        self.heeds = True

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


@pytest.fixture(scope="module")
def served() -> Iterator[Server]:
    """Serve a bucket for all tests."""
    answer = werkzeug_app.DomainDispatcherApplication.__call__
    with pytest.MonkeyPatch.context() as patch, serve_bucket() as address:
        server = Server(address)

        def call(app: Any, environ: dict[str, Any], start: Any) -> Any:
            server.take(environ)
            return answer(app, environ, start)

        patch.setattr(werkzeug_app.DomainDispatcherApplication, "__call__", call)
        yield server


@pytest.fixture
def server(served: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """Return the bucket, of which nothing is known yet."""
    monkeypatch.setattr(probing, "_known", {})
    served.asked.clear()
    served.heeds = True
    return served


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
    probed, sent = server.asked[1:8], [server.asked[0], *server.asked[8:]]
    assert sorted(probed) == ["GET", "GET", "LIST", "POST", "PUT", "PUT", "PUT"]
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
