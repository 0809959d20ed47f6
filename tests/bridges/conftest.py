"""A store of a scan with its survey image, and a watch on what is read of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stemzarr
from stemzarr.storage.local import LocalFolder
from stemzarr.testing import DMAxis, DMImage, microscope_tags, synthetic_scan, write_dm


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a scan and a survey image, as ``scan.dm4`` and as ``scan.zarr``."""
    made = tmp_path_factory.mktemp("bridges")
    values = np.concatenate(list(synthetic_scan((7, 6), (18, 20), seed=3).pieces()))
    nm, inverse = DMAxis(scale=0.5, units="nm"), DMAxis(scale=0.125, origin=9, units="1/nm")
    scan = DMImage(
        data=values.reshape(7, 6, 18, 20),
        axes=(nm, nm, inverse, inverse),
        swapped=True,
        name="scan",
        tags=microscope_tags((7, 6)),
    )
    survey = np.arange(30, dtype=np.float32).reshape(5, 6)
    beside = DMImage(
        data=survey, axes=(nm, nm), name="survey", tags={"Survey": {"Stage.X": 1.5, "a/b": [1, 2]}}
    )
    write_dm(made / "scan.dm4", [scan, beside], thumbnail=False)
    stemzarr.ingest(made / "scan.dm4", made / "scan.zarr")
    return made


@pytest.fixture
def pixel_reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows by the bytes that are read of the pixels of any store."""
    reads: list[int] = []
    plain: Callable[..., None] = LocalFolder.read_ranges

    def counted(
        self: LocalFolder, key: str, ranges: Sequence[tuple[int, memoryview]], stamp: Any
    ) -> None:
        plain(self, key, ranges, stamp)
        if "intensity/" in key:
            reads.append(sum(out.nbytes for _, out in ranges))

    monkeypatch.setattr(LocalFolder, "read_ranges", counted)
    return reads
