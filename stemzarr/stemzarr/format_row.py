"""Descriptions of formats, each beside its reader: the rows of the table in docs/formats.md."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FormatRow"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatRow:
    """One row of the table: what a reader makes of files of one format."""

    name: str
    """The format, as people call it."""
    formats: tuple[str, ...] = ()
    """Every `Source.format` that its files have; by default the suffixes without their dot."""
    suffixes: tuple[str, ...] = ()
    """Usual suffixes in lower case with their dot; by default those of the reader."""
    read: str
    """What becomes a document, a fact, an axis."""
    lazy: str
    """What is read when a box of values is asked for."""
    whole: bool = False
    """Whether the values are read whole already when the file is opened."""
    complete: str
    """How it is known that all values are there."""
    unseen: str
    """What a file may hold or lack that is not noticed."""
    samples: tuple[str, ...] = ()
    """Paths of sample files that prove it, below the folder of samples."""
    writers: tuple[str, ...] = ()
    """Names of the writers of `stemzarr.testing.files` that prove it."""
