"""Ten tiny stores and a manifest of what is in them, by which a reader in any language is tried.

``python -m stemzarr.testing.conformance FOLDER`` writes ``a.zarr`` … ``j.zarr``, and
``manifest.json``: for each store the attributes of its root, and for each array its path, shape,
Zarr data type, dims, and its values as the base64 of their little-endian bytes in C order. The
values are those that the stores were made of, not those that stemzarr reads. With a name that ends
in ``.zip`` all of it is one file.

A reader conforms that finds these dims, attributes and bits. Together the stores have each codec,
chunks and shards that stick out of the array, parts of rows as shards, zeros that are written,
masks, colours, documents beside the main one, and names beyond ASCII.
"""

from __future__ import annotations

import base64
import contextlib
import json
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from stemzarr.model import Document
from stemzarr.options import Codec, IngestOptions, ReadOptions
from stemzarr.store import write_store
from stemzarr.store.format import plan
from stemzarr.testing.sources import counted, document_of, source_of

__all__ = ["MANIFEST", "main", "write_conformance"]

MANIFEST: Final = "manifest.json"
_WHEN: Final = (2026, 1, 1, 0, 0, 0)
"""The time of all members of a zip, so that it has the same bytes each time."""
_SMALL: Final = {"CHUNK_BYTES": 2**10, "_LEAST_SHARD": 2**12, "_MOST_SHARD": 2**13}
"""Sizes at which tiny arrays have several chunks and shards."""


class _Store(NamedTuple):
    """What a store is made of."""

    documents: tuple[Document, ...]
    codec: Codec = "zstd"
    cut: Mapping[str, int] = _SMALL


def _noise(shape: tuple[int, ...], dtype: str, seed: int) -> NDArray[Any]:
    """Return any bits, those of NaN and infinities too."""
    values = np.random.default_rng(seed).integers(0, 256, (*shape, np.dtype(dtype).itemsize))
    return values.astype(np.uint8).view(dtype)[..., 0]


def _stores() -> dict[str, _Store]:
    scan = counted((5, 7, 11, 13), seed=1)
    valid = np.ones((5, 7), bool)
    valid[3:, 2:] = False
    bad = np.zeros((11, 13), bool)
    bad[4, 6] = True
    recovered = np.where(valid[..., np.newaxis, np.newaxis], scan, 0)
    survey = document_of(_noise((9, 8), "<f4", 2), "image", index=1, slug="survey")
    facts = {
        "beam_energy_keV": 300.0,
        "specimen": "SrTiO₃, größer",
        "acquired": "2026-01-15T10:20:30",
    }
    colours = ("red", "green", "blue", "alpha")
    zeros = np.zeros((4, 3, 8, 8), np.uint8)
    coloured = document_of(_noise((7, 9, 4), "u1", 8), "image", channels=colours)
    return {
        "a": _Store((document_of(scan, facts=facts), survey)),
        "b": _Store((document_of(counted((6, 6, 16, 16), "u1", 2)),), "lz4"),
        "c": _Store((document_of(_noise((3, 5, 8, 9), "<i4", 3)),), "none"),
        "d": _Store((document_of(recovered, valid=valid, bad_pixels=bad),)),
        "e": _Store((document_of(_noise((4, 5, 30), "<i2", 4), "spectrum-image"),), "lz4"),
        "f": _Store((document_of(_noise((40,), "<f8", 5), "spectrum"),), "none"),
        "g": _Store((document_of(_noise((5, 12, 10), "<f4", 6) > 0, "stack"),)),
        "h": _Store((coloured,), "zstd"),
        "i": _Store((document_of(zeros),), "zstd"),
        "j": _Store((document_of(_noise((2, 3, 4, 5, 6), "<u8", 9), "array"),), "zstd", {}),
    }


def write_conformance(folder: Path) -> dict[str, Any]:
    """Write the stores and ``manifest.json`` into a folder, and return what is in the manifest.

    Raises
    ------
    StoreExistsError
        The folder holds such stores already.
    """
    folder.mkdir(parents=True, exist_ok=True)
    manifest: dict[str, Any] = {}
    for name, made in _stores().items():
        with tempfile.TemporaryDirectory() as temporary, contextlib.ExitStack() as cut:
            for constant, size in made.cut.items():
                cut.enter_context(mock.patch.object(plan, constant, size))
            source = source_of(Path(temporary) / f"{name}.bin", made.documents)
            options = IngestOptions(
                codec=made.codec, sync=False, threads=1, read=ReadOptions(salvage=True)
            )
            write_store(source, folder / f"{name}.zarr", options)
        arrays = dict(_arrays(made.documents))
        attributes = dict(made.documents[0].group_attributes())
        manifest[f"{name}.zarr"] = {"attributes": attributes, "arrays": arrays}
    text = json.dumps(manifest, indent=1, ensure_ascii=False)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
    return manifest


def _arrays(documents: tuple[Document, ...]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield path and content of each array that is in a store of documents, the main one first."""
    for document in documents:
        beside = document is not documents[0]
        prefix = f"documents/{document.slug}/" if beside else ""
        stem = f"{document.slug}_" if beside else ""
        dims = [f"{stem}{dim}" for dim in document.dims]
        values = document.blocks.array  # type: ignore[attr-defined]  # these are in memory
        yield f"{prefix}intensity", _describe(values, dims)
        for axis in document.axes:
            yield f"{prefix}{stem}{axis.name}", _describe(axis.values(), [f"{stem}{axis.name}"])
        if document.valid is not None:
            yield f"{prefix}valid", _describe(document.valid, dims[:2])
        if document.bad_pixels is not None:
            yield f"{prefix}bad_pixels", _describe(document.bad_pixels, dims[-2:])


def _describe(values: NDArray[Any], dims: list[str]) -> dict[str, Any]:
    little = np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<"), copy=False)
    return {
        "shape": list(values.shape),
        "data_type": values.dtype.name,
        "dims": dims,
        "base64": base64.b64encode(little.tobytes()).decode(),
    }


def _write_zip(path: Path) -> None:
    """Write all of it as one file, uncompressed and in the order of the names."""
    with tempfile.TemporaryDirectory() as temporary, zipfile.ZipFile(path, "w") as packed:
        write_conformance(Path(temporary))
        for file in sorted(Path(temporary).rglob("*")):
            if file.is_file():
                name = file.relative_to(temporary).as_posix()
                packed.writestr(zipfile.ZipInfo(name, _WHEN), file.read_bytes())


def main(target: str) -> None:
    """Write all of it into a folder, or into a file that ends in ``.zip``."""
    if target.endswith(".zip"):
        _write_zip(Path(target))
    else:
        write_conformance(Path(target))


if __name__ == "__main__":
    main(*sys.argv[1:])
