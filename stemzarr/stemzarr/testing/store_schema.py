"""The JSON Schema of a store's attributes, docs/attributes.schema.json, from the types of its form.

``python -m stemzarr.testing.store_schema docs/attributes.schema.json`` writes it again.
"""

from __future__ import annotations

import json

from stemzarr.store.format.form import ATTRIBUTES
from stemzarr.store.format.typed_json import json_schema
from stemzarr.testing.pages import write_page

__all__ = ["store_schema"]


def store_schema() -> str:
    """Return the schema as the file holds it."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://stemzarr.readthedocs.io/schema/1/attributes.schema.json",
        "title": "Attributes of a stemzarr store, schema version 1",
        "description": "One definition for each kind of node; attributes of the root are checked"
        " against `root`, those of a group below `documents` against `document`, and so on.",
        "$ref": "#/$defs/root",
        "$defs": {kind: json_schema(form) for kind, form in ATTRIBUTES.items()},
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    write_page(lambda _: store_schema())
