"""Dates and times as instruments write them, in the language of their computer, to ISO 8601."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Iterable, Iterator
from typing import Final

__all__ = ["filetime_to_utc", "parse_date", "parse_moment", "parse_time", "utc_now"]

_MONTHS: Final = (
    ("jan", "janvier", "januar", "j\u00e4n"),
    ("feb", "f\u00e9v", "fev"),
    ("mar", "m\u00e4r", "mrz", "mars"),
    ("apr", "avr"),
    ("may", "mai"),
    ("jun", "juin"),
    ("jul", "juil"),
    ("aug", "ao\u00fb", "aou"),
    ("sep",),
    ("oct", "okt"),
    ("nov",),
    ("dec", "dez", "d\u00e9c"),
)
"""Beginnings of the months' names in English, German and French."""
_AFTERNOON: Final = (
    "pm",
    "p.m.",
    "p. m.",
    "nachm.",
    "\u4e0b\u5348",
    "\u5348\u5f8c",
    "\uc624\ud6c4",
)
_MORNING: Final = ("am", "a.m.", "a. m.", "vorm.", "\u4e0a\u5348", "\u5348\u524d", "\uc624\uc804")
_NUMERIC = re.compile(r"(\d{1,4})\s*([./-])\s*(\d{1,2})\s*\2\s*(\d{1,4})\.?")
_NUMBER = re.compile(r"(\d+)(?:st|nd|rd|th|er)?")
_TIME = re.compile(r"(\d{1,2})\s*[:h]\s*(\d{2})(?:\s*[:m]\s*(\d{2})(?:[.,](\d{1,9}))?)?\s*s?")
_FILETIME_EPOCH = dt.datetime(1601, 1, 1, tzinfo=dt.UTC)
_PLAUSIBLE_YEARS = range(1980, 2100)
_CENTURY_TURN = 69
_NOON = 12
_QUARTER = dt.timedelta(minutes=15)
_FARTHEST_ZONE = dt.timedelta(hours=14)
_CLOCK_ERROR = dt.timedelta(minutes=2)


def parse_date(text: str, others: Iterable[str] = ()) -> dt.date | None:
    """Return the date that a text names; None where it could be more than one.

    Parameters
    ----------
    text
        Such as ``27.08.2016``, ``9/16/2021``, ``2021-09-16``, ``16. September 2021``.
    others
        Further dates by the same computer: one that can only be read month first, or day first,
        settles how `text` is read.

    Examples
    --------
    >>> parse_date("27.08.2016"), parse_date("9/16/2021")
    (datetime.date(2016, 8, 27), datetime.date(2021, 9, 16))
    >>> parse_date("7/9/2014") is None
    True
    >>> parse_date("7/9/2014", others=["7/20/2014"])
    datetime.date(2014, 7, 9)
    """
    readings = _readings(text)
    if len(set(readings.values())) > 1:
        known = [_readings(other) for other in others]
        orders = {next(iter(found)) for found in known if len(set(found.values())) == 1}
        orders &= set(readings)
        readings = {order: readings[order] for order in orders}
    dates = set(readings.values())
    return dates.pop() if len(dates) == 1 else None


def possible_dates(text: str) -> set[dt.date]:
    """Return every date that a text may name."""
    return set(_readings(text).values())


def _readings(text: str) -> dict[str, dt.date]:
    """Return the dates that a text may name, by the order of its parts."""
    cleaned = text.strip().lower()
    match = _NUMERIC.fullmatch(cleaned)
    if match is None:
        written = _written_date(cleaned)
        return {} if written is None else {"words": written}
    first, second, third = match[1], match[3], match[4]
    readings: dict[str, dt.date | None] = {}
    if len(first) > len("31"):
        readings["ymd"] = _date(first, second, third)
    elif match[2] == ".":
        readings["dmy"] = _date(third, second, first)
    else:
        readings["mdy"] = _date(third, first, second)
        readings["dmy"] = _date(third, second, first)
        if len(third) <= len("31"):
            readings["ymd"] = _date(first, second, third)
    return {order: date for order, date in readings.items() if date is not None}


def _date(year: str, month: str, day: str) -> dt.date | None:
    if len(year) not in (len("21"), len("2021")):
        return None
    number = int(year)
    if len(year) == len("21"):
        number += 2000 if number < _CENTURY_TURN else 1900
    if number not in _PLAUSIBLE_YEARS:
        return None
    try:
        return dt.date(number, int(month), int(day))
    except ValueError:
        return None


