"""Ingesting into a lake: one store for each source, under a name that tells it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stemzarr.errors import OptionError, StoreExistsError
from stemzarr.options import IngestOptions
from stemzarr.testing import DMImage, write_dm
from stemzarr_catalog import Lake, open_lake

OPTIONS = IngestOptions(sync=False, threads=1)

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes a tiny dm4 of 4D counts."""

    def write_scan(name: str, seed: int = 0, folder: str = "data") -> Path:
        path = tmp_path / folder / name
        path.parent.mkdir(exist_ok=True)
        counts = np.random.default_rng(seed).poisson(1.0, (3, 4, 8, 8)).astype(np.uint16)
        image = DMImage(data=counts, tags={"Microscope Info": {"Voltage": 300e3 + seed}})
        write_dm(path, [image])
        return path

    return write_scan


@pytest.fixture
def empty(lake_path: Path) -> Lake:
    """Return a lake without stores."""
    return open_lake(lake_path)


def ingest(lake: Lake, path: Path, name: str | None = None) -> tuple[str, str]:
    """Return name and status."""
    result = lake.ingest(path, name=name, options=OPTIONS)
    return result.name, result.status


def test_a_source_becomes_an_entry(empty: Lake, write: Write) -> None:
    """The values are those of the source, its facts are found, the result is one JSON line."""
    path = write("scan.dm4")
    result = empty.ingest(path, options=OPTIONS)
    assert empty.search("beam_energy=300keV kind=4d-stem").names == ["scan"]
    assert result.json()["store"] == str(empty.path / "stores" / "scan.zarr")
    assert result.json()["error"] is None
    assert result.source_bytes == path.stat().st_size
    assert result.stored_bytes > 0
    expected = np.random.default_rng(0).poisson(1.0, (3, 4, 8, 8))
    np.testing.assert_array_equal(empty["scan"].open().intensity, expected)
    assert empty.search("tag:Microscope Info.Voltage=300000").names == ["scan"]


def test_the_same_source_again_changes_nothing(empty: Lake, write: Write) -> None:
    """Not a byte of the lake is written, under whatever name the source stands there."""
    path = write("scan.dm4")
    assert ingest(empty, path, "named") == ("named", "ingested")
    before = {p: p.stat().st_mtime_ns for p in empty.path.rglob("*") if p.is_file()}
    assert ingest(empty, path) == ("named", "unchanged")
    assert ingest(empty, path, "named") == ("named", "unchanged")
    assert {p: p.stat().st_mtime_ns for p in empty.path.rglob("*") if p.is_file()} == before


def test_another_source_of_the_same_stem_gets_a_suffix(empty: Lake, write: Write) -> None:
    """The suffix comes from its header, so that it is the same each time; case does not count."""
    first, second, third = write("scan.dm4"), write("Scan.dm4", 1, "b"), write("scan.dm4", 2, "c")
    assert ingest(empty, first) == ("scan", "ingested")
    name, status = ingest(empty, second)
    assert (name[:5], len(name), status) == ("Scan-", 13, "ingested")
    assert ingest(empty, third)[0] not in ("scan", name)
    for path, expected in ((first, "scan"), (second, name)):
        assert ingest(empty, path) == (expected, "unchanged")
    assert len(empty) == 3


def test_a_copy_is_found_to_hold_the_same(empty: Lake, write: Write) -> None:
    """A source with another modification time is read, and not kept twice."""
    path = write("scan.dm4")
    ingest(empty, path)
    copied = shutil.copy(path, path.with_name("copy.dm4"))
    os.utime(copied, (1, 1))
    os.utime(path, (2, 2))
    assert ingest(empty, Path(copied)) == ("scan", "unchanged")
    assert ingest(empty, path) == ("scan", "unchanged")
    assert sorted(item.name for item in empty.stores.glob("*.zarr")) == ["scan.zarr"]
    assert ingest(empty, Path(copied), "wanted") == ("wanted", "ingested")
    assert [entry.name for group in empty.duplicates() for entry in group] == ["scan", "wanted"]


@pytest.mark.parametrize("stem", ["lake", "con", "aux.2026", "LAKE"])
def test_reserved_stems_get_a_suffix(empty: Lake, write: Write, stem: str) -> None:
    """No source is refused for its name."""
    name, status = ingest(empty, write(f"{stem}.dm4"))
    assert status == "ingested"
    assert name[:3].lower() == stem[:3].lower()
    assert len(name) > 8
    assert list(open_lake(empty.path)) == [name]


def test_a_name_that_is_taken_is_refused_and_can_be_replaced(empty: Lake, write: Write) -> None:
    """Only ``overwrite`` replaces another source."""
    first, second = write("one.dm4", 1), write("two.dm4", 2)
    ingest(empty, first, "mine")
    with pytest.raises(StoreExistsError, match="another source has the name"):
        ingest(empty, second, "mine")
    with pytest.raises(OptionError, match="reserved"):
        ingest(empty, second, "lake")
    with pytest.raises(OptionError, match="safe everywhere: x_y"):
        ingest(empty, second, "../x y")
    options = IngestOptions(sync=False, threads=1, overwrite=True)
    assert empty.ingest(second, name="mine", options=options).status == "ingested"
    assert empty["mine"].facts["beam_energy_keV"] == pytest.approx(300.002)


def test_a_store_is_no_source(empty: Lake, write: Write) -> None:
    """The message says how to add one."""
    ingest(empty, write("scan.dm4"))
    with pytest.raises(OptionError, match="is a store already"):
        ingest(empty, empty["scan"].path)
