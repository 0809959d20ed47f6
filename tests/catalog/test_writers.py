"""Many processes write one lake, and some are killed: no entry is lost or doubled."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from stemzarr.testing import DMImage, write_dm
from stemzarr_catalog import open_lake

WORK = """
import sys
from pathlib import Path
from stemzarr.options import IngestOptions
from stemzarr_catalog import open_lake
lake = open_lake(sys.argv[1])
for source in sys.argv[2:]:
    lake.ingest(source, options=IngestOptions(sync=False, threads=1))
    lake.tag(Path(source).stem, f"by {sys.argv[2][-5:]}")
"""


def start(lake: Path, sources: list[Path]) -> subprocess.Popen[bytes]:
    """Start a process that ingests and tags all sources."""
    command = [sys.executable, "-c", WORK, str(lake), *map(str, sources)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def write_sources(folder: Path, count: int) -> list[Path]:
    """Write small files of different counts."""
    folder.mkdir()
    sources = [folder / f"scan{number:02d}.dm4" for number in range(count)]
    for number, source in enumerate(sources):
        counts = np.random.default_rng(number).poisson(1.0, (2, 2, 4, 4)).astype(np.uint16)
        write_dm(source, [DMImage(data=counts)], thumbnail=False)
    return sources


def check_yaml(lake: Path) -> None:
    """Assert that the YAML is whole at this moment."""
    content = yaml.safe_load((lake / "catalog.yaml").read_text(encoding="utf-8"))
    assert "lake" in content["sources"]


@pytest.mark.slow
@pytest.mark.parametrize(("processes", "files", "kills"), [(4, 5, 3)])
def test_every_store_is_there_once(
    lake_path: Path, tmp_path: Path, processes: int, files: int, kills: int
) -> None:
    """Killed at random moments and started again, all writers end, and the lake is sound."""
    random_ = random.Random(0)
    sources = write_sources(tmp_path / "data", files)
    orders = [random_.sample(sources, files) for _ in range(processes)]
    running = [(start(lake_path, order), order) for order in orders]
    while running:
        check_yaml(lake_path)
        number = random_.randrange(len(running))
        process, order = running[number]
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
        if kills and process.poll() is None and random_.random() < 0.05:
            process.kill()
            kills -= 1
        if process.poll() is None:
            continue
        _, error = process.communicate()
        if process.returncode == 0:
            running.pop(number)
        else:
            assert process.returncode < 0, error.decode()
            running[number] = (start(lake_path, order), order)
    names = [source.stem for source in sources]
    lake = open_lake(lake_path)
    assert list(lake) == names
    assert sorted(path.name for path in lake.stores.glob("*.zarr")) == [f"{n}.zarr" for n in names]
    listed = yaml.safe_load(lake.yaml.read_text(encoding="utf-8"))["sources"]
    assert list(listed) == ["lake", *names]
    assert lake.problems == {}
    before = [entry.json() for entry in lake.search()]
    assert {len(entry["notes"]["tags"]) for entry in before} == {
        len({str(order[0])[-5:] for order in orders})
    }
    lake.rebuild()
    assert [entry.json() for entry in lake.search()] == before
    left = [path.name for path in lake.stores.iterdir() if path.name.startswith(".")]
    assert [name for name in left if not name.endswith(".lock")] == []
