"""What lies on people's disks is read by today's code; what comes from the future is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import stemzarr
from stemzarr.errors import SchemaVersionError
from stemzarr.store import read_store, rebuild, verify_store
from stemzarr_catalog import open_lake

GOLDEN = Path(__file__).parents[1] / "golden"
VERSIONS = sorted(path.name for path in GOLDEN.iterdir() if path.name.startswith("schema-"))


@pytest.fixture(params=VERSIONS)
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return a copy of the golden files of one schema version."""
    return Path(shutil.copytree(GOLDEN / request.param, tmp_path / request.param))


def names_of(golden: Path) -> list[str]:
    """Return the names of the golden stores."""
    return sorted(path.stem for path in (golden / "lake" / "stores").glob("*.zarr"))


def test_golden_stores_verify_and_hold_their_values(golden: Path) -> None:
    """Every file and chunk is sound, and the values are those of the day they were written."""
    for name in names_of(golden):
        store = golden / "lake" / "stores" / f"{name}.zarr"
        assert verify_store(store).problems == ()
        values = np.load(golden / f"{name}.npy")
        with stemzarr.open(store) as ours, xr.open_zarr(store) as plain:
            assert np.array_equal(ours["intensity"].to_numpy(), values)
            assert np.array_equal(plain["intensity"].to_numpy(), values)
            assert ours["intensity"].dtype == values.dtype
        with xr.open_datatree(store, engine="zarr") as tree:
            assert len(tree.groups) > 1


def test_golden_sources_are_rebuilt(golden: Path) -> None:
    """The original files come back and have the digest that was taken of them."""
    for name in names_of(golden):
        store = golden / "lake" / "stores" / f"{name}.zarr"
        assert rebuild(store, golden / f"{name}.dm4").exact
        assert stemzarr.info(golden / f"{name}.dm4")["complete"]


def test_the_golden_lake_knows_its_entries(golden: Path) -> None:
    """Facts, hashes, notes and revisions are found without an index from that day."""
    expected: dict[str, Any] = json.loads((golden / "expected.json").read_text(encoding="utf-8"))
    lake = open_lake(golden / "lake")
    assert lake.problems == {}
    assert list(lake) == sorted(expected)
    for name, item in expected.items():
        assert list(lake[name].shape) == item["shape"]
        assert lake[name].facts == item["facts"]
        assert lake[name].source["hash"] == item["hash"]
    assert lake.search("batch=7 golden").names == ["fast"]
    assert lake["slow"].facts["camera_length_mm"] == 115
    assert read_store(lake["slow"].path).document.axis("det_x").scale == 0.25


def make_newer(store: Path) -> None:
    """Let a store say that a later stemzarr wrote it."""
    file = store / "zarr.json"
    text = file.read_text(encoding="utf-8")
    assert text.count('"stemzarr_schema":1') == 1
    file.write_text(text.replace('"stemzarr_schema":1', '"stemzarr_schema":2'), encoding="utf-8")


@pytest.mark.parametrize("act", [read_store, verify_store, stemzarr.open, stemzarr.info])
def test_a_store_of_a_newer_schema_is_refused_kindly(golden: Path, act: Any) -> None:
    """The message names the version found, the one that is known, and what to do."""
    store = golden / "lake" / "stores" / "fast.zarr"
    make_newer(store)
    with pytest.raises(SchemaVersionError, match=r"schema version 2.*knows 1.*update stemzarr"):
        act(store)


def test_a_lake_with_a_newer_store_shows_the_others(golden: Path) -> None:
    """The newer one is a problem of its own, which says to update."""
    make_newer(golden / "lake" / "stores" / "fast.zarr")
    lake = open_lake(golden / "lake")
    assert list(lake) == ["slow", "spectra"]
    assert "update stemzarr" in lake.problems["fast"]
