"""Feed damaged files to every reader: only `StemzarrError` may come out, soon and in little memory.

    python benchmarks/fuzz.py dm --runs 1000000
    python benchmarks/fuzz.py store --seconds 60
    python benchmarks/fuzz.py dm --engine atheris --seconds 600     # guided by coverage

Every input is limited in time and in memory: its own size and a constant. What breaks a promise
is kept in ``--findings``, once for each place in the code, and the command ends with status 1.
Inputs are made again from ``--seed``; with atheris (`pip install atheris`) the mutations are the
same, but those that reach new code are mutated further.
"""

from __future__ import annotations

import argparse
import importlib
import json
import random
import resource
import signal
import sys
import time
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fuzz_targets import Target

_ROOM = 512 * 1024**2
_SECONDS_EACH = 10.0
"""Time of the processor that one input may take; a busy machine is not a fault of it."""
_WAITING_EACH = 300.0
"""Time on the wall after which it waits for something that never comes."""
_POOL = 256
_KEPT = 0.02
_TELL_S = 60
_INSTRUMENTED = (
    "stemzarr.formats.dm",
    "stemzarr.formats.hdf5.reader",
    "stemzarr.formats.npy.reader",
    "stemzarr.store.open",
    "stemzarr.store.upkeep.verify",
)


class TookTooLongError(BaseException):
    """One input took longer than it may."""


@dataclass(slots=True)
class Session:
    """What a run of the fuzzer has seen."""

    target: Target
    findings: Path
    runs: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0

    def run(self, data: bytes) -> str:
        """Give one input to the target and judge what it does."""
        self.runs += 1
        started = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, _SECONDS_EACH)
        signal.setitimer(signal.ITIMER_REAL, _WAITING_EACH)
        try:
            outcome = self.target.run(data)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - anything else is a finding
            outcome = "broken"
            self._keep(data, error)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)
        self.slowest = max(self.slowest, time.process_time() - started)
        self.outcomes[outcome] += 1
        return outcome

    def _keep(self, data: bytes, error: BaseException) -> None:
        frames = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in frames if "stemzarr" in frame.filename] or frames
        where = f"{type(error).__name__} {Path(ours[-1].filename).name}:{ours[-1].lineno}"
        self.broken[where] += 1
        if self.broken[where] > 1:
            return
        self.findings.mkdir(parents=True, exist_ok=True)
        stem = f"{self.target.name}-{where.replace(' ', '-').replace(':', '-')}"
        (self.findings / f"{stem}.bin").write_bytes(data)
        report = "".join(traceback.format_exception(error))
        (self.findings / f"{stem}.txt").write_text(report, encoding="utf-8", errors="replace")
        print(f"FINDING {where}: {str(error)[:200]}", flush=True)

    def report(self, seconds: float) -> dict[str, Any]:
        """Return the figures."""
        return {
            "target": self.target.name,
            "runs": self.runs,
            "seconds": round(seconds, 1),
            "slowest_s": round(self.slowest, 3),
            "peak_MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            "outcomes": dict(self.outcomes.most_common()),
            "broken": dict(self.broken),
        }


def _too_long(_signal: int, _frame: FrameType | None) -> None:
    raise TookTooLongError


def _limit_memory() -> None:
    """Let a single huge allocation fail instead of succeeding lazily."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    now = pages * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + _ROOM, now + _ROOM))


def _fuzz_at_random(session: Session, arguments: argparse.Namespace) -> None:
    rng = random.Random(arguments.seed)
    seeds = session.target.seeds()
    for seed in seeds:
        session.run(seed)
    further: list[bytes] = []
    until = time.monotonic() + (arguments.seconds or float("inf"))
    told = time.monotonic()
    while session.runs < (arguments.runs or sys.maxsize) and time.monotonic() < until:
        data = session.target.mutate(rng.choice(further or seeds), rng)
        if session.run(data) == "read" and rng.random() < _KEPT:
            further = [*seeds, *further[len(seeds) :][-_POOL:], data]
        if time.monotonic() - told > _TELL_S:
            told = time.monotonic()
            print(json.dumps(session.report(0)), flush=True)


def _fuzz_with_atheris(session: Session, arguments: argparse.Namespace) -> None:
    """Let libFuzzer choose what to mutate; it ends the process itself."""
    import atheris

    corpus = session.target.folder / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(session.target.seeds()):
        (corpus / str(number)).write_bytes(seed)

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        # A longer one would be an error of the mutator, and a cut one is a mutation as well.
        return session.target.mutate(bytes(data), random.Random(seed))[:most]

    told = started = time.monotonic()

    def run(data: bytes) -> None:
        nonlocal told
        session.run(data)
        now = time.monotonic()
        if now - told > _TELL_S or session.runs == arguments.runs:
            told = now
            print(json.dumps(session.report(now - started)), flush=True)

    # libFuzzer ends the process without a farewell, so the figures are told on the way.
    limits = [f"-max_total_time={arguments.seconds or 0}", f"-runs={arguments.runs or -1}"]
    options = ["-rss_limit_mb=4096", "-max_len=65536", f"-seed={arguments.seed + 1}"]
    atheris.Setup([sys.argv[0], *limits, *options, str(corpus)], run, custom_mutator=mutate)
    atheris.Fuzz()


def _find_targets(engine: str) -> dict[str, type[Target]]:
    """Import all targets, and with them stemzarr, watched by atheris where that is to guide."""
    if engine == "random":
        return importlib.import_module("fuzz_targets").TARGETS
    import atheris

    with atheris.instrument_imports(include=["stemzarr", "stemzarr_catalog"]):
        for name in _INSTRUMENTED:
            importlib.import_module(name)
        return importlib.import_module("fuzz_targets").TARGETS


def main() -> int:
    """Run the fuzzer as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", help="a name of fuzz_targets.py: dm, npy, store, hdf5, …")
    parser.add_argument("--runs", type=int)
    parser.add_argument("--seconds", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--engine", choices=("random", "atheris"), default="random")
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"))
    arguments = parser.parse_args()
    if not (arguments.runs or arguments.seconds):
        parser.error("say how long: --runs or --seconds")
    warnings.simplefilter("error")
    targets = _find_targets(arguments.engine)
    if arguments.target not in targets:
        parser.error(f"there is no target {arguments.target}: choose {', '.join(targets)}")
    session = Session(targets[arguments.target](), arguments.findings)
    signal.signal(signal.SIGALRM, _too_long)
    signal.signal(signal.SIGPROF, _too_long)
    started = time.monotonic()
    if arguments.engine == "atheris":
        _fuzz_with_atheris(session, arguments)
    session.target.prepare()
    _limit_memory()
    _fuzz_at_random(session, arguments)
    print(json.dumps(session.report(time.monotonic() - started), indent=1))
    return int(bool(session.broken))


if __name__ == "__main__":
    sys.exit(main())
