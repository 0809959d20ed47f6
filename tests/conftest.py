"""What every test has: the sample files where they are, and a watch on what is left open."""

from __future__ import annotations

import contextlib
import gc
import os
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dask
import psutil
import pytest
from hypothesis import HealthCheck, settings

from stemzarr.storage.files import forget_open_files

SEED = os.environ.get("STEMZARR_SEED", "")
"""Of all that tests choose at random; a red run is repeated by the seed that it prints."""

settings.register_profile(
    "stemzarr",
    deadline=None,
    derandomize=not SEED,
    max_examples=100 if SEED else 30,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
settings.load_profile("stemzarr")
if SEED == "random":
    SEED = str(random.SystemRandom().randrange(2**32))


@pytest.fixture(autouse=True)
def seeded(request: pytest.FixtureRequest) -> None:
    """Seed what a test chooses at random, and print what repeats it."""
    random.seed(f"{SEED} {request.node.nodeid}")
    if SEED:
        print(f"repeat with STEMZARR_SEED={SEED}")  # noqa: T201 - shown where a test fails


def pytest_collection_finish() -> None:
    """Take what the libraries made while they were imported out of every later collection."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def samples() -> Path:
    """Return the folder of files that instruments wrote; without it the test is skipped."""
    folder = os.environ.get("STEMZARR_SAMPLES")
    if not folder or not Path(folder).is_dir():
        pytest.skip("STEMZARR_SAMPLES names no folder of sample files")
    return Path(folder).resolve()


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what is fetched from far away in a folder of the run, not in that of the user."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STEMZARR_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def dask_pool() -> Iterator[None]:
    """Give dask one pool with a known name: its own would look like threads that a test left."""
    with ThreadPoolExecutor(2, thread_name_prefix="dask") as pool, dask.config.set(pool=pool):
        yield


@pytest.fixture(autouse=True)
def nothing_left_open(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a thread or child process running, or a file open."""
    threads = set(threading.enumerate())
    children = {child.pid for child in _children()}
    files = _open_files()
    yield
    if request.node.get_closest_marker("leaves_open"):
        return
    forget_open_files()
    left = [t for t in threading.enumerate() if t not in threads and _is_watched(t)]
    for thread in left:
        thread.join(timeout=5)
    assert not [thread for thread in left if thread.is_alive()], "threads are still running"
    born = [c for c in _children() if c.pid not in children]
    alive = [c for c in born if c.is_running() and not _is_kept(c)]
    assert not psutil.wait_procs(alive, timeout=5)[1], "child processes are still running"
    for generation in range(3):  # what a test leaves is young, and a full collection takes long
        if _open_files() - files:
            gc.collect(generation)
    assert not _open_files() - files, "files are still open"


def _children() -> list[psutil.Process]:
    """Return the child processes; all processes are looked through only where there is one."""
    if hasattr(os, "waitid"):
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return []
    return psutil.Process().children()


def _is_kept(process: psutil.Process) -> bool:
    """Tell whether a child is one of those that multiprocessing starts once and keeps."""
    command = " ".join(process.cmdline())
    return "multiprocessing.resource_tracker" in command or "multiprocessing.forkserver" in command


def _is_watched(thread: threading.Thread) -> bool:
    """Tell whether a thread must end: libraries keep daemons, of which none of ours may be."""
    ours = thread.name.startswith("stemzarr")
    return ours or not (thread.daemon or thread.name.startswith("dask"))


def _open_files() -> set[tuple[str, int]]:
    """Return path and descriptor of the files that are open, but the fonts of matplotlib."""
    folder = Path("/proc/self/fd")
    if not folder.is_dir():
        opened = psutil.Process().open_files()
        return {(file.path, file.fd) for file in opened if not file.path.endswith(".ttf")}
    found = set()
    for descriptor in os.listdir(folder):  # noqa: PTH208 - twice for each test: no paths are made
        with contextlib.suppress(FileNotFoundError):  # that of the listing itself
            path = os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115 - the same
            if os.path.isfile(path) and not path.endswith(".ttf"):  # noqa: PTH113 - the same
                found.add((path, int(descriptor)))
    return found


@pytest.fixture
def lazy_signals_are_closed() -> Iterator[None]:
    """Close what HyperSpy keeps open for lazy signals."""
    from rsciio.hspy import _api

    yield
    for path in list(_api._lazy_file_handles):
        _api._close_tracked_handles(path)
    gc.collect()
