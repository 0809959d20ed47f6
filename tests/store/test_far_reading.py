"""What a far store costs: requests and bytes, counted by the server; and what is kept of it."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import stemzarr
from stemzarr.model import read_box
from stemzarr.options import ExportOptions, IngestOptions
from stemzarr.pixels import foresight
from stemzarr.pixels.boxes import Box
from stemzarr.pixels.foresight import foresee
from stemzarr.storage.address import as_source
from stemzarr.storage.fingerprints import digest_of
from stemzarr.storage.local import LocalFolder
from stemzarr.store import blocks, read_store, verify_store, write_store
from stemzarr.store.format import plan
from stemzarr.store.format.manifest import files_of, read_manifest, write_manifest
from stemzarr.store.format.tree import Tree, read_nodes
from stemzarr.testing.sources import document_of, source_of
from stemzarr.testing.stores import change_store
from stemzarr.testing.web import WebFolder, serve_folder
from stemzarr.views.view import View

pytest.importorskip("obstore")

VALUES: NDArray[np.uint16] = (
    np.random.default_rng(0).poisson(3.0, (16, 16, 32, 32)).astype(np.uint16)
)
SHARDS, CHUNKS = 8, 32


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store of eight shards of four chunks, its root newer than the rest."""
    path = tmp_path_factory.mktemp("far") / "x.zarr"
    source = source_of(path.with_suffix(".bin"), [document_of(VALUES, "4d-stem")])
    with pytest.MonkeyPatch.context() as patch:
        for name, size in (("CHUNK_BYTES", 2**14), ("_LEAST_SHARD", 2**16), ("_SHARD_PATTERNS", 1)):
            patch.setattr(plan, name, size)
        write_store(source, path, IngestOptions(sync=False))
    make_published(path)
    return path


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    """Return a folder with a copy of the store."""
    shutil.copytree(written, tmp_path / "web" / "x.zarr")
    return tmp_path / "web"


def make_published(store: Path) -> None:
    """Give the files of a store the times that they have once it was published."""
    for path in store.rglob("*"):
        os.utime(path, (1_900_000_000, 1_900_000_000))
    os.utime(store / "zarr.json", (2_000_000_000, 2_000_000_000))


@pytest.fixture
def web(folder: Path) -> Iterator[WebFolder]:
    """Serve the store."""
    with serve_folder(folder) as served:
        yield served


def shards_asked(web: WebFolder) -> list[str]:
    """Return the parts of shards that were asked for."""
    return [one.range for one in web.asked if "/intensity/c/" in f"/{one.path}"]


def sent_of_shards(web: WebFolder) -> int:
    """Return the bytes of shards that were sent."""
    return sum(one.sent for one in web.asked if "intensity/c/" in one.path)


def stored(web: WebFolder) -> int:
    """Return the bytes of all shards."""
    shards = (web.folder / "x.zarr" / "intensity").rglob("[0-9]*")
    return sum(path.stat().st_size for path in shards if path.is_file())


def test_every_pattern_is_one_request(web: WebFolder) -> None:
    """The first pattern of a shard, too: the manifest says where all chunks are."""
    scan = stemzarr.open(f"{web.address}/x.zarr", chunks=None)
    assert len(web.asked) == 2
    for row in (0, 2, 3, 15):
        web.asked.clear()
        np.testing.assert_array_equal(scan.intensity[row, 4], VALUES[row, 4])
        assert len(web.asked) == 1
    web.asked.clear()
    scan.intensity[3, 4].load()
    assert web.asked == []


@pytest.mark.parametrize("how", ["image", "npy", "zarr", "binned"])
def test_a_pass_reads_every_byte_once_by_few_requests(
    web: WebFolder, tmp_path: Path, how: str
) -> None:
    """Images and exports take a request for each shard, and no byte twice."""
    address = f"{web.address}/x.zarr"
    scan = stemzarr.open(address, chunks=None)
    web.asked.clear()
    if how == "image":
        image = scan.stem.virtual_image(mask=np.eye(32, dtype=bool))
        np.testing.assert_array_equal(image, np.einsum("yxaa->yx", VALUES))
    else:
        view = View(downsample=2) if how == "binned" else None
        dest = tmp_path / f"out.{'zarr' if how == 'zarr' else 'npy'}"
        stemzarr.export(address, dest, view=view, options=ExportOptions(sync=False))
    assert len(shards_asked(web)) <= SHARDS
    assert sent_of_shards(web) <= stored(web)


