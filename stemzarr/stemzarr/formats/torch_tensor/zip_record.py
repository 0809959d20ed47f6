"""Where a record of an uncompressed zip archive keeps its bytes and its checksum."""

from __future__ import annotations

import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ZipRecord", "find_record"]

_LOCAL_SIZE, _LOCAL_CHECKSUM, _LOCAL_LENGTHS = 30, 14, 26
_ENTRY_SIZE, _ENTRY_CHECKSUM, _ENTRY_LENGTHS = 46, 16, 28
_HAS_DESCRIPTOR = 0x08
_DESCRIPTOR = b"PK\x07\x08"


@dataclass(frozen=True, slots=True, kw_only=True)
class ZipRecord:
    """The places of one record, in bytes from the begin of the archive."""

    offset: int
    """First byte of the content."""
    nbytes: int
    """Length of the content."""
    checksums: tuple[int, ...]
    """Where the CRC-32 is, as four bytes little-endian."""


def find_record(path: Path, suffix: str) -> ZipRecord:
    """Return the places of the record whose name ends in `suffix`.

    The CRC-32 is in the central directory, and either in the local header or, where a flag
    says so, in a descriptor behind the content (APPNOTE.TXT 4.3.7, 4.3.9 and 4.3.12).
    """
    with path.open("rb") as file, zipfile.ZipFile(file) as archive:
        entry_place = archive.start_dir
        for entry in archive.infolist():
            file.seek(entry_place + _ENTRY_LENGTHS)
            name, extra, comment = struct.unpack("<3H", file.read(6))
            if entry.filename.endswith(suffix):
                break
            entry_place += _ENTRY_SIZE + name + extra + comment
        file.seek(entry.header_offset + _LOCAL_LENGTHS)
        offset = entry.header_offset + _LOCAL_SIZE + sum(struct.unpack("<2H", file.read(4)))
        beside = entry.header_offset + _LOCAL_CHECKSUM
        if entry.flag_bits & _HAS_DESCRIPTOR:
            beside = offset + entry.file_size
            file.seek(beside)
            beside += len(_DESCRIPTOR) if file.read(4) == _DESCRIPTOR else 0
    return ZipRecord(
        offset=offset,
        nbytes=entry.file_size,
        checksums=(beside, entry_place + _ENTRY_CHECKSUM),
    )
