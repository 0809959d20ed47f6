"""intake sees a lake as a catalog, through its YAML or the index."""

from __future__ import annotations

import shutil
from pathlib import Path

import intake
import pytest
import xarray as xr

from stemzarr.errors import OptionError, QueryError
from stemzarr_catalog import Lake
from stemzarr_catalog.intake_readers import StemzarrReader


def test_the_yaml_opens_and_nests_the_lake(lake: Lake) -> None:
    """Each store is an entry, and the entry ``lake`` is a catalog of all."""
    catalog = intake.open_catalog(str(lake.yaml))
    assert list(catalog) == ["lake", "map", "overview", "scan"]
    nested = catalog["lake"]
    assert list(nested) == ["map", "overview", "scan"]
    assert catalog["scan"].describe()["metadata"]["kind"] == "4d-stem"


def test_the_driver_is_a_lazy_catalog(lake: Lake) -> None:
    """``list``, ``in``, ``len``, ``walk``, metadata and ``describe`` work as intake's do."""
    catalog = intake.open_stemzarr_lake(str(lake.path))
    assert list(catalog) == ["map", "overview", "scan"]
    assert len(catalog) == 3
    assert "scan" in catalog
    assert "nothing" not in catalog
    assert set(catalog.walk()) == {"map", "overview", "scan"}
    assert catalog["scan"].metadata["beam_energy_keV"] == 300.0
    assert catalog["scan"].describe()["driver"] == ["stemzarr"]
    assert catalog.scan.name == "scan"
    assert [name for name, _ in catalog.items()] == ["map", "overview", "scan"]
    with pytest.raises(KeyError):
        catalog["nothing"]


def test_a_source_is_lazy_and_loads(lake: Lake) -> None:
    """``to_dask`` gives the labelled Dataset in dask arrays, ``read`` its values."""
    for catalog in (intake.open_catalog(str(lake.yaml)), intake.open_stemzarr_lake(str(lake.path))):
        lazy = catalog["scan"].to_dask()
        assert lazy.intensity.chunks is not None
        assert lazy.intensity.dims == ("scan_y", "scan_x", "det_y", "det_x")
        loaded = catalog["scan"].read()
        assert loaded.intensity.chunks is None
        assert loaded.intensity.values.ravel().tolist() == list(range(120))
        assert loaded.det_y.values.tolist() == [1.0, 1.5, 2.0, 2.5]
        xr.testing.assert_identical(lazy.load(), loaded)
        survey = catalog["scan"](document="survey").read()
        assert survey.intensity.dims == ("y", "x")
        assert catalog["scan"].discover()["shape"] == (2, 3, 4, 5)


def test_a_view_is_an_argument(lake: Lake) -> None:
    """The detector of the lazy Dataset is downsampled."""
    catalog = intake.open_catalog(str(lake.yaml))
    view = catalog["scan"](downsample=2).to_dask()
    assert dict(view.sizes) == {"scan_y": 2, "scan_x": 3, "det_y": 2, "det_x": 2}
    expected = lake["scan"].open().intensity.coarsen(det_y=2, det_x=2, boundary="trim").mean()
    assert (view.intensity.values == expected.values).all()
    assert dict(catalog["scan"].to_dask().sizes)["det_y"] == 4


def test_the_plain_zarr_driver_opens_the_same_entry(lake: Lake) -> None:
    """Where stemzarr is missing, intake-xarray reads the same YAML."""
    pytest.importorskip("intake_xarray")
    text = lake.yaml.read_text(encoding="utf-8").replace("- stemzarr\n", "")
    plain = lake.path / "plain.yaml"
    plain.write_text(text, encoding="utf-8")
    dataset = intake.open_catalog(str(plain))["scan"].to_dask()
    xr.testing.assert_equal(dataset.load(), lake["scan"].open().load())


