"""The form of a store: one set of types, by which metadata are checked and the schema is made."""

from __future__ import annotations

import json
import math
import random
import re
from pathlib import Path
from typing import Any, Never

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemzarr.store.format.form import ATTRIBUTES
from stemzarr.store.format.nodes import check_nodes
from stemzarr.store.format.tree import read_nodes
from stemzarr.store.format.typed_json import misfits
from stemzarr.testing.mutation import mutate_json
from stemzarr.testing.store_schema import store_schema

SCHEMA = Path(__file__).parents[2] / "docs" / "attributes.schema.json"
STORES = sorted((Path(__file__).parents[1] / "golden" / "schema-1" / "lake" / "stores").iterdir())


def _is_number(_: object, value: object) -> bool:
    """Return what JSON can hold: jsonschema takes infinities for numbers, too."""
    return type(value) in (int, float) and not (
        isinstance(value, float) and not math.isfinite(value)
    )


_TYPES = jsonschema.Draft202012Validator.TYPE_CHECKER.redefine_many(
    {"number": _is_number, "integer": lambda _, value: type(value) is int}
)
_Validator = jsonschema.validators.extend(jsonschema.Draft202012Validator, type_checker=_TYPES)


def test_the_published_schema_is_made_of_the_types() -> None:
    """The file in the docs is what the command writes, and it is a JSON Schema."""
    text = SCHEMA.read_text(encoding="utf-8")
    assert text == store_schema(), (
        "python -m stemzarr.testing.store_schema docs/attributes.schema.json"
    )
    jsonschema.Draft202012Validator.check_schema(json.loads(text))


@given(seed=st.integers(0, 2**32), data=st.data())
def test_the_checks_agree_with_a_validator_of_the_schema(seed: int, data: st.DataObject) -> None:
    """Whatever is changed in the attributes of a golden store, both take it or both refuse it."""
    nodes = read_nodes(data.draw(st.sampled_from(STORES)))
    paths = {"root": "", "intensity": "intensity", "preview": "preview", "source": "source"}
    paths["coordinate"] = nodes["intensity"]["dimension_names"][0]
    kind = data.draw(st.sampled_from(sorted(paths)))
    attributes = mutate_json(nodes[paths[kind]]["attributes"], random.Random(seed))
    schema = json.loads(SCHEMA.read_text(encoding="utf-8")) | {"$ref": f"#/$defs/{kind}"}
    refused = [error.message for error in _Validator(schema).iter_errors(attributes)]
    assert bool(misfits(attributes, ATTRIBUTES[kind])) == bool(refused), refused


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda record: record.pop("header_hash"), "source: header_hash is missing"),
        (
            lambda record: record["documents"][0].update(index="0"),
            r"source: documents\[0\].index is '0', not an integer from 0 to \d+",
        ),
        (
            lambda record: record["documents"][0].update(layout={"order": "up"}),
            r"source: documents\[0\].layout.evidence is missing",
        ),
        (
            lambda record: record["segments"][0].update(encoding="zip"),
            r"source: segments\[0\].encoding is 'zip', not 'plain' or 'packed-complex' or",
        ),
        (
            lambda record: record["ingest"]["options"]["read"].update(scan_shape="4x5"),
            "source: ingest.options.read.scan_shape is '4x5', not a list or null",
        ),
    ],
)  # fmt: skip
def test_a_refusal_says_where_and_what(change: Any, message: str) -> None:
    """The place within the record, what is there, and what it must be."""
    nodes = read_nodes(STORES[0])
    assert check_nodes(nodes) == ""
    change(nodes["source"]["attributes"])
    wrong = check_nodes(nodes)
    assert re.match(message, wrong), wrong


@pytest.mark.parametrize(
    ("value", "form"),
    [(True, int), (True, float), (1.0, int), (10**400, float), (math.inf, float), (0, Never)],
)
def test_no_number_passes_for_another(value: object, form: Any) -> None:
    """True is no number, a whole float no integer, and what no float holds no number."""
    assert misfits(value, form, "size")[0].startswith(f"size is {repr(value)[:30]}")
