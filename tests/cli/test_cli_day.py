"""A day's folder: what is in it, what became of it, and nothing that a person has to look for."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stemzarr.testing import DMAxis, DMImage, write_dm, write_synthetic_dm4
from stemzarr_catalog import open_lake
from stemzarr_cli.program import run

Lines = list[dict[str, Any]]


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder: two scans and images of equal names, a copy, a cut file, a wrong one."""
    root = tmp_path_factory.mktemp("source") / "2026-01-15"
    for number in (1, 2):
        folder = root / f"Diff{number}"
        folder.mkdir(parents=True)
        write_synthetic_dm4(folder / "Diffraction SI.dm4", (3, 4), (8, 8), seed=number)
        image = np.full((5, 6), number, np.uint16)
        write_dm(
            folder / "ADF.dm4", [DMImage(data=image, axes=(DMAxis(scale=0.5, units="nm"),) * 2)]
        )
    shutil.copy(root / "Diff1" / "Diffraction SI.dm4", root / "Diff1" / "Diffraction SI copy.dm4")
    write_synthetic_dm4(root / "broken.dm4", (3, 4), (8, 8), seed=9)
    whole = (root / "broken.dm4").read_bytes()
    start = whole.index(np.asarray(scan_values(root / "broken.dm4")).tobytes()[:512])
    (root / "broken.dm4").write_bytes(whole[: start + 8 * 8 * 2 * 7 + 5])
    (root / "notes.dm4").write_text("no dm4")
    return root


def scan_values(path: Path) -> Any:
    """Return the values of the scan in a file."""
    import stemzarr

    with stemzarr.open(path) as scan:
        return scan.intensity.values


