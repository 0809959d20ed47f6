"""The server of the explorer: 127.0.0.1 alone, a token in the address, nothing is ever written."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import json
import secrets
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from tornado.httpserver import HTTPServer
from tornado.iostream import StreamClosedError
from tornado.web import Application, HTTPError, RequestHandler

from stemzarr.errors import EntryNotFoundError, OptionError, StemzarrError, WriteError
from stemzarr.explorer.guard import HEADERS, is_allowed, is_token
from stemzarr.explorer.page import PAGE_FILES, read_page_file
from stemzarr.explorer.subject import Subject
from stemzarr.explorer.wire import from_array

__all__ = ["Explorer", "Gallery", "Subjects"]

_READERS = 2
_POLL_S = 0.5
_PIECE = 2 * 1024**2
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}


class Subjects(Protocol):
    """What can be looked at, by name."""

    def open(self, name: str, document: str | None) -> Subject:
        """Return the document of a source; the same object for the same names.

        Raises
        ------
        EntryNotFoundError
            There is nothing of that name.
        """
        ...

    def close(self) -> None:
        """End what is being computed for any of them."""
        ...


@runtime_checkable
class Gallery(Subjects, Protocol):
    """Many subjects: the page that shows them all, live, is what the empty name means."""

    def page(self) -> tuple[str, str]:
        """Return the page and its policy."""
        ...

    def entries(self, known: str) -> dict[str, Any]:
        """Return all of them, unless their state is `known` already, as JSON."""
        ...

    def picture(self, name: str, number: int) -> bytes:
        """Return one of the pictures of an entry as PNG.

        Raises
        ------
        EntryNotFoundError
            There is no such picture.
        """
        ...


class Explorer:
    """Serves the page and the numbers it asks for.

    Parameters
    ----------
    subjects
        What can be looked at; the empty name means what the page shows first.
    port
        Where it listens; any free port by default.
    """

    def __init__(self, subjects: Subjects, *, port: int = 0) -> None:
        self.subjects = subjects
        self.token = secrets.token_urlsafe(24)
        try:
            self._socket = socket.create_server(("127.0.0.1", port))
        except OSError as error:
            msg = f"port {port} of 127.0.0.1 cannot be used: {error.strerror or error}"
            raise WriteError(msg, hint="choose another with --port, or leave it out") from error
        self._socket.settimeout(0)
        self.port: int = self._socket.getsockname()[1]
        self._stopped: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def address(self) -> str:
        """The address to open, which lets in whoever knows it."""
        return f"http://127.0.0.1:{self.port}/{self.token}/"

    def run(self, started: Callable[[], None] | None = None) -> None:
        """Serve until `stop` or Ctrl-C.

        Parameters
        ----------
        started
            Is called when the first request can come.
        """
        try:
            asyncio.run(self._serve(started))
        finally:
            self.subjects.close()
            self._socket.close()

    def stop(self) -> None:
        """End `run`, from any thread."""
        if self._loop is not None and self._stopped is not None:
            self._loop.call_soon_threadsafe(self._stopped.set)

    async def _serve(self, started: Callable[[], None] | None) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        work = _Work(self.subjects)
        server = HTTPServer(self._application(work), xheaders=False)
        server.add_socket(self._socket)
        try:
            if started is not None:
                started()
            # What the page asks first is found out while the browser starts.
            if not isinstance(self.subjects, Gallery):
                with contextlib.suppress(StemzarrError):
                    await work.read(lambda: self.subjects.open("", None).describe())
            await work.read(lambda: importlib.import_module("xarray"))
            while not self._stopped.is_set():
                # Ctrl-C, where another thread gets it, interrupts only waits that end.
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopped.wait(), _POLL_S)
        finally:
            server.stop()
            await server.close_all_connections()
            work.close()

    def _application(self, work: _Work) -> Application:
        given = {"explorer": self, "work": work}
        return Application(
            [
                (r"/([^/]*)/api/([a-z]+)", _ApiHandler, given),
                (r"/([^/]*)/([A-Za-z0-9_.-]*)", _PageHandler, given),
                (r"/.*", _NothingHandler, given),
            ],
            log_function=lambda _: None,
        )


class _Work:
    """Threads that read, and one that computes: what nobody waits for any more is stopped."""

    def __init__(self, subjects: Subjects) -> None:
        self.subjects = subjects
        self.progress: dict[tuple[str, str], float] = {}
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="stemzarr-read")
        self._computer = ThreadPoolExecutor(1, thread_name_prefix="stemzarr-compute")
        self._running: dict[tuple[str, str], threading.Event] = {}

    async def read(self, function: Callable[[], Any]) -> Any:  # noqa: ANN401 - what it returns
        """Return what a function gives that reads little."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, function)

    async def compute(self, job: tuple[str, str], function: Callable[[Any], Any]) -> Any:  # noqa: ANN401
        """Return ``function(progress)``; an earlier call of the same job is stopped."""
        earlier = self._running.get(job)
        if earlier is not None:
            earlier.set()
        stopped = self._running[job] = threading.Event()
        self.progress[job] = 0.0

        def report(done: int, total: int) -> None:
            if stopped.is_set():
                raise InterruptedError
            self.progress[job] = done / max(1, total)

        def act() -> Any:  # noqa: ANN401
            if stopped.is_set():
                raise InterruptedError
            return function(report)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._computer, act)
        finally:
            if self._running.get(job) is stopped:
                del self._running[job], self.progress[job]

    def close(self) -> None:
        """Stop what runs, and wait for it."""
        for stopped in self._running.values():
            stopped.set()
        for pool in (self._readers, self._computer):
            pool.shutdown(wait=True, cancel_futures=True)


