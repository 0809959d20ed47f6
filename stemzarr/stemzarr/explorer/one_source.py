"""One source as what can be looked at: its documents, each opened once."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from stemzarr.errors import EntryNotFoundError, UnsupportedDataError
from stemzarr.explorer.subject import Subject
from stemzarr.model import Fact, Source
from stemzarr.registry import is_store, read_source
from stemzarr.store import revise, undo_revision

__all__ = ["OneSource"]


class OneSource:
    """The documents of one source.

    Parameters
    ----------
    source
        The source.
    name
        How the page calls it.
    document
        The document that is shown first; the main one by default.
    """

    def __init__(self, source: Source, name: str, document: str | None = None) -> None:
        self._source = source
        self._name = name
        self._first = source.document.slug if document is None else source.find(document).slug
        self._lock = threading.Lock()
        self._open: dict[str, Subject] = {}

    def open(self, name: str, document: str | None) -> Subject:
        """Return a document of the source.

        Raises
        ------
        EntryNotFoundError
            It has no such document, or another name is asked for.
        """
        if name not in ("", self._name):
            raise EntryNotFoundError(f"there is no {name!r} here", hint=f"there is {self._name!r}")
        slug = self._source.find(document or self._first).slug
        with self._lock:
            if slug not in self._open:
                self._open[slug] = Subject(self._source, slug, self._name)
            return self._open[slug]

    def revise(self, name: str, facts: Mapping[str, Fact] | None) -> None:
        """Calibrate the store, or undo that where `facts` are None; it is read again.

        Raises
        ------
        EntryNotFoundError, UnsupportedDataError, StemzarrError
            Another name is meant, or the source is not a store; what `revise` raises.
        """
        path = self.open(name, None).path
        if not is_store(path):
            hint = "'stemzarr ingest' makes one, and keeps the file as it is"
            raise UnsupportedDataError("only a store can be calibrated", path=path, hint=hint)
        if facts is None:
            undo_revision(path)
        else:
            revise(path, facts)
        with self._lock:
            self._source = read_source(path)
            old, self._open = self._open, {}
        for subject in old.values():
            subject.close()

    def close(self) -> None:
        """End what is being computed for any of them."""
        for subject in self._open.values():
            subject.close()
