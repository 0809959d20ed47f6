"""Revises calibration and facts of a store; pixels and source bytes stay as they are."""

from __future__ import annotations

import copy
import dataclasses
import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stemzarr.files import remove_tree, sync_folder, sync_path, write_error
from stemzarr.locks import FileLock
from stemzarr.model import Document, Fact
from stemzarr.store.facts import Change, apply_facts
from stemzarr.store.journal import digest_of
from stemzarr.store.manifest import read_manifest, write_manifest
from stemzarr.store.open import read_store
from stemzarr.store.preview import ome_block
from stemzarr.store.schema import consolidated, flat_attributes, prefix_of, stored_dims
from stemzarr.store.shard import write_file
from stemzarr.store.tree import COMMITTED, REVISION, Tree, finish_revision, read_nodes, write_labels
from stemzarr.store.write import document_record

__all__ = ["revise"]

_WAIT_S = 10.0


def revise(path: Path, facts: Mapping[str, Fact]) -> tuple[Change, ...]:
    """Set calibration and facts of a store, and keep the earlier values in its record.

    Parameters
    ----------
    path
        The store.
    facts
        Values by name, as in ``ingest --set``: ``camera_length_mm``, ``det_x.scale`` …

    Returns
    -------
    tuple of Change
        What is different now; nothing is written where nothing is.

    Raises
    ------
    OptionError, EntryNotFoundError
        There is no such fact, axis or document, or the value does not fit.
    SourceNotFoundError, CorruptFileError, SchemaVersionError, DamagedStoreError
        There is no store, or it is damaged.
    StoreBusyError, WriteError
        Another process revises it, or it cannot be written.

    Notes
    -----
    The revised files are written beside the store's, listed, and then put in place one by one. A
    crash before the list is complete leaves the store as it was; after it, the next one to open
    the store finishes the work.
    """
    with FileLock(
        path.with_name(f".{path.name}.lock"), timeout_s=_WAIT_S, what=f"the store {path.name}"
    ):
        source = read_store(path)
        revised, changes = apply_facts(source, facts)
        if not changes:
            return ()
        stage = path / REVISION
        try:
            remove_tree(stage)
            _stage(path, stage, revised.documents, source.main, changes)
        except OSError as error:
            remove_tree(stage)
            if hasattr(error, "hint"):
                raise
            raise write_error(path, error) from error
        finish_revision(path)
        return changes


def _stage(
    path: Path,
    stage: Path,
    documents: tuple[Document, ...],
    main: int,
    changes: tuple[Change, ...],
) -> None:
    """Write all files that differ below `stage`, and then their list."""
    nodes = copy.deepcopy(read_nodes(path))
    manifest = read_manifest(path, nodes)
    before = copy.deepcopy(nodes)
    tree = Tree(folder=stage, nodes=nodes)
    for document in documents:
        _relabel(tree, document, main)
    _record(nodes, documents, changes)
    for name, node in nodes.items():
        if name and node != before.get(name):
            write_file(stage / name / "zarr.json", tree.node_bytes(name))
    staged = sorted(p.relative_to(stage).as_posix() for p in stage.rglob("*") if p.is_file())
    changed = {name: digest_of(stage / name) for name in staged}
    write_manifest(tree, {**manifest.files, **changed})
    write_file(stage / "zarr.json", consolidated(nodes))
    files = sorted(p.relative_to(stage).as_posix() for p in stage.rglob("*") if p.is_file())
    for name in files:
        sync_path(stage / name)
    ordered = [name for name in files if name != "zarr.json"] + ["zarr.json"]
    fresh = stage / f"{COMMITTED}.new"
    write_file(fresh, "\n".join(ordered).encode(), sync=True)
    fresh.replace(stage / COMMITTED)
    sync_folder(stage)


def _relabel(tree: Tree, document: Document, main: int) -> None:
    """Write the labels of a document anew, with all attributes of its group that stay."""
    prefix = prefix_of(document, main)
    kept = tree.nodes[prefix.rstrip("/")]["attributes"]
    rest = {"stemzarr_schema": kept["stemzarr_schema"]} if "stemzarr_schema" in kept else {}
    write_labels(tree, document, main, rest)
    pixels = f"{prefix}intensity"
    if pixels in tree.nodes:
        tree.nodes[pixels]["attributes"] = flat_attributes(document.intensity_attributes())
    preview = tree.nodes.get(f"{prefix}preview")
    if preview is not None and "ome" in preview["attributes"]:
        scan = stored_dims(document, main)[:2]
        preview["attributes"]["ome"] = ome_block(document, scan)


def _record(
    nodes: dict[str, dict[str, Any]],
    documents: tuple[Document, ...],
    changes: tuple[Change, ...],
) -> None:
    record = nodes["source"]["attributes"]
    record["documents"] = [
        document_record(document, virtual=record["virtual"]) for document in documents
    ]
    now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    listed = [dataclasses.asdict(change) for change in changes]
    record["revisions"] = [*record["revisions"], {"at": now, "changes": listed}]
