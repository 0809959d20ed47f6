"""A published lake is read where it is: found, shown and exported by its address, never changed."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import intake
import numpy as np
import pytest

from stemzarr.errors import (
    CorruptFileError,
    DamagedStoreError,
    ReadError,
    SchemaVersionError,
    SourceNotFoundError,
    StemzarrError,
    WriteError,
)
from stemzarr.options import IngestOptions, PublishOptions
from stemzarr.storage.cached import cache_folder
from stemzarr.storage.local import LocalFolder
from stemzarr.testing import write_synthetic_dm4
from stemzarr.testing.web import WebFolder, serve_folder
from stemzarr_catalog import Lake, open_lake, snapshot
from stemzarr_catalog.publishing import publish_lake
from stemzarr_cli.program import run

pytest.importorskip("obstore")

FAST = PublishOptions(sync=False)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a lake of two scans, and what was published of it."""
    folder = tmp_path_factory.mktemp("published")
    lake = open_lake(folder / "lake", create=True)
    for number, name in enumerate(("a", "b")):
        write_synthetic_dm4(folder / f"{name}.dm4", (3, 4), (8, 8), seed=number)
        lake.ingest(folder / f"{name}.dm4", options=IngestOptions(sync=False))
    lake.tag("a", "good", remark="use this")
    list(publish_lake(lake, folder / "public", options=FAST))
    return folder


@pytest.fixture
def home(template: Path) -> Lake:
    """Return the lake that was published from."""
    return open_lake(template / "lake", read_only=True)


@pytest.fixture
def web(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WebFolder]:
    """Serve what was published to one who never read it."""
    monkeypatch.setenv("STEMZARR_CACHE", str(tmp_path / "cache"))
    shutil.copytree(template / "public", tmp_path / "web" / "lake")
    with serve_folder(tmp_path / "web") as served:
        yield served


def at(web: WebFolder) -> str:
    """Return the address of the lake."""
    return f"{web.address}/lake"


