"""What the server shows, by name: one source, or a lake."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from stemzarr.explorer.subject import Subject
from stemzarr.model import Fact

__all__ = ["Gallery", "Subjects"]


class Subjects(Protocol):
    """What can be looked at, by name."""

    def open(self, name: str, document: str | None) -> Subject:
        """Return the document of a source; the same object for the same names.

        Raises
        ------
        EntryNotFoundError
            There is nothing of that name.
        """
        ...

    def revise(self, name: str, facts: Mapping[str, Fact] | None) -> None:
        """Calibrate a store, or undo its last revision where `facts` are None.

        Raises
        ------
        EntryNotFoundError, StemzarrError
            There is no store of that name, or it cannot be revised so.
        """
        ...

    def close(self) -> None:
        """End what is being computed for any of them."""
        ...


@runtime_checkable
class Gallery(Subjects, Protocol):
    """Many subjects: the page that shows them all, live, is what the empty name means."""

    def page(self) -> tuple[str, str]:
        """Return the page and its policy."""
        ...

    def entries(self, known: str) -> dict[str, Any]:
        """Return all of them, unless their state is `known` already, as JSON."""
        ...

    def picture(self, name: str, number: int) -> bytes:
        """Return one of the pictures of an entry as PNG.

        Raises
        ------
        EntryNotFoundError
            There is no such picture.
        """
        ...
