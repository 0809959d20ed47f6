"""A lake in the explorer: searched as ``ls`` does, live, and every entry a click away."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stemzarr.errors import EntryNotFoundError
from stemzarr.explorer import Explorer
from stemzarr_catalog import Lake
from stemzarr_catalog.exploring import LakeSubjects

Add = Callable[..., Path]
EVIL = "<script>alert(1)</script>"


@pytest.fixture
def subjects(lake: Lake) -> Iterator[LakeSubjects]:
    """Return the lake as what the explorer shows."""
    shown = LakeSubjects(lake)
    yield shown
    shown.close()


def test_what_changes_is_sent_and_nothing_else(
    subjects: LakeSubjects, lake: Lake, add: Add
) -> None:
    """An ingest and a tag appear; while nothing changes, no entry is sent."""
    state = subjects.entries("")["state"]
    assert subjects.entries(state) == {"state": state}
    lake.tag("scan", "good")
    tagged = subjects.entries(state)
    assert "good" in next(e for e in tagged["entries"] if e["name"] == "scan")["tags"]
    add("another")
    names = [entry["name"] for entry in subjects.entries(tagged["state"])["entries"]]
    assert "another" in names


def test_entries_open_and_have_pictures(subjects: LakeSubjects) -> None:
    """A scan has two; what is not there is said."""
    assert subjects.open("scan", None) is subjects.open("scan", None)
    assert subjects.open("scan", None).is_scan
    for number in range(2):
        assert subjects.picture("scan", number).startswith(b"\x89PNG")
    for ask in (
        lambda: subjects.picture("scan", 2),
        lambda: subjects.picture("nothing", 0),
        lambda: subjects.open("nothing", None),
        lambda: subjects.open("../scan", None),
        lambda: subjects.open("scan", "nothing"),
    ):
        with pytest.raises(EntryNotFoundError):
            ask()


def test_the_server_shows_the_gallery(subjects: LakeSubjects, lake: Lake) -> None:
    """Its page, whose policy lets its own script ask; entries; pictures; the page of a scan."""
    lake.tag("scan", EVIL)
    server = Explorer(subjects)
    ready = threading.Event()
    thread = threading.Thread(target=server.run, args=(ready.set,), name="stemzarr-served")
    thread.start()
    assert ready.wait(30)

    def ask(path: str) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        try:
            connection.request("GET", f"/{server.token}/{path}")
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    try:
        status, headers, page = ask("")
        assert (status, b"gallery" in page, b'"live":true' in page) == (200, True, True)
        assert "connect-src 'self'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert b'data-source="server"' in ask("?name=scan")[2]
        found = json.loads(ask("api/entries?known=")[2])
        assert EVIL in next(e for e in found["entries"] if e["name"] == "scan")["tags"]
        assert ask("api/picture?name=scan&index=0")[1]["Content-Type"] == "image/png"
        assert ask("api/picture?name=scan&index=9")[0] == 404
        assert json.loads(ask("api/describe?name=scan")[2])["name"] == "scan"
        assert ask("api/describe?name=..%2Fscan")[0] == 404
    finally:
        server.stop()
        thread.join()
