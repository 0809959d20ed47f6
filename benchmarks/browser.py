"""A real browser, driven by the protocol of its developer tools: what benchmarks see and touch."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

import psutil
from tornado.websocket import WebSocketClientConnection, websocket_connect

__all__ = ["Browser", "start_browser"]

_MOST_BYTES = 256 * 1024**2


class Browser:
    """One tab of a headless Chromium."""

    def __init__(self, socket: WebSocketClientConnection, process: psutil.Process) -> None:
        self._socket = socket
        self._process = process
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self.complaints: list[str] = []
        """Errors that the page wrote to its console."""

    async def start(self) -> Self:
        """Listen to the browser."""
        self._listener = asyncio.create_task(self._listen())
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.call(f"{domain}.enable")
        return self

    async def close(self) -> None:
        """End the connection."""
        self._socket.close()
        await self._listener

    async def _listen(self) -> None:
        while (text := await self._socket.read_message()) is not None:
            said = json.loads(text)
            if "id" in said:
                self._waiting.pop(said["id"]).set_result(said)
            elif said["method"] == "Runtime.exceptionThrown":
                self.complaints.append(str(said["params"]["exceptionDetails"]))
            elif said["method"] == "Log.entryAdded" and said["params"]["entry"]["level"] == "error":
                self.complaints.append(said["params"]["entry"]["text"])

    async def call(self, method: str, **params: Any) -> Any:  # noqa: ANN401 - any JSON
        """Return what a method of the developer tools gives.

        Raises
        ------
        RuntimeError
            The browser refuses it.
        """
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        answer = self._waiting[number]
        await self._socket.write_message(
            json.dumps({"id": number, "method": method, "params": params})
        )
        said = await answer
        if "error" in said:
            raise RuntimeError(f"{method}: {said['error']}")
        return said["result"]

    async def evaluate(self, script: str) -> Any:  # noqa: ANN401 - any JSON
        """Return the value of a JavaScript expression; a promise is awaited.

        Raises
        ------
        RuntimeError
            It throws.
        """
        found = await self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in found:
            raise RuntimeError(found["exceptionDetails"]["exception"].get("description"))
        return found["result"].get("value")

    async def until(self, script: str, seconds: float = 60) -> Any:  # noqa: ANN401 - any JSON
        """Return the value of an expression once it is true.

        Raises
        ------
        TimeoutError
            It never is.
        """
        # Asked by the page itself, so that waiting costs it next to nothing.
        wait = f"""new Promise((done, fail) => {{
          const end = performance.now() + {1000 * seconds};
          const look = () => {{
            const found = ({script});
            if (found) done(found instanceof Node ? true : found);
            else if (performance.now() > end) done(null);
            else setTimeout(look, 4);
          }};
          look();
        }})"""
        found = await self.evaluate(wait)
        if not found:
            raise TimeoutError(script)
        return found

    async def show(
        self, *, width: int, height: int, phone: bool = False, dark: bool = False
    ) -> None:
        """Set the size of the window and the colours that are preferred."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )
        await self.call("Emulation.setTouchEmulationEnabled", enabled=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])

    async def open(self, address: str) -> None:
        """Go to an address, forgetting the page before it."""
        await self.call("Page.navigate", url="about:blank")
        await self.until("location.href === 'about:blank'")
        await self.call("Page.navigate", url=address)
        await self.until("location.href !== 'about:blank' && document.readyState !== 'loading'")

    async def mouse(
        self, kind: str, x: float, y: float, *, pressed: bool = False, keys: int = 0
    ) -> None:
        """Move, press or release the mouse: ``mouseMoved``, ``mousePressed``, ``mouseReleased``."""
        button = "none" if kind == "mouseMoved" and not pressed else "left"
        await self.call(
            "Input.dispatchMouseEvent",
            type=kind,
            x=x,
            y=y,
            button=button,
            buttons=int(pressed),
            clickCount=int(kind != "mouseMoved"),
            modifiers=keys,
        )

    async def click(self, x: float, y: float) -> None:
        """Press and release the mouse at a point."""
        await self.mouse("mouseMoved", x, y)
        await self.mouse("mousePressed", x, y, pressed=True)
        await self.mouse("mouseReleased", x, y)

    async def picture(self, dest: Path, *, whole: bool = False) -> None:
        """Save what the tab shows, or all of the page, as PNG."""
        shot = await self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        dest.write_bytes(base64.b64decode(shot["data"]))

    def memory(self) -> int:
        """Return the bytes that the process of the tab has for itself."""
        tabs = (
            process.memory_full_info().uss
            for process in self._process.children(recursive=True)
            if "--type=renderer" in process.cmdline()
        )
        return max(tabs, default=0)


@contextlib.asynccontextmanager
async def start_browser() -> AsyncIterator[Browser]:
    """Yield the tab of a new browser.

    Raises
    ------
    FileNotFoundError
        There is no Chromium.
    """
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        raise FileNotFoundError("there is no chromium; with Debian: apt-get install chromium")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"]
        command += [f"--user-data-dir={profile}", "--remote-debugging-port=0", "about:blank"]
        quiet = subprocess.DEVNULL
        with subprocess.Popen(command, stdout=quiet, stderr=quiet) as process:
            try:
                socket = await websocket_connect(
                    await _tab(Path(profile)), max_message_size=_MOST_BYTES
                )
                browser = await Browser(socket, psutil.Process(process.pid)).start()
                try:
                    yield browser
                finally:
                    await browser.close()
            finally:
                process.kill()


async def _tab(profile: Path) -> str:
    """Return the address of the tab, once the browser has started."""
    for _ in range(300):
        with contextlib.suppress(OSError, IndexError, StopIteration):
            port = (profile / "DevToolsActivePort").read_text().split()[0]
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=10) as answer:
                targets = json.loads(answer.read())
            return next(str(t["webSocketDebuggerUrl"]) for t in targets if t["type"] == "page")
        await asyncio.sleep(0.1)
    raise TimeoutError("the browser does not start")
