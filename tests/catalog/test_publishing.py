"""A published lake is a lake: complete stores, notes without folders, a catalog, a citation."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import intake
import numpy as np
import pytest
import xarray as xr
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stemzarr.errors import CorruptFileError, OptionError, SourceNotFoundError, StoreExistsError
from stemzarr.options import IngestOptions, PublishOptions
from stemzarr.testing import write_synthetic_dm4
from stemzarr.testing.web import serve_folder
from stemzarr_catalog import Lake, open_lake
from stemzarr_catalog.citation import (
    LICENCES,
    RELATIONS,
    Citation,
    Creator,
    Funding,
    Related,
    is_orcid,
    read_citation,
    write_citation,
)
from stemzarr_catalog.citing import citation_files
from stemzarr_catalog.depositing import export_deposit
from stemzarr_catalog.export import export_stac
from stemzarr_catalog.publishing import publish_lake
from stemzarr_catalog.validate import validate_lake

FAST = PublishOptions(sync=False)
CITATION = Citation(
    title="Strain: in SrTiO3",
    creators=(
        Creator(name="Doe, Jane", orcid="0000-0002-1825-0097", affiliation="TU"),
        Creator(name="The lab"),
    ),
    licence="CC-BY-4.0",
    keywords=("4D-STEM",),
    funding=(Funding(funder="ERC", award="1"),),
    related=(Related(doi="10.1000/paper"),),
    doi="10.5281/zenodo.2",
)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a lake with two scans and a virtual one, which nobody changes."""
    folder = tmp_path_factory.mktemp("template")
    lake = open_lake(folder / "lake", create=True)
    for number, name in enumerate(("a", "b", "v")):
        write_synthetic_dm4(folder / f"{name}.dm4", (3, 4), (8, 8), seed=number)
        options = IngestOptions(sync=False, virtual=name == "v")
        lake.ingest(folder / f"{name}.dm4", options=options)
    lake.tag("a", "good", remark="use this", fields={"run": 5})
    lake.add_export("a", {"dest": "/home/jane/a.npy"})
    return lake.path


@pytest.fixture
def lake(template: Path, tmp_path: Path) -> Lake:
    """Return a lake of one's own."""
    return open_lake(shutil.copytree(template, tmp_path / "lake"))


def test_a_published_lake_is_read_as_a_lake(lake: Lake, tmp_path: Path) -> None:
    """Stores equal to the byte, tags, search, intake; a virtual entry is named, the rest done."""
    dest = tmp_path / "public"
    done = {one.name: one for one in publish_lake(lake, dest, options=FAST)}
    assert {name: one.error is None for name, one in done.items()} == {"a": 1, "b": 1, "v": 0}
    assert "virtual" in str(done["v"].error)
    for name in "ab":
        store, copy = lake.path / f"stores/{name}.zarr", dest / f"stores/{name}.zarr"
        files = [path.relative_to(store) for path in store.rglob("*") if path.is_file()]
        assert all((copy / one).read_bytes() == (store / one).read_bytes() for one in files)
    public = open_lake(dest, read_only=True)
    assert public.names() == ["a", "b"]
    assert public.names("tag=good run=5") == ["a"]
    assert public["a"].notes.exports == ()
    assert "/home/jane" not in (dest / "notes" / "a.json").read_text()
    catalog = intake.open_catalog(str(public.yaml))
    with catalog["a"].to_dask() as scan:
        assert scan.intensity.dims == ("scan_y", "scan_x", "det_y", "det_x")
    assert lake.names() == ["a", "b", "v"]


def test_a_published_lake_on_the_web_is_a_catalog_of_intake(lake: Lake, tmp_path: Path) -> None:
    """``catalog.yaml`` and the stores are read from any web server with ranges."""
    pytest.importorskip("obstore")
    pytest.importorskip("aiohttp")  # by which intake reads what is far away
    dest = tmp_path / "public"
    list(publish_lake(lake, dest, "name=a", FAST))
    expected = lake["a"].open().intensity.values
    with serve_folder(dest) as web:
        catalog = intake.open_catalog(f"{web.address}/catalog.yaml")
        with catalog["a"].to_dask() as scan:
            np.testing.assert_array_equal(scan.intensity.values, expected)


