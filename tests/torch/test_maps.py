"""Results over the scan: what a model that changes nothing gives is the scan."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from stemzarr.errors import OptionError
from stemzarr.model import ArrayBlocks, Axis, Document, dims_of_kind
from stemzarr.views import View

torch = pytest.importorskip("torch")

from stemzarr.torch import PatternDataset  # noqa: E402 - needs torch

VALUES = np.random.default_rng(2).random((9, 14, 4, 6)).astype(np.float32)
DIMS = ("det_y", "det_x")


def scan(valid: Any = None) -> Document:
    """Return a calibrated scan."""
    named = zip(dims_of_kind("4d-stem", 4), VALUES.shape, strict=True)
    axes = tuple(Axis(name=name, size=n, scale=0.5, offset=3.0, units="nm") for name, n in named)
    blocks = ArrayBlocks(VALUES)
    return Document(
        index=0, slug="scan", title="", kind="4d-stem", axes=axes, blocks=blocks, valid=valid
    )


@given(st.integers(0, 2**32), st.integers(1, 3), st.sampled_from(["", "scan_y=2:9,scan_x=0:11"]))
@settings(max_examples=20)
def test_the_map_of_an_identity_is_the_scan(seed: int, step: int, roi: str) -> None:
    """Regions, steps, salvaged scans, chosen patterns and several scans come back where they were.

    xarray's own selection of the same scan is the reference, coordinates and all.
    """
    rng = np.random.default_rng(seed)
    valid = rng.random((9, 14)) < 0.8
    view = View(roi=roi, scan_step=step)
    whole = PatternDataset([scan(), scan(valid)], view)
    expected = xr.DataArray(
        VALUES,
        {axis.name: axis.values() for axis in scan().axes},
        dims_of_kind("4d-stem", 4),
    )
    recovered = xr.DataArray(valid, dims=("scan_y", "scan_x"))
    if roi:
        region = {"scan_y": slice(2, 9), "scan_x": slice(0, 11)}
        expected, recovered = expected.isel(region), recovered.isel(region)
    steps = {"scan_y": slice(None, None, step), "scan_x": slice(None, None, step)}
    expected, recovered = expected.isel(steps), recovered.isel(steps)
    kept = rng.random(recovered.shape) < 0.6
    some = whole.take([kept, kept])
    rows = some.fetch(range(len(some)))[:, 0]
    masks = [kept, recovered.to_numpy() & kept]
    for number, mask in enumerate(masks):
        shown = some.to_map(rows, DIMS, document=number)
        reference = expected.where(xr.DataArray(mask, dims=("scan_y", "scan_x")))
        xr.testing.assert_allclose(shown, reference, rtol=0, atol=1e-12)
        assert shown.dtype == np.float32
        assert shown.scan_y.attrs["units"] == "nm"


def test_results_of_any_type_become_maps() -> None:
    """Labels and tensors of half precision are maps too; what does not fit is named."""
    dataset = PatternDataset(scan())
    labels = np.arange(126)
    np.testing.assert_array_equal(dataset.to_map(labels), labels.reshape(9, 14))
    half = torch.ones(126, 3, dtype=torch.bfloat16, requires_grad=True)
    assert dataset.to_map(half, ["latent"]).sizes == {"scan_y": 9, "scan_x": 14, "latent": 3}
    refused: list[tuple[Any, tuple[str, ...], str]] = [
        (labels[:5], (), "there are 126 patterns"),
        ("text", (), "there are 126 patterns"),
        (half, (), "each row has the shape"),
        (half, ("scan_y",), "is a dim of the scan"),
    ]
    for values, dims, message in refused:
        with pytest.raises(OptionError, match=message):
            dataset.to_map(values, dims)
    both = PatternDataset([scan(), scan()])
    for number in (None, 2):
        with pytest.raises(OptionError, match="there are 2 documents"):
            both.to_map(np.zeros(252), document=number)
