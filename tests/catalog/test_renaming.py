"""Another name for an entry: all that is under the old one is under the new one, or nothing is."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from stemzarr.errors import EntryNotFoundError, OptionError, StoreExistsError, WriteError
from stemzarr_catalog import Lake, open_lake
from stemzarr_catalog.validate import validate_lake


def test_an_entry_is_under_its_new_name_everywhere(lake: Lake) -> None:
    """Store, notes, index and catalog.yaml; what it was called before is found, and told."""
    lake.tag("scan", "good", fields={"grain": 3})
    content = lake["scan"].json()
    entry = lake.rename("scan", "Diff2-scan")
    assert entry.json() == {
        **content,
        "name": "Diff2-scan",
        "store": str(lake.store_path("Diff2-scan")),
        "notes": {**content["notes"], "formerly": ["scan"]},
    }
    for opened in (lake, open_lake(lake.path)):
        assert "scan" not in opened
        assert opened.search("tag=good grain=3").names == ["Diff2-scan"]
        assert "Diff2-scan" in opened.search("scan").names
    assert set(yaml.safe_load(lake.yaml.read_text())["sources"]) == {"lake", *lake}
    assert not lake.notes_path("scan").exists()
    assert not lake.store_path("scan").exists()
    assert list(validate_lake(lake)) == []
    with pytest.raises(EntryNotFoundError, match="it was renamed to Diff2-scan"):
        lake["scan"]
    lake.rename("Diff2-scan", "scan")
    assert lake["scan"].notes.formerly == ("Diff2-scan",)


def test_case_alone_can_change(lake: Lake) -> None:
    """Also where the file system takes both names for one."""
    lake.tag("scan", "good")
    assert lake.rename("scan", "Scan").name == "Scan"
    assert lake["Scan"].notes.tags == ("good",)
    assert list(validate_lake(lake)) == []


@pytest.mark.parametrize("new", ["map", "MAP", "lake", "a b", "con"])
def test_no_other_entry_and_no_impossible_name_is_taken(lake: Lake, new: str) -> None:
    """Nothing changes."""
    before = {path: path.stat().st_mtime_ns for path in lake.path.rglob("zarr.json")}
    with pytest.raises((StoreExistsError, OptionError)):
        lake.rename("scan", new)
    assert {path: path.stat().st_mtime_ns for path in lake.path.rglob("zarr.json")} == before
    assert list(lake) == ["map", "overview", "scan"]


def test_a_store_that_cannot_be_renamed_keeps_its_name_and_notes(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows while another program reads it."""
    lake.tag("scan", "good")

    def fail(*_: object) -> None:
        raise PermissionError(13, "is open elsewhere")

    with monkeypatch.context() as patch:
        patch.setattr("stemzarr_catalog.renaming.move", fail)
        with pytest.raises(WriteError, match="open elsewhere"):
            lake.rename("scan", "new")
    assert lake["scan"].notes.tags == ("good",)
    assert list(validate_lake(lake)) == []


def test_a_file_is_still_known_after_its_entry_was_renamed(lake_path: Path, tmp_path: Path) -> None:
    """It is recognised by its bytes, not by its name."""
    from stemzarr.testing import write_synthetic_dm4

    lake = open_lake(lake_path)
    write_synthetic_dm4(tmp_path / "scan.dm4", (2, 3), (8, 8))
    lake.ingest(tmp_path / "scan.dm4")
    lake.rename("scan", "new")
    copied = shutil.copy(tmp_path / "scan.dm4", tmp_path / "copy.dm4")
    for path in (tmp_path / "scan.dm4", copied):
        assert (lake.ingest(path).name, lake.ingest(path).status) == ("new", "unchanged")


def test_a_redacted_entry_forgets_its_former_names(lake_path: Path, tmp_path: Path) -> None:
    """They may hold the names of people, also where it is redacted after it was renamed."""
    from stemzarr.testing import write_synthetic_dm4

    lake = open_lake(lake_path)
    write_synthetic_dm4(tmp_path / "alice.dm4", (2, 3), (8, 8))
    lake.ingest(tmp_path / "alice.dm4")
    lake.rename("alice", "one")
    lake.redact("one")
    assert lake["one"].notes.formerly == ()
    lake.rename("one", "two")
    assert lake["two"].notes.formerly == ()
