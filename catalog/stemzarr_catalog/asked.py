"""Ingest of a file that is already in the lake: what else its options ask for."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from stemzarr.errors import EntryNotFoundError, OptionError, StoreExistsError
from stemzarr.metadata.facts import PERSONAL_FACTS
from stemzarr.model import Fact, Source
from stemzarr.options import IngestOptions, ReadOptions

if TYPE_CHECKING:
    from stemzarr_catalog.entry import Entry

__all__ = ["asks_nothing", "check_asked", "dataset_of", "keep_calibration", "set_by_hand"]


def dataset_of(entry: Entry) -> str | None:
    """Return the data set that an entry was made from, None where none was named."""
    dataset = _read(entry).get("dataset")
    return None if dataset is None else str(dataset).strip("/")


def _options(entry: Entry) -> dict[str, Any]:
    return dict((entry.source.get("ingest") or {}).get("options") or {})


def _read(entry: Entry) -> dict[str, Any]:
    return dict(_options(entry).get("read") or {})


def asks_nothing(options: IngestOptions) -> bool:
    """Return whether nothing is asked for by which an entry could differ from that of a file.

    A file that ends early has a store with pixels only where it was salvaged.
    """
    plain = IngestOptions(read=ReadOptions(salvage=options.read.salvage))
    names = ("read", "codec", "virtual", "redact", "sha256", "facts", "overwrite")
    return all(getattr(options, name) == getattr(plain, name) for name in names)


def check_asked(entry: Entry, source: Source, options: IngestOptions) -> tuple[str, ...]:
    """Raise where a file in the lake is given with options by which its entry would differ.

    Parameters
    ----------
    entry
        What is there.
    source
        The file, as the options let it be understood.
    options
        What is asked.

    Returns
    -------
    tuple of str
        Options that would store the same values in another way, which does not happen.

    Raises
    ------
    StoreExistsError
        The entry would differ; the hint names the command that makes it so.
    OptionError
        A fact that is set does not exist.
    """
    others = list(_others(entry, source, options))
    if others:
        is_what = " × ".join(map(str, entry.shape))
        msg = f"is in the lake as {entry.name!r} ({entry.kind} {is_what}), {others[0][0]}"
        raise StoreExistsError(msg, path=source.path, hint=others[0][1])
    return tuple(_ignored(entry, options))


def _others(entry: Entry, source: Source, options: IngestOptions) -> Iterator[tuple[str, str]]:
    """Give each option by which the entry would differ: how, and what to do."""
    read, recorded, record = options.read, _read(entry), entry.source
    replace = "add --overwrite to replace it, which keeps calibrations"
    order = (record.get("layout") or {}).get("order")
    if read.layout not in ("auto", recorded.get("layout"), order):
        yield f"read without --layout {read.layout}", replace
    if read.scan_shape is not None and read.scan_shape not in (
        tuple(recorded.get("scan_shape") or ()),
        _scan_shape(entry),
    ):
        shape = ",".join(map(str, read.scan_shape))
        yield f"read without --scan-shape {shape}", replace
    if read.salvage and not source.complete and not recorded.get("salvage"):
        yield "read without --salvage", replace
    if options.redact and not record.get("redacted"):
        yield "not redacted", f"stemzarr redact {entry.name}"
    if options.virtual and not record.get("virtual"):
        yield "with its pixels", "add --overwrite to replace it by one that is virtual"
    if record.get("virtual") and not options.virtual:
        hint = "add --overwrite to store the pixels, or --virtual to leave it so"
        yield "which is virtual: its pixels are in the file alone", hint
    changed = _changes(entry, options.facts)
    if changed:
        listed = " ".join(shlex.quote(f"{name}={value}") for name, value in changed.items())
        yield f"where {listed} is not set", f"stemzarr calibrate {entry.name} {listed}"


def _scan_shape(entry: Entry) -> tuple[int, ...]:
    sizes = dict(zip(entry.dims, entry.shape, strict=True))
    return tuple(sizes[dim] for dim in ("scan_y", "scan_x") if dim in sizes)


def _changes(entry: Entry, facts: Mapping[str, Fact]) -> dict[str, Fact]:
    """Return the facts that are not so in the store."""
    if not facts:
        return {}
    from stemzarr.store import read_store
    from stemzarr.store.facts import apply_facts

    _, changes = apply_facts(read_store(entry.path), facts)
    return {change.fact: change.after for change in changes}


def _ignored(entry: Entry, options: IngestOptions) -> Iterator[str]:
    """Say which options would store the same values in another way."""
    codec = _options(entry).get("codec", options.codec)
    if options.codec not in (codec, IngestOptions().codec) and not options.virtual:
        yield f"stays compressed by {codec}; --overwrite --codec {options.codec} changes that"
    if options.sha256 and not entry.source.get("sha256"):
        yield "has no SHA-256 of its file; --overwrite --sha256 records it"


def set_by_hand(entry: Entry) -> dict[str, Fact]:
    """Return the last value of each fact that a user set, by ``--set`` and ``calibrate``."""
    from stemzarr.store.facts import expand_facts

    found: dict[str, Fact] = expand_facts(_options(entry).get("facts") or {})
    for revision in entry.source.get("revisions") or ():
        if "undone" in revision:
            continue
        for change in revision.get("changes") or ():
            if "fact" in change and "after" in change:
                found[change["fact"]] = change["after"]
    return found


def keep_calibration(
    entry: Entry, source: Source, options: IngestOptions, *, same: bool
) -> tuple[IngestOptions, tuple[str, ...]]:
    """Return options that keep what a user set of the entry that they replace, and what to say.

    Parameters
    ----------
    entry
        What is replaced.
    source
        What it is replaced by.
    options
        How.
    same
        Whether both are one file; nothing is kept for another.
    """
    from stemzarr.store.facts import apply_facts, expand_facts

    given = expand_facts(options.facts)
    order = (entry.source.get("layout") or {}).get("order")
    layout = source.document.layout
    kept: dict[str, Fact] = {}
    notes = []
    for name, value in set_by_hand(entry).items():
        if name in given:
            continue
        why = "" if same else "it was set for another file"
        if options.redact and name.rpartition("/")[2] in PERSONAL_FACTS:
            why = "it is redacted"
        owner, dot, field = name.rpartition(".")
        if dot and "/" not in name and layout is not None and order not in (None, layout.order):
            why = why or f"the layout was {order} when it was set"
        if field == "offset" and f"{owner}.scale" in given:
            why = why or f"{owner}.scale is set again, which moves it"
        if not why:
            try:
                apply_facts(source, {name: value})
            except (OptionError, EntryNotFoundError) as error:
                why = error.message
        if why:
            shown = "" if options.redact else f"={value}"
            notes.append(f"drops {name}{shown}: {why}")
        else:
            kept[name] = value
    if kept:
        listed = ", ".join(f"{name}={value}" for name, value in kept.items())
        notes.append(f"keeps what was set by hand: {listed}")
    facts = {**kept, **options.facts}
    return dataclasses.replace(options, facts=facts), tuple(notes)
