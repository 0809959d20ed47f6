"""A folder of a file system as a place for stores."""

from __future__ import annotations

import contextlib
import os
import sys
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from stemzarr.errors import DamagedStoreError, ReadError
from stemzarr.storage.address import RemotePath
from stemzarr.storage.files import (
    PositionedFile,
    cache_open_files,
    iterate_file,
    move,
    publish,
    remove_tree,
    replace,
    sync_folder,
    sync_path,
    temporary_path,
)
from stemzarr.storage.foreign import without_foreign
from stemzarr.storage.objects import Address, PartsByStamp, Readable, Stamp, changed, is_key
from stemzarr.storage.reasons import reading, writing
from stemzarr.storage.remote import RemoteFolder
from stemzarr.storage.zipped import SUFFIX, ZippedFolder

__all__ = ["COMMITTED", "REVISION", "LocalFolder", "open_root", "put_text", "remove_folder"]

_OPEN_FILES = 32
_BUFFER_BYTES = 1024**2
_MISSING = (FileNotFoundError,)
REVISION = ".revision"
"""Begins the name of a folder in a store with the files of a revision that is under way."""
COMMITTED = "committed"
"""File in it that lists them once all are there: from then on the revision counts."""


@dataclass(frozen=True, slots=True)
class LocalFolder(PartsByStamp):
    """The files below a folder.

    A file that is read in parts stays open. Each read compares its stamp by the open file, which
    needs no look-up of its path: a file that was replaced, removed or written is noticed.
    """

    root: Path
    """The folder."""
    parts: Path | None = None
    """Of a folder that one process writes: where its large files are until they are whole.

    Elsewhere, any file that is put is beside its place until then, under a name that says which
    process is writing it.
    """

    def get(self, key: str) -> bytes:
        """Return all bytes of a file.

        Raises
        ------
        FileNotFoundError, ReadError
            It is missing, or cannot be read.
        """
        path = self.root / key
        with reading(path, passing=_MISSING):
            return path.read_bytes()

    def stream(self, key: str) -> Iterator[memoryview]:
        """Yield the bytes of a file in pieces of 1 MiB, each of which the next one overwrites.

        Raises
        ------
        FileNotFoundError, ReadError
            It is missing, or cannot be read.
        """
        path = self.root / key
        with reading(path, passing=_MISSING):
            yield from iterate_file(path)

    def read_ranges(self, key: str, ranges: Sequence[tuple[int, memoryview]], stamp: Stamp) -> None:
        """Fill buffers, each from its byte of a file on.

        Raises
        ------
        SourceChangedError
            The file is gone, or does not have that stamp any more.
        ReadError
            It cannot be read.
        """
        path = f"{self.root}/{key}"
        file = _open_file(path, os.getpid(), stamp)
        if _stamp_of(file.status()) != stamp:
            raise changed(path, "opened")
        for start, out in ranges:
            file.read_into(out, start)

    @property
    def far(self) -> bool:
        """False: a question is a call of the system."""
        return False

    def expect(self, *keys: str) -> None:
        """Do nothing: reading takes no longer one after the other."""

    def recall(self, key: str) -> Stamp:
        """Return the stamp of a file or folder now."""
        return self.stamp(key)

    def state(self, key: str, seen: Stamp) -> int | None:
        """Return when something last came to, or went from, a folder; None where there is none."""
        del seen
        try:
            return self.stamp(key).modified_ns
        except OSError:
            return None

    def stamp(self, key: str) -> Stamp:
        """Return the stamp of a file or folder.

        Raises
        ------
        FileNotFoundError, ReadError
            It is missing, or cannot be looked at.
        """
        path = self.root / key
        with reading(path, passing=_MISSING):
            return _stamp_of(path.stat())

    def list(self, prefix: str = "") -> Iterator[str]:
        """Yield the paths of all files below a folder; nothing where there is none."""
        for folder, below, names in os.walk(self.root / prefix):
            below[:] = without_foreign(below)
            files = (Path(folder, name) for name in without_foreign(names))
            yield from (file.relative_to(self.root).as_posix() for file in files if file.is_file())

    def sizes(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        """Yield the paths of all files below a folder, and their sizes.

        Raises
        ------
        ReadError
            A file cannot be looked at.
        """
        for key in self.list(prefix):
            with reading(self.root / key):
                yield key, (self.root / key).stat().st_size

    def put(self, key: str, content: bytes, *, sync: bool = False) -> None:
        """Write a whole file, with folders above it.

        Raises
        ------
        StoreExistsError
            A folder, a device, a pipe or a socket has its name.
        WriteError
            It cannot be written.
        """
        if self.parts is None:
            with self.writing(key, sync=sync) as file:
                file.write(content)
            return
        path = self.root / key
        with writing(path), _open_new(path) as file:
            file.write(content)
            _flush(file, sync=sync)

    @contextlib.contextmanager
    def writing(self, key: str, *, sync: bool = False) -> Iterator[BinaryIO]:
        """Give a file to write, which gets its name when the block succeeds.

        A link stays, and what it leads to is replaced.

        Raises
        ------
        StoreExistsError, WriteError
            As `put`; other errors of the block pass through.
        """
        path = self.root / key
        if self.parts is None:
            with publish(path, sync=sync) as part, _open_new(part) as file:
                yield file
            return
        part = self.parts / uuid.uuid4().hex
        with writing(path):
            try:
                with _open_new(part) as file:
                    yield file
                    _flush(file, sync=sync)
                path.parent.mkdir(parents=True, exist_ok=True)
                move(part, path)
            except BaseException:
                with contextlib.suppress(OSError):
                    part.unlink(missing_ok=True)
                raise

    def append(self, key: str, content: bytes, *, sync: bool = False) -> None:
        """Write bytes behind those of a file, which only places with files can.

        Raises
        ------
        WriteError
            They cannot be written.
        """
        path = self.root / key
        with writing(path), path.open("ab") as file:
            file.write(content)
            _flush(file, sync=sync)

    def put_if_absent(self, key: str, content: bytes, *, sync: bool = False) -> bool:
        """Write a small file unless there is one, and return whether it was written.

        It is written under another name and linked into place, so that it never is there in part.

        Parameters
        ----------
        key
            The file; the root must exist, and folders between are made.
        content
            Its bytes; where several put one key, each puts others.
        sync
            Whether to return when the file outlives a crash of the machine.

        Raises
        ------
        WriteError
            It cannot be written.
        """
        path = self.root / key
        part = self.parts / uuid.uuid4().hex if self.parts else temporary_path(path)
        with writing(path):
            if path.parent != self.root:
                path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with _open_new(part) if self.parts else part.open("wb") as file:
                    file.write(content)
                    _flush(file, sync=sync)
                is_ours = _link(part, path, content, alone=self.parts is not None)
            except FileExistsError:
                return False
            finally:
                with contextlib.suppress(OSError):
                    part.unlink(missing_ok=True)
            if sync:
                sync_folder(path.parent)
            return is_ours

    def delete(self, key: str) -> None:
        """Remove a file or a folder with all it holds; nothing there is no error.

        Raises
        ------
        WriteError
            Something cannot be removed.
        """
        path = self.root / key
        with writing(path):
            remove_tree(path)

    def flush(self, key: str) -> None:
        """Flush the bytes of a file, or the names in a folder, to the disk.

        Raises
        ------
        WriteError
            The system cannot.
        """
        path = self.root / key
        with writing(path):
            (sync_folder if path.is_dir() else sync_path)(path)

    def publish(self, dest: Path, *, sync: bool) -> None:
        """Rename the folder to `dest`, in place of a file or of a store that is there.

        Raises
        ------
        StoreExistsError
            A folder of other things, a device, a pipe or a socket is there.
        WriteError
            The system cannot.
        """
        with writing(dest):
            replace(self.root, dest)
            if sync:
                sync_folder(dest.parent)

    def settle(self) -> None:
        """Put the files of committed revisions in place, the root's metadata last.

        A revision that a crash cut short is finished by whoever opens the store next; where that is
        another process at the same time, both do the same.

        Raises
        ------
        DamagedStoreError
            A list names what is elsewhere: no revision of ours did that.
        WriteError
            The store cannot be written.
        """
        for stage in sorted(self.root.glob(f"{REVISION}*")):
            try:
                names = (stage / COMMITTED).read_text(encoding="utf-8").splitlines()
            except (OSError, ValueError):
                continue
            _check_inside(self.root, stage, names)
            with writing(self.root):
                for name in names:
                    (self.root / name).parent.mkdir(parents=True, exist_ok=True)
                    with contextlib.suppress(FileNotFoundError):
                        move(stage / name, self.root / name)
                sync_folder(self.root)
                remove_stage(stage)


def put_text(path: Path, text: str, *, sync: bool = True) -> None:
    """Write a whole file of text in place of one that is there, with folders above it.

    Raises
    ------
    StoreExistsError, WriteError
        As `LocalFolder.put`.
    """
    LocalFolder(path.parent).put(path.name, text.encode(), sync=sync)


def remove_folder(path: Path) -> None:
    """Remove a folder, which must be empty.

    Raises
    ------
    OSError
        Something is in it, or it cannot be removed.
    """
    path.rmdir()


def open_root(address: Address) -> Readable:
    """Return the place that an address means."""
    if not isinstance(address, Path):
        return address
    if address.name.lower().endswith(SUFFIX) and not address.is_dir():
        return ZippedFolder(open_root(address.parent), address.name)
    return RemoteFolder(address) if isinstance(address, RemotePath) else LocalFolder(address)


def remove_stage(stage: Path) -> None:
    """Remove a folder that another process may be removing at the same moment."""
    while stage.exists():
        with contextlib.suppress(FileNotFoundError):
            remove_tree(stage)


def _check_inside(path: Path, stage: Path, names: Sequence[str]) -> None:
    """Raise where a path would lead out of the store, by its words or through a link."""
    home = path.resolve()
    for name in names:
        ends = [stage, (path / name).parent, (stage / name).parent]
        if not is_key(name) or any(not end.resolve().is_relative_to(home) for end in ends):
            msg = f"its unfinished revision names {name!r}, which is not a file of a store"
            hint = f"do not trust this store; to open it all the same, remove {stage.name} in it"
            raise DamagedStoreError(msg, path=path, hint=hint)


def _open_new(path: Path) -> BinaryIO:
    """Open a file to write, with folders above it."""
    try:
        return path.open("wb", buffering=_BUFFER_BYTES)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("wb", buffering=_BUFFER_BYTES)


def _flush(file: BinaryIO, *, sync: bool) -> None:
    if sync:
        file.flush()
        os.fsync(file.fileno())


def _link(part: Path, path: Path, content: bytes, *, alone: bool) -> bool:
    """Give a file its name unless it is taken, and return whether it has it.

    Where there are no links, whoever writes the folder `alone` can rename a file that is absent.
    """
    try:
        path.hardlink_to(part)
    except FileExistsError:
        # NFS may do it, lose the answer and refuse the second request.
        with contextlib.suppress(OSError):
            return path.read_bytes() == content
        return False
    except (OSError, AttributeError, NotImplementedError):
        if not alone:
            return _create(path, content)
        if path.exists():
            return False
        move(part, path)
    return True


def _create(path: Path, content: bytes) -> bool:
    """Write a new file where the file system has no hard links, as exFAT or some shares."""
    try:
        file = path.open("xb")
    except PermissionError:
        # Windows says so while another process is removing the file.
        if sys.platform == "win32" and path.parent.is_dir():
            return False
        raise
    with file:
        try:
            file.write(content)
            file.flush()
        except OSError:
            # A part of a file would keep the others out.
            with contextlib.suppress(OSError):
                file.close()
            with contextlib.suppress(OSError):
                path.unlink()
            raise
    return True


@cache_open_files(_OPEN_FILES)
def _open_file(path: str, _process: int, stamp: Stamp) -> PositionedFile:
    try:
        file = PositionedFile(Path(path))
    except ReadError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise changed(path, "opened") from error
        raise
    if _stamp_of(file.status()) != stamp:
        raise changed(path, "opened")
    return file


def _stamp_of(status: os.stat_result) -> Stamp:
    # The number of links falls when an open file is removed, whether or not its times are kept.
    version = (status.st_dev, status.st_ino, status.st_nlink, status.st_ctime_ns)
    return Stamp(status.st_size, status.st_mtime_ns, version)