def test_search_speaks_the_language_of_queries(lake: Lake) -> None:
    """A search is a catalog again and can be searched again."""
    catalog = intake.open_stemzarr_lake(str(lake.path))
    scans = catalog.search("kind=4d-stem")
    assert list(scans) == ["map", "scan"]
    assert list(scans.search("SrTiO3 or kind=image")) == ["scan"]
    assert "map" not in scans.search("SrTiO3")
    with pytest.raises(KeyError):
        scans["overview"]
    with pytest.raises(QueryError):
        catalog.search("kimd=3")


def test_a_moved_lake_opens_where_it_is(lake: Lake, tmp_path: Path) -> None:
    """The YAML holds no absolute path."""
    moved = tmp_path / "elsewhere"
    shutil.move(lake.path, moved)
    catalog = intake.open_catalog(str(moved / "catalog.yaml"))
    assert Path(catalog["scan"].urlpath) == moved / "stores" / "scan.zarr"
    assert list(catalog["lake"]) == ["map", "overview", "scan"]


def test_intake_2_reads_and_keeps_a_store(lake: Lake, tmp_path: Path) -> None:
    """The reader works alone, and from a catalog of version 2 that was saved."""
    path = str(lake["scan"].path)
    assert StemzarrReader(path).read().intensity.chunks is not None
    catalog = intake.Catalog()
    catalog["scan"] = StemzarrReader(path, metadata={"specimen": "SrTiO3"})
    catalog.to_yaml_file(str(tmp_path / "two.yaml"))
    opened = intake.from_yaml_file(str(tmp_path / "two.yaml"))
    assert opened["scan"].metadata["specimen"] == "SrTiO3"
    assert dict(opened["scan"].read(downsample=2).sizes)["det_y"] == 2
    xr.testing.assert_equal(opened["scan"].read().load(), lake["scan"].open().load())


def test_what_was_found_is_saved_as_a_catalog(lake: Lake, tmp_path: Path) -> None:
    """A search, and a whole lake, are written as YAML that opens anywhere."""
    whole = intake.open_catalog(str(lake.yaml))["lake"]
    found = whole.search("kind=4d-stem")
    for name, catalog in (("found", found), ("whole", whole)):
        path = tmp_path / f"{name}.yaml"
        catalog.save(str(path))
        again = intake.open_catalog(str(path))
        assert list(again) == list(catalog)
        assert again["scan"].to_dask().intensity.dims == ("scan_y", "scan_x", "det_y", "det_x")
        assert again["scan"].metadata["beam_energy_keV"] == 300.0
    assert list(found) == ["map", "scan"]


def test_an_address_of_another_machine_is_refused(lake: Lake) -> None:
    """``file://`` and ``local://`` mean this machine; a host in them is not left out."""
    for scheme in ("file", "local"):
        here = intake.open_stemzarr_lake(f"{scheme}://{lake.path}")
        assert list(here) == ["map", "overview", "scan"]
        with pytest.raises(OptionError, match="is an address"):
            intake.open_stemzarr_lake(f"{scheme}://server{lake.path}")
        with pytest.raises(OptionError, match="is an address"):
            StemzarrReader(f"{scheme}://server{lake['scan'].path}").read()


def test_a_saved_catalog_holds_no_template_but_its_paths(lake: Lake, tmp_path: Path) -> None:
    """A query that looks like code is text; a folder that looks like a template is found."""
    odd = tmp_path / "odd {{ folder }}"
    shutil.move(lake.path, odd)
    catalog = intake.open_stemzarr_lake(str(odd)).search("title~'{{ 1 }}' or kind=4d-stem")
    catalog.save(str(tmp_path / "odd.yaml"))
    opened = intake.open_catalog(str(tmp_path / "odd.yaml"))
    assert Path(opened["scan"].urlpath) == odd / "stores" / "scan.zarr"
    assert "{{" not in str(opened.metadata)


def test_a_search_that_finds_nothing_is_saved(lake: Lake, tmp_path: Path) -> None:
    """An empty catalog opens, as one without entries."""
    catalog = intake.open_stemzarr_lake(str(lake.path)).search("kind=4d-stem kind=image")
    catalog.save(str(tmp_path / "none.yaml"))
    assert list(intake.open_catalog(str(tmp_path / "none.yaml"))) == []
