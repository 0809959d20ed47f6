"""The server answers the page that its owner opened, and nobody else."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stemzarr import ingest
from stemzarr.errors import WriteError
from stemzarr.explorer import Explorer
from stemzarr.explorer.one_source import OneSource
from stemzarr.registry import read_source

Serve = Callable[[Path], AbstractContextManager[Explorer]]


def ask(
    server: Explorer, path: str, *, token: str | None = None, method: str = "GET", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request(
            method, f"/{server.token if token is None else token}/{path}", headers=sent
        )
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def array_of(answer: tuple[int, dict[str, str], bytes]) -> Any:
    """Return the array of an answer."""
    status, headers, body = answer
    assert status == 200, body
    name, shape = headers["Stemzarr-Array"].split(" ")
    return np.frombuffer(body, name).reshape([int(n) for n in shape.split(",")])


def test_the_page_gets_what_it_asks_for(store: Path, serve: Serve) -> None:
    """Description, pattern, mean, image, tile sums, over HTTP."""
    with serve(store) as server:
        about = json.loads(ask(server, "api/describe")[2])
        assert about["shape"] == [6, 9, 40, 36]
        assert [axis["name"] for axis in about["axes"]] == ["scan_y", "scan_x", "det_y", "det_x"]
        document = read_source(store).document
        values = np.empty(document.shape, document.dtype)
        document.blocks.read_into(values, (0, 0, 0, 0))
        np.testing.assert_array_equal(array_of(ask(server, "api/pattern?y=2&x=5")), values[2, 5])
        mean = array_of(ask(server, "api/mean?top=0&left=0&bottom=2&right=3"))
        np.testing.assert_allclose(mean, values[:2, :3].mean(axis=(0, 1)))
        image = array_of(ask(server, "api/image?detectors=%2Bring:0,0,0,inf"))
        np.testing.assert_array_equal(image, values.sum(axis=(2, 3)))
        answer = ask(server, "api/tiles")
        assert answer[1]["Stemzarr-Tiles"].startswith("8,1,")
        np.testing.assert_array_equal(array_of(answer).sum(axis=(0, 1)), values.sum(axis=(2, 3)))
        survey = array_of(ask(server, "api/plane?document=survey&index=0"))
        assert survey.shape == (128, 160)


def test_what_is_wrong_is_said(store: Path, serve: Serve) -> None:
    """A bad request gets words for a person, never a traceback."""
    with serve(store) as server:
        for path, status in (
            ("api/pattern?y=99&x=0", 422),
            ("api/pattern?y=a&x=0", 422),
            ("api/pattern?x=0", 422),
            ("api/image?detectors=ring", 422),
            ("api/describe?name=other", 404),
            ("api/describe?document=other", 404),
        ):
            answer = ask(server, path)
            assert answer[0] == status, path
            told = json.loads(answer[2])
            assert told["error"]
            assert told["hint"]
        assert ask(server, "api/nothing")[0] == 404


def test_damage_is_named_and_the_rest_is_shown(dm4: Path, tmp_path: Path, serve: Serve) -> None:
    """A flipped byte in a chunk is said with its chunk."""
    path = tmp_path / "scan.zarr"
    ingest(dm4, path)
    shard = next(file for file in (path / "intensity" / "c").rglob("*") if file.is_file())
    data = bytearray(shard.read_bytes())
    data[len(data) // 3] ^= 1
    shard.write_bytes(data)
    with serve(path) as server:
        answers = [ask(server, f"api/pattern?y={y}&x={x}") for y in range(6) for x in range(9)]
        assert {status for status, *_ in answers} <= {200, 422}
        wrong = [json.loads(body)["error"] for status, _, body in answers if status != 200]
        assert wrong
        assert all("checksum" in text and "chunk" in text for text in wrong)


def test_strangers_read_nothing(store: Path, serve: Serve) -> None:
    """A wrong token, a foreign Host (DNS rebinding), Origin or page, a method that writes."""
    with serve(store) as server:
        port = server.port
        strange: list[dict[str, str]] = [
            {"token": "x"},
            {"token": ""},
            {"token": server.token[:-1]},
            {"token": server.token + "a"},
            {"Host": "evil.example"},
            {"Host": f"evil.example:{port}"},
            {"Host": "127.0.0.1"},
            {"Host": f"127.0.0.1:{port + 1}"},
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": f"http://127.0.0.1:{port + 1}"},
            {"Origin": f"http://localhost:{port}"},
            {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors"},
            {"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "cors"},
            {"method": "POST"},
            {"method": "OPTIONS"},
        ]
        for path in ("", "api/describe", "api/pattern?y=0&x=0"):
            for headers in strange:
                status, given, body = ask(server, path, **headers)
                assert status in (403, 405), headers
                assert len(body) < 10
                assert "Access-Control-Allow-Origin" not in given
            assert ask(server, path)[0] == 200
            assert ask(server, path, Host=f"localhost:{port}")[0] == 200


def test_no_path_leads_out_of_the_page(store: Path, serve: Serve) -> None:
    """Nothing but the files of the page is ever sent."""
    paths = (
        "../server.py", "..%2fserver.py", "%2e%2e/server.py", "page/main.js", ".", "server.py",
        "api/../main.js", "__init__.py", "....//main.js", "main.js%00", "\\..\\server.py",
    )  # fmt: skip
    with serve(store) as server:
        for path in paths:
            assert ask(server, path)[0] in (400, 403, 404), path


def test_every_answer_forbids_what_is_not_ours(store: Path, serve: Serve) -> None:
    """The policy lets no other script run, no page frame it, no browser keep it."""
    with serve(store) as server:
        for path in ("", "api/describe", "nothing"):
            headers = ask(server, path)[1]
            policy = headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert headers["Cache-Control"] == "no-store"
            assert headers["Referrer-Policy"] == "no-referrer"
            assert "Tornado" not in headers["Server"]


def test_a_later_image_takes_the_place_of_an_earlier_one(store: Path, serve: Serve) -> None:
    """What nobody waits for is not computed to its end."""
    with serve(store) as server:
        begun = threading.Event()
        subject = server.subjects.open("", None)
        whole = subject.image

        def slow(detectors: str, progress: Any) -> Any:
            begun.set()
            while detectors == "slow":
                progress(1, 2)  # raises when the second has come
            return whole(detectors, progress)

        subject.image = slow  # type: ignore[method-assign]
        answers: list[int] = []
        first = threading.Thread(
            target=lambda: answers.append(ask(server, "api/image?detectors=slow&page=1")[0])
        )
        first.start()
        assert begun.wait(30)
        answers.append(ask(server, "api/image?detectors=%2Bring:0,0,0,inf&page=1")[0])
        first.join()
        assert sorted(answers) == [200, 409]


def test_a_port_that_is_taken_is_said(store: Path, serve: Serve) -> None:
    """And nothing is left open."""
    with serve(store) as server, pytest.raises(WriteError, match="cannot be used"):
        Explorer(OneSource(read_source(store), "scan"), port=server.port)
