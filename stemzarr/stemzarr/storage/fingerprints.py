"""What tells acquisitions apart: size and time of their files, samples of them, all their bytes.

Size and time say that a file is the one that was read before; samples say that two files differ;
that two files are the same, only a digest of every byte says. Of a store at an address the metadata
of its root stand for all: they name the digest of its pixels.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import xxhash

from stemzarr.errors import SourceChangedError
from stemzarr.model import Source
from stemzarr.storage.address import RemotePath
from stemzarr.storage.files import PIECE_BYTES, iterate_file
from stemzarr.storage.foreign import is_foreign
from stemzarr.storage.objects import Stream
from stemzarr.storage.reasons import reading
from stemzarr.storage.remote import RemoteFolder
from stemzarr.storage.zipped import SUFFIX

__all__ = [
    "FileState",
    "combine_digests",
    "digest_files",
    "digest_of",
    "file_states",
    "files_below",
    "sample_files",
    "state_of",
]

_PIECE_BYTES = 64 * 1024
_PIECES = 16
"""Pieces that are sampled of one file; of several files as many in all."""
_MOST_FILES = 256
"""Files of which a piece is sampled, where an acquisition has more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileState:
    """What the file system says of one file, or one folder with all it holds."""

    name: str
    """Path relative to the folder of the source, with ``/``."""
    size: int
    """Size in bytes; of a folder, that of all files below it."""
    modified_ns: int
    """Modification time; of a folder, the latest of all files below it."""


def files_below(path: Path) -> tuple[Path, ...]:
    """Return a file as it is, or every file below a folder, sorted by their paths.

    What file managers and network file systems leave in a folder is not part of it.
    """
    if not path.is_dir():
        return (path,)
    found = (
        Path(folder, name)
        for folder, _, names in os.walk(path)
        for name in names
        if not is_foreign(name)
    )
    return tuple(sorted(found, key=lambda file: file.relative_to(path).as_posix()))


def state_of(path: Path, folder: Path) -> FileState:
    """Return what the file system says of one file of an acquisition.

    Parameters
    ----------
    path
        The file, or a folder that is read as a whole.
    folder
        The folder that its name is relative to.

    Raises
    ------
    FileNotFoundError, OSError
        It is gone, or cannot be looked at.
    """
    if isinstance(path, RemotePath):
        place, key = _root_of(path)
        stamp = place.stamp(key)
        return FileState(name=path.name, size=stamp.size, modified_ns=stamp.modified_ns)
    found = [file.stat() for file in files_below(path)]
    return FileState(
        name=_name(path, folder),
        size=sum(status.st_size for status in found),
        modified_ns=max((status.st_mtime_ns for status in found), default=0),
    )


def _root_of(path: RemotePath) -> tuple[RemoteFolder, str]:
    """Return the object that stands for a store at an address: its root's metadata, or its file."""
    if path.name.lower().endswith(SUFFIX):
        return RemoteFolder(path.parent), path.name
    return RemoteFolder(path), "zarr.json"


def _name(path: Path, folder: Path) -> str:
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # another drive of Windows
        return path.name


def file_states(source: Source) -> tuple[FileState, ...]:
    """Return what the file system says of every file of a source, in the order of the source.

    Raises
    ------
    SourceChangedError
        A file is gone since the source was recognised.
    ReadError
        A file cannot be looked at.
    """
    states = []
    for path in source.files:
        try:
            with reading(path, passing=(FileNotFoundError,)):
                states.append(state_of(path, source.path.parent))
        except FileNotFoundError:
            msg, hint = "is gone since it was recognised", "check where it is"
            raise SourceChangedError(msg, path=path, hint=hint) from None
    return tuple(states)


def sample_files(paths: Sequence[Path]) -> str:
    """Return a digest of pieces of files, about 1 MiB in all: heads, tails, and between them.

    Files whose samples differ are different; nothing follows where they agree, unless the files
    are no larger than what is sampled.

    Raises
    ------
    ReadError
        A file cannot be read.
    """
    files = [file for path in paths for file in files_below(path)]
    step = -(-len(files) // _MOST_FILES) or 1
    chosen = files[::step]
    pieces = max(1, _PIECES // max(1, len(chosen)))
    state = xxhash.xxh3_128(f"{len(files)} files".encode())
    for path in chosen:
        if isinstance(path, RemotePath):
            state.update(_end_of(path))
            continue
        with reading(path):
            _sample(path, pieces, state)
    return state.hexdigest()


def _end_of(path: RemotePath) -> bytes:
    """Return metadata of a store at an address: of the root, or at the end of its file."""
    place, key = _root_of(path)
    stamp = place.stamp(key)
    out = bytearray(min(stamp.size, _PIECE_BYTES))
    place.read_ranges(key, [(stamp.size - len(out), memoryview(out))], stamp)
    return bytes(out)


def _sample(path: Path, pieces: int, state: xxhash.xxh3_128) -> None:
    with path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        state.update(f" {size} ".encode())
        last = max(0, size - _PIECE_BYTES)
        offsets = {last * number // max(1, pieces - 1) for number in range(pieces)}
        if size <= pieces * _PIECE_BYTES:
            offsets = set(range(0, size, _PIECE_BYTES))
        for offset in sorted(offsets):
            file.seek(offset)
            state.update(file.read(_PIECE_BYTES))


def digest_files(
    paths: Iterable[Path], advance: Callable[[int], None] | None = None
) -> tuple[str, ...]:
    """Return the xxh3-128 of all bytes of each file, in hex.

    Parameters
    ----------
    paths
        Files, or folders: the digest of a folder covers the names and the bytes of all files
        below it.
    advance
        Called with the size in bytes of each piece before it is read; it may raise to stop.

    Raises
    ------
    ReadError
        A file cannot be read.
    """
    return tuple(_digest(path, advance) for path in paths)


def _digest(path: Path, advance: Callable[[int], None] | None) -> str:
    state = xxhash.xxh3_128()
    is_folder = path.is_dir()
    for file in files_below(path):
        if is_folder:
            name = file.relative_to(path).as_posix()
            state.update(f"{name}\0{file.stat().st_size}\0".encode())
        for piece in _pieces(file, advance):
            state.update(piece)
    return state.hexdigest()


def _pieces(path: Path, advance: Callable[[int], None] | None) -> Iterator[memoryview]:
    with reading(path):
        pieces = iterate_file(path)
        while True:
            if advance is not None:
                advance(PIECE_BYTES)
            piece = next(pieces, None)
            if piece is None:
                return
            yield piece


def digest_of(place: Stream, key: str) -> tuple[int, str]:
    """Return the size of an object and its xxh3-128 in hex.

    Raises
    ------
    FileNotFoundError, ReadError
        It is missing, or cannot be read.
    """
    state, size = xxhash.xxh3_128(), 0
    for piece in place.stream(key):
        state.update(piece)
        size += len(piece)
    return size, state.hexdigest()


def combine_digests(digests: Sequence[str]) -> str:
    """Return the digest of an acquisition from those of its files, in their order.

    Examples
    --------
    >>> combine_digests(["00", "01"]) == combine_digests(["01", "00"])
    False
    """
    return (
        digests[0] if len(digests) == 1 else xxhash.xxh3_128_hexdigest(" ".join(digests).encode())
    )
