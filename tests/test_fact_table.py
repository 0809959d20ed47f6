"""The table of facts is the one place of a fact: schema, docs, index, redaction and formats."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import stemzarr
import stemzarr_catalog
from stemzarr.metadata.facts import FACTS, FactRow
from stemzarr.metadata.units import UNITS
from stemzarr.testing import facts_table
from stemzarr.testing.pages import rewrite_page
from stemzarr_catalog import field_table

DOCS = Path(__file__).parents[1] / "docs"
ROW = """
    FactRow(
        name="badge",
        type="text",
        meaning="badge of the operator",
        personal=True,
        hyperspy="General.badge",
        found={"dm": at("Session Info/Badge"), "hyperspy": at("General.badge")},
    ),
    FactRow(
        name="gun_lens_keV",
        unit="keV",
        meaning="voltage of the gun lens",
        hyperspy="Acquisition_instrument.TEM.gun_lens",
        found={
            "dm": at("Microscope Info/Gun Lens", unit="V"),
            "hyperspy": at("TEM.gun_lens"),
        },
    ),
"""
WALK = """
from pathlib import Path
import numpy as np, xarray as xr
import stemzarr
from stemzarr.options import IngestOptions
from stemzarr.registry import read_source
from stemzarr.testing import DMImage, write_dm
from stemzarr_catalog import open_lake

tags = {"Session Info": {"Badge": "badge 4711"}, "Microscope Info": {"Gun Lens": 1500.0}}
write_dm(Path("a.dm4"), [DMImage(data=np.ones((4, 6), np.float32), tags=tags)])
write_dm(Path("b.dm4"), [DMImage(data=np.zeros((4, 6), np.float32), tags=tags)])
lake = open_lake("lake", create=True)
lake.ingest("a.dm4")
lake.ingest("b.dm4", options=IngestOptions(redact=True))
with xr.open_zarr("lake/stores/a.zarr") as found:
    assert found.attrs["badge"] == "badge 4711"
    assert found.attrs["gun_lens_keV"] == 1.5
assert lake.search('badge="badge 4711"').names == ["a"]
assert lake.search("gun_lens>1400V").names == ["a", "b"]
assert "badge" not in lake["b"].facts
stemzarr.export("lake/stores/a.zarr", "a.hspy")
back = read_source(Path("a.hspy")).document
assert (back.facts["badge"], back.facts["gun_lens_keV"]) == ("badge 4711", 1.5)
assert back.fact_paths["badge"].endswith("/General/badge"), back.fact_paths
"""


def test_a_fact_is_added_in_the_table_alone(tmp_path: Path) -> None:
    """A new row goes from a DM tag to attributes, index, query, redaction and .hspy, and back."""
    for package in (stemzarr, stemzarr_catalog):
        folder = Path(package.__file__).parent
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(folder, tmp_path / "copy" / folder.name, ignore=ignored)
    table = tmp_path / "copy" / "stemzarr" / "metadata" / "facts.py"
    text = table.read_text(encoding="utf-8")
    mark = "    # Dates and times"
    assert text.count(mark) == 1
    table.write_text(text.replace(mark, ROW + mark), encoding="utf-8")
    path = os.pathsep.join([str(tmp_path / "copy"), os.environ.get("PYTHONPATH", "")])
    subprocess.run(
        [sys.executable, "-c", WALK],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        check=True,
    )


def schema_of(fact: FactRow) -> dict[str, Any]:
    """Return what the schema says of the attribute of a fact."""
    if fact.type == "flag":
        return {"type": "integer", "enum": [0, 1]}
    if fact.or_text:
        return {"anyOf": [{"type": "number"}, {"type": "string"}]}
    return {"type": "number" if fact.type == "number" else "string"}


def test_the_schema_has_the_facts_of_the_table() -> None:
    """The JSON Schema names every fact, with its type, and no other."""
    schema = json.loads((DOCS / "attributes.schema.json").read_text(encoding="utf-8"))
    properties = schema["$defs"]["document"]["properties"]
    facts = {name: value for name, value in properties.items() if name not in ("title", "kind")}
    said = {name: value.pop("description") for name, value in facts.items()}
    assert facts == {fact.name: schema_of(fact) for fact in FACTS}
    assert all(fact.meaning in said[fact.name] for fact in FACTS)


def test_the_pages_have_the_tables_of_facts_and_fields() -> None:
    """The tables in the docs are those that the commands write."""
    made = [
        ("store.md", facts_table.COMMAND, facts_table.facts_table()),
        ("queries.md", field_table.COMMAND, field_table.field_table()),
    ]
    for name, command, table in made:
        page = (DOCS / name).read_text(encoding="utf-8")
        assert rewrite_page(page, command, table) == page, f"python -m {command} docs/{name}"


def test_every_fact_is_named_after_its_unit() -> None:
    """A number with a unit ends in it, and queries can convert it."""
    for fact in FACTS:
        assert fact.unit in UNITS or not fact.unit
        assert fact.name.endswith(f"_{fact.unit}" if fact.unit else "")
