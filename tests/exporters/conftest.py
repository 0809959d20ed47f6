"""Sources in memory, and requests to export them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from numpy.typing import NDArray

from stemzarr.model import ArrayBlocks, Axis, Document, Source, dims_of_kind
from stemzarr.options import ExportOptions
from stemzarr.registry import ExportRequest

TAGS = {
    "Microscope Info": {"Voltage": 300000.0, "Name": "Titan", "Stage Position/x": 1.5},
    "CCD/Pixel Size (um)": {"x": 15, "slash/in/leaf": "kept"},
    "list": [1, "a", [1, 2], {"z": 1}, None],
    "many": [number if number % 2 else str(number) for number in range(12)],
    "numbers": [1.5, 2.5],
    "names": ["µm", "Å"],
    "nothing": [],
    "none": None,
    "flag": True,
    "large": 2**70,
    "long": "x" * 100_000,
    ".": {"dot": 1},
    "": 5,
}


def document_of(kind: Any, values: NDArray[Any], **fields: Any) -> Document:
    """Return a document of a kind; each axis has its own scale and offset."""
    channels = tuple(fields.get("channels", ()))
    ndim = values.ndim - bool(channels)
    units = {"energy": "eV", "det_y": "1/nm", "det_x": "1/nm"}
    axes = tuple(
        Axis(
            name=name,
            size=size,
            scale=0.25 * (i + 1),
            offset=-1.5 * i,
            units=units.get(name, "nm"),
            calibrated=True,
        )
        for i, (name, size) in enumerate(zip(dims_of_kind(kind, ndim), values.shape, strict=False))
    )
    given = {"index": 0, "slug": kind, "title": f"A {kind}"} | fields
    return Document(kind=kind, axes=axes, blocks=ArrayBlocks(values), **given)


@pytest.fixture
def make_document() -> Callable[..., Document]:
    """Return a function that makes a document of a kind and an array."""
    return document_of


@pytest.fixture
def make_request(tmp_path: Path) -> Callable[..., ExportRequest]:
    """Return a function that makes a request to write documents to a name in a fresh folder."""

    def request(
        documents: Document | Sequence[Document], name: str, **options: Any
    ) -> ExportRequest:
        several = [documents] if isinstance(documents, Document) else list(documents)
        source = Source(
            path=Path("scan 1.dm4"),
            format="dm4",
            size=1,
            modified_ns=0,
            documents=tuple(several),
            main=several[0].index,
            load_metadata=lambda: TAGS,
        )
        reported: list[tuple[int, int]] = []

        def progress(done: int, total: int) -> None:
            assert done <= total
            assert not reported or done >= reported[-1][0]
            reported.append((done, total))

        return ExportRequest(
            source=source,
            documents=several,
            dest=tmp_path / name,
            options=ExportOptions(**{"memory": 16 * 1024**2, "threads": 2, **options}),
            provenance={"stemzarr": "test", "view": None},
            progress=progress,
        )

    return request