def test_a_published_lake_grows_and_is_brought_up_to_date(lake: Lake, tmp_path: Path) -> None:
    """Another query adds to it; what was calibrated since is refused, or replaced when asked."""
    dest = tmp_path / "public"
    list(publish_lake(lake, dest, "name=a", FAST))
    assert open_lake(dest).names() == ["a"]
    lake.calibrate("a", {"camera_length_mm": 70.0})
    lake.tag("a", remove=("good",), remark="", fields={"run": None})
    lake.add_result("b", xr.DataArray([[1.0]], dims=("k", "l"), name="strain"))
    done = {one.name: one for one in publish_lake(lake, dest, "name=a or name=b", FAST)}
    assert isinstance(done["a"].error, StoreExistsError)
    assert done["b"].json()["left_out"] == ["1 results in the lake (strain)"]
    assert open_lake(dest).names() == ["a", "b"]
    assert open_lake(dest)["a"].facts.get("camera_length_mm") != 70
    forced = PublishOptions(sync=False, overwrite=True)
    [again] = publish_lake(lake, dest, "name=a", forced)
    assert again.publication is not None
    assert again.publication.status == "replaced"
    public = open_lake(dest)
    assert public["a"].facts["camera_length_mm"] == 70
    assert public["a"].notes.tags == ()
    assert public.names() == ["a", "b"]


