"""Files on disk: reads at a position, and files that appear complete or not at all."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import os
import re
import shutil
import stat
import sys
import threading
import time
import uuid
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from stemzarr.errors import (
    OptionError,
    SourceChangedError,
    SourceNotFoundError,
    StoreExistsError,
)
from stemzarr.storage.foreign import without_foreign
from stemzarr.storage.objects import Stamp, changed
from stemzarr.storage.processes import ProcessRecord, process_state
from stemzarr.storage.reasons import reading, writing

__all__ = [
    "PositionedFile",
    "check_destination",
    "follow_link",
    "iterate_file",
    "move",
    "open_shared",
    "publish",
    "read_positioned",
    "remove_abandoned",
    "remove_file",
    "remove_tree",
    "replace",
    "seconds_untouched",
    "sync_folder",
    "sync_path",
    "temporary_path",
    "write_all",
]


class PositionedFile:
    """A file open for reads at given offsets, from many threads at once.

    Parameters
    ----------
    path
        The file; it stays open until the object is closed or collected.

    Raises
    ------
    ReadError
        The file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        with reading(path):
            self._file: io.FileIO = path.open("rb", buffering=0)

    def read_into(self, out: memoryview, offset: int) -> None:
        """Fill `out`, a contiguous view of bytes, from `offset` on.

        Raises
        ------
        SourceChangedError
            The file ends before `out` is full, so it shrank since it was recognised.
        ReadError
            The operating system reports an error.
        """
        done = 0
        with reading(self._path):
            while done < len(out):
                count = self._read_some(out[done:], offset + done)
                if count == 0:
                    msg = f"ends at byte {offset + done}, but {len(out) - done} more were expected"
                    raise SourceChangedError(
                        msg, path=self._path, hint="it shrank since it was recognised; try again"
                    )
                done += count

    def read_runs_into(self, out: memoryview, step: int, offsets: Sequence[int]) -> None:
        """Fill `out` with runs of `step` bytes that begin at `offsets`, one after the other.

        Of a million short runs, the loop around the reads costs more than the reads.

        Raises
        ------
        SourceChangedError, ReadError
            As `read_into`.
        """
        if not hasattr(os, "preadv"):
            for number, offset in enumerate(offsets):
                self.read_into(out[number * step : (number + 1) * step], offset)
            return
        preadv, handle, first = os.preadv, self._file.fileno(), 0
        with reading(self._path):
            for offset in offsets:
                run = out[first : first + step]
                if preadv(handle, (run,), offset) != step:
                    # The slow way completes a short read, or says where the file ends.
                    self.read_into(run, offset)
                first += step

    def _read_some(self, out: memoryview, offset: int) -> int:
        if hasattr(os, "preadv"):
            return os.preadv(self._file.fileno(), [out], offset)
        with self._lock:
            self._file.seek(offset)
            return self._file.readinto(out) or 0

    def size(self) -> int:
        """Return the present size of the file in bytes."""
        return self.status().st_size

    def status(self) -> os.stat_result:
        """Return what the system says of the open file, whatever has its name by now."""
        return os.fstat(self._file.fileno())

    def close(self) -> None:
        """Close the file; further reads fail."""
        self._file.close()

    def __del__(self) -> None:
        """Close the file when nobody refers to it any more."""
        with contextlib.suppress(AttributeError):
            self._file.close()


_ONE_THING = frozenset({"zarr.json", ".zgroup", ".zarray", "collection.json"})
_STORE = frozenset({"intensity", "source", "documents"})
"""What is left of a store that has lost its root."""
_CHUNK = re.compile(r"\d+(\.\d+)*")
"""Files that make a folder one thing, which is replaced as a whole."""
_KINDS = (
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
)
_OPEN_FILES = 32
PIECE_BYTES = 1024**2
_WINDOWS = sys.platform == "win32"
_PATIENCE_S = 5.0
_POLL_S = 0.02


_Opened = TypeVar("_Opened")
_CACHES: list[functools._lru_cache_wrapper[Any]] = []


def cache_open_files(
    most: int,
) -> Callable[[Callable[..., _Opened]], functools._lru_cache_wrapper[_Opened]]:
    """Return a decorator that keeps the last `most` things opened, for `forget_open_files`."""

    def decorate(function: Callable[..., _Opened]) -> functools._lru_cache_wrapper[_Opened]:
        cached = functools.lru_cache(maxsize=most)(function)
        _CACHES.append(cached)
        return cached

    return decorate


@cache_open_files(_OPEN_FILES)
def _shared_file(path: Path, _process: int, _identity: tuple[int, int]) -> PositionedFile:
    return PositionedFile(path)


