"""Redacts a store that is there: what says who, of what and where is removed for good."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stemzarr.errors import OptionError
from stemzarr.metadata.dates import utc_now
from stemzarr.metadata.facts import PERSONAL_FACTS
from stemzarr.metadata.privacy import Redactor, user_names
from stemzarr.metadata.redact import names_person, redact_facts, redact_source, redactor_of
from stemzarr.model import Source
from stemzarr.storage.local import LocalFolder
from stemzarr.store.format.manifest import read_manifest
from stemzarr.store.format.records import document_record
from stemzarr.store.format.schema import Nodes
from stemzarr.store.format.tree import Tree
from stemzarr.store.ingest.journal import remove_unfinished, revising_store
from stemzarr.store.open import read_checked, source_of_nodes
from stemzarr.store.upkeep.revise import relabel, stage_nodes

__all__ = ["Redaction", "find_names", "redact_store", "stage_redaction"]

_METADATA, _HEADER = "source/original_metadata", "source/header"
_KEPT = frozenset(
    {
        *("name", "format", "modified", "header_hash", "hash", "sha256", "segments", "main"),
        *("documents", "ingest", "files", "sample_hash"),
    }
)
"""Attributes of ``source`` that are not texts to be cleaned; documents and ingest have their own
way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Redaction:
    """What was removed from a store."""

    path: Path
    """The store."""
    facts: tuple[str, ...]
    """Names of the facts."""
    tags: int
    """How many tags of the source were removed or changed."""
    left: tuple[str, ...]
    """Slugs of documents that hold a name and stay: they are names of folders in the store."""
    changed: bool
    """Whether anything was; false where the store held nothing personal any more."""


def redact_store(path: Path) -> Redaction:
    """Remove from a store what says who made the scan, of what, and where it was kept.

    Pixels, calibration and the name of the source's file stay, and results that people added.
    What is removed cannot be rebuilt: a DM file that is given back has spaces there.

    Parameters
    ----------
    path
        The store.

    Raises
    ------
    OptionError
        The store is virtual: it names its source and shows all of it.
    SourceNotFoundError, CorruptFileError, SchemaVersionError, DamagedStoreError
        There is no store, or it is damaged.
    StoreBusyError, WriteError
        Another process revises it, or it cannot be written.

    Notes
    -----
    A crash leaves the store as it was, or the next one to open it finishes the work; the same call
    again removes what is left.
    """
    now = utc_now()
    with revising_store(path) as stage:
        redaction = stage_redaction(path, stage, at=now)
    remove_unfinished(path)
    return redaction


def stage_redaction(path: Path, stage: LocalFolder, *, at: str) -> Redaction:
    """Write the files in which a redacted store differs, the store itself staying as it is.

    Parameters
    ----------
    path
        The store.
    stage
        Where they are written, under their keys in the store; none where nothing is personal.
    at
        The time that the redacted store gives for it, ISO 8601.

    Raises
    ------
    OptionError, SourceNotFoundError, CorruptFileError, SchemaVersionError, DamagedStoreError
        As `redact_store`.
    """
    before = read_checked(path)
    source = source_of_nodes(path, before)
    record = before["source"]["attributes"]
    if record["virtual"]:
        hint = "a virtual store names its source and shows all of it; ingest it with --redact"
        raise OptionError("a virtual store cannot be redacted", path=path, hint=hint)
    redactor = redactor_of(source, *_secrets_of(record))
    redacted = redact_source(source, redactor)
    nodes = _clean_nodes(before, redactor)
    tree = Tree(store=stage, nodes=nodes)
    for document in redacted.documents:
        relabel(tree, document, source.main)
    _clean_record(nodes["source"]["attributes"], redacted, redactor)
    tags = _write_source(tree, source, redacted, redactor)
    changed = _only_nodes(nodes) != _only_nodes(before) or tags > 0
    if changed:
        _note(nodes["source"]["attributes"], record, at)
        stage_nodes(path, tree, before, read_manifest(path, before))
    gone = {name for one in source.documents for name in one.facts} & {*PERSONAL_FACTS}
    return Redaction(
        path=path,
        facts=tuple(sorted(gone)),
        tags=tags,
        left=tuple(one.slug for one in redacted.documents if names_person(one.slug, redactor)),
        changed=changed,
    )


