"""One progress display for several operations, each of which moves its part of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stemzarr.model import Progress

__all__ = ["split_progress"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """Moves the display of several operations as far as one of them is."""

    whole: Progress
    """The display of all."""
    before: int
    """Bytes of those that came before."""
    size: int
    """Bytes of this one."""
    total: int
    """Bytes of all."""

    def __call__(self, done: int, total: int) -> None:
        """Take how far this one is."""
        self.whole(self.before + self.size * done // max(1, total), self.total)


def split_progress(whole: Progress | None, sizes: Sequence[int]) -> Iterator[Progress | None]:
    """Yield the callback of each operation; where the next one begins, those before it are done.

    Parameters
    ----------
    whole
        The display of all.
    sizes
        Bytes of each.
    """
    before, total = 0, sum(sizes)
    for size in sizes:
        part = whole and _Part(whole=whole, before=before, size=size, total=total)
        if part is not None:
            part(0, size)
        yield part
        before += size
