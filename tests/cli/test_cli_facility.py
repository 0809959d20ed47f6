"""What a facility does with a large lake: scrub it in rotation, see its health, free a disk."""

from __future__ import annotations

import datetime as dt
import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stemzarr.errors import SourceChangedError
from stemzarr.options import IngestOptions
from stemzarr.store import verify_store
from stemzarr.store.ingest import write
from stemzarr.testing import write_synthetic_dm4
from stemzarr_catalog import Lake, moving, open_lake
from stemzarr_catalog.health import read_health
from stemzarr_catalog.moving import move_original, state_now
from stemzarr_catalog.verified import note_verification, oldest_first, read_verifications
from stemzarr_cli.program import run

OPTIONS = IngestOptions(sync=False, threads=1)
Say = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """Return a lake of three scans, whose originals are in a folder beside it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "disk").mkdir()
    opened = open_lake(tmp_path / "stemzarr-lake", create=True)
    for seed, name in enumerate("abc"):
        path = tmp_path / "disk" / f"{name}.dm4"
        write_synthetic_dm4(path, (2, 3), (6, 6), seed=seed)
        opened.ingest(path, options=OPTIONS)
    return opened


def damage(lake: Lake, name: str) -> None:
    """Flip a bit in the pixels of a store."""
    shard = next(
        path
        for path in (lake.store_path(name) / "intensity").rglob("*")
        if path.is_file() and path.name != "zarr.json"
    )
    content = bytearray(shard.read_bytes())
    content[len(content) // 3] ^= 1
    shard.write_bytes(content)


def test_stores_are_verified_in_rotation(lake: Lake, say: Say) -> None:
    """First those that never were, then those that were longest ago."""
    say("verify", "b")
    assert oldest_first(lake) == ["a", "c", "b"]
    assert [Path(one["path"]).stem for one in say("verify", "--all", "--oldest")] == ["a", "c", "b"]
    found = verify_store(lake.store_path("a"))
    for day, name in enumerate("cab"):
        now = dt.datetime(2100, 1, 1 + day, tzinfo=dt.UTC)
        note_verification(lake, name, found, lambda now=now: now)
    assert oldest_first(lake) == ["c", "a", "b"]


def test_the_time_is_kept(lake: Lake, say: Say, capsys: pytest.CaptureFixture[str]) -> None:
    """No store is begun when it is up, and how many are left is said."""
    assert say("verify", "--all", "--for", "0s") == []
    assert read_verifications(lake) == {}
    assert run(["verify", "--all", "--for", "0min"]) == 0
    assert "3 stores left for next time" in capsys.readouterr().err
    assert len(say("verify", "--all", "--for", "2h")) == 3
    assert run(["verify", "--all", "--for", "soon"]) == 2


def test_a_record_is_that_of_the_store(
    lake: Lake, say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It survives a rename and a crash, and ends when the source is ingested again."""
    say("verify", "a", "b")
    log = tmp_path / "stemzarr-lake" / "verified.jsonl"
    assert str(tmp_path) not in log.read_text(encoding="utf-8")
    say("rename", "a", "z")
    with log.open("a", encoding="utf-8") as file:
        file.write('{"store": "cut')
    assert sorted(read_verifications(lake)) == ["b", "z"]
    # The end of an ingest is noted to the second, and a quick machine does all this in one.
    monkeypatch.setattr(write, "utc_now", lambda: "2030-01-01T00:00:00+00:00")
    say("ingest", "disk/b.dm4", "--overwrite")
    assert list(read_verifications(lake)) == ["z"]
    reader = open_lake(lake.path, read_only=True)
    before = log.read_bytes()
    note_verification(reader, "c", verify_store(lake.store_path("c")))
    assert log.read_bytes() == before


