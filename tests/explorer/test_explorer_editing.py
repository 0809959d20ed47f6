"""What leaves the page, and what changes a store: only where it was asked for."""

from __future__ import annotations

import http.client
import json
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import stemzarr
from stemzarr.errors import OptionError
from stemzarr.explorer import Explorer
from stemzarr.explorer.editing import calibrate_by_ring
from stemzarr.registry import read_source

Serve = Callable[..., AbstractContextManager[Explorer]]
RING = {"kind": "spacing", "value": 0.2, "center_y": 20.0, "center_x": 18.0, "radius": 10.0}


def ask(server: Explorer, path: str, body: Any = None, **headers: str) -> tuple[int, bytes]:
    """Return status and body of an answer; with `body` it is a POST of our own page."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if body is not None:
        sent = {"Origin": f"http://127.0.0.1:{server.port}", **sent}
    data = None if body is None else json.dumps(body)
    method = "GET" if body is None else "POST"
    try:
        connection.request(method, f"/{server.token}/{path}", data, sent)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.fixture
def copied(store: Path, tmp_path: Path) -> Path:
    """Return a store that may be changed."""
    return Path(shutil.copytree(store, tmp_path / "scan.zarr"))


def test_a_region_is_saved_as_export_saves_it(store: Path, serve: Serve, tmp_path: Path) -> None:
    """The very values, as .hspy and as .pt with its sidecar; nothing stays on the disk."""
    document = read_source(store).document
    values = np.empty(document.shape, document.dtype)
    document.blocks.read_into(values, (0, 0, 0, 0))
    with serve(store) as server:
        assert json.loads(ask(server, "api/describe")[1])["saves"] == ["hspy", "pt"]
        where = "api/save?top=1&left=2&bottom=4&right=7&format="
        (file,) = json.loads(ask(server, f"{where}hspy")[1])["files"]
        assert file["name"] == "scan-y1-4-x2-7.hspy"
        status, data = ask(server, f"file/{file['key']}/{file['name']}")
        assert (status, len(data)) == (200, file["bytes"])
        (tmp_path / file["name"]).write_bytes(data)
        with h5py.File(tmp_path / file["name"]) as saved:
            (experiment,) = saved["Experiments"].values()
            np.testing.assert_array_equal(experiment["data"][()], values[1:4, 2:7])
        files = json.loads(ask(server, f"{where}pt")[1])["files"]
        assert [Path(each["name"]).suffix for each in files] == [".pt", ".json"]
        assert ask(server, "file/nothing/scan.pt")[0] == 404
        assert ask(server, "api/save?top=0&left=0&bottom=9&right=1&format=pt")[0] == 422
        assert ask(server, "api/save?top=0&left=0&bottom=1&right=1&format=exe")[0] == 422
        assert server.saver is not None
        folder = server.saver.find(file["key"]).parent
    assert not folder.exists()


def test_a_ring_calibrates_the_store(copied: Path, serve: Serve) -> None:
    """Its radius becomes the spacing, its center zero; the earlier values can be put back."""
    before = read_source(copied).document.axes[2:]
    with serve(copied, edit=True) as server:
        assert json.loads(ask(server, "api/describe")[1])["edit"] is True
        status, body = ask(server, "api/calibration", RING)
        assert status == 200, body
        y, x = json.loads(body)["axes"][2:]
        assert y["units"] == x["units"] == "1/nm"
        with stemzarr.open(copied) as scan:
            assert float(scan.det_x[28] - scan.det_x[18]) == pytest.approx(1 / 0.2)
            assert float(scan.det_y[20]) == pytest.approx(0)
        ring = {**RING, "kind": "disk", "value": 21.5}
        assert ask(server, "api/calibration", ring)[0] == 200
        document = read_source(copied).document
        assert document.facts["convergence_angle_mrad"] == 21.5
        assert document.axes[2].units == "mrad"
        assert document.axes[2].scale == pytest.approx(2.15)
        for _ in range(2):
            assert ask(server, "api/undo", {})[0] == 200
        assert ask(server, "api/undo", {})[0] == 422
    assert read_source(copied).document.axes[2:] == before
    assert stemzarr.verify(copied).ok


def test_nothing_is_changed_unasked(copied: Path, dm4: Path, serve: Serve) -> None:
    """Without --edit; from elsewhere; by a link; of a file that is not a store; by nonsense."""
    before = (copied / "zarr.json").read_bytes()
    with serve(copied) as server:
        assert ask(server, "api/calibration", RING)[0] == 405
        assert json.loads(ask(server, "api/describe")[1])["edit"] is False
    with serve(copied, edit=True) as server:
        port = server.port
        for headers in (
            {"Origin": "https://evil.example"},
            {"Origin": f"http://127.0.0.1:{port + 1}"},
            {"Origin": "null"},
            {"Host": f"evil.example:{port}"},
            {"Sec_Fetch_Site": "cross-site"},
            {"Sec_Fetch_Site": "same-site"},
        ):
            assert ask(server, "api/calibration", RING, **headers)[0] == 403, headers
        assert ask(server, "api/calibration")[0] == 404
        assert ask(server, "api/undo")[0] == 404
        assert ask(server, "", {})[0] == 405
        for odd in ([], {}, {**RING, "radius": 0}, {**RING, "value": "0.2"}, {**RING, "kind": "x"}):
            assert ask(server, "api/calibration", odd)[0] == 422, odd
    assert (copied / "zarr.json").read_bytes() == before
    with serve(dm4, edit=True) as server:
        assert json.loads(ask(server, "api/describe")[1])["edit"] is False
        assert ask(server, "api/calibration", RING)[0] == 422


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -1.0, True, None])
def test_what_no_ring_can_be_is_refused(number: Any, store: Path) -> None:
    """Whatever a page may send."""
    document = read_source(store).document
    for name in ("value", "radius"):
        with pytest.raises(OptionError):
            calibrate_by_ring(document, document.index, {**RING, name: number})
