"""The DM3/DM4 reader."""

from __future__ import annotations

import functools
from pathlib import Path

from stemzarr.errors import CorruptFileError, TruncatedFileError
from stemzarr.files import read_positioned
from stemzarr.model import Segment, Source, main_document
from stemzarr.options import ReadOptions
from stemzarr.readers.dm.documents import read_documents
from stemzarr.readers.dm.metadata import read_metadata
from stemzarr.readers.dm.tags import TagTree, read_tags

__all__ = ["read_dm"]

_LEAST_BEYOND_SIZE = 8
"""A tree ends at least this many bytes after what the header's size field says."""


def read_dm(path: Path, options: ReadOptions) -> Source:
    """Read what a DM3 or DM4 file holds, without touching pixels.

    Parameters
    ----------
    path
        The file.
    options
        The user's word where the file is silent or wrong.

    Raises
    ------
    TruncatedFileError
        The file ends before what it declares.
    CorruptFileError
        The file contradicts its format; the message names tag and byte.
    LayoutError
        The evidence for the order of a scan's axes contradicts itself.
    """
    tree = read_tags(path)
    if tree.early_end is not None:
        raise _early_end(tree, path)
    documents, segments = read_documents(tree.root, options, path=path)
    if not documents:
        raise CorruptFileError("it holds no image", path=path, hint="open it in its own program")
    status = path.stat()
    return Source(
        path=path,
        format=f"dm{tree.version}",
        size=tree.file_size,
        modified_ns=status.st_mtime_ns,
        documents=documents,
        main=main_document(documents),
        load_metadata=functools.partial(read_metadata, path),
        load_header=functools.partial(read_header, path, tree.file_size, segments),
        segments=segments,
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


def _early_end(tree: TagTree, path: Path) -> CorruptFileError:
    """Return why a file is not complete: cut, or contradicting itself."""
    end = tree.early_end
    if end is None:
        raise ValueError("the tree is complete")
    where = f"tag {end.tag_path} at byte {end.offset} wants {end.wanted} bytes"
    declared = tree.declared_size + _LEAST_BEYOND_SIZE
    if tree.declared_size and declared <= tree.file_size:
        msg = f"{where}, beyond the end of the file at {tree.file_size}"
        return CorruptFileError(msg, path=path, hint="copy the file again from its origin")
    msg = f"ends at byte {tree.file_size} of about {declared} declared: {where}"
    return TruncatedFileError(msg, path=path, hint="copy it again, or recover it with --salvage")
