"""Ingests what arrives in folders, once it is complete, and remembers what it has done.

Folders are looked through again and again, since network file systems do not report new files;
where watchdog is installed and the system reports changes, the next look comes at once. A file
is taken when its size and modification time have stayed unchanged for a while and its reader
finds it complete: DM files declare their size in the header.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from stemzarr.errors import (
    OptionError,
    SourceChangedError,
    SourceNotFoundError,
    StemzarrError,
    TruncatedFileError,
)
from stemzarr.formats.zarr.marks import folder_size
from stemzarr.metadata.dates import utc_now
from stemzarr.model import Progress
from stemzarr.options import IngestOptions, as_path, check_at_least
from stemzarr.registry import (
    is_data,
    is_data_folder,
    is_store,
    lead_of,
    read_source,
)
from stemzarr.storage.foreign import is_foreign
from stemzarr.storage.local import LocalFolder
from stemzarr_catalog.known import hidden_path
from stemzarr_catalog.lake import Lake
from stemzarr_catalog.pace import OutsideHoursError, Pace
from stemzarr_catalog.probe import probe_source
from stemzarr_catalog.watched import WATCH_LOG, hide_event, read_events, write_events

__all__ = ["Waiting", "WatchEvent", "WatchOptions", "Watcher", "watch"]

Waiting = Literal["grows", "waits", "is tried again"]
"""What becomes of a file that is not done: it still changes, or has not long enough stood still."""

Status = Literal["ingested", "resumed", "unchanged", "incomplete", "failed", "given up"]

_DONE = ("ingested", "resumed", "unchanged")
_LONGEST_LOG = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchOptions:
    """How patiently folders are watched."""

    settle_s: float = 10.0
    """Seconds for which a file must stay unchanged before it is read."""
    poll_s: float = 5.0
    """Seconds between two looks at the folders."""
    retry_s: float = 30.0
    """Seconds before the second attempt; each further one waits four times as long."""
    attempts: int = 5
    """Attempts after which a file is given up until it changes."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        check_at_least("settle_s", self.settle_s, 0)
        check_at_least("poll_s", self.poll_s, 0.05)
        check_at_least("retry_s", self.retry_s, 0)
        check_at_least("attempts", self.attempts, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchEvent:
    """What became of a file that was seen; also a line of the log."""

    path: str
    """The file."""
    size: int
    """Its size then."""
    modified_ns: int
    """Its modification time then."""
    status: Status
    """What became of it."""
    name: str | None = None
    """Name of its entry."""
    error: str | None = None
    """Why it was not ingested."""
    time: str = ""
    """When that was, in UTC."""

    def json(self) -> dict[str, Any]:
        """Return the line of the log."""
        return dataclasses.asdict(self)


@dataclass(slots=True)
class _Seen:
    """What is known of a file between two looks."""

    state: tuple[int, int]
    """Size and modification time."""
    since: float
    """When it was first seen in this state, by the watcher's clock."""
    due: float = 0.0
    """When it may be tried again."""
    tried: int = 0
    """Attempts that failed."""
    done: bool = False
    """Whether nothing is left to do until it changes."""
    grew: bool = False
    """Whether it was smaller, or older, at an earlier look."""
    data: bool | None = None
    """Whether it is data; None until that was asked."""


class Watcher:
    """Looks through folders and ingests what is complete.

    Parameters
    ----------
    lake
        Where to; its folder keeps the log, by which a new watcher knows what is done.
    folders
        Where from, with all below them.
    options
        How sources are ingested.
    patience
        How patiently.
    clock
        Gives seconds; another one serves tests.
    pace
        When files are ingested, and how fast; outside the hours they are looked at, and wait.
    progress
        Receives how far each ingest is.

    Raises
    ------
    SourceNotFoundError
        A folder does not exist.
    """

    def __init__(  # noqa: PLR0913 - one argument for each option
        self,
        lake: Lake,
        folders: Sequence[str | os.PathLike[str]],
        *,
        options: IngestOptions | None = None,
        patience: WatchOptions | None = None,
        pace: Pace | None = None,
        clock: Callable[[], float] = time.monotonic,
        progress: Progress | None = None,
    ) -> None:
        self.lake = lake
        self.folders = [as_path(folder) for folder in folders]
        for folder in self.folders:
            if not folder.is_dir():
                hint = "name folders that exist"
                raise SourceNotFoundError("there is no such folder", path=folder, hint=hint)
        self.options = options or IngestOptions()
        if self.options.read.join:
            hint = "ingest --join the folder once the acquisition has ended"
            raise OptionError("a set of frames is joined when it is complete", hint=hint)
        self.patience = patience or WatchOptions()
        self._pace = pace or Pace()
        self._clock = clock
        self._progress = progress
        self._log = lake.path / WATCH_LOG
        self._seen: dict[Path, _Seen] = {}
        self._remembered: dict[str, _Seen] = {}
        self._remember()

    def _remember(self) -> None:
        """Take from the log what is done, and shorten a long log to what still matters."""
        last: dict[str, dict[str, Any]] = {}
        lines = 0
        for event in read_events(self._log):
            lines += 1
            last[event["path"]] = event
        names = set(self.lake)
        for path, event in last.items():
            kept = event.get("status") in _DONE and event.get("name") in names
            if kept or event.get("status") == "given up":
                state = (event.get("size", -1), event.get("modified_ns", -1))
                self._remembered[path] = _Seen(state=state, since=0.0, done=True)
        if lines > max(_LONGEST_LOG, 2 * len(last)):
            write_events(self._log, last.values())

    def step(self) -> Iterator[WatchEvent]:
        """Look once and ingest what is complete; give what became of each file."""
        present = set()
        for path, state in self._list():
            present.add(path)
            seen = self._seen.get(path) or self._recall(path)
            if seen is None or seen.state != state:
                fresh = _Seen(state=state, since=self._clock(), grew=seen is not None)
                self._seen[path] = seen = fresh
            is_due = not seen.done and self._is_due(seen) and not self._pace.seconds_until_open()
            if is_due and _is_data(path, seen):
                event = self._take(path, seen)
                if event is not None:
                    self._write(event)
                    yield event
        for path in [path for path in self._seen if path not in present]:
            del self._seen[path]

    def waiting(self) -> dict[Path, Waiting]:
        """Return the data that were seen and are not done, and what each file waits for."""
        found: dict[Path, Waiting] = {}
        for path, seen in self._seen.items():
            if seen.done or not _is_data(path, seen):
                continue
            is_settling = self._clock() - seen.since < self.patience.settle_s
            if seen.tried:
                found[path] = "is tried again"
            elif is_settling and seen.grew:
                found[path] = "grows"
            elif is_settling or self._pace.seconds_until_open():
                found[path] = "waits"
        return found

    def _recall(self, path: Path) -> _Seen | None:
        """Return what the log says of a file that is seen for the first time."""
        for key in (str(path), hidden_path(str(path))):
            seen = self._remembered.pop(key, None)
            if seen is not None:
                self._seen[path] = seen
                return seen
        return None

    def _list(self) -> Iterator[tuple[Path, tuple[int, int]]]:
        """Give the leads of all acquisitions below the folders, and the states of all their files.

        Stores, lakes, hidden files and links are left out. While any file of an acquisition grows,
        its state changes.
        """
        states: dict[Path, tuple[int, int]] = {}
        for path, (size, modified_ns) in self._files():
            lead = lead_of(path) or path
            before = states.get(lead, (0, 0))
            states[lead] = before[0] + size, max(before[1], modified_ns)
        yield from states.items()

    def _files(self) -> Iterator[tuple[Path, tuple[int, int]]]:
        """Give all visible files outside lakes and stores, and their states.

        A folder that is one source, such as Zarr of another program, is given as a whole.
        """
        waiting = list(self.folders)
        while waiting:
            folder = waiting.pop()
            with contextlib.suppress(OSError), os.scandir(folder) as listing:
                for item in sorted(listing, key=lambda item: item.name):
                    if item.name.startswith(".") or is_foreign(item.name) or item.is_symlink():
                        continue
                    if item.is_dir():
                        path = Path(item.path)
                        if path == self.lake.path or is_store(path):
                            continue
                        if is_data_folder(path):
                            yield path, folder_size(path)
                        else:
                            waiting.append(path)
                    elif item.is_file():
                        status = item.stat()
                        yield Path(item.path), (status.st_size, status.st_mtime_ns)

    def _is_due(self, seen: _Seen) -> bool:
        now = self._clock()
        return now - seen.since >= self.patience.settle_s and now >= seen.due

    def _take(self, path: Path, seen: _Seen) -> WatchEvent | None:
        """Ingest a file, or say why not; nothing where it is to be looked at again."""
        try:
            probe_source(path, self.options.read)
            if not read_source(path, self.options.read).complete:
                return self._leave(path, seen, "it holds less than it declares")
            progress = self._pace.follow(self._progress)
            result = self.lake.ingest(path, options=self.options, progress=progress)
        except TruncatedFileError as error:
            return self._leave(path, seen, str(error))
        except OutsideHoursError:
            return None
        except (SourceChangedError, SourceNotFoundError):
            seen.since = self._clock()
            return None
        except OptionError:
            raise
        except StemzarrError as error:
            return self._retry(path, seen, str(error))
        seen.done = True
        status: Any = result.status
        return _event(path, seen, status, name=result.name)

    def _leave(self, path: Path, seen: _Seen, why: str) -> WatchEvent:
        """Wait until the file changes: whoever writes it has not finished."""
        seen.done = True
        return _event(path, seen, "incomplete", error=why)

    def _retry(self, path: Path, seen: _Seen, why: str) -> WatchEvent:
        seen.tried += 1
        seen.done = seen.tried >= self.patience.attempts
        seen.due = self._clock() + self.patience.retry_s * 4 ** (seen.tried - 1)
        return _event(path, seen, "given up" if seen.done else "failed", error=why)

    def _write(self, event: WatchEvent) -> None:
        # A full disk must not end the watch: the event is given anyway, and what is done is found
        # again in the lake.
        line = hide_event(event.json()) if self.options.redact else event.json()
        with contextlib.suppress(OSError):
            LocalFolder(self._log.parent).append(self._log.name, f"{json.dumps(line)}\n".encode())


def _is_data(path: Path, seen: _Seen) -> bool:
    """Return whether a file is data, which is looked up once until it changes."""
    if seen.data is None:
        seen.data = is_data(path)
    return seen.data


def _event(
    path: Path,
    seen: _Seen,
    status: Status,
    *,
    name: str | None = None,
    error: str | None = None,
) -> WatchEvent:
    size, modified_ns = seen.state
    now = utc_now()
    return WatchEvent(
        path=str(path),
        size=size,
        modified_ns=modified_ns,
        status=status,
        name=name,
        error=error,
        time=now,
    )


def watch(  # noqa: PLR0913 - one argument for each option
    lake: Lake,
    folders: Sequence[str | os.PathLike[str]],
    *,
    options: IngestOptions | None = None,
    patience: WatchOptions | None = None,
    pace: Pace | None = None,
    stop: threading.Event | None = None,
    progress: Progress | None = None,
    looked: Callable[[Watcher], None] | None = None,
) -> Iterator[WatchEvent]:
    """Watch folders until `stop` is set, and give what becomes of each file.

    After each look, `looked` is called with the watcher, which knows what is waiting.

    Raises
    ------
    SourceNotFoundError
        A folder does not exist.
    """
    watcher = Watcher(
        lake, folders, options=options, patience=patience, pace=pace, progress=progress
    )
    stop = stop or threading.Event()
    stirred = threading.Event()
    with _told_of_changes(watcher.folders, stirred):
        while not stop.is_set():
            stirred.clear()
            yield from watcher.step()
            if looked is not None:
                looked(watcher)
            stirred.wait(watcher.patience.poll_s)


@contextlib.contextmanager
def _told_of_changes(folders: Sequence[Path], stirred: threading.Event) -> Iterator[None]:
    """Set `stirred` when the system reports a change, where watchdog can listen."""
    try:
        from watchdog.events import FileSystemEventHandler
        from watchdog.observers import Observer
    except ImportError:
        yield
        return

    class Stir(FileSystemEventHandler):
        def on_closed(self, event: object) -> None:
            del event
            stirred.set()

        on_moved = on_closed

    observer = Observer()
    for folder in folders:
        observer.schedule(Stir(), str(folder), recursive=True)
    # Where the system's limit of watches is reached, looking again and again is enough.
    with contextlib.suppress(OSError):
        observer.start()
    try:
        yield
    finally:
        observer.stop()
        if observer.is_alive():
            observer.join()
