"""A plug-in for RosettaSciIO, in the form of its own: HyperSpy opens by it what stemzarr reads.

``hs.load("scan.zarr/zarr.json", file_format=rosettasciio, lazy=True)``, with this module as
``rosettasciio``. RosettaSciIO finds plug-ins in its own folder alone, and HyperSpy opens no folder
that is not a ``.zspy``, so that the module is given, and the file of a store that says what the
store is (docs/upstream/hyperspy-folders.md).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

import stemzarr
from stemzarr.bridges.lazily import lazy_values
from stemzarr.formats.hspy.metadata import name_tree
from stemzarr.formats.hspy.signal import describe_navigator, describe_signal
from stemzarr.formats.hspy.writer import COLOURS
from stemzarr.labelled import to_dataset
from stemzarr.metadata.tags import own_tags, plain_tags
from stemzarr.model import Document, Source
from stemzarr.options import as_path
from stemzarr.registry import read_source

__all__ = ["describe", "file_reader"]

_ROOT = "zarr.json"


def file_reader(
    filename: str | os.PathLike[str],
    lazy: bool = False,  # noqa: FBT001, FBT002 - the interface of RosettaSciIO
    document: int | str | None = None,
) -> list[dict[str, Any]]:
    """Read a store, or any file that stemzarr reads.

    Parameters
    ----------
    filename
        A store in one file, the ``zarr.json`` of a store in a folder, or a file of a microscope.
    lazy
        Whether the values stay where they are.
    document
        Slug or index of one document; by default all but thumbnails, the main one first.

    Returns
    -------
    list of dict
        Signals as RosettaSciIO describes them: ``data``, ``axes``, ``metadata``,
        ``original_metadata``, ``attributes``; those of a ``.hspy`` that stemzarr exports.

    Raises
    ------
    StemzarrError
        The file cannot be understood, or has no such document.
    """
    path = as_path(filename)
    source = read_source(path.parent if path.name == _ROOT else path)
    main, tree = source.document, source.load_metadata()
    chosen = [main, *(each for each in source.documents if each is not main)]
    if document is not None:
        main = source.find(document)
        chosen = [main]
    signals = []
    for each in chosen:
        if each is not main and each.thumbnail:
            continue
        own = None if each is main else own_tags(tree, each)
        tags = tree if own is None else own
        values = lazy_values(to_dataset(each), each)
        signals.append(describe(source, each, values, tags=tags, slug=each.slug, lazy=lazy))
    return signals


def describe(
    source: Source,
    document: Document,
    values: Any,  # noqa: ANN401 - an array of dask
    *,
    tags: Mapping[str, Any],
    slug: str,
    lazy: bool,
) -> dict[str, Any]:
    """Return a document as RosettaSciIO describes a signal.

    Parameters
    ----------
    source
        Where it is from.
    document
        What is described.
    values
        Its pixels.
    tags
        The original metadata.
    slug
        That of the document in its source; empty where it is of none.
    lazy
        Whether the values stay where they are; else they are read at once.
    """
    known = {"source": source.path.name, "format": source.format, "document": slug}
    provenance = {name: value for name, value in known.items() if value}
    described = describe_signal(source, document, {"stemzarr": stemzarr.__version__, **provenance})
    metadata = name_tree(described["metadata"])
    navigator = describe_navigator(document)
    if navigator is not None:
        metadata["_HyperSpy"]["_sig_navigator"] = navigator
    pixels = _with_colours(values, document)
    return {
        **described,
        "metadata": metadata,
        "original_metadata": name_tree(plain_tags(tags)),
        "attributes": {**described["attributes"], "_lazy": lazy},
        "data": pixels if lazy else pixels.compute(),
    }


def _with_colours(values: Any, document: Document) -> Any:  # noqa: ANN401 - arrays of dask
    """Return colours as HyperSpy holds them: one value with a field per channel."""
    if not document.channels:
        return values
    fields = np.dtype([(name, values.dtype) for name in COLOURS[: len(document.channels)]])
    return values.map_blocks(_join, fields, dtype=fields, drop_axis=values.ndim - 1)


def _join(part: NDArray[Any], fields: np.dtype[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(part).view(fields)[..., 0]
