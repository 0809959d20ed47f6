"""Parts of a lake: what has one origin is in one of them, and mixtures are named."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stemzarr
from stemzarr.errors import OptionError
from stemzarr.testing import write_synthetic_dm4
from stemzarr_catalog import Lake, open_lake, split_scans
from stemzarr_catalog.splitting import group_by_origin, mixtures_of

HALVES = {"training": 0.5, "validation": 0.5}


@pytest.fixture(scope="module")
def related(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Return a lake of two scans, with what was made from the first in several ways."""
    folder = tmp_path_factory.mktemp("related")
    lake = open_lake(folder / "lake", create=True)
    write_synthetic_dm4(folder / "first.dm4", (3, 4), (8, 8), seed=1)
    write_synthetic_dm4(folder / "second.dm4", (3, 4), (8, 8), seed=2)
    for name in ("first", "second"):
        lake.ingest(folder / f"{name}.dm4")
    values = stemzarr.open(folder / "first.dm4").intensity.to_numpy()
    np.save(folder / "beside.npy", values)
    view = stemzarr.View(downsample=2)
    stemzarr.export(folder / "first.dm4", folder / "direct.hspy")
    stemzarr.export(lake["first"].path, folder / "binned.hspy", view=view)
    stemzarr.export(lake["first"].path, folder / "cut.zarr", view=view)
    shutil.copytree(folder / "cut.zarr", lake.store_path("cut"))
    for name in ("beside.npy", "direct.hspy", "binned.hspy"):
        lake.ingest(folder / name)
    lake.refresh(thorough=True)
    return lake


def test_one_origin_is_seen_whatever_the_format(related: Lake) -> None:
    """A .npy beside a .dm4, an .hspy of a file or store, and a view as a store are of one scan."""
    (found,) = related.duplicates()
    assert found.names == ["beside", "binned", "cut", "direct", "first"]
    assert related.duplicates("name=first or name=second") == []


@given(st.integers(0, 20))
@settings(max_examples=5, deadline=None)
def test_an_origin_is_never_in_two_parts(related: Lake, seed: int) -> None:
    """Whatever the seed; together the parts are all entries."""
    parts = split_scans(related.search(), HALVES, seed=seed, allow_mixed=True)
    names = [set(part.names) for part in parts.values()]
    assert sorted(map(len, names)) == [1, 5]
    assert {"second"} in names
    again = split_scans(related.search(), HALVES, seed=seed, allow_mixed=True)
    assert {k: v.names for k, v in again.items()} == {k: v.names for k, v in parts.items()}


def test_mixtures_are_named_and_meant(add: Callable[..., Path], lake_path: Path) -> None:
    """Energies, camera lengths and calibrations that differ are an error that says which."""
    for number, energy in enumerate((200.0, 200.0, 300.0)):
        add(f"scan{number}", beam_energy_keV=energy, shape=(2, 3 + number, 4, 5))
    lake = open_lake(lake_path)
    with pytest.raises(OptionError, match="beam_energy_keV is 200, 300"):
        split_scans(lake.search(), HALVES)
    assert mixtures_of(lake.search("beam_energy=200")) == {}
    for allowed in (True, ["beam_energy_keV"]):
        parts = split_scans(lake.search(), HALVES, allow_mixed=allowed)
        assert sorted(n for part in parts.values() for n in part.names) == [*lake]


def test_equal_values_stay_together(add: Callable[..., Path], lake_path: Path) -> None:
    """Scans of one specimen are in one part; one without it is named."""
    for number in range(6):
        add(f"scan{number}", specimen=f"sample {number % 3}", shape=(2, 3 + number, 4, 5))
    lake = open_lake(lake_path)
    shares = {"training": 0.5, "validation": 0.25, "test": 0.25}
    parts = split_scans(lake.search(), shares, by="specimen")
    samples = [{entry.facts["specimen"] for entry in part} for part in parts.values()]
    assert [len(found) for found in samples] == [1, 1, 1]
    assert set.union(*samples) == {"sample 0", "sample 1", "sample 2"}
    add("other", shape=(2, 2, 4, 5))
    lake.refresh()
    refused: list[tuple[Any, dict[str, Any], str]] = [
        (shares, {"by": "specimen"}, "1 entry has no specimen: other"),
        ({"a": 1.0}, {}, "the parts are"),
        ({"a": 0.5, "b": 0.6}, {}, "the parts are"),
        ({str(n): 1 / 8 for n in range(8)}, {}, "7 entries are 7 groups, and there are 8 parts"),
    ]
    for given_parts, options, message in refused:
        with pytest.raises(OptionError, match=message):
            split_scans(lake.search(), given_parts, **options)
    assert len(group_by_origin(lake.search())) == 7
