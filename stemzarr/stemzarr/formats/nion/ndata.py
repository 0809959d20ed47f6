"""Nion Swift's ``.ndata`` and ``.ndata1``: a zip file of ``data.npy`` and ``metadata.json``.

Both members are stored as they are, so that values are read at their places in the file
(``NDataHandler.py`` of Nion Swift). A file that ends early has lost the directory at its end: its
members are found by the headers before them, and what they hold is salvaged.
"""

from __future__ import annotations

import functools
import io
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from stemzarr.errors import CorruptFileError, TruncatedFileError, UnsupportedDataError
from stemzarr.format_row import FormatRow
from stemzarr.formats.file_blocks import parsing
from stemzarr.formats.found import FileFacts, Found, build_source, refuse_dataset
from stemzarr.formats.nion.properties import Properties, parse_properties
from stemzarr.formats.npy.arrays import find_array, find_cut, read_header
from stemzarr.metadata.clean import clean_json
from stemzarr.model import Source
from stemzarr.options import ReadOptions
from stemzarr.storage.objects import Stamp
from stemzarr.storage.reasons import reading

__all__ = ["FORMATS", "read_ndata"]

FORMATS = (
    FormatRow(
        name="Nion Swift, one item",
        formats=("ndata",),
        read="the item with the calibrations and facts of its `metadata.json`",
        lazy="each box at its place in the file",
        complete="the directory at the end of the zip file, values against those declared",
        unseen="values that were overwritten in place: checksums are not compared",
        writers=("ndata", "ndata1"),
    ),
)
"""Rows of docs/formats.md."""

_DATA: Final = "data.npy"
_TEXT: Final = "metadata.json"
_LOCAL: Final = struct.Struct("<4s5H3I2H")
"""Signature, version, flags, method, time, date, checksum, two sizes, two lengths of texts."""
_MAGIC: Final = b"PK\x03\x04"
_ELSEWHERE: Final = 2**32 - 1
"""Stands for a length that is in the directory alone."""
_LARGEST_TEXT: Final = 64 * 1024**2
_AGAIN: Final = "copy it again from its origin"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Member:
    """One file in the zip file."""

    offset: int
    """Its first byte."""
    nbytes: int
    """Its length."""
    method: int
    """How it is packed, 0 where it is not."""


def read_ndata(path: Path, options: ReadOptions) -> Source:
    """Return the item of a file, without reading pixels.

    Raises
    ------
    CorruptFileError, TruncatedFileError
        It is not such a zip file, or ends before its values do and they are not patterns.
    UnsupportedDataError
        It holds no values, values that are no numbers, or packed ones.
    """
    refuse_dataset(path, options)
    stamp = Stamp.of(path)
    members, complete = _members(path, stamp)
    data = members.get(_DATA)
    if data is None:
        shown = ", ".join(members) or "nothing"
        msg = f"holds no {_DATA}: {shown} is in it"
        kind = UnsupportedDataError if complete else TruncatedFileError
        raise kind(msg, path=path, hint="give the file of an item that has values")
    if data.method or any(one.method for one in members.values()):
        msg = "its members are packed, as Nion Swift never does"
        raise UnsupportedDataError(msg, path=path, hint=f"unpack it and give {_DATA}")
    properties = _properties(path, members.get(_TEXT))
    found, cut = _find(path, stamp, data, properties, options)
    notes = list(cut)
    if not complete and not cut:
        notes.append("it ends before its directory does, behind its values")
    if properties is None:
        notes.append(f"no {_TEXT} can be read: nothing is calibrated")
    file = FileFacts(
        format="ndata",
        load_metadata=functools.partial(_load_metadata, path),
        notes=tuple(notes),
        complete=complete and not cut,
    )
    return build_source(path, file, found, options)


def _find(
    path: Path, stamp: Stamp, data: _Member, properties: Properties | None, options: ReadOptions
) -> tuple[list[Found], tuple[str, ...]]:
    """Return the values, and a note of what is missing of them."""
    header = read_header(path, data.offset)
    whole = find_array(path, stamp, header)
    if properties is not None:
        whole = properties.describe(whole, "properties")
    if header.end > stamp.size:
        return find_cut(path, stamp, header, whole, options)
    if data.nbytes and header.end - data.offset != data.nbytes:
        held = f"{data.nbytes} bytes, and its header declares {header.end - data.offset}"
        raise CorruptFileError(f"its {_DATA} has {held}", path=path, hint=_AGAIN)
    return [whole], ()


def _members(path: Path, stamp: Stamp) -> tuple[dict[str, _Member], bool]:
    """Return what is in a zip file by name, and whether its directory is there."""
    with reading(path), path.open("rb") as file:
        try:
            with parsing(path, "is not a readable zip file", _AGAIN), zipfile.ZipFile(file) as one:
                listed = one.infolist()
        except CorruptFileError:
            walked = _walk(file, stamp.size)
            if walked:
                return walked, False
            raise
        members = {}
        for entry in listed:
            offset = _begin(file, entry.header_offset)
            if offset is None or offset + entry.compress_size > stamp.size:
                msg = f"its directory names {entry.filename!r} where it is not"
                raise CorruptFileError(msg, path=path, hint=_AGAIN)
            members[entry.filename] = _Member(
                offset=offset, nbytes=entry.file_size, method=entry.compress_type
            )
    return members, True


def _begin(file: io.BufferedReader, offset: int) -> int | None:
    """Return the first byte behind the header of a member; None where there is no header."""
    file.seek(offset)
    head = file.read(_LOCAL.size)
    if len(head) < _LOCAL.size or head[:4] != _MAGIC:
        return None
    *_, name, more = _LOCAL.unpack(head)
    return int(offset + _LOCAL.size + name + more)


def _walk(file: io.BufferedReader, size: int) -> dict[str, _Member]:
    """Return the members of a file without a directory, each by the header before it.

    A length is not written before the member is, so that the last one may have none.
    """
    members: dict[str, _Member] = {}
    offset: int | None = 0
    while offset is not None and offset < size:
        begin = _begin(file, offset)
        if begin is None:
            break
        file.seek(offset)
        *_, method, _, _, _, nbytes, _, name, _ = _LOCAL.unpack(file.read(_LOCAL.size))
        text = file.read(name).decode("latin-1")
        nbytes = 0 if nbytes == _ELSEWHERE else nbytes
        known = min(nbytes, max(0, size - begin)) if text == _TEXT else nbytes
        members[text] = _Member(offset=begin, nbytes=known, method=method)
        offset = begin + nbytes if nbytes else None
    return members


def _properties(path: Path, member: _Member | None) -> Properties | None:
    """Return what ``metadata.json`` says; None where there is none that can be read."""
    if member is None or not 0 < member.nbytes <= _LARGEST_TEXT:
        return None
    with reading(path), path.open("rb") as file:
        file.seek(member.offset)
        text = file.read(member.nbytes)
    return parse_properties(text.decode("utf-8", "replace"))


def _load_metadata(path: Path) -> dict[str, Any]:
    members, _ = _members(path, Stamp.of(path))
    properties = _properties(path, members.get(_TEXT))
    tree: Mapping[str, Any] = {} if properties is None else properties.tree
    return {"properties": clean_json(tree)} if tree else {}