class _Handler(RequestHandler):
    """A request that is answered only to the page of ours."""

    def initialize(self, explorer: Explorer, work: _Work) -> None:
        self.explorer = explorer
        self.work = work

    def set_default_headers(self) -> None:
        for name, value in HEADERS.items():
            self.set_header(name, value)

    def prepare(self) -> None:
        token = self.path_args[0] if self.path_args else ""
        allowed = is_allowed(self.request.headers, self.explorer.port)
        if not (allowed and is_token(token or "", self.explorer.token)):
            raise HTTPError(403)
        if self.request.method not in ("GET", "HEAD"):
            raise HTTPError(405)

    def write_error(self, status_code: int, **_: Any) -> None:  # noqa: ANN401 - tornado's interface
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(f"{status_code}\n")

    def compute_etag(self) -> None:
        """Nothing is kept by browsers."""

    def log_exception(self, *_: Any) -> None:  # noqa: ANN401 - tornado's interface
        """Say nothing on the terminal: the page shows what is wrong."""


class _NothingHandler(_Handler):
    """Any other address."""


class _PageHandler(_Handler):
    """The files of the page, which are those of the package."""

    def get(self, _: str, name: str) -> None:
        subjects = self.work.subjects
        if not name and isinstance(subjects, Gallery) and not self.get_query_argument("name", ""):
            page, policy = subjects.page()
            self.set_header("Content-Security-Policy", f"{policy}; frame-ancestors 'none'")
            self.finish(page)
            return
        name = name or "index.html"
        if name not in PAGE_FILES:
            raise HTTPError(404)
        suffix = name[name.rindex(".") :]
        self.set_header("Content-Type", f"{_TYPES[suffix]}; charset=utf-8")
        self.finish(read_page_file(name))


