"""The lake: its index follows the folders, and its folders alone."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from stemzarr.errors import (
    EntryNotFoundError,
    SchemaVersionError,
    SourceNotFoundError,
    StemzarrError,
)
from stemzarr.metadata.facts import FACT_NAMES
from stemzarr_catalog import Lake, find_lake, open_lake
from stemzarr_catalog.fields import FIELDS

Add = Callable[..., Path]


def test_reading_never_makes_a_lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening where there is none says so and leaves nothing behind."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STEMZARR_LAKE", raising=False)
    with pytest.raises(SourceNotFoundError, match="no lake"):
        open_lake()
    assert list(tmp_path.iterdir()) == []


def test_the_lake_is_looked_for_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lake_path: Path
) -> None:
    """The argument wins over the variable, over the enclosing lake, over the default."""
    inside = lake_path / "stores" / "deep"
    inside.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STEMZARR_LAKE", raising=False)
    assert find_lake() == tmp_path / "stemzarr-lake"
    monkeypatch.chdir(inside)
    assert find_lake() == lake_path
    monkeypatch.setenv("STEMZARR_LAKE", str(tmp_path / "other"))
    assert find_lake() == tmp_path / "other"
    assert find_lake(tmp_path / "given") == tmp_path / "given"


def test_a_lake_is_a_mapping_of_its_entries(lake: Lake) -> None:
    """Names are sorted; an unknown one is told with the nearest known ones."""
    assert list(lake) == ["map", "overview", "scan"]
    assert len(lake) == 3
    assert "scan" in lake
    assert "Scan" not in lake
    with pytest.raises(EntryNotFoundError, match="did you mean scan"):
        lake["scann"]
    with pytest.raises(EntryNotFoundError):
        lake["../stores/scan"]


def test_an_entry_says_what_it_is(lake: Lake) -> None:
    """What ``ls --json`` prints is plain JSON with the promised keys."""
    found = lake["scan"].json()
    promised = {"name", "title", "kind", "dims", "shape", "dtype", "facts", "source", "store"}
    assert promised | {"documents"} <= set(found)
    assert found["facts"]["beam_energy_keV"] == 300.0
    assert [document["slug"] for document in found["documents"]] == ["main", "survey"]
    assert found["documents"][1]["dims"] == ["y", "x"]
    assert found["documents"][0]["axes"][0]["scale"] == 0.5


def test_stores_that_come_and_go_are_noticed(lake: Lake, add: Add) -> None:
    """The folder is the truth: a store copied in is found, a deleted one is forgotten."""
    add("later", beam_energy_keV=60.0)
    shutil.rmtree(lake["map"].path)
    add("scan", beam_energy_keV=200.0)
    again = open_lake(lake.path)
    assert list(again) == ["later", "overview", "scan"]
    assert again["scan"].facts["beam_energy_keV"] == 200.0
    assert again.search("SrTiO3").names == []
    sources = yaml.safe_load(lake.yaml.read_text(encoding="utf-8"))["sources"]
    assert list(sources) == ["lake", "later", "overview", "scan"]


def test_symbolic_links_and_hidden_folders_are_no_stores(
    lake: Lake, tmp_path: Path, add: Add
) -> None:
    """A link could make the lake read or delete elsewhere; a hidden folder is unfinished."""
    elsewhere = add("elsewhere").rename(tmp_path / "elsewhere.zarr")
    (lake.stores / "link.zarr").symlink_to(elsewhere, target_is_directory=True)
    add("x").rename(lake.stores / ".x.zarr")
    assert list(open_lake(lake.path)) == ["map", "overview", "scan"]


def test_a_store_that_cannot_be_read_is_a_problem_and_no_obstacle(lake: Lake, add: Add) -> None:
    """Damage, and a newer schema, are told; the other entries stay."""
    newer = add("newer") / "zarr.json"
    newer.write_text(newer.read_text().replace('"stemzarr_schema":1', '"stemzarr_schema":99'))
    (add("broken") / "zarr.json").write_text("{")
    again = open_lake(lake.path)
    assert list(again) == ["map", "overview", "scan"]
    assert "update stemzarr" in again.problems["newer"]
    assert "broken" in again.problems["broken"]
    add("broken")
    mended = open_lake(lake.path)
    assert "broken" in mended
    assert list(mended.problems) == ["newer"]


def test_a_damaged_or_missing_index_is_made_anew(lake: Lake) -> None:
    """The index is a cache: garbage, an empty file or none at all cost nothing but time."""
    lake.tag("scan", "kept")
    index = lake.path / "catalog.sqlite"
    expected = [entry.json() for entry in lake.search()]
    for content in (b"garbage" * 1000, b"", None):
        index.unlink()
        if content is not None:
            index.write_bytes(content)
        assert [entry.json() for entry in open_lake(lake.path).search()] == expected
    with index.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 40960)
    damaged = open_lake(lake.path)
    damaged.rebuild()
    assert [entry.json() for entry in damaged.search()] == expected


def test_an_index_of_a_newer_version_is_refused(lake: Lake) -> None:
    """What a newer stemzarr made is left alone."""
    connection = sqlite3.connect(lake.path / "catalog.sqlite")
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    with pytest.raises(SchemaVersionError, match="update stemzarr"):
        open_lake(lake.path)


def test_a_lake_can_be_moved_and_read_without_writing(lake: Lake, tmp_path: Path) -> None:
    """Moved and opened read-only, it finds and names everything at its new place."""
    lake.tag("scan", "good")
    moved = tmp_path / "moved lake"
    lake.path.rename(moved)
    before = {path: path.stat().st_mtime_ns for path in moved.rglob("*")}
    again = open_lake(moved, read_only=True)
    assert again.search("tag=good").names == ["scan"]
    assert again["scan"].path == moved / "stores" / "scan.zarr"
    assert {path: path.stat().st_mtime_ns for path in moved.rglob("*")} == before


@pytest.mark.parametrize("read_only", [False, True])
def test_a_copied_lake_reads_no_store_again(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read_only: bool
) -> None:
    """A copy has other modification times; what its stores say is the same."""
    lake.tag("scan", "good")
    copied = tmp_path / "copied"
    shutil.copytree(lake.path, copied, copy_function=shutil.copyfile)

    def never(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr("stemzarr_catalog.reconcile.read_record", never)
    again = open_lake(copied, read_only=read_only)
    assert again.search("tag=good").names == ["scan"]
    assert again.problems == {}
    assert list(open_lake(copied, read_only=read_only)) == list(lake)


def test_a_read_only_lake_shows_what_its_index_does_not_know(lake: Lake, add: Add) -> None:
    """A store that came since is found in memory; the file stays as it is."""
    index = (lake.path / "catalog.sqlite").read_bytes()
    add("later")
    assert "later" in open_lake(lake.path, read_only=True)
    assert (lake.path / "catalog.sqlite").read_bytes() == index


def test_a_lake_that_is_open_for_reading_refuses_changes(lake: Lake, tmp_path: Path) -> None:
    """Nothing is written, and the message says why."""
    again = open_lake(lake.path, read_only=True)
    for change in (
        lambda: again.tag("scan", "x"),
        lambda: again.remove("scan"),
        again.rebuild,
        lambda: again.calibrate("scan", {"camera_length_mm": 1.0}),
        lambda: again.ingest(tmp_path / "scan.dm4"),
    ):
        with pytest.raises(StemzarrError):
            change()
    assert list(open_lake(lake.path)) == ["map", "overview", "scan"]
    assert lake["scan"].facts["camera_length_mm"] == 115.0


def test_a_rebuild_forgets_what_killed_processes_left(lake: Lake, add: Add) -> None:
    """Stores that were moved aside long ago go; unfinished ingests stay, to be resumed."""
    old = add("old").rename(lake.stores / ".scan.zarr.1.2.old")
    unfinished = lake.stores / ".scan.zarr.ingest"
    unfinished.mkdir()
    lake.rebuild()
    assert old.exists()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stemzarr_catalog.index_manager._LEFT_ALONE_SECONDS", -1.0)
        lake.rebuild()
    assert not old.exists()
    assert unfinished.exists()
    assert list(lake) == ["map", "overview", "scan"]


def test_removing_takes_the_store_and_its_notes(lake: Lake) -> None:
    """Nothing of the entry is left; the others are untouched."""
    lake.tag("scan", "good")
    lake.remove("scan")
    assert "scan" not in lake
    left = {path.name for path in (*lake.stores.iterdir(), *(lake.path / "notes").iterdir())}
    assert left == {"map.zarr", "overview.zarr"}
    with pytest.raises(EntryNotFoundError):
        lake.remove("scan")
    assert list(open_lake(lake.path)) == ["map", "overview"]


def test_notes_survive_a_rebuild_and_are_found(lake: Lake) -> None:
    """Tags, remark, own fields and exports are fields of queries, before and after."""
    lake.tag("scan", "good", "thick", remark="look at the grain boundary", fields={"grain": 3})
    lake.tag("scan", remove=("THICK",))
    lake.add_export("scan", {"dest": "scan.pt", "format": "pt"})
    for _ in range(2):
        for query in ("tag=good", "grain=3", "grain>2", "boundary", "exports>0", "remark~grain"):
            assert lake.search(query).names == ["scan"], query
        assert lake.search("tag=thick").names == []
        assert lake["scan"].notes.exports == ({"dest": "scan.pt", "format": "pt"},)
        lake.rebuild()


def test_notes_written_by_hand_are_noticed(lake: Lake) -> None:
    """A file of notes that an editor changed is read again, a broken one is named."""
    lake.tag("scan", "good")
    path = lake.notes_path("scan")
    path.write_text('{"tags": ["by hand"]}', encoding="utf-8")
    assert open_lake(lake.path)["scan"].notes.tags == ("by hand",)
    path.write_text("{", encoding="utf-8")
    broken = open_lake(lake.path)
    assert "scan" in broken
    assert "notes" in broken.problems["scan"]


def test_the_yaml_is_restored(lake: Lake) -> None:
    """A catalog.yaml that was lost is written again on opening."""
    text = lake.yaml.read_text(encoding="utf-8")
    lake.yaml.unlink()
    open_lake(lake.path)
    assert lake.yaml.read_text(encoding="utf-8") == text


def test_a_table_has_a_row_for_each_entry(lake: Lake) -> None:
    """The DataFrame holds the facts as columns."""
    table = lake.search().to_dataframe()
    assert list(table.index) == ["map", "overview", "scan"]
    assert table.loc["scan", "specimen"] == "SrTiO3"
    assert lake.search("kind=spectrum").to_dataframe().empty


def test_a_list_says_what_the_entries_say(lake: Lake) -> None:
    """A brief holds what its entry holds, in the same order, whatever the query and sorting."""
    for asked in ({}, {"query": "kind=4d-stem"}, {"sort": "acquired", "limit": 2}):
        entries, briefs = lake.search(**asked), lake.briefs(**asked)
        assert [brief.name for brief in briefs] == entries.names
        for brief, entry in zip(briefs, entries, strict=True):
            told = (brief.title, brief.kind, brief.shape, brief.dtype, brief.size)
            expected = (entry.title, entry.kind, entry.shape, entry.dtype, entry.source["size"])
            assert told == expected
            assert brief.acquired == entry.facts.get("acquired", "")


def test_facets_count_every_entry_once(lake: Lake) -> None:
    """The counts of a facet sum up to the entries of the query."""
    for field in ("kind", "beam_energy_keV", "specimen", "det_x.scale", "complete"):
        assert sum(lake.facets(field).values()) == 3
    assert lake.facets("kind") == {"4d-stem": 2, "image": 1}
    assert lake.facets("kind", "specimen~graphene") == {"4d-stem": 1}
    assert lake.facets("specimen")[None] == 1


def test_every_fact_is_a_field_of_queries() -> None:
    """No fact that the schema knows is missing among the fields."""
    assert set(FACT_NAMES) <= set(FIELDS)
