"""The catalog for other programs, and whether it is as it should be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from stemzarr.errors import MissingDependencyError, StoreExistsError
from stemzarr_catalog import Lake, open_lake
from stemzarr_catalog.export import export_parquet, export_stac
from stemzarr_catalog.validate import validate_lake

Add = Callable[..., Path]


def test_stac_is_a_collection_of_items_whose_links_lead_somewhere(
    lake: Lake, tmp_path: Path
) -> None:
    """Every link and every local address of an asset is a file that is there."""
    lake.tag("scan", "good", remark="a remark")
    folder = tmp_path / "stac"
    assert export_stac(lake, folder) == 3
    collection = json.loads((folder / "collection.json").read_text(encoding="utf-8"))
    items = [link for link in collection["links"] if link["rel"] == "item"]
    assert len(items) == 3
    for link in items:
        file = (folder / link["href"]).resolve()
        item = json.loads(file.read_text(encoding="utf-8"))
        assert {"type", "stac_version", "id", "geometry", "properties", "links", "assets"} <= set(
            item
        )
        assert item["geometry"] is None
        assert item["collection"] == collection["id"]
        properties = item["properties"]
        assert properties["datetime"] or properties["start_datetime"]
        for inner in (*item["links"], *item["assets"].values()):
            assert (file.parent / inner["href"]).exists()
    scan = json.loads((folder / "scan" / "scan.json").read_text(encoding="utf-8"))
    assert scan["properties"]["datetime"] == "2026-01-15T10:20:30Z"
    assert scan["properties"]["stemzarr:beam_energy_keV"] == 300.0
    assert scan["properties"]["keywords"] == ["good"]
    assert scan["properties"]["cube:dimensions"]["det_x"]["extent"] == [1.0, 3.0]
    assert "thumbnail" in scan["assets"]["bright_field"]["roles"]
    with pytest.raises(StoreExistsError):
        export_stac(lake, folder)
    assert export_stac(lake, folder, "SrTiO3", overwrite=True) == 1


def test_parquet_is_the_table_of_the_entries(lake: Lake, tmp_path: Path) -> None:
    """Pandas reads back what the entries say."""
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    lake.tag("scan", "good", fields={"mixed": 3})
    lake.tag("map", fields={"mixed": "thick"})
    dest = tmp_path / "lake.parquet"
    assert export_parquet(lake, dest) == 3
    table = pandas.read_parquet(dest).set_index("name")
    assert table.loc["scan", "beam_energy_keV"] == 300.0
    assert list(table.loc["scan", "shape"]) == [2, 3, 4, 5]
    assert table.loc["scan", "mixed"] == "3"
    assert json.loads(table.loc["scan", "record"]) == lake["scan"].json()
    with pytest.raises(StoreExistsError):
        export_parquet(lake, dest)


def test_parquet_says_what_it_needs(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without pyarrow the message names it, and nothing is left behind."""
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingDependencyError, match="pip install"):
        export_parquet(lake, tmp_path / "lake.parquet")
    assert not (tmp_path / "lake.parquet").exists()


def test_a_sound_lake_has_no_findings(lake: Lake) -> None:
    """Stores that stemzarr wrote fit the schema."""
    lake.tag("scan", "good")
    assert list(validate_lake(lake)) == []


def test_what_is_wrong_is_found(lake: Lake, add: Add, tmp_path: Path) -> None:
    """Attributes, strays, links, notes of nobody, and a lost YAML, each with what to do."""
    add("wrong", attributes={"nested": [1, 2]})
    (add("broken") / "zarr.json").write_text("{")
    (lake.stores / "stray.txt").write_text("x")
    (lake.stores / "link.zarr").symlink_to(tmp_path, target_is_directory=True)
    add("spaced").rename(lake.stores / "two words.zarr")
    (lake.path / "notes" / "nobody.json").write_text("{}")
    again = open_lake(lake.path)
    again.yaml.write_text("sources: {}\n")
    found = {Path(finding.path).name: finding.message for finding in validate_lake(again)}
    assert "nested" in found["wrong.zarr"]
    assert "broken.zarr" in found
    assert "is not a store" in found["stray.txt"]
    assert "is a link" in found["link.zarr"]
    assert "two_words.zarr" in found["two words.zarr"]
    assert "does not exist" in found["nobody.json"]
    assert "differs" in found["catalog.yaml"]
    assert len(found) == 7


def test_sessions_are_days_of_a_person_at_an_instrument(lake: Lake, add: Add) -> None:
    """Each entry belongs to one session, the latest first, unknown days last."""
    add("second", instrument="titan x", operator="Ångström", acquired="2026-01-15T12:00:00")
    sessions = open_lake(lake.path).sessions()
    assert [(session.day, session.names) for session in sessions] == [
        ("2026-01-15", ("scan", "second")),
        ("2025-12-31", ("map",)),
        ("", ("overview",)),
    ]
    assert sessions[0].json()["specimens"] == ["SrTiO3"]
    assert [session.names for session in lake.sessions("graphene")] == [("map",)]


def test_a_calibration_is_found_at_once(lake: Lake) -> None:
    """The index follows, and the earlier value stays in the record."""
    lake.calibrate("scan", {"camera_length_mm": 230.0, "det_x.scale": 0.25})
    assert lake.search("camera_length=230mm det_x.scale=0.25").names == ["scan"]
    assert lake["scan"].source["revisions"][0]["changes"]
    assert open_lake(lake.path).search("camera_length=115mm").names == []
