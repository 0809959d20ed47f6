"""What a source holds comes back from its store, through our reader and through others."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import tensorstore
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stemzarr.errors import (
    CorruptFileError,
    DamagedStoreError,
    SchemaVersionError,
    SourceChangedError,
    SourceNotFoundError,
    StoreExistsError,
)
from stemzarr.model import Brightness, Kind, Layout, Source, read_all, read_box
from stemzarr.options import IngestOptions, ReadOptions
from stemzarr.store import read_record, read_store, verify_store, write_store
from stemzarr.testing.sources import counted, document_of, source_of
from stemzarr.testing.web import serve_folder

DTYPES = ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8", "c8", "c16", "?"]
SHAPES: dict[Kind, tuple[int, ...]] = {
    "4d-stem": (3, 5, 6, 7),
    "diffraction": (9, 8),
    "image": (7, 10),
    "spectrum-image": (4, 3, 50),
    "spectrum": (100,),
    "profile": (33,),
    "stack": (4, 5, 6),
    "array": (2, 3, 4, 5, 6),
}
SCHEMA = Path(__file__).parents[2] / "docs" / "attributes.schema.json"
NO_SYNC = IngestOptions(sync=False)


def any_values(shape: tuple[int, ...], dtype: str, seed: int = 0) -> NDArray[Any]:
    """Return values that use all bits of their type, without NaN."""
    raw = np.random.default_rng(seed).bytes(int(np.prod(shape)) * np.dtype(dtype).itemsize)
    if dtype == "?":
        return (np.frombuffer(raw, "u1") & 1).astype(bool).reshape(shape)
    values = np.frombuffer(raw, dtype).reshape(shape).copy()
    return (
        np.nan_to_num(values, nan=1.0, posinf=2.0, neginf=3.0)
        if values.dtype.kind in "fc"
        else values
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", list(SHAPES))
def test_values_labels_and_kind_come_back(
    make_source: Callable[..., Source], tmp_path: Path, kind: Kind, dtype: str
) -> None:
    """Every kind and dtype: values to the bit, axes, title; by stemzarr, xarray and tensorstore."""
    values = any_values(SHAPES[kind], dtype)
    source = make_source(values, kind, brightness=Brightness(scale=0.5, units="electron"))
    store = tmp_path / "x.zarr"
    result = write_store(source, store, NO_SYNC)
    assert (result.kind, result.shape, result.dtype) == (kind, values.shape, values.dtype.name)
    document = read_store(store).document
    assert read_all(document.blocks).tobytes() == values.tobytes()
    assert document.axes == source.document.axes
    assert document.brightness == source.document.brightness
    assert (document.kind, document.title) == (kind, source.document.title)
    with xr.open_zarr(store) as dataset:
        assert dataset.intensity.dims == source.document.dims
        assert dataset.intensity.values.tobytes() == values.tobytes()
        for axis in source.document.axes:
            np.testing.assert_array_equal(dataset[axis.name], axis.values())
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{store}/intensity"}}
    assert tensorstore.open(spec).result().read().result().tobytes() == values.tobytes()


@pytest.mark.parametrize("codec", ["zstd", "lz4", "none"])
def test_zarr_and_zarrs_read_every_codec(
    make_source: Callable[..., Source], tmp_path: Path, codec: Any
) -> None:
    """zarr-python with its own pipeline and with zarrs' gives the same values."""
    values = counted((5, 9, 31, 33))
    store = tmp_path / "x.zarr"
    write_store(make_source(values), store, IngestOptions(codec=codec, sync=False))
    np.testing.assert_array_equal(zarr.open_group(store, mode="r")["intensity"][...], values)
    with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
        np.testing.assert_array_equal(zarr.open_group(store, mode="r")["intensity"][...], values)