def test_health_is_what_a_facility_asks(
    lake: Lake, say: Say, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is saved, what was not verified, what fails, what is there twice."""
    lake.ingest("disk/a.dm4", name="again", options=OPTIONS)
    damage(lake, "c")
    say("verify", "b")
    say("verify", "c", status=1)
    health = say("ls", "--health")[0]
    sources = [Path("disk") / f"{name}.dm4" for name in "aabc"]
    assert health["entries"] == 4
    assert health["source_bytes"] == sum(path.stat().st_size for path in sources)
    assert health["saved_bytes"] == health["source_bytes"] - health["stored_bytes"]
    assert set(health["unverified"]) == {"a", "again"}
    assert list(health["failing"]) == ["c"]
    assert [set(names) for names in health["duplicates"]] == [{"a", "again"}]
    assert run(["ls", "--health"]) == 0
    said = capsys.readouterr().out
    for words in ("4 entries", "2 stores", "a, again hold the same data", "c: 2 problems"):
        assert words in said
    for words in (["kind=image"], ["--limit", "1"], ["--sessions"], ["--sort", "name"]):
        assert run(["ls", "--health", *words]) != 0


def test_what_is_moved_has_a_receipt(lake: Lake, say: Say, tmp_path: Path) -> None:
    """Both of its commands give the file back, byte for byte."""
    contents = {name: (tmp_path / "disk" / f"{name}.dm4").read_bytes() for name in "abc"}
    found = say("verify", "--originals", "--move-to", "attic", "--wait", "0s")
    assert [one["name"] for one in found] == ["a", "b", "c"]
    assert list((tmp_path / "disk").iterdir()) == []
    lines = (tmp_path / "attic" / "receipt.jsonl").read_text(encoding="utf-8").splitlines()
    receipts = {one["entry"]: one for one in map(json.loads, lines)}
    for name, content in contents.items():
        assert Path(receipts[name]["moved_to"]).read_bytes() == content
        assert receipts[name]["bytes"] == len(content)
    if sys.platform != "win32":
        subprocess.run(shlex.split(receipts["a"]["to_move_back"]), check=True)
    assert run(shlex.split(receipts["b"]["to_rebuild"])[1:]) == 0
    for name in "ab" if sys.platform != "win32" else "b":
        assert (tmp_path / "disk" / f"{name}.dm4").read_bytes() == contents[name]
    assert len(read_verifications(lake)) == 3


def test_what_was_ingested_lately_waits(
    lake: Lake, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A week, unless another time is given."""
    assert run(["verify", "--originals", "--move-to", "attic"]) == 0
    assert "ingested recently" in capsys.readouterr().err
    assert not (tmp_path / "attic").exists()
    assert sorted(path.stem for path in (tmp_path / "disk").iterdir()) == ["a", "b", "c"]
    assert len(lake) == 3


def test_nothing_is_moved_after_a_comparison_that_failed(
    lake: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The disk may be failing: what comes before it in the list is moved, nothing behind it."""
    damage(lake, "b")
    assert run(["verify", "--originals", "--move-to", "attic", "--wait", "0s"]) == 1
    assert "nothing more is moved" in capsys.readouterr().err
    assert sorted(path.stem for path in (tmp_path / "disk").iterdir()) == ["b", "c"]


def test_no_other_file_is_replaced(lake: Lake, tmp_path: Path) -> None:
    """Where one is in the way, the original stays."""
    target = (tmp_path / "attic").joinpath(*(tmp_path / "disk" / "a.dm4").parts[1:])
    target.parent.mkdir(parents=True)
    target.write_text("mine", encoding="utf-8")
    assert run(["verify", "a", "--originals", "--move-to", "attic", "--wait", "0s"]) == 1
    assert target.read_text(encoding="utf-8") == "mine"
    assert (tmp_path / "disk" / "a.dm4").exists()
    assert run(["verify", "--originals", "--move-to", str(lake.path / "x")]) == 2
    assert run(["verify", "--originals", "--move-to", "disk/a.dm4"]) == 2
    assert run(["verify", "--move-to", "attic"]) == 2
    assert run(["verify", "--originals", "--wait", "1d"]) == 2


def test_to_another_file_system_a_copy_is_compared(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a crash left there is used, and what changed meanwhile is not moved."""
    monkeypatch.setattr(moving, "_is_near", lambda *_: False)
    path, entry = tmp_path / "disk" / "a.dm4", lake["a"]
    before, content = state_now(path), path.read_bytes()
    with pytest.raises(SourceChangedError):
        move_original(entry, path, tmp_path / "attic", (0, 0, 0))
    assert path.read_bytes() == content
    moved = move_original(entry, path, tmp_path / "attic", before)
    assert moved.read_bytes() == content
    assert moved.stat().st_mtime_ns == before[1]
    assert not path.exists()


def test_an_empty_lake_is_healthy(tmp_path: Path) -> None:
    """No division by nothing."""
    health = read_health(open_lake(tmp_path / "new", create=True))
    assert (health.entries, health.saved_bytes, health.oldest) == (0, 0, None)
