"""Connections of obstore, and what their errors mean."""

from __future__ import annotations

import contextlib
import functools
import os
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from stemzarr.errors import (
    MissingDependencyError,
    ReadError,
    SourceChangedError,
    StemzarrError,
    WorkerError,
    WriteError,
)
from stemzarr.storage.address import RemotePath

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

__all__ = ["connect", "is_connected", "reading_from", "writing_to"]

_CLIENT: ClientConfig = {
    "connect_timeout": timedelta(seconds=10),
    "read_timeout": timedelta(seconds=30),
    "timeout": timedelta(hours=1),
}
_RETRY: RetryConfig = {
    "backoff": {
        "init_backoff": timedelta(milliseconds=100),
        "max_backoff": timedelta(seconds=5),
        "base": 2,
    },
    "max_retries": 4,
    "retry_timeout": timedelta(seconds=60),
}
_CREDENTIALS = re.compile(r"(AWS|GOOGLE|AZURE)_")
_ENVIRONMENT = (
    "set the credentials in the environment, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; "
    "AWS_SKIP_SIGNATURE=true reads what is public"
)
_SAID = (
    (r"NoSuchBucket", "there is no such bucket", "check its name"),
    (r"ExpiredToken|TokenRefreshRequired", "the credentials have expired", "renew them"),
    (
        r"InvalidAccessKeyId|SignatureDoesNotMatch|InvalidToken",
        "the server does not accept the credentials",
        _ENVIRONMENT,
    ),
    (
        r"PermanentRedirect|AuthorizationHeaderMalformed|[Rr]edirect",
        "the bucket is in another region",
        "set AWS_REGION to that of the bucket",
    ),
    (r"status code: 40[13]", "the server denies access", f"check the name; {_ENVIRONMENT}"),
    (
        r"status code: 416",
        "the object is shorter than it should be",
        "restore it from a copy, or publish the store again",
    ),
    (
        r"NotSupported",
        "the server does not serve parts of objects, which a store is read by, or cannot do this",
        "copy the store here, or serve it by a server with ranges, such as nginx",
    ),
    (
        r"metadata endpoint|169\.254\.|[Cc]redential|[Aa]ccount must be",
        "there are no credentials",
        _ENVIRONMENT,
    ),
    (r"kind: Connect", "the server cannot be reached", "check the address and the network"),
    (r"kind: Timeout|TimedOut", "the server did not answer in time", "try again"),
    (r"kind: Interrupted|body error", "the connection broke", "try again"),
)
"""What is looked for in the text of an error, what is said of it, and what to do."""
_first_process: list[int] = []


def connect(address: str) -> ObjectStore:
    """Return the connection of this process to what is below an address.

    Raises
    ------
    MissingDependencyError
        obstore is not installed.
    WorkerError
        This process was forked from one that uses obstore, whose threads it does not have.
    ReadError
        The address, or what the environment says of it, cannot be used.
    """
    if not _first_process:
        _first_process.append(os.getpid())
    if _first_process[0] != os.getpid():
        msg = "addresses cannot be read in a process that was forked from one that reads them"
        hint = "start workers by multiprocessing_context='forkserver', as make_loader does"
        raise WorkerError(msg, path=address, hint=hint)
    environment = tuple(item for item in os.environ.items() if _CREDENTIALS.match(item[0].upper()))
    return _connect(address, environment)


def is_connected() -> bool:
    """Return whether this process has used obstore, after which it must not be forked."""
    return bool(_first_process)


@functools.lru_cache(maxsize=64)
def _connect(address: str, environment: tuple[tuple[str, str], ...]) -> ObjectStore:
    try:
        from obstore.store import HTTPStore, from_url
    except ImportError as error:
        msg = "reading from an address needs obstore, which is not installed"
        hint = "pip install 'stemzarr[cloud]'"
        raise MissingDependencyError(msg, path=address, hint=hint) from error
    # An endpoint that is named by http:// is meant.
    plain = any(name.upper().startswith("AWS_ENDPOINT") for name, _ in environment)
    plain = plain or address.startswith("http://")
    client: ClientConfig = {**_CLIENT, "allow_http": plain}
    with reading_from(RemotePath(address)):
        if address.startswith("http"):
            return HTTPStore(address, client_options=client, retry_config=_RETRY)
        return from_url(address, client_options=client, retry_config=_RETRY)


@contextlib.contextmanager
def reading_from(
    path: RemotePath, *, passing: tuple[type[Exception], ...] = (FileNotFoundError,)
) -> Iterator[None]:
    """Turn what obstore says inside the block into an error about reading `path`.

    Raises
    ------
    FileNotFoundError
        There is no such object.
    SourceChangedError
        It is another than was asked for.
    ReadError
        It cannot be read.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, StemzarrError):
            raise
        known = FileNotFoundError in passing and "NoSuchBucket" not in str(error)
        if isinstance(error, FileNotFoundError) and known:
            raise FileNotFoundError(str(path)) from None
        if type(error).__name__ == "PreconditionError":
            msg, hint = "changed since it was opened", "open it again"
            raise SourceChangedError(msg, path=path, hint=hint) from None
        if not _is_of_obstore(error):
            raise
        said, hint = _explain(error)
        raise ReadError(said, path=path, hint=hint) from None


@contextlib.contextmanager
def writing_to(path: RemotePath, *, passing: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Turn what obstore says inside the block into an error about writing `path`.

    Raises
    ------
    WriteError
        It cannot be written; errors of ours and those of `passing` pass through.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, (StemzarrError, *passing)) or not _is_of_obstore(error):
            raise
        said, hint = _explain(error)
        raise WriteError(said, path=path, hint=hint) from None


def _is_of_obstore(error: Exception) -> bool:
    from obstore.exceptions import BaseError

    return isinstance(error, BaseError | OSError | ValueError)


def _explain(error: Exception) -> tuple[str, str]:
    """Return what an error means and what to do, without its text, which repeats requests."""
    text = str(error)
    status = re.search(r"status code: ([1-5][0-9]{2})", text)
    # Of an answer only its status and the code in its text count, whatever else that says.
    known = text.partition("\n\nDebug source")[0] if status else text
    for pattern, said, hint in _SAID:
        if re.search(pattern, known):
            return said, hint
    said = f"the server answers {status[1]}" if status else f"failed ({type(error).__name__})"
    return said, "check the address; try again later"