def test_where_a_lake_cannot_go_is_said(lake: Lake, tmp_path: Path) -> None:
    """Into itself, into a folder of other things, from a query that finds nothing."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").touch()
    with pytest.raises(OptionError, match="itself"):
        list(publish_lake(lake, lake.path))
    with pytest.raises(StoreExistsError, match=r"letter.txt"):
        list(publish_lake(lake, tmp_path / "mine"))
    with pytest.raises(SourceNotFoundError, match="nothing"):
        list(publish_lake(lake, tmp_path / "public", "kind=spectrum"))
    assert not (tmp_path / "public").exists()


def test_what_describes_the_data_is_published_with_them(lake: Lake, tmp_path: Path) -> None:
    """RO-Crate, DataCite, CFF, README and STAC name creators and licence; digests are right."""
    write_citation(lake.path, CITATION)
    dest = tmp_path / "public"
    list(publish_lake(lake, dest, "not name=v", PublishOptions(sync=False, sha256=True)))
    assert read_citation(dest) == CITATION
    graph = json.loads((dest / "ro-crate-metadata.json").read_text())["@graph"]
    by_id = {item["@id"]: item for item in graph}
    assert len(by_id) == len(graph)
    root = by_id["./"]
    linked = [root["license"], *(root[n][0] for n in ("author", "hasPart", "funder", "citation"))]
    assert all(one["@id"] in by_id for one in linked)
    parts = [part["@id"] for part in root["hasPart"]]
    assert all((dest / part / "zarr.json").is_file() for part in parts)
    assert len(parts) == 2
    cited = json.loads((dest / "datacite.json").read_text())
    assert [one["name"] for one in cited["creators"]] == ["Doe, Jane", "The lab"]
    assert cited["rightsList"][0]["rightsIdentifier"] == "CC-BY-4.0"
    cff = yaml.safe_load((dest / "CITATION.cff").read_text())
    assert (cff["type"], cff["license"], cff["title"]) == ("dataset", "CC-BY-4.0", CITATION.title)
    assert cff["doi"] == CITATION.doi
    assert CITATION.related[0].doi not in (dest / "CITATION.cff").read_text()
    assert "| a |" in (dest / "README.md").read_text()
    collection = json.loads((dest / "stac" / "collection.json").read_text())
    assert collection["license"] == "CC-BY-4.0"
    lines = (dest / "manifest-sha256.txt").read_text().splitlines()
    listed = {line[66:]: line[:64] for line in lines}
    for key, digest in listed.items():
        assert hashlib.sha256((dest / key).read_bytes()).hexdigest() == digest
    there = {p.relative_to(dest).as_posix() for p in dest.rglob("*") if p.is_file()}
    assert there - set(listed) == {"manifest-sha256.txt", "catalog.sqlite"}


WORD = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=8).filter(
    lambda text: text.isprintable() and not set(text) & set(",;")
)
CITATIONS = st.builds(
    Citation,
    title=WORD,
    creators=st.lists(
        st.builds(lambda a, b, c: Creator(name=f"{a}, {b}", affiliation=c), WORD, WORD, WORD)
        | st.builds(lambda a: Creator(name=a), WORD),
        min_size=1,
        max_size=3,
    ).map(tuple),
    licence=st.sampled_from([*LICENCES, "https://example.org/licence"]),
    description=st.text(st.characters(exclude_categories=("Cs",)), max_size=20),
    keywords=st.lists(WORD, max_size=2).map(tuple),
    funding=st.lists(st.builds(Funding, funder=WORD, award=WORD), max_size=2).map(tuple),
    related=st.lists(
        st.builds(Related, doi=st.just("10.1000/x"), relation=st.sampled_from(RELATIONS)),
        max_size=2,
    ).map(tuple),
)


@given(citation=CITATIONS)
def test_a_citation_comes_back_from_every_file(
    citation: Citation, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """``lake.toml`` holds all of it; the other files are well formed and name title and people."""
    folder = tmp_path_factory.getbasetemp()
    write_citation(folder, citation)
    assert read_citation(folder) == citation
    files = citation_files(citation, [], dt.date(2026, 11, 30))
    cff = yaml.safe_load(files["CITATION.cff"])
    assert cff["title"] == citation.title
    assert [
        one.get("name", f"{one.get('family-names')}, {one.get('given-names')}")
        for one in cff["authors"]
    ] == [one.name for one in citation.creators]
    cited = json.loads(files["datacite.json"])
    assert [one["name"] for one in cited["creators"]] == [one.name for one in citation.creators]
    assert {"schemaVersion", "types", "titles", "publisher", "publicationYear"} <= set(cited)
    graph = json.loads(files["ro-crate-metadata.json"])["@graph"]
    assert graph[1]["name"] == citation.title


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('title = "x"\nlicence = "CC-BY-4.0"', "no creator"),
        ('title = "x"\nlicence = "free"\n[[creators]]\nname = "Lab"', "not a known licence"),
        ('licence = "CC0-1.0"\n[[creators]]\nname = "Lab"', "title is missing"),
        ('title = "x"\nlicense = "CC0-1.0"\n[[creators]]\nname = "Lab"', "'license'"),
        ('title = "x"\nlicence = "CC0-1.0"\n[[creators]]\nname = 7', "not text"),
        ('title = "x"\nlicence = "CC0-1.0"\n[[creators]]\norcid = "x"', "lacks its name"),
        ('title = 3\nlicence = "CC0-1.0"\n[[creators]]\nname = "Lab"', "expected text"),
        ('title = "x"\nlicence = "CC0-1.0"\ncreators = "Lab"', "not a list of tables"),
        ("title = ", "cannot be understood"),
    ],
)
def test_a_file_that_says_something_else_is_refused(text: str, said: str, tmp_path: Path) -> None:
    """What is missing, unknown or wrong is named with the file, and how to put it right."""
    (tmp_path / "lake.toml").write_text(text)
    with pytest.raises(CorruptFileError, match=said) as caught:
        read_citation(tmp_path)
    assert caught.value.hint
    assert caught.value.path == str(tmp_path / "lake.toml")


def test_a_citation_that_is_wrong_is_said_before_anything_is_sent(
    lake: Lake, tmp_path: Path
) -> None:
    """`publish` stops at once, and ``catalog validate`` finds it."""
    (lake.path / "lake.toml").write_text('title = "x"')
    with pytest.raises(CorruptFileError, match="licence is missing"):
        list(publish_lake(lake, tmp_path / "public", options=FAST))
    assert not (tmp_path / "public").exists()
    assert any("licence is missing" in one.message for one in validate_lake(lake))


@given(digits=st.integers(0, 10**15 - 1), wrong=st.integers(1, 10), place=st.integers(0, 14))
def test_one_wrong_digit_of_an_orcid_is_noticed(digits: int, wrong: int, place: int) -> None:
    """Of all last signs one is right, and any other digit that is changed makes it wrong."""
    text = f"{digits:015d}"
    form = "{}-{}-{}-{}".format
    spelled = [form(text[:4], text[4:8], text[8:12], text[12:] + last) for last in "0123456789X"]
    [right] = [one for one in spelled if is_orcid(one)]
    changed = text[:place] + str((int(text[place]) + wrong) % 10) + text[place + 1 :]
    if changed != text:
        assert not is_orcid(
            form(changed[:4], changed[4:8], changed[8:12], changed[12:] + right[-1])
        )


def test_a_deposit_is_a_folder_of_files(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each store one file that zarr reads, described and listed; at most a hundred in all."""
    with pytest.raises(OptionError, match="who made its data"):
        export_deposit(lake, tmp_path / "deposit", "name=a")
    write_citation(lake.path, CITATION)
    with pytest.raises(OptionError, match="v is virtual"):
        export_deposit(lake, tmp_path / "deposit")
    with monkeypatch.context() as patch:
        patch.setattr("stemzarr_catalog.depositing.MOST_FILES", 7)
        with pytest.raises(OptionError, match="makes 8 files"):
            export_deposit(lake, tmp_path / "deposit", "name=a or name=b")
    mine = xr.Dataset({"strain": ("k", [1.0])})
    mine.to_zarr(lake["a"].path, group="analysis/mine", mode="a", consolidated=False)
    notes: list[str] = []
    made = export_deposit(lake, tmp_path / "deposit", "name=a or name=b", note=notes.append)
    assert made == 2
    assert ["analysis" in said for said in notes] == [True]
    there = {path.name for path in (tmp_path / "deposit").iterdir() if path.is_file()}
    assert len(there) == len(list((tmp_path / "deposit").rglob("*"))) == 8
    graph = json.loads((tmp_path / "deposit" / "ro-crate-metadata.json").read_text())["@graph"]
    assert {part["@id"] for part in graph[1]["hasPart"]} == {"a.zarr.zip", "b.zarr.zip"} < there
    lines = (tmp_path / "deposit" / "manifest-sha256.txt").read_text().splitlines()
    assert {line[66:] for line in lines} == there - {"manifest-sha256.txt"}
    code = (tmp_path / "deposit" / "README.md").read_text().split("```")[1]
    names: dict[str, Any] = {}
    with contextlib.chdir(tmp_path / "deposit"):
        exec(code.removeprefix("python"), names)  # noqa: S102 - what a reader would run
    expected = lake["a"].open().intensity.values
    np.testing.assert_array_equal(names["scan"].intensity.values, expected)
    names["store"].close()
    for overwrite in (False, True):
        with pytest.raises(StoreExistsError):
            export_deposit(lake, tmp_path / "deposit", "name=a", overwrite=overwrite)


def test_stac_says_the_true_licence(lake: Lake, tmp_path: Path) -> None:
    """Without ``lake.toml`` it is ``other``; with another licence its address is linked."""
    export_stac(lake, tmp_path / "one", "name=a")
    assert json.loads((tmp_path / "one" / "collection.json").read_text())["license"] == "other"
    own = Citation(title="x", creators=(Creator(name="Lab"),), licence="https://example.org/l")
    write_citation(lake.path, own)
    export_stac(lake, tmp_path / "two", "name=a")
    collection = json.loads((tmp_path / "two" / "collection.json").read_text())
    assert collection["license"] == "other"
    assert {"rel": "license", "href": own.licence_url, "type": "text/html"} in collection["links"]
