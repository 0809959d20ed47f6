"""Work that goes on for days: within hours, at a rate, and over shares that go away."""

# ruff: noqa: DTZ001 - hours of the day are local
from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemzarr.errors import OptionError, ReadError, SourceNotFoundError
from stemzarr.options import IngestOptions
from stemzarr.testing import write_synthetic_dm4
from stemzarr_catalog import open_lake
from stemzarr_catalog.pace import Hours, OutsideHoursError, Pace, parse_hours
from stemzarr_catalog.watch import Watcher, WatchOptions
from stemzarr_cli import steady
from stemzarr_cli.program import run
from stemzarr_cli.report import Report
from stemzarr_cli.steady import Steady

NIGHT = parse_hours("20:00-07:00")


@given(st.times(), st.times(), st.datetimes(dt.datetime(2000, 1, 1), dt.datetime(2100, 1, 1)))
def test_after_the_wait_it_is_time(begin: dt.time, end: dt.time, now: dt.datetime) -> None:
    """Within the hours nothing is waited for; else the begin, within a day."""
    hours = Hours(begin=begin, end=end)
    left = hours.seconds_until(now)
    assert 0 <= left <= 86400
    then = now + dt.timedelta(seconds=left)
    if begin != end:
        assert hours.seconds_until(then) < 1e-3
        assert (
            left == 0 or abs(dt.datetime.combine(then.date(), begin) - then).total_seconds() < 1e-3
        )


@pytest.mark.parametrize("text", ["20:00", "20-07", "25:00-07:00", "07:00-07:00", "night"])
def test_hours_that_are_none_are_refused(text: str) -> None:
    """With the form that they have."""
    with pytest.raises(OptionError, match="20:00-07:00"):
        parse_hours(text)


class Clock:
    """Time that only sleeping moves."""

    def __init__(self, begin: str) -> None:
        self.begin, self.passed = dt.datetime.fromisoformat(begin), 0.0

    def now(self) -> dt.datetime:
        return self.begin + dt.timedelta(seconds=self.passed)

    def clock(self) -> float:
        return self.passed

    def sleep(self, seconds: float) -> None:
        assert 0 < seconds <= 5
        self.passed += seconds

    def pace(self, **options: Any) -> Pace:
        return Pace(now=self.now, clock=self.clock, sleep=self.sleep, **options)


@pytest.fixture
def scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a scan in a folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "share").mkdir()
    path = tmp_path / "share" / "scan.dm4"
    write_synthetic_dm4(path, (8, 8), (16, 16))
    return path


def test_a_rate_is_kept(scan: Path) -> None:
    """Bytes of pixel data in a second, whatever the threads."""
    clock = Clock("2026-01-15T12:00:00")
    done: list[tuple[int, int]] = []
    follow = clock.pace(bandwidth=1000).follow(lambda *now: done.append(now))
    lake = open_lake(scan.parent / "lake", create=True)
    lake.ingest(scan, options=IngestOptions(sync=False, threads=2), progress=follow)
    assert done[-1][0] == done[-1][1]
    assert clock.passed == pytest.approx(done[-1][1] / 1000)


def test_without_limits_nothing_is_in_between() -> None:
    """The callback is the one that was given."""
    assert Pace().follow(None) is None
    assert Pace().follow(print) is print


def test_the_end_of_the_hours_stops_a_file_that_is_resumed(scan: Path) -> None:
    """What was done is kept until the next evening."""
    clock = Clock("2026-01-15T06:59:59")
    report = Report("stemzarr ingest", quiet=True)
    lake = open_lake(scan.parent / "lake", create=True)
    paced = Steady(report, clock.pace(hours=NIGHT), lake.path, [scan.parent], clock.sleep)
    calls: list[float] = []

    def ingest() -> str:
        calls.append(clock.passed)

        def progress(_done: int, _total: int) -> None:
            clock.passed += 1.0

        follow = paced.pace.follow(progress)
        return lake.ingest(scan, options=IngestOptions(sync=False), progress=follow).status

    assert paced.do(ingest, scan) in ("ingested", "resumed")
    assert len(calls) == 2
    assert clock.begin + dt.timedelta(seconds=calls[1]) >= dt.datetime(2026, 1, 15, 20)
    with pytest.raises(OutsideHoursError):
        Pace(hours=NIGHT, now=lambda: dt.datetime(2026, 1, 15, 12)).follow(None)(0, 1)  # type: ignore[misc]


@pytest.mark.parametrize("how", ["unmounted", "gone"])
def test_a_share_that_goes_away_is_waited_for(
    scan: Path, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its folder is empty, or is not there; what was under way is done again when it is back."""
    share, aside = scan.parent, scan.parent.with_name("aside")
    clock = Clock("2026-01-15T12:00:00")
    polls: list[float] = []

    def sleep(seconds: float) -> None:
        polls.append(seconds)
        if len(polls) == 3:
            shutil.rmtree(share, ignore_errors=True)
            aside.rename(share)

    def act() -> str:
        if not polls and share.exists():
            share.rename(aside)
            if how == "unmounted":
                share.mkdir()
        if not scan.exists():
            raise ReadError("cannot be read: it went away", path=scan)
        return "done"

    lake = open_lake(scan.parent.parent / "lake", create=True)
    waits = Steady(Report("stemzarr ingest"), clock.pace(), lake.path, [share], sleep)
    assert waits.do(act, scan) == "done"
    assert len(polls) == 3
    said = capsys.readouterr().err
    assert "share is gone" in said
    assert "share is back" in said


def test_a_file_that_is_removed_is_no_share_that_went_away(scan: Path) -> None:
    """Its folder is the one that it was: that is an error, and is not waited for."""

    def act() -> None:
        scan.unlink()
        raise SourceNotFoundError("there is no such file", path=scan)

    lake = open_lake(scan.parent.parent / "lake", create=True)
    with pytest.raises(SourceNotFoundError):
        Steady(Report("x"), Pace(), lake.path, [scan.parent]).do(act, scan)


def test_watching_waits_for_the_hours(scan: Path) -> None:
    """Files that came by day are listed as waiting."""
    clock = Clock("2026-01-15T19:59:59")
    lake = open_lake(scan.parent.parent / "lake", create=True)
    watcher = Watcher(
        lake,
        [scan.parent],
        options=IngestOptions(sync=False),
        patience=WatchOptions(settle_s=0),
        pace=clock.pace(hours=NIGHT),
        clock=clock.clock,
    )
    assert list(watcher.step()) == []
    assert watcher.waiting() == {scan: "waits"}
    clock.passed += 2
    assert [event.status for event in watcher.step()] == ["ingested"]


def test_the_options_reach_the_ingest(
    scan: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both of them; a rate with workers, who read by themselves, is refused."""
    made: list[Pace] = []

    def remember(**options: Any) -> Pace:
        made.append(Pace(**options))
        return made[-1]

    monkeypatch.setattr(steady, "Pace", remember)
    assert run(["ingest", str(scan), "--hours", "00:00-23:59", "--bandwidth", "1GB"]) == 0
    assert made[0].bandwidth == 10**9
    assert made[0].hours == Hours(begin=dt.time(0), end=dt.time(23, 59))
    assert run(["ingest", str(scan), "--bandwidth", "1GB", "--workers", "2"]) == 2
    assert "--threads" in capsys.readouterr().err
    assert run(["ingest", str(scan), "--hours", "late"]) == 2
    said: Callable[[], Any] = capsys.readouterr
    assert "20:00-07:00" in said().err
