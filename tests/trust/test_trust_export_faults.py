"""An export meets every fault at every moment: the destination is complete or not there."""

from __future__ import annotations

import contextlib
import resource
import signal
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stemzarr
from stemzarr.errors import StemzarrError, WriteError
from stemzarr.options import ExportOptions
from stemzarr.registry import exporters
from stemzarr.testing.faults import Crash, Faults, no_space

FORMATS = {
    exporter.name: exporter.suffix_for("dm4")
    for exporter in exporters()
    if exporter.extra != "torch" or find_spec("torch")
}
SCANS_TO_IMAGES = ("png", "tif")
"""Formats that hold one image: they are given the survey."""


LINES = ("csv", "msa")
"""Formats that hold one spectrum or profile: they are given one."""


class Export:
    """One export of the tiny store that is made to fail."""

    def __init__(self, store: Path, folder: Path, name: str) -> None:
        self.store = store
        self.folder = folder
        self.name = name
        if name in LINES:
            self.store = folder.parent / "line.npy"
            np.save(self.store, np.arange(9.0))
        self.dest = folder / f"x{FORMATS[name]}"
        self.raised: BaseException | None = None

    def run(self) -> None:
        """Export; keep what comes out."""
        self.raised = None
        document = "map" if self.name in SCANS_TO_IMAGES else None
        view = stemzarr.View(dtype="uint8") if self.name == "blo" else None
        options = ExportOptions(threads=1, overwrite=self.dest.exists())
        try:
            stemzarr.export(
                self.store,
                self.dest,
                document=document,
                view=view,
                format=self.name,
                options=options,
            )
        except (StemzarrError, Crash) as error:
            self.raised = error

    def names(self) -> list[str]:
        """Return what lies in the folder."""
        return sorted(path.name for path in self.folder.iterdir())

    def check(self, faults: Faults) -> None:
        """See that a failed export left nothing, and that the next one ends well."""
        if self.raised is not None:
            assert faults.struck
            assert isinstance(self.raised, WriteError), self.raised
            assert self.raised.hint
            whole = [self.dest.name], [self.dest.name, f"{self.dest.name}.json"]
            assert self.names() in ([], *whole), self.names()
        self.check_whole()

    def check_crash(self, _: Faults) -> None:
        """See that what is visible after a crash is complete, and that the next export ends."""
        self.check_whole()

    def check_whole(self) -> None:
        """See that the destination, if it is there, can be read as a whole."""
        if self.dest.exists():
            self.read()
        self.run()
        assert self.raised is None
        self.read()

    def read(self) -> None:
        """Read the whole file with a reader of its own."""
        match self.name:
            case "pt":
                import torch

                assert torch.load(self.dest, weights_only=True).shape == (6, 1, 4, 4)
            case "png" | "tif":
                from PIL import Image

                with Image.open(self.dest) as image:
                    image.load()
            case "csv":
                lines = np.loadtxt(self.dest, delimiter=",", skiprows=1, comments="#")
                assert lines[:, -1].sum() == 36
            case "dm":
                assert stemzarr.info(self.dest)["complete"]
            case _:
                with stemzarr.open(self.dest, chunks=None) as dataset:
                    assert dataset["intensity"].to_numpy().sum() > 0


@pytest.mark.parametrize("name", FORMATS)
def test_a_disk_that_fills_leaves_nothing_behind(
    tmp_path: Path, sweep: Any, tiny_store: Path, name: str
) -> None:
    """Full from the n-th call on: one error that says so, no destination and no temporary file."""
    export = Export(tiny_store, tmp_path / "out", name)
    calls = sweep(export.folder, export.run, export.check, error=no_space, mode="lasting")
    assert calls > 1


@pytest.mark.parametrize("name", FORMATS)
def test_a_process_that_dies_leaves_a_whole_destination_or_none(
    tmp_path: Path, sweep: Any, tiny_store: Path, name: str
) -> None:
    """Nothing after the n-th call reaches the disk: what is visible is whole."""
    export = Export(tiny_store, tmp_path / "out", name)
    sweep(export.folder, export.run, export.check_crash, error=Crash, mode="crash")


@contextlib.contextmanager
def largest_file(nbytes: int) -> Iterator[None]:
    """Let every write fail that makes a file larger, those of C libraries too."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    # A module that is imported meanwhile must not be compiled to a file that is cut short.
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    resource.setrlimit(resource.RLIMIT_FSIZE, (nbytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        monkeypatch.undo()
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("nbytes", [1, 100, 1000])
def test_a_write_that_fails_in_any_library_leaves_nothing_behind(
    tmp_path: Path, tiny_store: Path, name: str, nbytes: int
) -> None:
    """HDF5, torch and the picture libraries write by themselves: the same holds for them."""
    export = Export(tiny_store, tmp_path, name)
    with largest_file(nbytes):
        export.run()
    if export.raised is not None:
        assert isinstance(export.raised, WriteError), repr(export.raised)
        assert export.names() == []
    export.check_whole()
