"""The sources of a training set, opened and scaled as one data set."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Sequence
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from stemzarr.errors import OptionError
from stemzarr.labelled import from_dataset
from stemzarr.model import Document, Source, Statistics
from stemzarr.registry import read_source
from stemzarr.storage.address import as_source
from stemzarr.torch.part import PATTERN_NDIM
from stemzarr.views.normalize import Scaling
from stemzarr.views.render import ViewBlocks
from stemzarr.views.view import View
from stemzarr.views.viewed import apply, measure_document

__all__ = [
    "Trainable",
    "check_alike",
    "check_scaling",
    "measure_positions",
    "open_documents",
    "scale_all",
    "view_plainly",
]


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
        return read_source(as_source(source)).document
    if isinstance(source, HasPath):
        return read_source(as_source(source.path)).document
    msg = f"{type(source).__name__} is an unsupported source type"
    raise OptionError(
        msg, hint="give a store, a file, a Dataset of stemzarr.open, or a list of them"
    )


def view_plainly(documents: Sequence[Document], view: View, threads: int) -> list[Document]:
    """Apply a view to all documents, but for what scales and casts their values."""
    plain = _without_scaling(view)
    return [apply(document, plain, threads=threads) for document in documents]


def _without_scaling(view: View) -> View:
    return dataclasses.replace(view, normalize="none", clip_negative=False, dtype=None)


def measure_positions(document: Document, positions: NDArray[np.int64], threads: int) -> Statistics:
    """Return the statistics of the patterns at some positions, counted row by row."""
    lead = document.shape[:-PATTERN_NDIM]
    chosen = np.zeros(lead, bool)
    chosen.reshape(-1)[positions] = True
    recovered = np.ones(lead, bool) if document.valid is None else document.valid
    if np.array_equal(chosen, recovered):
        return measure_document(document, threads=threads)
    part = dataclasses.replace(document, statistics=None, valid=chosen)
    return measure_document(part, threads=threads)


def check_scaling(view: View, scaling: object, *, on_device: bool) -> None:
    """Refuse a scaling, or a view that does not go with who scales.

    Raises
    ------
    OptionError
        The device is to scale, and the view names a type that it does not give; both the view and
        a scaling normalise; or the scaling is not a `Scaling`.
    """
    if on_device and view.dtype not in (None, "float32"):
        msg = f"the view is to give {view.dtype}, and scaling on the device gives float32"
        raise OptionError(
            msg, hint="leave dtype out and cast the batches, or scale_on_device=False"
        )
    if scaling is not None and view.normalize != "none":
        msg = f"the view normalises by {view.normalize!r}, and a scaling is given too"
        raise OptionError(msg, hint="leave normalize out of the view")
    if not isinstance(scaling, Scaling | None):
        msg = f"scaling is {scaling!r}"
        raise OptionError(msg, hint="give a Scaling, of Scaling.fit or Scaling.from_json")


def scale_all(
    plain: Sequence[Document], view: View, scaling: Scaling, statistics: Statistics | None
) -> list[Document]:
    """Return what `view_plainly` gave, scaled and cast to the type of the view, or float32."""
    dtype = np.dtype(view.dtype or np.float32)
    if _without_scaling(view) == View():
        plain = [_cast(document, scaling, dtype) for document in plain]
    return [_scale(document, scaling, dtype, statistics) for document in plain]


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


def check_alike(documents: Sequence[Document]) -> None:
    """Refuse documents whose patterns do not fit one batch.

    Raises
    ------
    OptionError
        Their patterns have different sizes or types.
    """
    sizes = {document.shape[-PATTERN_NDIM:] for document in documents}
    if len(sizes) > 1:
        found = ", ".join(f"{y} × {x}" for y, x in sorted(sizes))
        msg = f"the patterns have different sizes: {found}"
        raise OptionError(msg, hint="cut them alike with the region of a view, det_y and det_x")
    types = {document.dtype.name for document in documents}
    if len(types) > 1:
        msg = f"the patterns have different types: {', '.join(sorted(types))}"
        raise OptionError(msg, hint="leave scaling to the processor: scale_on_device=False")
