"""The xarray engine: ``xr.open_dataset("scan.dm4")`` is lazy and labelled."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import xarray as xr
from xarray.backends import BackendEntrypoint

import stemzarr.accessor  # noqa: F401 - what the engine opens has `.stem`
from stemzarr.labelled import to_dataset
from stemzarr.options import LayoutChoice, ReadOptions, as_path
from stemzarr.registry import read_source

__all__ = ["StemzarrBackendEntrypoint"]

_GUESSED = (".dm3", ".dm4", ".dm5", ".hspy", ".mib", ".blo", ".tvips")


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
        "options",
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
        options: ReadOptions | None = None,
    ) -> xr.Dataset:
        """Open one document, the main one by default.

        Parameters
        ----------
        filename_or_obj
            Path of a store or source.
        drop_variables
            Names of variables to leave out.
        document
            Slug or index of the document.
        layout, scan_shape, dataset
            How the source is understood, as in `ReadOptions`.
        options
            The same as one object, instead of the three.
        """
        chosen = options or ReadOptions(layout=layout, scan_shape=scan_shape, dataset=dataset)
        source = read_source(as_path(filename_or_obj), chosen)
        found = source.document if document is None else source.find(document)
        opened = to_dataset(found)
        return _drop(opened, drop_variables)

    def open_groups_as_dict(  # type: ignore[override]
        self,
        filename_or_obj: str | os.PathLike[str],
        *,
        drop_variables: str | Iterable[str] | None = None,
        options: ReadOptions | None = None,
    ) -> dict[str, xr.Dataset]:
        """Open all documents as a store has them: the main one at the root, dims prefixed below."""
        source = read_source(as_path(filename_or_obj), options)
        groups = {"/": _drop(to_dataset(source.document), drop_variables)}
        for document in source.documents:
            if document.index != source.main:
                labelled = to_dataset(document, prefix=f"{document.slug}_")
                groups[f"/documents/{document.slug}"] = _drop(labelled, drop_variables)
        return groups

    def open_datatree(  # type: ignore[override]
        self,
        filename_or_obj: str | os.PathLike[str],
        *,
        drop_variables: str | Iterable[str] | None = None,
        options: ReadOptions | None = None,
    ) -> xr.DataTree:
        """Open all documents as one tree, as `open_groups_as_dict` groups them."""
        groups = self.open_groups_as_dict(
            filename_or_obj, drop_variables=drop_variables, options=options
        )
        return xr.DataTree.from_dict(groups)

    def guess_can_open(self, filename_or_obj: Any) -> bool:  # noqa: ANN401 - as in xarray
        """Say whether the suffix is one that no other engine of xarray takes."""
        if not isinstance(filename_or_obj, (str, os.PathLike)):
            return False
        return Path(filename_or_obj).suffix.lower() in _GUESSED


def _drop(dataset: xr.Dataset, names: str | Iterable[str] | None) -> xr.Dataset:
    if names is None:
        return dataset
    unwanted = [names] if isinstance(names, str) else list(names)
    return dataset.drop_vars(unwanted, errors="ignore")
