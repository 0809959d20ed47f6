"""Queries find what they say, and say what is wrong with them."""

from __future__ import annotations

import dataclasses
import json
import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from stemzarr.errors import QueryError
from stemzarr_catalog import Lake
from stemzarr_catalog.index import Index
from stemzarr_catalog.notes import Notes
from stemzarr_catalog.record import flatten_tags, read_record
from stemzarr_catalog.search import names
from stemzarr_catalog.tables import Added, NewRow, fetch, put_rows

FOUND = {
    "": ["map", "overview", "scan"],
    "kind=4d-stem": ["map", "scan"],
    "kind=4D-STEM": ["map", "scan"],
    "kind=image,spectrum": ["overview"],
    "kind!=image": ["map", "scan"],
    "beam_energy_keV>=200": ["scan"],
    "beam_energy>=200": ["scan"],
    "beam_energy = 300kV": ["scan"],
    "beam_energy<100keV": ["map"],
    "beam_energy=50..100": ["map"],
    "camera_length<12cm": ["scan"],
    "exposure<10ms": ["scan"],
    "exposure < 10 ms": ["scan"],
    "exposure<10000 µs kind=4d-stem": ["scan"],
    "(beam_energy=300 kV)": ["scan"],
    'exposure<10 "min"': [],
    "exposure>=2s": ["map"],
    "size>=1kB": ["map", "overview", "scan"],
    "acquired>2026-01": ["scan"],
    "acquired<=2025": ["map"],
    "acquired=2026-01-15": ["scan"],
    "acquired=2025-12..2026-01": ["map", "scan"],
    "acquired=2026-01-15T10": ["scan"],
    "detector~k3": ["scan"],
    'detector="K3 IS"': ["scan"],
    "detector=k3*": ["scan"],
    'specimen=""': ["overview"],
    "specimen!~graphene": ["overview", "scan"],
    "complete=yes": ["overview", "scan"],
    "complete=0": ["map"],
    "scan_y>1": ["map", "scan"],
    "det_x=5": ["map", "scan"],
    "x=9": ["overview"],
    "SrTiO3": ["scan"],
    "srti": ["scan"],
    '"graphene on"': ["map"],
    "angstrom": ["scan"],
    "lacey carbon": ["overview"],
    "tag:Microscope Info.Voltage>2e5": ["map", "scan"],
    'tag:"Notes.Text"~carbon': ["overview"],
    "tag:Notes.Text": ["overview"],
    "tag:Voltage=300000 kind=4d-stem SrTiO3": ["scan"],
    "tag:Microscope Info.Name='titan x'": ["map", "scan"],
    "tag:Cs(mm)": ["map", "scan"],
    "(tag:Microscope Info.Cs(mm)<1) and not tag:Notes.Text": ["map", "scan"],
    "(tag:Voltage)": ["map", "scan"],
    "document:kind=image": ["map", "overview", "scan"],
    "document:title=Survey kind=4d-stem": ["map", "scan"],
    "det_x.scale=0.5": ["map", "scan"],
    "not kind=image": ["map", "scan"],
    "specimen=SrTiO3 or kind=image": ["overview", "scan"],
    "not (specimen=SrTiO3 or kind=image)": ["map"],
    "kind=4d-stem and not beam_energy>100": ["map"],
    "exports=0": ["map", "overview", "scan"],
    "name=s*": ["scan"],
    "name~CA": ["scan"],
    "tag=x": [],
    'tag=""': ["map", "overview", "scan"],
    "rebuildable=true": ["map", "overview", "scan"],
}


@pytest.mark.parametrize("query", FOUND)
def test_a_query_finds(lake: Lake, query: str) -> None:
    """Each form of the language finds the entries that it describes."""
    assert lake.search(query).names == FOUND[query]