def find_names(path: Path) -> tuple[str, ...]:
    """Return the names of persons, specimens and sessions that are in a store.

    Parameters
    ----------
    path
        The store.

    Raises
    ------
    SourceNotFoundError, CorruptFileError, SchemaVersionError, DamagedStoreError
        There is no store, or it is damaged.
    """
    nodes = read_checked(path)
    source = source_of_nodes(path, nodes)
    return redactor_of(source, *_secrets_of(nodes["source"]["attributes"])).secrets


def _only_nodes(nodes: Nodes) -> str:
    return json.dumps({n: v for n, v in nodes.items() if n != "source/manifest"}, sort_keys=True)


def _secrets_of(record: dict[str, Any]) -> list[str]:
    """Return the names in the record of a store: earlier values of facts, the home of its user."""
    facts = record["ingest"]["options"].get("facts") or {}
    named = list(facts.items())
    for revision in record["revisions"]:
        for change in revision.get("changes", ()):
            named += [(change["fact"], change["before"]), (change["fact"], change["after"])]
    found = [str(v) for n, v in named if v and n.rpartition("/")[2] in PERSONAL_FACTS]
    return [*found, *user_names(record.get("path") or "")]


def _clean_nodes(before: Nodes, redactor: Redactor) -> Nodes:
    """Return all nodes with clean attributes; those of ``source`` are for `_clean_record`."""
    nodes = copy.deepcopy(before)
    for path, node in nodes.items():
        if path != "source":
            node["attributes"] = redactor.texts(node["attributes"])
    return nodes


def _clean_record(record: dict[str, Any], redacted: Source, redactor: Redactor) -> None:
    """Clean the record of where a store came from, in place."""
    record.pop("path", None)
    for name in set(record) - _KEPT:
        record[name] = redactor.texts(record[name])
    for file in record.get("files", ()):
        file["name"] = file["name"].rpartition("/")[2]  # of parts in a folder
    record["documents"] = [
        document_record(document, virtual=False) for document in redacted.documents
    ]
    record["notes"] = list(redacted.notes)
    options = record["ingest"]["options"]
    options["facts"] = redact_facts(options.get("facts") or {}, redactor)
    record["ingest"]["options"] = redactor.texts(options)
    for revision in record["revisions"]:
        revision["changes"] = [
            change
            for change in revision.get("changes", ())
            if change["fact"].rpartition("/")[2] not in PERSONAL_FACTS
        ]
    record["redacted"] = True


def _note(record: dict[str, Any], before: dict[str, Any], at: str) -> None:
    """Note when a store was redacted for the first time, among its revisions."""
    if not before["redacted"]:
        record["revisions"] = [*record["revisions"], {"at": at, "changes": [], "redacted": True}]


def _write_source(tree: Tree, source: Source, redacted: Source, redactor: Redactor) -> int:
    """Write tag tree and header again where they change, and return how many tags do.

    The tag tree keeps its length, filled up with blanks, so that it takes the same files.
    """
    metadata = source.load_metadata()
    found = len(list(redactor.find(metadata)))
    if _METADATA in tree.nodes and found:
        text = json.dumps(redacted.load_metadata(), ensure_ascii=False, allow_nan=False).encode()
        length = tree.nodes[_METADATA]["shape"][0]
        values = np.frombuffer(text.ljust(length), np.uint8)
        tree.write_array(_METADATA, values, ("original_metadata_byte",), codec="zstd")
    if _HEADER in tree.nodes:
        header = redacted.load_header()
        if header != source.load_header():
            values = np.frombuffer(header, np.uint8)
            tree.write_array(_HEADER, values, ("header_byte",), codec="zstd")
    return found
