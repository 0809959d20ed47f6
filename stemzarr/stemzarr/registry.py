"""From a file to its reader, from a name or suffix to its exporter.

The exporters that stemzarr brings are in a literal table of import paths, as its readers do in
`stemzarr.recognition`, so that nothing is imported before it is used. Other packages add theirs
through the entry point groups ``stemzarr.readers`` and ``stemzarr.exporters``, each entry point
naming a `Reader` or `Exporter`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from stemzarr.errors import (
    MissingDependencyError,
    OptionError,
    ReadError,
    SourceNotFoundError,
    StemzarrError,
    TruncatedFileError,
    UnknownFormatError,
    UnsupportedDataError,
)
from stemzarr.metadata.privacy import strip_paths
from stemzarr.model import Document, Progress, Source
from stemzarr.options import ExportOptions, ReadOptions
from stemzarr.pixels.resources import Resources
from stemzarr.recognition import (
    JOINER,
    READERS,
    STORES,
    Reader,
    find_leads,
    lead_by_name,
    load,
    load_added,
    readers,
    suffixes_of,
)
from stemzarr.storage.address import RemotePath

__all__ = [
    "EXPORTERS",
    "READERS",
    "ExportRequest",
    "Exported",
    "Exporter",
    "Reader",
    "find_exporter",
    "find_leads",
    "find_reader",
    "is_data",
    "is_data_folder",
    "is_store",
    "lead_of",
    "read_source",
    "readers",
    "reads_suffix",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRequest:
    """One file to be written by an exporter."""

    source: Source
    """Where the documents come from, for metadata and provenance."""
    documents: Sequence[Document]
    """What to write, views applied; the first is the main one, most formats take only it."""
    dest: Path
    """A temporary path of the caller, who renames it when all is well."""
    name: str = ""
    """Name that the file will have; empty where it is not known yet."""
    options: ExportOptions
    """Budget, threads and the form of the file."""
    provenance: dict[str, Any]
    """JSON that says what was exported of what, as `describe_provenance` gives it."""
    progress: Progress | None = None
    """Receives how far the export is."""

    @property
    def lineage(self) -> dict[str, Any]:
        """The provenance without its digest of labels, for formats in which people read it."""
        return {name: value for name, value in self.provenance.items() if name != "labels"}

    @property
    def resources(self) -> Resources:
        """What the pass over the values may use."""
        options = self.options
        return Resources(threads=options.threads, memory=options.memory, progress=self.progress)

    def resources_of(self, number: int) -> Resources:
        """Return those of one of the documents, its progress counted in that of all of them."""
        report, sizes = self.progress, [document.nbytes for document in self.documents]
        if report is None:
            return self.resources
        return dataclasses.replace(
            self.resources, progress=lambda done, _: report(sum(sizes[:number]) + done, sum(sizes))
        )

    def provenance_of(self, number: int) -> dict[str, Any]:
        """Return the provenance of one of the documents: view and image are of the first alone."""
        if not number:
            return self.lineage
        untouched = {"view": None, "image": None}
        return {**self.lineage, "document": self.documents[number].slug, **untouched}


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What an exporter wrote."""

    shape: tuple[int, ...]
    """Shape of the main array in the file."""
    dtype: str
    """numpy name of its type."""
    sidecar: dict[str, Any] | None = None
    """JSON to be written beside the file, where its exporter declares one."""
    notes: tuple[str, ...] = ()
    """What a person should know: what the format could not keep."""


class WriteFile(Protocol):
    """An exporter: writes `ExportRequest.dest` completely or raises."""

    def __call__(self, request: ExportRequest) -> Exported:
        """Write the file and say what it holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exporter:
    """How a format is named and by what it is written."""

    name: str
    """Name for ``--format``."""
    target: str | WriteFile
    """``module:function`` of a `WriteFile`, or the function itself."""
    suffixes: tuple[str, ...]
    """Suffixes in lower case, with their dot."""
    extra: str | None = None
    """The extra of stemzarr that brings what this exporter imports."""
    dtype: str | None = None
    """Type of the values where the view names none; None keeps the source's, as complex do."""
    several: bool = False
    """Whether a file holds more than one document."""
    options: tuple[str, ...] = ()
    """Names of the fields of `ExportOptions` that shape the files of this format."""
    sidecar: bool = False
    """Whether JSON is beside the file, under its name and ``.json``."""

    def suffix_for(self, source_format: str) -> str:
        """Return the suffix for a file made from a source: that of its format where it can be."""
        own = f".{source_format}"
        return own if own in self.suffixes else self.suffixes[0]

    def check_options(self, options: ExportOptions) -> None:
        """Refuse what shapes files of other formats alone, before any work is done.

        Raises
        ------
        OptionError
            An option is set that this format has no place for.
        """
        plain = ExportOptions()
        for other in exporters():
            for name in set(other.options) - set(self.options):
                if getattr(options, name) != getattr(plain, name):
                    msg = f"{name} is for the format {other.name!r}, and this is {self.name!r}"
                    raise OptionError(msg, hint="leave it out, or choose that format")

    def write(self, request: ExportRequest) -> Exported:
        """Write the file.

        Raises
        ------
        MissingDependencyError
            The package that this format needs is not installed.
        OptionError
            Several documents are given to a format that holds one.
        """
        if len(request.documents) > 1 and not self.several:
            given = len(request.documents)
            msg = f"the format {self.name!r} holds one document, and {given} are given"
            able = ", ".join(exporter.name for exporter in exporters() if exporter.several)
            raise OptionError(
                msg, hint=f"choose one of them, or a format that holds several: {able}"
            )
        try:
            function = load(self.target)
        except ModuleNotFoundError as error:
            msg = f"the format {self.name!r} needs {error.name}, which is not installed"
            hint = f"pip install 'stemzarr[{self.extra}]'" if self.extra else None
            raise MissingDependencyError(msg, hint=hint) from error
        return cast("WriteFile", function)(request)


