"""The benchmark of the ingest runs, case by case, on a file that costs nothing."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "bench_ingest.py"
ELSEWHERE = {"hyperspy", "2 worker processes, started"}
"""Cases that are slow to start and are tested as such in other places."""


@pytest.fixture(autouse=True)
def beside_the_script(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the script import what stands beside it, as it does when it is run."""
    monkeypatch.syspath_prepend(SCRIPT.parent)


def test_every_case_runs_and_stands_in_the_table(tmp_path: Path) -> None:
    """Each case gives its time, size and memory; ratios stand where they have a meaning."""
    bench = runpy.run_path(str(SCRIPT))
    for layout in ("detector-fast", "scan-fast"):
        bench["write_synthetic_dm4"](tmp_path / f"{layout}.dm4", (4, 5), (16, 16), layout=layout)
    names = [case.name for case in bench["CASES"] if case.name not in ELSEWHERE]
    found = {name: [bench["run_case"](name, tmp_path)] for name in names}
    lines = bench["report"](found)
    assert len(lines) == 1 + len(names)
    for name in names:
        assert found[name][0]["seconds"] > 0
        assert found[name][0]["peak"] > 0
    (bare,) = [line for line in lines if line.startswith("bare zstd")]
    assert "ceiling zstd" in bare


def test_the_script_runs_a_case_in_a_process_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the command line: files are made, the case runs, the table is printed."""
    main = runpy.run_path(str(SCRIPT))["main"]
    shape = ["--scan", "4", "5", "--detector", "16", "16"]
    main([*shape, "--rounds", "1", "--folder", str(tmp_path), "--only", "bare zstd"])
    assert "bare zstd" in capsys.readouterr().out
