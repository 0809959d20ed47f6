"""Processes that publish or ingest into a bucket are killed: absent or complete, then the same."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stemzarr.errors import SourceNotFoundError
from stemzarr.options import IngestOptions, PublishOptions
from stemzarr.registry import read_source
from stemzarr.storage.address import RemotePath, as_source
from stemzarr.storage.remote import RemoteFolder
from stemzarr.store import publish_store, read_store, verify_store, write_store
from stemzarr.store.format import plan
from stemzarr.testing import write_synthetic_dm4

pytest.importorskip("obstore")
pytest.importorskip("moto.moto_server.werkzeug_app")
from stemzarr.testing.web import serve_bucket

# The server of the tests compares no checksums, and a resumed ingest says so.
pytestmark = pytest.mark.filterwarnings("ignore:the server")
KILLS = 30 if "STEMZARR_THOROUGH" in os.environ else 1
RECORD = {"zarr.json", "source/zarr.json", "source/manifest/c/0"}
"""What tells when an ingest finished, and the digest of that."""
SIZES = {"CHUNK_BYTES": 2**14, "_LEAST_SHARD": 2**16, "_SHARD_PATTERNS": 1}
"""Makes a small scan one of many shards."""
PROGRAM = f"""
import sys
from stemzarr.store.format import plan
vars(plan).update({SIZES})
sys.path.insert(0, sys.argv[1])
from test_trust_far_killed import send
send(*sys.argv[2:])
"""


def send(work: str, source: str, dest: str) -> None:
    """Publish a store, or ingest a file, into a bucket."""
    if work == "publish":
        publish_store(Path(source), as_source(dest), PublishOptions(threads=2))
    else:
        write_store(read_source(Path(source)), as_source(dest), IngestOptions(threads=2))


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """Serve a bucket."""
    with serve_bucket() as address:
        yield address


def look(place: RemoteFolder, dest: RemotePath, expected: set[str]) -> int:
    """See that a reader finds nothing, or all; return how many objects there are."""
    keys = set(place.list())
    try:
        read_store(dest)
    except SourceNotFoundError:
        assert "zarr.json" not in keys
    else:
        keys = set(place.list())
        assert keys == expected
    return len(keys)


@pytest.mark.slow
@pytest.mark.parametrize("work", ["publish", "ingest"])
def test_a_process_that_is_killed_leaves_a_whole_store_in_a_bucket_or_none(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, work: str
) -> None:
    """Killed when some number of objects is there; the next one ends with the same bytes."""
    scan, store = tmp_path / "x.dm4", tmp_path / "x.zarr"
    write_synthetic_dm4(scan, (32, 16), (32, 32))
    source = str(store if work == "publish" else scan)
    for name, size in SIZES.items():
        monkeypatch.setattr(plan, name, size)
    send("ingest", str(scan), str(store))
    files = {p.relative_to(store).as_posix(): p for p in store.rglob("*") if p.is_file()}
    killed = round_ = 0
    while killed < KILLS:
        round_ += 1
        assert round_ <= 3 * KILLS + 3, "the process ends before it can be killed"
        dest = as_source(f"{bucket}/{work}-{round_}/x.zarr")
        assert isinstance(dest, RemotePath)
        place = RemoteFolder(dest)
        at = random.randrange(1, len(files))
        call = [sys.executable, "-c", PROGRAM, str(Path(__file__).parent), work, source, str(dest)]
        process = subprocess.Popen(call)
        struck = False
        while not struck and process.poll() is None:
            struck = look(place, dest, set(files)) >= at
        process.kill()
        status = process.wait()
        assert struck or status == 0
        killed += status != 0
        if look(place, dest, set(files)) < len(files):
            send(work, source, str(dest))
        assert look(place, dest, set(files)) == len(files)
        assert verify_store(dest).ok
        same = files.keys() - (RECORD if work == "ingest" else set())
        assert [key for key in same if place.get(key) != files[key].read_bytes()] == []