EXPORTERS: tuple[Exporter, ...] = (
    Exporter(
        name="hspy",
        target="stemzarr.formats.hspy.writer:write_hspy",
        suffixes=(".hspy",),
        several=True,
    ),
    Exporter(
        name="pt",
        target="stemzarr.formats.torch_tensor.writer:write_pt",
        suffixes=(".pt", ".pth"),
        extra="torch",
        dtype="float32",
        options=("tensor", "with_metadata"),
        sidecar=True,
    ),
    Exporter(name="zarr", target="stemzarr.formats.zarr.writer:write_zarr", suffixes=(".zarr",)),
    Exporter(
        name="zip", target="stemzarr.formats.zarr.zip_writer:write_zip", suffixes=(".zarr.zip",)
    ),
    Exporter(name="emd", target="stemzarr.formats.emd.writer:write_emd", suffixes=(".emd", ".h5")),
    Exporter(
        name="npy",
        target="stemzarr.formats.npy.writer:write_npy",
        suffixes=(".npy",),
        sidecar=True,
    ),
    Exporter(
        name="png",
        target="stemzarr.formats.picture.writer:write_png",
        suffixes=(".png",),
        options=("scale_bar", "cmap", "zoom"),
    ),
    Exporter(
        name="tif", target="stemzarr.formats.picture.tif:write_tif", suffixes=(".tif", ".tiff")
    ),
    Exporter(
        name="msa", target="stemzarr.formats.spectrum.msa:write_msa", suffixes=(".msa", ".emsa")
    ),
    Exporter(name="csv", target="stemzarr.formats.spectrum.csv:write_csv", suffixes=(".csv",)),
    Exporter(
        name="blo",
        target="stemzarr.formats.blockfile:write_blo",
        suffixes=(".blo",),
        extra="formats",
    ),
    Exporter(
        name="dm",
        target="stemzarr.formats.dm.writer:write_dm_source",
        suffixes=(".dm3", ".dm4"),
        several=True,
    ),
)
"""Built-in exporters."""


@functools.cache
def exporters() -> tuple[Exporter, ...]:
    """Return all exporters, those of other packages after the built-in ones."""
    return (*EXPORTERS, *load_added("stemzarr.exporters"))


def find_reader(path: Path) -> Reader:
    """Return the reader of a file or folder, by its bytes first and its suffix second.

    Raises
    ------
    SourceNotFoundError, TruncatedFileError, ReadError
        There is nothing, nothing in it, or nothing that may be read.
    """
    return _recognise(path)[0]


def _recognise(path: Path) -> tuple[Reader, bool]:
    """Return the reader of a file or folder, and whether it knows the bytes."""
    head = _head(path)
    known = readers()
    for reader in known:
        if reader.takes(path, head):
            return reader, True
    suffix = path.suffix.lower()
    if path.is_dir() and suffix not in suffixes_of("folders"):
        return known[-1], False
    able = (reader for reader in known if suffix in (*reader.suffixes, *reader.named))
    return next(able, known[-1]), False


def reads_suffix(suffix: str) -> bool:
    """Return whether a file of a suffix, in lower case and with its dot, is read when named."""
    return suffix in suffixes_of("named") or bool(
        load("stemzarr.formats.rosettasciio.library:plugins_for")(suffix[1:])
    )


def is_data(path: Path) -> bool:
    """Return whether a file, found in a folder, is one that a reader is made for.

    Every file that is given by name is tried; of what is about in folders, a file whose bytes
    no reader knows is taken by its suffix. One that is empty or cannot be opened is judged by
    its suffix, so that it is reported and not skipped.
    """
    suffix = path.suffix.lower()
    try:
        reader, known = _recognise(path)
    except StemzarrError:
        return suffix in suffixes_of("expected", "suffixes")
    return known or suffix in (reader.folders if path.is_dir() else reader.suffixes)


