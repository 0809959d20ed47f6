"""A source that holds less than it declares becomes a store only where a salvage is asked for."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from stemzarr.errors import TruncatedFileError
from stemzarr.options import IngestOptions, ReadOptions
from stemzarr.registry import read_source
from stemzarr.store import write_store
from stemzarr.testing.dm_scan import write_synthetic_dm4


def test_an_incomplete_source_is_refused_unless_it_is_salvaged(tmp_path: Path) -> None:
    """The refusal repeats the numbers that the reader found, and names the option."""
    path = tmp_path / "scan.dm4"
    write_synthetic_dm4(path, (2, 3), (8, 8))
    note = "17 of 24 patterns are on disk"
    source = dataclasses.replace(read_source(path), complete=False, notes=(note,))
    with pytest.raises(TruncatedFileError, match=note) as refused:
        write_store(source, tmp_path / "scan.zarr", IngestOptions())
    assert "--salvage" in (refused.value.hint or "")
    assert not (tmp_path / "scan.zarr").exists()
    options = IngestOptions(read=ReadOptions(salvage=True))
    assert write_store(source, tmp_path / "scan.zarr", options).status == "ingested"
