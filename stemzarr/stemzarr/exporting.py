"""Exports: a document, or a view of it, as a file that appears complete or not at all."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from stemzarr.errors import OptionError, StemzarrError, StoreExistsError, UnsupportedDataError
from stemzarr.model import Document, Progress, Source
from stemzarr.options import ExportOptions, ReadOptions, as_path
from stemzarr.registry import Exported, Exporter, ExportRequest, find_exporter, read_source
from stemzarr.storage.address import as_source
from stemzarr.storage.files import (
    check_destination,
    follow_link,
    publish,
    remove_abandoned,
    remove_file,
)
from stemzarr.storage.fingerprints import state_of

if TYPE_CHECKING:
    import xarray as xr

    from stemzarr.views import View

__all__ = ["ExportResult", "export"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportResult:
    """What an export wrote, or would write."""

    dest: Path
    """The file."""
    format: str
    """Name of the exporter."""
    shape: tuple[int, ...]
    """Shape of the main array in the file; without a file that of the values, none of an image."""
    dtype: str
    """numpy name of its type."""
    bytes: int
    """Size of the file or folder; without a file that of the values."""
    seconds: float
    """Time that the export took."""
    provenance: dict[str, Any]
    """What was read, taken of it and written, as JSON; `origin` leads back to the first file."""
    notes: tuple[str, ...] = ()
    """What a person should know: what the format could not keep."""
    status: Literal["exported", "unchanged"] = "exported"
    """``unchanged`` where a file that was made in the same way was there."""
    dry_run: bool = False
    """Whether nothing was written."""

    def json(self) -> dict[str, Any]:
        """Return the line that the command prints with ``--json``."""
        return {
            "dest": str(self.dest),
            "format": self.format,
            "shape": list(self.shape) or None,
            "dtype": self.dtype,
            "bytes": self.bytes,
            "seconds": round(self.seconds, 3),
            "status": self.status,
            "dry_run": self.dry_run,
            "notes": list(self.notes),
            "error": None,
        }

    def record(self) -> dict[str, Any]:
        """Return what a lake notes of it, by which the file is known again.

        Raises
        ------
        OSError
            The file is gone.
        """
        written = {name: self.json()[name] for name in ("dest", "format", "shape", "dtype")}
        state = state_of(self.dest, self.dest.parent)
        spent = {"seconds": round(self.seconds, 3)}
        stamp = {"bytes": state.size, "modified_ns": state.modified_ns}
        return {**written, **spent, **stamp, "provenance": self.provenance}


def export(  # noqa: PLR0913 - one argument for each thing a user may say
    source: str | os.PathLike[str] | xr.Dataset | Document,
    dest: str | os.PathLike[str],
    *,
    view: View | None = None,
    document: int | str | None = None,
    format: str | None = None,  # noqa: A002 - named as the option is
    options: ExportOptions | None = None,
    read: ReadOptions | None = None,
    progress: Progress | None = None,
    earlier: Iterable[Mapping[str, Any]] = (),
) -> ExportResult:
    """Write a document of a source or store, or a view of it, into a file of another format.

    Parameters
    ----------
    source
        A store or its address, or any file that stemzarr reads; or a Dataset or document of one,
        whole, in parts or computed from it.
    dest
        The file to write; it appears when it is complete.
    view
        The recipe; the whole document by default.
    document
        Slug or index; the main document by default, ``"all"`` for every document where the
        format takes several.
    format
        Name of the exporter; by default the suffix of `dest` decides.
    options
        Budget, threads and the form of the file.
    read
        How the source is understood.
    progress
        Receives how many bytes of pixel data are done.
    earlier
        Records of earlier exports of this source (`ExportResult.record`, which a lake keeps), the
        oldest first. With ``options.skip_existing``, files are known by them that do not say
        themselves how they were made.

    Returns
    -------
    ExportResult
        Where the file is, its format, shape, type and bytes, seconds, and where it came from.

    Raises
    ------
    StoreExistsError
        Something exists at `dest`, or at the place of its sidecar, and ``options.overwrite`` is
        false; with ``options.skip_existing``, it was not made in the same way.
    UnknownFormatError, MissingDependencyError, UnsupportedDataError, OptionError
        The format is unknown, lacks its package, or cannot hold what was asked for; an option has
        no meaning for this format or source.

    See Also
    --------
    stemzarr.render : The view as a Dataset, without a file.

    Examples
    --------
    >>> from stemzarr import ExportOptions, View
    >>> export("scan.dm4", "quarter.npy", view=View(downsample=4)).shape
    (8, 9, 4, 4)
    >>> again = ExportOptions(skip_existing=True)
    >>> export("scan.dm4", "quarter.npy", view=View(downsample=4), options=again).status
    'unchanged'
    """
    started = time.perf_counter()
    chosen = options or ExportOptions()
    target = as_path(dest)
    exporter = find_exporter(target, format)
    exporter.check_options(chosen)
    replaces = chosen.overwrite or chosen.skip_existing
    check_destination(target, overwrite=replaces, folder_made=chosen.dry_run)
    # Whoever reads through a link finds the sidecar of what it leads to, or none.
    name, target = target.name, follow_link(target)
    opened = _open(source, read)
    first = _origin(opened)
    check_destination(target, overwrite=replaces, source=first, folder_made=chosen.dry_run)
    plan = _plan(opened, exporter, chosen, _Wanted(document, view, read or ReadOptions()))
    result = ExportResult(
        dest=target,
        format=exporter.name,
        shape=(),
        dtype="",
        bytes=0,
        seconds=0.0,
        provenance=plan.provenance,
        dry_run=chosen.dry_run,
    )
    if chosen.skip_existing and target.exists():
        made = _check_made(target, plan.provenance, earlier, chosen)
        if made is not None:
            return dataclasses.replace(result, **made, seconds=time.perf_counter() - started)
    _check_replaceable(target, plan, chosen)
    if chosen.dry_run:
        planned = plan.describe()
        return dataclasses.replace(result, **planned, seconds=time.perf_counter() - started)
    exported = _write(target, name, plan, chosen, progress)
    return dataclasses.replace(
        result,
        shape=exported.shape,
        dtype=exported.dtype,
        bytes=state_of(target, target.parent).size,
        seconds=time.perf_counter() - started,
        notes=(*exported.notes, *(() if opened.complete else opened.notes)),
    )


_GIVEN = "xarray"
"""Format of a source that is a Dataset or a document, rather than a file."""
_STORES = ("zarr", "zip")
"""Exporters that write a store."""


def _open(
    source: str | os.PathLike[str] | xr.Dataset | Document, read: ReadOptions | None
) -> Source:
    """Return a file as a source, or a Dataset with the metadata of the file it was opened from."""
    if isinstance(source, str | os.PathLike):
        return read_source(as_source(source), read)
    from stemzarr.labelled import from_dataset, sort_facts

    if read is not None and read != ReadOptions():
        msg = "a Dataset is of a file that was read already"
        raise OptionError(msg, hint="give read to stemzarr.open")
    if isinstance(source, Document):
        document, path = source, None
    else:
        document = sort_facts(from_dataset(source))
        path = source.encoding.get("source")
    known = None
    with contextlib.suppress(StemzarrError):
        known = None if path is None else read_source(as_source(path))
    # What is given may be a part of the file, or computed: the file is never copied in its place.
    nowhere = Source(
        path=Path(document.title),
        format=_GIVEN,
        size=0,
        modified_ns=0,
        documents=(document,),
        main=document.index,
        joined=True,
    )
    if known is None:
        return nowhere
    of_file = ("path", "size", "modified_ns", "load_metadata", "parts", "joined")
    return dataclasses.replace(nowhere, **{name: getattr(known, name) for name in of_file})


def _origin(source: Source) -> Path | None:
    """Return the file that must outlive what is made of it; None where values are in memory."""
    return source.files[0] if source.files else None


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What an export is to take of its source."""

    document: int | str | None
    view: View | None
    read: ReadOptions


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to be written, before any pixel is read."""

    source: Source
    """Where it comes from."""
    exporter: Exporter
    """What writes it."""
    documents: Sequence[Document]
    """What is taken, the main one first; the view is not applied yet."""
    view: View | None
    """The recipe for the main one."""
    options: ExportOptions
    """Budget, threads, form."""
    provenance: dict[str, Any]
    """The record of where it came from."""

    def apply(self, progress: Progress | None) -> list[Document]:
        """Return what is to be written, the view applied; an image is made at once."""
        options = self.options
        first, *rest = self.documents
        if options.takes_image:
            from stemzarr.formats.writing.image import take_image

            first = take_image(self.source, first, self.view, options, progress)
        elif self.view is not None:
            from stemzarr.views import apply

            first = apply(first, self.view, threads=options.threads, memory=options.memory)
        return [first, *rest]

    def describe(self) -> dict[str, Any]:
        """Return shape, type and size of the values; of an image no more than its type."""
        if self.options.takes_image:
            return {"shape": (), "dtype": self.documents[0].dtype.name, "bytes": 0}
        documents = self.apply(None)
        nbytes = sum(document.nbytes for document in documents)
        return {
            "shape": documents[0].shape,
            "dtype": documents[0].dtype.name,
            "bytes": nbytes,
        }


def _plan(opened: Source, exporter: Exporter, options: ExportOptions, wanted: _Wanted) -> _Plan:
    """Choose what is to be written, and describe where it comes from."""
    from stemzarr.formats.writing.provenance import (
        describe_given,
        describe_provenance,
        drop_lineage,
    )

    document, view = wanted.document, wanted.view
    first = opened.document if document in (None, "all") else opened.find(document or 0)
    rest = [other for other in opened.documents if other is not first] if document == "all" else []
    if exporter.dtype is not None and first.dtype.kind != "c":
        from stemzarr.views import View

        view = view or View()
        view = dataclasses.replace(view, dtype=view.dtype or exporter.dtype)
    provenance = describe_provenance(
        opened, [first, *rest], exporter, view=view, read=wanted.read, options=options
    )
    if opened.format == _GIVEN:
        provenance |= describe_given(opened)
        if exporter.name in _STORES and not opened.files:
            msg = "a store names the file that it was made from, and this Dataset has none"
            hint = "write it with to_zarr or to_netcdf and ingest that, or export .npy or .hspy"
            raise UnsupportedDataError(msg, hint=hint)
    documents = [drop_lineage(each) for each in (first, *rest)]
    return _Plan(opened, exporter, documents, view, options, provenance)


def _check_made(
    target: Path,
    provenance: Mapping[str, Any],
    earlier: Iterable[Mapping[str, Any]],
    options: ExportOptions,
) -> dict[str, Any] | None:
    """Return what is known of a file that is to be left; None where it is to be replaced.

    Raises
    ------
    StoreExistsError
        It is not known to be the same, and not to be replaced.
    """
    from stemzarr.formats.writing.made import find_difference, find_made

    made = find_made(target, earlier)
    if provenance.get("computed"):
        made, why = None, "values that were computed are not recognized in a file"
    elif made is None:
        why = "nothing says how it was made"
    else:
        why = find_difference(made.provenance, provenance) or ""
    if made is not None and not why:
        size = state_of(target, target.parent).size
        return {"shape": made.shape, "dtype": made.dtype, "bytes": size, "status": "unchanged"}
    if options.overwrite:
        return None
    hint = "--overwrite (overwrite=True) replaces it, and leaves those that are the same"
    raise StoreExistsError(f"exists already, and {why}", path=target, hint=hint)


def _check_replaceable(target: Path, plan: _Plan, options: ExportOptions) -> None:
    """Refuse a destination that must not be replaced, before any work is done for it."""
    from stemzarr.formats.writing.sidecar import check_sidecar

    check_destination(target, overwrite=options.overwrite, folder_made=options.dry_run)
    if target.is_dir():
        from stemzarr.store import check_no_results

        check_no_results(target)
    if plan.exporter.sidecar and target.parent.is_dir():
        check_sidecar(target, overwrite=options.overwrite, source=_origin(plan.source))


def _write(
    target: Path, name: str, plan: _Plan, options: ExportOptions, progress: Progress | None
) -> Exported:
    """Write the file, and its sidecar after it."""
    from stemzarr.formats.writing.sidecar import check_sidecar, is_sidecar, place_sidecar

    documents = plan.apply(progress)
    remove_abandoned(target.parent)
    with (
        contextlib.ExitStack() as afterwards,
        publish(target, sync=options.sync) as temporary,
    ):
        request = ExportRequest(
            source=plan.source,
            documents=documents,
            dest=temporary,
            name=name,
            options=options,
            provenance=plan.provenance,
            # the pass that made an image has reported it already
            progress=None if options.takes_image else progress,
        )
        exported = plan.exporter.write(request)
        beside = place_sidecar(target)
        if exported.sidecar is not None:
            check_sidecar(target, overwrite=options.overwrite, source=_origin(plan.source))
            text = json.dumps(exported.sidecar, indent=1, allow_nan=False, ensure_ascii=False)
            sidecar = afterwards.enter_context(publish(beside, sync=options.sync))
            sidecar.write_text(text + "\n", encoding="utf-8")
        # It appears after its file. Until then there is none rather than that of another file.
        if exported.sidecar is not None or is_sidecar(beside):
            remove_file(beside)
    return exported
