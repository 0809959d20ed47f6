"""What we give of real files is what RosettaSciIO reads of them at once: values, axes and facts."""

from __future__ import annotations

import importlib
import math
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stemzarr.metadata.units import normalise_units
from stemzarr.model import Document, read_all
from stemzarr.registry import read_source

FILES = [
    ("blockfile", "formats/test2.blo"),
    ("tvips", "formats/test_tvips_2345_000.tvips"),
    ("tia", "formats/tia/16x16_STEM_BF_DF_acquire.emi"),
    ("tia", "formats/tia/16x16_STEM_BF_DF_acquire_1.ser"),
    ("jobinyvon", "formats/jobinyvon_test_spec_range.xml"),
    ("mrc", "formats/de_mrc/20241021_00405_movie.mrc"),
    ("mrc", "formats/de_mrc/20241021_00405_final.mrc"),
]
OWN_AXES = frozenset({"mrc"})
"""Plugins whose steps are not those of the file, as `plugin_axes` says."""
FACTS = {
    "beam_energy_keV": "beam_energy",
    "magnification": "magnification",
    "tilt_alpha_deg": "Stage.tilt_alpha",
    "tilt_beta_deg": "Stage.tilt_beta",
    "exposure_s": "Detector.Camera.exposure",
}


def at(tree: Any, path: str) -> Any:
    """Return what a tree holds at a dotted path, its names spelled as HyperSpy does."""
    for part in path.split("."):
        if not isinstance(tree, dict):
            return None
        tree = {str(key).replace(" ", "_"): value for key, value in tree.items()}.get(
            part.replace(" ", "_")
        )
    return tree


def theirs(signal: dict[str, Any], name: str) -> float | None:
    """Return a fact as HyperSpy would have it of a signal."""
    target = f"Acquisition_instrument.TEM.{FACTS[name]}"
    value = at(signal["metadata"], target)
    for key, (goal, convert) in (signal.get("mapping") or {}).items():
        found = at(signal["original_metadata"], key)
        if goal == target and found is not None:
            value = found if convert is None else convert(found)
    return None if value is None else float(value)


def check_axes(document: Document, signal: dict[str, Any], offset: float) -> None:
    """Compare the axes that are calibrated, in the order of the array.

    Parameters
    ----------
    offset
        By how much the plugin's offsets are too small: docs/upstream/rosettasciio-tia-offset.md.
    """
    for axis, described in zip(document.axes, signal["axes"], strict=True):
        assert axis.size == described.get("size", len(described.get("axis", ())))
        if axis.calibrated:
            assert axis.units == normalise_units(described["units"])
            assert axis.scale == pytest.approx(described["scale"])
            assert axis.offset == pytest.approx(described["offset"] * offset)
        elif axis.source_units and "scale" in described and math.isfinite(described["scale"]):
            assert described["scale"] in (0, 1, -1) or normalise_units(axis.source_units) == "s"


@pytest.mark.parametrize(("plugin", "name"), FILES)
def test_a_real_file_is_what_the_library_reads(samples: Path, plugin: str, name: str) -> None:
    """Each signal's values, its calibrated axes and its facts are those of RosettaSciIO."""
    if plugin == "blockfile":
        pytest.importorskip("skimage")
    path = samples / name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        signals = importlib.import_module(f"rsciio.{plugin}").file_reader(os.fspath(path))
    source = read_source(path)
    assert len(source.documents) == len(signals)
    for document, signal in zip(source.documents, signals, strict=True):
        values = read_all(document.blocks)
        np.testing.assert_array_equal(values, signal["data"])
        assert values.dtype == signal["data"].dtype
        if plugin not in OWN_AXES:
            check_axes(document, signal, 1e9 if plugin == "tia" else 1)
        for fact in FACTS:
            expected = theirs(signal, fact)
            if expected:
                assert document.facts[fact] == pytest.approx(expected), fact