class _ApiHandler(_Handler):
    """What the page asks for: JSON, or an array whose type and shape are in a header."""

    async def get(self, _: str, what: str) -> None:
        answer = getattr(self, f"_send_{what}", None)
        if answer is None:
            raise HTTPError(404)
        try:
            await answer()
        except InterruptedError:
            self.set_status(409)
            self._send_json({"error": "a later request took its place", "stopped": True})
        except StemzarrError as error:
            self.set_status(404 if isinstance(error, EntryNotFoundError) else 422)
            self._send_json({"error": error.message, "hint": error.hint})
        except HTTPError:
            raise
        except Exception as error:  # noqa: BLE001 - the page says it, whatever it is
            self.set_status(500)
            self._send_json({"error": f"{type(error).__name__}: {error}", "hint": None})

    def _send_json(self, value: Any) -> None:  # noqa: ANN401 - any JSON
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(value, default=_plain))

    async def _send_array(self, values: NDArray[Any]) -> None:
        header, data = from_array(values)
        self.set_header("Content-Type", "application/octet-stream")
        self.set_header("Content-Length", str(data.nbytes))
        self.set_header("Stemzarr-Array", header)
        with contextlib.suppress(StreamClosedError):  # nobody waits for it any more
            for start in range(0, data.nbytes, _PIECE):
                self.write(bytes(data[start : start + _PIECE]))
                await self.flush()

    async def _subject(self) -> Subject:
        open_it = functools.partial(self.work.subjects.open, *self._words())
        subject: Subject = await self.work.read(open_it)
        return subject

    def _words(self) -> tuple[str, str | None]:
        """Return the names of source and document."""
        return self.get_query_argument("name", ""), self.get_query_argument("document", "") or None

    def _integers(self, *names: str) -> list[int]:
        try:
            return [int(self.get_query_argument(name)) for name in names]
        except (ValueError, HTTPError):
            msg = f"{', '.join(names)} are not all integers"
            raise OptionError(msg, hint="give each once") from None

    async def _send_describe(self) -> None:
        subject = await self._subject()
        self._send_json(await self.work.read(subject.describe))

    async def _send_pattern(self) -> None:
        place, words = self._integers("y", "x"), self._words()

        # Nothing is asked for as often: one turn in a thread, not two.
        def read() -> NDArray[Any]:
            return self.work.subjects.open(*words).pattern(*place)

        await self._send_array(await self.work.read(read))

    async def _send_mean(self) -> None:
        subject = await self._subject()
        ends = self._integers("top", "left", "bottom", "right")
        mean = await self.work.compute(self._job("mean"), functools.partial(_mean, subject, ends))
        await self._send_array(mean)

    async def _send_image(self) -> None:
        subject, detectors = await self._subject(), self.get_query_argument("detectors", "")
        compute = functools.partial(subject.image, detectors)
        image = await self.work.compute(self._job("image"), compute)
        await self._send_array(image)

    async def _send_com(self) -> None:
        subject = await self._subject()
        await self._send_array(await self.work.compute(self._job("com"), subject.center_of_mass))

    async def _send_plane(self) -> None:
        subject, (index,) = await self._subject(), self._integers("index")
        await self._send_array(await self.work.read(functools.partial(subject.plane, index)))

    async def _send_totals(self) -> None:
        subject = await self._subject()
        await self._send_array(await self.work.read(subject.totals))

    async def _send_bad(self) -> None:
        subject = await self._subject()
        await self._send_array(subject.bad_pixels())

    async def _send_tiles(self) -> None:
        subject = await self._subject()
        tiles = await self.work.read(subject.tiles)
        self.set_header("Stemzarr-Tiles", f"{tiles.tile},{tiles.step},{int(tiles.whole)}")
        await self._send_array(tiles.sums)

    def _gallery(self) -> Gallery:
        if not isinstance(self.work.subjects, Gallery):
            raise HTTPError(404)
        return self.work.subjects

    async def _send_entries(self) -> None:
        known = self.get_query_argument("known", "")
        self._send_json(await self.work.read(lambda: self._gallery().entries(known)))

    async def _send_picture(self) -> None:
        name, (index,) = self.get_query_argument("name", ""), self._integers("index")
        png = await self.work.read(lambda: self._gallery().picture(name, index))
        self.set_header("Content-Type", "image/png")
        self.finish(png)

    async def _send_progress(self) -> None:
        self._send_json({"image": self.work.progress.get(self._job("image"))})

    def _job(self, what: str) -> tuple[str, str]:
        """Return the name of a computation: one of each kind for every page that is open."""
        return self.get_query_argument("page", ""), what


def _mean(subject: Subject, ends: list[int], progress: Any) -> NDArray[np.float64]:  # noqa: ANN401
    top, left, bottom, right = ends
    return subject.mean(top, left, bottom, right, progress)


def _plain(value: Any) -> Any:  # noqa: ANN401 - what json does not know
    with contextlib.suppress(AttributeError):
        return value.item()
    return str(value)
