"""What a server was seen to do: whether it creates an object once, and checks what it takes.

Some servers of the S3 protocol take ``If-None-Match`` and overwrite all the same, so that nothing
is assumed: a small object is put beside the destination, and deleted again.
"""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import hashlib
import os
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from stemzarr.errors import ReadError, SourceChangedError, WriteError
from stemzarr.storage.address import RemotePath
from stemzarr.storage.client import connect, reading_from
from stemzarr.storage.objects import Writable
from stemzarr.storage.remote import RemoteFolder

if TYPE_CHECKING:
    from obstore import GetOptions, UpdateVersion

__all__ = ["Abilities", "probe"]

_PROBE = ".stemzarr-probe"
_ANOTHER = '"0123456789abcdef0123456789abcdef"'
"""ETag of nothing that is there."""
_TIMEOUT_S = 30
_known: dict[tuple[str, str], Abilities] = {}
"""What was seen of buckets by this process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Abilities:
    """What a place can be relied on for."""

    creates_once: bool = True
    """Whether an object is created by one of several that try."""
    heeds_versions: bool = True
    """Whether a part is given of the version alone that was asked for."""
    swaps: bool = True
    """Whether an object is replaced only where it is the version that was named."""
    checks_bodies: bool | None = None
    """Whether an object whose checksum is wrong is refused; None where that cannot be tried."""

    def cautions(self) -> tuple[str, ...]:
        """Return what follows for people who publish there, a sentence each."""
        found = []
        if not self.creates_once:
            found.append(
                "the server does not refuse to create an object twice: let one machine at a time "
                "publish there"
            )
        if not self.heeds_versions:
            found.append("the server ignores If-Match: replace nothing there while it is read")
        if self.creates_once and not self.swaps:
            found.append(
                "the server replaces an object that somebody else has changed: let one machine at "
                "a time publish a lake there"
            )
        if self.checks_bodies is False:
            found.append(
                "the server does not compare what it receives with its checksum: verify the copy"
            )
        return tuple(found)


def probe(place: Writable) -> Abilities:
    """Try what the server of a place does, once for each bucket and process; 8 requests.

    Raises
    ------
    WriteError, ReadError
        Nothing can be put there.
    """
    if not isinstance(place, RemoteFolder):
        return Abilities()
    root = str(place.root)
    bucket = "/".join(root.split("/")[:3])
    known = bucket, os.environ.get("AWS_ENDPOINT_URL", "")
    if known not in _known:
        # Not below the destination: whatever is there belongs to it.
        beside = place if root == bucket else RemoteFolder(RemotePath(root).parent)
        key = f"{_PROBE}-{uuid.uuid4().hex}"
        try:
            _known[known] = _try(beside, key)
        finally:
            with contextlib.suppress(WriteError, ReadError):
                beside.delete(key)
    return _known[known]


def _try(place: RemoteFolder, key: str) -> Abilities:
    creates_once = _creates_once(place, key)
    return Abilities(
        creates_once=creates_once,
        heeds_versions=_heeds_versions(place, key),
        swaps=_swaps(place, key),
        checks_bodies=_checks_bodies(place, key),
    )


def _creates_once(place: RemoteFolder, key: str) -> bool:
    try:
        first = place.put_if_absent(key, b"first")
    except WriteError:
        # Without conditional requests it can still be put: where it cannot, this says why.
        place.put(key, b"first")
        return False
    return first and not place.put_if_absent(key, b"second")


def _heeds_versions(place: RemoteFolder, key: str) -> bool:
    """Return whether a part of another version than that which is there is refused."""
    import obstore

    options: GetOptions = {"range": (0, 1), "if_match": _ANOTHER}
    try:
        with reading_from(place.root / key):
            obstore.get(connect(str(place.root)), key, options=options).bytes()
    except SourceChangedError:
        return True
    return False


def _swaps(place: RemoteFolder, key: str) -> bool:
    """Return whether an object stays that is another version than the one to be replaced."""
    import obstore
    from obstore.exceptions import BaseError, NotFoundError, PreconditionError

    other: UpdateVersion = {"e_tag": _ANOTHER}
    client = connect(str(place.root))
    try:
        obstore.put(client, key, b"third", mode=other, use_multipart=False)
    except (PreconditionError, NotFoundError):
        return True
    except (BaseError, OSError, ValueError, NotImplementedError):
        pass  # where it cannot be asked for, it is not done
    return False


def _checks_bodies(place: RemoteFolder, key: str) -> bool | None:
    """Return whether a body is refused that is not what its MD5 says; None where none can be sent.

    The request is signed without its body, so that only the checksum can be what is wrong.
    """
    import obstore
    from obstore.store import S3Store

    connection = connect(str(place.root))
    if not isinstance(connection, S3Store):
        return None
    md5 = base64.b64encode(hashlib.md5(b"other", usedforsecurity=False).digest()).decode()
    try:
        url = obstore.sign(connection, "PUT", key, dt.timedelta(minutes=5))
        request = urllib.request.Request(  # noqa: S310 - the address of the bucket
            url, data=b"probe", method="PUT", headers={"Content-MD5": md5}
        )
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S):  # noqa: S310
            return False
    except urllib.error.HTTPError as error:
        with error:
            return True if error.code == HTTPStatus.BAD_REQUEST else None
    except Exception:  # noqa: BLE001 - not every server takes such a request
        return None
