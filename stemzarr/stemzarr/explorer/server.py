"""The server of the explorer: 127.0.0.1 alone, a token in the address, read-only unless asked."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import secrets
import socket
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tornado.httpserver import HTTPServer
from tornado.iostream import StreamClosedError
from tornado.web import Application, HTTPError, RequestHandler

from stemzarr.errors import EntryNotFoundError, OptionError, StemzarrError, WriteError
from stemzarr.explorer.editing import calibrate_by_ring
from stemzarr.explorer.guard import HEADERS, is_allowed, is_token, may_change
from stemzarr.explorer.page import render_served_page
from stemzarr.explorer.saving import SUFFIXES, Export, Saver
from stemzarr.explorer.subject import Subject
from stemzarr.explorer.subjects import Gallery, Subjects
from stemzarr.explorer.wire import from_array
from stemzarr.explorer.work import Work
from stemzarr.model import Fact
from stemzarr.registry import is_store

__all__ = ["Explorer"]

_POLL_S = 0.5
_PIECE = 2 * 1024**2


class Explorer:
    """Serves the page and the numbers it asks for.

    Parameters
    ----------
    subjects
        What can be looked at; the empty name means what the page shows first.
    port
        Where it listens; any free port by default.
    export
        `stemzarr.export`, by which regions are saved; without it they are not.
    edit
        Whether stores may be calibrated on the page.

    Raises
    ------
    WriteError
        The port is taken.
    """

    def __init__(
        self,
        subjects: Subjects,
        *,
        port: int = 0,
        export: Export | None = None,
        edit: bool = False,
    ) -> None:
        self.subjects = subjects
        self.saver = None if export is None else Saver(export)
        self.edit = edit
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

    def describe(self, name: str, document: str | None) -> dict[str, Any]:
        """Return what the page knows of a document before it asks for values, as JSON.

        Raises
        ------
        EntryNotFoundError
            There is no such document.
        """
        subject = self.subjects.open(name, document)
        more = {
            "edit": self.edit and subject.is_scan and is_store(subject.path),
            "saves": list(SUFFIXES) if self.saver and subject.is_scan else [],
        }
        about: dict[str, Any] = json.loads(_to_json({**subject.describe(), **more}))
        return about

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
            if self.saver is not None:
                self.saver.close()

    def stop(self) -> None:
        """End `run`, from any thread."""
        if self._loop is not None and self._stopped is not None:
            self._loop.call_soon_threadsafe(self._stopped.set)

    async def _serve(self, started: Callable[[], None] | None) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        work = Work()
        server = HTTPServer(self._application(work), xheaders=False)
        server.add_socket(self._socket)
        try:
            if started is not None:
                started()
            # What the page asks first is found out while the browser starts.
            if not isinstance(self.subjects, Gallery):
                with contextlib.suppress(StemzarrError):
                    await work.read(lambda: self.describe("", None))
            while not self._stopped.is_set():
                # Ctrl-C, where another thread gets it, interrupts only waits that end.
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopped.wait(), _POLL_S)
        finally:
            server.stop()
            await server.close_all_connections()
            work.close()

    def _application(self, work: Work) -> Application:
        given = {"explorer": self, "work": work}
        return Application(
            [
                (r"/([^/]*)/api/([a-z]+)", _ApiHandler, given),
                (r"/([^/]*)/", _PageHandler, given),
                (r"/([^/]*)/file/([A-Za-z0-9_-]+)/[^/]+", _FileHandler, given),
                (r"/.*", _NothingHandler, given),
            ],
            log_function=lambda _: None,
        )


class _Handler(RequestHandler):
    """A request that is answered only to the page of ours."""

    def initialize(self, explorer: Explorer, work: Work) -> None:
        self.explorer = explorer
        self.work = work
        self._gone = threading.Event()

    def on_connection_close(self) -> None:
        self._gone.set()
        super().on_connection_close()

    def set_default_headers(self) -> None:
        for name, value in HEADERS.items():
            self.set_header(name, value)

    def prepare(self) -> None:
        token = self.path_args[0] if self.path_args else ""
        allowed = is_allowed(self.request.headers, self.explorer.port)
        if not (allowed and is_token(token or "", self.explorer.token)):
            raise HTTPError(403)
        if self.request.method == "POST" and self.explorer.edit:
            if not may_change(self.request.headers):
                raise HTTPError(403)
        elif self.request.method not in ("GET", "HEAD"):
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
    """The page: at one go, with what it shows, so that a browser asks once before it draws."""

    async def get(self, _: str) -> None:
        subjects = self.explorer.subjects
        name = self.get_query_argument("name", "")
        if not name and isinstance(subjects, Gallery):
            page, policy = subjects.page()
        else:
            words = name, self.get_query_argument("document", "") or None
            try:
                about = await self.work.read(lambda: self.explorer.describe(*words))
            except StemzarrError:
                about = None  # the page asks again, and shows what is wrong
            page, policy = render_served_page(name or "stemzarr", "server", about)
        self.set_header("Content-Security-Policy", f"{policy}; frame-ancestors 'none'")
        self.finish(page)


class _FileHandler(_Handler):
    """A region that was saved."""

    async def get(self, _: str, key: str) -> None:
        saver = self.explorer.saver
        try:
            path = None if saver is None else saver.find(key)
        except EntryNotFoundError:
            path = None
        if path is None:
            raise HTTPError(404)
        self.set_header("Content-Type", "application/octet-stream")
        self.set_header("Content-Disposition", "attachment")
        self.set_header("Content-Length", str(path.stat().st_size))
        with contextlib.suppress(StreamClosedError), path.open("rb") as file:
            while piece := await self.work.read(lambda: file.read(_PIECE)):
                self.write(piece)
                await self.flush()


class _ApiHandler(_Handler):
    """What the page asks for: JSON, or an array whose type and shape are in a header."""

    async def get(self, _: str, what: str) -> None:
        await self._answer(getattr(self, f"_send_{what}", None))

    async def post(self, _: str, what: str) -> None:
        await self._answer(getattr(self, f"_change_{what}", None))

    async def _answer(self, answer: Callable[[], Awaitable[None]] | None) -> None:
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
        self.finish(_to_json(value))

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
        open_it = functools.partial(self.explorer.subjects.open, *self._words())
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
        words = self._words()
        self._send_json(await self.work.read(lambda: self.explorer.describe(*words)))

    async def _send_pattern(self) -> None:
        place, words = self._integers("y", "x"), self._words()

        # Nothing is asked for as often: one turn in a thread, not two.
        def read() -> NDArray[Any]:
            return self.explorer.subjects.open(*words).pattern(*place)

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
        tiles = await self.work.sum(functools.partial(subject.tiles, self._gone.is_set))
        self.set_header("Stemzarr-Tiles", f"{tiles.tile},{tiles.step},{int(tiles.whole)}")
        await self._send_array(tiles.sums)

    def _gallery(self) -> Gallery:
        if not isinstance(self.explorer.subjects, Gallery):
            raise HTTPError(404)
        return self.explorer.subjects

    async def _send_entries(self) -> None:
        known = self.get_query_argument("known", "")
        self._send_json(await self.work.read(lambda: self._gallery().entries(known)))

    async def _send_picture(self) -> None:
        name, (index,) = self.get_query_argument("name", ""), self._integers("index")
        png = await self.work.read(lambda: self._gallery().picture(name, index))
        self.set_header("Content-Type", "image/png")
        self.finish(png)

    async def _send_progress(self) -> None:
        shares = {what: self.work.progress.get(self._job(what)) for what in ("image", "save")}
        self._send_json(shares)

    async def _send_save(self) -> None:
        subject, saver = await self._subject(), self.explorer.saver
        top, left, bottom, right = self._integers("top", "left", "bottom", "right")
        suffix = self.get_query_argument("format", "")
        if saver is None:
            raise HTTPError(404)
        files = await self.work.compute(
            self._job("save"),
            lambda progress: saver.save(subject, (top, left, bottom, right), suffix, progress),
        )
        self._send_json({"files": files})

    async def _change_calibration(self) -> None:
        name, document = self._words()
        subject = await self._subject()
        try:
            ring = json.loads(self.request.body)
        except ValueError:
            ring = None
        if not isinstance(ring, dict):
            raise OptionError("the ring is not a JSON object", hint="draw it on the page")
        facts = calibrate_by_ring(subject.document, subject.source.main, ring)
        await self._revise(name, document, facts)

    async def _change_undo(self) -> None:
        await self._revise(*self._words(), None)

    async def _revise(
        self, name: str, document: str | None, facts: Mapping[str, Fact] | None
    ) -> None:
        """Revise a store, and answer what the page now knows of it."""
        await self.work.read(lambda: self.explorer.subjects.revise(name, facts))
        self._send_json(await self.work.read(lambda: self.explorer.describe(name, document)))

    def _job(self, what: str) -> tuple[str, str]:
        """Return the name of a computation: one of each kind for every page that is open."""
        return self.get_query_argument("page", ""), what


def _mean(subject: Subject, ends: list[int], progress: Any) -> NDArray[np.float64]:  # noqa: ANN401
    top, left, bottom, right = ends
    return subject.mean(top, left, bottom, right, progress)


def _to_json(value: Any) -> str:  # noqa: ANN401 - any JSON
    return json.dumps(value, default=_plain)


def _plain(value: Any) -> Any:  # noqa: ANN401 - what json does not know
    with contextlib.suppress(AttributeError):
        return value.item()
    return str(value)
