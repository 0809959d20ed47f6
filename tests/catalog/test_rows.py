"""Tables have a column for each field of queries, under its name."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from stemzarr.errors import OptionError
from stemzarr_catalog import Lake, open_lake
from stemzarr_catalog.export import export_parquet
from stemzarr_catalog.fields import FIELDS, RESERVED

FURTHER = [f"{dim}.{what}" for dim in ("det_x", "scan_y", "x") for what in ("scale", "units")]


@pytest.fixture
def noted(lake: Lake) -> Lake:
    """Return the lake with tags, fields of people's own, a result, and an export."""
    lake.tag("scan", "good", "thin", remark="a remark", fields={"thickness_nm": np.float64(35)})
    lake.tag("map", fields={"thickness_nm": 80, "holder": np.int64(3)})
    lake.tag("overview", fields={"thickness_nm": "unknown"})
    lake.add_export("scan", {"dest": "scan.pt"})
    lake.add_result("scan", xr.DataArray(np.ones(3), dims="latent", name="code"))
    return lake


def as_indexed(value: Any) -> Any:
    """Return a value of a table as the index compares it."""
    if value is None or pd.isna(value):
        return None
    if isinstance(value, dt.datetime):
        return value.isoformat()
    return str(value) if isinstance(value, str) else float(value)


def test_a_column_holds_what_the_index_compares(noted: Lake) -> None:
    """Values of a column, counted, are the facet of the field of that name."""
    table = noted.search().to_dataframe().reset_index()
    for field in (*FIELDS, *FURTHER, "holder"):
        asked = noted.facets(field).items()
        if field == "ingested":
            asked = [(dt.datetime.fromisoformat(v).replace(tzinfo=None), n) for v, n in asked]
        counted = Counter({as_indexed(value): number for value, number in asked})
        assert Counter(map(as_indexed, table[field])) == counted, field


def test_values_have_the_types_of_their_fields(noted: Lake) -> None:
    """Dates are datetimes, sizes whole numbers, flags booleans, of no entries at all too."""
    for table in (noted.search().to_dataframe(), noted.search("kind=nothing").to_dataframe()):
        types = pd.api.types
        for name in ("beam_energy_keV", "mean", "zero_fraction"):
            assert types.is_float_dtype(table[name].dtype)
        for name in ("acquired", "ingested"):
            assert types.is_datetime64_dtype(table[name].dtype)
        for name in ("size", "stored", "scan_y", "exports"):
            assert types.is_integer_dtype(table[name].dtype)
        assert types.is_bool_dtype(table["complete"].dtype)
        assert {*FIELDS} - {"name"} <= {*table.columns}
    table = noted.search().to_dataframe()
    assert table.loc["scan", "acquired"] == pd.Timestamp("2026-01-15T10:20:30")
    assert (table.loc["scan", "tag"], table.loc["scan", "has"]) == (["good", "thin"], ["code"])
    assert table.loc["scan", "mean"] == np.arange(120).mean()
    assert list(table.thickness_nm) == ["80", "unknown", "35.0"]
    assert noted.search("mean>59 zero_fraction<0.01").names == noted.search("kind=4d-stem").names


def test_the_parquet_is_the_same_table(noted: Lake, tmp_path: Path) -> None:
    """Names, types and values are those of the DataFrame, and the record comes on top."""
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    for query in ("", "kind=nothing"):
        export_parquet(noted, tmp_path / "lake.parquet", query, overwrite=True)
        read = parquet.read_table(tmp_path / "lake.parquet")
        table = noted.search(query).to_dataframe().reset_index()
        assert {*read.column_names} == {*table.columns, "record"}
        assert read.schema.field("acquired").type == arrow.timestamp("us")
        assert read.schema.field("stored").type == arrow.int64()
        for name in table.columns:
            expected = [None if v is None or v is pd.NaT else v for v in table[name].tolist()]
            found = read[name].to_pylist()
            same = [
                a == b or (pd.isna(a) and pd.isna(b)) for a, b in zip(found, expected, strict=True)
            ]
            assert all(same), name


def test_no_own_field_hides_another(lake: Lake) -> None:
    """A name by which a query or a table means something else is refused."""
    for name in (*RESERVED, "Kind", "exposure", "Tag", "mean"):
        with pytest.raises(OptionError, match="choose another name"):
            lake.tag("scan", fields={name: 3})
    # What JSON or a query cannot hold is refused with what would do.
    for value in (np.nan, [1, 2], dt.datetime(2026, 1, 1)):  # noqa: DTZ001
        with pytest.raises(OptionError, match="text or a finite number"):
            lake.tag("scan", fields={"own": value})
    assert open_lake(lake.path)["scan"].notes.fields == {}
