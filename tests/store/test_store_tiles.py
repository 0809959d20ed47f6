"""Tile sums and centres of mass of a store equal numpy's, however the scan was cut and measured."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorstore
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stemzarr.errors import CorruptFileError, DamagedStoreError, SourceChangedError
from stemzarr.model import Document, read_box
from stemzarr.options import IngestOptions
from stemzarr.store import open_previews, read_store, verify_store, write_store
from stemzarr.store.format import plan
from stemzarr.testing.sources import counted, document_of, source_of
from stemzarr.testing.stores import change_store
from stemzarr.views import tile_sums

NO_SYNC = IngestOptions(sync=False)
DTYPES = ["u1", "u2", "i2", "i4", "u4", "f4", "f8", "bool", "c8"]


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut small scans into several shards, rows into parts of rows."""
    monkeypatch.setattr(plan, "CHUNK_BYTES", 2**11)
    monkeypatch.setattr(plan, "_LEAST_SHARD", 2**13)
    monkeypatch.setattr(plan, "_MOST_SHARD", 2**14)
    monkeypatch.setattr(plan, "_SHARD_PATTERNS", 1)


def numpy_tiles(values: NDArray[Any], side: int) -> NDArray[Any]:
    """Return tile sums as numpy makes them."""
    rows, columns = (range(0, n, side) for n in values.shape[2:])
    return np.add.reduceat(np.add.reduceat(values, rows, axis=2), columns, axis=3)


def stored(folder: Path, values: NDArray[Any], **masks: Any) -> Document:
    """Return the document of a new store."""
    write_store(
        source_of(folder / "a.dm4", [document_of(values, **masks)]), folder / "a.zarr", NO_SYNC
    )
    return read_store(folder / "a.zarr").document


@settings(max_examples=12)
@given(
    dtype=st.sampled_from(DTYPES),
    shape=st.tuples(st.integers(1, 7), st.integers(1, 9), st.integers(1, 30), st.integers(1, 40)),
    seed=st.integers(0, 2**32),
    masked=st.booleans(),
)
def test_tiles_and_centres_equal_numpy(
    dtype: str, shape: tuple[int, ...], seed: int, *, masked: bool
) -> None:
    """Of every type and shape, of salvaged and masked scans, read whole and in regions."""
    rng = np.random.default_rng(seed)
    values = rng.poisson(0.4, shape).astype(dtype)
    if dtype[0] == "i":
        values -= rng.poisson(0.1, shape).astype(dtype)
    masks: dict[str, Any] = {}
    wide = (np.abs(values) if dtype[0] == "c" else values).astype(np.float64)
    if masked:
        masks = {"valid": rng.random(shape[:2]) > 0.3, "bad_pixels": rng.random(shape[2:]) > 0.9}
        masks["valid"][0, 0] = True  # a scan without any pattern has no sums
        wide *= masks["valid"][..., np.newaxis, np.newaxis] * ~masks["bad_pixels"]
    with tempfile.TemporaryDirectory() as folder:
        document = stored(Path(folder), values, **masks)
        assert verify_store(Path(folder) / "a.zarr").ok
        previews = open_previews(Path(folder) / "a.zarr")
        top, left = (int(rng.integers(n)) for n in shape[:2])
        found = tile_sums(document, (slice(top, None), slice(left, None)))
    assert found.stored
    expected = numpy_tiles(wide, found.side)[top:, left:]
    np.testing.assert_array_equal(found.values, expected)
    assert found.values.dtype.kind in "iu"
    sums = wide.sum(axis=(2, 3))
    disk = previews.attrs["disk"]
    for name, axis in (("y", 2), ("x", 3)):
        line = wide.sum(axis=5 - axis) @ np.arange(shape[axis])
        with np.errstate(invalid="ignore", divide="ignore"):
            center = np.where(sums == 0, np.nan, line / sums) - disk[f"center_{name}"]
        np.testing.assert_allclose(previews[f"com_{name}"], center, rtol=1e-12, atol=1e-9)


def test_floats_keep_their_sums(tmp_path: Path) -> None:
    """Of values that are no integers the sums are float64; what is not finite counts 0."""
    values = np.random.default_rng(0).normal(5, 1, (3, 4, 12, 20)).astype("f4")
    values[0, 1, 2, 3] = np.inf
    found = tile_sums(stored(tmp_path, values))
    wide = np.where(np.isfinite(values), values, 0).astype(np.float64)
    assert found.values.dtype == np.float64
    np.testing.assert_allclose(found.values, numpy_tiles(wide, 8), rtol=1e-14)


def test_other_libraries_read_tile_sums(tmp_path: Path) -> None:
    """zarr-python, its pipeline of zarrs, and tensorstore read what we read."""
    document = stored(tmp_path, counted((5, 7, 20, 24)))
    assert document.tiles is not None
    kept = document.tiles.blocks
    assert any(c < n for c, n in zip(kept.block_shape, kept.shape, strict=True))
    ours = read_box(kept, (0, 0, 0, 0), kept.shape)
    path = tmp_path / "a.zarr" / "preview" / "tile_sums"
    array = zarr.open_array(path, mode="r")
    np.testing.assert_array_equal(array[...], ours)
    with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
        np.testing.assert_array_equal(zarr.open_array(path, mode="r")[...], ours)
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(path)}}
    opened = tensorstore.open(spec, open=True, read=True).result()
    np.testing.assert_array_equal(opened.read().result(), ours)


def test_damage_is_no_zeros(tmp_path: Path) -> None:
    """A lost or changed chunk of tile sums is an error, and so is another store in its place."""
    document = stored(tmp_path, counted((5, 7, 20, 24)))
    file = tmp_path / "a.zarr/preview/tile_sums/c/0/0/0/0"
    content = bytearray(file.read_bytes())
    content[20] ^= 1
    file.write_bytes(content)
    with pytest.raises(DamagedStoreError, match="checksum"):
        tile_sums(document)
    file.unlink()
    with pytest.raises(DamagedStoreError, match="tile_sums"):
        tile_sums(document)
    other = counted((5, 7, 20, 24), seed=1)
    source = source_of(tmp_path / "b.dm4", [document_of(other)])
    write_store(source, tmp_path / "a.zarr", IngestOptions(sync=False, overwrite=True))
    with pytest.raises(SourceChangedError, match="was replaced"):
        tile_sums(document)


@pytest.mark.parametrize("side", [0, 3, "8", None])
def test_tiles_of_another_size_are_refused(tmp_path: Path, side: object) -> None:
    """A side that does not give the number of tiles is no metadata of ours."""
    stored(tmp_path, counted((5, 7, 20, 24)))
    node = json.loads((tmp_path / "a.zarr/preview/tile_sums/zarr.json").read_bytes())
    node["attributes"]["tile_side"] = side
    change_store(tmp_path / "a.zarr", nodes={"preview/tile_sums": node})
    with pytest.raises(CorruptFileError, match="tiles"):
        read_store(tmp_path / "a.zarr")
