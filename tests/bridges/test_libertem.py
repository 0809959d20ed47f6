"""LiberTEM computes with a store or file as with an array in memory, and reads each block once."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stemzarr
from stemzarr.errors import UnsupportedDataError
from stemzarr.labelled import to_dataset
from stemzarr.testing.sources import counted, document_of

api = pytest.importorskip("libertem.api")

from libertem.udf.stddev import StdDevUDF  # noqa: E402 - where it is installed
from libertem.udf.sum import SumUDF  # noqa: E402
from libertem.udf.sumsigudf import SumSigUDF  # noqa: E402

from stemzarr.bridges.libertem import to_libertem  # noqa: E402
from stemzarr.bridges.libertem_dataset import BlocksDataSet  # noqa: E402


class CutBlocks:
    """Values in memory that say they are in blocks, and count how often each is read."""

    def __init__(self, values: Any, cut: tuple[int, ...]) -> None:
        self.values, self.shape, self.dtype = values, values.shape, values.dtype
        self.block_shape = cut
        self.reads = np.zeros(values.shape[:-2], int)

    def read_into(self, out: Any, start: Any) -> None:
        box = tuple(slice(a, a + n) for a, n in zip(start, out.shape, strict=True))
        self.reads[box[:-2]] += 1
        out[...] = self.values[box]


@pytest.fixture(scope="module")
def context() -> Iterator[Any]:
    """Return a context of this process."""
    with api.Context.make_with("inline") as made:
        yield made


def sums(context: Any, dataset: Any, roi: Any = None) -> tuple[Any, Any, Any]:
    """Return sums over the scan and over the detector, and the variance over the scan."""
    scan, detector, spread = context.run_udf(
        dataset=dataset, udf=[SumUDF(), SumSigUDF(), StdDevUDF()], roi=roi
    )
    return scan["intensity"].data, detector["intensity"].raw_data, spread["var"].data


@pytest.mark.parametrize("cut", [(1, 1), (1, 3), (1, 7), (2, 7), (5, 7), (3, 2)])
@pytest.mark.parametrize("share", [None, 0.3])
@pytest.mark.parametrize("partitions", [1, 3, 99])
def test_sums_are_those_of_numpy(
    context: Any, cut: tuple[int, int], share: float | None, partitions: int
) -> None:
    """Whatever the blocks, the partitions and the region; each pattern is read once at most."""
    values = counted((5, 7, 12, 10))
    blocks = CutBlocks(values, (*cut, 12, 10))
    dataset = context.load(BlocksDataSet, document_of(values, blocks=blocks))
    dataset._user_num_partitions = partitions
    blocks.reads[...] = 0
    roi = None if share is None else np.random.default_rng(1).random((5, 7)) < share
    chosen = values.reshape(-1, 12, 10)[slice(None) if roi is None else roi.reshape(-1)]
    found = sums(context, dataset, roi)
    np.testing.assert_array_equal(found[0], chosen.sum(axis=0))
    np.testing.assert_array_equal(found[1].reshape(-1), chosen.sum(axis=(1, 2)))
    np.testing.assert_allclose(found[2], chosen.var(axis=0), rtol=1e-5, atol=1e-6)
    assert blocks.reads.max() <= 1


@pytest.mark.parametrize("name", ["scan.zarr", "scan.dm4"])
def test_a_store_and_a_file_are_data_sets(context: Any, folder: Path, name: str) -> None:
    """So is a selection of one; a store was read by no more than a pattern before."""
    scan = stemzarr.open(folder / name)
    values = scan.intensity.to_numpy()
    dataset = scan.stem.to_libertem(context)
    assert tuple(dataset.shape) == values.shape
    assert dataset.dtype == values.dtype
    np.testing.assert_array_equal(sums(context, dataset)[0], values.sum(axis=(0, 1)))
    part = scan.isel(scan_y=slice(1, 6, 2)).stem.to_libertem(context)
    np.testing.assert_array_equal(sums(context, part)[0], values[1:6:2].sum(axis=(0, 1)))


def test_an_empty_region_has_no_sum(context: Any) -> None:
    """Nothing is read for it."""
    values = counted((5, 7, 12, 10))
    blocks = CutBlocks(values, (1, 3, 12, 10))
    dataset = context.load(BlocksDataSet, document_of(values, blocks=blocks))
    blocks.reads[...] = 0
    found = context.run_udf(dataset=dataset, udf=SumUDF(), roi=np.zeros((5, 7), bool))
    assert not found["intensity"].data.any()
    assert not blocks.reads.any()


def test_its_parts_go_to_workers(folder: Path) -> None:
    """Partitions are pickled with what reads them, not with what is read."""
    partition = next(stemzarr.open(folder / "scan.zarr").stem.to_libertem().get_partitions())
    pickled = pickle.dumps(partition)
    assert len(pickled) < 20_000
    tile = pickle.loads(pickled).get_macrotile(dest_dtype="uint16").data
    values = stemzarr.open(folder / "scan.zarr").intensity.to_numpy()
    np.testing.assert_array_equal(tile, values.reshape(-1, 18, 20)[: len(tile)])


def test_bad_pixels_are_corrected(context: Any) -> None:
    """A pixel that the document marks is replaced by its neighbours."""
    values = np.full((3, 4, 8, 9), 2, np.uint16)
    values[..., 3, 4] = 500
    bad = np.zeros((8, 9), bool)
    bad[3, 4] = True
    dataset = to_libertem(to_dataset(document_of(values, bad_pixels=bad)), context)
    np.testing.assert_array_equal(sums(context, dataset)[0], np.full((8, 9), 24))


def test_what_has_no_patterns_is_refused(context: Any) -> None:
    """Images and spectra, and patterns that are spread over the file."""
    values = counted((5, 7, 12, 10))
    with pytest.raises(UnsupportedDataError, match="takes scans and stacks"):
        to_libertem(to_dataset(document_of(values[0, 0], "image")), context)
    spread = document_of(values, blocks=CutBlocks(values, (5, 7, 1, 10)))
    with pytest.raises(UnsupportedDataError, match="spread over the whole file"):
        to_libertem(to_dataset(spread), context)
