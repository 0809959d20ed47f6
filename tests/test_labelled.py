"""Documents as labelled xarray objects."""

from __future__ import annotations

import dataclasses
import gc
import pickle
import warnings
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import assume, example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

import stemzarr
from stemzarr import lazy
from stemzarr.errors import UnsupportedDataError
from stemzarr.labelled import dask_chunks, from_dataset, to_dataset
from stemzarr.lazy import SelectedBlocks, find_selection
from stemzarr.model import ArrayBlocks, Axis, Document, dims_of_kind, read_all, read_box
from stemzarr.options import IngestOptions
from stemzarr.store import write_store
from stemzarr.testing.sources import counted, document_of, source_of
from stemzarr.views import View, apply

VALUES = np.arange(7 * 5 * 4 * 6, dtype=np.uint16).reshape(7, 5, 4, 6)


class CountingBlocks(ArrayBlocks):
    """Array blocks with a block of one scan position, that count the values they give."""

    given_out = 0

    @property
    def block_shape(self) -> tuple[int, ...]:
        return (1, 1, *self.array.shape[2:])

    def read_into(self, out: NDArray[Any], start: Any) -> None:
        type(self).given_out += out.size
        super().read_into(out, start)


def scan(values: NDArray[Any] = VALUES, blocks: type[ArrayBlocks] = ArrayBlocks) -> Document:
    """Return a 4D document over `values` with a scale and an offset on each axis."""
    axes = tuple(
        Axis(name=name, size=size, scale=0.5 * (1 + place), offset=-float(place), units="nm")
        for place, (name, size) in enumerate(
            zip(dims_of_kind("4d-stem", 4), values.shape, strict=True)
        )
    )
    return Document(
        index=0, slug="scan", title="scan", kind="4d-stem", axes=axes, blocks=blocks(values)
    )


def indexers(size: int) -> st.SearchStrategy[Any]:
    """Give integers, slices and lists of positions that are valid for a dim of `size`."""
    position = st.integers(-size, size - 1)
    slices = st.slices(size).filter(lambda part: len(range(*part.indices(size))) > 0)
    return st.one_of(position, slices, st.lists(position, max_size=8))


@given(st.tuples(*(indexers(size) for size in VALUES.shape)))
def test_any_orthogonal_index_gives_what_numpy_gives(index: tuple[Any, ...]) -> None:
    """Reading boxes and picking from them equals indexing an array in memory."""
    reference = xr.DataArray(VALUES, dims=dims_of_kind("4d-stem", 4))[index]
    np.testing.assert_array_equal(to_dataset(scan()).intensity[index].values, reference.values)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 4)), min_size=1, max_size=5))
def test_pointwise_indexing_gives_the_patterns_asked_for(points: list[tuple[int, int]]) -> None:
    """A list of scan positions gives those patterns in that order."""
    rows, columns = (xr.DataArray(list(p), dims="point") for p in zip(*points, strict=True))
    picked = to_dataset(scan()).intensity.isel(scan_y=rows, scan_x=columns).transpose("point", ...)
    np.testing.assert_array_equal(picked.values, [VALUES[point] for point in points])


def test_a_step_over_the_scan_reads_only_the_patterns_it_keeps() -> None:
    """`[::3, ::2]` reads ceil(7/3) * ceil(5/2) patterns and no other."""
    CountingBlocks.given_out = 0
    assert to_dataset(scan(blocks=CountingBlocks)).intensity[::3, ::2].values.shape == (3, 3, 4, 6)
    assert CountingBlocks.given_out == 3 * 3 * 4 * 6


def test_coordinates_are_offset_plus_index_times_scale() -> None:
    """Each axis becomes a float64 coordinate with its units."""
    dataset = to_dataset(scan())
    for axis in scan().axes:
        expected = axis.offset + axis.scale * np.arange(axis.size)
        np.testing.assert_array_equal(dataset[axis.name], expected)
        assert dataset[axis.name].attrs["units"] == "nm"


@pytest.mark.parametrize("shape", [(1, 1, 4096, 4096), (300, 1, 128, 128), (64, 2048, 2, 2)])
def test_dask_chunks_hold_whole_patterns_and_stay_near_their_target(shape: tuple[int, ...]) -> None:
    """No chunk splits a pattern; one larger than 64 MiB holds a single pattern."""
    values = np.broadcast_to(np.uint16(0), shape)
    chunk = dask_chunks(ArrayBlocks(values), 2)
    assert chunk[2:] == shape[2:]
    assert np.prod(chunk) * 2 <= 64 * 1024**2 or chunk[:2] == (1, 1)


