"""The DM3/DM4 reader."""

from __future__ import annotations

import functools
from pathlib import Path

from stemzarr.errors import (
    CorruptFileError,
    StemzarrError,
    TruncatedFileError,
    UnsupportedDataError,
)
from stemzarr.format_row import FormatRow
from stemzarr.formats.dm.documents import read_documents
from stemzarr.formats.dm.metadata import read_metadata
from stemzarr.formats.dm.salvage import describe_loss, is_cut
from stemzarr.formats.dm.tags import TagTree, read_tags
from stemzarr.formats.found import refuse_dataset
from stemzarr.model import Document, Segment, Source, main_document
from stemzarr.options import ReadOptions
from stemzarr.storage.files import read_positioned

__all__ = ["FORMATS", "read_dm"]

FORMATS = (
    FormatRow(
        name="Gatan DigitalMicrograph",
        read="every image of the list of images and its thumbnail, all tags, calibrations, facts",
        lazy="each box at its place in the file",
        complete="the tag tree is read to its end: one that ends earlier is refused, or salvaged",
        unseen="values that were overwritten in place: the format has no checksums",
        samples=("dm/2D-test-5.dm3", "dm/3D-test-27.dm4", "dm/test-MonarcCL_spectrum-SI.dm4"),
        writers=("dm3", "dm4"),
    ),
)
"""Rows of docs/formats.md."""


def read_dm(path: Path, options: ReadOptions) -> Source:
    """Read what a DM3 or DM4 file holds, without touching pixels.

    Parameters
    ----------
    path
        The file.
    options
        What is set where the file is silent or wrong.

    Raises
    ------
    TruncatedFileError
        The file ends before what it declares.
    CorruptFileError
        The file contradicts its format; the message names tag and byte.
    LayoutError
        The evidence for the order of a scan's axes contradicts itself.
    OptionError
        An option cannot act on this file.
    UnsupportedDataError
        The pixels are in another file.
    """
    refuse_dataset(path, options)
    tree = read_tags(path)
    if tree.early_end is not None and not (options.salvage and is_cut(tree)):
        raise _early_end(tree, path)
    found = read_documents(tree, options, path=path)
    complete = tree.early_end is None
    if not found.documents or not (complete or _has_main(found.documents)):
        raise _no_image(tree, path)
    segments = found.segments if complete else ()
    return Source(
        path=path,
        format=f"dm{tree.version}",
        size=tree.file_size,
        modified_ns=path.stat().st_mtime_ns,
        documents=found.documents,
        main=main_document(found.documents),
        load_metadata=functools.partial(read_metadata, path),
        load_header=functools.partial(read_header, path, tree.file_size, segments)
        if complete
        else bytes,
        segments=segments,
        complete=complete,
        notes=(*found.notes, *(() if complete else (describe_loss(tree),))),
    )


def read_header(path: Path, size: int, segments: tuple[Segment, ...]) -> bytes:
    """Return every byte of a file outside `segments`, which are sorted by offset."""
    header = bytearray(size - sum(segment.nbytes for segment in segments))
    view, done, at = memoryview(header), 0, 0
    for start, nbytes in [*((s.offset, s.nbytes) for s in segments), (size, 0)]:
        read_positioned(path, view[done : done + start - at], at)
        done += start - at
        at = start + nbytes
    return bytes(header)


def _has_main(documents: tuple[Document, ...]) -> bool:
    return not all(document.thumbnail for document in documents)


def _early_end(tree: TagTree, path: Path) -> CorruptFileError:
    """Return why a file is not complete: cut, or contradicting itself."""
    if is_cut(tree):
        hint = "copy it again, or recover its patterns with --salvage"
        return TruncatedFileError(describe_loss(tree), path=path, hint=hint)
    end = tree.early_end
    where = "" if end is None else f"tag {end.tag_path} at byte {end.offset} wants {end.wanted}"
    msg = f"{where} bytes, beyond the end of the file at byte {tree.file_size}"
    return CorruptFileError(msg, path=path, hint="copy the file again from its origin")


def _no_image(tree: TagTree, path: Path) -> StemzarrError:
    if tree.early_end is not None:
        hint = "copy it again from its origin"
        return TruncatedFileError(
            f"nothing is complete: it {describe_loss(tree)}", path=path, hint=hint
        )
    if path.suffix.lower() == ".gtg":
        msg = "K2-IS data, whose pixels are in .bin files, cannot be read"
        return UnsupportedDataError(msg, path=path, hint="export it in GMS as dm4")
    return CorruptFileError("it holds no image", path=path, hint="open it in its own program")
