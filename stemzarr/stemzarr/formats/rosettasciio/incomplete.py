"""Files of RosettaSciIO's formats whose frames are read here: fewer than declared, or more."""

from __future__ import annotations

import dataclasses
import math
import tempfile
from collections.abc import Callable
from pathlib import Path

from stemzarr.errors import CorruptFileError, StemzarrError
from stemzarr.formats.found import FileFacts, Found, build_source, stamp_of_all
from stemzarr.formats.labelling import FoundAxis
from stemzarr.formats.rosettasciio.runs import DeclaredRun
from stemzarr.model import Source
from stemzarr.options import ReadOptions

__all__ = ["check_delivered", "read_run"]

Describe = Callable[[Path], Found | None]
"""Gives the first data set of a file, its blocks of no importance."""


def read_run(
    path: Path,
    declared: DeclaredRun,
    describe: Describe,
    options: ReadOptions,
) -> Source:
    """Return all frames on disk, as a stack or, for a salvage, as the scan that they are of.

    A run that is complete is what a small file of its first frames is described as.

    Parameters
    ----------
    path
        The file.
    declared
        Its frames, and how many there must be.
    describe
        Gives axes and metadata of a whole file of the same header.
    options
        With ``salvage``, the frames make a scan.

    Raises
    ------
    TruncatedFileError, OptionError
        No frame is whole, or the frames do not make the scan that was asked for.
    """
    run = declared.run
    run.check_any_whole(path)
    found = run.find(_whole(declared, _describe_sample(declared, describe)), options, path)
    parts = tuple(part.path for part in declared.frames if part.path != path)
    file = FileFacts(
        format=path.suffix.lower().removeprefix("."),
        notes=(*run.notes, *declared.notes),
        complete=run.complete,
        parts=parts,
    )
    return build_source(path, file, found, options)


def _describe_sample(declared: DeclaredRun, describe: Describe) -> Found | None:
    """Return what a small whole file of the same header is, nothing where it cannot be read."""
    with tempfile.TemporaryDirectory(
        prefix="stemzarr-sample-", ignore_cleanup_errors=True
    ) as folder:
        try:
            return describe(declared.write_sample(Path(folder)))
        except StemzarrError:
            return None


def _whole(declared: DeclaredRun, described: Found | None) -> Found:
    """Return the scan or stack as it is described, with bare axes where it is not."""
    sizes = declared.frames[0].shape[1:]
    if described is not None and len(described.axes) >= len(sizes):
        return described
    axes = (FoundAxis(size=0), *(FoundAxis(size=size) for size in sizes))
    return Found(title="", base=declared.run.blocks, axes=axes)


def check_delivered(source: Source, declared: DeclaredRun) -> Source:
    """Return a complete source with its parts, once it is sure to hold every frame on disk.

    Raises
    ------
    CorruptFileError
        RosettaSciIO gives another number of frames than the files hold.
    """
    run = declared.run
    document = source.document
    given = document.nbytes // (math.prod(declared.frames[0].shape[1:]) * document.dtype.itemsize)
    if given != run.frames:
        msg = f"holds {run.frames} patterns, of which RosettaSciIO gives {given}"
        raise CorruptFileError(msg, path=source.path, hint="export it again from its program")
    frames = (part.path for part in declared.frames if part.path != source.path)
    parts = tuple(dict.fromkeys((*source.parts, *frames)))
    stamp = stamp_of_all((source.path, *parts))
    notes = (*source.notes, *run.notes, *declared.notes)
    return dataclasses.replace(
        source, parts=parts, size=stamp.size, modified_ns=stamp.modified_ns, notes=notes
    )
