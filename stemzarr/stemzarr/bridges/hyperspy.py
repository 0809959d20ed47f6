"""Lazy signals of HyperSpy over what stemzarr opened, described as its ``.hspy`` files are."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

import stemzarr
from stemzarr.bridges.lazily import lazy_values
from stemzarr.bridges.missing import import_program
from stemzarr.errors import MissingDependencyError, StemzarrError
from stemzarr.formats.hspy.metadata import name_tree
from stemzarr.formats.hspy.signal import describe_navigator, describe_signal
from stemzarr.formats.hspy.writer import COLOURS
from stemzarr.labelled import from_dataset
from stemzarr.lazy import find_selection
from stemzarr.metadata.tags import plain_tags
from stemzarr.model import Document, Source
from stemzarr.options import as_path
from stemzarr.registry import read_source

__all__ = ["to_hyperspy"]


def to_hyperspy(dataset: xr.Dataset, *, signal_type: str | None = None, lazy: bool = True) -> Any:  # noqa: ANN401 - a signal
    """Return a Dataset as a signal of HyperSpy.

    Parameters
    ----------
    dataset
        As stemzarr opened it, or what was selected or computed from that.
    signal_type
        HyperSpy's name of a kind of data, such as ``electron_diffraction`` of pyxem or ``EELS``
        of exspy, whose class the signal then has.
    lazy
        Whether the values stay where they are; else they are read at once.

    Returns
    -------
    hyperspy.signals.BaseSignal
        Patterns and images as a (lazy) ``Signal2D``, spectra as a ``Signal1D``, with the axes,
        units and metadata that the ``.hspy`` file has. The navigator is a preview of the store.

    Raises
    ------
    MissingDependencyError
        HyperSpy, or a package that has this type of signal, is not installed.
    UnsupportedDataError
        There is no ``intensity``, or its dims and coordinates are those of no document.
    """
    hyperspy = import_program("hyperspy.io", "pip install 'stemzarr[hyperspy]'")
    document = from_dataset(dataset)
    source = _source_of(dataset, document)
    described = describe_signal(source, document, _provenance(source, dataset))
    described["metadata"] = name_tree(described["metadata"])
    described["original_metadata"] = name_tree(plain_tags(source.load_metadata()))
    described["attributes"]["_lazy"] = lazy
    values: Any = _with_colours(lazy_values(dataset, document), document)
    described["data"] = values if lazy else values.compute()
    if signal_type is not None:
        described["metadata"]["Signal"]["signal_type"] = signal_type
    signal = hyperspy.dict2signal(described, lazy=lazy)
    if signal_type and not signal._signal_type:  # noqa: SLF001 - what its class is for
        msg = f"no package that is installed has the type of signal {signal_type!r}"
        hint = "electron_diffraction: pip install pyxem; EELS and EDS_TEM: pip install exspy"
        raise MissingDependencyError(msg, hint=hint)
    navigator = describe_navigator(document)
    if navigator is not None:
        signal.navigator = hyperspy.dict2signal(navigator)
    return signal


def _source_of(dataset: xr.Dataset, document: Document) -> Source:
    """Return the file that a Dataset was opened from; one without a name where none is known."""
    unknown = Source(
        path=Path(),
        format="",
        size=0,
        modified_ns=0,
        documents=(document,),
        main=document.index,
    )
    path = dataset.encoding.get("source")
    if path is None:
        return unknown
    try:
        return read_source(as_path(path))
    except StemzarrError as error:
        warnings.warn(f"without original metadata: {error}", stacklevel=4)
        return unknown


def _provenance(source: Source, dataset: xr.Dataset) -> dict[str, Any]:
    """Return from where the values are, as far as that is known."""
    selected = find_selection(dataset["intensity"])
    origin = None if selected is None else selected.source.document
    known = {
        "source": source.path.name,
        "format": source.format,
        "document": "" if origin is None else origin.slug,
    }
    return {"stemzarr": stemzarr.__version__, **{k: value for k, value in known.items() if value}}


def _with_colours(values: Any, document: Document) -> Any:  # noqa: ANN401 - an array of dask
    """Return colours as HyperSpy holds them: one value with a field per channel."""
    if not document.channels:
        return values
    fields = np.dtype([(name, values.dtype) for name in COLOURS[: len(document.channels)]])

    return values.map_blocks(_join, fields, dtype=fields, drop_axis=values.ndim - 1)


def _join(part: NDArray[Any], fields: np.dtype[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(part).view(fields)[..., 0]
