"""What a file that ends early has lost, taken from another file of the same session."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from stemzarr.errors import OptionError, StemzarrError, TruncatedFileError
from stemzarr.metadata.facts import FACTS, PERSONAL_FACTS
from stemzarr.model import Document, Fact, Source
from stemzarr.options import IngestOptions, ReadOptions
from stemzarr.registry import read_source

__all__ = ["complete_options", "count_recoverable", "count_recovered"]

_DETECTOR = ("det_y", "det_x")
_SHARED = [fact.name for fact in FACTS if fact.type in ("text", "number")]
"""What two files of a session may have in common: neither dates nor whether they are complete."""


def complete_options(path: Path, options: IngestOptions, other: Path) -> IngestOptions:
    """Return options that give a file that ends early what another of its session knows.

    The shape of the scan, where a salvage needs it; facts; calibrations of axes of the same name.
    What the file says itself, or the options do, is not changed, nor is a file that is complete.

    Parameters
    ----------
    path
        The file that is ingested.
    options
        How.
    other
        The file that knows.

    Raises
    ------
    OptionError
        The other file is of another kind, or its detector has another size.
    StemzarrError
        One of them cannot be read.
    """
    known = read_source(other)
    read, source = _read(path, options.read, known.document)
    if source.complete:
        return options
    facts = _lacking(source.document, known, source)
    if options.redact:
        facts = {name: value for name, value in facts.items() if name not in PERSONAL_FACTS}
    return dataclasses.replace(options, read=read, facts={**facts, **options.facts})


def count_recoverable(path: Path, read: ReadOptions, other: Path | None) -> tuple[int, int] | None:
    """Return how many patterns of how many a salvage recovers; None where that is not known.

    Parameters
    ----------
    path
        A file that ends early.
    read
        How it is read.
    other
        A file of the same session, whose scan has the same shape.
    """
    try:
        salvage = dataclasses.replace(read, salvage=True)
        document = read_source(other).document if other is not None else None
        valid = _read(path, salvage, document)[1].document.valid
    except StemzarrError:
        return None
    return None if valid is None else (int(valid.sum()), valid.size)


def count_recovered(store: Path) -> tuple[int, int] | None:
    """Return how many patterns of how many a store has of its source; None where it has no mask."""
    from stemzarr.store import read_store

    try:
        valid = read_store(store).document.valid
    except StemzarrError:
        return None
    return None if valid is None else (int(valid.sum()), valid.size)


def _read(path: Path, read: ReadOptions, other: Document | None) -> tuple[ReadOptions, Source]:
    """Return a file and how it was read: with the shape of another scan where it lost its own."""
    try:
        return read, read_source(path, read)
    except TruncatedFileError:
        sizes = {} if other is None else dict(zip(other.dims, other.shape, strict=True))
        if not read.salvage or read.scan_shape is not None or "scan_y" not in sizes:
            raise
    shaped = dataclasses.replace(read, scan_shape=(sizes["scan_y"], sizes["scan_x"]))
    return shaped, read_source(path, shaped)


def _lacking(document: Document, known: Source, source: Source) -> dict[str, Fact]:
    """Return facts and calibrations that a document lacks and another source knows."""
    other = known.document
    here, there = ({a.name: a.size for a in d.axes} for d in (document, other))
    if document.kind != other.kind or any(here.get(n) != there.get(n) for n in _DETECTOR):
        msg = (
            f"is {_describe(other)}, and {source.path.name} is {_describe(document)}:"
            " facts are taken from a file of the same kind and detector"
        )
        raise OptionError(msg, path=known.path, hint="name another file with --facts-from")
    facts = {
        name: other.facts[name]
        for name in _SHARED
        if name in other.facts and name not in document.facts
    }
    for axis in document.axes:
        if axis.calibrated or axis.name not in there or not other.axis(axis.name).calibrated:
            continue
        for field in ("scale", "offset", "units"):
            facts[f"{axis.name}.{field}"] = getattr(other.axis(axis.name), field)
    return facts


def _describe(document: Document) -> str:
    return f"{document.kind} {'×'.join(map(str, document.shape))}"