def test_two_requests_open_it_and_one_does_later(
    web: WebFolder, home: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its size; searches, facets and lists ask for nothing more, and say the same."""
    lake = open_lake(at(web))
    assert [one.path.split("/")[1] for one in web.asked] == ["lake.json", "index"]
    assert lake.names("tag=good kind=4d-stem") == ["a"]
    assert [entry.facts for entry in lake.search()] == [entry.facts for entry in home.search()]
    assert lake.facets("kind") == home.facets("kind")
    assert lake["a"].notes.remark == "use this"
    assert len(web.asked) == 2
    assert open_lake(at(web)).names() == ["a", "b"]
    assert len(web.asked) == 3
    monkeypatch.setenv("STEMZARR_CACHE", str(web.folder / "lake" / "lake.json" / "no folder"))
    assert open_lake(at(web)).names() == ["a", "b"]
    assert len(web.asked) == 5


def test_every_command_that_reads_takes_its_address(
    web: WebFolder, home: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names mean its entries: listed, shown, exported, verified as at home."""
    given = ["--lake", at(web), "--json"]
    assert run(["ls", "tag=good", *given]) == 0
    [line] = map(json.loads, capsys.readouterr().out.splitlines())
    assert line["store"] == f"{at(web)}/stores/a.zarr"
    for command in (
        ["show", "a"],
        ["show", "a", "--at", "1,2"],
        ["show", "b", "--metadata"],
        ["verify", "a"],
        ["verify", "--all"],
        ["info", "a"],
        ["export", "b", str(tmp_path / "b.npy")],
        ["export", "--query", "tag=good", "--to", str(tmp_path / "many"), "--format", "npy"],
        ["ls", "--health"],
        ["ls", "--sessions"],
        ["ls", "--like", "a@1,1"],
        ["catalog", "path"],
        ["catalog", "export", str(tmp_path / "stac")],
        ["gallery", str(tmp_path / "page.html")],
    ):
        assert run([*command, *given]) == 0, capsys.readouterr().err
        assert json.loads(capsys.readouterr().out.splitlines()[0]), command
    expected = home["b"].open().intensity.values
    np.testing.assert_array_equal(np.load(tmp_path / "b.npy"), expected)


@pytest.mark.parametrize(
    "command",
    [
        ["ingest", "x.dm4"],
        ["tag", "a", "--add", "bad"],
        ["calibrate", "a", "camera_length_mm=70"],
        ["rename", "a", "c"],
        ["redact", "a", "--yes"],
        ["catalog", "remove", "a", "--yes"],
        ["catalog", "rebuild"],
        ["catalog", "describe", "--title", "x"],
        ["watch", "."],
        ["verify", "a", "--restore-metadata"],
        ["result", "remove", "a", "r"],
        ["doctor"],
    ],
    ids=lambda command: command[0] + command[-1][:2],
)
@pytest.mark.parametrize("how", ["option", "environment"])
def test_what_changes_a_lake_says_where_to_change_it(
    web: WebFolder,
    command: list[str],
    how: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One line, which names ``publish``; nothing is written, also not beside the program."""
    monkeypatch.chdir(tmp_path)
    write_synthetic_dm4(tmp_path / "x.dm4", (2, 2), (4, 4))
    there = sorted(tmp_path.rglob("*"))
    given = ["--lake", at(web)] if how == "option" else []
    if not given:
        monkeypatch.setenv("STEMZARR_LAKE", at(web))
    assert run([*command, *given]) in (1, 2)
    said = capsys.readouterr().err
    assert said.count("\n") == 1 or "Usage" in said
    assert "publish" in said or command == ["doctor"]
    kept = tmp_path / "cache"
    assert [one for one in sorted(tmp_path.rglob("*")) if not one.is_relative_to(kept)] == there


def test_a_published_lake_is_only_read(web: WebFolder) -> None:
    """Every method that would change it raises before anything is sent."""
    lake = open_lake(at(web))
    assert lake.read_only
    asked = len(web.asked)
    for change in (
        lambda: lake.tag("a", "x"),
        lambda: lake.calibrate("a", {"camera_length_mm": 1.0}),
        lambda: lake.remove("a"),
        lambda: lake.rename("a", "c"),
        lambda: lake.redact("a"),
        lake.rebuild,
        lambda: lake.ingest("x.dm4"),
        lambda: open_lake(at(web), create=True),
    ):
        with pytest.raises(WriteError, match="published") as caught:
            change()
        assert "publish" in str(caught.value.hint)
    assert len(web.asked) == asked


def change_state(web: WebFolder, **fields: object) -> None:
    """Write another ``lake.json``."""
    path = web.folder / "lake" / "lake.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **fields}))


def index_of(web: WebFolder) -> Path:
    """Return the file of the index."""
    said = json.loads((web.folder / "lake" / "lake.json").read_bytes())
    return web.folder / "lake" / str(said["index"])


@pytest.mark.parametrize("at_byte", [0, 5, 100, -1])
def test_a_flipped_byte_of_the_index_is_one_error(web: WebFolder, at_byte: int) -> None:
    """It is found before the index is used, and nothing of it is kept."""
    content = bytearray(index_of(web).read_bytes())
    content[at_byte] ^= 1
    index_of(web).write_bytes(content)
    with pytest.raises(DamagedStoreError, match="its bytes are not those"):
        open_lake(at(web))
    assert not list((web.folder.parent / "cache").glob("*"))


def test_a_name_that_leads_elsewhere_is_refused(web: WebFolder, template: Path) -> None:
    """Who exports what others published writes below the folder that was given."""
    index = open_lake(template / "lake", read_only=True).index.copy_into_memory()
    with index.writing() as connection:
        connection.execute("UPDATE entry SET name = '../../a' WHERE name = 'a'")
    place = LocalFolder(web.folder / "lake")
    place.put("lake.json", snapshot.put_snapshot(place, index, None, table=None).text)
    with pytest.raises(DamagedStoreError, match="which no store can be"):
        open_lake(at(web))
    assert not list((web.folder.parent / "cache").glob("*"))


def test_fields_that_are_new_since_it_was_published_are_known(
    web: WebFolder, template: Path
) -> None:
    """The index has no column of them; what its records say of them is found all the same."""
    index = open_lake(template / "lake", read_only=True).index.copy_into_memory()
    with index.writing() as connection:
        for name in ("beam_energy_keV", "source"):
            connection.execute(f'DROP INDEX "entry_by_{name}"')
            connection.execute(f'ALTER TABLE entry DROP COLUMN "{name}"')
    place = LocalFolder(web.folder / "lake")
    place.put("lake.json", snapshot.put_snapshot(place, index, None, table=None).text)
    lake = open_lake(at(web))
    assert lake.names("beam_energy_keV>0 source=a.dm4") == ["a"]


def test_an_index_goes_a_day_after_it_was_replaced(template: Path, tmp_path: Path) -> None:
    """Until then who read ``lake.json`` before finds it; the one before stays in any case."""
    home, public = Lake(shutil.copytree(template / "lake", tmp_path / "home")), tmp_path / "public"
    made: list[set[str]] = [set()]
    for turn in range(4):
        home.tag("a", f"turn-{turn}")
        list(publish_lake(home, public, options=FAST))
        made.append({path.name for path in (public / "index").glob("*.zst")})
        assert made[-2] <= made[-1]
    assert len(made[-1]) == 4
    for path in (public / "index").iterdir():
        os.utime(path, (0, 0))
    home.tag("a", "last")
    list(publish_lake(home, public, options=FAST))
    said = json.loads((public / "lake.json").read_bytes())
    left = {f"index/{path.name}" for path in (public / "index").glob("*.zst")}
    assert left == {said["index"], said["previous"]}


def test_what_is_redacted_is_in_no_index_any_more(template: Path, tmp_path: Path) -> None:
    """An earlier publication named people: its index goes at once, not after a day."""
    home, public = Lake(shutil.copytree(template / "lake", tmp_path / "home")), tmp_path / "public"
    list(publish_lake(home, public, options=FAST))
    redacted = PublishOptions(sync=False, redact=True, overwrite=True)
    assert len(list((public / "index").glob("*.zst"))) == 1
    list(publish_lake(home, public, options=redacted))
    [left] = (public / "index").glob("*.zst")
    assert left.name in (public / "lake.json").read_text()


def test_what_is_wrong_with_a_published_lake_is_one_error(web: WebFolder) -> None:
    """A lost index, a newer version, other tables, noise, no lake, no access: each is named."""
    folder = web.folder / "lake"
    kept = {path: path.read_bytes() for path in (folder / "lake.json", index_of(web))}
    with pytest.raises(SourceNotFoundError, match="no published lake"):
        open_lake(f"{web.address}/elsewhere")
    index_of(web).unlink()
    with pytest.raises(DamagedStoreError, match="missing"):
        open_lake(at(web))
    for fields, kind, said in (
        ({"stemzarr_lake": 2}, SchemaVersionError, "update"),
        ({"tables": 99, "stemzarr": "9.9"}, SchemaVersionError, "9.9"),
        ({"tables": 1}, SchemaVersionError, "publish"),
        ({"index": "../../secret"}, CorruptFileError, "index"),
        ({"frames": [1, 2, 3]}, CorruptFileError, "frames"),
        ({"digests": {}}, CorruptFileError, "digest"),
    ):
        for path, content in kept.items():
            path.write_bytes(content)
        change_state(web, **fields)
        with pytest.raises(kind) as caught:
            open_lake(at(web))
        assert said in f"{caught.value} {caught.value.hint}"
    web.status, web.said = 403, "<Code>ExpiredToken</Code><Token>secret</Token>"
    with pytest.raises(ReadError, match="expired") as refused:
        open_lake(at(web))
    assert "secret" not in str(refused.value)


def test_a_lake_that_is_published_again_is_followed(web: WebFolder, template: Path) -> None:
    """Who has it open sees the new state at the next look, also where the old index is gone."""
    lake = open_lake(at(web))
    old = index_of(web)
    home = Lake(shutil.copytree(template / "lake", web.folder.parent / "home"))
    home.tag("b", "better")
    list(publish_lake(home, web.folder / "lake", options=FAST))
    assert index_of(web) != old
    assert lake.names("tag=better") == []
    lake.refresh()
    assert lake.names("tag=better") == ["b"]


def test_what_is_kept_on_this_machine_may_break(web: WebFolder) -> None:
    """An index that was cut or overwritten there is fetched again."""
    lake = open_lake(at(web))
    folder = cache_folder()
    assert folder is not None
    [kept] = folder.iterdir()
    size = kept.stat().st_size
    for content in (b"", bytes(size), kept.read_bytes()[:100] + bytes(size - 100)):
        kept.write_bytes(content)
        assert lake.names() == ["a", "b"]
        kept.write_bytes(content)
        assert open_lake(at(web)).names() == ["a", "b"]


def test_a_large_index_is_sent_in_frames(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as its size needs, which any program for zstd unpacks to an SQLite file."""
    monkeypatch.setattr(snapshot, "_FRAME", 5000)
    monkeypatch.setenv("STEMZARR_CACHE", str(tmp_path / "cache"))
    home = open_lake(template / "lake")
    list(publish_lake(home, tmp_path / "public", options=FAST))
    assert len(json.loads((tmp_path / "public" / "lake.json").read_bytes())["frames"]) > 3
    with serve_folder(tmp_path / "public") as web:
        assert open_lake(web.address).names() == ["a", "b"]


def test_the_table_for_other_programs_names_stores_by_where_they_are(template: Path) -> None:
    """Pyarrow reads it, and the lake can be moved: the folder that it is in is not named."""
    pq = pytest.importorskip("pyarrow.parquet")
    [table] = (template / "public" / "index").glob("*.parquet")
    rows = pq.read_table(table).to_pylist()
    assert [row["store"] for row in rows] == ["stores/a.zarr", "stores/b.zarr"]
    assert [row["tag"] for row in rows] == [["good"], []]
    assert str(template / "public") not in str(rows)


@pytest.mark.filterwarnings("always:the table in Parquet")
def test_a_table_that_cannot_be_written_is_said_and_added_later(
    home: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without pyarrow a note says what is missing; with it the same command adds the table."""
    pytest.importorskip("pyarrow")
    command = ["publish", str(home.path), str(tmp_path / "public"), "--no-sync"]
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pyarrow", None)
        for _ in range(2):
            assert run(command) == 0
            assert "pip install pyarrow" in capsys.readouterr().err
    assert not list((tmp_path / "public" / "index").glob("*.parquet"))
    for _ in range(2):
        assert run(command) == 0
        assert "pyarrow" not in capsys.readouterr().err
    said = json.loads((tmp_path / "public" / "lake.json").read_bytes())
    [table] = [key for key in said["digests"] if key.endswith(".parquet")]
    assert (tmp_path / "public" / table).is_file()


@pytest.mark.parametrize("stemzarr", [True, False], ids=["stemzarr", "intake-xarray"])
def test_intake_reads_it_by_its_address(
    web: WebFolder, home: Lake, monkeypatch: pytest.MonkeyPatch, stemzarr: bool
) -> None:
    """With stemzarr, and without: then intake-xarray opens the stores as plain Zarr."""
    pytest.importorskip("aiohttp")  # by which intake reads what is far away
    expected = home["a"].open().intensity.values
    if not stemzarr:
        pytest.importorskip("intake_xarray")
        all_of_them = intake.registry.drivers.enabled_plugins()
        others = {name: one for name, one in all_of_them.items() if "stemzarr" not in name}
        monkeypatch.setattr(intake.registry.drivers, "enabled_plugins", lambda: others)
    catalog = intake.open_catalog(f"{at(web)}/catalog.yaml")
    with catalog["a"].to_dask() as scan:
        np.testing.assert_array_equal(scan.intensity.values, expected)
    if stemzarr:
        assert list(catalog["lake"].search("tag=good")) == ["a"]


def test_nothing_of_a_kept_lake_names_its_address(web: WebFolder, tmp_path: Path) -> None:
    """What is kept on this machine is under the digest of its bytes."""
    open_lake(at(web))
    names = [path.name for path in (tmp_path / "cache").iterdir()]
    assert [len(name) for name in names] == [64 + len(".sqlite")]
    with pytest.raises(StemzarrError):
        open_lake(f"{at(web)}?token=secret")
