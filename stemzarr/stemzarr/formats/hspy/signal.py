"""Documents as HyperSpy's dictionaries of signals, which its files and the bridge to it share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import h5py
import numpy as np

from stemzarr.formats.hspy.metadata import (
    FOLDING,
    axis_dict,
    metadata_of,
    signal_ndim,
    write_array,
    write_tree,
)
from stemzarr.model import Document, Source

__all__ = ["describe_navigator", "describe_signal", "write_signal"]

_PACKAGE: Final = {"package": "hyperspy", "package_version": "2.3.0"}
_NAVIGATORS: Final = ("bright_field", "total_intensity")
"""Previews that show where a pattern is, the clearest first."""


def describe_signal(
    source: Source, document: Document, provenance: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what HyperSpy knows of a signal, but for its data, navigator and original metadata."""
    navigated = len(document.axes) - signal_ndim(document)
    metadata, markers = metadata_of(source, document, provenance), _markers(document)
    if markers:
        metadata["Markers"] = markers
    return {
        **_PACKAGE,
        "axes": [
            axis_dict(axis, navigate=place < navigated) for place, axis in enumerate(document.axes)
        ],
        "metadata": metadata,
        "attributes": {"_lazy": False, "ragged": False},
    }


def _markers(document: Document) -> dict[str, Any]:
    """Return the rim of the central disk that the store of a scan keeps, as HyperSpy draws it.

    Nothing where no disk was found. An ellipse, since pixels need not be square in their units.
    """
    disk = None if document.measured is None else document.measured.disk
    if not disk or not disk.get("found"):
        return {}
    y, x = document.axes[-2:]
    place = (x.offset + x.scale * disk["center_x"], y.offset + y.scale * disk["center_y"])
    look = {
        "offsets": np.array([place]),
        "widths": np.array([2 * disk["radius"] * abs(x.scale)]),
        "heights": np.array([2 * disk["radius"] * abs(y.scale)]),
        "units": "xy",
        "facecolors": "none",
        "edgecolors": "red",
    }
    return {
        "central_disk": {
            "class": "Ellipses",
            "name": "central_disk",
            "plot_on_signal": True,
            "offset_transform": "data",
            "transform": "display",
            "ScalarMappable_array": None,
            "kwargs": look,
        }
    }


def describe_navigator(document: Document) -> dict[str, Any] | None:
    """Return the image beside which HyperSpy shows the patterns of a scan, as a signal with data.

    It is a preview that the store of the scan keeps, (scan_y, scan_x); None where there is none,
    and HyperSpy sums up the patterns itself.
    """
    measured = document.measured
    name = next((n for n in _NAVIGATORS if measured is not None and n in measured.names), None)
    if measured is None or name is None:
        return None
    return {
        **_PACKAGE,
        "data": measured.load(name),
        "axes": [axis_dict(axis, navigate=False) for axis in document.axes[:2]],
        "metadata": {
            "General": {"title": name.replace("_", " ")},
            "Signal": {"signal_type": ""},
            "_HyperSpy": {"Folding": FOLDING},
        },
        "attributes": {"_lazy": False, "ragged": False},
    }


def write_signal(
    group: h5py.Group, signal: Mapping[str, Any], navigator: Mapping[str, Any] | None
) -> None:
    """Write all of a signal but its data and original metadata."""
    for name in _PACKAGE:
        group.attrs[name] = signal[name]
    for place, axis in enumerate(signal["axes"]):
        write_tree(axis, group.create_group(f"axis-{place}"))
    metadata = group.create_group("metadata")
    write_tree(signal["metadata"], metadata)
    if navigator is not None:
        inner = metadata.create_group("_HyperSpy/_sig_navigator")
        inner.create_group("original_metadata")
        write_signal(inner, navigator, None)
        write_array(navigator["data"], "data", inner)
    write_tree(signal["attributes"], group.create_group("attributes"))
    group.create_group("learning_results")