@settings(max_examples=40)
@given(data=st.data())
def test_any_box_of_any_cut_equals_the_array(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, data: st.DataObject
) -> None:
    """Whatever the chunks and shards, any box that is read equals that box of the array."""
    tmp_path = tmp_path_factory.mktemp("cut")
    shape = data.draw(st.tuples(*[st.integers(1, 9)] * 4))
    chunk = data.draw(st.sampled_from([64, 200, 1000, 4000]))
    shard = chunk * data.draw(st.integers(1, 9))
    with monkeypatch.context() as patch:
        patch.setattr("stemzarr.store.format.plan.CHUNK_BYTES", chunk)
        patch.setattr("stemzarr.store.format.plan._LEAST_SHARD", shard)
        patch.setattr("stemzarr.store.format.plan._MOST_SHARD", 2 * shard)
        patch.setattr("stemzarr.store.format.plan._SHARD_PATTERNS", 1)
        patch.setattr("stemzarr.store.format.plan._BOX_BYTES", data.draw(st.integers(1, 5000)))
        values = counted(shape)
        source = source_of(tmp_path / "source.bin", [document_of(values)])
        write_store(source, tmp_path / "x.zarr", NO_SYNC)
    document = read_store(tmp_path / "x.zarr").document
    start = tuple(data.draw(st.integers(0, n - 1)) for n in shape)
    stop = tuple(data.draw(st.integers(a + 1, n)) for a, n in zip(start, shape, strict=True))
    box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    count = tuple(b - a for a, b in zip(start, stop, strict=True))
    np.testing.assert_array_equal(read_box(document.blocks, start, count), values[box])
    array = zarr.open_group(tmp_path / "x.zarr", mode="r")["intensity"]
    np.testing.assert_array_equal(array[...], values)


def many_documents(folder: Path) -> Source:
    """Return a source with a scan, a survey image, a colour thumbnail and a spectrum."""
    layout = Layout(order="detector-fast", evidence=("flag", "units"), confidence="high")
    documents = [
        document_of(
            counted((4, 5, 8, 9)),
            index=1,
            slug="scan",
            layout=layout,
            facts={"beam_energy_keV": 200.0, "specimen": "SrTiO₃"},
            fact_paths={"beam_energy_keV": "Microscope Info/Voltage"},
            notes=("a note",),
        ),
        document_of(
            any_values((11, 12), "f4"),
            "image",
            index=2,
            slug="survey",
            attributes={"scan_rectangle_top": 3},
        ),
        document_of(
            any_values((6, 7, 4), "u1"),
            "image",
            index=0,
            slug="thumb",
            channels=("red", "green", "blue", "alpha"),
            thumbnail=True,
        ),
        document_of(any_values((64,), "i4"), "spectrum", index=3, slug="eels-1"),
    ]
    return source_of(
        folder / "source.bin",
        documents,
        load_metadata=lambda: {"A": [1, 2.5, "µ"], "B": {"x.y": None}},
        notes=("the file has a trailer",),
    )


def test_all_documents_metadata_and_notes_come_back(tmp_path: Path) -> None:
    """Documents, slugs, facts, paths of facts, layout, notes and the tag tree survive."""
    source = many_documents(tmp_path)
    write_store(source, tmp_path / "x.zarr", NO_SYNC)
    again = read_store(tmp_path / "x.zarr")
    assert again.load_metadata() == source.load_metadata()
    assert again.main == source.main
    assert set(source.notes) <= set(again.notes)
    for before in source.documents:
        after = again.find(before.slug)
        assert after.index == before.index
        assert read_all(after.blocks).tobytes() == read_all(before.blocks).tobytes()
        for name in ("dims", "axes", "channels", "thumbnail", "layout", "notes", "kind", "title"):
            assert getattr(after, name) == getattr(before, name), name
        assert before.facts.items() <= after.facts.items()
        assert after.fact_paths == before.fact_paths
        assert after.attributes == before.attributes


def test_xarray_opens_the_whole_tree_without_a_warning(tmp_path: Path) -> None:
    """`open_datatree` gives every document; equal dim names mean the same axis."""
    source = many_documents(tmp_path)
    write_store(source, tmp_path / "x.zarr", NO_SYNC)
    with xr.open_datatree(tmp_path / "x.zarr", engine="zarr") as tree:
        assert tree["documents/survey/intensity"].dims == ("survey_y", "survey_x")
        thumb = tree["documents/thumb/intensity"]
        assert thumb.dims == ("thumb_y", "thumb_x", "thumb_channel")
        np.testing.assert_array_equal(tree["intensity"], read_all(source.document.blocks))
        sizes: dict[str, int] = {}
        for node in tree.subtree:
            for name, size in node.to_dataset(inherit=False).sizes.items():
                assert sizes.setdefault(str(name), size) == size


