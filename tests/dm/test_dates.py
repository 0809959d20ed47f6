"""Dates of any locale become ISO 8601, or nothing where they could be another day."""

import datetime as dt
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemzarr.metadata.dates import filetime_to_utc, parse_date, parse_moment, parse_time

DAYS = st.dates(dt.date(1990, 1, 1), dt.date(2060, 12, 31))
MOMENTS = st.datetimes(dt.datetime(1990, 1, 2), dt.datetime(2060, 12, 30))  # noqa: DTZ001 - local
MONTHS = (
    """January February March April May June July August September October November December""",
    """Januar Februar M\u00e4rz April Mai Juni Juli August September Oktober November Dezember""",
    """janvier f\u00e9vrier mars avril mai juin
    juillet ao\u00fbt septembre octobre novembre d\u00e9cembre""",
)


@given(day=DAYS)
def test_unambiguous_forms_are_read(day: dt.date) -> None:
    """ISO, German and written dates name one day."""
    english, german, french = (re.findall(r"\w+", names) for names in MONTHS)
    month = day.month - 1
    for text in (
        day.isoformat(),
        f"{day.day}.{day.month}.{day.year}",
        f"{day.day:02}.{day.month:02}.{day.year}",
        f"{day.year}/{day.month}/{day.day}",
        f"{english[month]} {day.day}, {day.year}",
        f"{day.day}. {german[month]} {day.year}",
        f"{day.day} {french[month]} {day.year}",
    ):
        assert parse_date(text) == day


@given(day=DAYS)
def test_american_and_french_dates_are_read_or_left_out(day: dt.date) -> None:
    """With slashes, a day beyond 12 settles the order; else nothing is read, nor invented."""
    for text in (f"{day.month}/{day.day}/{day.year}", f"{day.day:02}/{day.month:02}/{day.year}"):
        expected = day if day.day > 12 or day.day == day.month else None
        assert parse_date(text) == expected


@given(local=MOMENTS, quarters=st.integers(-48, 56), us=st.booleans())
def test_the_file_time_settles_the_order(local: dt.datetime, quarters: int, us: bool) -> None:
    """Universal time beside a local date tells day from month, and the offset."""
    zone = dt.timezone(dt.timedelta(minutes=15 * quarters))
    aware = local.replace(microsecond=0, tzinfo=zone)
    ticks = (aware - dt.datetime(1601, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1) * 10
    first, second = (aware.month, aware.day) if us else (aware.day, aware.month)
    text = f"{first}/{second}/{aware.year}"
    found = parse_moment(text, aware.strftime("%H:%M:%S"), utc=filetime_to_utc(ticks))
    assert found == aware.isoformat()


@given(time=st.times().map(lambda time: time.replace(microsecond=0)))
def test_both_clocks_are_read(time: dt.time) -> None:
    """The 12-hour and the 24-hour clock name the same time."""
    assert parse_time(time.isoformat()) == time
    hour, half = (time.hour + 11) % 12 + 1, "PM" if time.hour >= 12 else "AM"
    assert parse_time(f"{hour}:{time.minute:02}:{time.second:02} {half}") == time
    assert parse_time(f"{hour}:{time.minute:02}:{time.second:02}\u202f{half.lower()}") == time


@pytest.mark.parametrize("text", ["", "soon", "13/13/2020", "31.02.2020", "0.0.0", "1/1/1", "2020"])
def test_no_date_is_no_date(text: str) -> None:
    """What is no date is left out."""
    assert parse_date(text) is None
    assert parse_moment(text, "12:00") is None


@given(date=st.text(max_size=20), time=st.text(max_size=12), ticks=st.floats())
def test_any_text_is_taken(date: str, time: str, ticks: float) -> None:
    """No text and no number is too odd."""
    found = parse_moment(date, time, utc=filetime_to_utc(ticks))
    assert found is None or dt.datetime.fromisoformat(found)


def test_other_dates_of_the_file_settle_the_order() -> None:
    """A date that is clear shows how the same computer writes the others."""
    assert parse_date("7/9/2014", ["7/20/2014"]) == dt.date(2014, 7, 9)
    assert parse_date("7/9/2014", ["20/7/2014"]) == dt.date(2014, 9, 7)
    assert parse_date("7/9/2014", ["20/7/2014", "7/20/2014"]) is None
