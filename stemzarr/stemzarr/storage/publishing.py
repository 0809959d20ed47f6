"""Objects sent to another place, each checked as it is read, where one of them shows the others."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import xxhash

from stemzarr.errors import DamagedStoreError, OptionError, SourceNotFoundError, StoreExistsError
from stemzarr.storage.address import RemotePath
from stemzarr.storage.files import follow_link, remove_abandoned, remove_tree
from stemzarr.storage.local import LocalFolder
from stemzarr.storage.locks import FileLock
from stemzarr.storage.objects import PutPieces, Readable, Writable, get_or_none
from stemzarr.storage.reasons import writing
from stemzarr.storage.remote import RemoteFolder

__all__ = ["check_apart", "open_destination", "place_of", "send", "swap"]

_SWAP_WAIT_S = 60.0


def place_of(dest: Path | Writable) -> Writable:
    """Return the place that a destination means, of which nothing need be there."""
    if isinstance(dest, RemotePath):
        return RemoteFolder(dest)
    return LocalFolder(dest) if isinstance(dest, Path) else dest


@contextlib.contextmanager
def open_destination(dest: Path | Writable) -> Iterator[Writable]:
    """Give a place to send to; a folder is made, and held against other writers of it.

    Parameters
    ----------
    dest
        The folder, in one that exists; or the address of another place, or such a place.

    Raises
    ------
    SourceNotFoundError
        The folder that it would be in does not exist.
    StoreExistsError
        A file has its name.
    StoreBusyError
        Another process writes there.
    WriteError
        It cannot be made.
    """
    if isinstance(dest, RemotePath) or not isinstance(dest, Path):
        yield place_of(dest)
        return
    end = follow_link(dest)
    if not end.parent.is_dir():
        raise SourceNotFoundError("the folder does not exist", path=end.parent, hint="make it")
    if end.exists() and not end.is_dir():
        raise StoreExistsError("is not a folder", path=dest, hint="choose another name")
    parts = end.with_name(f".{end.name}.parts")
    with FileLock(end.with_name(f".{end.name}.lock"), what=f"the copy {end.name}"), writing(end):
        end.mkdir(exist_ok=True)
        remove_abandoned(end.parent)
        remove_tree(parts)
        try:
            yield LocalFolder(end, parts=parts)
        finally:
            remove_tree(parts)


def check_apart(source: Path, dest: Path) -> None:
    """Raise where something would be published into itself.

    Raises
    ------
    OptionError
        Source and destination are one, or one contains the other.
    """
    if isinstance(source, RemotePath) or isinstance(dest, RemotePath):
        here, there = Path(str(source)), Path(str(dest))
    else:
        here, there = source.resolve(), dest.resolve()
    if here.is_relative_to(there) or there.is_relative_to(here):
        what = "is the source itself" if here == there else "and its source contain each other"
        raise OptionError(what, path=dest, hint="choose another place")


def swap(place: Writable, key: str, old: bytes | None, new: bytes) -> bool:
    """Put a small object in place of one with known bytes, and return whether it is there.

    Of several that replace the same bytes one does: a bucket compares the version, a folder is
    locked meanwhile.

    Parameters
    ----------
    place
        Where it is.
    key
        The object, right below the root.
    old
        What is replaced; None where no such object is to be there.
    new
        What takes its place.

    Raises
    ------
    StoreBusyError, ReadError, WriteError
        Another process holds it for long, or it cannot be read or written.
    """
    if isinstance(place, RemoteFolder):
        return place.put_if_absent(key, new) if old is None else place.swap(key, old, new)
    lock = place.root / f".{key}.lock"
    with FileLock(lock, timeout_s=_SWAP_WAIT_S, what=key):
        if get_or_none(place, key) != old:
            return False
        place.put(key, new, sync=True)
        return True


def send(
    source: Readable,
    dest: PutPieces,
    key: str,
    expected: tuple[int, str],
    *,
    sync: bool,
    advance: Callable[[int], None],
) -> None:
    """Copy an object in pieces, and let it appear only if it is what it must be.

    Parameters
    ----------
    source, dest
        Where it is, and where it goes under the same key.
    key
        The object.
    expected
        Its size in bytes and its xxh3-128 in hex.
    sync
        Whether it is there after a crash of the machine.
    advance
        Called with the size of each piece that was sent.

    Raises
    ------
    DamagedStoreError
        It is missing at the source, or other bytes are there.
    ReadError, WriteError
        It cannot be read or written.
    """
    state, size = xxhash.xxh3_128(), 0
    with dest.writing(key, sync=sync) as sink:
        try:
            for piece in source.stream(key):
                state.update(piece)
                size += len(piece)
                sink.write(bytes(piece))
                advance(len(piece))
        except FileNotFoundError as error:
            raise _damaged(source, key, "is missing") from error
        if size != expected[0]:
            raise _damaged(source, key, f"has {size} bytes instead of {expected[0]}")
        if state.hexdigest() != expected[1]:
            raise _damaged(source, key, "its bytes changed since they were written")


def _damaged(source: Readable, key: str, what: str) -> DamagedStoreError:
    hint = "'stemzarr verify' says what else is damaged; nothing damaged is published"
    return DamagedStoreError(what, path=source.root / key, hint=hint)
