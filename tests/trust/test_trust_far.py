"""Stores at an address: what is asked of the server, and what comes of it when it fails."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

import stemzarr
from stemzarr.errors import (
    DamagedStoreError,
    OptionError,
    ReadError,
    SourceChangedError,
    SourceNotFoundError,
    StemzarrError,
)
from stemzarr.options import IngestOptions
from stemzarr.storage.address import as_source
from stemzarr.store import publish_store, write_store
from stemzarr.testing.sources import document_of, source_of
from stemzarr.testing.web import WebFolder, serve_bucket, serve_folder
from stemzarr_cli.program import run

pytest.importorskip("obstore")

ROOT_TIME, SHARD_TIME = 2_000_000_000, 1_900_000_000
SHARD = "intensity/c/0/0/0/0"


def make_values(seed: int) -> NDArray[np.uint16]:
    """Return patterns of 2 MiB, which are a shard of two chunks."""
    return np.random.default_rng(seed).poisson(3.0, (16, 16, 64, 64)).astype(np.uint16)


def write(values: NDArray[Any], dest: Path, codec: str = "zstd") -> None:
    """Write a store whose root is newer than the rest, as one is that was published."""
    source = source_of(dest.with_suffix(".bin"), [document_of(values, "4d-stem")])
    write_store(source, dest, IngestOptions(sync=False, codec=codec, overwrite=True))  # type: ignore[arg-type]
    for path in dest.rglob("*"):
        os.utime(path, (SHARD_TIME, SHARD_TIME))
    os.utime(dest / "zarr.json", (ROOT_TIME, ROOT_TIME))


@pytest.fixture(scope="module")
def values() -> NDArray[np.uint16]:
    """Return the patterns of the store."""
    return make_values(0)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, values: NDArray[Any]) -> Path:
    """Return a store that no test changes."""
    path = tmp_path_factory.mktemp("far") / "x.zarr"
    write(values, path)
    return path


@pytest.fixture
def web(tmp_path: Path, written: Path) -> Iterator[WebFolder]:
    """Serve a copy of the store."""
    folder = tmp_path / "web"
    shutil.copytree(written, folder / "x.zarr")
    with serve_folder(folder) as served:
        yield served


def address_of(web: WebFolder) -> str:
    """Return where the store is."""
    return f"{web.address}/x.zarr"


def test_a_store_opens_by_its_root_and_its_manifest(web: WebFolder) -> None:
    """Two requests open a store, one reads any pattern; no listing, and no range from an end."""
    scan = stemzarr.open(address_of(web), chunks=None)
    assert sorted(one.path for one in web.asked) == [
        "x.zarr/source/manifest/c/0",
        "x.zarr/zarr.json",
    ]
    web.asked.clear()
    scan.intensity[0, 0].load()
    assert [one.method for one in web.asked] == ["GET"]
    assert all(re.fullmatch(r"bytes=\d+-\d+", one.range) for one in web.asked)
    web.asked.clear()
    scan.intensity[15, 15].load()
    assert [one.method for one in web.asked] == ["GET"]


def test_every_verb_gives_what_the_store_holds(
    web: WebFolder, values: NDArray[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Values, metadata and exports by an address are those of the folder."""
    address = address_of(web)
    opened = xr.open_dataset(address, engine="stemzarr")
    np.testing.assert_array_equal(opened.intensity[3:5, ::7], values[3:5, ::7])
    assert stemzarr.open(address).identical(stemzarr.open(web.folder / "x.zarr"))
    assert stemzarr.info(address)["path"] == address
    stemzarr.export(address, tmp_path / "out.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), values)
    for command in (["info"], ["show"], ["show", "--at", "1,2"], ["verify"]):
        assert run([command[0], address, *command[1:], "--json"]) == 0
        assert json.loads(capsys.readouterr().out)


def test_a_verification_reads_every_object_once(web: WebFolder) -> None:
    """As many requests as files and two, no byte of a shard twice; and it says what it cannot."""
    stored = sum(path.stat().st_size for path in web.folder.rglob("*") if path.is_file())
    files = sum(path.is_file() for path in web.folder.rglob("*"))
    report = stemzarr.verify(address_of(web))
    assert report.ok
    assert str(report.path) == address_of(web)
    assert "the server lists none" in report.notes[0]
    reads = [one for one in web.asked if one.method == "GET"]
    assert len(reads) == files
    assert len(web.asked) <= files + 1
    assert web.sent <= 1.01 * stored + 100_000


def test_a_store_is_copied_from_the_web(web: WebFolder, tmp_path: Path) -> None:
    """By a request for each file, compared with the manifest; what else is there is not known."""
    files = {path for path in (web.folder / "x.zarr").rglob("*") if path.is_file()}
    done = publish_store(as_source(address_of(web)), tmp_path / "copy.zarr")
    assert any("lists none" in one for one in done.left_out)
    assert len(web.asked) <= len(files) + 6
    for path in files:
        copied = tmp_path / "copy.zarr" / path.relative_to(web.folder / "x.zarr")
        assert copied.read_bytes() == path.read_bytes()
    flip(shard_of(web), 1000)
    with pytest.raises(DamagedStoreError):
        publish_store(as_source(address_of(web)), tmp_path / "other.zarr")
    assert not (tmp_path / "other.zarr" / "zarr.json").exists()


def test_a_virtual_image_reads_runs_of_chunks(web: WebFolder, values: NDArray[Any]) -> None:
    """Neighbouring chunks come by one request, and each once."""
    scan = stemzarr.open(address_of(web), chunks=None)
    image = scan.stem.virtual_image(inner=0, outer=100)
    np.testing.assert_allclose(image, values.sum(axis=(2, 3)))
    shard = (web.folder / "x.zarr" / SHARD).stat().st_size
    assert web.sent <= 1.01 * shard + 100_000


def test_training_reads_from_an_address(web: WebFolder, values: NDArray[Any]) -> None:
    """A dataset over an address travels, and its loader forks no process that has read from one."""
    pytest.importorskip("torch")
    from stemzarr.torch import PatternDataset, make_loader

    dataset = pickle.loads(pickle.dumps(PatternDataset(address_of(web))))
    np.testing.assert_array_equal(dataset[40][0].numpy(), values[2, 8])
    loader = make_loader(dataset, num_workers=1)
    assert loader.multiprocessing_context.get_start_method() != "fork"


def shard_of(web: WebFolder) -> Path:
    """Return the file of the one shard."""
    return web.folder / "x.zarr" / SHARD


def flip(path: Path, at: int) -> None:
    """Change a bit of a file."""
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_a_flipped_byte_far_away_is_named(web: WebFolder) -> None:
    """The chunk is named with its patterns, also by verify; the others are read."""
    flip(shard_of(web), 1000)
    scan = stemzarr.open(address_of(web), chunks=None)
    with pytest.raises(DamagedStoreError, match="chunk 0/0/0/0 of intensity"):
        scan.intensity[0, 0].load()
    scan.intensity[15, 15].load()
    report = stemzarr.verify(address_of(web))
    assert any(SHARD in problem for problem in report.problems)
    assert any("chunk 0/0/0/0" in problem for problem in report.problems)
    assert not report.ok


@pytest.mark.parametrize("known", [False, True], ids=["opened", "index known"])
@pytest.mark.parametrize("how", ["cut", "deleted", "longer"])
def test_an_object_that_is_short_or_gone_raises(web: WebFolder, how: str, known: bool) -> None:
    """It never reads as zeros, whether or not its index was read before."""
    scan = stemzarr.open(address_of(web), chunks=None)
    if known:
        scan.intensity[0, 0].load()
    shard = shard_of(web)
    if how == "deleted":
        shard.unlink()
    else:
        content = shard.read_bytes()
        shard.write_bytes(content[:-9] if how == "cut" else content + content[-9:])
    with pytest.raises(DamagedStoreError, match="damaged: "):
        scan.intensity[15, 15].load()
    assert not stemzarr.verify(address_of(web)).ok


@pytest.mark.parametrize("codec", ["zstd", "none"])
@pytest.mark.parametrize("known", [False, True], ids=["opened", "index known"])
def test_a_store_that_is_replaced_far_away_is_not_read_under_the_old_labels(
    tmp_path: Path, codec: str, known: bool
) -> None:
    """Patterns of another store at the address are refused, also where every size is the same."""
    folder = tmp_path / "web"
    folder.mkdir()
    write(make_values(0), folder / "x.zarr", codec)
    with serve_folder(folder) as web:
        scan = stemzarr.open(address_of(web), chunks=None)
        if known:
            scan.intensity[0, 0].load()
        write(make_values(1), folder / "x.zarr", codec)
        for path in (folder / "x.zarr").rglob("*"):
            os.utime(path, (ROOT_TIME + 5, ROOT_TIME + 5))
        with pytest.raises(SourceChangedError, match="replaced"):
            scan.intensity[15, 15].load()
        again = stemzarr.open(address_of(web), chunks=None)
        np.testing.assert_array_equal(again.intensity[15, 15], make_values(1)[15, 15])


def test_a_store_that_is_calibrated_far_away_is_read_on(web: WebFolder) -> None:
    """Other labels are no other store."""
    scan = stemzarr.open(address_of(web), chunks=None)
    from stemzarr.store import revise

    revise(web.folder / "x.zarr", {"det_x.scale": 0.5})
    os.utime(shard_of(web), (ROOT_TIME + 5, ROOT_TIME + 5))
    scan.intensity[15, 15].load()


def test_a_server_without_ranges_is_one_error(web: WebFolder) -> None:
    """It is said before a shard is downloaded."""
    web.ranges = False
    scan = stemzarr.open(address_of(web), chunks=None)
    web.asked.clear()
    with pytest.raises(ReadError, match="does not serve parts of objects"):
        scan.intensity[0, 0].load()
    assert len(web.asked) == 1


def test_an_answer_that_is_cut_is_asked_for_again(web: WebFolder, values: NDArray[Any]) -> None:
    """Or it is an error; what did not arrive is never taken for zeros."""
    scan = stemzarr.open(address_of(web), chunks=None)
    web.cut = 1
    try:
        found = scan.intensity[0, 0].to_numpy()
    except ReadError:
        found = scan.intensity[0, 0].to_numpy()
    np.testing.assert_array_equal(found, values[0, 0])


def test_a_request_without_an_answer_is_made_again(web: WebFolder, values: NDArray[Any]) -> None:
    """A connection that ends before anything came is no end of the work, and no zeros."""
    web.lost = 1
    scan = stemzarr.open(address_of(web), chunks=None)
    web.lost = 2
    np.testing.assert_array_equal(scan.intensity, values)
    web.lost = 1
    assert stemzarr.verify(address_of(web)).ok


@pytest.mark.parametrize(
    ("status", "kind", "said"),
    [(409, ReadError, "answers 409"), (412, SourceChangedError, "changed since")],
)
def test_a_conflict_is_one_error(
    web: WebFolder, status: int, kind: type[Exception], said: str
) -> None:
    """A server that says of another state, without end, is an error of that name."""
    scan = stemzarr.open(address_of(web), chunks=None)
    scan.intensity[0, 0].load()
    web.status = status
    with pytest.raises((kind, DamagedStoreError), match=said):
        scan.intensity[15, 15].load()


def test_a_server_without_etags_is_read(web: WebFolder, values: NDArray[Any]) -> None:
    """Size and time then tell one object from another."""
    web.etags = False
    scan = stemzarr.open(address_of(web), chunks=None)
    np.testing.assert_array_equal(scan.intensity, values)


def test_credentials_that_expire_are_one_error(web: WebFolder) -> None:
    """It says so, and nothing of the answer."""
    scan = stemzarr.open(address_of(web), chunks=None)
    web.status, web.said = 400, "<Code>ExpiredToken</Code><Token>secret</Token>"
    with pytest.raises(ReadError, match="expired") as caught:
        scan.intensity[0, 0].load()
    assert "secret" not in str(caught.value)


def test_a_wrong_address_is_one_error(web: WebFolder) -> None:
    """A name with a slip, a folder that is not a store, a file that is not one."""
    with pytest.raises(SourceNotFoundError, match="there is no store"):
        stemzarr.open(f"{web.address}/y.zarr")
    (web.folder / "z.zarr").mkdir()
    (web.folder / "z.zarr" / "zarr.json").write_text("{}")
    with pytest.raises(StemzarrError, match="not those of a stemzarr store"):
        stemzarr.open(f"{web.address}/z.zarr")


def test_a_bucket_is_read_as_a_folder(written: Path, values: NDArray[Any]) -> None:
    """From S3 come the same values; a wrong bucket is an error; what is strange is found."""
    pytest.importorskip("moto")
    from stemzarr.storage.address import RemotePath
    from stemzarr.storage.remote import RemoteFolder

    with serve_bucket() as bucket:
        place = RemoteFolder(RemotePath(f"{bucket}/x.zarr"))
        for path in written.rglob("*"):
            if path.is_file():
                place.put(path.relative_to(written).as_posix(), path.read_bytes())
        scan = stemzarr.open(f"{bucket}/x.zarr", chunks=None)
        np.testing.assert_array_equal(scan.intensity[5, 6], values[5, 6])
        assert stemzarr.verify(f"{bucket}/x.zarr").ok
        place.put("strange", b"")
        place.put("analysis/mine", b"")
        report = stemzarr.verify(f"{bucket}/x.zarr")
        assert report.problems == ("strange: does not belong to the store",)
        assert report.added == ("analysis/mine",)
        with pytest.raises(ReadError, match="no such bucket"):
            stemzarr.open(f"{bucket}-other/x.zarr")


@pytest.mark.parametrize(
    "command",
    [
        ["ingest", "ADDRESS"],
        ["calibrate", "ADDRESS", "det_x.scale=1"],
        ["redact", "ADDRESS"],
        ["verify", "ADDRESS", "--restore-metadata"],
        ["export", "ADDRESS", "s3://bucket/x.npy"],
        ["tag", "scan", "--add", "x", "--lake", "ADDRESS"],
    ],
)
def test_what_takes_no_address_says_so(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, which does not repeat the address, and nothing is asked of any server."""
    address = "https://host.invalid/secret.zarr"
    status = run([word.replace("ADDRESS", address) for word in command])
    said = capsys.readouterr()
    assert status in (1, 2)
    assert "address" in said.err
    assert OptionError.__name__ not in said.err
