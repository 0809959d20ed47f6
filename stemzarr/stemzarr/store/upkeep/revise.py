"""Revises calibration and facts of a store; pixels and source bytes stay as they are."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stemzarr.errors import OptionError
from stemzarr.metadata.dates import utc_now
from stemzarr.model import Document, Fact
from stemzarr.storage.fingerprints import digest_of
from stemzarr.storage.local import LocalFolder
from stemzarr.store.facts import Change, apply_facts, restore_facts
from stemzarr.store.format.manifest import Manifest, read_manifest, write_manifest
from stemzarr.store.format.records import document_record
from stemzarr.store.format.schema import (
    Nodes,
    consolidated,
    flat_attributes,
    prefix_of,
    stored_dims,
)
from stemzarr.store.format.tree import Tree, write_labels
from stemzarr.store.ingest.journal import revising_store
from stemzarr.store.ingest.preview import ome_block
from stemzarr.store.open import read_checked, read_record, read_store
from stemzarr.store.results import listed_results

__all__ = ["relabel", "revise", "stage_nodes", "undo_revision"]


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
    A crash leaves the store as it was, or the next one to open it finishes the work.
    """
    with revising_store(path) as stage:
        source = read_store(path)
        revised, changes = apply_facts(source, facts)
        if changes:
            now = utc_now()
            listed = [dataclasses.asdict(change) for change in changes]
            revisions = [*_revisions(path), {"at": now, "changes": listed}]
            _revise(path, stage, revised.documents, source.main, revisions)
        return changes


def undo_revision(path: Path) -> tuple[Change, ...]:
    """Put back the values that the last revision of a store changed, which stays on record.

    Parameters
    ----------
    path
        The store.

    Returns
    -------
    tuple of Change
        What had been changed; the earlier values hold again.

    Raises
    ------
    OptionError
        Nothing was revised, or all of it is undone.
    SourceNotFoundError, CorruptFileError, SchemaVersionError, DamagedStoreError
        There is no store, or it is damaged.
    StoreBusyError, WriteError
        Another process revises it, or it cannot be written.
    """
    with revising_store(path) as stage:
        revisions = _revisions(path)
        open_ones = [one for one in revisions if one["changes"] and "undone" not in one]
        if not open_ones:
            hint = "'stemzarr show' lists what was revised"
            raise OptionError("there is no revision to undo", path=path, hint=hint)
        changes = tuple(Change(**change) for change in open_ones[-1]["changes"])
        open_ones[-1]["undone"] = utc_now()
        source = read_store(path)
        restored = restore_facts(source, changes)
        _revise(path, stage, restored.documents, source.main, revisions)
        return changes


def _revisions(path: Path) -> list[dict[str, Any]]:
    return [{**revision} for revision in read_record(path)["revisions"]]


def _revise(
    path: Path,
    stage: LocalFolder,
    documents: tuple[Document, ...],
    main: int,
    revisions: list[dict[str, Any]],
) -> None:
    """Write all files that differ below `stage`."""
    nodes = copy.deepcopy(read_checked(path))
    manifest = read_manifest(path, nodes)
    before = copy.deepcopy(nodes)
    tree = Tree(store=stage, nodes=nodes)
    for document in documents:
        relabel(tree, document, main)
    _record(nodes, documents, revisions)
    stage_nodes(path, tree, before, manifest)


def stage_nodes(path: Path, tree: Tree, before: Nodes, manifest: Manifest) -> None:
    """Write all nodes that differ, the manifest and the root's metadata, to be put in place.

    Parameters
    ----------
    path
        The store.
    tree
        What it becomes; where it is written are the arrays that were written again.
    before
        Its nodes up to now.
    manifest
        Its manifest up to now.
    """
    stage, nodes = tree.store, tree.nodes
    for name, node in nodes.items():
        if name and node != before.get(name):
            stage.put(f"{name}/zarr.json", tree.node_bytes(name))
    changed = {name: digest_of(stage, name) for name in sorted(stage.list())}
    write_manifest(tree, {**manifest.files, **changed}, manifest.chunks)
    stage.put("zarr.json", consolidated({**nodes, **listed_results(path, nodes)}))


def relabel(tree: Tree, document: Document, main: int) -> None:
    """Write the labels of a document again, with all attributes of its group that stay."""
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
    revisions: list[dict[str, Any]],
) -> None:
    record = nodes["source"]["attributes"]
    record["documents"] = [
        document_record(document, virtual=record["virtual"]) for document in documents
    ]
    record["revisions"] = revisions
