"""The commands by which data reach others: ``publish`` and ``catalog describe``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stemzarr.options import IngestOptions
from stemzarr.testing import write_synthetic_dm4
from stemzarr_catalog import Lake, open_lake
from stemzarr_cli.program import run


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Return a lake with two scans and a virtual one."""
    lake = open_lake(tmp_path / "lake", create=True)
    for number, name in enumerate(("a", "b", "v")):
        write_synthetic_dm4(tmp_path / f"{name}.dm4", (3, 4), (8, 8), seed=number)
        options = IngestOptions(sync=False, virtual=name == "v")
        lake.ingest(tmp_path / f"{name}.dm4", options=options)
    lake.tag("a", "good")
    return lake


def test_the_commands_say_what_they_do(
    lake: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """JSON lines, notes on what is not published, a plan that changes nothing, wrong usage."""

    def call(*words: str, status: int = 0) -> tuple[list[dict[str, Any]], str]:
        assert run([*words, "--json"]) == status
        said = capsys.readouterr()
        return [json.loads(line) for line in said.out.splitlines()], said.err

    place, dest = ["--lake", str(lake.path)], tmp_path / "public"
    planned, _ = call("publish", "--query", "name=a", str(dest), "--dry-run", *place)
    assert not dest.exists()
    done, notes = call("publish", "--query", "name=a", str(dest), "--no-notes", *place)
    told = ("name", "status", "files", "nbytes", "kept", "dest")
    assert [done[0][key] for key in told] == [planned[0][key] for key in told]
    assert "lake.toml" in notes
    assert "known.jsonl" in notes
    assert "--redact" in notes
    assert not (dest / "notes" / "a.json").exists()
    lines, _ = call("publish", str(lake.path), str(dest), status=1)
    assert {one["name"]: one["status"] for one in lines} == {
        "a": "unchanged",
        "b": "published",
        "v": "failed",
    }
    call("publish", "b", str(tmp_path / "b.zarr"), *place)
    call("publish", "b", str(dest), *place, status=2)
    call("publish", "b", *place, status=2)
    call("publish", "b", str(tmp_path / "c.zarr"), "--sha256", *place, status=2)
    assert run(["publish", "b", str(tmp_path / "b.zarr"), *place]) == 0
    assert "unchanged" in capsys.readouterr().out


def test_a_lake_is_described_once(
    lake: Lake, tmp_path: Path, say: Callable[..., list[dict[str, Any]]]
) -> None:
    """What is given is kept; what is given again takes its place; a wrong value changes nothing."""
    place = ["--lake", lake.path]
    say("catalog", "describe", "--title", "x", *place, status=2)
    first = ["--title", "x", "--creator", "Doe, Jane; 0000-0002-1825-0097; TU", "--creator", "Lab"]
    [done] = say("catalog", "describe", *first, "--licence", "CC0-1.0", *place)
    assert done["changed"]
    assert [one["name"] for one in done["creators"]] == ["Doe, Jane", "Lab"]
    more = ["--related", "https://doi.org/10.1/x; Cites", "--keyword", "a", "--funding", "ERC; 7"]
    say("catalog", "describe", *more, *place, status=2)
    more[1] = "https://doi.org/10.1000/x; Cites"
    [done] = say("catalog", "describe", *more, "--title", "y", *place)
    assert (done["title"], done["related"][0]["doi"]) == ("y", "10.1000/x")
    [same] = say("catalog", "describe", *place)
    assert not same["changed"]
    [written] = say(
        "catalog", "export", tmp_path / "cite", "name=a", "--format", "citation", *place
    )
    assert written["entries"] == 1
    assert json.loads((tmp_path / "cite" / "datacite.json").read_text())["titles"] == [
        {"title": "y"}
    ]
