"""Interrupted, killed, out of disk, with a source that changes: a complete store or none."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stemzarr.errors import (
    OptionError,
    ReadError,
    SourceChangedError,
    SourceNotFoundError,
    StoreBusyError,
    WriteError,
)
from stemzarr.model import ArrayBlocks, Source, read_all, read_box
from stemzarr.options import IngestOptions
from stemzarr.registry import read_source
from stemzarr.storage.locks import FileLock
from stemzarr.store import read_record, read_store, verify_store, write_store
from stemzarr.store.ingest.journal import ShardRecord, open_journal
from stemzarr.testing import write_synthetic_dm4
from stemzarr.testing.sources import counted, document_of, source_of

NO_SYNC = IngestOptions(sync=False, threads=1)


@pytest.fixture(autouse=True)
def many_small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut small arrays into several shards of several chunks."""
    monkeypatch.setattr("stemzarr.store.format.plan.CHUNK_BYTES", 2**14)
    monkeypatch.setattr("stemzarr.store.format.plan._LEAST_SHARD", 2**16)
    monkeypatch.setattr("stemzarr.store.format.plan._SHARD_PATTERNS", 1)


@dataclass(frozen=True, slots=True)
class FailingBlocks:
    """Pixels that fail at one row."""

    inner: ArrayBlocks
    row: int
    error: BaseException

    @property
    def shape(self) -> tuple[int, ...]:
        """As of the array."""
        return self.inner.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """As of the array."""
        return self.inner.dtype

    @property
    def block_shape(self) -> tuple[int, ...]:
        """One row."""
        return (1, *self.inner.shape[1:])

    def read_into(self, out: NDArray[Any], start: Sequence[int]) -> None:
        """Fail where the row is wanted."""
        # The sample for the disk reads single patterns and must pass.
        if out.shape[1] > 1 and start[0] <= self.row < start[0] + out.shape[0]:
            raise self.error
        self.inner.read_into(out, start)


def bytes_of(store: Path) -> dict[str, bytes]:
    """Return all files but those that hold the time of the ingest."""
    timed = ("zarr.json", "source/zarr.json", "source/manifest/c/0", "source/manifest/zarr.json")
    return {
        path.relative_to(store).as_posix(): path.read_bytes()
        for path in store.rglob("*")
        if path.is_file() and path.relative_to(store).as_posix() not in timed
    }


def scan_of(folder: Path, error: BaseException | None = None) -> Source:
    """Return a source of 16 shards, that fails at the ninth row where an error is given."""
    values = counted((16, 8, 64, 64), seed=5)
    blocks = None if error is None else FailingBlocks(ArrayBlocks(values), 8, error)
    return source_of(folder / "source.bin", [document_of(values, blocks=blocks)])


def beside(folder: Path) -> list[str]:
    """Return what lies in the folder."""
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (KeyboardInterrupt(), KeyboardInterrupt),
        (OSError(errno.ENOSPC, "No space left on device"), WriteError),
        (ReadError("the disk fails", path="source.bin"), ReadError),
    ],
)
def test_what_stops_an_ingest_leaves_it_resumable(
    tmp_path: Path, error: BaseException, raised: type[BaseException]
) -> None:
    """Ctrl-C or an error shows nothing; the next ingest continues and gives the same bytes."""
    with pytest.raises(raised):
        write_store(scan_of(tmp_path, error), tmp_path / "x.zarr", NO_SYNC)
    assert beside(tmp_path) == [".x.zarr.ingest", "source.bin"]
    done: list[int] = []
    result = write_store(
        scan_of(tmp_path), tmp_path / "x.zarr", NO_SYNC, lambda part, _: done.append(part)
    )
    assert result.status == "resumed"
    assert done[0] > 0
    assert done[-1] == scan_of(tmp_path).document.nbytes
    write_store(scan_of(tmp_path), tmp_path / "y.zarr", replace(NO_SYNC, threads=4))
    assert bytes_of(tmp_path / "x.zarr") == bytes_of(tmp_path / "y.zarr")
    assert beside(tmp_path) == ["source.bin", "x.zarr", "y.zarr"]
    assert verify_store(tmp_path / "x.zarr").ok


