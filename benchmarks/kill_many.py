"""Many processes ingest into one lake and are killed at random: it stays whole at every moment.

    python benchmarks/kill_many.py --processes 16 --kills 60

Each process is a `stemzarr ingest` of all sources in an order of its own, so that they meet on
every name. A victim is ended without warning (SIGKILL, or TerminateProcess on Windows) and the
same command started again. Meanwhile a watcher reads ``catalog.yaml`` and the index without a
pause: each must be valid, must name no store twice, and must forget none that it has named.
At the end every source is in the index exactly once, every store passes `verify`, the index is
the same after a rebuild, and nothing of the killed process is left. Ends with status 1 where any of
this is not so.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import yaml

from stemzarr.store import verify_store
from stemzarr.testing import write_synthetic_dm4
from stemzarr_catalog import open_lake

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SIDES = (4, 8, 16, 24)
_POLL_S = 0.02


def write_sources(folder: Path, count: int, rng: random.Random) -> list[Path]:
    """Write scans of 32 kB to 1 MB, no two of the same bytes."""
    folder.mkdir()
    sources = [folder / f"scan{number:03d}.dm4" for number in range(count)]
    for number, source in enumerate(sources):
        side = rng.choice(_SIDES)
        write_synthetic_dm4(source, (side, side), (32, 32), seed=number)
    return sources


def listed(lake: Path) -> list[str]:
    """Return what the YAML lists at this moment; raises where it is not valid."""
    content = yaml.load((lake / "catalog.yaml").read_text(encoding="utf-8"), Loader=_LOADER)  # noqa: S506 - a safe loader
    return [name for name in content["sources"] if name != "lake"]


def indexed(lake: Path) -> list[str]:
    """Return what the index holds at this moment, by a lake that writes nothing."""
    return list(open_lake(lake, read_only=True))


def watch(lake: Path, end: Connection) -> None:
    """Look at the lake until told to stop, and tell how often and what was wrong."""
    looks: Counter[str] = Counter()
    seen: dict[str, set[str]] = {"yaml": set(), "index": set()}
    wrong: list[str] = []
    while not end.poll() and not wrong:
        for what, names in (("yaml", listed), ("index", indexed)):
            try:
                found = names(lake)
            except Exception as error:  # noqa: BLE001 - any error is the finding
                wrong.append(f"{what}: {type(error).__name__}: {error}")
                continue
            looks[what] += 1
            twice = [name for name, count in Counter(found).items() if count > 1]
            lost = sorted(seen[what] - set(found))
            wrong += [f"{what}: {name} twice" for name in twice]
            wrong += [f"{what}: {name} lost" for name in lost]
            seen[what] |= set(found)
    end.send((dict(looks), wrong))


@dataclass(kw_only=True)
class Crowd:
    """The processes, and what became of them."""

    lake: Path
    """The lake that all of them write."""
    logs: Path
    """Folder of what they say."""
    running: dict[int, tuple[subprocess.Popen[bytes], list[Path]]] = field(default_factory=dict)
    """Number → process and its sources."""
    killed: int = 0
    """How many were killed and started again."""

    def start(self, number: int, sources: list[Path]) -> None:
        """Start a process, or start it again."""
        command = [sys.executable, "-m", "stemzarr_cli", "ingest", *map(str, sources)]
        command += ["--lake", str(self.lake), "--quiet", "--threads", "1"]
        with (self.logs / f"{number}.txt").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        self.running[number] = process, sources

    def kill(self, number: int) -> None:
        """End a process without warning and start the same command again."""
        process, sources = self.running[number]
        if process.poll() is None:
            process.kill()
            process.wait()
            self.killed += 1
            self.start(number, sources)

    def gather(self) -> None:
        """Forget those that have ended, which they may only with success."""
        for number, (process, _) in list(self.running.items()):
            if process.poll() is not None:
                said = (self.logs / f"{number}.txt").read_text(encoding="utf-8")
                assert process.returncode == 0, f"status {process.returncode}: {said}"
                del self.running[number]


def work(crowd: Crowd, kills: int, mean_s: float, rng: random.Random) -> None:
    """Kill at random moments until all processes have ended; the later kills find fewer."""
    due = time.monotonic() + rng.expovariate(1 / mean_s)
    while crowd.running:
        if crowd.killed < kills and time.monotonic() >= due:
            crowd.kill(rng.choice(list(crowd.running)))
            due = time.monotonic() + rng.expovariate(1 / mean_s)
        crowd.gather()
        time.sleep(_POLL_S)


def check(folder: Path, names: list[str]) -> list[str]:
    """Return what is wrong with the lake at the end."""
    lake = open_lake(folder)
    wrong = []
    if list(lake) != names:
        wrong.append(f"the index holds {len(lake)} entries, not the {len(names)} sources")
    if listed(folder) != names:
        wrong.append("catalog.yaml lists other names")
    if sorted(path.stem for path in lake.stores.glob("*.zarr")) != names:
        wrong.append("the stores are others")
    hashes = Counter(entry.source["hash"] for entry in lake.search())
    wrong += [
        f"{count} entries of the bytes {digest}" for digest, count in hashes.items() if count > 1
    ]
    wrong += [f"{name}: {problem}" for name, problem in lake.problems.items()]
    wrong += [
        f"{entry.name} does not pass" for entry in lake.search() if not verify_store(entry.path).ok
    ]
    before = [entry.json() for entry in lake.search()]
    lake.rebuild()
    if [entry.json() for entry in lake.search()] != before:
        wrong.append("a rebuild changes the index")
    left = (*lake.stores.glob(".*"), *folder.glob(".*.partial"), *folder.glob("*-journal"))
    return wrong + [f"{path.name} is left" for path in left if path.suffix != ".lock"]


def run(
    folder: Path, *, processes: int, files: int, kills: int, mean_s: float, seed: int
) -> list[str]:
    """Let the crowd work, print what happened, and return what was wrong."""
    rng = random.Random(seed)
    sources = write_sources(folder / "data", files, rng)
    lake = open_lake(folder / "lake", create=True).path
    here, there = multiprocessing.get_context("spawn").Pipe()
    watcher = multiprocessing.get_context("spawn").Process(target=watch, args=(lake, there))
    watcher.start()
    crowd = Crowd(lake=lake, logs=folder)
    started = time.monotonic()
    try:
        for number in range(processes):
            crowd.start(number, rng.sample(sources, files))
        work(crowd, kills, mean_s, rng)
    finally:
        for process, _ in crowd.running.values():
            with contextlib.suppress(OSError):
                process.kill()
                process.wait()
    seconds = time.monotonic() - started
    here.send("stop")
    looks, wrong = here.recv()
    watcher.join()
    wrong += check(lake, [source.stem for source in sources])
    print(
        f"{processes} processes, {files} sources each, {crowd.killed} killed and started again,"
        f" {seconds:.0f} s; looked {looks.get('yaml', 0)} times at the YAML,"
        f" {looks.get('index', 0)} times at the index"
    )
    print("\n".join(wrong) or f"each of {files} sources is in the lake once; all is whole")
    return wrong


def main() -> int:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--processes", type=int, default=16)
    parser.add_argument("--files", type=int, default=60)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--every", type=float, default=1.0, help="mean seconds between kills")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        wrong = run(
            Path(folder),
            processes=given.processes,
            files=given.files,
            kills=given.kills,
            mean_s=given.every,
            seed=given.seed,
        )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
