"""An ingest meets every fault at every moment: a complete store or none, and the next one ends."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemzarr.errors import ReadError, SourceChangedError, StemzarrError, WriteError
from stemzarr.registry import read_source
from stemzarr.store import read_store, revise, verify_store, write_store
from stemzarr.testing.faults import Crash, Faults, inject_faults, no_space, read_fails


class Ingest:
    """One ingest that is made to fail, and what must hold whenever it was."""

    def __init__(
        self, sweep: Any, tiny: Any, folder: Path, source: Path, whole: Path, error: Any
    ) -> None:
        self.sweep = sweep
        self.tiny = tiny
        self.folder = folder
        self.source = source
        self.whole = tiny.bytes_of(whole), tiny.record_of(whole)
        self.error = error

    @property
    def dest(self) -> Path:
        return self.folder / "x.zarr"

    def run(self) -> None:
        """Ingest; a fault must come out as the error that it stands for."""
        raised: BaseException | None = None
        try:
            self.tiny.ingest(self.source, self.dest, self.tiny.options)
        except (StemzarrError, Crash) as error:
            raised = error
        assert isinstance(raised, self.error | None), raised
        if isinstance(raised, StemzarrError):
            assert str(self.folder) in str(raised)
            assert raised.hint

    def check(self, faults: Faults) -> None:
        """See a complete store or none; do it again, which ends as if nothing had been."""
        shown = [path.name for path in self.folder.iterdir() if not path.name.startswith(".")]
        assert shown in ([], ["x.zarr"])
        if self.dest.exists():
            assert verify_store(self.dest, threads=1).ok
        else:
            assert faults.struck
            if self.error is Crash:
                self.sweep.release_locks(self.folder)
            self.tiny.ingest(self.source, self.dest)
        assert self.tiny.bytes_of(self.dest) == self.whole[0]
        assert self.tiny.record_of(self.dest) == self.whole[1]


def test_a_disk_that_fills_at_any_moment(
    tmp_path: Path, sweep: Any, tiny: Any, tiny_dm4: Path, tiny_store: Path
) -> None:
    """Full from the n-th call on, for every n: `WriteError` with advice, and a resume that ends."""
    ingest = Ingest(sweep, tiny, tmp_path / "lake", tiny_dm4, tiny_store, WriteError)
    calls = sweep(ingest.folder, ingest.run, ingest.check, error=no_space, mode="lasting")
    assert calls > 50


def test_a_call_that_fails_once_at_any_moment(
    tmp_path: Path, sweep: Any, tiny: Any, tiny_dm4: Path, tiny_store: Path
) -> None:
    """The n-th call alone fails, for every n: nothing is skipped in silence."""
    ingest = Ingest(sweep, tiny, tmp_path / "lake", tiny_dm4, tiny_store, WriteError)
    sweep(
        ingest.folder,
        ingest.run,
        ingest.check,
        error=read_fails,
    )


def test_a_process_that_dies_at_any_moment(
    tmp_path: Path, sweep: Any, tiny: Any, tiny_dm4: Path, tiny_store: Path
) -> None:
    """Nothing after the n-th call reaches the disk, for every n."""
    ingest = Ingest(sweep, tiny, tmp_path / "lake", tiny_dm4, tiny_store, Crash)
    sweep(ingest.folder, ingest.run, ingest.check, error=Crash, mode="crash")


def test_every_file_is_synced_before_the_store_is_shown(
    tmp_path: Path, tiny: Any, tiny_dm4: Path
) -> None:
    """The last rename shows the store; each of its files and folders was flushed before."""
    with inject_faults(None, below=tmp_path) as faults:
        store = tiny.ingest(tiny_dm4, tmp_path / "x.zarr", tiny.options)
    shown = len(faults.calls) - 1 - faults.calls[::-1].index("replace")
    entries = list(store.rglob("*"))
    assert faults.calls[:shown].count("fsync") >= len(entries) + 1
    assert "fsync" in faults.calls[shown:]
    with inject_faults(None, below=tmp_path) as faults:
        tiny.ingest(tiny_dm4, tmp_path / "y.zarr", tiny.fast)
    assert "fsync" not in faults.calls


def test_a_revision_is_made_or_not_whenever_it_stops(
    tmp_path: Path, sweep: Any, tiny: Any, tiny_dm4: Path
) -> None:
    """A crash at any call of `calibrate` leaves the old labels or the new ones, all sound."""
    store = tiny.ingest(tiny_dm4, tmp_path / "whole.zarr")
    copy = tmp_path / "lake" / "x.zarr"
    copy.parent.mkdir()

    def run() -> None:
        with contextlib.suppress(Crash):
            revise(copy, {"det_x.scale": 0.25, "camera_length_mm": 115.0})

    def check(_: Faults) -> None:
        sweep.release_locks(copy.parent)
        document = read_store(copy).document
        seen = (document.axis("det_x").scale, document.facts.get("camera_length_mm"))
        assert seen in ((0.125, None), (0.25, 115.0))
        assert verify_store(copy, threads=1).ok
        revise(copy, {"det_x.scale": 0.25, "camera_length_mm": 115.0})
        assert read_store(copy).document.axis("det_x").scale == 0.25

    sweep(copy, run, check, error=Crash, mode="crash", template=store)


def test_a_read_that_fails_is_named_and_the_next_ingest_ends(
    tmp_path: Path, tiny: Any, tiny_dm4: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EIO in the n-th read, for every n: `ReadError` with the source's path, nothing is shown."""
    source, dest = read_source(tiny_dm4), tmp_path / "x.zarr"
    original, reads = os.preadv, []

    def preadv(*arguments: Any) -> int:
        reads.append(1)
        if len(reads) == fatal:
            raise read_fails()
        return original(*arguments)

    monkeypatch.setattr(os, "preadv", preadv)
    fatal = 0
    while not dest.exists():
        reads.clear()
        fatal += 1
        with contextlib.suppress(ReadError):
            write_store(source, dest, tiny.fast)
    assert len(reads) < fatal > 2
    fatal = 0
    assert verify_store(dest, source=tiny_dm4).ok
    reads.clear()
    fatal = 1
    with pytest.raises(ReadError) as caught:
        write_store(source, tmp_path / "y.zarr", tiny.fast)
    assert str(tiny_dm4) in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize("change", ["shrinks", "grows", "vanishes", "is replaced", "is rewritten"])