@pytest.mark.parametrize("common", [0, 2, 2000])
@given(
    parts=st.lists(st.sampled_from(sorted(FOUND)[1:]), min_size=2, max_size=3),
    denied=st.booleans(),
    limit=st.none() | st.integers(0, 4),
    sort=st.sampled_from([None, "acquired", "det_x.scale"]),
)
@settings(
    max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
def test_parts_that_stand_together_are_an_intersection(
    lake: Lake, common: int, parts: list[str], *, denied: bool, limit: int | None, sort: str | None
) -> None:
    """Whichever part leads, whatever the order, and whether a part is rare or common."""
    found = set.intersection(*(set(FOUND[part]) for part in parts))
    query = " ".join(f"({part})" for part in parts)
    expected = set(FOUND[""]) - found if denied else found
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stemzarr_catalog.sql._COMMON", common)
        patch.setattr("stemzarr_catalog.search._MANY", max(common, 1))
        names = lake.search(f"not ({query})" if denied else query, limit=limit, sort=sort).names
    assert set(names) <= expected
    assert len(names) == len(sorted(expected)[:limit])
    if sort is None:
        assert names == sorted(expected)[:limit]


WRONG = {
    "beem_energy>3": "did you mean beam_energy_keV",
    "voltage>3": "did you mean beam_energy_keV",
    "stage_tilt>3": "did you mean tilt_alpha_deg or tilt_beta_deg",
    "tagg=good": "did you mean tag",
    "kind:image": "did you mean kind=image",
    "ndim>2nm": "write ndim=2",
    "or x": "missing before 'or'",
    "kind<3": "text and does not take '<'",
    "beam_energy~3": "number and does not take '~'",
    "beam_energy=>3": "did you mean >=",
    "beam_energy=blue": "is a number",
    "exposure<10m": "known units: ns, us, ms, s",
    "acquired>yesterday": "is a date",
    "acquired>2026-13": "not a date",
    "acquired=9999-12-31": "not a date",
    "complete=maybe": "yes or no",
    "tag:Microscope Info.Voltag>3": "did you mean ImageList.0.ImageTags.Microscope Info.Voltage",
    "document:kimd=image": "did you mean kind",
    "(kind=image": "')' is missing",
    "kind=image)": "')' too many",
    "kind=": "value is missing",
    'kind="image': "quote is not closed",
    "=3": "stands alone",
    "or": "something is missing",
    "not": "something is missing",
    "!!!": "stands alone",
    "...": "no letter or digit",
    "(" * 500 + "a": "brackets",
    "not " * 500 + "a": "brackets",
}


@pytest.mark.parametrize("query", WRONG)
def test_a_wrong_query_is_told_what_would_be_right(lake: Lake, query: str) -> None:
    """The message names the nearest field, operator or unit."""
    with pytest.raises(QueryError) as caught:
        lake.search(query)
    assert WRONG[query] in str(caught.value)


def test_a_value_that_nothing_has_is_told(lake: Lake) -> None:
    """A query that finds nothing because of a misspelled value says so."""
    lake.tag("scan", "thick")
    assert lake.unknown_values("kind=4d scan_y>1") == ["no entry has kind=4d; did you mean 4d-stem"]
    assert lake.unknown_values("tag=thik or Kind=IMAGE") == [
        "no entry has tag=thik; did you mean thick"
    ]
    assert lake.unknown_values('not kind=4d specimen="" name=x* SrTiO3 exposure=9') == []
    assert lake.unknown_values("operator=Zyx") == ["no entry has operator=Zyx"]


@given(st.text(max_size=60) | st.text("kind=()'\"<>~!,.:ortagn- \\*%_;", max_size=40))
@settings(max_examples=200)
def test_any_text_is_a_query_or_a_query_error(lake: Lake, text: str) -> None:
    """No text reaches SQL, and none raises anything else."""
    try:
        lake.search(text)
    except QueryError:
        return


@given(st.text(min_size=1, max_size=20))
@settings(max_examples=60)
def test_a_quoted_value_is_taken_as_it_is(lake: Lake, value: str) -> None:
    """What ``tag=`` is asked for is what was written, quotes and wildcards too."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    assert lake.search(f'tag="{escaped}"').names == []


ORDER: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@given(
    symbol=st.sampled_from(sorted(ORDER)),
    number=st.sampled_from([79.0, 80.0, 81.0, 299.5, 300.0, 300.5]),
    denied=st.booleans(),
)
@settings(max_examples=40)
def test_comparisons_are_those_of_python(
    lake: Lake, symbol: str, number: float, denied: bool
) -> None:
    """Order is that of numbers; a denial is true of what is not known."""
    energies = {"map": 80.0, "overview": None, "scan": 300.0}
    compare = ORDER[symbol]
    expected = [n for n, e in energies.items() if (e is not None and compare(e, number)) != denied]
    query = f"{'not ' if denied else ''}beam_energy{symbol}{number}"
    assert lake.search(query).names == expected


def test_sorting_puts_unknown_values_last(lake: Lake) -> None:
    """In both directions, and a limit takes the first."""
    assert lake.search(sort="beam_energy").names == ["map", "scan", "overview"]
    assert lake.search(sort="beam_energy", descending=True).names == ["scan", "map", "overview"]
    assert lake.search(sort="acquired", limit=1).names == ["map"]
    with pytest.raises(QueryError, match="did you mean acquired"):
        lake.search(sort="aquired")
    with pytest.raises(QueryError, match="did you mean kind"):
        lake.facets("kin")


TREES = st.recursive(
    st.text(max_size=8) | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=12,
)


@example(tree={"": ["true", True], "a": [0, 0.0]}, number=0)
@given(tree=st.dictionaries(st.text(max_size=5), TREES), number=st.integers(-(2**70), 2**70))
@settings(max_examples=50)
def test_any_tag_tree_can_be_indexed(template: Path, tree: dict[str, Any], number: int) -> None:
    """Each text and number of it is found by its path, and a second writing changes nothing."""
    record = read_record(template / "stores" / "scan.zarr", "scan")
    tree = {"own": {"number": number, "text": "nan"}, "other": tree}
    index = Index(None)
    for _ in range(2):
        with index.writing() as connection:
            changed = dataclasses.replace(record, tags=tree)
            put_rows(connection, [NewRow(record=changed, notes=Notes(), added=Added(signature=""))])
    with index.reading() as connection:
        assert names(connection, f'tag:own.number="{float(number)}"') == ["scan"]
        assert names(connection, "tag:own.text=nan") == ["scan"]
        assert names(connection, "tag:own.text>0") == []
        postings = fetch(connection, "SELECT count(*) FROM tag_posting")[0][0]
        # A list may hold equal numbers, 1 and 1.0, or a number and its text: one query finds both.
        found = dict.fromkeys(flatten_tags(tree))
        leaves = {(p, v if isinstance(v, str) else json.dumps(v)) for p, v in found}
        assert postings == len(leaves)


@given(
    trees=st.lists(st.dictionaries(st.text(max_size=3), TREES, max_size=3), min_size=2, max_size=4)
)
@settings(max_examples=40)
def test_many_rows_at_once_are_as_one_by_one(template: Path, trees: list[dict[str, Any]]) -> None:
    """Which entries have which values of which tags does not depend on how they came."""
    record = read_record(template / "stores" / "scan.zarr", "scan")
    rows = []
    for number, tree in enumerate(trees):
        columns = {**record.columns, "name": f"n{number}"}
        changed = dataclasses.replace(record, name=f"n{number}", columns=columns, tags=tree)
        rows.append(NewRow(record=changed, notes=Notes(), added=Added(signature="")))
    seen = []
    for batches in ([rows], [[row] for row in rows]):
        index = Index(None)
        for batch in batches:
            with index.writing() as connection:
                put_rows(connection, batch)
        sql = (
            "SELECT name, path.path, tag_value.text FROM tag_posting"
            " JOIN entry ON entry.id = tag_posting.entry"
            " JOIN tag_value ON tag_value.id = tag_posting.value"
            " JOIN tag_path AS path ON path.id = tag_value.path ORDER BY 1, 2, 3"
        )
        with index.reading() as connection:
            seen.append((fetch(connection, sql), fetch(connection, "SELECT * FROM words")))
    assert seen[0] == seen[1]
