"""Results of entries: they come back as they were, follow the entry, and touch no store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from stemzarr.errors import EntryNotFoundError, OptionError, StoreExistsError, WriteError
from stemzarr_catalog import Lake, open_lake
from stemzarr_catalog.validate import validate_lake
from stemzarr_cli.program import run


def phase(**changes: Any) -> xr.DataArray:
    """Return a map over the scan of the template, with numbers, a gap and attributes."""
    values = np.array([[1.5, np.nan, -2.0], [0.0, 4.0, 1e-30]])
    coords = {"scan_y": [1.0, 1.5], "scan_x": [1.0, 1.5, 2.0]}
    array = xr.DataArray(values, coords, ("scan_y", "scan_x"), "phase", {"units": "rad"})
    return array.assign_coords(scan_y=array.scan_y.assign_attrs(units="nm")).rename(
        changes.get("name", "phase")
    )


def bytes_of(folder: Path) -> dict[str, str]:
    """Return the digest of every file below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("dtype", ["bool", "int16", "float32", "float64", "complex64"])
def test_a_result_comes_back_as_it_was(lake: Lake, dtype: str) -> None:
    """Values, dims, coordinates and attributes; the stores keep every byte."""
    before = bytes_of(lake.stores)
    array = phase().fillna(0).astype(dtype)
    array.attrs["units"] = "rad"
    added = lake.add_result("scan", array, {"code": "fit.py", "parameters": {"rank": 3}})
    for opened in (lake, open_lake(lake.path)):
        entry = opened["scan"]
        assert entry.results == {"phase": added}
        xr.testing.assert_identical(entry.open_result("phase").load(), array)
        assert entry.json()["results"][0]["lineage"]["parameters"] == {"rank": 3}
    assert added.source_hash == lake["scan"].source["hash"]
    assert (added.dims, added.shape, added.dtype) == (("scan_y", "scan_x"), (2, 3), dtype)
    assert bytes_of(lake.stores) == before
    assert list(validate_lake(lake)) == []


def test_entries_are_found_by_their_results(lake: Lake) -> None:
    """By name, by part of it, and by its absence; also after a rebuild, and what is gone is not."""
    lake.add_result("scan", phase())
    lake.add_result("map", phase(name="latent"))
    for _ in range(2):
        assert lake.search("has:phase").names == ["scan"]
        assert lake.search("has:PHASE or has:lat*").names == ["map", "scan"]
        assert lake.search("not has:*").names == ["overview"]
        assert lake.search("latent").names == ["map"]
        lake.rebuild()
    lake.tag("scan", "good")
    assert lake.search("has:phase tag=good").names == ["scan"]
    lake.remove_result("map", "latent")
    assert lake.search("has:*").names == ["scan"]
    assert not (lake.path / "results" / "map").exists()
    (lake.path / "results" / "scan").rename(lake.path / "elsewhere")
    assert open_lake(lake.path).search("has:*").names == []


def test_results_follow_a_renamed_entry(lake: Lake) -> None:
    """Their folder is renamed with it; results that are kept under the new name are not mixed."""
    lake.add_result("scan", phase())
    lake.rename("scan", "other")
    assert lake.search("has:phase").names == ["other"]
    xr.testing.assert_identical(lake["other"].open_result("phase").load(), phase())
    assert list(validate_lake(lake)) == []
    (lake.path / "results" / "taken").mkdir()
    with pytest.raises(StoreExistsError, match="results of an entry that was called"):
        lake.rename("other", "taken")
    assert "other" in lake


def test_kept_results_belong_to_their_source_alone(lake: Lake, add: Callable[..., Path]) -> None:
    """Another source of that name has none of them; the same one has them again."""
    lake.add_result("overview", phase())
    lake.remove("overview", keep_results=True)
    assert [finding.message for finding in validate_lake(lake)] == [
        "are results of an entry that is not there; ingest its source, or remove them"
    ]
    add("overview", shape=(3, 3, 4, 4))
    lake.refresh()
    assert lake["overview"].results == {}
    assert lake.search("has:phase").names == []
    assert [f.message for f in validate_lake(lake)] == [
        "was computed from another source than that of the entry"
    ]
    lake.remove("overview")
    assert not (lake.path / "results" / "overview").exists()


