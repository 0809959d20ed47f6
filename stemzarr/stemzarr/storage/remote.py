"""Objects of buckets and web servers, by obstore.

Nothing of the environment, where credentials are, is kept, pickled or repeated: a place is its
address alone, and the text of an answer, which may repeat a request, is in no message.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import xxhash

from stemzarr.errors import ReadError, WriteError
from stemzarr.storage.address import RemotePath
from stemzarr.storage.client import connect, reading_from, writing_to
from stemzarr.storage.foreign import is_foreign
from stemzarr.storage.objects import NEAR, Stamp, changed, check_size
from stemzarr.storage.sending import PART_BYTES, PartSink

if TYPE_CHECKING:
    from obstore import GetOptions, ObjectMeta, UpdateVersion
    from obstore.store import ObjectStore

__all__ = ["RemoteFolder"]

_AT_ONCE = 8
"""Requests of one call that are under way."""
_TRIES = 5
_PAUSE_S = 0.1
_PIECE = 1024**2
_PARTS_AT_ONCE = 4

_ROOT = "zarr.json"

Ranges = Sequence[tuple[int, memoryview]]


@dataclass(frozen=True, slots=True)
class RemoteFolder:
    """The objects below an address of a bucket or a web server.

    It is pickled as its address, and connects again wherever it is used. Parts are read only of
    the object that has the stamp: by ``If-Match`` where the server gives strong ETags, and by
    what each answer says of its object. An answer that is short is an error.
    """

    root: RemotePath
    """The address."""
    _ahead: dict[str, Future[bytes]] = field(default_factory=dict, compare=False, repr=False)
    _seen: dict[str, Stamp] = field(default_factory=dict, compare=False, repr=False)

    def __reduce__(self) -> tuple[type[RemoteFolder], tuple[RemotePath]]:
        """Pickle the address alone."""
        return RemoteFolder, (self.root,)

    @property
    def far(self) -> bool:
        """True."""
        return True

    def expect(self, *keys: str) -> None:
        """Read objects at once, for the `get` of each that follows."""
        with ThreadPoolExecutor(len(keys)) as pool:
            self._ahead.update({key: pool.submit(self._fetch, key) for key in keys})

    def get(self, key: str) -> bytes:
        """Return all bytes of an object.

        Raises
        ------
        FileNotFoundError, ReadError
            It is missing, or cannot be read.
        """
        ahead = self._ahead.pop(key, None)
        return self._fetch(key) if ahead is None else ahead.result()

    def _fetch(self, key: str) -> bytes:
        import obstore

        with reading_from(self.root / key):
            answer = obstore.get(self._client(), key)
            content = bytes(answer.bytes())
        self._check_length(key, len(content), answer.meta["size"])
        if key == _ROOT:
            self._seen[key] = _stamp_of(answer.meta)
        return content

    def stream(self, key: str) -> Iterator[memoryview]:
        """Yield the bytes of an object in pieces of about 1 MiB, by one request.

        Raises
        ------
        FileNotFoundError, ReadError
            It is missing, or cannot be read.
        """
        import obstore

        with reading_from(self.root / key):
            answer = obstore.get(self._client(), key)
        pieces, size = iter(answer.stream(min_chunk_size=_PIECE)), 0
        while True:
            with reading_from(self.root / key):
                piece = next(pieces, None)
            if piece is None:
                break
            size += len(piece)
            yield memoryview(piece)
        self._check_length(key, size, answer.meta["size"])

    def read_ranges(self, key: str, ranges: Ranges, stamp: Stamp) -> None:
        """Fill buffers, each from its byte of an object on; near ranges by one request.

        Raises
        ------
        SourceChangedError
            The object is gone, or does not have that stamp any more.
        ReadError
            It cannot be read, or its server gives no parts of objects.
        """
        self._read_runs(key, ranges, functools.partial(self._read_part, key, stamp))

    def read_first(self, key: str, ranges: Ranges, size: int) -> Stamp:
        """Fill buffers, each from its byte of an object on, and return the stamp of the object.

        Raises
        ------
        FileNotFoundError, ReadError
            It is missing, or cannot be read.
        DamagedStoreError
            It has another size than it must have.
        SourceChangedError
            It was replaced meanwhile.
        """
        stamps: set[Stamp] = set()

        def read(begin: int, end: int) -> memoryview:
            found, content = self._ask(key, begin, end, "")
            check_size(self.root / key, found.size, size)
            stamps.add(found)
            return content

        self._read_runs(key, ranges, read)
        if len(stamps) > 1:
            raise changed(str(self.root / key), "opened")
        return stamps.pop()

    def _read_runs(self, key: str, ranges: Ranges, read: Callable[[int, int], memoryview]) -> None:
        """Fill buffers by what `read` gives from a byte to another, one call for what is near."""

        def fill(run: Ranges) -> None:
            begin, end = run[0][0], max(start + len(out) for start, out in run)
            content = read(begin, end)
            self._check_length(key, len(content), end - begin)
            for start, out in run:
                out[:] = content[start - begin : start - begin + len(out)]

        runs = list(_runs(ranges))
        if len(runs) == 1:
            fill(runs[0])
            return
        with ThreadPoolExecutor(min(_AT_ONCE, len(runs))) as pool:
            list(pool.map(fill, runs))

    def _read_part(self, key: str, stamp: Stamp, begin: int, end: int) -> memoryview:
        try:
            found, content = self._ask(key, begin, end, str(stamp.version))
        except FileNotFoundError:
            raise changed(str(self.root / key), "opened") from None
        if found != stamp:
            raise changed(str(self.root / key), "opened")
        return content

    def _ask(self, key: str, begin: int, end: int, tag: str) -> tuple[Stamp, memoryview]:
        """Return bytes of an object with its stamp; only where it has an ETag that is strong."""
        import obstore

        options: GetOptions = {"range": (begin, end)}
        if tag.startswith('"'):
            options["if_match"] = tag
        with reading_from(self.root / key):
            answer = obstore.get(self._client(), key, options=options)
            return _stamp_of(answer.meta), memoryview(answer.bytes())

    def read_end(self, key: str, out: memoryview, size: Callable[[], int]) -> Stamp:
        """Fill a buffer with the last bytes of an object, and return its stamp, by one request.

        Raises
        ------
        FileNotFoundError, ReadError
            It is missing, or cannot be read.
        DamagedStoreError
            It has another size than it must have.
        """
        expected = size()
        if expected < len(out):
            return Stamp(expected, 0)
        return self.read_first(key, [(expected - len(out), out)], expected)

    def recall(self, key: str) -> Stamp:
        """Return the stamp of the root's metadata when they were read last; of others, that now."""
        return self._seen.get(key) or self.stamp(key)

    def state(self, key: str, seen: Stamp) -> int | None:
        """Return what changes with the metadata of the root; None where there are none.

        Raises
        ------
        ReadError
            They cannot be looked at.
        """
        del key
        root = self._seen.get(_ROOT)
        if root is None or seen.modified_ns >= root.modified_ns:
            try:
                root = self._seen[_ROOT] = self.stamp(_ROOT)
            except FileNotFoundError:
                return None
        return xxhash.xxh3_64_intdigest(repr(root).encode())

    def stamp(self, key: str) -> Stamp:
        """Return the stamp of an object.

        Raises
        ------
        FileNotFoundError, ReadError
            It is missing, or cannot be looked at.
        """
        import obstore

        with reading_from(self.root / key):
            return _stamp_of(obstore.head(self._client(), key))

    def list(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys of all objects below a key.

        Raises
        ------
        ReadError
            The server does not say, as most web servers.
        """
        yield from (key for key, _ in self.sizes(prefix))

    def sizes(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        """Yield the keys of all objects below a key, and their sizes.

        Raises
        ------
        ReadError
            The server does not say, as most web servers.
        """
        import obstore

        with reading_from(self.root / prefix, passing=()):
            found = [
                (item["path"], item["size"])
                for page in obstore.list(self._client(), prefix or None)
                for item in page
            ]
        yield from ((key, size) for key, size in found if not any(map(is_foreign, key.split("/"))))

    def names(self, prefix: str = "") -> Iterator[str]:
        """Yield what is right below a key, as a folder has it: one request for a thousand.

        Raises
        ------
        ReadError
            The server does not say, as most web servers.
        """
        import obstore

        with reading_from(self.root / prefix, passing=()):
            found = obstore.list_with_delimiter(self._client(), prefix or None)
        paths = [*found["common_prefixes"], *(item["path"] for item in found["objects"])]
        names = (path.rstrip("/").rpartition("/")[2] for path in paths)
        yield from (name for name in names if not is_foreign(name))

    def put(self, key: str, content: bytes, *, sync: bool = False) -> None:
        """Put an object, which is then kept; `sync` adds nothing.

        Raises
        ------
        WriteError
            It cannot be written.
        """
        import obstore

        del sync
        self._forget()
        with writing_to(self.root / key):
            obstore.put(self._client(), key, content, use_multipart=False)

    @contextlib.contextmanager
    def writing(self, key: str, *, sync: bool = False) -> Iterator[PartSink]:
        """Give a sink, which sends a large object in parts; it appears when the block succeeds.

        Raises
        ------
        WriteError
            It cannot be written.
        """
        import obstore

        def send(content: bytes | Iterator[bytes]) -> None:
            with writing_to(self.root / key):
                if isinstance(content, bytes):
                    obstore.put(self._client(), key, content, use_multipart=False)
                else:
                    size, most = PART_BYTES, _PARTS_AT_ONCE
                    obstore.put(self._client(), key, content, chunk_size=size, max_concurrency=most)

        del sync
        sink = PartSink(send)
        try:
            yield sink
        except BaseException:
            sink.stop()
            raise
        self._forget()
        sink.finish()

    def put_if_absent(self, key: str, content: bytes, *, sync: bool = False) -> bool:
        """Put an object unless there is one, and return whether it was put.

        The answer to a request that succeeded may be lost, and the request repeated: so what is
        there is compared.

        Raises
        ------
        WriteError
            It cannot be written, or the server has no conditional requests.
        """
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        del sync
        for attempt in range(_TRIES):
            try:
                with writing_to(self.root / key, passing=(AlreadyExistsError, PreconditionError)):
                    obstore.put(self._client(), key, content, mode="create", use_multipart=False)
            except (AlreadyExistsError, PreconditionError):
                with contextlib.suppress(FileNotFoundError):
                    return self.get(key) == content
                time.sleep(_PAUSE_S * 2**attempt)  # two that create at one moment are both refused
            else:
                return True
        hint = "try again"
        raise WriteError("others create it at this moment", path=self.root / key, hint=hint)

    def swap(self, key: str, old: bytes, new: bytes) -> bool:
        """Put an object in place of one with known bytes, and return whether it is there.

        The version that had those bytes is the one that is replaced, by ``If-Match``. As with
        `put_if_absent`, the answer to a request that succeeded may be lost.

        Raises
        ------
        ReadError, WriteError
            It cannot be read or written.
        """
        import obstore
        from obstore.exceptions import AlreadyExistsError, NotFoundError, PreconditionError

        lost = (AlreadyExistsError, NotFoundError, PreconditionError)
        try:
            with reading_from(self.root / key):
                answer = obstore.get(self._client(), key)
                if bytes(answer.bytes()) != old:
                    return False
            with writing_to(self.root / key, passing=lost):
                mode = _version_of(answer.meta)
                obstore.put(self._client(), key, new, mode=mode, use_multipart=False)
        except (FileNotFoundError, *lost):
            try:
                return self.get(key) == new
            except FileNotFoundError:
                return False
        return True

    def delete(self, key: str) -> None:
        """Delete an object and all that are below its key; nothing there is no error.

        Raises
        ------
        WriteError, ReadError
            They cannot be listed, or not be deleted.
        """
        import obstore

        client = self._client()
        self._forget()
        with writing_to(self.root / key):
            below = [item["path"] for page in obstore.list(client, key or None) for item in page]
        for path in [*below, *([key] if key else [])]:
            with writing_to(self.root / path), contextlib.suppress(FileNotFoundError):
                obstore.delete(client, path)

    def flush(self, key: str) -> None:
        """Do nothing: what was put is kept."""

    def settle(self) -> None:
        """Do nothing: no object is ever half put."""

    def _forget(self) -> None:
        """Forget what was read: it is written."""
        self._ahead.clear()
        self._seen.clear()

    def _client(self) -> ObjectStore:
        return connect(str(self.root))

    def _check_length(self, key: str, found: int, expected: int) -> None:
        if found != expected:
            msg = f"the server gave {found} bytes of {expected}"
            hint = "try again; if this goes on, the server or a proxy in front of it is at fault"
            raise ReadError(msg, path=self.root / key, hint=hint)


def _version_of(meta: ObjectMeta) -> UpdateVersion:
    """Return what names a version: some servers count them, others have ETags alone."""
    named: UpdateVersion = {}
    if meta["e_tag"]:
        named["e_tag"] = meta["e_tag"]
    if meta["version"]:
        named["version"] = meta["version"]
    return named


def _stamp_of(meta: ObjectMeta) -> Stamp:
    seconds = int(meta["last_modified"].timestamp())
    return Stamp(meta["size"], seconds * 10**9, meta["e_tag"] or "")


def _runs(ranges: Ranges) -> Iterator[Ranges]:
    """Yield ranges in order, together as far as the gaps between them are small."""
    run: list[tuple[int, memoryview]] = []
    end = 0
    for start, out in sorted(ranges, key=lambda item: item[0]):
        if run and start > end + NEAR:
            yield run
            run, end = [], 0
        run.append((start, out))
        end = max(end, start + len(out))
    if run:
        yield run