def test_a_lazy_dataset_can_be_pickled_with_dask() -> None:
    """A cluster can be sent the graph."""
    lazy = to_dataset(scan()).chunk(scan_y=2)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(lazy)).intensity.values, VALUES)


@given(st.tuples(*(st.slices(size) for size in VALUES.shape)), st.booleans())
def test_a_sliced_dataset_is_the_document_of_its_values(
    index: tuple[slice, ...], dask: bool
) -> None:
    """Axes and values follow what an analysis selected, whatever the attributes still say."""
    lengths = [
        len(range(*part.indices(size))) for part, size in zip(index, VALUES.shape, strict=True)
    ]
    assume(all(lengths))
    opened = to_dataset(scan())
    sliced = (opened.chunk(scan_y=3) if dask else opened)[
        dict(zip(opened.intensity.dims, index, strict=True))
    ]
    document = from_dataset(sliced)
    np.testing.assert_array_equal(read_all(document.blocks), VALUES[index])
    for axis in document.axes:
        np.testing.assert_allclose(axis.values(), sliced[axis.name].values)


def test_the_mask_of_a_scan_stays_with_the_scan() -> None:
    """What is selected of a salvaged scan has its part of the mask, and one pattern has none."""
    valid = np.arange(35).reshape(7, 5) < 24
    opened = to_dataset(dataclasses.replace(scan(), valid=valid))
    part = from_dataset(opened.isel(scan_y=slice(3, 6), scan_x=[1, 2]))
    np.testing.assert_array_equal(part.valid, valid[3:6, 1:3])
    turned = opened.assign(valid=opened.valid.transpose("scan_x", "scan_y"))
    np.testing.assert_array_equal(from_dataset(turned).valid, valid)
    pattern = from_dataset(opened.isel(scan_y=0, scan_x=0))
    assert pattern.kind == "diffraction"
    assert pattern.valid is None
    assert apply(pattern, View(downsample=2)).shape == (2, 3)


def test_what_is_no_document_is_refused_with_the_way_out() -> None:
    """Other dims, another variable, an uneven coordinate: each is named."""
    opened = to_dataset(scan())
    with pytest.raises(UnsupportedDataError, match="no variable 'intensity'"):
        from_dataset(opened.rename(intensity="counts"))
    with pytest.raises(UnsupportedDataError, match="those of no kind of document"):
        from_dataset(opened.transpose("det_x", ...))
    with pytest.raises(UnsupportedDataError, match="'scan_y' is not evenly spaced"):
        from_dataset(opened.isel(scan_y=[0, 1, 4]))


def test_values_of_another_byte_order_are_read_as_numbers() -> None:
    """An array as some cameras write it is viewed like any other."""
    counts = np.random.default_rng(0).poisson(3, (2, 3, 4, 6)).astype(">u2")
    labelled = xr.Dataset({"intensity": (("scan_y", "scan_x", "det_y", "det_x"), counts)})
    document = from_dataset(labelled)
    assert document.dtype == np.dtype("uint16")
    values = read_box(document.blocks, (0, 0, 0, 0), document.shape)
    np.testing.assert_array_equal(values, counts)
    assert values.dtype.isnative


@pytest.mark.parametrize("chunks", ["source", None, {"scan_y": 2}])
def test_what_a_store_knows_is_not_lost_on_the_way(tmp_path: Path, chunks: Any) -> None:
    """A Dataset as it was opened has tile sums and measures; one that was changed has not."""
    source = source_of(tmp_path / "a.dm4", [document_of(counted((4, 5, 16, 20)))])
    write_store(source, tmp_path / "a.zarr", IngestOptions(sync=False))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # chunks that split those of the store
        opened = stemzarr.open(tmp_path / "a.zarr", chunks=chunks)
    document = from_dataset(opened)
    assert document.tiles is not None
    assert document.measured is not None
    assert from_dataset(opened.assign_attrs(title="other")).tiles is not None
    for changed in (
        opened * 2,
        opened.isel(scan_y=slice(1, 3)),
        opened.isel(det_x=slice(0, 8)),
        opened.isel(scan_y=[0, 2]),
        opened.isel(scan_x=slice(None, None, -1)),
        opened.assign(bad_pixels=(("det_y", "det_x"), np.eye(16, 20) > 0)),
    ):
        document = from_dataset(changed)
        assert (document.tiles, document.measured) == (None, None)
    loaded = opened.copy(deep=True).load()
    loaded["intensity"][0, 0] = 7
    assert from_dataset(loaded).tiles is None


