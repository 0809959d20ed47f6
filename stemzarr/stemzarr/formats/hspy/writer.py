"""HyperSpy's ``.hspy`` files, written without HyperSpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from stemzarr.formats.hdf5.writer import create_hdf5, write_dataset
from stemzarr.formats.hspy.metadata import write_tree
from stemzarr.formats.hspy.signal import describe_navigator, describe_signal, write_signal
from stemzarr.metadata.tags import own_tags, plain_tags
from stemzarr.model import Blocks, Document, read_box
from stemzarr.registry import Exported, ExportRequest

__all__ = ["COLOURS", "write_hspy"]

_FORMAT_VERSION = "3.3"
COLOURS = "RGBA"
"""Names of the fields of a value with colours."""


def write_hspy(request: ExportRequest) -> Exported:
    """Write documents as the experiments of one ``.hspy`` file, the main one first.

    Axes, units and metadata are in HyperSpy's model. The main document has the tag tree of the
    source as its ``original_metadata``, the others their own part of it. Chunks hold whole
    patterns. A scan whose store keeps previews has one as its navigator, so that ``plot`` shows it
    at once. Of a salvaged scan, ``metadata.stemzarr.valid`` says which patterns are there, as
    booleans (scan_y, scan_x).
    """
    names = _experiment_names(request.documents)
    # HDF5 1.8 headers take attributes beyond 64 kB; order keeps the main experiment first
    with create_hdf5(request.dest, track_order=True) as file:
        file.attrs["file_format"] = "HyperSpy"
        file.attrs["file_format_version"] = _FORMAT_VERSION
        experiments = file.create_group("Experiments", track_order=True)
        tree = request.source.load_metadata()
        original = file.create_group(f"Experiments/{names[0]}/original_metadata")
        write_tree(plain_tags(tree), original)
        for number, (name, document) in enumerate(zip(names, request.documents, strict=True)):
            group = experiments.require_group(name)
            own = own_tags(tree, document) if number else None
            if own is not None:
                write_tree(plain_tags(own), group.create_group("original_metadata"))
            elif number:
                group["original_metadata"] = original
            _write_experiment(group, document, request, number)
    main = request.documents[0]
    return Exported(shape=main.shape, dtype=main.dtype.name)


def _experiment_names(documents: Sequence[Document]) -> list[str]:
    """Return unique names; a slash would nest groups."""
    names: list[str] = []
    for document in documents:
        name = (document.title or document.slug).replace("/", "-").strip(". ") or document.slug
        names.append(f"{name} ({document.slug})" if name in names else name)
    return names


def _write_experiment(
    group: h5py.Group, document: Document, request: ExportRequest, number: int
) -> None:
    signal = describe_signal(request.source, document, request.provenance_of(number))
    write_signal(group, signal, describe_navigator(document))
    resources = request.resources_of(number)
    blocks, pattern_ndim = document.blocks, document.pattern_ndim
    if document.channels:
        blocks, pattern_ndim = (
            ColourBlocks(blocks, COLOURS[: len(document.channels)]),
            pattern_ndim - 1,
        )
    write_dataset(group, "data", blocks, pattern_ndim, resources)


@dataclass(frozen=True, slots=True)
class ColourBlocks:
    """Colour pixels as HyperSpy holds them: one value with a field per channel."""

    blocks: Blocks
    """The pixels with the channels as their last dim."""
    names: str
    """One letter per channel."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the dims without the channels."""
        return self.blocks.shape[:-1]

    @property
    def dtype(self) -> np.dtype[Any]:
        """A field per channel."""
        return np.dtype([(name, self.blocks.dtype) for name in self.names])

    @property
    def block_shape(self) -> tuple[int, ...]:
        """That of the pixels."""
        return self.blocks.block_shape[:-1]

    def read_into(self, out: NDArray[Any], start: Sequence[int]) -> None:
        """Read a box of pixels with all their channels."""
        values = read_box(self.blocks, (*start, 0), (*out.shape, len(self.names)))
        out[...] = values.view(self.dtype)[..., 0]
