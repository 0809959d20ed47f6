"""The scripts in benchmarks run, on files that cost nothing."""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
SCAN, DETECTOR = (4, 6), (16, 16)


@pytest.fixture
def script(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import a benchmark by its name."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module(request.param)


@pytest.mark.parametrize("script", ["bench_codecs"], indirect=True)
def test_codecs_are_lossless_and_compared_with_the_default(
    script: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every setting of every kind of data has a cell; the default's own is one."""
    monkeypatch.setattr(script, "SCAN", (1, 3))
    monkeypatch.setattr(script, "DETECTOR", DETECTOR)
    found = {
        name: script.measure(list(script.chunks_of(make())), 1)
        for name, make in script.DATA.items()
    }
    rows = script.rows_of(found)
    assert len(rows) == len(script.SETTINGS)
    (default,) = [row for row in rows if "(default)" in row[0]]
    assert all(cell.endswith("×  1.00 1.00") for cell in default[1:])


@pytest.mark.parametrize("script", ["bench_start"], indirect=True)
def test_every_command_of_the_start_runs(script: Any, tmp_path: Path) -> None:
    """Whole processes end well, in the order in which they are measured."""
    from stemzarr.testing import write_synthetic_dm4

    write_synthetic_dm4(tmp_path / "tiny.dm4", SCAN, DETECTOR)
    commands = script.commands_in(tmp_path)
    for name in ("ingest tiny.dm4 again", "ls", "verify tiny"):
        run = script.run_process(commands[name])
        assert run.seconds > 0
        assert run.peak > 0


@pytest.mark.parametrize("script", ["bench_again"], indirect=True)
def test_a_second_ingest_is_measured(script: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every scan is ingested once, every copy is found to be one, and the second time all are."""
    monkeypatch.setattr(script, "SHAPE", (2, 2, 4, 4))
    assert set(script.run(3, 2)) == {"first_s", "again_s", "ratio"}


@pytest.mark.parametrize("script", ["bench_memory"], indirect=True)
def test_sources_of_any_size_are_made(script: Any, tmp_path: Path) -> None:
    """A hole reads as a scan of zeros, and takes no room on the disk."""
    from stemzarr.registry import read_source

    for layout in script.LAYOUTS:
        path = tmp_path / f"{layout}.dm4"
        script.write_hole(path, (32, 32), layout)
        document = read_source(path).document
        assert (document.shape, document.layout.order) == ((32, 32, *script.DETECTOR), layout)
        assert path.stat().st_blocks * 512 < path.stat().st_size / 10
    assert script.scan_shape(2) == (128, 128)


@pytest.mark.parametrize("script", ["bench_verify"], indirect=True)
def test_verifying_is_measured_beside_decoding(script: Any, tmp_path: Path) -> None:
    """All cases run on one store."""
    make_store(tmp_path)
    for run in script.cases_in(tmp_path).values():
        run()


@pytest.mark.parametrize("script", ["bench_reading"], indirect=True)
def test_reading_is_measured_beside_decoding(script: Any, tmp_path: Path) -> None:
    """Every door is measured, and each case says how many chunks it decodes."""
    make_store(tmp_path)
    cases = script.cases_in(tmp_path / "scan.zarr")
    for run, chunks in cases.values():
        run()
        assert chunks >= 0
    assert "chunks through its isel" in cases


@pytest.mark.parametrize("script", ["bench_virtual_images"], indirect=True)
def test_a_virtual_image_is_that_of_the_disk(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sum is that of the pixels nearer to the centre than the radius."""
    from stemzarr.testing import synthetic_scan

    make_store(tmp_path)
    monkeypatch.setattr(script, "WARM", 1)
    y, x, radius = script.disk_of(*DETECTOR)
    rows, columns = np.indices(DETECTOR)
    near = np.hypot(rows - y, columns - x) < radius
    wanted = synthetic_scan(SCAN, DETECTOR).to_array()[..., near].sum()
    assert script.run_job("stemzarr", tmp_path)["sum"] == wanted
    assert math.isnan(script.run_job("decode", tmp_path)["sum"])


@pytest.mark.leaves_open
@pytest.mark.parametrize("script", ["bench_writers"], indirect=True)
def test_writers_give_what_the_others_read(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our engine, zarrs, tensorstore and zarr-python write one array; all three read each."""
    monkeypatch.setattr(script, "SMALL", (SCAN, DETECTOR))
    script.prepare(tmp_path / "writers", full=False)
    for name in ("stemzarr", "zarrs, 2 shards at a time", "tensorstore", "zarr-python"):
        found = script.run_job(name, tmp_path / "writers")
        assert found["size"] > 0
        dest = tmp_path / "writers/out" / name.replace(" ", "-")
        assert script.check(tmp_path / "writers", dest) == "all three"


def make_store(folder: Path) -> None:
    """Make ``scan.dm4`` and ``scan.zarr``."""
    import stemzarr
    from stemzarr.testing import write_synthetic_dm4

    write_synthetic_dm4(folder / "scan.dm4", SCAN, DETECTOR)
    stemzarr.ingest(folder / "scan.dm4", folder / "scan.zarr")


@pytest.mark.parametrize("script", ["bench_isal"], indirect=True)
def test_decoding_is_timed_after_either_checksum(script: Any) -> None:
    """Every job runs, and has a time."""
    found = script.measure(script.make_jobs(), 1)
    assert len(found) == 3
    assert all(seconds > 0 for seconds in found.values())
