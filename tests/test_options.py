"""Options are validated once, when they are made."""

from __future__ import annotations

import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemzarr.errors import OptionError
from stemzarr.options import ExportOptions, IngestOptions, ReadOptions, parse_bytes


@given(
    st.integers(0, 2**20), st.sampled_from([("", 1), ("kB", 1000), ("MiB", 2**20), ("gb", 10**9)])
)
def test_a_size_is_its_number_times_its_unit(number: int, unit: tuple[str, int]) -> None:
    """Decimal and binary prefixes in any case, with or without a space."""
    name, factor = unit
    assert parse_bytes(f"{number}{name}") == parse_bytes(f" {number} {name} ") == number * factor


@given(st.text(max_size=12))
def test_any_other_text_is_refused(text: str) -> None:
    """Text is a non-negative size or an `OptionError`, never another exception."""
    try:
        size = parse_bytes(text)
    except OptionError:
        size = 0
    assert size >= 0


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ReadOptions(layout="sideways"), "detector-fast"),  # type: ignore[arg-type]
        (lambda: ReadOptions(scan_shape=(0, 4)), "at least 1"),
        (lambda: IngestOptions(codec="zip"), "zstd"),  # type: ignore[arg-type]
        (lambda: IngestOptions(memory=1000), "at least"),
        (lambda: IngestOptions(threads=0), "at least 1"),
        (lambda: IngestOptions(workers=2, scheduler="tcp://a:1"), "one of them"),
        (lambda: ExportOptions(tensor="flat"), "patterns"),  # type: ignore[arg-type]
    ],
)
def test_a_value_that_cannot_work_is_refused_with_what_would(make: object, said: str) -> None:
    """The message names the option and what it takes."""
    with pytest.raises(OptionError, match=said):
        make()  # type: ignore[operator]


def test_options_are_frozen_picklable_and_recorded_as_json() -> None:
    """A store keeps the options that shaped it; a worker process gets the same ones."""
    options = IngestOptions(codec="lz4", facts={"camera_length_mm": 115.0}, threads=3)
    assert pickle.loads(pickle.dumps(options)) == options
    assert json.loads(json.dumps(options.record()))["codec"] == "lz4"
    with pytest.raises(AttributeError):
        options.codec = "none"  # type: ignore[misc]
