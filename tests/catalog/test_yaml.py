"""catalog.yaml is plain V1 YAML that moves with the lake and runs nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import intake
import yaml
from hypothesis import given
from hypothesis import strategies as st
from intake.catalog.utils import expand_templates

from stemzarr_catalog import Lake, open_lake
from stemzarr_catalog.intake_yaml import inert

Add = Callable[..., Path]


@given(st.text("{}%# ab'\"", max_size=12))
def test_no_text_is_a_template(text: str) -> None:
    """Jinja, which intake passes every text through, gives it back as it is."""
    plain = inert(text)
    rendered, _ = expand_templates({"text": plain}, {}, return_left=True)
    assert rendered["text"] == plain.removesuffix("\n")
    assert plain.replace("\u2060", "") == text


def test_a_specimen_that_is_a_template_runs_no_code(lake_path: Path, add: Add) -> None:
    """A source cannot make intake run code through its metadata."""
    marker = lake_path / "ran"
    code = "{{ ''.__class__.__mro__[1].__subclasses__() }}" + f"{{{{ shell('touch {marker}') }}}}"
    add("evil", specimen=code, operator="{% for x in y %}", title_note="{# a #}")
    open_lake(lake_path)
    catalog = intake.open_catalog(str(lake_path / "catalog.yaml"), getshell=True)
    metadata = catalog["evil"].metadata
    assert metadata["specimen"].replace("\u2060", "") == code
    assert not marker.exists()


def test_every_entry_and_the_lake_are_listed(lake: Lake) -> None:
    """Addresses are relative to the folder of the YAML."""
    content = yaml.safe_load(lake.yaml.read_text(encoding="utf-8"))
    assert list(content["sources"]) == ["lake", "map", "overview", "scan"]
    source = content["sources"]["scan"]
    assert source["driver"] == ["stemzarr", "zarr"]
    assert source["args"] == {"urlpath": "{{ CATALOG_DIR }}/stores/scan.zarr"}
    assert str(lake.path) not in lake.yaml.read_text(encoding="utf-8")
