"""Whatever a file says, the terminal shows it and obeys none of it."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from stemzarr_cli.parameters import read_value
from stemzarr_cli.text import format_bytes, format_number, format_seconds, one_line, printable

CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@given(st.text(st.characters(exclude_categories=())))
def test_printable_leaves_no_control_character(text: str) -> None:
    """No control, surrogate or direction character survives, and the rest stays as it is."""
    shown = printable(text)
    assert not CONTROL.search(shown)
    shown.encode("utf-8")
    if text.isprintable():
        assert shown == text


@given(st.text(st.characters(exclude_categories=())))
def test_one_line_is_one_line(text: str) -> None:
    """An error or title never begins a second line."""
    assert len(one_line(text).splitlines()) <= 1


@given(st.integers(min_value=0, max_value=10**15))
def test_sizes_keep_three_digits(count: int) -> None:
    """A size that is read back differs by less than one percent."""
    value, unit = format_bytes(count).split()
    factor = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}[unit]
    assert abs(float(value) * factor - count) <= 0.01 * count


@given(st.floats(min_value=0, max_value=10**6, allow_nan=False))
def test_durations_are_never_empty(seconds: float) -> None:
    """Every duration has a number and a unit."""
    assert re.fullmatch(r"\d[\d.]* (s|min|h)( \d+ (s|min))?", format_seconds(seconds))


def test_numbers_that_are_not_finite_are_words() -> None:
    """NaN and infinity are shown rather than formatted."""
    assert format_number(float("nan")) == "nan"
    assert format_number(float("inf")) == "inf"


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers())
def test_values_of_facts_come_back_as_numbers(number: float) -> None:
    """What Python prints for a number is read as that number."""
    assert read_value(str(number)) == number


@given(st.text(alphabet="abcdef_/:- "))
def test_values_that_are_no_numbers_stay_text(text: str) -> None:
    """Words are never taken for numbers, ``nan``, ``inf`` and ``1_000`` neither."""
    assert read_value(text) == text
