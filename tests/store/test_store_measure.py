"""A measure is added by one entry in one file: shown by applying the walk to a copy."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import stemzarr

ENTRY = """    Measure(
        name="detector_rows",
        dims=("scan_y", "scan_x", "row"),
        dtype=_float64,
        chunk=lambda patterns: patterns.values.reshape(-1, *patterns.mask.shape).sum(axis=2),
    ),
    Measure(
        name="least_intensity",
        dims=("det_y", "det_x"),
        dtype=_real_dtype,
        chunk=lambda patterns: patterns.values.min(axis=0),
        combine=np.minimum,
    ),
)
\"\"\"All measures,"""
"""Two entries: one over the scan with a dim of its own, one over the detector."""

WALK = """
import sys
from pathlib import Path

import numpy as np

import stemzarr
from stemzarr.errors import StemzarrError
from stemzarr.formats.writing.image import fold_previews
from stemzarr.options import IngestOptions
from stemzarr.pixels.resources import Resources
from stemzarr.store import open_previews, read_store, verify_store, write_store
from stemzarr.store.format import plan
from stemzarr.store.ingest import write
from stemzarr.testing.sources import document_of, source_of

plan.CHUNK_BYTES, plan._LEAST_SHARD, plan._SHARD_PATTERNS = 2**12, 2**14, 1


def main(folder):
    values = np.random.default_rng(0).poisson(2, (20, 16, 12, 16)).astype("u2") + np.uint16(3)
    source = source_of(folder / "scan.dm4", [document_of(values)])
    found = {}
    for name, how in {"one": {"threads": 1}, "threads": {"threads": 3}}.items():
        write_store(source, folder / f"{name}.zarr", IngestOptions(sync=False, **how))
        found[name] = open_previews(folder / f"{name}.zarr")
    found["resumed"] = resume(source, folder / "resumed.zarr")
    if "workers" in sys.argv:
        options = IngestOptions(sync=False, workers=2)
        write_store(source, folder / "workers.zarr", options)
        found["workers"] = open_previews(folder / "workers.zarr")
    for previews in found.values():
        assert previews["detector_rows"].dims == ("scan_y", "scan_x", "row")
        np.testing.assert_array_equal(previews["detector_rows"], values.sum(axis=3))
        np.testing.assert_array_equal(previews["least_intensity"], values.min(axis=(0, 1)))
        assert previews.identical(found["one"])
    assert verify_store(folder / "resumed.zarr").ok
    document = read_store(folder / "one.zarr").document
    made = fold_previews(document, Resources(threads=2, memory=2**16))
    np.testing.assert_array_equal(made["detector_rows"], found["one"]["detector_rows"])
    print("all the same:", *found)


def resume(source, dest):
    options, add = IngestOptions(sync=False, threads=1), write.Journal.add
    done = []

    def stop_after_two(journal, record):
        add(journal, record)
        done.append(record)
        if len(done) == 2:
            raise StemzarrError("stopped")

    write.Journal.add = stop_after_two
    try:
        write_store(source, dest, options)
        raise AssertionError("was not stopped")
    except StemzarrError:
        write.Journal.add = add
    assert write_store(source, dest, options).status == "resumed"
    return open_previews(dest)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
"""


def run_walk(copy: Path, folder: Path, *words: str) -> str:
    """Run the walk with a copy of the package, and return what it printed."""
    folder.mkdir()
    script = folder / "walk.py"
    script.write_text(WALK, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-B", str(script), str(folder), *words],
        env={**os.environ, "PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a copy of the package that has two measures more."""
    folder = tmp_path_factory.mktemp("copy")
    package = Path(stemzarr.__file__).parent
    shutil.copytree(package, folder / "stemzarr", ignore=shutil.ignore_patterns("__pycache__"))
    table = folder / "stemzarr" / "measure" / "measures.py"
    text = table.read_text(encoding="utf-8")
    assert text.count(')\n"""All measures,') == 1
    table.write_text(text.replace(')\n"""All measures,', ENTRY), encoding="utf-8")
    return folder


def test_a_measure_is_one_entry(copy: Path, tmp_path: Path) -> None:
    """Its array is written alike by any number of threads and a resumed ingest, and opened."""
    assert run_walk(copy, tmp_path / "run") == "all the same: one threads resumed\n"


def test_workers_know_the_measure(copy: Path, tmp_path: Path) -> None:
    """Processes of a cluster give the same array."""
    pytest.importorskip("distributed")
    assert "workers" in run_walk(copy, tmp_path / "run", "workers")
