"""A web server and a bucket on this machine, which count what is asked of them and can fail."""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from unittest import mock
from urllib.parse import unquote

__all__ = ["Asked", "WebFolder", "serve_bucket", "serve_folder"]

_PIECE = 1024**2


class Asked(NamedTuple):
    """A request."""

    method: str
    """``GET``, ``HEAD`` …"""
    path: str
    """Path of the file below the folder."""
    range: str
    """The bytes that were asked for; empty for all."""
    sent: int
    """Bytes of the answer's body."""


@dataclass(slots=True)
class WebFolder:
    """A folder on the web, and how its server behaves."""

    folder: Path
    """What is served."""
    address: str = ""
    """Where."""
    ranges: bool = True
    """Whether parts of files are given."""
    etags: bool = True
    """Whether answers have an ETag, and ``If-Match`` is heeded."""
    cut: int = 0
    """How many of the next answers stop in the middle."""
    lost: int = 0
    """How many of the next requests get no answer at all."""
    status: int = 0
    """What every request is answered instead; 0 answers them."""
    said: str = ""
    """Text of such an answer."""
    delay_s: float = 0.0
    """Seconds before each answer."""
    asked: list[Asked] = field(default_factory=list)
    """What was asked, in order."""

    @property
    def sent(self) -> int:
        """Bytes that were sent in all."""
        return sum(one.sent for one in self.asked)


@contextlib.contextmanager
def serve_folder(folder: str | os.PathLike[str]) -> Iterator[WebFolder]:
    """Serve a folder on a free port of 127.0.0.1."""
    web = WebFolder(Path(folder))
    handler = type("Handler", (_Handler,), {"web": web})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        web.address = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield web
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD for files."""

    web: WebFolder
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Send a file, or the part of it that is asked for."""
        web, wanted = self.web, self.headers.get("Range", "")
        if web.delay_s:
            time.sleep(web.delay_s)
        path = web.folder / unquote(self.path).lstrip("/")
        if web.lost:
            web.lost, self.close_connection = web.lost - 1, True
            self._note(path, wanted, 0)
            return
        if web.status or not path.is_file():
            self._refuse(web.status or HTTPStatus.NOT_FOUND, path, wanted)
            return
        state = path.stat()
        size, tag = state.st_size, f'"{state.st_mtime_ns:x}-{state.st_ino:x}-{state.st_size:x}"'
        if web.etags and self.headers.get("If-Match", tag) != tag:
            self._refuse(HTTPStatus.PRECONDITION_FAILED, path, wanted)
            return
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", wanted) if web.ranges else None
        begin, end = (int(match[1]), min(int(match[2]) + 1, size)) if match else (0, size)
        if begin >= end and match:
            self._refuse(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, path, wanted)
            return
        stop = begin if self.command == "HEAD" else end
        if web.cut and stop > begin:
            web.cut -= 1
            stop, self.close_connection = (begin + end) // 2, True
        # Before the answer, so that who has it finds the request in the list.
        self._note(path, wanted, stop - begin)
        self.send_response(HTTPStatus.PARTIAL_CONTENT if match else HTTPStatus.OK)
        if match:
            self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{size}")
        if web.etags:
            self.send_header("ETag", tag)
        self.send_header("Last-Modified", formatdate(state.st_mtime, usegmt=True))
        self.send_header("Content-Length", str(end - begin))
        self.end_headers()
        self._send(path, begin, stop)

    do_HEAD = do_GET  # noqa: N815 - the base's name

    def _send(self, path: Path, begin: int, stop: int) -> None:
        with path.open("rb") as file, contextlib.suppress(ConnectionError):
            file.seek(begin)
            while begin < stop:
                piece = file.read(min(_PIECE, stop - begin))
                if not piece:
                    self.close_connection = True
                    return
                self.wfile.write(piece)
                begin += len(piece)

    def _refuse(self, status: int, path: Path, wanted: str) -> None:
        content = self.web.said.encode()
        self._note(path, wanted, len(content))
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _note(self, path: Path, wanted: str, sent: int) -> None:
        name = path.relative_to(self.web.folder).as_posix()
        self.web.asked.append(Asked(self.command, name, wanted, sent))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Print nothing."""


@contextlib.contextmanager
def serve_bucket(name: str = "bucket") -> Iterator[str]:
    """Serve an S3 bucket of moto on a free port, give its address, and set the environment."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environment = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "secret-of-the-test",
        "AWS_REGION": "us-east-1",
    }
    try:
        with mock.patch.dict(os.environ, environment):
            boto3.client("s3", region_name="us-east-1").create_bucket(Bucket=name)
            yield f"s3://{name}"
    finally:
        server.stop()
