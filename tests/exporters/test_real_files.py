"""Exports of every real DM file, opened by the programs that they are for."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest

import stemzarr
from stemzarr.model import Document, read_box
from stemzarr.registry import read_source

hyperspy = pytest.importorskip("hyperspy.api")

SAMPLES = os.environ.get("STEMZARR_SAMPLES")
FILES = sorted(Path(SAMPLES, "dm").glob("*.dm[345]")) if SAMPLES else []
each_file = pytest.mark.parametrize("path", FILES, ids=[path.name for path in FILES])
pytestmark = pytest.mark.skipif(not FILES, reason="STEMZARR_SAMPLES names no DM files")


def values_of(document: Document) -> np.ndarray:
    """Return all values of a document."""
    return read_box(document.blocks, (0,) * len(document.shape), document.shape)


@each_file
@pytest.mark.leaves_open
@pytest.mark.parametrize("lazy", [False, True])
def test_hyperspy_opens_every_export(tmp_path: Path, path: Path, lazy: bool) -> None:
    """All documents of a file open in HyperSpy, lazily too, with their values and axes."""
    source = read_source(path)
    export = tmp_path / "all.hspy"
    stemzarr.export(path, export, document="all")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = hyperspy.load(str(export), lazy=lazy)
    signals = loaded if isinstance(loaded, list) else [loaded]
    first = source.document
    documents = [first, *(one for one in source.documents if one is not first)]
    assert len(signals) == len(documents)
    for signal, document in zip(signals, documents, strict=True):
        given = np.asarray(signal.data)
        if given.dtype.names:
            given = given.view(given.dtype[0]).reshape(*given.shape, -1)
        np.testing.assert_array_equal(given.reshape(document.shape), values_of(document))
        axes = {axis.name: axis for axis in signal.axes_manager._axes}
        for axis in document.axes:
            if axis.size == 1 and axis.name not in axes:
                continue
            theirs = axes[axis.name]
            assert theirs.size == axis.size
            assert theirs.scale == pytest.approx(axis.scale)
            assert theirs.offset == pytest.approx(axis.offset)
            assert str(theirs.units) == axis.units


@each_file
def test_every_array_of_an_export_can_be_read_lazily(tmp_path: Path, path: Path) -> None:
    """HyperSpy wraps each array of the tag tree by its chunks, so each has some."""
    export = tmp_path / "one.hspy"
    stemzarr.export(path, export)
    lists = ("_list_", "_tuple_")
    with h5py.File(export) as file:
        bare: list[str] = []
        file.visititems(
            lambda name, item: (
                bare.append(name)
                if isinstance(item, h5py.Dataset)
                and item.chunks is None
                and not name.rpartition("/")[2].startswith(lists)
                else None
            )
        )
    assert bare == []


@each_file
def test_facts_come_back(tmp_path: Path, path: Path) -> None:
    """What is known of an acquisition is still known of the export that is read again."""
    source = read_source(path)
    export = tmp_path / "again.hspy"
    stemzarr.export(path, export)
    again = read_source(export).document.facts
    before = dict(source.document.facts)
    assert {name: again.get(name) for name in before} == pytest.approx(before)
