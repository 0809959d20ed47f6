"""The documentation is complete and its examples are true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stemzarr.testing import write_synthetic_dm4
from stemzarr_catalog import Lake, open_lake
from stemzarr_catalog.export import export_parquet
from stemzarr_catalog.fields import FIELDS

DOCS = Path(__file__).parents[2] / "docs"
QUERIES = (DOCS / "queries.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Return a lake with one scan."""
    folder = tmp_path_factory.mktemp("lake")
    write_synthetic_dm4(folder / "scan.dm4", (3, 4), (8, 8))
    opened = open_lake(folder / "lake", create=True)
    opened.ingest(folder / "scan.dm4")
    opened.tag("scan", "good")
    return opened


def examples() -> list[str]:
    """Return every query that the page shows: lines of its block and the words of its table."""
    block = re.findall(r"^```\n(.*?)^```$", QUERIES, re.MULTILINE | re.DOTALL)[0]
    table = QUERIES.partition("| written | means |")[2].partition("\n\n")[0]
    cells = [line.split(" | ")[0] for line in table.splitlines()[2:]]
    words = [span for cell in cells for span in re.findall(r"`([^`]+)`", cell)]
    return [*block.splitlines(), *words]


@pytest.mark.parametrize("query", examples())
def test_every_query_of_the_page_is_understood(query: str, lake: Lake) -> None:
    """What the page shows can be typed."""
    lake.search(query.replace("PATH", "SI.Acquisition.Date"))


@pytest.mark.parametrize(
    "query",
    ["kind=4d-stem", "SrTi", "title=*stem*", "exposure<10ms", "tag=good", "document:kind=image"],
)
def test_queries_find_what_the_page_says(query: str, lake: Lake) -> None:
    """A query that is true of the scan finds it, and its negation does not."""
    assert lake.search(query).names == ["scan"]
    assert lake.search(f"not ({query})").names == []


def test_every_field_is_listed() -> None:
    """The page lists exactly the fields that there are."""
    table = QUERIES.partition("| field | values | means |")[2]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(FIELDS)


def test_polars_and_duckdb_read_the_table(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the page does in other programs with the Parquet runs as it is written."""
    for program in ("polars", "duckdb", "pyarrow"):
        pytest.importorskip(program)
    monkeypatch.chdir(tmp_path)
    assert export_parquet(lake, "lake.parquet") == 1
    for block in re.findall(r"^```py\n(.*?)^```$", QUERIES, re.MULTILINE | re.DOTALL):
        exec(compile(block, "queries.md", "exec"), {})  # noqa: S102 - our own page


def test_every_fact_is_listed() -> None:
    """The page on the store names every fact that its attributes may have."""
    from stemzarr.metadata.facts import FACT_NAMES

    page = (DOCS / "store.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in page for name in FACT_NAMES)
