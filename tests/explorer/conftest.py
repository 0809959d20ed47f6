"""Scans to look at, and a server that shows them."""

from __future__ import annotations

import asyncio
import contextlib
import html.parser
import json
import shutil
import subprocess
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from tornado.websocket import websocket_connect

from stemzarr import explorer, export, ingest
from stemzarr.explorer import Explorer
from stemzarr.explorer.one_source import OneSource
from stemzarr.registry import read_source
from stemzarr.testing import write_synthetic_dm4

Serve = Callable[..., AbstractContextManager[Explorer]]

PAGE = Path(explorer.__file__).parent / "page"
"""The modules of the page."""


@pytest.fixture(scope="session")
def node() -> Callable[[str], Any]:
    """Return what runs a script that imports modules of the page, and gives what it prints."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("there is no node: the page's JavaScript is not tried outside a browser")

    def run(script: str, *arguments: str) -> Any:
        """Run a script; ``PAGE`` in it is the address of the page's folder."""
        script = script.replace("PAGE", PAGE.as_uri())
        command = [program, "--input-type=module", "-e", script, "--", *arguments]
        done = subprocess.run(command, capture_output=True, timeout=120, check=False)
        assert not done.returncode, done.stderr.decode()
        return json.loads(done.stdout)

    return run


class Drawn(html.parser.HTMLParser):
    """The elements and the text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.inside = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:  # noqa: ARG002 - its interface
        self.tags.append(tag)
        self.inside = tag

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002 - its interface
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside not in ("script", "style"):
            self.text += data


@pytest.fixture
def draw(tmp_path: Path) -> Iterator[Callable[..., Drawn]]:
    """Return what gives what a browser makes of the page at an address, once a text is in it."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("there is no chromium: no page is drawn")
    command = [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    profile = tmp_path / "profile"
    command += [f"--user-data-dir={profile}", "--remote-debugging-port=0", "about:blank"]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=quiet, stderr=quiet) as browser:
        try:
            yield lambda address, text: asyncio.run(_draw(profile, address, text))
        finally:
            browser.kill()


async def _draw(profile: Path, address: str, text: str) -> Drawn:
    """Open an address by the protocol of the browser's developer tools."""
    port = await _first(lambda: (profile / "DevToolsActivePort").read_text().split()[0])
    targets = await _first(lambda: _targets(port))
    socket = await websocket_connect(
        next(each["webSocketDebuggerUrl"] for each in targets if each["type"] == "page")
    )

    async def call(method: str, **params: Any) -> Any:
        await socket.write_message(json.dumps({"id": 1, "method": method, "params": params}))
        while True:
            answer = json.loads(await socket.read_message() or "{}")
            if answer.get("id") == 1:
                return answer["result"]

    try:
        await call("Page.navigate", url=address)
        for _ in range(300):
            await asyncio.sleep(0.1)  # until the page has drawn what is awaited
            script = "document.documentElement.outerHTML"
            found = await call("Runtime.evaluate", expression=script)
            page = Drawn()
            page.feed(found["result"].get("value", ""))
            if text in page.text:
                break
        return page
    finally:
        socket.close()
        while await socket.read_message() is not None:
            pass  # the browser answers before the connection is closed


def _targets(port: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=10) as answer:
        return json.loads(answer.read())


async def _first(read: Callable[[], Any]) -> Any:
    """Return what can be read once the browser has started."""
    for _ in range(300):
        with contextlib.suppress(OSError, IndexError):
            return read()
        await asyncio.sleep(0.1)
    return read()


@pytest.fixture(scope="session")
def dm4(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small scan as a microscope writes it."""
    path = tmp_path_factory.mktemp("explorer") / "scan.dm4"
    write_synthetic_dm4(path, (6, 9), (40, 36))
    return path


@pytest.fixture(scope="session")
def store(dm4: Path) -> Path:
    """Return the same scan as a store."""
    path = dm4.with_name("scan.zarr")
    ingest(dm4, path)
    return path


@pytest.fixture
def serve() -> Serve:
    """Return what serves a source until its block ends."""

    @contextlib.contextmanager
    def serving(path: Path, *, edit: bool = False) -> Iterator[Explorer]:
        source = OneSource(read_source(path), path.stem)
        server = Explorer(source, export=export, edit=edit)
        ready = threading.Event()
        thread = threading.Thread(target=server.run, args=(ready.set,), name="stemzarr-served")
        thread.start()
        assert ready.wait(30)
        try:
            yield server
        finally:
            server.stop()
            thread.join()

    return serving
