"""Files and names from strangers reach nothing that they should not."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import stemzarr
from stemzarr.errors import EntryNotFoundError, OptionError, StemzarrError
from stemzarr.model import read_box
from stemzarr.registry import read_source
from stemzarr.testing import DMAxis, DMImage, write_dm
from stemzarr_catalog import open_lake
from stemzarr_catalog.names import casefold, check_name, is_device_name, lookup_name, safe_name
from stemzarr_cli.program import run

ROOT = Path(__file__).parents[2]
EVIL = "<script>alert(1)</script>\x1b[2J\x1b]0;owned\x07'; DROP TABLE entry; --"
HOSTILE_NAMES = [
    "..", ".", "", "../x", "/etc/passwd", "a/b", "a\\b", "C:x", "con", "NUL.txt", "com1", "aux",
    "x\x00y", "x\ny", "x\u202ey", "a\uff0fb", "x\u2044y", "x.", "x ", "-x", "\ufeffx", "lake",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_no_name_leaves_the_lake(tmp_path: Path, tiny: Any, tiny_dm4: Path, name: str) -> None:
    """Chosen for an entry it is refused; looked for, it is not there."""
    lake = open_lake(tmp_path / "lake", create=True)
    if name:
        with pytest.raises(OptionError):
            lake.ingest(tiny_dm4, name=name, options=tiny.fast)
    if casefold(name) != "lake":
        with pytest.raises(EntryNotFoundError):
            lookup_name(name)
    for act in (lake.__getitem__, lake.remove):
        with pytest.raises(EntryNotFoundError):
            act(name)
    assert [path.name for path in tmp_path.iterdir()] == ["lake"]
    assert list(lake.stores.glob("*.zarr")) == []


@given(st.text())
def test_every_text_becomes_one_safe_component(text: str) -> None:
    """Whatever a source is called, its name is one plain component of a path, and stays it."""
    name = safe_name(text)
    assert re.fullmatch(r"[^/\\:*?\"<>|\x00-\x1f]+", name)
    assert name not in (".", "..")
    assert not name.startswith((".", "-"))
    assert safe_name(name) == name
    assert len(name.encode()) <= 160
    if casefold(name) != "lake" and not is_device_name(name):
        assert check_name(name) == name


def test_a_link_in_a_lake_leads_nowhere(tmp_path: Path, tiny: Any, tiny_dm4: Path) -> None:
    """A store that is a symbolic link is none: it is neither read nor deleted."""
    elsewhere = tiny.ingest(tiny_dm4, tmp_path / "elsewhere.zarr")
    lake = open_lake(tmp_path / "lake", create=True)
    (lake.stores / "linked.zarr").symlink_to(elsewhere)
    lake.rebuild()
    assert list(lake) == []
    with pytest.raises(EntryNotFoundError):
        lake.remove("linked")
    assert elsewhere.is_dir()


def test_a_node_cannot_lead_out_of_its_store(tmp_path: Path, tiny: Any, tiny_dm4: Path) -> None:
    """Paths of arrays and slugs of documents are names, not ways."""
    store = tiny.ingest(tiny_dm4, tmp_path / "x.zarr")
    root = json.loads((store / "zarr.json").read_bytes())
    nodes = root["consolidated_metadata"]["metadata"]
    for path in ("../x", "/etc/x", "a/../../b", "a\\b", "C:b"):
        forged = json.dumps({**root, "consolidated_metadata": {"metadata": {**nodes, path: {}}}})
        (store / "zarr.json").write_text(forged, encoding="utf-8")
        with pytest.raises(StemzarrError, match="not a path in a store"):
            read_source(store)


def test_nothing_is_unpickled_or_evaluated() -> None:
    """No module loads pickles, evaluates text, or reads YAML that makes objects."""
    forbidden = re.compile(
        r"\b(pickle\.loads?|cloudpickle|marshal\.loads?|eval\(|exec\(|yaml\.load\(|os\.system"
        r"|shell=True|allow_pickle=True|weights_only=False|mktemp\()"
    )
    for package in ("stemzarr/stemzarr", "catalog/stemzarr_catalog", "cli/stemzarr_cli"):
        for file in (ROOT / package).rglob("*.py"):
            if "testing" in file.parts:
                continue
            found = forbidden.search(file.read_text(encoding="utf-8"))
            assert found is None, f"{file}: {found and found[0]}"


def test_a_pickled_array_is_refused(tmp_path: Path) -> None:
    """An ``.npy`` with objects would run code where it were loaded."""
    np.save(tmp_path / "x.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(StemzarrError):
        read_source(tmp_path / "x.npy")


def test_links_to_other_files_are_not_followed(tmp_path: Path) -> None:
    """External links and external storage in HDF5 would read any file of the user."""
    secret = tmp_path / "elsewhere" / "secret.h5"
    secret.parent.mkdir()
    with h5py.File(secret, "w") as file:
        file["data"] = np.full((2, 2, 3, 3), 7, np.uint8)
    (tmp_path / "here").mkdir()
    linked = tmp_path / "here" / "linked.h5"
    with h5py.File(linked, "w") as file:
        file["scan"] = h5py.ExternalLink(str(secret), "data")
    with pytest.raises(StemzarrError):
        read_source(linked)
    outside = tmp_path / "here" / "outside.h5"
    with h5py.File(outside, "w") as file:
        file.create_dataset("scan", (2, 2, 3, 3), "u1", external=[(str(secret), 0, 36)])
    with pytest.raises(StemzarrError, match="another file"):
        read_source(outside)


def test_a_file_that_claims_far_more_than_it_holds_is_refused(tmp_path: Path) -> None:
    """A few kB that would unpack to a TiB are no data."""
    path = tmp_path / "bomb.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("scan", (1024, 1024, 1024, 1024), "u1", chunks=(1, 1, 64, 64))
    with pytest.raises(StemzarrError, match="declares"):
        read_source(path)


@pytest.fixture
def evil_lake(tmp_path: Path, tiny: Any) -> Path:
    """Return a lake whose specimen, title and tags are an attack."""
    source = tmp_path / "evil.dm4"
    image = DMImage(
        data=np.ones((2, 2, 4, 4), np.uint8),
        swapped=True,
        name=EVIL,
        axes=(DMAxis(units="nm"),) * 4,
        tags={"Microscope Info": {"Specimen": EVIL, "Operator": EVIL}},
    )
    write_dm(source, image, thumbnail=False)
    lake = open_lake(tmp_path / "lake", create=True)
    lake.ingest(source, options=tiny.fast)
    lake.tag("evil", "<b>", remark=EVIL)
    return lake.path


def say(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str]:
    """Run a command and return its exit status and all that it prints."""
    status = run([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return status, captured.out + captured.err


@pytest.mark.parametrize(
    "command",
    [["ls"], ["show", "evil"], ["show", "evil", "--metadata"], ["ls", "--facet", "specimen"]],
)
def test_no_escape_sequence_reaches_the_terminal(
    evil_lake: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Text of a file is shown, not obeyed."""
    status, output = say(capsys, *command, "--lake", evil_lake)
    assert status == 0, output
    assert "\x1b" not in output
    assert "\x07" not in output


