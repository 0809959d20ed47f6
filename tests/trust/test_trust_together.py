"""Several processes on one store: who reads sees what was there as a whole, or is told."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stemzarr
from stemzarr.errors import SourceChangedError, StemzarrError
from stemzarr.model import read_all
from stemzarr.options import ExportOptions, IngestOptions
from stemzarr.registry import read_source
from stemzarr.store import (
    read_record,
    read_store,
    restore_metadata,
    revise,
    verify_store,
    write_store,
)
from stemzarr_catalog import open_lake

ROUNDS = 12


@pytest.fixture
def store(tmp_path: Path, tiny_store: Path) -> Path:
    """Return a store of one's own."""
    return Path(shutil.copytree(tiny_store, tmp_path / "x.zarr"))


@contextmanager
def meanwhile(act: Callable[[], Any]) -> Iterator[None]:
    """Do something again and again in another thread while the block runs."""
    stop = threading.Event()

    def again() -> int:
        done = 0
        while not stop.is_set() or not done:
            act()
            done += 1
        return done

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(again)
        try:
            yield
        finally:
            stop.set()
        assert running.result() > 0


@pytest.mark.parametrize("act", [read_store, read_record, stemzarr.info])
def test_readers_never_see_half_a_revision(store: Path, act: Callable[[Path], Any]) -> None:
    """Opened while it is calibrated, a store has the old labels or the new ones."""
    with meanwhile(lambda: act(store)):
        for number in range(ROUNDS):
            revise(store, {"det_x.scale": 0.5 + number, "operator": f"operator {number}"})
    assert len(read_record(store)["revisions"]) == ROUNDS


def test_verify_takes_no_revision_for_damage(store: Path) -> None:
    """Nor what is revised between two of its steps."""

    def check() -> None:
        assert verify_store(store, threads=1).problems == ()

    with meanwhile(check):
        for number in range(ROUNDS // 2):
            revise(store, {"det_x.scale": 0.5 + number})
    (store / "det_x" / "zarr.json").unlink()
    assert verify_store(store).problems
    restore_metadata(store)
    check()


def test_pixels_are_read_while_labels_are_revised(store: Path) -> None:
    """Who has opened a store before a revision goes on reading its pixels."""
    document = read_store(store).document
    before = read_all(document.blocks)
    revise(store, {"det_x.scale": 3.0, "brightness.scale": 2.0})
    assert np.array_equal(read_all(document.blocks), before)


def test_another_store_in_its_place_is_not_read_under_the_old_labels(
    store: Path, tmp_path: Path, tiny: Any
) -> None:
    """Replaced by one of the same shape, or removed: told in words, and it can be opened again."""
    other = tiny.write(tmp_path / "other.dm4", seed=7)
    document = read_store(store).document
    with stemzarr.open(store) as dataset:
        write_store(read_source(other), store, IngestOptions(overwrite=True, sync=False))
        with pytest.raises(SourceChangedError, match=r"replaced.*open it again"):
            dataset["intensity"].load(scheduler="synchronous")
    with pytest.raises(SourceChangedError, match="replaced"):
        read_all(document.blocks)
    document = read_store(store).document
    assert read_all(document.blocks).any()
    shutil.rmtree(store)
    with pytest.raises(SourceChangedError, match="removed"):
        read_all(document.blocks)


def test_an_export_of_a_store_that_is_removed_leaves_nothing(
    tmp_path: Path, tiny: Any, tiny_dm4: Path
) -> None:
    """Removed from the lake when the export has begun: an error that says so, and no file."""
    lake = open_lake(tmp_path / "lake", create=True)
    lake.ingest(tiny_dm4, name="scan", options=tiny.fast)
    (tmp_path / "out").mkdir()
    source = lake["scan"].path

    def remove(_done: int, _total: int) -> None:
        if source.exists():
            lake.remove("scan")

    options = ExportOptions(threads=1, overwrite=True)
    for name in ("hspy", "npy", "emd", "dm4"):
        if not source.exists():
            lake.ingest(tiny_dm4, name="scan", options=tiny.fast)
        try:
            stemzarr.export(
                source, tmp_path / "out" / f"x.{name}", options=options, progress=remove
            )
        except StemzarrError as error:
            assert "scan.zarr" in str(error)  # noqa: PT017 - small files may be read at once
            assert list((tmp_path / "out").iterdir()) == []
        shutil.rmtree(tmp_path / "out")
        (tmp_path / "out").mkdir()


def test_an_export_of_a_store_that_is_replaced_is_of_one_of_them(
    tmp_path: Path, tiny: Any, store: Path
) -> None:
    """Ingested again and again meanwhile: the file holds the one or the other, or none."""
    sources = [read_source(tiny.write(tmp_path / f"{n}.dm4", seed=n)) for n in (11, 12)]
    wanted = [read_all(s.document.blocks) for s in sources]
    write_store(sources[0], store, IngestOptions(overwrite=True, sync=False, threads=1))
    turn = iter(range(10**6))

    def replace() -> None:
        options = IngestOptions(overwrite=True, sync=False, threads=1)
        write_store(sources[next(turn) % 2], store, options)

    made = 0
    with meanwhile(replace):
        for _ in range(ROUNDS):
            dest = tmp_path / "x.npy"
            try:
                stemzarr.export(store, dest, options=ExportOptions(threads=1, overwrite=True))
            except StemzarrError:
                continue
            made += 1
            assert any(np.array_equal(np.load(dest), values) for values in wanted)
    assert verify_store(store).ok
