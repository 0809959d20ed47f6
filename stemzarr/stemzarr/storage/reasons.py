"""What the operating system says of files, as errors of ours with what to do about it."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from stemzarr.errors import ReadError, StemzarrError, WriteError

__all__ = [
    "advice",
    "denied",
    "is_about_memory",
    "is_unwritable",
    "read_error",
    "reading",
    "reason_of",
    "write_error",
    "writing",
]

_NETWORK = "the network share does not answer; check the connection, then try again"
_RIGHTS = "check its permissions and its owner, and that no other program has it open"
_ADVICE = {
    "ENOSPC": "free space there or choose another folder",
    "EDQUOT": "your quota there is used up; free space or choose another folder",
    "EFBIG": "the file system or a limit (ulimit -f) allows no file of that size",
    "EROFS": "the disk is mounted read-only; choose another folder",
    "EACCES": _RIGHTS,
    "EPERM": _RIGHTS,
    "ENAMETOOLONG": "choose a shorter name",
    "EILSEQ": "the file system does not take such a name; choose another",
    "ENOTDIR": "a file is where a folder must be; choose another folder",
    "EISDIR": "it is a folder; name a file",
    "ELOOP": "a link leads to itself; name what it should lead to",
    "EMFILE": "too many files are open; close some, or raise the limit (ulimit -n)",
    "ENFILE": "too many files are open on this machine; close other programs",
    "ENOMEM": "not enough memory; close other programs, or give a smaller --memory",
    "EAGAIN": "the system allows no more processes or memory; close other programs",
    "EIO": "the disk or the network it is on fails; copy it elsewhere while you can",
    "ENXIO": "the device is not there any more; connect it again",
    "ENODEV": "the device is not there any more; connect it again",
    "ENOMEDIUM": "no disk is in the drive",
    "EBUSY": "another program is using it; close that, then try again",
    "ETXTBSY": "another program is using it; close that, then try again",
    "ESTALE": "the server replaced or removed it meanwhile; try again",
    "ETIMEDOUT": _NETWORK,
    "EHOSTDOWN": _NETWORK,
    "EHOSTUNREACH": _NETWORK,
    "ENETDOWN": _NETWORK,
    "ENETUNREACH": _NETWORK,
    "ECONNRESET": _NETWORK,
    "ECONNABORTED": _NETWORK,
    "ECONNREFUSED": _NETWORK,
    "ENOTCONN": _NETWORK,
    "ENOLCK": "the file system does not support locks; choose another folder",
    "EOPNOTSUPP": "the file system cannot do that; choose another folder",
    "ENOTSUP": "the file system cannot do that; choose another folder",
}
"""What to do about an error of the operating system, by its name; not every system has each."""
_BY_NUMBER = {getattr(errno, name): said for name, said in _ADVICE.items() if hasattr(errno, name)}
_UNWRITABLE = frozenset(
    getattr(errno, name)
    for name in ("EROFS", "EACCES", "EPERM", "ENOSPC", "EDQUOT")
    if hasattr(errno, name)
)
_NO_MEMORY = (
    "error return without exception set",  # of C code that got no memory to say more
    "failed to map segment",
    "cannot allocate memory",
    "can't start new thread",
    "can't load unicodedata",
)


def advice(error: OSError) -> str | None:
    """Return what to do about what the operating system said, where that is known."""
    return _BY_NUMBER.get(error.errno or 0)


def is_unwritable(error: BaseException | None) -> bool:
    """Return whether the system said that a place lets nobody, or not this user, write more."""
    return isinstance(error, OSError) and error.errno in _UNWRITABLE


def denied(path: Path) -> WriteError:
    """Return the error for a file that this user has no right to write."""
    cause = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    error = write_error(path, cause)
    error.__cause__ = cause
    return error


def is_about_memory(error: BaseException) -> bool:
    """Return whether an error, or one that it came from, is that of a system without memory.

    Libraries that cannot be loaded, and threads that cannot start, say so in words only.
    """
    seen: BaseException | None = error
    for _ in range(16):
        if seen is None:
            return False
        stated = str(seen).lower()
        if isinstance(seen, MemoryError) or getattr(seen, "errno", None) == errno.ENOMEM:
            return True
        if isinstance(seen, ImportError | RuntimeError | SyntaxError | SystemError) and any(
            w in stated for w in _NO_MEMORY
        ):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def reason_of(error: OSError) -> str:
    """Return why something cannot be read, from an error of the system or one of ours."""
    said = getattr(error, "message", None)
    return said or f"cannot be read: {error.strerror or error}"


def read_error(path: Path, error: OSError) -> ReadError:
    """Return what the operating system said about reading `path` as an error of ours."""
    hint = "check that it is there, its permissions, and the disk or network it is on"
    return ReadError(reason_of(error), path=path, hint=advice(error) or hint)


def write_error(path: Path, error: OSError) -> WriteError:
    """Return what the operating system said about writing `path` as an error of ours."""
    hint = advice(error) or "check its permissions"
    return WriteError(f"cannot be written: {error.strerror or error}", path=path, hint=hint)


@contextlib.contextmanager
def reading(path: Path, *, passing: tuple[type[OSError], ...] = ()) -> Iterator[None]:
    """Turn what the operating system says inside the block into an error about reading `path`.

    Parameters
    ----------
    path
        The file that the message names.
    passing
        Errors of the system that pass through.

    Raises
    ------
    ReadError
        The operating system could not read; errors of ours pass through.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, (StemzarrError, *passing)):
            raise
        raise read_error(path, error) from error


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the operating system says inside the block into an error about writing `path`.

    Raises
    ------
    WriteError
        The operating system could not write; errors of ours pass through.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, StemzarrError):
            raise
        raise write_error(path, error) from error
