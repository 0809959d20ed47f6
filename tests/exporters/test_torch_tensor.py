""".pt files: mapped by torch, whole as a zip archive, their sidecar complete."""

from __future__ import annotations

import dataclasses
import gc
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import stemzarr
from stemzarr.model import ArrayBlocks, Document, read_all
from stemzarr.options import ExportOptions
from stemzarr.registry import ExportRequest
from stemzarr.testing import write_synthetic_dm4
from stemzarr.views import View, apply

torch = pytest.importorskip("torch")

from stemzarr.formats.torch_tensor.writer import write_pt  # noqa: E402 - needs torch
from stemzarr.formats.torch_tensor.zip_record import find_record  # noqa: E402 - beside the above

COUNTS = np.random.default_rng(2).poisson(0.7, (7, 9, 12, 10)).astype(np.uint16)
DTYPES = "uint8 uint16 uint32 uint64 int8 int16 int32 int64 float16 float32 float64 complex64 bool"

MakeDocument = Callable[..., Document]
MakeRequest = Callable[..., ExportRequest]


@pytest.fixture(autouse=True)
def maps_are_released() -> Iterator[None]:
    """Release the tensors that a test mapped."""
    yield
    gc.collect()


@pytest.mark.parametrize("dtype", DTYPES.split())
def test_torch_maps_the_tensor_of_every_type(
    make_document: MakeDocument, make_request: MakeRequest, dtype: str
) -> None:
    """torch.load maps the bare tensor (N, 1, det_y, det_x) safely, and every byte is checked."""
    values = COUNTS.astype(dtype)
    request = make_request(make_document("4d-stem", values), "scan.pt")
    exported = write_pt(request)
    tensor = torch.load(request.dest, mmap=True, weights_only=True)
    assert tuple(tensor.shape) == exported.shape == (63, 1, 12, 10)
    np.testing.assert_array_equal(tensor.numpy().reshape(values.shape), values)
    np.testing.assert_array_equal(torch.load(request.dest, weights_only=True), tensor)
    with zipfile.ZipFile(request.dest) as archive:
        assert archive.testzip() is None
    assert [path.name for path in request.dest.parent.iterdir()] == ["scan.pt"]


@given(
    shape=st.tuples(*(st.integers(1, 9) for _ in range(4))),
    threads=st.integers(1, 3),
    data=st.data(),
)
@settings(max_examples=25)
def test_any_shape_is_whole(
    make_document: MakeDocument,
    make_request: MakeRequest,
    shape: tuple[int, ...],
    threads: int,
    data: st.DataObject,
) -> None:
    """One row, one column, one pixel: the archive is whole and the order is that of the scan."""
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    request = make_request(
        make_document("4d-stem", values), f"{data.draw(st.uuids())}.pt", threads=threads
    )
    write_pt(request)
    tensor = torch.load(request.dest, weights_only=True)
    np.testing.assert_array_equal(tensor.numpy(), values.reshape(-1, 1, *shape[2:]))
    with zipfile.ZipFile(request.dest) as archive:
        assert archive.testzip() is None


def test_a_flipped_bit_is_noticed(make_document: MakeDocument, make_request: MakeRequest) -> None:
    """The checksum in the archive is that of the tensor: damage is found by any zip program."""
    request = make_request(make_document("4d-stem", COUNTS), "scan.pt")
    write_pt(request)
    record = find_record(request.dest, "/data/0")
    assert record.nbytes == COUNTS.nbytes
    content = bytearray(request.dest.read_bytes())
    content[record.offset + 77] ^= 1
    request.dest.write_bytes(content)
    with zipfile.ZipFile(request.dest) as archive:
        assert archive.testzip() == "archive/data/0"


def test_the_same_export_gives_the_same_bytes(tmp_path: Path) -> None:
    """Neither the name nor the moment of an export is in its file."""
    write_synthetic_dm4(tmp_path / "scan.dm4", (3, 4), (8, 8))
    for options in ({}, {"with_metadata": True}):
        for name in ("a.pt", "b.pt"):
            chosen = ExportOptions(overwrite=True, **options)
            stemzarr.export(tmp_path / "scan.dm4", tmp_path / name, options=chosen)
        assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()


@pytest.mark.parametrize("method", ["bin", "stride", "gauss", "fft"])
def test_views_are_written_as_they_render(
    make_document: MakeDocument, make_request: MakeRequest, method: Any
) -> None:
    """Every method, normalised, is in the file what the view gives when it is read."""
    view = View(scan_step=2, downsample=(5, 3), method=method, normalize="log1p-zscore")
    document = apply(make_document("4d-stem", COUNTS), dataclasses.replace(view, dtype="float32"))
    request = make_request(document, "view.pt")
    exported = write_pt(request)
    tensor = torch.load(request.dest, weights_only=True)
    assert tensor.dtype == torch.float32
    expected = read_all(document.blocks)
    np.testing.assert_array_equal(tensor.numpy().reshape(expected.shape), expected)
    np.testing.assert_allclose(float(tensor.double().std(correction=0)), 1, rtol=1e-5)
    sidecar = json.loads(json.dumps(exported.sidecar, allow_nan=False))
    assert View.from_json(sidecar["views"][0]["view"]) == document.blocks.view  # type: ignore[attr-defined]
    plain = dataclasses.replace(view, normalize="none")
    raw = read_all(apply(make_document("4d-stem", COUNTS), plain).blocks)
    np.testing.assert_allclose(
        sidecar["statistics"]["log1p_mean"], np.log1p(raw.clip(0)).mean(), rtol=1e-5
    )
    for axis in document.axes:
        found = sidecar["coordinates"][axis.name]
        assert (found["offset"], found["scale"], found["units"], found["size"]) == (
            axis.offset,
            axis.scale,
            axis.units,
            axis.size,
        )


