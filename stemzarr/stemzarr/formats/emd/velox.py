"""Velox' ``.emd`` by RosettaSciIO, each signal for itself.

RosettaSciIO asks for ``sparse`` wherever a file has a stream of X-rays, and gives nothing without
it. Here images and spectra are read all the same, and what is left out is said.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Final

import h5py

from stemzarr.formats.rosettasciio.library import WHOLE_BYTES

__all__ = ["file_reader"]

_KINDS: Final = (
    "Spectrum",
    "Image",
    "SpectrumStream",
    "SpectrumImage",
    "EelsSpectrumImage",
    "Text",
)
_COMPUTED: Final = ("iDPC", "dDPC", "Filtered", "A-C", "B-D", "DPC", "DCFI", "Half FFT")
"""Beginnings of the names that RosettaSciIO gives to results of Velox' own operations."""
_PRUNED: Final = (
    "Velox removed the stream of X-rays when it saved the file; save it with the raw data to keep "
    "the spectra of each pixel"
)


def file_reader(filename: str, lazy: bool = False) -> list[dict[str, Any]]:  # noqa: FBT001, FBT002 - the form of RosettaSciIO's plugins
    """Return the signals of a Velox file; a warning names each that cannot be read.

    ``computed`` is true for images that no detector recorded: maps of elements, phases, transforms.
    """
    library = importlib.import_module("rsciio.emd._emd_velox").FeiEMDReader
    reader = library(lazy=lazy)
    # the reader keeps its signals in `dictionaries`, and calls `_read_data` for all of them
    reader._read_data = lambda _select: _read_each(reader)  # noqa: SLF001 - it has no other way in
    file = h5py.File(filename, "r")
    try:
        reader.read_file(file)
    finally:
        if not lazy:
            file.close()
    signals: list[dict[str, Any]] = reader.dictionaries
    return signals


def _read_each(reader: Any) -> None:  # noqa: ANN401 - RosettaSciIO is untyped
    """Read spectra, images, and spectra of areas, in the order of RosettaSciIO."""
    reader.load_images = reader.load_SI = reader.load_single_spectrum = True
    reader.detector_name = "EDS"
    _read_group(reader, "Spectrum", reader._read_spectrum)  # noqa: SLF001 - as above
    _read_group(reader, "Image", reader._read_image)  # noqa: SLF001 - as above
    areas = reader.d_grp
    streams = list(areas.get("SpectrumStream") or ())
    if streams and importlib.util.find_spec("sparse") is not None:
        _attempt("Data/SpectrumStream", reader._read_spectrum_stream)  # noqa: SLF001 - as above
    else:
        if "EelsSpectrumImage" in areas:
            _attempt("Data/EelsSpectrumImage", reader._read_eels_spectrum_images)  # noqa: SLF001 - as above
        needs = "it needs sparse, which is not installed (pip install 'stemzarr[formats]')"
        for name in streams:
            _leave_out(f"EDS stream Data/SpectrumStream/{name}", needs)
    for name in () if streams or "EelsSpectrumImage" in areas else areas.get("SpectrumImage") or ():
        _leave_out(f"EDS spectrum image Data/SpectrumImage/{name}", _PRUNED)
    for kind in areas:
        count = len(areas[kind]) if isinstance(areas[kind], h5py.Group) else 0
        if count and kind not in _KINDS:
            _leave_out(
                f"Data/{kind} ({count} items)", f"--dataset Data/{kind}/… takes an array of it"
            )


def _read_group(
    reader: Any,  # noqa: ANN401 - RosettaSciIO is untyped
    kind: str,
    read: Callable[[h5py.Group, str], dict[str, Any]],
) -> None:
    group = reader.d_grp.get(kind)
    for name in group or ():
        one = functools.partial(_read_one, reader, read, group, name)
        signal = _attempt(f"Data/{kind}/{name}", one)
        if signal is not None:
            reader.dictionaries.append(signal)


def _read_one(
    reader: Any,  # noqa: ANN401 - RosettaSciIO is untyped
    read: Callable[[h5py.Group, str], dict[str, Any]],
    group: h5py.Group,
    name: str,
) -> dict[str, Any]:
    """Return a signal, at once where its values have no chunks by which to read it lazily."""
    data = group[name].get("Data")
    lazy = reader.lazy
    if isinstance(data, h5py.Dataset) and data.chunks is None and data.nbytes <= WHOLE_BYTES:
        reader.lazy = False
    try:
        signal = read(group, name)
    finally:
        reader.lazy = lazy
    signal["computed"] = _is_computed(reader, signal)
    return signal


def _is_computed(reader: Any, signal: Mapping[str, Any]) -> bool:  # noqa: ANN401 - RosettaSciIO is untyped
    """Return whether Velox computed an image: what a detector recorded names that by its index."""
    result = (signal.get("original_metadata") or {}).get("BinaryResult")
    unnamed = isinstance(result, Mapping) and "DetectorIndex" not in result
    return unnamed or str(reader.detector_name).startswith(_COMPUTED)


def _leave_out(what: str, why: str) -> None:
    warnings.warn(f"{what} is left out: {why}", stacklevel=3)


def _attempt(name: str, read: Callable[[], Any]) -> Any:  # noqa: ANN401 - RosettaSciIO is untyped
    """Return what is read; None, and a warning, where it fails, so that the others remain."""
    try:
        return read()
    except Exception as error:  # noqa: BLE001 - foreign code raises anything
        _leave_out(name, f"{type(error).__name__}: {error}")
        return None
