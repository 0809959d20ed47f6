"""The table of readers: how a format is recognized, what it is read by, what is said of it.

All that is known of a format without opening a file is one `Reader` here; its module is imported
where it is asked, so that the command starts fast.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import importlib.metadata
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from stemzarr.format_row import FormatRow
from stemzarr.model import Source
from stemzarr.options import ReadOptions
from stemzarr.storage.acquisitions import find_beside, names_in

__all__ = [
    "JOINER",
    "READERS",
    "ReadSource",
    "Reader",
    "find_leads",
    "lead_by_name",
    "load",
    "load_added",
    "parts_of",
    "readers",
    "suffixes_of",
]


def load(target: Any) -> Any:  # noqa: ANN401 - whatever the path names
    """Return what ``module:name`` names; anything else is returned as it is."""
    if not isinstance(target, str):
        return target
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


class ReadSource(Protocol):
    """A parser: a path in, the one model out, no pixel touched."""

    def __call__(self, path: Path, options: ReadOptions) -> Source:
        """Return what the file holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """How a format is recognised and by what it is read."""

    name: str
    """Name of the reader."""
    target: str | ReadSource
    """``module:function`` of a `ReadSource`, or the function itself."""
    magic: tuple[bytes, ...] = ()
    """First bytes of its files, none where they say nothing."""
    recognises: str | Callable[[Path, bytes], bool] | None = None
    """Decides from the path and the first 64 bytes (none for a folder), where `magic` fits.

    ``module:function``, or the function itself. What is recognised outranks all suffixes.
    """
    asked: tuple[str, ...] = ()
    """Suffixes for which `recognises` is asked; any where there are none."""
    suffixes: tuple[str, ...] = ()
    """Suffixes in lower case, with their dot, that this reader takes when no bytes speak."""
    named: tuple[str, ...] = ()
    """Further such suffixes, of files that a folder of data does not count as data."""
    folders: tuple[str, ...] = ()
    """Those of `suffixes` that folders have."""
    expected: tuple[str, ...] = ()
    """Suffixes of files that are known by their bytes, and damaged where these are others."""
    guessed: tuple[str, ...] = ()
    """Suffixes by which xarray guesses its engine: those that no other engine may take."""
    by_content: tuple[str, ...] = ()
    """Suffixes of files that another reader knows by their bytes, and hands to this one."""
    parts: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Names of files that are parts of an acquisition, as expressions, and of its lead."""
    accompanied: tuple[str, ...] = ()
    """Suffixes of files that share a record beside them, whose name says no single one of them."""
    formats: str | tuple[FormatRow, ...] = ()
    """``module:NAME`` of what docs/formats.md says of its formats, or the rows themselves."""

    def takes(self, path: Path, head: bytes) -> bool:
        """Return whether path and first bytes are those of a file or folder of this format."""
        if self.magic and not head.startswith(self.magic):
            return False
        if self.recognises is None:
            return bool(self.magic)
        if self.asked and not (path.suffix.lower() in self.asked and path.is_file()):
            return False
        return bool(load(self.recognises)(path, head))

    def rows(self) -> tuple[FormatRow, ...]:
        """Return what is said of its formats; a row without suffixes is of all of the reader's."""
        suffixes = (*self.suffixes, *self.named)
        formats = tuple(suffix.removeprefix(".") for suffix in suffixes)
        return tuple(
            dataclasses.replace(
                row, suffixes=row.suffixes or suffixes, formats=row.formats or formats
            )
            for row in cast("tuple[FormatRow, ...]", load(self.formats))
        )

    def read(self, path: Path, options: ReadOptions) -> Source:
        """Read what the file holds."""
        return cast("ReadSource", load(self.target))(path, options)


