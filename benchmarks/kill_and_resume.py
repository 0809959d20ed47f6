"""Kills ``stemzarr ingest`` at random moments, lets it go on, and compares what comes of it.

    python benchmarks/kill_and_resume.py --folder /tmp/kills --kills 30

With ``--full`` on 128 × 128 × 256 × 256 counts (2.1 GB). Each round ingests the same file into a
new lake, by processes that are killed (SIGKILL, on Windows TerminateProcess) once or several
times before one comes to its end. All the while somebody looks: the store must be absent or
complete, the catalog absent or right. At the end every file of the store must be that of an ingest
that nobody disturbed, byte for byte, but for the time at which the ingest finished:

* ``source/zarr.json`` holds it (``attributes.ingest.finished``),
* ``zarr.json`` repeats that node,
* ``source/manifest/c/0`` holds the digest of ``source/zarr.json``, compressed.

These three are compared with that taken out. Ends with status 1 where anything is otherwise.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from stemzarr.store import verify_store
from stemzarr.store.format.manifest import read_manifest
from stemzarr.store.format.tree import read_nodes
from stemzarr.testing import write_synthetic_dm4
from stemzarr_catalog import open_lake

NAME = "scan"
SHAPES = {True: ((128, 128), (256, 256)), False: ((64, 64), (128, 128))}
MEMORY = {True: "512MiB", False: "32MiB"}
"""The small scan is cut into as many shards as the large one."""
KILLS_A_ROUND = (1, 1, 2, 3, 5)
LOOK_S = 0.02
MANIFEST = "source/manifest/c/0"


class BrokenPromiseError(AssertionError):
    """Something half-written was seen, or a store came out otherwise."""


def require(condition: object, promise: str) -> None:
    """Raise unless a promise is kept."""
    if not condition:
        raise BrokenPromiseError(promise)


class Round:
    """One ingest into a new lake, killed before it ends.

    Parameters
    ----------
    folder
        Where the source is and the lake is made.
    arguments
        Words for ``stemzarr ingest``.
    whole
        The store of an ingest that nobody disturbed; None while that one is made.
    """

    def __init__(self, folder: Path, arguments: list[str], whole: Path | None) -> None:
        self.lake = folder / ("lake" if whole else "undisturbed")
        self.store = self.lake / "stores" / f"{NAME}.zarr"
        self.unfinished = self.store.with_name(f".{NAME}.zarr.ingest")
        self.whole = whole
        self.looks = 0
        self.began_s = 0.0
        self._command = [sys.executable, "-m", "stemzarr_cli", "ingest", *arguments]
        self._command += ["--lake", str(self.lake), "--json"]
        self._verified = False
        shutil.rmtree(self.lake, ignore_errors=True)

    def run(self, kill_after_s: float = float("inf")) -> dict[str, Any] | None:
        """Ingest; return what the command says, or None where it was killed before."""
        started = time.monotonic()
        process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while process.poll() is None and time.monotonic() - started < kill_after_s:
            self.look()
            time.sleep(LOOK_S)
            if not self.began_s and self.unfinished.exists():
                self.began_s = time.monotonic() - started
        killed = process.poll() is None
        process.kill()
        output, errors = process.communicate()
        self.look()
        if killed and not output.endswith(b"\n"):
            return None
        require(process.returncode == 0 or killed, f"the command failed: {errors.decode()}")
        result: dict[str, Any] = json.loads(output)
        return result

    def stage(self) -> str:
        """Return how far the ingest was when it was killed."""
        try:
            shards = len((self.unfinished / "journal").read_bytes().splitlines()) - 1
        except OSError:
            return "store shown" if self.store.exists() else "not begun"
        if shards <= 0:
            return "no shard done"
        return "some shards done" if shards < self._shards() else "all shards done"

    def _shards(self) -> int:
        assert self.whole is not None
        pixels = (*self.whole.glob("intensity/c"), *self.whole.glob("documents/*/intensity/c"))
        return sum(file.is_file() for folder in pixels for file in folder.rglob("*"))

    def look(self) -> None:
        """Raise where anything is visible that is neither absent nor complete."""
        if self.whole is None:
            return
        self.looks += 1
        if self.store.exists():
            require(sizes(self.store) == sizes(self.whole), "the store is shown half-written")
            if not self._verified:
                found = verify_store(self.store)
                require(found.ok, f"the store is shown damaged: {found.problems}")
                self._verified = True
        face = self.lake / "catalog.yaml"
        if not face.exists():
            return
        listed = (yaml.safe_load(face.read_text(encoding="utf-8")) or {}).get("sources", {})
        require(set(listed) <= {NAME, "lake"}, f"catalog.yaml lists {set(listed)}")
        require(NAME not in listed or self.store.exists(), "catalog.yaml lists what is not there")
        lake = open_lake(self.lake, read_only=True)
        require(set(lake) <= {NAME} and not lake.problems, f"the lake holds {list(lake)}")
        if NAME in lake:
            with lake[NAME].open() as dataset:
                dataset["intensity"][-1, -1].load(scheduler="synchronous")

    def compare(self) -> None:
        """Raise unless the store is that of the undisturbed ingest."""
        assert self.whole is not None
        left = [path.name for path in self.store.parent.iterdir()]
        require(left == [self.store.name], f"beside the store are {left}")
        mine, theirs = contents(self.store), contents(self.whole)
        require(mine.keys() == theirs.keys(), "the store has other files")
        for name in mine:
            require(mine[name] == theirs[name], f"{name} differs")


def sizes(store: Path) -> dict[str, int]:
    """Return the size of every file but the manifest's, whose digests compress as they may."""
    files = {p.relative_to(store).as_posix(): p for p in store.rglob("*") if p.is_file()}
    return {name: p.stat().st_size for name, p in files.items() if name != MANIFEST}


