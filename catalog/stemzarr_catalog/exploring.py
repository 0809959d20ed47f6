"""A lake as what the explorer shows: its gallery, live, and each of its entries."""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import xxhash

from stemzarr.errors import EntryNotFoundError
from stemzarr.explorer.subject import Subject
from stemzarr.model import Fact
from stemzarr.registry import read_source
from stemzarr.store import undo_revision
from stemzarr_catalog.entry import Entry
from stemzarr_catalog.gallery import describe_entries, render_live_page
from stemzarr_catalog.lake import Lake
from stemzarr_catalog.pictures import read_pictures, render_png

__all__ = ["LakeSubjects"]

_OPEN = 8
"""Sources that are open at once; those that were not looked at for longest are closed."""
_PICTURES = 2000
_SIZE = 128


class LakeSubjects:
    """The entries of a lake; the empty name is its gallery.

    Parameters
    ----------
    lake
        The lake; what is ingested into it while it is shown appears by itself.
    """

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._lock = threading.Lock()
        self._open: OrderedDict[tuple[str, str | None, str], Subject] = OrderedDict()
        self._picture = functools.lru_cache(_PICTURES)(self._draw)

    def open(self, name: str, document: str | None) -> Subject:
        """Return a document of an entry.

        Raises
        ------
        EntryNotFoundError
            There is no such entry.
        """
        with self._lock:
            entry = self._entry(name)
            key = (name, document, entry.fingerprint)
            if key not in self._open:
                self._open[key] = Subject(read_source(entry.path), document, name)
                while len(self._open) > _OPEN:
                    self._open.popitem(last=False)[1].close()
            self._open.move_to_end(key)
            return self._open[key]

    def revise(self, name: str, facts: Mapping[str, Fact] | None) -> None:
        """Calibrate an entry, or undo that where `facts` are None.

        Raises
        ------
        EntryNotFoundError, StemzarrError
            There is no such entry; what `Lake.calibrate` raises.
        """
        with self._lock:
            if facts is None:
                undo_revision(self._entry(name).path)
                self._lake.update(name)
            else:
                self._lake.calibrate(name, facts)

    def close(self) -> None:
        """End what is being computed for any of them."""
        for subject in self._open.values():
            subject.close()

    def page(self) -> tuple[str, str]:
        """Return the page of the gallery, which asks for its entries, and its policy."""
        return render_live_page(self._lake.path.name)

    def entries(self, known: str) -> dict[str, Any]:
        """Return all entries, unless they are `known` already.

        Returns
        -------
        dict
            ``state``, which tells one answer from another, and ``entries`` as the page of the
            gallery has them where that is not `known`.
        """
        with self._lock:
            self._lake.refresh()
            found = self._lake.search()
            prints = " ".join(entry.fingerprint for entry in found)
            state = xxhash.xxh3_64_hexdigest(prints.encode())
            if state == known:
                return {"state": state}
            described = describe_entries(self._lake, found, paths=True)
            return {"state": state, "entries": list(described)}

    def picture(self, name: str, number: int) -> bytes:
        """Return one of the pictures of an entry as PNG.

        Raises
        ------
        EntryNotFoundError
            There is no such entry, or it has no such picture.
        """
        with self._lock:
            entry = self._entry(name)
            pictures = self._picture(name, entry.fingerprint)
        if not 0 <= number < len(pictures):
            raise EntryNotFoundError(f"{name} has no picture {number}", hint="stemzarr verify")
        return pictures[number]

    def _entry(self, name: str) -> Entry:
        return self._lake[name]

    def _draw(self, name: str, state: str) -> list[bytes]:  # noqa: ARG002 - part of the cache's key
        return [
            render_png(picture, _SIZE) for picture in read_pictures(self._entry(name).path, _SIZE)
        ]