def test_an_error_before_the_first_shard_leaves_nothing(tmp_path: Path) -> None:
    """Where there is nothing to resume, nothing stays."""
    values = counted((4, 4, 8, 8))
    failing = FailingBlocks(ArrayBlocks(values), 0, ReadError("fails", path="source.bin"))
    source = source_of(tmp_path / "source.bin", [document_of(values, blocks=failing)])
    with pytest.raises(ReadError):
        write_store(source, tmp_path / "x.zarr", NO_SYNC)
    assert beside(tmp_path) == ["source.bin"]


def interrupted(folder: Path) -> None:
    """Leave a half-written ingest behind."""
    with pytest.raises(KeyboardInterrupt):
        write_store(scan_of(folder, KeyboardInterrupt()), folder / "x.zarr", NO_SYNC)


def test_a_changed_source_starts_afresh_and_says_so(tmp_path: Path) -> None:
    """Shards of the earlier content are not used."""
    interrupted(tmp_path)
    (tmp_path / "source.bin").write_bytes(b"another content")
    result = write_store(scan_of(tmp_path), tmp_path / "x.zarr", NO_SYNC)
    assert result.status == "ingested"
    assert any("source changed" in note for note in result.notes)


def test_changed_options_start_afresh_and_say_so(tmp_path: Path) -> None:
    """Shards of another codec are not used; other threads or memory change nothing."""
    interrupted(tmp_path)
    options = replace(NO_SYNC, threads=3, memory=64 * 1024**2)
    assert write_store(scan_of(tmp_path), tmp_path / "x.zarr", options).status == "resumed"
    interrupted_again = tmp_path / "again"
    interrupted_again.mkdir()
    interrupted(interrupted_again)
    result = write_store(
        scan_of(interrupted_again), interrupted_again / "x.zarr", replace(NO_SYNC, codec="lz4")
    )
    assert result.status == "ingested"
    assert any("the options and plan changed" in note for note in result.notes)


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "gone", "shard", "partial"])
def test_a_damaged_journal_never_spoils_the_store(tmp_path: Path, damage: str) -> None:
    """Whatever is broken of the unfinished ingest is done again."""
    interrupted(tmp_path)
    folder = tmp_path / ".x.zarr.ingest"
    journal = folder / "journal"
    content = journal.read_bytes()
    shards = [path for path in (folder / "tree").rglob("*") if path.is_file()]
    partials = list((folder / "partials").iterdir())
    match damage:
        case "cut":
            journal.write_bytes(content[:-20])
        case "flip":
            journal.write_bytes(content.replace(b'"size"', b'"sixe"', 1))
        case "empty":
            journal.write_bytes(b"")
        case "gone":
            journal.unlink()
        case "shard":
            shards[0].write_bytes(shards[0].read_bytes()[:-1])
        case "partial":
            partials[0].write_bytes(b"")
    write_store(scan_of(tmp_path), tmp_path / "x.zarr", NO_SYNC)
    assert verify_store(tmp_path / "x.zarr").ok
    document = read_store(tmp_path / "x.zarr").document
    found = read_all(document.blocks)
    np.testing.assert_array_equal(found, counted((16, 8, 64, 64), seed=5))


def test_a_line_cut_off_by_a_crash_does_not_swallow_the_next(tmp_path: Path) -> None:
    """After a torn line the journal is whole again and later lines count."""
    folder = tmp_path / "ingest"
    record = ShardRecord(
        array=0,
        number=0,
        path="c/0",
        size=0,
        digest="",
        chunks="",
        lengths=[10, 0],
        partial=None,
        partial_digest=None,
    )
    journal, _ = open_journal(folder, {"source": 1}, lambda **_: None, sync=False)
    journal.add(record)
    with (folder / "journal").open("ab") as file:
        file.write(b"0123456789abcdef {torn")
    open_journal(folder, {"source": 1}, lambda **_: None, sync=False)
    lines = (folder / "journal").read_bytes().splitlines()
    assert all(b"torn" not in line for line in lines)


def test_a_source_that_changes_meanwhile_is_refused(tmp_path: Path) -> None:
    """Rewritten while it is read: an error, nothing visible, nothing to resume."""
    source = scan_of(tmp_path)

    def touch(_done: int, _total: int) -> None:
        source.path.write_bytes(b"changed in between")

    with pytest.raises(SourceChangedError, match="changed"):
        write_store(source, tmp_path / "x.zarr", NO_SYNC, touch)
    assert beside(tmp_path) == ["source.bin"]


