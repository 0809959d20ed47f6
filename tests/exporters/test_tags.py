"""Tags in exported files are values, not the form in which stores keep them."""

from __future__ import annotations

import base64
import gc
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import stemzarr
from stemzarr.metadata.tags import plain_tags
from stemzarr.testing import DMImage, write_dm

LONG = np.arange(100, dtype=np.float32) / 3
COUNTS = np.ones((2, 3, 4, 4), np.uint16)


@pytest.fixture
def tagged(tmp_path: Path) -> Path:
    """Return a dm4 with a long array and a short one among the tags of its image."""
    path = tmp_path / "tagged.dm4"
    tags = {"Curve": LONG, "Short": np.array([1, 2, 3], np.int16), "Name": "µm"}
    write_dm(path, [DMImage(data=COUNTS, tags={"Mine": tags})])
    return path


def test_hyperspy_gives_the_same_arrays_as_from_the_dm4(tagged: Path, tmp_path: Path) -> None:
    """Every array of the tags equals what HyperSpy reads from the original itself."""
    hs: Any = pytest.importorskip("hyperspy.api")
    stemzarr.export(tagged, tmp_path / "tagged.hspy")
    ours = hs.load(tmp_path / "tagged.hspy").original_metadata.as_dictionary()
    found = ours["ImageList"][1]["ImageTags"]["Mine"]
    np.testing.assert_array_equal(found["Curve"], LONG)
    assert found["Curve"].dtype == np.float32
    np.testing.assert_array_equal(found["Short"], [1, 2, 3])
    assert found["Name"] == "µm"
    theirs = hs.load(tagged, lazy=True)
    theirs = theirs[0] if isinstance(theirs, list) else theirs
    tags = theirs.original_metadata.as_dictionary()["ImageList"]["TagGroup0"]["ImageTags"]["Mine"]
    np.testing.assert_allclose(tags["Curve"], found["Curve"])
    gc.collect()


def test_no_mark_of_our_json_is_left(tagged: Path) -> None:
    """Of a real tag tree nothing begins with the sign that our marks begin with."""

    def names(value: Any) -> set[str]:
        if isinstance(value, dict):
            return set(value).union(*(names(item) for item in value.values()))
        return set().union(*map(names, value)) if isinstance(value, list) else set()

    tree = stemzarr.registry.read_source(tagged).load_metadata()
    assert {name for name in names(tree) if name.startswith("@")} == {"@types", "@array"}
    assert not {name for name in names(plain_tags(tree)) if name.startswith("@")}


def test_entries_and_structures_become_lists_and_dictionaries() -> None:
    """Repeated names are numbered, nameless entries listed, structures become rows."""
    rows = np.array([(1, 2.5), (3, 4.5)], [("f0", "<i2"), ("f1", "<f4")])
    described = {
        "dtype": [["f0", "<i2"], ["f1", "<f4"]],
        "count": 2,
        "base64": base64.b64encode(rows.tobytes()).decode(),
    }
    tree = {
        "twice": {"@entries": [["a", 1], ["a", 2], ["a (1)", 3], ["", {"b": 4}]]},
        "nameless": {"@entries": [["", 1], ["", [{"@array": described}]]]},
        "elsewhere": {"@array": {"dtype": "<u2", "count": 9, "offset": 7}},
        "theirs": {"@array": 1.5, "@entries": "x", "more": 1},
        "@types": {"/twice": "i2"},
    }
    plain = plain_tags(tree)
    assert plain["twice"] == {"a": 1, "a (1)": 2, "a (1) (2)": 3, "3": {"b": 4}}
    assert plain["nameless"][0] == 1
    np.testing.assert_array_equal(plain["nameless"][1][0], [[1, 2.5], [3, 4.5]])
    assert plain["elsewhere"] == {"dtype": "<u2", "count": 9, "offset": 7}
    assert plain["theirs"] == tree["theirs"]
    assert set(plain) == set(tree) - {"@types"}
    assert plain_tags({"@entries": [["", 1], ["", 2]]}) == {"0": 1, "1": 2}


def test_emdfile_gives_arrays(tagged: Path, tmp_path: Path) -> None:
    """An encoded array of the tags is an array in the metadata of an EMD file."""
    emdfile = pytest.importorskip("emdfile")
    stemzarr.export(tagged, tmp_path / "x.emd")
    with h5py.File(tmp_path / "x.emd") as file:
        tags = emdfile.Metadata.from_h5(file["stemzarr_root/metadatabundle/stemzarr"])
    found = tags["original_metadata"]["ImageList"]["1"]["ImageTags"]["Mine"]
    np.testing.assert_array_equal(found["Curve"], LONG)