def test_the_main_document_survives_netcdf(tmp_path: Path) -> None:
    """Root attributes are flat, so that the store's Dataset can be written as netCDF."""
    write_store(many_documents(tmp_path), tmp_path / "x.zarr", NO_SYNC)
    with xr.open_zarr(tmp_path / "x.zarr") as dataset:
        dataset.astype("i4").to_netcdf(tmp_path / "x.nc", engine="scipy")


def test_attributes_follow_the_published_schema(tmp_path: Path) -> None:
    """Every node's attributes are valid against the JSON Schema in the docs."""
    write_store(many_documents(tmp_path), tmp_path / "x.zarr", NO_SYNC)
    root = json.loads((tmp_path / "x.zarr/zarr.json").read_text(encoding="utf-8"))
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))

    def check(part: str, attributes: Any) -> None:
        jsonschema.validate(attributes, {**schema, "$ref": f"#/$defs/{part}"})

    check("root", root["attributes"])
    for path, node in root["consolidated_metadata"]["metadata"].items():
        name = path.split("/")[-1]
        if path == "source":
            check("source", node["attributes"])
        elif name == "preview":
            check("preview", node["attributes"])
        elif name == "intensity":
            check("intensity", node["attributes"])
        elif path.count("/") == 1 and path.startswith("documents/"):
            check("document", node["attributes"])
        elif node.get("dimension_names") == [name]:
            check("coordinate", node["attributes"])


def test_every_array_names_its_dims_and_ends_in_crc32c(tmp_path: Path) -> None:
    """No array is without dim names, fill value 0 or checksum."""
    write_store(many_documents(tmp_path), tmp_path / "x.zarr", NO_SYNC)
    root = json.loads((tmp_path / "x.zarr/zarr.json").read_text(encoding="utf-8"))
    for node in root["consolidated_metadata"]["metadata"].values():
        if node["node_type"] == "array":
            assert len(node["dimension_names"]) == len(node["shape"])
            codecs = node["codecs"]
            if codecs[0]["name"] == "sharding_indexed":
                assert codecs[0]["configuration"]["index_codecs"][-1]["name"] == "crc32c"
                codecs = codecs[0]["configuration"]["codecs"]
            assert codecs[-1]["name"] == "crc32c"
            assert node["fill_value"] in (0, [0.0, 0.0])


def test_consolidated_metadata_repeat_the_nodes(tmp_path: Path) -> None:
    """Every ``zarr.json`` below the root stands in the root's, and nothing else."""
    store = tmp_path / "x.zarr"
    write_store(many_documents(tmp_path), store, NO_SYNC)
    root = json.loads((store / "zarr.json").read_text(encoding="utf-8"))
    below = {
        file.parent.relative_to(store).as_posix(): json.loads(file.read_text(encoding="utf-8"))
        for file in store.rglob("zarr.json")
        if file.parent != store
    }
    listed = root["consolidated_metadata"]["metadata"]
    nothing = {"kind": "inline", "must_understand": False, "metadata": {}}
    own = "consolidated_metadata"
    said = {path: node.pop(own) for path, node in listed.items() if own in node}
    assert listed == below
    groups = {path for path, node in below.items() if node["node_type"] == "group"}
    assert said == {
        path: nothing for path in groups if not any(name.startswith(f"{path}/") for name in below)
    }
    assert said


def test_a_tree_opens_where_nothing_can_be_listed(tmp_path: Path) -> None:
    """Xarray opens all documents from a web server, which lists no folder."""
    obstore = pytest.importorskip("obstore.store")
    write_store(many_documents(tmp_path), tmp_path / "x.zarr", NO_SYNC)
    with serve_folder(tmp_path) as web:
        options = {"allow_http": True}
        place = obstore.HTTPStore(f"{web.address}/x.zarr", client_options=options)
        with xr.open_datatree(
            zarr.storage.ObjectStore(place, read_only=True), engine="zarr"
        ) as tree:
            below = json.loads((tmp_path / "x.zarr/zarr.json").read_bytes())
            nodes = below["consolidated_metadata"]["metadata"]
            groups = [path for path in nodes if nodes[path]["node_type"] == "group"]
            assert sorted(tree.groups) == ["/", *(f"/{path}" for path in sorted(groups))]
        assert {one.method for one in web.asked} <= {"GET", "HEAD"}