READERS: tuple[Reader, ...] = (
    Reader(
        name="zarr",
        target="stemzarr.formats.zarr.reader:read_zarr_folder",
        recognises="stemzarr.formats.zarr.marks:is_foreign_zarr",
        formats="stemzarr.formats.zarr.reader:FORMATS",
    ),
    Reader(
        name="stemzarr",
        target="stemzarr.store.open:read_store",
        recognises="stemzarr.formats.zarr.marks:is_store_folder",
        formats="stemzarr.store.open:FORMATS",
    ),
    Reader(
        name="k2is",
        target="stemzarr.formats.k2is:read_k2is",
        recognises="stemzarr.formats.k2is:is_k2is",
        asked=(".gtg",),
        parts=((r"(.+)[1-8]\.bin", (r"\1.gtg",)),),
        formats="stemzarr.formats.k2is:FORMATS",
    ),
    Reader(
        name="dm",
        target="stemzarr.formats.dm.reader:read_dm",
        magic=(b"\x00\x00\x00\x03", b"\x00\x00\x00\x04"),
        suffixes=(".dm3", ".dm4"),
        guessed=(".dm3", ".dm4"),
        parts=(
            (r"(.+)\.raw", (r"\1.dm5", r"\1.dm4")),  # K3-IS, Continuum
        ),
        formats="stemzarr.formats.dm.reader:FORMATS",
    ),
    Reader(
        name="empad2",
        target="stemzarr.formats.empad2:read_empad2",
        recognises="stemzarr.formats.empad2:is_empad2",
        asked=(".raw",),
        formats="stemzarr.formats.empad2:FORMATS",
    ),
    Reader(
        name="empad",
        target="stemzarr.formats.empad:read_empad",
        recognises="stemzarr.formats.empad:is_empad",
        asked=(".xml", ".raw"),
        formats="stemzarr.formats.empad:FORMATS",
    ),
    Reader(
        name="merlin",
        target="stemzarr.formats.merlin.reader:read_merlin",
        magic=(b"MQ1,", b"HDR,"),
        recognises="stemzarr.formats.merlin.reader:is_merlin",
        suffixes=(".mib",),
        guessed=(".mib",),
        parts=((r"(.+)\.hdr", (r"\1.mib", r"\1_0000.mib", r"\1_0001.mib")),),
        formats="stemzarr.formats.merlin.reader:FORMATS",
    ),
    Reader(
        name="hdf5",
        target="stemzarr.formats.hdf5.reader:read_hdf5",
        magic=(b"\x89HDF\r\n\x1a\n",),
        expected=(".app5", ".dm5", ".emd", ".h5", ".hdf5", ".hspy", ".nxs"),
        guessed=(".dm5", ".hspy"),
        parts=(
            (r"(.+)_data_\d+\.h5", (r"\1_master.h5",)),  # DECTRIS: frames
            (r"(.+)(?<!_master)\.h5", (r"\1_master.h5",)),  # DECTRIS: the record of the scan
        ),
        formats="stemzarr.formats.hdf5.rows:FORMATS",
    ),
    Reader(
        name="ndata",
        target="stemzarr.formats.nion.ndata:read_ndata",
        suffixes=(".ndata", ".ndata1"),
        guessed=(".ndata", ".ndata1"),
        formats="stemzarr.formats.nion.ndata:FORMATS",
    ),
    Reader(
        name="npy",
        target="stemzarr.formats.npy.reader:read_npy",
        suffixes=(".npy",),
        formats="stemzarr.formats.npy.reader:FORMATS",
    ),
    Reader(
        name="tia",
        target="stemzarr.formats.tia.reader:read_tia",
        suffixes=(".emi", ".ser"),
        parts=((r"(.+)_\d+\.ser", (r"\1.emi",)),),
        formats="stemzarr.formats.tia.reader:FORMATS",
    ),
    Reader(
        name="tiff",
        target="stemzarr.formats.tiff.reader:read_tiff",
        named=(".tif", ".tiff"),
        formats="stemzarr.formats.tiff.reader:FORMATS",
    ),
    Reader(
        name="picture",
        target="stemzarr.formats.picture.reader:read_picture",
        named=(
            *(".bmp", ".dib", ".gif", ".jpe", ".jpeg", ".jpg", ".msp", ".pbm", ".pcx", ".pgm"),
            *(".png", ".ppm", ".spi", ".xbm"),
        ),
        formats="stemzarr.formats.picture.reader:FORMATS",
    ),
    Reader(
        name="rosettasciio",
        target="stemzarr.formats.rosettasciio.reader:read_rosettasciio",
        # Only what microscopes write: pictures and tables are in the same folders as their data.
        suffixes=(".bcf", ".blo", ".mrc", ".prz", ".tvips", ".zspy"),
        folders=(".zspy",),
        guessed=(".blo", ".tvips"),
        by_content=(".emd", ".nxs", ".de5", ".elid", ".dens"),
        parts=(
            (r"(.+)_(?!000)\d{3}\.tvips", (r"\1_000.tvips",)),
            (r"(.+)\.raw", (r"\1.rpl",)),  # Ripple
        ),
        accompanied=(".mrc",),  # by the _info.txt of Direct Electron
        formats="stemzarr.formats.rosettasciio.rows:FORMATS",
    ),
)
"""Built-in readers; the first that recognises a file reads it, the last one takes the rest."""

STORES = READERS[1]
"""What reads stores, and all that has an address."""
JOINER = Reader(name="joined", target="stemzarr.formats.join.reader:read_joined")
"""What reads a folder of files with one frame each, where that is asked for."""


@functools.cache
def readers() -> tuple[Reader, ...]:
    """Return all readers, those of other packages before the built-in ones that know no bytes."""
    known = [reader for reader in READERS if reader.magic or reader.recognises]
    others = (reader for reader in READERS if reader not in known)
    return (*known, *load_added("stemzarr.readers"), *others)


def load_added(group: str) -> tuple[Any, ...]:
    """Return what other packages add through a group of entry points."""
    return tuple(entry.load() for entry in importlib.metadata.entry_points(group=group))


@functools.cache
def suffixes_of(*fields: str, reader: str = "") -> frozenset[str]:
    """Return the suffixes that readers have in some fields, or one of them, by its name."""
    chosen = [one for one in readers() if reader in ("", one.name)]
    return frozenset(suffix for one in chosen for name in fields for suffix in getattr(one, name))


@functools.cache
def _parts() -> tuple[tuple[re.Pattern[str], tuple[str, ...]], ...]:
    flags = re.IGNORECASE | re.DOTALL
    return tuple(
        (re.compile(part, flags), leads) for reader in readers() for part, leads in reader.parts
    )


def lead_by_name(path: Path) -> Path | None:
    """Return the file by which the acquisition of a part is read; None where it is not part.

    Parameters
    ----------
    path
        Any file.

    Returns
    -------
    Path or None
        A file in the same folder, which exists.
    """
    for pattern, leads in _parts():
        match = pattern.fullmatch(path.name)
        for lead in leads if match is not None else ():
            found = find_beside(path, match.expand(lead)) if match is not None else None
            if found is not None:
                return found
    return None


def find_leads(folder: Path) -> frozenset[Path]:
    """Return the files of a folder that have parts beside them, or may have a record there."""
    listed = [folder / name for name in names_in(folder).values()]
    leads = (lead for one in listed if (lead := lead_by_name(one)) not in (None, one))
    sharing = suffixes_of("accompanied")
    return frozenset([*leads, *(one for one in listed if one.suffix.lower() in sharing)])


def parts_of(lead: Path) -> tuple[Path, ...]:
    """Return the files that are parts of the acquisition of a lead, sorted by name."""
    beside = sorted(lead.parent.iterdir())
    return tuple(path for path in beside if path.is_file() and lead_by_name(path) == lead)