def contents(store: Path) -> dict[str, Any]:
    """Return what is in every file, without the time of the ingest where it is."""
    paths = {p.relative_to(store).as_posix(): p for p in store.rglob("*") if p.is_file()}
    found: dict[str, Any] = {name: path.read_bytes() for name, path in paths.items()}
    node = json.loads(found["source/zarr.json"])
    finished = node["attributes"]["ingest"]["finished"].encode()
    for name in ("zarr.json", "source/zarr.json"):
        require(found[name].count(finished) == 1, f"{name} says more than once when it was made")
        found[name] = found[name].replace(finished, b"")
    manifest = read_manifest(store, read_nodes(store))
    found[MANIFEST] = {n: f for n, f in manifest.files.items() if n != "source/zarr.json"}
    return found


def run_rounds(
    make: Callable[[], Round], kills: int, moments: tuple[float, float]
) -> dict[str, Any]:
    """Kill as often as is wanted, and return what was seen.

    Parameters
    ----------
    make
        Begins a round in a new lake.
    kills
        How often to kill, over all rounds.
    moments
        The earliest and the latest moment to kill, in seconds after the start.
    """
    stages: Counter[str] = Counter()
    ended: Counter[str] = Counter()
    rounds = looks = 0
    while stages.total() < kills:
        one = make()
        rounds += 1
        result = None
        for _ in range(min(random.choice(KILLS_A_ROUND), kills - stages.total())):
            result = one.run(random.uniform(*moments))
            if result is not None:
                break
            stages[one.stage()] += 1
        result = result or one.run()
        assert result is not None
        ended[result["status"]] += 1
        one.look()
        one.compare()
        looks += one.looks
        print(f"{stages.total()} kills, {dict(stages)}, then {result['status']}", flush=True)
    return {"kills": kills, "rounds": rounds, "looks": looks, "at": stages, "ended": ended}


def main() -> int:
    """Make the source and the undisturbed store, then kill."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--full", action="store_true", help="2.1 GB instead of 134 MB")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    random.seed(options.seed)
    folder: Path = options.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / f"{NAME}.dm4"
    write_synthetic_dm4(source, *SHAPES[options.full])
    arguments = [str(source), "--memory", MEMORY[options.full]]
    whole = Round(folder, arguments, None)
    whole.run()
    whole = Round(folder, arguments, None)  # the first one warmed the machine up
    started = time.monotonic()
    whole.run()
    seconds = time.monotonic() - started
    report: dict[str, Any] = {"bytes": source.stat().st_size, "undisturbed_s": round(seconds, 1)}
    # Half of the start, which only imports, is left out: nothing happens in it.
    moments = (whole.began_s / 2, 1.1 * seconds)
    try:
        report |= run_rounds(lambda: Round(folder, arguments, whole.store), options.kills, moments)
    except BrokenPromiseError as error:
        print(f"BROKEN: {error}")
        return 1
    print(json.dumps(report, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
