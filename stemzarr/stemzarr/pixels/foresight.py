"""Pieces of what is far away, fetched before they are needed, and kept afterwards.

Whoever works on a document box by box knows what comes next. What is far is asked for in that
order then, neighbours by one request and several requests at once, while earlier boxes are worked
on. Nothing depends on it: what was not foreseen, or is not kept any more, is read when it is asked
for.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from stemzarr.errors import StemzarrError
from stemzarr.model import Blocks
from stemzarr.pixels.boxes import Box

__all__ = ["FarBlocks", "Run", "fetch_small", "foresee", "is_far", "keep", "take"]

_AT_ONCE = 32
"""Requests that are under way for one piece of work."""
_AHEAD_BYTES = 64 * 1024**2
"""Bytes that a process asks for ahead of their use."""
_KEPT_BYTES = 64 * 1024**2
"""Bytes that a process keeps after their use."""


@runtime_checkable
class _Derived(Protocol):
    """Blocks that are made of others."""

    def sources_of(self, box: Box) -> Iterable[tuple[Blocks, Box]]:
        """Return what is read for a box, and of which blocks."""


@runtime_checkable
class FarBlocks(Protocol):
    """Blocks whose pieces may be far away."""

    @property
    def far(self) -> bool:
        """Whether they are."""

    def list_pieces(self, box: Box) -> Iterator[Hashable]:
        """Yield what a box is made of, by names that nothing else in the process has."""

    def cut_runs(self, pieces: Iterable[Hashable]) -> Iterator[Run]:
        """Yield pieces in their order, those that one request fetches together."""


@dataclass(slots=True)
class Run:
    """Pieces that one request fetches."""

    pieces: Sequence[Hashable]
    """Their names."""
    nbytes: int
    """Their size."""
    read: Callable[[], Sequence[memoryview]]
    """Fetches them."""
    left: int = 0
    """How many of them are yet to be used."""
    future: Future[Sequence[memoryview]] = field(default_factory=Future)
    """Where they come to."""


class _Kept:
    """Pieces that were used last, in memory, up to a number of bytes."""

    def __init__(self) -> None:
        self._pieces: OrderedDict[Hashable, bytes] = OrderedDict()
        self._nbytes = 0
        self._lock = threading.Lock()

    def __contains__(self, piece: Hashable) -> bool:
        return piece in self._pieces

    def get(self, piece: Hashable) -> memoryview | None:
        with self._lock:
            if piece not in self._pieces:
                return None
            self._pieces.move_to_end(piece)
            return memoryview(self._pieces[piece])

    def put(self, piece: Hashable, content: memoryview) -> None:
        with self._lock:
            self._nbytes += len(content) - len(self._pieces.pop(piece, b""))
            self._pieces[piece] = bytes(content)
            while self._nbytes > _KEPT_BYTES:
                self._nbytes -= len(self._pieces.popitem(last=False)[1])


class _Ahead:
    """Fetches pieces in the order of their use, as far ahead as memory allows."""

    held = 0
    """Bytes that are fetched and not used yet, of all in this process."""
    lock = threading.RLock()

    def __init__(self, boxes: Sequence[tuple[FarBlocks, Box]]) -> None:
        pieces = (piece for blocks, box in boxes for piece in blocks.list_pieces(box))
        self._wanted = Counter(piece for piece in pieces if not _is_at_hand(piece))
        self._runs = _list_runs(boxes, set(self._wanted))
        self._begun: dict[Hashable, tuple[Run, int]] = {}
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="stemzarr-fetch")
        self._open = True
        with self.lock:
            self._begin_coming()

    def knows(self, piece: Hashable) -> bool:
        return self._wanted[piece] > 0

    def take(self, piece: Hashable) -> memoryview | None:
        """Return a piece; None where it is not one that is fetched here."""
        with self.lock:
            while self.knows(piece) and piece not in self._begun and self._begin_next():
                pass
            if not self.knows(piece) or piece not in self._begun:
                return None
            run, number = self._begun[piece]
        try:
            return run.future.result()[number]
        except CancelledError:
            return None
        finally:
            with self.lock:
                self._used(piece, run)
                self._begin_coming()

    def _used(self, piece: Hashable, run: Run) -> None:
        self._wanted[piece] -= 1
        if self._wanted[piece] or self._begun.pop(piece, None) is None:
            return
        run.left -= 1
        if not run.left:
            _Ahead.held -= run.nbytes

    def _begin_coming(self) -> None:
        while self.held < _AHEAD_BYTES and self._begin_next():
            pass

    def _begin_next(self) -> bool:
        """Begin to fetch what comes next; return whether there was something."""
        try:
            run = next(self._runs, None) if self._open else None
        except StemzarrError:
            run = None  # it is raised where it is read
        if run is None:
            self._runs = iter(())
            return False
        run.left = len(run.pieces)
        run.future = self._pool.submit(run.read)
        _Ahead.held += run.nbytes
        self._begun |= {piece: (run, number) for number, piece in enumerate(run.pieces)}
        return True

    def close(self) -> None:
        """End, and drop what is not used."""
        with self.lock:
            self._open = False
            left = {id(run): run.nbytes for run, _ in self._begun.values()}
            _Ahead.held -= sum(left.values())
            self._begun.clear()
            self._wanted.clear()
        self._pool.shutdown(cancel_futures=True)


def _list_runs(boxes: Sequence[tuple[FarBlocks, Box]], left: set[Hashable]) -> Iterator[Run]:
    """Yield runs of pieces in the order of boxes, each piece once."""
    for blocks, group in itertools.groupby(boxes, key=lambda pair: pair[0]):
        yield from blocks.cut_runs(_list_new(blocks, (box for _, box in group), left))


def _list_new(blocks: FarBlocks, boxes: Iterable[Box], left: set[Hashable]) -> Iterator[Hashable]:
    for piece in itertools.chain.from_iterable(map(blocks.list_pieces, boxes)):
        if piece in left:
            left.discard(piece)
            yield piece


_foreseen: list[_Ahead] = []
_kept = _Kept()


@contextlib.contextmanager
def foresee(boxes: Iterable[tuple[Blocks, Box]]) -> Iterator[None]:
    """Fetch what boxes are made of while the block lasts, where that is far away.

    Parameters
    ----------
    boxes
        What is read, in this order or nearly so.
    """
    known: dict[int, bool] = {}
    far: list[tuple[FarBlocks, Box]] = []
    for blocks, box in boxes:
        if id(blocks) not in known:
            known[id(blocks)] = is_far(blocks)
        if known[id(blocks)]:
            far += _find_far(blocks, box)
    if not far:
        yield
        return
    ahead = _Ahead(far)
    _foreseen.append(ahead)
    try:
        yield
    finally:
        _foreseen.remove(ahead)
        ahead.close()


def fetch_small(blocks: Blocks) -> None:
    """Fetch and keep all that blocks are made of, where that is far and little enough.

    Whoever looks at a few places of them before all are read asks for nothing twice then.

    Raises
    ------
    StemzarrError
        Whatever fetching it raised.
    """
    whole = Box((0,) * len(blocks.shape), tuple(blocks.shape))
    far = list(_find_far(blocks, whole))
    pieces = [piece for source, box in far for piece in source.list_pieces(box)]
    nbytes = 0
    for run in _list_runs(far, set(pieces)):
        nbytes += run.nbytes
        if nbytes > _KEPT_BYTES:
            return
    with foresee([(blocks, whole)]):
        for piece in dict.fromkeys(pieces):
            take(piece)


def is_far(blocks: Blocks) -> bool:
    """Return whether what blocks are made of is far away."""
    ones = (1,) * len(blocks.shape)
    return any(True for _ in _find_far(blocks, Box((0,) * len(ones), ones)))


def _find_far(blocks: Blocks, box: Box) -> Iterator[tuple[FarBlocks, Box]]:
    """Yield what is read far away for a box."""
    if isinstance(blocks, _Derived):
        for source, inner in blocks.sources_of(box):
            yield from _find_far(source, inner)
    elif isinstance(blocks, FarBlocks) and blocks.far:
        yield blocks, box


def _is_at_hand(piece: Hashable) -> bool:
    return piece in _kept or any(ahead.knows(piece) for ahead in _foreseen)


def take(piece: Hashable) -> memoryview | None:
    """Return a piece that is kept, or was foreseen, as soon as it is there; None of others.

    Raises
    ------
    StemzarrError
        Whatever fetching it raised.
    """
    for ahead in _foreseen.copy():
        found = ahead.take(piece)
        if found is not None:
            keep(piece, found)
            return found
    return _kept.get(piece)


def keep(piece: Hashable, content: memoryview) -> None:
    """Keep a piece, in place of those that were used least recently."""
    _kept.put(piece, content)
