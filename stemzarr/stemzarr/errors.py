"""The tree of exceptions that stemzarr raises.

Every error names the file it is about and what its reader can do. Each also inherits the
builtin exception that a caller would expect, so that ``except FileNotFoundError`` works.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import os

__all__ = [
    "CorruptFileError",
    "DamagedStoreError",
    "EntryNotFoundError",
    "LayoutError",
    "MissingDependencyError",
    "OptionError",
    "QueryError",
    "ReadError",
    "SchemaVersionError",
    "SourceChangedError",
    "SourceNotFoundError",
    "StemzarrError",
    "StoreBusyError",
    "StoreExistsError",
    "TruncatedFileError",
    "UnknownFormatError",
    "UnsupportedDataError",
    "WorkerError",
    "WriteError",
]


class StemzarrError(Exception):
    """The root of all errors that stemzarr raises on purpose.

    Parameters
    ----------
    message
        What was found and what was expected, in one sentence without the path.
    path
        The file, store or folder that the message is about.
    hint
        What to do about it.
    """

    def __init__(
        self,
        message: str,
        *,
        path: str | os.PathLike[str] | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.path = None if path is None else str(path)
        self.hint = hint

    def __str__(self) -> str:
        """Return the error on one line: path, message, hint."""
        where = "" if self.path is None else f"{self.path}: "
        what_to_do = "" if self.hint is None else f" ({self.hint})"
        return _printable(f"{where}{self.message}{what_to_do}")

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with path and hint, which errors of worker processes would lose otherwise."""
        return _rebuild, (type(self), self.message, self.path, self.hint)


def _printable(text: str) -> str:
    """Return text on one line, free of what could steer a terminal: files choose their names."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _rebuild(
    cls: type[StemzarrError], message: str, path: str | None, hint: str | None
) -> StemzarrError:
    return cls(message, path=path, hint=hint)


class SourceNotFoundError(StemzarrError, FileNotFoundError):
    """A path names nothing, and no entry of the lake has that name."""


class EntryNotFoundError(StemzarrError, KeyError):
    """The lake has no such entry, or the source no such document."""


class UnknownFormatError(StemzarrError, ValueError):
    """No reader or exporter knows this format."""


class CorruptFileError(StemzarrError, ValueError):
    """A file contradicts its own format."""


class TruncatedFileError(CorruptFileError):
    """A file ends before the data that it declares."""


class LayoutError(StemzarrError, ValueError):
    """What a file says about the meaning of its axes contradicts itself."""


class OptionError(StemzarrError, ValueError):
    """An option has a value that cannot work."""


class QueryError(StemzarrError, ValueError):
    """A query of the catalog cannot be understood."""


class UnsupportedDataError(StemzarrError, TypeError):
    """The data have a form that this operation cannot take."""


class SchemaVersionError(StemzarrError, ValueError):
    """A store or an index was written by a newer stemzarr."""


class StoreExistsError(StemzarrError, FileExistsError):
    """The destination exists already."""


class DamagedStoreError(StemzarrError, OSError):
    """A store has lost or changed bytes."""


class StoreBusyError(StemzarrError, RuntimeError):
    """Another process is writing the same store."""


class SourceChangedError(StemzarrError, RuntimeError):
    """A source changed while it was read, or since it was catalogued."""


class ReadError(StemzarrError, OSError):
    """The operating system could not read a file."""


class WriteError(StemzarrError, OSError):
    """The operating system could not write a file."""


class WorkerError(StemzarrError, RuntimeError):
    """A worker process or a cluster failed."""


class MissingDependencyError(StemzarrError, ImportError):
    """An optional package is not installed."""
