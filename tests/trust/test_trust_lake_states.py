"""A lake under any order of work, with processes that die in between, against a plain dict."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

import stemzarr
from stemzarr.options import ExportOptions, IngestOptions
from stemzarr.store import verify_store
from stemzarr.testing import DMImage, write_dm
from stemzarr.testing.faults import Crash, inject_faults
from stemzarr_catalog import Lake, open_lake

SOURCES = ("alpha", "beta", "Gamma")
OPTIONS = IngestOptions(threads=1, sync=False, preview=False)


class LakeMachine(RuleBasedStateMachine):
    """The lake on one side, on the other what it must hold."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="lake-"))
        self.model: dict[str, set[str]] = {}
        self.values: dict[str, Any] = {}

    @initialize()
    def begin(self) -> None:
        """Write the sources and make the lake."""
        for number, name in enumerate(SOURCES):
            rng = np.random.default_rng(number)
            self.values[name] = rng.poisson(3, (2, 2, 3, 3)).astype(np.uint16)
            image = DMImage(data=self.values[name], swapped=True, name=name)
            write_dm(self.folder / f"{name}.dm4", image, thumbnail=False)
        open_lake(self.folder / "lake", create=True)

    def lake(self) -> Lake:
        """Open the lake as the next process would."""
        return open_lake(self.folder / "lake")

    def die(self, moment: int) -> Any:
        """Let the process die at its n-th call that changes the disk; afterwards it is dead."""
        return inject_faults(moment, error=Crash, mode="crash", below=self.folder)

    def free_locks(self) -> None:
        """Let the locks of a dead process be old: its number is that of this living one."""
        for lock in self.folder.rglob("*.lock"):
            lock.write_text("{}", encoding="utf-8")
            os.utime(lock, (1, 1))
        for guard in self.folder.rglob("*.takeover"):
            os.utime(guard, (1, 1))

    @rule(name=st.sampled_from(SOURCES))
    def ingest(self, name: str) -> None:
        """Ingest a source; one that is there already stays as it is."""
        result = self.lake().ingest(self.folder / f"{name}.dm4", options=OPTIONS)
        assert result.name == name
        assert (result.status == "unchanged") == (name in self.model)
        self.model.setdefault(name, set())

    @rule(name=st.sampled_from(SOURCES), moment=st.integers(0, 120))
    def die_while_ingesting(self, name: str, moment: int) -> None:
        """Die while ingesting: the entry is there as a whole or not at all."""
        lake = self.lake()
        with contextlib.suppress(Crash), self.die(moment):
            lake.ingest(self.folder / f"{name}.dm4", options=OPTIONS)
        self.free_locks()
        if name in self.lake():
            self.model.setdefault(name, set())
        else:
            assert name not in self.model

    @precondition(lambda self: self.model)
    @rule(data=st.data(), tag=st.sampled_from(["good", "thick", "again"]))
    def tag(self, data: st.DataObject, tag: str) -> None:
        """Tag an entry: its tags are kept, whatever else happens."""
        name = data.draw(st.sampled_from(sorted(self.model)))
        self.lake().tag(name, tag)
        self.model[name].add(tag)

    @precondition(lambda self: self.model)
    @rule(data=st.data(), moment=st.integers(0, 12))
    def die_while_tagging(self, data: st.DataObject, moment: int) -> None:
        """Die while tagging: the tag is there or not, the other ones are."""
        name = data.draw(st.sampled_from(sorted(self.model)))
        lake = self.lake()
        with contextlib.suppress(Crash), self.die(moment):
            lake.tag(name, "late")
        self.free_locks()
        tags = set(self.lake()[name].notes.tags)
        assert self.model[name] <= tags <= self.model[name] | {"late"}
        self.model[name] = tags

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        """Remove an entry: it is gone, with its notes."""
        name = data.draw(st.sampled_from(sorted(self.model)))
        self.lake().remove(name)
        del self.model[name]

    @precondition(lambda self: self.model)
    @rule(data=st.data(), moment=st.integers(0, 40))
    def die_while_removing(self, data: st.DataObject, moment: int) -> None:
        """Die while removing: the entry is there as a whole or gone as a whole."""
        name = data.draw(st.sampled_from(sorted(self.model)))
        lake = self.lake()
        with contextlib.suppress(Crash), self.die(moment):
            lake.remove(name)
        self.free_locks()
        if name not in self.lake():
            del self.model[name]
            (self.folder / "lake" / "notes" / f"{name}.json").unlink(missing_ok=True)

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def export(self, data: st.DataObject) -> None:
        """Export an entry: the file holds its values."""
        name = data.draw(st.sampled_from(sorted(self.model)))
        dest = self.folder / "out.npy"
        options = ExportOptions(threads=1, overwrite=True)
        stemzarr.export(self.lake()[name].path, dest, options=options)
        assert np.array_equal(np.load(dest), self.values[name])

    @rule(lose=st.booleans())
    def rebuild(self, *, lose: bool) -> None:
        """Rebuild the index from the folders, also where it is lost."""
        if lose:
            (self.folder / "lake" / "catalog.sqlite").unlink(missing_ok=True)
        self.lake().rebuild()

    @rule(noise=st.binary(min_size=1, max_size=200))
    def spoil_the_index(self, noise: bytes) -> None:
        """Write noise over the head of the index, which costs nothing."""
        file = self.folder / "lake" / "catalog.sqlite"
        if file.exists():
            content = file.read_bytes()
            file.write_bytes(noise + content[len(noise) :])

    @invariant()
    def lake_is_model(self) -> None:
        """Compare names, tags and values with the model, in a lake opened again."""
        if not self.values:
            return
        lake = self.lake()
        assert lake.problems == {}
        assert sorted(lake) == sorted(self.model)
        for name, tags in self.model.items():
            assert set(lake[name].notes.tags) == tags
            with lake[name].open(chunks=None) as dataset:
                assert np.array_equal(dataset["intensity"].to_numpy(), self.values[name])
        assert sorted(lake.search("good").names) == sorted(
            name for name, tags in self.model.items() if "good" in tags
        )

    def teardown(self) -> None:
        """See that all stores are sound, and remove the lake."""
        for store in (self.folder / "lake" / "stores").glob("[!.]*.zarr"):
            assert verify_store(store, threads=1).ok
        shutil.rmtree(self.folder)


TestLakeStates = LakeMachine.TestCase
TestLakeStates.settings = settings(max_examples=8, stateful_step_count=15, deadline=None)
