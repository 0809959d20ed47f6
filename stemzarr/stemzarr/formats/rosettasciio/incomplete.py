"""Files of RosettaSciIO's formats whose frames are read here: fewer than declared, or more."""

from __future__ import annotations

import dataclasses
import functools
import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stemzarr.errors import CorruptFileError, StemzarrError
from stemzarr.formats.found import FileFacts, Found, build_source
from stemzarr.formats.frames import FrameRun, stamp_of_all
from stemzarr.formats.labelling import FoundAxis, Hints
from stemzarr.formats.naming import make_slugs
from stemzarr.formats.rosettasciio.runs import DeclaredRun
from stemzarr.model import Source
from stemzarr.options import ReadOptions
from stemzarr.storage.acquisitions import acquisition_name

__all__ = ["check_delivered", "read_run"]

JSONObject = dict[str, Any]
Describe = Callable[[Path], tuple[Found | None, JSONObject]]
"""Gives the first data set of a file, its blocks of no importance, and its metadata."""


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
    described, original = _describe_sample(declared, describe)
    whole = _whole(run, described)
    found = [_complete(run, whole)] if run.complete else run.find(whole, options, path)
    parts = tuple(part.path for part in run.blocks.parts if part.path != path)
    stamp = stamp_of_all((path, *parts))
    slugs = make_slugs(one.title or acquisition_name(path) for one in found)
    tree = {
        slug: {"metadata": dict(one.metadata), "original_metadata": original}
        for slug, one in zip(slugs, found, strict=True)
    }
    file = FileFacts(
        format=path.suffix.lower().removeprefix("."),
        stamp=stamp,
        load_metadata=functools.partial(dict, tree),
        notes=(*((run.note,) if run.note else ()), *declared.notes),
        complete=run.complete,
        parts=parts,
    )
    return build_source(path, file, found, options)


def _describe_sample(declared: DeclaredRun, describe: Describe) -> tuple[Found | None, JSONObject]:
    """Return what a small whole file of the same header is, nothing where it cannot be read."""
    with tempfile.TemporaryDirectory(
        prefix="stemzarr-sample-", ignore_cleanup_errors=True
    ) as folder:
        try:
            return describe(declared.write_sample(Path(folder)))
        except StemzarrError:
            return None, {}


def _whole(run: FrameRun, described: Found | None) -> Found:
    """Return the scan or stack as it is described, with bare axes where it is not."""
    sizes = run.blocks.frame
    bare = tuple(FoundAxis(size=size) for size in sizes)
    if described is None or len(described.axes) < len(sizes):
        hints = Hints(frames=run.evidence)
        return Found(title="", base=run.blocks, axes=(FoundAxis(size=0), *bare), hints=hints)
    *before, rows, columns = described.axes
    return dataclasses.replace(described, base=run.blocks, axes=(*before, rows, columns))


def _complete(run: FrameRun, whole: Found) -> Found:
    first, *detector = whole.axes
    return dataclasses.replace(whole, axes=(dataclasses.replace(first, size=run.frames), *detector))


def check_delivered(source: Source, declared: DeclaredRun) -> Source:
    """Return a complete source with its parts, once it is sure to hold every frame on disk.

    Raises
    ------
    CorruptFileError
        RosettaSciIO gives another number of frames than the files hold.
    """
    run = declared.run
    document = source.document
    given = document.nbytes // (math.prod(run.blocks.frame) * document.dtype.itemsize)
    if given != run.frames:
        msg = f"holds {run.frames} patterns, of which RosettaSciIO gives {given}"
        raise CorruptFileError(msg, path=source.path, hint="export it again from its program")
    frames = (part.path for part in run.blocks.parts if part.path != source.path)
    parts = tuple(dict.fromkeys((*source.parts, *frames)))
    stamp = stamp_of_all((source.path, *parts))
    notes = (*source.notes, *filter(None, (run.tail,)), *declared.notes)
    return dataclasses.replace(
        source, parts=parts, size=stamp.size, modified_ns=stamp.modified_ns, notes=notes
    )
