"""The public functions (open, ingest, render, export, verify …), each calling the parts in turn."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stemzarr.errors import OptionError
from stemzarr.exporting import ExportResult, export
from stemzarr.metadata.describe import describe_document
from stemzarr.model import Document, Progress
from stemzarr.options import IngestOptions, ReadOptions, as_path
from stemzarr.registry import read_source
from stemzarr.storage.address import RemotePath, as_source

if TYPE_CHECKING:
    import xarray as xr

    from stemzarr.store import StoreResult, VerifyReport
    from stemzarr.views import View

    PathLike = str | os.PathLike[str]

__all__ = ["ExportResult", "export", "info", "ingest", "open", "render", "verify"]

_FAR_AT_ONCE = 16
"""Members of a series that are opened at one time, where they are far away."""


def open(  # noqa: A001 - the verb that users expect, as in xarray.open_dataset
    path: PathLike | Sequence[PathLike],
    *,
    dim: str | None = None,
    document: int | str | None = None,
    chunks: Mapping[str, int] | str | None = "source",
    options: ReadOptions | None = None,
    join: bool = False,
) -> xr.Dataset:
    """Open a document of a source or store, lazily and labelled.

    Parameters
    ----------
    path
        A store or its address, or any file that stemzarr reads; or a series of them, such as those
        of one tilt series, which become one Dataset with a further dim.
    dim
        Name of that dim: a fact, in whose order they come and whose values are the coordinate; any
        other name keeps the order, and has no coordinate.
    document
        Slug or index; the main document by default.
    chunks
        How dask cuts the values: ``"source"`` takes whole patterns in blocks that suit the
        source, a mapping or ``"auto"`` is passed to xarray, None leaves dask out: each access
        then reads just what it indexes.
    options
        How the source is understood.
    join
        Whether `path` is a folder whose files hold one frame each, as ``options.join`` says too.

    Returns
    -------
    xarray.Dataset
        ``intensity`` with the dims of the document's kind, for 4D-STEM (scan_y, scan_x, det_y,
        det_x), in the source's dtype, with calibrated float64 coordinates.

    Raises
    ------
    SourceNotFoundError, UnknownFormatError, CorruptFileError, LayoutError, EntryNotFoundError
        There is no such file, it cannot be understood, or it has no such document.
    OptionError, UnsupportedDataError
        A series has no dim or no member, lacks the fact, or differs in its shape, type or axes.

    See Also
    --------
    render : The Dataset through a view.
    stemzarr.accessor.StemAccessor : What the Dataset can be asked, as ``dataset.stem``.

    Examples
    --------
    >>> scan = open("scan.dm4")
    >>> scan.intensity.dims, scan.det_x.attrs["units"]
    (('scan_y', 'scan_x', 'det_y', 'det_x'), '1/nm')
    >>> open("scan.dm4", document="survey").intensity.dims
    ('y', 'x')
    >>> open(["scan.dm4", "scan.dm4"], dim="repeat").sizes["repeat"]
    2
    """
    import xarray as xr

    from stemzarr.backend import StemzarrBackendEntrypoint

    chosen = dataclasses.replace(options or ReadOptions(), join=join) if join else options
    if not isinstance(path, str | os.PathLike):
        return _open_series(path, dim, document, chunks, chosen)
    if dim is not None:
        msg = f"dim is {dim!r}, and there is one path"
        raise OptionError(msg, hint="give a list of paths, or leave dim out")
    return xr.open_dataset(
        as_source(path),
        engine=StemzarrBackendEntrypoint,
        chunks={} if chunks == "source" else chunks,
        document=document,
        options=chosen or ReadOptions(),
    )


def _open_series(
    paths: Sequence[PathLike],
    dim: str | None,
    document: int | str | None,
    chunks: Mapping[str, int] | str | None,
    options: ReadOptions | None,
) -> xr.Dataset:
    """Open several sources as one Dataset; each is read as `open` reads one."""
    from stemzarr.pixels.threads import map_in_threads
    from stemzarr.series import join_series

    if dim is None:
        msg = "several paths need the name of the dim along which they become one Dataset"
        raise OptionError(msg, hint='dim="tilt_alpha_deg", or any other name')

    def read_member(path: Path) -> tuple[Path, Document]:
        source = read_source(path, options)
        return path, source.document if document is None else source.find(document)

    sources = [as_source(path) for path in paths]
    # The round trips of one are those of all; what is near takes the processor, one by one.
    far = any(isinstance(path, RemotePath) for path in sources)
    members = map_in_threads(read_member, sources, threads=_FAR_AT_ONCE if far else 1)
    series = join_series(list(members), dim)
    if chunks is not None:
        values = series["intensity"]
        wanted = values.encoding["preferred_chunks"] if chunks in ("source", {}) else chunks
        series["intensity"] = values.chunk(wanted)
    return series


def info(path: PathLike, options: ReadOptions | None = None) -> dict[str, Any]:
    """Return what is in a file, as JSON, without reading its pixels.

    Returns
    -------
    dict
        ``path``, ``format``, ``size``, ``complete``, ``rebuildable``, ``main`` (slug), ``notes``
        and ``documents``: index, slug, title, kind, dims, shape, dtype, axes, layout, facts,
        notes.

    Raises
    ------
    SourceNotFoundError, UnknownFormatError, CorruptFileError, LayoutError
        There is no such file or it cannot be understood.
    """
    source = read_source(as_source(path), options)
    return {
        "path": str(source.path),
        "format": source.format,
        "size": source.size,
        "complete": source.complete,
        "rebuildable": source.rebuildable,
        "main": source.document.slug,
        "notes": list(source.notes),
        "documents": [_describe(document) for document in source.documents],
    }


def _describe(document: Document) -> dict[str, Any]:
    layout = document.layout
    return {
        **describe_document(document),
        "layout": None if layout is None else dataclasses.asdict(layout),
        "facts": dict(document.facts),
        "notes": list(document.notes),
    }


def ingest(
    source: PathLike,
    dest: PathLike,
    options: IngestOptions | None = None,
    *,
    progress: Progress | None = None,
) -> StoreResult:
    """Write a source with all its documents into a new Zarr store.

    Parameters
    ----------
    source
        Any file that stemzarr reads.
    dest
        The store, by custom ``NAME.zarr``; it appears when it is complete. Or its address, as
        ``s3://bucket/NAME.zarr``.
    options
        Codec, budget, threads and the rest.
    progress
        Receives how many bytes of pixel data are done.

    Returns
    -------
    StoreResult
        Where the store is, its kind, shape and type, bytes read and stored, seconds, notes.

    Raises
    ------
    StoreExistsError
        Something exists at `dest` and ``options.overwrite`` is false.
    SourceNotFoundError, CorruptFileError, SourceChangedError, WriteError, StoreBusyError
        The source cannot be read, or the store not be written.

    See Also
    --------
    stemzarr_catalog.Lake.ingest : The same into a lake, under a name that is free.

    Examples
    --------
    >>> result = ingest("scan.dm4", "again.zarr", IngestOptions(codec="lz4"))
    >>> result.status, result.kind, result.shape
    ('ingested', '4d-stem', (8, 9, 16, 16))
    """
    from stemzarr.store import write_store

    chosen = options or IngestOptions()
    read = read_source(as_path(source), chosen.read)
    if read.format == "stemzarr":
        raise OptionError("is a store already", path=read.path, hint="export it instead")
    return write_store(read, as_source(dest), chosen, progress)


def render(
    source: PathLike,
    view: View,
    *,
    document: int | str | None = None,
    options: ReadOptions | None = None,
) -> xr.Dataset:
    """Return a view of a document as a lazy, labelled Dataset that any exporter would write.

    Parameters
    ----------
    source, document, options
        As in `open`.
    view
        The recipe.

    Returns
    -------
    xarray.Dataset
        ``intensity`` and its coordinates after the view; values are computed when they are read.

    Raises
    ------
    OptionError, UnsupportedDataError
        The view does not fit the document.

    See Also
    --------
    export : Write the view into a file.

    Examples
    --------
    >>> from stemzarr import View
    >>> render("scan.dm4", View(scan_step=2, downsample=4)).intensity.shape
    (4, 5, 4, 4)
    """
    from stemzarr.labelled import to_dataset
    from stemzarr.views import apply

    opened = read_source(as_source(source), options)
    chosen = opened.document if document is None else opened.find(document)
    return to_dataset(apply(chosen, view))


def verify(
    path: PathLike,
    *,
    source: PathLike | None = None,
    progress: Progress | None = None,
) -> VerifyReport:
    """Check every file and chunk of a store against its manifest and checksums.

    Parameters
    ----------
    path
        The store, or its address.
    source
        The original, to be compared value by value as well.
    progress
        Receives how many bytes are checked.

    Returns
    -------
    VerifyReport
        ``ok``, every problem as a sentence, and how many files, chunks and bytes were checked.

    Raises
    ------
    SourceNotFoundError, UnknownFormatError
        `path` holds no store.

    Examples
    --------
    >>> report = verify("stemzarr-lake/stores/scan.zarr", source="scan.dm4")
    >>> report.ok, report.whole
    (True, True)
    """
    from stemzarr.store import verify_store

    original = None if source is None else as_path(source)
    return verify_store(as_source(path), source=original, progress=progress)
