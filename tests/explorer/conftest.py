"""Scans to look at, and a server that shows them."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from stemzarr import explorer, ingest
from stemzarr.explorer import Explorer
from stemzarr.explorer.one_source import OneSource
from stemzarr.registry import read_source
from stemzarr.testing import write_synthetic_dm4

Serve = Callable[[Path], AbstractContextManager[Explorer]]

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


@pytest.fixture(scope="session")
def browser() -> str:
    """Return the browser that draws pages."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("there is no chromium: no page is drawn")
    return found


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
    def serving(path: Path) -> Iterator[Explorer]:
        server = Explorer(OneSource(read_source(path), path.stem))
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
