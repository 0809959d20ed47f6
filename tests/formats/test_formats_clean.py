"""Metadata of any kind becomes JSON that strict parsers take; titles become safe names."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays, scalar_dtypes

from stemzarr.formats.naming import make_slugs
from stemzarr.metadata.clean import clean_json
from stemzarr.metadata.finding import facts_from_hyperspy, iso_datetime
from stemzarr.store.format.schema import group_node

leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.complex_numbers()
    | st.text(st.characters(exclude_categories=()))
    | st.binary()
    | st.datetimes()
    | arrays(scalar_dtypes(), array_shapes(min_dims=0, max_side=3))
    | scalar_dtypes().map(lambda dtype: np.zeros(1, dtype)[0])
)
trees = st.recursive(
    leaves,
    lambda below: (
        st.lists(below, max_size=4)
        | st.tuples(below, below)
        | st.dictionaries(st.text() | st.integers() | st.binary(), below, max_size=4)
    ),
    max_leaves=15,
)


@given(trees)
def test_any_tree_becomes_strict_json(tree: Any) -> None:
    """What comes out is the same after a way through strict JSON in UTF-8, and is idempotent."""
    cleaned = clean_json(tree)
    text = json.dumps(cleaned, allow_nan=False, ensure_ascii=False).encode("utf-8")
    assert json.loads(text) == cleaned
    assert clean_json(cleaned) == cleaned


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text("aµÅ ."), st.lists))
def test_clean_json_stays_as_it_is(tree: Any) -> None:
    """What is clean already is not changed."""
    assert clean_json(tree) == tree


def test_no_key_is_lost_and_depth_has_an_end() -> None:
    """Keys that are equal as text are all kept; a tree that holds itself ends."""
    assert clean_json({1: "a", "1": "b"}) == {"1": "a", "1'": "b"}
    ring: dict[str, Any] = {}
    ring["ring"] = ring
    json.dumps(clean_json(ring))


def test_large_arrays_are_described() -> None:
    """An array that would drown the metadata is told by its shape and type."""
    assert clean_json(np.zeros((2000, 2000), "u2")) == {"shape": [2000, 2000], "dtype": "uint16"}


@given(st.lists(st.text(max_size=60), max_size=30))
def test_slugs_are_safe_and_unique(titles: list[str]) -> None:
    """Every title has a name of letters, digits and underscores that no other has."""
    slugs = make_slugs(titles)
    assert len(set(slugs)) == len(titles)
    assert all(slug.replace("_", "").isascii() and slug == slug.lower() for slug in slugs)
    assert not set(slugs) & {"scan", "det", "con", "nul", ""}


@given(st.datetimes(timezones=st.none() | st.just(dt.UTC)))
def test_dates_survive(moment: dt.datetime) -> None:
    """Date and time in parts become the ISO 8601 text of the whole."""
    zone = "UTC" if moment.tzinfo else ""
    found = iso_datetime(moment.date().isoformat(), moment.time().isoformat(), zone)
    assert dt.datetime.fromisoformat(found) == moment


@given(trees)
def test_facts_of_any_tree(tree: Any) -> None:
    """Whatever stands where facts are looked for, only finite numbers and text come out."""
    tem = {"beam_energy": tree, "camera_length": tree, "Stage": tree, "microscope": tree}
    metadata = {"Acquisition_instrument": {"TEM": tem}, "General": {"date": tree}, "Sample": tree}
    facts, paths = facts_from_hyperspy(clean_json(metadata))
    assert facts.keys() == paths.keys()
    json.dumps(facts, allow_nan=False)


def test_attributes_that_say_nothing_are_left_out() -> None:
    """Of a node, what is unknown or no finite number; all else is clean JSON."""
    attributes = {"a": None, "b": np.float32("nan"), "c": -np.inf, "d": np.int8(3), "e": ["x", 1.5]}
    assert group_node(attributes)["attributes"] == {"d": 3, "e": ["x", 1.5]}
