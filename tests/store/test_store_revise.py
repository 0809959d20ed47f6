"""Calibration and facts are revised as a whole or not at all, the earlier values kept."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from stemzarr.errors import EntryNotFoundError, OptionError
from stemzarr.metadata.facts import FACT_NAMES
from stemzarr.model import Fact, read_all
from stemzarr.options import IngestOptions
from stemzarr.store import open_previews, read_record, read_store, revise, verify_store, write_store
from stemzarr.store.facts import apply_facts
from stemzarr.testing.sources import counted, document_of, source_of

VALUES = counted((3, 4, 8, 9))


def make_store(folder: Path, **options: object) -> Path:
    """Write a store with a scan and a survey image."""
    survey = document_of(counted((5, 6)), "image", index=1, slug="survey")
    source = source_of(folder / "source.bin", [document_of(VALUES), survey])
    store = folder / "x.zarr"
    write_store(source, store, IngestOptions(sync=False, **options))  # type: ignore[arg-type]
    return store


def test_revised_values_are_read_by_everyone(tmp_path: Path) -> None:
    """Axes, facts, brightness and title: in xarray's tree, our reader, previews and the record."""
    store = make_store(tmp_path)
    changes = revise(
        store,
        {
            "det_x.scale": 0.5,
            "det_x.units": "mrad",
            "scan_y.scale": "2.5",
            "camera_length_mm": "115",
            "specimen": "Au",
            "brightness.units": "electron",
            "survey/x.scale": 3,
            "title": "A better name",
        },
    )
    assert {change.fact: change.after for change in changes}["camera_length_mm"] == 115.0
    again = read_store(store)
    assert again.document.axis("det_x").scale == 0.5
    assert again.document.axis("det_x").units == "mrad"
    assert again.document.facts["specimen"] == "Au"
    assert again.document.fact_paths["specimen"] == "set by hand"
    assert again.find("survey").axis("x").scale == 3.0
    with xr.open_datatree(store, engine="zarr") as tree:
        np.testing.assert_array_equal(tree["det_x"], again.document.axis("det_x").values())
        assert tree.attrs["title"] == "A better name"
        assert tree["intensity"].attrs["brightness_units"] == "electron"
        np.testing.assert_array_equal(tree["intensity"], VALUES)
    (image,) = open_previews(store).attrs["ome"]["multiscales"]
    assert image["datasets"][0]["coordinateTransformations"][0]["scale"][0] == 2.5
    (revision,) = read_record(store)["revisions"]
    assert {"fact": "specimen", "before": None, "after": "Au"} in revision["changes"]
    assert verify_store(store).ok
    assert not list(store.glob(".revision*"))


def test_revisions_add_up_and_nothing_new_is_no_revision(tmp_path: Path) -> None:
    """Each revision keeps what was before it; the same value again is none."""
    store = make_store(tmp_path)
    for length in (100.0, 100.0, 120.0):
        revise(store, {"camera_length_mm": length})
    changes = [revision["changes"][0] for revision in read_record(store)["revisions"]]
    assert [change["before"] for change in changes] == [None, 100.0]


def test_facts_given_at_ingest_equal_facts_revised(tmp_path: Path) -> None:
    """`--set` and `calibrate` give the same labels."""
    facts: dict[str, Fact] = {"det_y.scale": 0.25, "beam_energy_keV": 300}
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    at_ingest = make_store(tmp_path / "a", facts=facts)
    revised = make_store(tmp_path / "b")
    revise(revised, facts)
    first, second = read_store(at_ingest).document, read_store(revised).document
    assert first.axes == second.axes
    assert first.facts == second.facts


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"camera_length": 1}, "no fact 'camera_length'"),
        ({"camera_length_mm": "long"}, "camera_length_mm is 'long'"),
        ({"camera_length_mm": float("nan")}, "camera_length_mm is nan"),
        ({"det_x.scale": 0}, "det_x.scale is 0"),
        ({"det_x.colour": 1}, "no 'colour'"),
        ({"det_x.units": " "}, "det_x.units is empty"),
        ({"det_z.scale": 1}, "no axis 'det_z'"),
        ({"complete": 1}, "no fact 'complete'"),
        ({"beam_energy_keV": -300}, "beam_energy_keV is -300"),
        ({"exposure_s": "0"}, "exposure_s is '0'"),
        ({"probe_current_nA": -0.1}, r"probe_current_nA is -0\.1"),
        ({"acquired": "yesterday"}, "acquired is 'yesterday'"),
        ({"acquired": "15.01.2026"}, r"acquired is '15\.01\.2026'"),
        ({"acquired": "2026-02-30"}, "acquired is '2026-02-30'"),
        ({"brightness.colour": 1}, "no 'colour'"),
    ],
)
def test_what_cannot_be_set_changes_nothing(
    tmp_path: Path, facts: dict[str, Fact], message: str
) -> None:
    """A wrong name or value is refused whole, with what is known."""
    store = make_store(tmp_path)
    before = (store / "zarr.json").read_bytes()
    with pytest.raises(OptionError, match=message):
        revise(store, {"specimen": "Au", **facts})
    assert (store / "zarr.json").read_bytes() == before
    with pytest.raises(EntryNotFoundError, match="no document"):
        revise(store, {"nowhere/x.scale": 1})


@pytest.mark.parametrize("files", range(12))
def test_a_crash_while_revising_leaves_the_old_or_gives_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: int
) -> None:
    """Stopped after any number of renames, the store is the old one or becomes the new one."""
    store = make_store(tmp_path)
    replace, calls = Path.replace, []

    def fail(self: Path, target: Path) -> Path:
        if any(part.startswith(".revision") for part in self.parts):
            calls.append(self)
            if len(calls) > files:
                raise KeyboardInterrupt
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fail)
        with contextlib.suppress(KeyboardInterrupt):
            revise(store, {"det_x.scale": 0.5, "det_y.scale": 0.5})
    scales = {read_store(store).document.axis(name).scale for name in ("det_x", "det_y")}
    assert (scales == {0.5}) == (files > 0)
    with xr.open_zarr(store) as dataset:
        document = read_store(store).document
        np.testing.assert_array_equal(dataset.det_x, document.axis("det_x").values())
    revise(store, {"specimen": "Au"})
    assert verify_store(store).ok


@given(name=st.sampled_from(sorted(FACT_NAMES - {"complete"})), value=st.floats(1, 1e6))
def test_every_fact_of_the_schema_can_be_set(
    tmp_path_factory: pytest.TempPathFactory, name: str, value: float
) -> None:
    """Numbers stay numbers, words become words, and the change says so."""
    source = source_of(tmp_path_factory.getbasetemp() / "source.bin", [document_of(VALUES)])
    given = "2026-01-15T10:20:30" if name == "acquired" else value
    changed, (change,) = apply_facts(source, {name: given})
    assert changed.document.facts[name] == change.after
    assert change.after in (given, str(given))


def test_pixels_survive_any_revision(tmp_path: Path) -> None:
    """The shards and the digest of the values are untouched."""
    store = make_store(tmp_path)
    shard, digest = store / "intensity/c/0/0/0/0", read_record(store)["hash"]
    before = shard.read_bytes()
    revise(store, {"det_x.offset": -1.0})
    assert shard.read_bytes() == before
    assert read_record(store)["hash"] == digest
    document = read_store(store).document
    np.testing.assert_array_equal(read_all(document.blocks), VALUES)
