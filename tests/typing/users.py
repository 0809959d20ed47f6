"""What users write, as a type checker sees it: mypy reads this, nothing runs it."""

from pathlib import Path
from typing import Any, assert_type

import pandas as pd
import xarray as xr

import stemzarr
from stemzarr import ExportOptions, IngestOptions, ReadOptions, StemzarrError, View
from stemzarr.api import ExportResult
from stemzarr.store import StoreResult
from stemzarr.torch import PatternDataset, PatternLoader, make_loader
from stemzarr_catalog import Entry, EntryList, Lake, open_lake


def see(path: Path) -> None:
    """Look at a file, by either kind of name."""
    assert_type(stemzarr.open(path), xr.Dataset)
    salvaged = stemzarr.open("scan.dm4", chunks=None, options=ReadOptions(salvage=True))
    assert_type(salvaged, xr.Dataset)
    assert_type(stemzarr.open(["a.zarr", "b.zarr"], dim="tilt_alpha_deg"), xr.Dataset)
    assert_type(stemzarr.info("scan.dm4"), dict[str, Any])


def keep() -> None:
    """Write stores and exports."""
    assert_type(stemzarr.ingest("scan.dm4", "scan.zarr", IngestOptions(threads=2)), StoreResult)
    done = stemzarr.export("scan.zarr", "scan.pt", view=View(downsample=2), options=ExportOptions())
    assert_type(done, ExportResult)


def find() -> None:
    """Search a lake."""
    lake = open_lake("stemzarr-lake")
    assert_type(lake, Lake)
    found = lake.search("kind=4d-stem")
    assert_type(found, EntryList)
    assert_type(found.to_dataframe(), pd.DataFrame)
    for entry in found:
        assert_type(entry, Entry)
        assert_type(entry.open(), xr.Dataset)
    assert_type(lake["scan"].name, str)


def train() -> None:
    """Train from a store."""
    patterns = PatternDataset("scan.zarr", View(downsample=2))
    assert_type(patterns.shape, tuple[int, int, int, int])
    loader = make_loader(patterns, batch_size=64)
    assert_type(loader, PatternLoader)


def fail() -> None:
    """Tell what went wrong."""
    try:
        stemzarr.verify("scan.zarr")
    except StemzarrError as error:
        assert_type(error.hint, str | None)