def _written_date(text: str) -> dt.date | None:
    """Return a date whose month is a word, such as ``jeudi 16 septembre 2021``."""
    words = re.findall(r"\w+", text)
    months = {number for word in words for number in _months(word)}
    numbers = [match[1] for word in words if (match := _NUMBER.fullmatch(word))]
    days = [word for word in numbers if len(word) <= len("31")]
    years = [word for word in numbers if len(word) == len("2021")]
    if len(months) != 1 or len(days) != 1 or len(years) != 1:
        return None
    return _date(years[0], str(months.pop()), days[0])


def _months(word: str) -> Iterator[int]:
    if not word.isalpha() or len(word) < len("may"):
        return
    for number, names in enumerate(_MONTHS, start=1):
        if any(word.startswith(name) for name in names):
            yield number


def parse_time(text: str) -> dt.time | None:
    """Return the time of day that a text names, in the 12-hour or 24-hour clock.

    Examples
    --------
    >>> parse_time("12:06:16 PM"), parse_time("20:54:33"), parse_time("8h54")
    (datetime.time(12, 6, 16), datetime.time(20, 54, 33), datetime.time(8, 54))
    """
    cleaned = text.replace("\N{NO-BREAK SPACE}", " ").replace("\N{NARROW NO-BREAK SPACE}", " ")
    cleaned = cleaned.strip().lower()
    half = None
    for number, marks in enumerate((_MORNING, _AFTERNOON)):
        for mark in marks:
            if cleaned.endswith(mark) or cleaned.startswith(mark):
                cleaned = cleaned.removesuffix(mark).removeprefix(mark).strip()
                half = number
    match = _TIME.fullmatch(cleaned)
    if match is None:
        return None
    hour = int(match[1])
    if half is not None:
        if not 1 <= hour <= _NOON:
            return None
        hour = hour % _NOON + _NOON * half
    try:
        micro = int((match[4] or "0").ljust(6, "0")[:6])
        return dt.time(hour, int(match[2]), int(match[3] or 0), micro)
    except ValueError:
        return None


def filetime_to_utc(ticks: float) -> dt.datetime | None:
    """Return the moment of a Windows file time: tenths of a microsecond since 1601, UTC."""
    if not math.isfinite(ticks):
        return None
    try:
        moment = _FILETIME_EPOCH + dt.timedelta(microseconds=int(ticks) // 10)
    except OverflowError:
        return None
    return moment if moment.year in _PLAUSIBLE_YEARS else None


def parse_moment(
    date: str, time: str = "", *, utc: dt.datetime | None = None, others: Iterable[str] = ()
) -> str | None:
    """Return date and time as ISO 8601; None where the date is unreadable or ambiguous.

    Parameters
    ----------
    date, time
        As the instrument wrote them, in local time.
    utc
        The same moment in universal time, where it is known: it settles the order of day and
        month, and gives the offset of the local time.
    others
        Further dates by the same computer; see `parse_date`.

    Returns
    -------
    str or None
        Such as ``2021-09-16T12:06:16-07:00``; without offset where `utc` is None or does not
        fit, without time where that is unreadable.

    Examples
    --------
    >>> parse_moment("27.08.2016", "20:54:33")
    '2016-08-27T20:54:33'
    """
    clock = parse_time(time)
    if utc is not None and clock is not None:
        for day in sorted(possible_dates(date)):
            zone = _zone(dt.datetime.combine(day, clock), utc)
            if zone is not None:
                return dt.datetime.combine(day, clock, zone).isoformat()
    found = parse_date(date, others)
    if found is None:
        return None
    return found.isoformat() if clock is None else dt.datetime.combine(found, clock).isoformat()


def _zone(local: dt.datetime, utc: dt.datetime) -> dt.timezone | None:
    """Return the time zone in which both name one moment, give or take two minutes."""
    offset = local - utc.replace(tzinfo=None)
    rounded = round(offset / _QUARTER) * _QUARTER
    if abs(rounded) > _FARTHEST_ZONE or abs(offset - rounded) > _CLOCK_ERROR:
        return None
    return dt.timezone(rounded)


def utc_now() -> str:
    """Return this moment to the second, ISO 8601 in UTC."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
