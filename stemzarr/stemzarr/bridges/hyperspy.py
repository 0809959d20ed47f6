"""Lazy signals of HyperSpy over what stemzarr opened, described as its ``.hspy`` files are."""

from __future__ import annotations

from typing import Any

import xarray as xr

from stemzarr.bridges.lazily import lazy_values
from stemzarr.bridges.missing import import_program
from stemzarr.bridges.origin import source_of
from stemzarr.bridges.rosettasciio import describe
from stemzarr.errors import MissingDependencyError
from stemzarr.labelled import from_dataset
from stemzarr.lazy import find_selection

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
    source = source_of(dataset, document)
    values = lazy_values(dataset, document)
    selected = find_selection(dataset["intensity"])
    origin = None if selected is None else selected.source.document
    slug = "" if origin is None else origin.slug
    tags = source.load_metadata()
    described = describe(source, document, values, tags=tags, slug=slug, lazy=lazy)
    if signal_type is not None:
        described["metadata"]["Signal"]["signal_type"] = signal_type
    signal = hyperspy.dict2signal(described, lazy=lazy)
    if signal_type and not signal._signal_type:  # noqa: SLF001 - what its class is for
        msg = f"no package that is installed has the type of signal {signal_type!r}"
        hint = "electron_diffraction: pip install pyxem; EELS and EDS_TEM: pip install exspy"
        raise MissingDependencyError(msg, hint=hint)
    return signal