def open_shared(path: Path, stamp: Stamp | None = None) -> PositionedFile:
    """Return the file from a small cache of open files of this process; the caller never closes it.

    A file that was replaced by another of the same name is opened again.

    Parameters
    ----------
    path
        The file.
    stamp
        Size and time that it must have; None where it may be any.

    Raises
    ------
    ReadError
        The file cannot be opened.
    SourceChangedError
        It has another size or time.
    """
    with reading(path):
        state = path.stat()
    if stamp is not None and (state.st_size, state.st_mtime_ns) != stamp[:2]:
        raise changed(path, "recognised")
    return _shared_file(path, os.getpid(), (state.st_dev, state.st_ino))


def read_positioned(path: Path, out: memoryview, offset: int) -> None:
    """Fill `out` from `offset` on, as `open_shared` opens the file.

    Raises
    ------
    SourceChangedError, ReadError
        The bytes cannot be read.
    """
    open_shared(path).read_into(out, offset)


def forget_open_files() -> None:
    """Close the cached open files that no read is using."""
    for cache in _CACHES:
        cache.cache_clear()


def write_all(
    write: Callable[[memoryview, int], int | None], content: bytes | bytearray | memoryview
) -> None:
    """Write every byte of `content`, where the system may take only a part by one call.

    Parameters
    ----------
    write
        Takes what is left and how many bytes are done; returns how many it wrote.
    content
        The bytes.
    """
    view, done = memoryview(content).cast("B"), 0
    while done < len(view):
        done += write(view[done:], done) or 0


def iterate_file(path: Path) -> Iterator[memoryview]:
    """Yield the bytes of a file in pieces of 1 MiB, each of which the next one overwrites.

    Raises
    ------
    OSError
        It cannot be opened or read.
    """
    buffer = memoryview(bytearray(PIECE_BYTES))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            yield buffer[:count]


def sync_path(path: Path) -> None:
    """Flush a file's bytes to the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk, where the system can (Windows cannot)."""
    if sys.platform == "win32":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_file(path: Path) -> None:
    """Remove a file, and no folder; nothing there is no error."""
    path.unlink(missing_ok=True)


def remove_tree(path: Path) -> None:
    """Remove a file or a folder with all it holds; nothing there is no error."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        remove_file(path)


@contextlib.contextmanager
def publish(dest: Path, *, sync: bool = True) -> Iterator[Path]:
    """Give a temporary path beside `dest`, and rename it to `dest` when the block succeeds.

    What was at `dest` is replaced by the rename (a folder is moved aside first); a link stays,
    and what it leads to is replaced. When the block fails, the temporary file or folder is removed.

    Raises
    ------
    StoreExistsError
        A device, a pipe, a socket or a folder of other things is there.
    WriteError
        The operating system could not write; other errors of the block pass through.
    """
    dest = follow_link(dest)
    temporary = temporary_path(dest)
    try:
        with writing(dest):
            yield temporary
            if sync and temporary.is_file():
                sync_path(temporary)
            replace(temporary, dest)
            if sync:
                sync_folder(dest.parent)
    finally:
        # What the block put beside its file has the same name in its own.
        with contextlib.suppress(OSError):
            for left in [path for path in dest.parent.iterdir() if temporary.name in path.name]:
                remove_tree(left)


def follow_link(dest: Path) -> Path:
    """Return where a link leads, what is there or not; any other path, or a loop, as it is."""
    if not dest.is_symlink():
        return dest
    end = Path(os.path.realpath(dest))
    return dest if end.is_symlink() else end


def check_destination(
    dest: Path, *, overwrite: bool, source: Path | None = None, folder_made: bool = False
) -> None:
    """Raise unless something may be written at `dest`, before any work is done for it.

    Parameters
    ----------
    dest
        A file or folder that will appear there.
    overwrite
        Whether what is there is replaced.
    source
        What it is made from, which must outlive it.
    folder_made
        Whether the folder that it would be in is made before it.

    Raises
    ------
    StoreExistsError
        Something exists there and is not to be replaced, or never is: a folder of other things,
        a device, a pipe, a socket.
    SourceNotFoundError
        The folder that it would be in does not exist.
    OptionError
        It is its own source, or one is in the other.
    """
    if source is not None:
        # Unlike Path.resolve, it takes a link that leads to itself for a file.
        here, there = (Path(os.path.realpath(path)) for path in (dest, source))
        if here.is_relative_to(there) or there.is_relative_to(here):
            what = "is the source itself" if here == there else "and its source contain each other"
            raise OptionError(what, path=dest, hint="choose another name")
    _check_kind(dest)
    if dest.exists() and not overwrite:
        hint = "choose another name, or --overwrite (overwrite=True) to replace it"
        raise StoreExistsError("exists already", path=dest, hint=hint)
    _check_replaceable(dest)
    folder = follow_link(dest).parent
    if not folder_made and not folder.is_dir():
        raise SourceNotFoundError("the folder does not exist", path=folder, hint="make it")


def _check_kind(dest: Path) -> None:
    """Raise where something exists that is neither a file nor a folder."""
    try:
        mode = dest.stat().st_mode
    except OSError:
        return
    kind = next((name for is_kind, name in _KINDS if is_kind(mode)), None)
    if kind is not None:
        hint = "choose another name: a device, a pipe or a socket is never replaced"
        raise StoreExistsError(f"is {kind}, not a file", path=dest, hint=hint)


def _check_replaceable(dest: Path) -> None:
    """Raise where a folder would be deleted that is not one thing made by a program."""
    if not dest.is_dir():
        return
    names = set(without_foreign(item.name for item in dest.iterdir()))
    known = _ONE_THING | _STORE if dest.suffix == ".zarr" else _ONE_THING
    stray = sorted(name for name in names if _is_stray(dest / name))
    if (names and names.isdisjoint(known)) or (stray and "collection.json" not in names):
        named = f" ({', '.join(stray[:3])})" if stray else ""
        msg = f"is a folder with other things in it{named}, which would be deleted"
        hint = "choose another name: only files, Zarr stores and STAC collections are replaced"
        raise StoreExistsError(msg, path=dest, hint=hint)


def _is_stray(path: Path) -> bool:
    """Return whether something at the top of a Zarr folder is foreign to it: a file of a person."""
    known = path.name.startswith(".") or path.name == "zarr.json" or _CHUNK.fullmatch(path.name)
    return not known and path.is_file()


def move(source: Path, dest: Path) -> None:
    """Rename `source` to `dest`, in the place of a file that is there.

    Windows refuses that while another process has either of them open. Readers and scanners do so
    for a moment, which is waited for.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            source.replace(dest)
        except PermissionError:
            if not _WINDOWS or time.monotonic() >= deadline:
                raise
            time.sleep(_POLL_S)
        else:
            return