def test_a_source_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, tiny: Any, change: str
) -> None:
    """Whatever becomes of it after the first pixels: `SourceChangedError`, nothing is shown."""
    path = tiny.write(tmp_path / "scan.dm4")
    source = read_source(path)
    content = path.read_bytes()

    def meddle(done: int, _total: int) -> None:
        if not done or not path.exists():
            return
        match change:
            case "shrinks":
                os.truncate(path, len(content) // 2)
            case "grows":
                path.write_bytes(content + bytes(8))
            case "vanishes":
                path.unlink()
            case "is replaced":
                tiny.write(tmp_path / "other.dm4", seed=1).replace(path)
            case _:
                path.write_bytes(content)

    with pytest.raises((SourceChangedError, ReadError)) as caught:
        write_store(source, tmp_path / "x.zarr", tiny.fast, meddle)
    assert str(path) in str(caught.value)
    assert caught.value.hint
    assert not [p.name for p in tmp_path.iterdir() if p.suffix != ".dm4" and p.name[0] != "."]
    if change != "vanishes":
        assert isinstance(caught.value, SourceChangedError)


def _die(*_: object) -> None:
    raise Crash


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory: pytest.TempPathFactory, tiny: Any, tiny_dm4: Path) -> Path:
    """Return a folder with an ingest that died when all shards were done."""
    folder = tmp_path_factory.mktemp("unfinished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stemzarr.store.ingest.write._complete", _die)
        with pytest.raises(Crash):
            tiny.ingest(tiny_dm4, folder / "x.zarr", tiny.options)
    assert len((folder / ".x.zarr.ingest" / "journal").read_bytes().splitlines()) > 1
    return folder


@settings(max_examples=30)
@given(cut=st.floats(0, 1), noise=st.binary(max_size=60), form=st.integers(0, 3))
def test_a_journal_of_any_content_never_spoils_the_store(  # noqa: PLR0917 - fixtures and draws
    tmp_path_factory: pytest.TempPathFactory,
    tiny: Any,
    tiny_dm4: Path,
    tiny_store: Path,
    unfinished: Path,
    cut: float,
    noise: bytes,
    form: int,
) -> None:
    """Cut, overwritten, doubled or filled with noise: the store ends with the same bytes."""
    folder = tmp_path_factory.mktemp("journal") / "copy"
    shutil.copytree(unfinished, folder)
    journal = folder / ".x.zarr.ingest" / "journal"
    content = journal.read_bytes()
    at = int(cut * len(content))
    damaged = [content[:at], content[:at] + noise + content[at:], content[:at] + noise, content * 2]
    journal.write_bytes(damaged[form])
    tiny.ingest(tiny_dm4, folder / "x.zarr")
    assert tiny.bytes_of(folder / "x.zarr") == tiny.bytes_of(tiny_store)
    shutil.rmtree(folder)
