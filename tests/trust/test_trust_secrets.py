"""Addresses with passwords and signatures: refused everywhere, and never repeated or written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import intake
import pytest
import xarray as xr
import yaml

import stemzarr
from stemzarr.errors import OptionError
from stemzarr.options import IngestOptions
from stemzarr_catalog import Lake, open_lake
from stemzarr_catalog.drivers import LakeCatalog, StemzarrSource
from stemzarr_cli.program import run

SECRET = "hunter2"  # noqa: S105 - to be looked for
ADDRESSES = [
    f"s3://key:{SECRET}@bucket/scan.dm4",
    f"https://data.org/scan.dm4?signature={SECRET}&file=x.dm4",
    f"simplecache::ftp://ann:{SECRET}@data.org/scan.dm4",
    f"sftp:/ann:{SECRET}@data.org/scan.dm4",
]


@pytest.fixture
def lake(tmp_path: Path, tiny: Any, tiny_dm4: Path) -> Lake:
    """Return a lake with one entry."""
    made = open_lake(tmp_path / "lake", create=True)
    made.ingest(tiny_dm4, name="scan", options=tiny.fast)
    return made


COMMANDS = [
    ["info", "?"],
    ["ingest", "?"],
    ["ingest", "?", "--json", "--debug"],
    ["ingest", "?", "--dry-run"],
    ["ingest", "SOURCE", "--lake", "?"],
    ["ls", "--lake", "?"],
    ["show", "?"],
    ["export", "?", "x.npy"],
    ["export", "scan", "?", "--format", "npy"],
    ["export", "--query", "scan", "--to", "?", "--format", "npy"],
    ["verify", "?"],
    ["verify", "scan", "--source", "?"],
    ["calibrate", "?", "camera_length_mm=1"],
    ["watch", "?"],
    ["gallery", "?"],
    ["catalog", "export", "?"],
    ["demo", "?"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("address", ADDRESSES)
def test_no_command_takes_an_address_or_repeats_its_secret(  # noqa: PLR0917 - fixtures
    lake: Lake,
    tiny_dm4: Path,
    command: list[str],
    address: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It fails in one line that says what is read; nothing is made and nothing holds the secret."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STEMZARR_LAKE", str(lake.path))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    words = {"?": address, "SOURCE": str(tiny_dm4)}
    assert run([words.get(word, word) for word in command]) in (1, 2)
    captured = capsys.readouterr()
    assert "of this machine is needed" in captured.err or "holds a password" in captured.err
    assert SECRET not in captured.out + captured.err
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert set(after) == set(before)
    for path in filter(Path.is_file, after):
        assert SECRET.encode() not in path.read_bytes()


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_function_takes_an_address_or_repeats_its_secret(
    lake: Lake, address: str, tmp_path: Path, tiny_dm4: Path
) -> None:
    """The same for Python, xarray and intake."""
    acts = (
        lambda: stemzarr.open(address),
        lambda: stemzarr.ingest(address, tmp_path / "x.zarr"),
        lambda: stemzarr.ingest(tiny_dm4, address),
        lambda: stemzarr.export(tiny_dm4, address, format="npy"),
        lambda: stemzarr.verify(address),
        lambda: xr.open_dataset(address, engine="stemzarr"),
        lambda: open_lake(address, create=True),
        lambda: lake.ingest(address),
        lambda: StemzarrSource(address).to_dask(),
        lambda: StemzarrSource("scan.zarr", storage_options={"key": SECRET}),
        lambda: LakeCatalog(address),
    )
    for act in acts:
        with pytest.raises(OptionError) as caught:
            act()
        assert SECRET not in str(caught.value)
        assert SECRET not in repr(caught.value)


def test_storage_options_in_a_catalog_are_refused_and_not_repeated(
    lake: Lake, tmp_path: Path
) -> None:
    """A YAML that a person wrote, with a key in it, opens nothing; ours never hold any."""
    assert "storage_options" not in lake.yaml.read_text(encoding="utf-8")
    written = yaml.safe_load(lake.yaml.read_text(encoding="utf-8"))
    written["sources"]["scan"]["args"] = {
        "urlpath": str(lake.store_path("scan")),
        "storage_options": {"key": "ann", "secret": SECRET},
    }
    mine = tmp_path / "mine.yaml"
    mine.write_text(yaml.safe_dump(written), encoding="utf-8")
    with pytest.raises(Exception, match="storage_options") as caught:
        intake.open_catalog(str(mine))["scan"].to_dask()
    assert SECRET not in str(caught.value)


def test_the_address_of_a_cluster_is_not_recorded() -> None:
    """What a store records of its ingest says how, not where."""
    recorded = IngestOptions(scheduler=f"tls://ann:{SECRET}@cluster:8786").record()
    assert SECRET not in json.dumps(recorded)


def test_a_folder_with_a_colon_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there as a path is one, and absolute paths and drives are none of an address."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scan:").mkdir()
    assert stemzarr.options.as_path("scan:/x.dm4") == tmp_path / "scan:" / "x.dm4"
    assert stemzarr.options.as_path("C:/x.dm4").name == "x.dm4"
    assert stemzarr.options.as_path("/a://b").name == "b"