def test_a_redacted_entry_says_nothing_in_its_results(lake: Lake) -> None:
    """Names of the store and folders go from lineage and attributes; numbers and paths stay."""
    array = phase().assign_attrs(remark="by Ångström", units="rad")
    lake.add_result("scan", array, {"code": "/home/angstrom/fit.py", "by": "Ångström", "rank": 3})
    lake.redact("scan")
    left = "".join(
        path.read_text(encoding="utf-8") for path in (lake.path / "results").rglob("zarr.json")
    )
    assert "ngstr" not in left
    result = lake["scan"].results["phase"]
    assert result.lineage["code"] == "fit.py"
    assert result.lineage["rank"] == 3
    np.testing.assert_array_equal(lake["scan"].open_result("phase"), phase())


def test_a_removal_that_fails_keeps_the_results(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows while another program reads the store."""
    lake.add_result("scan", phase())

    def fail(*_: object) -> None:
        raise PermissionError(13, "is open elsewhere")

    with monkeypatch.context() as patch:
        patch.setattr("stemzarr_catalog.removing._delete", fail)
        with pytest.raises(WriteError):
            lake.remove("scan")
    assert list(lake["scan"].results) == ["phase"]


def test_what_cannot_be_a_result_is_refused(lake: Lake) -> None:
    """Each with what is wrong, and nothing is written."""
    wrong_attributes = phase().assign_attrs(when={1, 2})
    refused: list[tuple[Any, Any, type[Exception], str]] = [
        (phase().to_numpy(), None, OptionError, "not ndarray"),
        (phase().rename(None), None, OptionError, "the name of the array is None"),
        (phase(name="scan_x2/../x"), None, OptionError, "cannot name"),
        (phase().astype(str), None, OptionError, "values of type <U"),
        (wrong_attributes, None, OptionError, "attributes of phase"),
        (phase(), {"loss": float("nan")}, OptionError, "lineage cannot be kept"),
        (phase(), ["a"], OptionError, "not a mapping"),
    ]
    for array, lineage, error, message in refused:
        with pytest.raises(error, match=message):
            lake.add_result("scan", array, lineage)
    with pytest.raises(EntryNotFoundError, match="no entry 'scam'"):
        lake.add_result("scam", phase())
    assert not (lake.path / "results").exists()
    lake.add_result("scan", phase())
    with pytest.raises(StoreExistsError, match="result of that name"):
        lake.add_result("scan", phase())
    lake.add_result("scan", 2 * phase(), overwrite=True)
    np.testing.assert_array_equal(lake["scan"].open_result("phase"), 2 * phase())
    with pytest.raises(EntryNotFoundError, match="no result 'fase'"):
        lake["scan"].open_result("fase")


def test_results_on_the_command_line(
    lake: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files of several kinds become results, which are listed, shown and removed."""
    at = ["--lake", str(lake.path), "--json"]
    phase().to_dataset().to_zarr(tmp_path / "phase.zarr", zarr_format=3, consolidated=False)
    np.save(tmp_path / "level.npy", np.arange(6.0).reshape(2, 3))
    np.save(tmp_path / "wrong.npy", np.arange(5.0))

    def lines(*words: str, status: int = 0) -> list[dict[str, Any]]:
        assert run([*words, *at]) == status
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    (added,) = lines("result", "add", "scan", str(tmp_path / "phase.zarr"), "--set", "model=v3")
    assert added["lineage"] == {"model": "v3"}
    lines("result", "add", "scan", str(tmp_path / "level.npy"), "--as", "mean_level")
    lines("result", "add", "scan", str(tmp_path / "wrong.npy"), status=2)
    assert [line["name"] for line in lines("result", "ls")] == ["mean_level", "phase"]
    assert [line["name"] for line in lines("ls", "has:mean_level")] == ["scan"]
    xr.testing.assert_identical(lake["scan"].open_result("phase").load(), phase())
    level = lake["scan"].open_result("mean_level")
    np.testing.assert_array_equal(level.scan_x, [1.0, 1.5, 2.0])
    (shown,) = lines("show", "scan")
    assert [found["name"] for found in shown["results"]] == ["mean_level", "phase"]
    lines("result", "remove", "scan", "phase", status=1)
    assert lines("result", "remove", "scan", "phase", "--yes")[0]["status"] == "removed"
    (removed,) = lines("catalog", "remove", "scan", "--yes")
    assert removed["results"] == ["mean_level"]
    assert not (lake.path / "results" / "scan").exists()