def test_the_blocks_are_picklable_and_thread_safe(
    make_source: Callable[..., Source], tmp_path: Path
) -> None:
    """Many threads read random patterns through an unpickled copy, each right."""
    values = counted((9, 8, 16, 16))
    write_store(make_source(values), tmp_path / "x.zarr", NO_SYNC)
    blocks = pickle.loads(pickle.dumps(read_store(tmp_path / "x.zarr").document.blocks))
    places = [divmod(int(n), 8) for n in np.random.default_rng(0).integers(0, 72, 300)]
    with ThreadPoolExecutor(8) as pool:
        patterns = pool.map(lambda at: read_box(blocks, (*at, 0, 0), (1, 1, 16, 16)), places)
        for (y, x), pattern in zip(places, patterns, strict=True):
            np.testing.assert_array_equal(pattern[0, 0], values[y, x])


def test_zeros_are_written_and_a_lost_shard_is_no_zero(
    make_source: Callable[..., Source], tmp_path: Path
) -> None:
    """A scan of zeros has its shard; without it reading raises and says which patterns."""
    store = tmp_path / "x.zarr"
    write_store(make_source(np.zeros((3, 4, 5, 6), "u2")), store, NO_SYNC)
    shard = store / "intensity/c" / "0/0/0/0"
    document = read_store(store).document
    assert not read_all(document.blocks).any()
    shard.unlink()
    with pytest.raises(DamagedStoreError, match=r"\[0:3, 0:4, 0:5, 0:6\].*shard is missing"):
        read_all(document.blocks)


@settings(max_examples=60)
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_no_flipped_bit_of_a_shard_reads_as_counts(
    tmp_path_factory: pytest.TempPathFactory, where: float, bit: int
) -> None:
    """Reading a shard with any one bit flipped raises."""
    tmp_path = tmp_path_factory.mktemp("flip")
    source = source_of(tmp_path / "source.bin", [document_of(counted((2, 3, 8, 8)))])
    write_store(source, tmp_path / "x.zarr", NO_SYNC)
    shard = tmp_path / "x.zarr/intensity/c" / "0/0/0/0"
    content = bytearray(shard.read_bytes())
    content[int(where * len(content))] ^= 1 << bit
    shard.write_bytes(content)
    with pytest.raises(DamagedStoreError):
        read_all(read_store(tmp_path / "x.zarr").document.blocks)


def test_what_is_no_store_of_ours_is_said(tmp_path: Path) -> None:
    """Nothing, a foreign zarr group, a newer schema: each its own error."""
    with pytest.raises(SourceNotFoundError):
        read_store(tmp_path / "none.zarr")
    zarr.create_group(tmp_path / "foreign.zarr")
    with pytest.raises(CorruptFileError, match="not those of a stemzarr store"):
        read_store(tmp_path / "foreign.zarr")
    write_store(many_documents(tmp_path), tmp_path / "x.zarr", NO_SYNC)
    root = tmp_path / "x.zarr/zarr.json"
    root.write_text(root.read_text().replace('"stemzarr_schema":1', '"stemzarr_schema":2'))
    with pytest.raises(SchemaVersionError, match="version 2"):
        read_store(tmp_path / "x.zarr")


def test_a_destination_that_exists_is_kept_unless_asked(
    make_source: Callable[..., Source], tmp_path: Path
) -> None:
    """Without `overwrite` the store stays; with it the new one replaces the whole."""
    store = tmp_path / "x.zarr"
    write_store(make_source(counted((2, 2, 8, 8), seed=1)), store, NO_SYNC)
    new = counted((3, 3, 8, 8), seed=2)
    with pytest.raises(StoreExistsError):
        write_store(make_source(new), store, NO_SYNC)
    write_store(make_source(new), store, IngestOptions(sync=False, overwrite=True))
    np.testing.assert_array_equal(read_all(read_store(store).document.blocks), new)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source.bin", "x.zarr"]


def test_a_source_that_changed_is_refused(
    make_source: Callable[..., Source], tmp_path: Path
) -> None:
    """A file that grew, or went away, between recognising and reading leaves nothing."""
    source = make_source(counted((2, 2, 8, 8)))
    source.path.write_bytes(b"more bytes than before, as if it were still being written")
    with pytest.raises(SourceChangedError, match="changed"):
        write_store(source, tmp_path / "x.zarr", NO_SYNC)
    source.path.unlink()
    with pytest.raises(SourceChangedError, match="gone"):
        write_store(source, tmp_path / "x.zarr", NO_SYNC)
    assert not list(tmp_path.iterdir())