_ABANDONED = re.compile(r"\..+\.([0-9a-f]{8})-([0-9]+)-[0-9a-f]{8}\.partial")
_ABANDONED_S = 24 * 3600.0
_LONGEST = 180


def temporary_path(dest: Path) -> Path:
    """Return an unused hidden name beside `dest`, which says what process will write there."""
    owner = ProcessRecord.own()
    who = f"{_system(owner)}-{owner.pid}-{uuid.uuid4().hex[:8]}"
    return dest.with_name(f".{_shortened(dest.name)}.{who}.partial")


def _shortened(name: str) -> str:
    """Return as much of a name as leaves room for a suffix within the 255 bytes of most systems."""
    return name.removeprefix(".").encode("utf-8", "ignore")[:_LONGEST].decode("utf-8", "ignore")


def _system(owner: ProcessRecord) -> str:
    """Return eight hex digits for where the number of a process means that process."""
    return f"{zlib.crc32(f'{owner.host}{owner.boot}{owner.namespace}'.encode()):08x}"


def seconds_untouched(path: Path) -> float | None:
    """Return the seconds since `path` was modified, by its file system's clock; None if gone."""
    probe = path.with_name(f".{_shortened(path.name)}.{uuid.uuid4().hex[:8]}.now")
    try:
        probe.touch()
        return probe.stat().st_mtime - path.stat().st_mtime
    except OSError:
        return None
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)


def remove_abandoned(folder: Path) -> None:
    """Remove temporary files in a folder whose writer, a process inside `publish`, has died.

    A process that can be seen from here is looked up. What another machine or container wrote, or
    this machine before its last start, is abandoned when nothing touched it for a day, by the
    clock of the file system. What cannot be removed stays.
    """
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):  # noqa: PTH208 - of thousands no paths are made
            match = _ABANDONED.search(name) if name.startswith(".") else None
            if match is not None:
                with contextlib.suppress(OSError):
                    if _is_abandoned(folder / name, system=match[1], process=int(match[2])):
                        remove_tree(folder / name)


def _is_abandoned(path: Path, *, system: str, process: int) -> bool:
    own = ProcessRecord.own()
    if system == _system(own):
        state = process_state(dataclasses.replace(own, pid=process, started=None))
        if state == "ended":
            return True
        if own.boot and own.namespace:
            return False
    untouched = seconds_untouched(path)
    if untouched is None:
        return False
    inside = path.rglob("*") if path.is_dir() else ()
    last = path.stat().st_mtime
    later = max((each.stat().st_mtime for each in inside), default=last) - last
    return untouched - max(0.0, later) > _ABANDONED_S


def replace(temporary: Path, dest: Path) -> None:
    """Rename `temporary` to `dest`; what a rename cannot replace is moved aside and removed."""
    _check_kind(dest)
    if not dest.is_dir() and not (temporary.is_dir() and dest.exists()):
        move(temporary, dest)
        return
    _check_replaceable(dest)
    aside = dest.with_name(f".{dest.name}.{uuid.uuid4().hex[:8]}.old")
    move(dest, aside)
    try:
        move(temporary, dest)
    except OSError:
        aside.rename(dest)
        raise
    remove_tree(aside)
