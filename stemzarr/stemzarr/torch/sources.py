"""The sources of a training set, opened and scaled as one data set."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Sequence
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
import xarray as xr

from stemzarr.errors import OptionError
from stemzarr.labelled import from_dataset
from stemzarr.measure.moments import join_statistics
from stemzarr.model import Document, Source, Statistics
from stemzarr.options import as_path
from stemzarr.registry import read_source
from stemzarr.views.normalize import Scaling, scaling_from
from stemzarr.views.render import ViewBlocks
from stemzarr.views.view import View
from stemzarr.views.viewed import apply, measure_document

__all__ = ["Trainable", "apply_jointly", "open_documents"]


@runtime_checkable
class HasPath(Protocol):
    """An entry of a lake, or whatever else knows where its store is."""

    @property
    def path(self) -> os.PathLike[str]:
        """The store or file."""


Trainable = str | os.PathLike[str] | Document | Source | HasPath | xr.Dataset


def open_documents(sources: Trainable | Sequence[Trainable]) -> list[Document]:
    """Return the main documents of one source or several.

    Raises
    ------
    OptionError
        One of them is not a source.
    """
    return [_open(source) for source in _several(sources)]


def _several(sources: object) -> list[object]:
    single = isinstance(sources, str | os.PathLike | Document | Source | HasPath | xr.Dataset)
    if single or not isinstance(sources, Iterable):
        return [sources]
    return list(sources)


def _open(source: object) -> Document:
    if isinstance(source, Document):
        return source
    if isinstance(source, Source):
        return source.document
    if isinstance(source, xr.Dataset):
        return from_dataset(source)
    if isinstance(source, str | os.PathLike):
        return read_source(as_path(source)).document
    if isinstance(source, HasPath):
        return read_source(as_path(source.path)).document
    msg = f"{type(source).__name__} is an unsupported source type"
    raise OptionError(
        msg, hint="give a store, a file, a Dataset of stemzarr.open, or a list of them"
    )


def apply_jointly(
    documents: Sequence[Document], view: View, threads: int, *, on_device: bool
) -> tuple[Scaling, list[Document]]:
    """Apply a view to all documents, scaled by the statistics of all of their patterns.

    Returns
    -------
    tuple
        What is left to the device, and the documents.

    Raises
    ------
    OptionError
        The device is to scale, and the view names a type that it does not give.
    """
    if on_device and view.dtype not in (None, "float32"):
        msg = f"the view is to give {view.dtype}, and scaling on the device gives float32"
        raise OptionError(
            msg, hint="leave dtype out and cast the batches, or scale_on_device=False"
        )
    plain = dataclasses.replace(view, normalize="none", clip_negative=False, dtype=None)
    viewed = [apply(document, plain, threads=threads) for document in documents]
    statistics: Statistics | None = None
    if view.normalize in ("log1p-zscore", "minmax"):
        statistics = join_statistics(
            [measure_document(document, threads=threads) for document in viewed]
        )
    scaling = scaling_from(view.normalize, statistics, clip=view.clip_negative)
    if on_device:
        return scaling, viewed
    dtype = np.dtype(view.dtype or np.float32)
    if plain == View():
        viewed = [_cast(document, scaling, dtype) for document in documents]
    return Scaling(), [_scale(document, scaling, dtype, statistics) for document in viewed]


def _cast(document: Document, scaling: Scaling, dtype: np.dtype[Any]) -> Document:
    # The range that the document knows is that before the scaling, which tells nothing of the cast.
    known = None if scaling.acts else document.statistics
    return apply(dataclasses.replace(document, statistics=known), View(dtype=dtype.name))


def _scale(
    viewed: Document, scaling: Scaling, dtype: np.dtype[Any], statistics: Statistics | None
) -> Document:
    """Return a document that was just put through a view, scaled and cast in the same step."""
    blocks = cast("ViewBlocks", viewed.blocks)
    blocks = dataclasses.replace(blocks, scaling=scaling, dtype=dtype, statistics=statistics)
    return dataclasses.replace(viewed, blocks=blocks, statistics=None)