@pytest.fixture
def ingested(day: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[Path, str]:
    """Return the lake of the day, and what was said."""
    assert run(["ingest", str(day), "--lake", str(tmp_path / "lake")]) == 1
    return tmp_path / "lake", capsys.readouterr().out


def test_the_summary_tells_what_became_of_each(ingested: tuple[Path, str]) -> None:
    """Numbers, names, reasons and sizes in one sentence; names begin with what differs."""
    lake, said = ingested
    assert set(open_lake(lake)) == {f"Diff{n}-{s}" for n in "12" for s in ("ADF", "Diffraction_SI")}
    lines = said.splitlines()
    assert len(lines) == 4 + 1 + 1 + 1  # entries, copy, blank, summary
    assert lines[-1].startswith(
        "4 ingested, 1 is a copy of Diff1-Diffraction_SI, 2 failed: broken.dm4 (truncated; "
    )
    assert "--facts-from FILE" in lines[-1]
    assert "notes.dm4 (damaged, or not what its name says) · " in lines[-1]
    assert " → " in lines[-1]
    assert lines[-1].partition("next: ")[2].startswith("stemzarr ")


def test_nothing_is_next_where_all_failed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is no lake then, and nothing that could be listed."""
    for name in ("a.dm4", "b.dm4"):
        (tmp_path / name).write_text(f"junk {name}", encoding="utf-8")
    assert run(["ingest", str(tmp_path), "--lake", str(tmp_path / "lake")]) == 1
    assert "next:" not in capsys.readouterr().out
    assert not (tmp_path / "lake").exists()


def test_the_second_time_all_are_there(
    day: Path, ingested: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is written, and the copy is still told from its original."""
    lake = ingested[0]
    assert run(["ingest", str(day), "--lake", str(lake)]) == 1
    said = capsys.readouterr().out.splitlines()[-1]
    assert said.startswith(
        "4 were in the lake already, 1 is a copy of Diff1-Diffraction_SI, 2 failed"
    )


def test_info_and_dry_run_of_a_folder_are_one_table(
    day: Path, tmp_path: Path, ingested: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Each file, its state before and after, and the sum; nothing is written."""
    for words in (["info", day], ["ingest", day, "--dry-run"], [day]):
        assert run([*map(str, words), "--lake", str(tmp_path / "none")]) == 1
        captured = capsys.readouterr()
        assert not (tmp_path / "none").exists()
        lines = captured.out.splitlines()
        assert len(lines) == 2 + 7 + 2
        assert lines[-1].startswith("7 files, ")
        assert "4 new, 1 that looks like a copy, 1 truncated, 1 unreadable · about" in lines[-1]
        assert "Diff1/Diffraction SI copy.dm4" in captured.out
        assert len(captured.err.splitlines()) == 2
    assert run(["info", str(day), "--lake", str(ingested[0])]) == 1
    out = capsys.readouterr().out
    assert "5 in the lake already, 1 truncated, 1 unreadable" in out


def test_the_table_is_json_lines_too(day: Path, tmp_path: Path, say: Callable[..., Lines]) -> None:
    """A line a file, with its state; that of ``info`` is what ``info FILE`` gives."""
    lines = say("info", day, "--lake", tmp_path / "none", status=1)
    states = {Path(line["path"]).name: line["state"] for line in lines}
    assert states["broken.dm4"] == "truncated"
    assert states["notes.dm4"] == "unreadable"
    whole = [line for line in lines if line["state"] in ("new", "copy")]
    for line in whole:
        (alone,) = say("info", line["path"])
        assert {**alone, "state": line["state"]} == line
    plans = say("ingest", day, "--dry-run", "--lake", tmp_path / "none", status=1)
    assert sum("expected_bytes" in plan for plan in plans) == len(whole) == 5


def test_a_cut_scan_gets_what_it_lost_from_another(
    day: Path, tmp_path: Path, say: Callable[..., Lines], capsys: pytest.CaptureFixture[str]
) -> None:
    """Shape, calibration and facts; what is complete stays as its own file says."""
    other = day / "Diff2" / "Diffraction SI.dm4"
    words = ("--salvage", "--facts-from", other, "--lake", tmp_path / "lake")
    (line,) = say("ingest", day / "broken.dm4", *words)
    assert line["shape"] == [3, 4, 8, 8]
    found, known = open_lake(tmp_path / "lake")["broken"], say("info", other)[0]
    facts = known["documents"][[d["slug"] for d in known["documents"]].index(known["main"])][
        "facts"
    ]
    kept = {name: value for name, value in facts.items() if name not in ("acquired", "complete")}
    assert {name: found.facts.get(name) for name in kept} == kept
    assert found.facts["complete"] == 0
    assert "acquired" not in found.facts
    assert [axis["units"] for axis in found.document["axes"]] == ["nm", "nm", "1/nm", "1/nm"]
    with found.open() as scan:
        assert int(scan.valid.sum()) == 7
    assert run(["show", "broken", "--lake", str(tmp_path / "lake")]) == 0
    assert "7 of 12 patterns; the rest is masked" in capsys.readouterr().out
    (again,) = say("ingest", other, *words)
    assert again["status"] == "ingested"
    assert open_lake(tmp_path / "lake")[again["name"]].facts["acquired"]


def test_a_file_that_was_salvaged_is_known(
    day: Path, tmp_path: Path, say: Callable[..., Lines], capsys: pytest.CaptureFixture[str]
) -> None:
    """In the table of its folder and alone, until it is asked to be replaced."""
    cut = tmp_path / "disk" / "broken.dm4"
    cut.parent.mkdir()
    shutil.copy(day / "broken.dm4", cut)
    os.utime(cut, (1.7e9, 1.7e9))  # else it may have been written again in this tick of the clock
    words = ("--lake", tmp_path / "lake")
    say("ingest", cut, "--salvage", "--scan-shape", "3,4", *words)
    (row,) = say("info", cut.parent, *words)
    assert row == {"path": str(cut), "name": "broken", "error": None, "state": "known"}
    (plan,) = say("ingest", "--dry-run", cut, *words)
    assert plan == {"source": str(cut), "state": "known"}
    assert run(["info", str(cut.parent), *map(str, words)]) == 0
    assert "1 in the lake already" in capsys.readouterr().out
    assert run(["ingest", str(cut), "--salvage", *map(str, words)]) == 0
    assert run(["ingest", str(cut), "--dry-run", "--overwrite", *map(str, words)]) == 1


def test_facts_of_another_kind_of_file_are_refused(
    day: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An image knows nothing of a scan."""
    words = ["--salvage", "--scan-shape", "3,4", "--facts-from", str(day / "Diff1" / "ADF.dm4")]
    lake = str(tmp_path / "lake")
    assert run(["ingest", str(day / "broken.dm4"), *words, "--lake", lake]) == 1
    assert "a file of the same kind and detector" in capsys.readouterr().err


def test_salvage_is_asked_for_once(
    day: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The question says how much; after it all is done, which the status says."""
    import sys

    asked: list[str] = []
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(
        "stemzarr_cli.report.Report.ask", lambda _self, what, _question: not asked.append(what)
    )
    files = [day / "broken.dm4", day / "Diff2" / "Diffraction SI.dm4"]
    words = ["--facts-from", str(files[1]), "--lake", str(tmp_path / "lake")]
    assert run(["ingest", *map(str, files), *words]) == 0
    assert asked == ["broken.dm4 (7 of 12 patterns) can be recovered"]
    assert capsys.readouterr().out.splitlines()[-1].startswith("2 ingested · ")