STEPS = st.lists(
    st.dictionaries(
        st.sampled_from(["scan_y", "scan_x", "det_y", "det_x"]),
        st.one_of(
            st.integers(0, 1),
            st.builds(
                slice,
                st.integers(0, 4) | st.none(),
                st.integers(5, 30) | st.none(),
                st.integers(1, 3) | st.none(),
            ),
            st.just(slice(None, None, -1)),
        ),
        max_size=3,
    ),
    max_size=3,
)


@example(
    steps=[
        {"det_y": slice(3, 5)},
        {"det_y": slice(None, None, -1)},
        {"scan_y": slice(None, None, -1), "det_y": slice(2, None)},
    ],
    chunks=None,
    late=False,
)
@given(
    steps=STEPS, chunks=st.sampled_from([None, {"scan_y": 2, "scan_x": 3}, {}]), late=st.booleans()
)
def test_what_is_selected_leads_back_to_the_blocks(
    steps: list[dict[str, int | slice]],
    chunks: dict[str, int] | None,
    late: bool,
) -> None:
    """Any chain of slices and positions, in dask or not, gives the values of the selection."""
    values = np.arange(7 * 8 * 6 * 9, dtype=np.uint16).reshape(7, 8, 6, 9)
    opened = to_dataset(scan(values))
    opened = opened if chunks is None or late else opened.chunk(chunks)
    for step in steps:
        sizes = opened.intensity.sizes
        kept = {
            dim: item
            for dim, item in step.items()
            if dim in sizes and (isinstance(item, slice) or item < sizes[dim])
        }
        opened = opened.isel(kept)
    opened = opened.chunk() if chunks is not None and late else opened
    found = find_selection(opened["intensity"])
    assert found is not None
    assert (found.shape, found.dtype) == (opened["intensity"].shape, values.dtype)
    out = np.empty(found.shape, found.dtype)
    found.read_into(out, (0,) * out.ndim)
    np.testing.assert_array_equal(out, opened["intensity"].to_numpy())
    inner = tuple(min(1, n) for n in found.shape)
    part = np.empty([n - a for n, a in zip(found.shape, inner, strict=True)], found.dtype)
    found.read_into(part, inner)
    np.testing.assert_array_equal(part, out[tuple(slice(a, None) for a in inner)])
    assert len(found.block_shape) == out.ndim


@pytest.mark.parametrize(
    "change",
    [
        lambda ds: ds * 2,
        lambda ds: ds.astype(np.uint32),
        lambda ds: ds.roll(scan_y=1),
        lambda ds: ds.map(np.sqrt),
        lambda ds: ds.isel(scan_y=[0, 2, 5]),
        lambda ds: ds.transpose("scan_x", "scan_y", ...),
        lambda ds: ds.compute(),
        lambda ds: ds.where(ds.scan_y > 0, 0),
        lambda ds: xr.concat([ds, ds], "scan_y"),
    ],
)
@pytest.mark.parametrize("chunks", [None, {"scan_y": 2}])
def test_what_is_computed_does_not(change: Any, chunks: dict[str, int] | None) -> None:
    """Arithmetic, other types, orders and lists are xarray's; so is what is in memory."""
    values = np.arange(6 * 3 * 2 * 2, dtype=np.uint16).reshape(6, 3, 2, 2)
    opened = to_dataset(scan(values))[["intensity"]]
    changed = change(opened if chunks is None else opened.chunk(chunks))["intensity"]
    assert find_selection(changed) is None


def test_a_whole_dataset_is_its_own_blocks() -> None:
    """Nothing is between an opened Dataset and the blocks of its document."""
    document = scan(np.zeros((4, 3, 2, 2), np.uint8))
    for opened in (to_dataset(document), to_dataset(document).chunk({"scan_y": 1})):
        assert from_dataset(opened).blocks is document.blocks
    assert isinstance(from_dataset(opened.isel(scan_y=slice(1, 3))).blocks, SelectedBlocks)


def test_a_graph_is_looked_through_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of 100 GB takes long; what was written into an array is another one."""
    opened = to_dataset(scan()).chunk({"scan_y": 1})
    looked, plain = [], lazy._look_through
    monkeypatch.setattr(lazy, "_look_through", lambda array: looked.append(1) or plain(array))
    for _ in range(3):
        assert find_selection(opened["intensity"]) is not None
    assert len(looked) == 1
    part = opened["intensity"][1:]
    for _ in range(3):
        found = find_selection(part)
        assert found is not None
        assert found.picks[0] == range(1, VALUES.shape[0])
    assert len(looked) == 2
    opened["intensity"].data[0] = 7
    assert find_selection(opened["intensity"]) is None
    graphs = weakref.ref(opened["intensity"].data.dask)
    kept = len(lazy._KNOWN)
    del opened
    gc.collect()
    assert graphs() is None
    assert len(lazy._KNOWN) < kept
