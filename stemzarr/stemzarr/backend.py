"""The xarray engine: ``xr.open_dataset("scan.dm4")`` is lazy and labelled."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import xarray as xr
from xarray.backends import BackendEntrypoint

import stemzarr.accessor  # noqa: F401 - what the engine opens has `.stem`
from stemzarr.errors import OptionError
from stemzarr.formats.writing.provenance import say_origin
from stemzarr.labelled import to_dataset
from stemzarr.model import Document, Source
from stemzarr.options import LayoutChoice, ReadOptions
from stemzarr.recognition import suffixes_of
from stemzarr.registry import read_source
from stemzarr.storage.address import as_source

__all__ = ["StemzarrBackendEntrypoint"]

_DECODERS = (
    "mask_and_scale",
    "decode_times",
    "decode_timedelta",
    "use_cftime",
    "concat_characters",
    "decode_coords",
)
"""What xarray decodes of any format; pixels of ours are never encoded."""


class StemzarrBackendEntrypoint(BackendEntrypoint):
    """Opens stores and every source that stemzarr reads."""

    description = "Open Gatan dm3/dm4 and other electron microscopy files with stemzarr"
    open_dataset_parameters = (
        "filename_or_obj",
        "drop_variables",
        "document",
        "layout",
        "scan_shape",
        "dataset",
        "join",
        "options",
        "group",
        *_DECODERS,
    )
    supports_groups = True

    def open_dataset(  # type: ignore[override]  # noqa: PLR0913 - xarray hands over keywords
        self,
        filename_or_obj: str | os.PathLike[str],
        *,
        drop_variables: str | Iterable[str] | None = None,
        document: int | str | None = None,
        layout: LayoutChoice = "auto",
        scan_shape: tuple[int, int] | None = None,
        dataset: str | None = None,
        join: bool = False,
        options: ReadOptions | None = None,
        group: str | None = None,
        **decoders: Any,  # noqa: ANN401 - keywords of xarray
    ) -> xr.Dataset:
        """Open one document, the main one by default.

        Parameters
        ----------
        filename_or_obj
            Path of a store or source, or address of a store.
        drop_variables
            Names of variables to leave out.
        document
            Slug or index of the document.
        layout, scan_shape, dataset, join
            How the source is understood, as in `ReadOptions`.
        options
            The same as one object, instead of the first three.
        group
            The document as stores and trees name it: ``documents/survey``; ``/`` is the main one.
        decoders
            xarray's ``mask_and_scale``, ``decode_times`` and the like, as in `xarray.decode_cf`.
            Values stay those that were recorded; an axis in seconds becomes time differences with
            ``decode_timedelta=True``.

        Raises
        ------
        OptionError
            There is no such group, or a keyword that neither xarray nor stemzarr has.
        """
        _check_decoders(decoders)
        if group is not None and group.strip("/"):
            document = _document_of(group, document)
        chosen = options or ReadOptions(layout=layout, scan_shape=scan_shape, dataset=dataset)
        if join:
            chosen = dataclasses.replace(chosen, join=True)
        source = read_source(as_source(filename_or_obj), chosen)
        found = source.document if document is None else source.find(document)
        opened = _decode(_drop(_label(source, found), drop_variables), decoders)
        # Nothing stays open, but xarray calls this for each of several files.
        opened.set_close(_close)
        return opened

    def open_groups_as_dict(  # type: ignore[override]
        self,
        filename_or_obj: str | os.PathLike[str],
        *,
        drop_variables: str | Iterable[str] | None = None,
        options: ReadOptions | None = None,
        **decoders: Any,  # noqa: ANN401 - keywords of xarray
    ) -> dict[str, xr.Dataset]:
        """Open all documents as a store has them: the main one at the root, dims prefixed below."""
        _check_decoders(decoders)
        source = read_source(as_source(filename_or_obj), options)
        groups = {"/": _label(source, source.document)}
        for document in source.documents:
            if document.index != source.main:
                labelled = to_dataset(document, prefix=f"{document.slug}_")
                groups[f"/documents/{document.slug}"] = labelled
        return {
            path: _decode(_drop(opened, drop_variables), decoders)
            for path, opened in groups.items()
        }

    def open_datatree(  # type: ignore[override]
        self,
        filename_or_obj: str | os.PathLike[str],
        *,
        drop_variables: str | Iterable[str] | None = None,
        options: ReadOptions | None = None,
        **decoders: Any,  # noqa: ANN401 - keywords of xarray
    ) -> xr.DataTree:
        """Open all documents as one tree, as `open_groups_as_dict` groups them."""
        groups = self.open_groups_as_dict(
            filename_or_obj, drop_variables=drop_variables, options=options, **decoders
        )
        return xr.DataTree.from_dict(groups)

    def guess_can_open(self, filename_or_obj: Any) -> bool:  # noqa: ANN401 - as in xarray
        """Say whether the suffix is one that no other engine of xarray takes."""
        if not isinstance(filename_or_obj, (str, os.PathLike)):
            return False
        return Path(filename_or_obj).suffix.lower() in suffixes_of("guessed")


def _label(source: Source, document: Document) -> xr.Dataset:
    """Return a document as a Dataset that says which file it is of."""
    return to_dataset(document).assign_attrs(provenance=say_origin(source, document))


def _check_decoders(given: dict[str, Any]) -> None:
    unknown = sorted(set(given) - set(_DECODERS))
    if unknown:
        msg = f"the engine stemzarr has no keyword {', '.join(unknown)}"
        raise OptionError(
            msg, hint="it has document, group, layout, scan_shape, dataset, join, options"
        )


def _decode(opened: xr.Dataset, decoders: dict[str, Any]) -> xr.Dataset:
    """Decode as xarray was asked to; what was not asked for stays as it is."""
    asked = {name: value for name, value in decoders.items() if value is not None}
    return xr.decode_cf(opened, **asked) if asked else opened


def _document_of(group: str, document: int | str | None) -> str:
    """Return the slug that a group of a tree stands for."""
    parts = group.strip("/").split("/")
    if len(parts) != len(("documents", "slug")) or parts[0] != "documents":
        msg = f"there is no group {group!r} to be opened as a document"
        raise OptionError(msg, hint="the groups are / and documents/SLUG, as in open_datatree")
    if document not in (None, parts[1]):
        msg = f"the group {group!r} and the document {document!r} contradict each other"
        raise OptionError(msg, hint="give one of them")
    return parts[1]


def _close() -> None:
    """Close nothing: files are opened where they are read, by a small cache of the process."""


def _drop(dataset: xr.Dataset, names: str | Iterable[str] | None) -> xr.Dataset:
    if names is None:
        return dataset
    unwanted = [names] if isinstance(names, str) else list(names)
    return dataset.drop_vars(unwanted, errors="ignore")