def test_steps_over_the_scan_read_no_row_between_them(web: WebFolder, tmp_path: Path) -> None:
    """What a view jumps over is not asked for."""
    address = f"{web.address}/x.zarr"
    options = ExportOptions(sync=False)
    stemzarr.export(address, tmp_path / "o.npy", view=View(scan_step=4), options=options)
    np.testing.assert_array_equal(np.load(tmp_path / "o.npy"), VALUES[::4, ::4])
    assert sent_of_shards(web) < 0.3 * stored(web)


def test_runs_end_at_eight_mebibytes(web: WebFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """No request asks for more than that, and none for less than it must."""
    monkeypatch.setattr(blocks, "_RUN_BYTES", 2**13)
    scan = stemzarr.open(f"{web.address}/x.zarr", chunks=None)
    web.asked.clear()
    np.testing.assert_array_equal(scan.intensity, VALUES)
    asked = [tuple(map(int, one.removeprefix("bytes=").split("-"))) for one in shards_asked(web)]
    assert all(last - first < 2**13 for first, last in asked)
    assert SHARDS < len(asked) < CHUNKS
    assert len(asked) <= 2 * SHARDS + stored(web) / 2**13


def test_a_store_of_an_earlier_version_takes_the_indexes_of_its_shards(web: WebFolder) -> None:
    """Without lengths in the manifest a shard costs one request more, at its first pattern."""
    change_store(web.folder / "x.zarr")
    make_published(web.folder / "x.zarr")
    assert not read_manifest(web.folder / "x.zarr", read_nodes(web.folder / "x.zarr")).chunks
    scan = stemzarr.open(f"{web.address}/x.zarr", chunks=None)
    web.asked.clear()
    scan.intensity[0, 0].load()
    assert len(web.asked) == 2
    np.testing.assert_array_equal(scan.intensity, VALUES)
    assert len(web.asked) <= 2 * SHARDS + 1


def test_an_epoch_fetches_every_chunk_once(web: WebFolder) -> None:
    """Whatever the order of the patterns, and how often they are asked for."""
    pytest.importorskip("torch")
    from stemzarr.torch import PatternDataset, make_loader

    dataset = PatternDataset(f"{web.address}/x.zarr")
    web.asked.clear()
    seen = np.concatenate([batch.numpy() for batch in make_loader(dataset, 16)])
    assert len(shards_asked(web)) <= CHUNKS
    assert sent_of_shards(web) <= stored(web)
    assert sorted(seen.sum(axis=(1, 2, 3))) == sorted(VALUES.sum(axis=(2, 3)).reshape(-1))
    assert foresight._Ahead.held == 0


def test_lengths_that_are_wrong_are_found(folder: Path) -> None:
    """A verification compares those of the manifest with the index of each shard."""
    store = folder / "x.zarr"
    nodes = read_nodes(store)
    chunks = dict(read_manifest(store, nodes).chunks)
    assert len(chunks) == SHARDS
    assert verify_store(store).ok
    key = sorted(chunks)[3]
    chunks[key] = (chunks[key][0] + 1, chunks[key][1] - 1, *chunks[key][2:])
    place = LocalFolder(store)
    tree = Tree(store=place, nodes=nodes)
    write_manifest(tree, {name: digest_of(place, name) for name in files_of(place)}, chunks)
    problems = verify_store(store).problems
    assert any(key in problem and "lengths" in problem for problem in problems)


BOXES = st.lists(
    st.tuples(*(st.integers(0, 15), st.integers(0, 15), st.integers(1, 16), st.integers(1, 16))),
    min_size=1,
    max_size=8,
)


@given(boxes=BOXES, seed=st.integers(0, 9), room=st.sampled_from([0, 20_000, 2**26]))
def test_what_is_foreseen_is_what_is_read(
    web: WebFolder, boxes: list[tuple[int, ...]], seed: int, room: int
) -> None:
    """In any order, by any number of threads, and however little may be ahead or kept."""
    found = read_store(as_source(f"{web.address}/x.zarr")).document.blocks
    wanted = [
        Box((y, x, 0, 0), (min(rows, 16 - y), min(columns, 16 - x), 32, 32))
        for y, x, rows, columns in boxes
    ]
    read = random.Random(seed).sample(wanted, len(wanted))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(foresight, "_AHEAD_BYTES", room)
        patch.setattr(foresight, "_KEPT_BYTES", room)
        patch.setattr(foresight, "_kept", foresight._Kept())
        with foresee((found, box) for box in wanted), ThreadPoolExecutor(3) as pool:
            values = list(pool.map(lambda box: read_box(found, box.start, box.shape), read))
        assert foresight._kept._nbytes <= room
    for box, value in zip(read, values, strict=True):
        np.testing.assert_array_equal(value, VALUES[box.slices()])
    assert foresight._Ahead.held == 0