def test_the_form_scan_keeps_four_dims(
    make_document: MakeDocument, make_request: MakeRequest
) -> None:
    """With tensor="scan" the tensor is (scan_y, scan_x, det_y, det_x)."""
    request = make_request(make_document("4d-stem", COUNTS), "scan.pt", tensor="scan")
    write_pt(request)
    np.testing.assert_array_equal(torch.load(request.dest, weights_only=True), COUNTS)


def exported(folder: Path, values: NDArray[Any], **given: Any) -> tuple[Any, tuple[str, ...]]:
    """Return the tensor that an export of an array makes, and what is noted."""
    np.save(folder / "given.npy", values)
    replacing = ExportOptions(overwrite=True)
    result = stemzarr.export(folder / "given.npy", folder / "made.pt", options=replacing, **given)
    return torch.load(folder / "made.pt", weights_only=True), result.notes


@pytest.mark.parametrize("shape", [(2, 3, 4, 4), (5, 4, 4), (6, 7), (9,)])
def test_every_kind_is_float32_unless_a_type_is_named(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    """A scan, a stack, an image or a curve of counts becomes float32; a named type is kept."""
    values = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    tensor, notes = exported(tmp_path, values)
    assert (tensor.dtype, notes) == (torch.float32, ())
    np.testing.assert_array_equal(tensor.numpy().reshape(shape), values)
    tensor, _ = exported(tmp_path, values, view=View(dtype="int32"))
    assert tensor.dtype == torch.int32


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_complex_scans_stay_complex(tmp_path: Path, dtype: str) -> None:
    """No type is forced on them, so that they are written whole, and strided."""
    parts = np.random.default_rng(0).normal(size=(2, 2, 3, 4, 6))
    values = (parts[0] + 1j * parts[1]).astype(dtype)
    tensor, _ = exported(tmp_path, values)
    assert str(tensor.dtype) == f"torch.{dtype}"
    np.testing.assert_array_equal(tensor.numpy().reshape(values.shape), values)
    view = View(downsample=2, method="stride")
    tensor, _ = exported(tmp_path, values, view=view)
    np.testing.assert_array_equal(tensor.numpy()[:, 0], values[..., ::2, ::2].reshape(6, 2, 3))


@pytest.mark.parametrize(
    ("dtype", "asked", "noted"),
    [
        ("int32", None, "--dtype int32"),
        ("uint64", None, "--dtype uint64"),
        ("int32", "float64", ""),
        ("int32", "int32", ""),
        ("int16", None, ""),
        ("float64", None, ""),
    ],
)
def test_counts_that_are_rounded_are_noted(
    tmp_path: Path, dtype: str, asked: str | None, noted: str
) -> None:
    """Where a count may be beyond what float32 counts to, the note names the way to keep it."""
    values = np.full((2, 2, 3, 3), 16777217 if dtype != "int16" else 7, dtype)
    view = None if asked is None else View(dtype=asked)
    tensor, notes = exported(tmp_path, values, view=view)
    assert bool(notes) == bool(noted)
    assert noted in "".join(notes)
    if dtype != "float64":
        assert bool(notes) == (int(tensor[0, 0, 0, 0]) != int(values[0, 0, 0, 0]))


def test_counts_known_to_be_small_are_not_noted(tmp_path: Path) -> None:
    """A store knows its largest value, so nobody is warned of what does not happen."""
    np.save(tmp_path / "small.npy", np.full((2, 2, 3, 3), 70000, np.int32))
    stemzarr.ingest(tmp_path / "small.npy", tmp_path / "small.zarr")
    assert stemzarr.export(tmp_path / "small.zarr", tmp_path / "small.pt").notes == ()


def test_metadata_comes_in_a_dict_that_loads_safely(
    make_document: MakeDocument, make_request: MakeRequest
) -> None:
    """With metadata the file is a dict of plain values and the tensor, mapped like a bare one."""
    facts = {"beam_energy_keV": 200.0}
    document = make_document("4d-stem", COUNTS, facts=facts)
    request = make_request(document, "scan.pt", with_metadata=True)
    exported = write_pt(request)
    content = torch.load(request.dest, mmap=True, weights_only=True)
    assert content["metadata"] == exported.sidecar
    assert content["metadata"]["facts"]["beam_energy_keV"] == 200.0
    np.testing.assert_array_equal(content["data"].numpy().reshape(COUNTS.shape), COUNTS)
    with zipfile.ZipFile(request.dest) as archive:
        assert archive.testzip() is None


def test_other_kinds_keep_their_dims(
    make_document: MakeDocument, make_request: MakeRequest
) -> None:
    """An image is a tensor of its own shape."""
    request = make_request(make_document("image", COUNTS[0, 0]), "image.pt")
    write_pt(request)
    np.testing.assert_array_equal(torch.load(request.dest, weights_only=True), COUNTS[0, 0])


class BrokenBlocks(ArrayBlocks):
    """Blocks that fail in the middle."""

    def read_into(self, out: NDArray[Any], start: Any) -> None:
        msg = f"broken at {start} of {out.shape}"
        raise OSError(msg)


def test_a_failure_leaves_no_other_file(
    make_document: MakeDocument, make_request: MakeRequest
) -> None:
    """An error passes through, and nothing lies beside the temporary file of the caller."""
    document = dataclasses.replace(make_document("4d-stem", COUNTS), blocks=BrokenBlocks(COUNTS))
    request = make_request(document, "scan.pt")
    with pytest.raises(OSError, match="broken"):
        write_pt(request)
    assert [path.name for path in request.dest.parent.iterdir()] in ([], ["scan.pt"])