def is_store(path: Path) -> bool:
    """Return whether a folder is a store of stemzarr, sound or not."""
    foreign, store = READERS[:2]
    return store.takes(path, b"") and not foreign.takes(path, b"")


def is_data_folder(path: Path) -> bool:
    """Return whether a folder is one source and not a store: Zarr of another program, ``.zspy``."""
    return path.is_dir() and not is_store(path) and is_data(path)


def lead_of(path: Path) -> Path | None:
    """Return the file by which the acquisition is read that a file is a part of.

    Parameters
    ----------
    path
        A file in a folder: frames of a master, a header beside frames, a later part.

    Returns
    -------
    Path or None
        A file beside it; None where the file is not part of another's acquisition.
    """
    lead = lead_by_name(path)
    if lead is None and path.suffix.lower() == ".raw":
        described_by: Callable[[Path], Path | None] = load("stemzarr.formats.empad:described_by")
        lead = described_by(path)
    return lead


def read_source(path: Path, options: ReadOptions | None = None) -> Source:
    """Recognise a file and return what it holds, without reading its pixels.

    Raises
    ------
    SourceNotFoundError, UnknownFormatError, CorruptFileError, LayoutError
        There is no such file, no reader for it, or it contradicts itself.
    UnsupportedDataError
        Its path holds bytes that are not text, so that no store and no catalog could name it.
    OptionError
        It is a store, or a format that leaves no choice, and the options say something else.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        msg = "its name, or that of a folder above it, holds bytes that are not text"
        hint = "rename it; it was written by a system of another encoding"
        raise UnsupportedDataError(msg, path=path, hint=hint) from error
    chosen = options or ReadOptions()
    if isinstance(path, RemotePath):
        reader = STORES
    else:
        reader = JOINER if chosen.join else find_reader(path)
    source = reader.read(path, chosen)
    if chosen != ReadOptions():
        source = _check_read(source, chosen)
    return _without_paths(source, path)


def _check_read(source: Source, options: ReadOptions) -> Source:
    """Refuse options that the reader could not take; note those that concern nothing in the file.

    Raises
    ------
    OptionError
        It is a store, or a scan of a format that says itself how its axes are ordered.
    """
    if source.format == "stemzarr":
        msg = "is a store, whose layout, scan shape and data set were fixed when it was ingested"
        hint = "leave the options of reading out, or ingest the source with them"
        raise OptionError(msg, path=source.path, hint=hint)
    if options.layout == "auto":
        return source
    scans = [document for document in source.documents if document.kind == "4d-stem"]
    for scan in scans:
        if scan.layout is not None and scan.layout.order != options.layout:
            msg = f"its scan {scan.slug!r} is {scan.layout.order}, as the format says"
            hint = f"leave --layout {options.layout} out"
            raise OptionError(msg, path=source.path, hint=hint)
    if scans:
        return source
    note = f"--layout {options.layout} changes nothing: it is for 4D scans, and there is none"
    return dataclasses.replace(source, notes=(*source.notes, note))


def _without_paths(source: Source, path: Path) -> Source:
    """Return a source whose notes, those of libraries too, name no folder of this machine."""
    notes = tuple(strip_paths(note, path) for note in source.notes)
    documents = tuple(
        dataclasses.replace(document, notes=tuple(strip_paths(n, path) for n in document.notes))
        if document.notes
        else document
        for document in source.documents
    )
    return dataclasses.replace(source, notes=notes, documents=documents)


def _head(path: Path) -> bytes:
    if path.is_dir():
        return b""
    if path.exists() and not path.is_file():
        hint = "save what comes through a pipe or from a device in a file first"
        raise ReadError("is neither a file nor a folder", path=path, hint=hint)
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except FileNotFoundError:
        msg = "there is no such file"
        raise SourceNotFoundError(msg, path=path, hint="check the spelling") from None
    except OSError as error:
        msg = f"cannot be read: {error.strerror or error}"
        raise ReadError(msg, path=path, hint="check its permissions") from error
    if not head:
        raise TruncatedFileError("is empty", path=path, hint="copy it again from its origin")
    return head


def find_exporter(dest: Path, name: str | None = None) -> Exporter:
    """Return the exporter of a format name, or of the suffix of `dest` where none is given.

    Raises
    ------
    UnknownFormatError
        No exporter has that name or suffix.
    """
    suffix = dest.suffix.lower()
    given = {suffix, "".join(dest.suffixes[-2:]).lower()}
    for exporter in exporters():
        if exporter.name == name or (name is None and not given.isdisjoint(exporter.suffixes)):
            return exporter
    msg = f"no exporter for {name!r}" if name else f"no exporter for the suffix {suffix!r}"
    known = ", ".join(exporter.name for exporter in exporters())
    raise UnknownFormatError(msg, path=dest, hint=f"known formats: {known}")