def test_a_file_s_own_name_is_shown_and_not_obeyed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`info` of a file whose name and tags hold escape sequences."""
    path = tmp_path / "x\x1b[2J.dm4"
    write_dm(path, DMImage(data=np.ones((3, 3), np.uint8), name=EVIL), thumbnail=False)
    for named in (path, path.with_name("no\x1b[2J")):
        status, output = say(capsys, "info", named)
        assert status == int(named != path)
        assert "\x1b" not in output


def test_html_shows_text_as_text(
    evil_lake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither the gallery nor a notebook runs what a specimen is called."""
    page = tmp_path / "page.html"
    status, output = say(capsys, "gallery", page, "--lake", evil_lake)
    assert status == 0, output
    lake = open_lake(evil_lake)
    shown = [page.read_text(encoding="utf-8"), lake._repr_html_(), lake["evil"]._repr_html_()]
    for html in shown:
        assert "<script>alert" not in html
        assert "<b>; --" not in html


def test_queries_are_values_not_sql(evil_lake: Path) -> None:
    """Quotes and statements in a query find nothing and break nothing."""
    lake = open_lake(evil_lake)
    for query in (f"specimen={json.dumps(EVIL)}", "'; DROP TABLE entry; --", 'kind="\'"', "x=1;--"):
        try:
            lake.search(query)
        except StemzarrError:
            continue
    assert list(open_lake(evil_lake)) == ["evil"]


def test_the_catalog_is_plain_yaml(evil_lake: Path) -> None:
    """It holds no tag that would make an object, whatever the names and titles are."""
    text = (evil_lake / "catalog.yaml").read_text(encoding="utf-8")
    assert "!!python" not in text
    assert "\x1b" not in text
    assert yaml.safe_load(text)["sources"]


def test_only_files_and_folders_are_read(tmp_path: Path) -> None:
    """A pipe would be waited for without end."""
    os.mkfifo(tmp_path / "pipe.dm4")
    with pytest.raises(StemzarrError):
        stemzarr.info(tmp_path / "pipe.dm4")


def test_blocks_of_a_forged_store_read_no_other_file(
    tmp_path: Path, tiny: Any, tiny_dm4: Path
) -> None:
    """A shard that is a link to something else is read as a shard, and refused as one."""
    store = tiny.ingest(tiny_dm4, tmp_path / "x.zarr")
    (tmp_path / "secret").write_bytes(b"secret" * 100)
    shard = next(path for path in (store / "intensity" / "c").rglob("*") if path.is_file())
    shard.unlink()
    shard.symlink_to(tmp_path / "secret")
    document = read_source(store).document
    with pytest.raises(StemzarrError, match="damaged"):
        read_box(document.blocks, (0, 0, 0, 0), (1, 1, 4, 4))
    shutil.rmtree(store)