@pytest.mark.parametrize("layout", ["detector-fast", "scan-fast"])
def test_a_dm4_that_shrinks_meanwhile_is_refused(tmp_path: Path, layout: Any) -> None:
    """Cut while it is read: an error that names the file, nothing visible."""
    path = tmp_path / "scan.dm4"
    write_synthetic_dm4(path, (16, 8), (32, 32), layout=layout)
    source = read_source(path)
    with path.open("rb+") as file:
        file.truncate(path.stat().st_size // 2)
    os.utime(path, ns=(source.modified_ns, source.modified_ns))
    with pytest.raises(SourceChangedError, match=r"scan\.dm4"):
        write_store(source, tmp_path / "x.zarr", NO_SYNC)
    assert beside(tmp_path) == ["scan.dm4"]


def test_a_full_disk_is_said_and_the_rest_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ENOSPC while a shard is written: what to do is said, no store is visible, it continues."""
    from stemzarr.store.format.shard import ShardWriter

    append, calls = ShardWriter.append, []

    def fail(self: ShardWriter, number: int, *pieces: bytes) -> None:
        calls.append(number)
        if len(calls) > 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        append(self, number, *pieces)

    with monkeypatch.context() as patch:
        patch.setattr(ShardWriter, "append", fail)
        with pytest.raises(WriteError, match=r"No space left.*free space.*same command continues"):
            write_store(scan_of(tmp_path), tmp_path / "x.zarr", NO_SYNC)
    assert not (tmp_path / "x.zarr").exists()
    assert write_store(scan_of(tmp_path), tmp_path / "x.zarr", NO_SYNC).status == "resumed"
    assert verify_store(tmp_path / "x.zarr").ok


def test_only_one_ingest_of_a_store_at_a_time(tmp_path: Path) -> None:
    """The second is told who writes; afterwards it may."""
    with (
        FileLock(tmp_path / ".x.zarr.lock"),
        pytest.raises(StoreBusyError, match=rf"x\.zarr is being written by process {os.getpid()}"),
    ):
        write_store(scan_of(tmp_path), tmp_path / "x.zarr", NO_SYNC)
    write_store(scan_of(tmp_path), tmp_path / "x.zarr", NO_SYNC)


KILLED = """
import sys
from pathlib import Path
import stemzarr.store.format.plan as plan
plan.CHUNK_BYTES, plan._LEAST_SHARD, plan._SHARD_PATTERNS = 2**14, 2**16, 1
from stemzarr.options import IngestOptions
from stemzarr.registry import read_source
from stemzarr.store import write_store
print("ready", flush=True)
sys.stdin.readline()
write_store(read_source(Path(sys.argv[1])), Path(sys.argv[2]), IngestOptions(threads=2))
"""


def test_killed_at_any_moment_it_resumes_to_the_same_bytes(tmp_path: Path) -> None:
    """SIGKILL after ever longer times: never a half-written store, in the end the same one."""
    scan, store = tmp_path / "scan.dm4", tmp_path / "x.zarr"
    write_synthetic_dm4(scan, (32, 16), (32, 32))
    write_store(read_source(scan), tmp_path / "whole.zarr", NO_SYNC)
    rng = np.random.default_rng(7)
    for attempt in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(scan), str(store)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "ready\n"
        process.stdin.write("go\n")
        process.stdin.flush()
        wait_for_journal(tmp_path / ".x.zarr.ingest/journal", int(rng.integers(1, 6)) + 4 * attempt)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdin.close()
        process.stdout.close()
        if store.exists():
            break
    if not store.exists():
        result = write_store(read_source(scan), store, NO_SYNC)
        assert result.status == "resumed"
    assert verify_store(store, source=scan).ok
    assert bytes_of(store) == bytes_of(tmp_path / "whole.zarr")


def wait_for_journal(journal: Path, lines: int) -> None:
    """Return when the journal has that many lines, or the ingest is over."""
    deadline = time.monotonic() + 20
    seen = False
    while time.monotonic() < deadline:
        try:
            count = journal.read_bytes().count(b"\n")
        except OSError:
            if seen:
                return
            continue
        seen = True
        if count >= lines:
            return


@pytest.mark.slow
def test_workers_give_the_same_store(tmp_path: Path) -> None:
    """Two worker processes of a local dask cluster write the bytes that threads write."""
    scan = tmp_path / "scan.dm4"
    write_synthetic_dm4(scan, (32, 16), (32, 32))
    write_store(read_source(scan), tmp_path / "threads.zarr", NO_SYNC)
    code = KILLED.replace("threads=2", "workers=2").replace("sys.stdin.readline()\n", "")
    main = "\n".join(f"    {line}" for line in code.splitlines())
    script = tmp_path / "ingest.py"
    script.write_text(f"if __name__ == '__main__':\n{main}\n")
    subprocess.run(
        [sys.executable, str(script), str(scan), str(tmp_path / "workers.zarr")],
        check=True,
        timeout=120,
        capture_output=True,
    )
    assert bytes_of(tmp_path / "workers.zarr") == bytes_of(tmp_path / "threads.zarr")


def test_a_scheduler_that_is_not_there_is_said(tmp_path: Path, monkeypatch: Any) -> None:
    """An address where nobody answers: one line that names it, nothing left behind."""
    from stemzarr.errors import WorkerError

    monkeypatch.setattr("stemzarr.store.ingest.cluster._TIMEOUT_S", 0.3)
    options = IngestOptions(sync=False, scheduler="tcp://127.0.0.1:9")
    with pytest.raises(WorkerError, match=r"127\.0\.0\.1:9"):
        write_store(scan_of(tmp_path), tmp_path / "x.zarr", options)
    assert beside(tmp_path) == ["source.bin"]


def test_a_virtual_store_reads_its_source(tmp_path: Path) -> None:
    """Labels at once, pixels from the source; moved or changed, it is noticed."""
    scan, store = tmp_path / "scan.dm4", tmp_path / "v.zarr"
    write_synthetic_dm4(scan, (4, 5), (8, 8))
    source = read_source(scan)
    write_store(source, store, IngestOptions(virtual=True, sync=False))
    assert not (store / "intensity").exists()
    virtual = read_store(store)
    for document in source.documents:
        other = virtual.find(document.slug)
        assert (other.dims, other.dtype) == (document.dims, document.dtype)
        for axis in document.axes:
            assert other.axis(axis.name).attributes() == axis.attributes()
        assert other.brightness == document.brightness
        box = ((0,) * len(document.shape), document.shape)
        np.testing.assert_array_equal(read_box(other.blocks, *box), read_box(document.blocks, *box))
    assert verify_store(store).ok
    assert read_record(store)["rebuildable"] is False
    blocks = virtual.document.blocks
    scan.rename(tmp_path / "moved.dm4")
    with pytest.raises(SourceNotFoundError, match="gone"):
        read_box(blocks, (0, 0, 0, 0), (1, 1, 8, 8))
    assert "gone" in verify_store(store).problems[0]
    scan.write_bytes((tmp_path / "moved.dm4").read_bytes() + b"x")
    with pytest.raises(SourceChangedError, match="catalogued"):
        read_box(blocks, (0, 0, 0, 0), (1, 1, 8, 8))


def test_redacted_stores_tell_no_names(tmp_path: Path) -> None:
    """Operator and specimen stand nowhere in the store; pixels and other tags do."""
    scan, store = tmp_path / "scan.dm4", tmp_path / "x.zarr"
    write_synthetic_dm4(scan, (4, 5), (8, 8))
    result = write_store(read_source(scan), store, IngestOptions(redact=True, sync=False))
    assert any("will differ" in note for note in result.notes)
    redacted = read_store(store)
    text = json.dumps(redacted.load_metadata())
    header = redacted.load_header()
    for secret in ("Microscopist", "SrTiO"):
        assert secret in json.dumps(read_source(scan).load_metadata())
        assert secret not in text
        assert secret not in json.dumps(read_record(store))
        assert secret.encode("utf-16-le") not in header
    assert not {"operator", "specimen"} & set(redacted.document.facts)
    assert "Voltage" in text
    assert "path" not in read_record(store)
    assert verify_store(store).ok
    with pytest.raises(OptionError, match="exclude"):
        write_store(
            read_source(scan), tmp_path / "y.zarr", IngestOptions(redact=True, virtual=True)
        )


def test_the_lock_is_released_whatever_happens(
    make_source: Callable[..., Source], tmp_path: Path
) -> None:
    """No lock file stays after success or failure."""
    source = make_source(counted((2, 2, 8, 8)))
    write_store(source, tmp_path / "x.zarr", NO_SYNC)
    with pytest.raises(OptionError):
        write_store(source, tmp_path / "y.zarr", replace(NO_SYNC, facts={"nonsense": 1}))
    assert beside(tmp_path) == ["source.bin", "x.zarr"]