def test_the_mask_of_a_salvaged_scan_comes_back(
    make_source: Callable[..., Source], tmp_path: Path
) -> None:
    """`valid` says which patterns are there, for xarray too, and the store is not complete."""
    valid = np.array([[True, True, True], [True, False, False]])
    source = make_source(counted((2, 3, 8, 8)), valid=valid)
    salvage = IngestOptions(read=ReadOptions(salvage=True), sync=False)
    write_store(replace(source, complete=False), tmp_path / "x.zarr", salvage)
    again = read_store(tmp_path / "x.zarr")
    assert not again.complete
    np.testing.assert_array_equal(again.document.valid, valid)
    with xr.open_zarr(tmp_path / "x.zarr") as dataset:
        assert dataset.attrs["complete"] == 0
        assert dataset.valid.dims == ("scan_y", "scan_x")
        np.testing.assert_array_equal(dataset.valid, valid)


@pytest.mark.parametrize("shape", [(0, 3, 4, 5), (2, 3, 0, 5)])
def test_a_scan_of_nothing_is_stored(
    make_source: Callable[..., Source], tmp_path: Path, shape: tuple[int, ...]
) -> None:
    """A dim of length 0 gives a store that opens and verifies."""
    write_store(make_source(np.zeros(shape, "u2")), tmp_path / "x.zarr", NO_SYNC)
    assert read_store(tmp_path / "x.zarr").document.shape == shape
    assert verify_store(tmp_path / "x.zarr").ok
    with xr.open_zarr(tmp_path / "x.zarr") as dataset:
        assert dataset.intensity.shape == shape


def test_the_record_says_where_the_store_came_from(tmp_path: Path) -> None:
    """Name, format, size, hash, layout and options of the ingest are recorded."""
    source = many_documents(tmp_path)
    write_store(source, tmp_path / "x.zarr", NO_SYNC)
    record = read_record(tmp_path / "x.zarr")
    assert record["name"] == "source.bin"
    assert record["format"] == "test"
    assert record["size"] == source.size
    assert record["layout"]["order"] == "detector-fast"
    assert record["rebuildable"] is False
    assert record["ingest"]["options"]["codec"] == "zstd"
    assert len(record["hash"]) == 32


def test_reading_a_chunk_looks_up_no_path(
    make_source: Callable[..., Source], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once its shard is open, a pattern takes one read of it: no stat, no open, no listing."""
    values = counted((4, 4, 32, 32))
    write_store(make_source(values), tmp_path / "x.zarr", NO_SYNC)
    blocks = read_store(tmp_path / "x.zarr").document.blocks
    read_box(blocks, (0, 0, 0, 0), (1, 1, 32, 32))
    calls: list[str] = []

    def counting(name: str) -> Callable[..., Any]:
        real = getattr(os, name)

        def call(*args: Any, **options: Any) -> Any:
            calls.append(name)
            return real(*args, **options)

        return call

    for name in ("stat", "lstat", "open", "listdir", "scandir", "preadv"):
        if hasattr(os, name):
            monkeypatch.setattr(os, name, counting(name))
    pattern = read_box(blocks, (2, 3, 0, 0), (1, 1, 32, 32))
    monkeypatch.undo()
    np.testing.assert_array_equal(pattern[0, 0], values[2, 3])
    assert [name for name in calls if name != "preadv"] == []
    assert len(calls) <= 1


def test_a_shard_that_was_put_back_is_read(
    make_source: Callable[..., Source], tmp_path: Path
) -> None:
    """Damaged, moved aside and replaced by a copy, a shard is read again by who had it open."""
    values = counted((4, 4, 32, 32))
    write_store(make_source(values), tmp_path / "x.zarr", NO_SYNC)
    shard = tmp_path / "x.zarr/intensity/c" / "0/0/0/0"
    copy = shutil.copy2(shard, tmp_path / "copy")
    document = read_store(tmp_path / "x.zarr").document
    np.testing.assert_array_equal(read_all(document.blocks), values)
    shard.write_bytes(b"damaged")
    with pytest.raises(DamagedStoreError, match=r"values \[0:4, 0:4"):
        read_all(document.blocks)
    shard.replace(tmp_path / "aside")
    shutil.copy2(copy, shard)
    np.testing.assert_array_equal(read_all(document.blocks), values)
