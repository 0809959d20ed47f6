"""The widget of a notebook answers its page, and holds what is looked at."""

from __future__ import annotations

import functools
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stemzarr
from stemzarr.errors import MissingDependencyError, OptionError
from stemzarr.explorer.page import read_page_file

pytest.importorskip("anywidget")


class Sent(list[tuple[dict[str, Any], Any]]):
    """What a widget sends to its page."""

    def __init__(self) -> None:
        super().__init__()
        self.came = threading.Condition()

    def add(self, content: dict[str, Any], buffers: Any = ()) -> None:
        with self.came:
            self.append((content, buffers))
            self.came.notify_all()

    def answer(self, key: str) -> tuple[dict[str, Any], Any]:
        """Return what was sent for a question, once it is there."""

        def found() -> Any:
            return [one for one in self if one[0]["id"] == key and "share" not in one[0]]

        with self.came:
            assert self.came.wait_for(found, 60)
            return found()[0]  # type: ignore[no-any-return]


@pytest.fixture
def widget(store: Path) -> Iterator[Any]:
    """Return the widget of a scan."""
    with stemzarr.open(store) as scan:
        shown = scan.stem.explore()
        yield shown
        shown.close()


def test_the_kernel_answers_as_the_server_does(widget: Any, store: Path) -> None:
    """Pattern, mean, image, shifts, tile sums; what is wrong in words."""
    sent = Sent()
    widget.send = sent.add
    asked = {
        "pattern": {"y": 2, "x": 5},
        "mean": {"top": 0, "left": 0, "bottom": 2, "right": 3},
        "image": {"detectors": "+ring:0,0,0,inf"},
        "com": {},
        "tiles": {},
        "bad": {},
    }
    for what, parameters in asked.items():
        ask = {"id": what, "what": what, "parameters": parameters}
        widget._handle_custom_msg({"ask": ask}, [])
    with stemzarr.open(store) as scan:
        values = scan.intensity.to_numpy()
    expected = {
        "pattern": values[2, 5],
        "mean": values[:2, :3].mean(axis=(0, 1)),
        "image": values.sum(axis=(2, 3)),
    }
    for what in asked:
        content, (data,) = sent.answer(what)
        name, shape = content["array"].split(" ")
        found = np.frombuffer(data, name).reshape([int(n) for n in shape.split(",")])
        if what in expected:
            np.testing.assert_allclose(found, expected[what])
    assert sent.answer("tiles")[0]["tiles"].startswith("8,1,")
    for number, (what, parameters) in enumerate(
        [("pattern", {"y": 99, "x": 0}), ("pattern", {"y": "1", "x": 0}), ("rm", {}), ("mean", {})]
    ):
        ask = {"id": str(number), "what": what, "parameters": parameters}
        widget._handle_custom_msg({"ask": ask}, [])
        assert sent.answer(str(number))[0]["error"]
    for odd in ({}, [], {"ask": 3}, "ask"):
        widget._handle_custom_msg(odd, [])


def test_traits_are_those_of_the_scan(widget: Any) -> None:
    """What the scan has no place for is refused, and the page keeps what it shows."""
    assert widget.position == (2, 4)
    assert widget.detectors.startswith("+ring:")
    widget.position = (5, 8)
    for name, value in (("position", (6, 0)), ("region", (0, 0, 7, 1)), ("detectors", "+disk")):
        with pytest.raises(OptionError):
            setattr(widget, name, value)
    assert widget.position == (5, 8)
    assert "127.0.0.1" not in widget._page


def test_what_to_install_is_said(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without anywidget."""
    import sys

    monkeypatch.setitem(sys.modules, "anywidget", None)
    monkeypatch.delitem(sys.modules, "stemzarr.explorer.notebook", raising=False)
    with stemzarr.open(store) as scan, pytest.raises(MissingDependencyError) as caught:
        scan.stem.explore()
    assert "stemzarr[notebook]" in str(caught.value.hint)


NOTEBOOK = """<!doctype html><meta charset="utf-8"><div id="el"></div><p id="log"></p>
<script type="module">
import widget from "./notebook.mjs";
const traits = await (await fetch("traits.json")).json();
const followers = new Map();
const call = (name, ...given) => (followers.get(name) || []).forEach((one) => one(...given));
const log = document.getElementById("log");
const model = {
  get: (name) => traits[name],
  set(name, value) { traits[name] = value; },
  save_changes() { log.textContent += ` page: ${JSON.stringify(traits.position)}`; },
  on(name, act) { followers.set(name, [...(followers.get(name) || []), act]); },
  off() {},
  send({ ask: { id, what, parameters } }) {
    if (what === "pattern") log.textContent += ` asked: ${parameters.y},${parameters.x}`;
    const shapes = { pattern: ["40,36", Uint16Array], tiles: ["5,5,6,9", Float32Array] };
    const [shape, Type] = shapes[what] || ["6,9", Float32Array];
    const data = new Type(shape.split(",").reduce((a, b) => a * b, 1)).map((_, i) => i % 7);
    const array = `${Type === Uint16Array ? "uint16" : "float32"} ${shape}`;
    call("msg:custom", { id, array, tiles: "8,1,1" }, [new DataView(data.buffer)]);
    if (what === "pattern" && traits.position[0] === 2) {
      setTimeout(() => { traits.position = [5, 1]; call("change:position"); }, 100);
    }
  },
};
widget.render({ model, el: document.getElementById("el") });
</script>"""


def test_a_browser_shows_the_widget(widget: Any, tmp_path: Path, draw: Callable[..., Any]) -> None:
    """Its frame asks the kernel, follows a trait that is set, and sets traits itself."""
    (tmp_path / "index.html").write_text(NOTEBOOK)
    (tmp_path / "notebook.mjs").write_text(read_page_file("notebook.mjs"))
    names = ("_page", "height", "position", "region", "detectors")
    (tmp_path / "traits.json").write_text(json.dumps({n: getattr(widget, n) for n in names}))

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path))
    )
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="stemzarr-web")
    thread.start()
    try:
        page = draw(f"http://127.0.0.1:{server.server_port}/", "page: [5,1]")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert "asked: 2,4" in page.text
    assert "asked: 5,1" in page.text
    assert "page: [5,1]" in page.text
