"""Which files a lake holds, under any order of copying, renaming, touching and ingesting again."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from stemzarr.options import IngestOptions
from stemzarr.testing import DMImage, write_dm
from stemzarr_catalog import Lake, open_lake

OPTIONS = IngestOptions(threads=1, sync=False, preview=False)
REPLACE = IngestOptions(threads=1, sync=False, preview=False, overwrite=True)
TIME = (1.7e9, 1.7e9)


class IdentityMachine(RuleBasedStateMachine):
    """The lake on one side; on the other what bytes it holds, and what was set of them."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="identity-"))
        self.count = 0
        self.paths: list[Path] = []
        self.held: dict[bytes, str] = {}
        self.lengths: dict[str, float] = {}

    @initialize()
    def begin(self) -> None:
        """Make the lake."""
        open_lake(self.folder / "lake", create=True)

    def lake(self) -> Lake:
        """Open the lake as the next process would."""
        return open_lake(self.folder / "lake")

    def new_path(self, name: str) -> Path:
        """Return a path in a folder of its own."""
        self.count += 1
        path = self.folder / f"f{self.count}" / name
        path.parent.mkdir()
        self.paths.append(path)
        return path

    @rule(value=st.integers(0, 3), suffix=st.sampled_from([".npy", ".dm4"]))
    def add(self, value: int, suffix: str) -> None:
        """Write a file; all of a suffix have one size, time and name."""
        path = self.new_path(f"scan{suffix}")
        values = np.zeros((2, 2, 3, 3), np.uint16)
        values[1, 1, 2, 2] = value
        if suffix == ".npy":
            np.save(path, values)
        else:
            write_dm(path, DMImage(data=values, swapped=True), thumbnail=False)
        os.utime(path, TIME)

    @precondition(lambda self: self.paths)
    @rule(data=st.data(), keep_time=st.booleans(), name=st.sampled_from(["scan", "copy"]))
    def copy(self, data: st.DataObject, name: str, *, keep_time: bool) -> None:
        """Copy a file, with its time or without, under its name or another."""
        path = data.draw(st.sampled_from(self.paths))
        copied = self.new_path(f"{name}{path.suffix}")
        (shutil.copy2 if keep_time else shutil.copy)(path, copied)

    @precondition(lambda self: self.paths)
    @rule(data=st.data(), name=st.sampled_from(["scan", "renamed"]))
    def move(self, data: st.DataObject, name: str) -> None:
        """Move a file into another folder, under its name or another."""
        path = data.draw(st.sampled_from(self.paths))
        moved = self.new_path(f"{name}{path.suffix}")
        path.rename(moved)
        self.paths.remove(path)

    @precondition(lambda self: self.paths)
    @rule(data=st.data(), seconds=st.integers(1, 10**9))
    def touch(self, data: st.DataObject, seconds: int) -> None:
        """Give a file another time."""
        os.utime(data.draw(st.sampled_from(self.paths)), (seconds, seconds))

    @precondition(lambda self: self.paths)
    @rule(data=st.data())
    def edit(self, data: st.DataObject) -> None:
        """Change a byte of the pixels of a file, and its time."""
        path = data.draw(st.sampled_from(self.paths))
        changed = bytearray(path.read_bytes())
        place = -1 if path.suffix == ".npy" else changed.find(bytes(60)) + 30
        changed[place] ^= 8
        path.write_bytes(changed)
        self.count += 1
        os.utime(path, (2e9 + self.count, 2e9 + self.count))

    @precondition(lambda self: self.paths)
    @rule(data=st.data(), truth=st.booleans(), replace=st.booleans())
    def ingest(self, data: st.DataObject, *, truth: bool, replace: bool) -> None:
        """Ingest a file: it has the entry of its bytes, whoever is asked whether it was moved."""
        path = data.draw(st.sampled_from(self.paths))
        content = path.read_bytes()
        result = self.lake().ingest(
            path, options=REPLACE if replace else OPTIONS, believe=lambda _old, _new: truth
        )
        known = self.held.get(content)
        if known is None:
            assert result.status == "ingested"
            assert result.name not in self.held.values()
            self.held[content] = result.name
        else:
            assert result.name == known
            assert (result.status == "unchanged") != replace

    @precondition(lambda self: self.held)
    @rule(data=st.data(), length=st.integers(1, 500))
    def calibrate(self, data: st.DataObject, length: int) -> None:
        """Set a fact by hand."""
        name = data.draw(st.sampled_from(sorted(self.held.values())))
        self.lake().calibrate(name, {"camera_length_mm": float(length)})
        self.lengths[name] = float(length)

    @rule(lose=st.booleans())
    def rebuild(self, *, lose: bool) -> None:
        """Rebuild the index, and lose what is remembered of copies."""
        if lose:
            (self.folder / "lake" / "known.jsonl").unlink(missing_ok=True)
        self.lake().rebuild()

    @invariant()
    def lake_is_model(self) -> None:
        """As many entries as different bytes, with what was set of them."""
        if not (self.folder / "lake").exists():
            return
        lake = self.lake()
        assert sorted(lake) == sorted(self.held.values())
        for name, length in self.lengths.items():
            assert lake[name].facts["camera_length_mm"] == length

    def teardown(self) -> None:
        """Remove the lake."""
        shutil.rmtree(self.folder)


TestLakeIdentity = IdentityMachine.TestCase
TestLakeIdentity.settings = settings(max_examples=12, stateful_step_count=20, deadline=None)
