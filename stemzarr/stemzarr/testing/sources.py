"""Sources over arrays in memory: for tests of what is made of a source, whatever its format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from stemzarr.model import (
    ArrayBlocks,
    Axis,
    Blocks,
    Document,
    Kind,
    Source,
    dims_of_kind,
    main_document,
)

__all__ = ["counted", "document_of", "source_of"]


def document_of(
    values: NDArray[Any],
    kind: Kind = "4d-stem",
    *,
    index: int = 0,
    slug: str = "scan",
    blocks: Blocks | None = None,
    **rest: Any,  # noqa: ANN401 - further fields of the document
) -> Document:
    """Return a document over an array, every axis calibrated in its own way.

    Parameters
    ----------
    values
        The values in canonical order.
    kind, index, slug
        As in `Document`.
    blocks
        Stands for the values where a test wants other access to them.
    rest
        Further fields of the document.
    """
    dims = dims_of_kind(kind, values.ndim - bool(rest.get("channels")))
    axes = tuple(
        Axis(
            name=name,
            size=size,
            scale=0.25 * (place + 1),
            offset=-1.5 * place,
            units="nm" if "scan" in name else "1/nm",
            calibrated=True,
            source_units="nm",
            long_name=name.replace("_", " "),
        )
        for place, (name, size) in enumerate(zip(dims, values.shape, strict=False))
    )
    return Document(
        index=index,
        slug=slug,
        title=slug.title(),
        kind=kind,
        axes=axes,
        blocks=ArrayBlocks(values) if blocks is None else blocks,
        **rest,
    )


def source_of(path: Path, documents: Sequence[Document], **rest: Any) -> Source:  # noqa: ANN401
    """Return a source of a small file, made where it is missing, that holds any documents."""
    if not path.exists():
        path.write_bytes(b"the bytes of a source\n")
    state = path.stat()
    return Source(
        path=path,
        format="test",
        size=state.st_size,
        modified_ns=state.st_mtime_ns,
        documents=tuple(documents),
        main=main_document(documents),
        **rest,
    )


def counted(shape: tuple[int, ...], dtype: DTypeLike = np.uint16, seed: int = 0) -> NDArray[Any]:
    """Return sparse counts with a bright disk in the middle of each pattern (the last two dims)."""
    rng = np.random.default_rng(seed)
    y, x = np.indices(shape[-2:])
    radius = np.hypot(y - shape[-2] / 2, x - shape[-1] / 2)
    disk, halo = 12.0, 0.15
    rate = np.where(radius < min(shape[-2:]) / 6, disk, halo)
    return rng.poisson(rate, shape).astype(dtype)
