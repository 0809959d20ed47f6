"""How a file that exists was made, so that an export that was done already is left as it is."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import xxhash

from stemzarr.errors import StemzarrError
from stemzarr.formats.writing.sidecar import place_sidecar
from stemzarr.model import Document
from stemzarr.registry import read_source
from stemzarr.storage.fingerprints import state_of

__all__ = ["Made", "digest_labels", "find_difference", "find_made"]

_SAID: Final = {
    "labels": "its calibration, title or facts were others then",
    "document": "of another document",
    "view": "with another view",
    "image": "of another image",
    "export": "in another form",
    "read": "read in another way",
}
"""What a difference in one part of the provenance means; all other parts name the source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What is known of how a file was made."""

    provenance: Mapping[str, Any]
    """As `describe_provenance` gave it."""
    shape: tuple[int, ...]
    """Shape of the main array in the file."""
    dtype: str
    """numpy name of its type."""


def digest_labels(documents: Iterable[Document]) -> str:
    """Return a digest of all of documents that can be revised without their pixels.

    Axes, title, facts, attributes, the calibration of the values, and both masks.
    """
    state = xxhash.xxh3_64()
    for document in documents:
        said = {
            "title": document.title,
            "kind": document.kind,
            "axes": [dataclasses.asdict(axis) for axis in document.axes],
            "facts": dict(document.facts),
            "attributes": dict(document.attributes),
            "brightness": document.brightness and dataclasses.asdict(document.brightness),
            "channels": document.channels,
        }
        state.update(json.dumps(said, sort_keys=True, default=str).encode())
        for mask in (document.valid, document.bad_pixels):
            state.update(b"" if mask is None else mask.tobytes())
    return state.hexdigest()


def find_made(path: Path, records: Iterable[Mapping[str, Any]]) -> Made | None:
    """Return how the file or store at a path was made; None where nothing says it for sure.

    Parameters
    ----------
    path
        What exists.
    records
        What a lake noted of the exports of the source, the oldest first. One says nothing of a
        file that has another size, or was written to since.
    """
    for found in (*_from_sidecar(path), *_from_store(path), *_from_records(path, records)):
        return found
    return None


def _from_sidecar(path: Path) -> Iterator[Made]:
    """Give what the sidecar says, unless the file was written to after it, or is too small."""
    beside = place_sidecar(path)
    with contextlib.suppress(OSError, ValueError, RecursionError, TypeError, KeyError):
        said = json.loads(beside.read_text(encoding="utf-8"))
        made = Made(
            provenance=dict(said["provenance"]),
            shape=tuple(map(int, said["shape"])),
            dtype=str(said["dtype"]),
        )
        state, said_at = state_of(path, path.parent), state_of(beside, path.parent)
        holds_all = state.size >= math.prod(made.shape) * np.dtype(made.dtype).itemsize
        if holds_all and state.modified_ns <= said_at.modified_ns:
            yield made


def _from_store(path: Path) -> Iterator[Made]:
    """Give what a store that is an export says of itself; opening it finds what is missing."""
    if not (path / "zarr.json").is_file():
        return
    with contextlib.suppress(StemzarrError, ValueError, RecursionError, TypeError, KeyError):
        document = read_source(path).document
        provenance = dict(json.loads(str(document.attributes["provenance"])))
        yield Made(provenance=provenance, shape=document.shape, dtype=document.dtype.name)


def _from_records(path: Path, records: Iterable[Mapping[str, Any]]) -> Iterator[Made]:
    """Give the last record of a file at this path, if the file is still the one it speaks of."""
    last = [record for record in records if record.get("dest") == str(path)][-1:]
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        for record in last:
            state = state_of(path, path.parent)
            if (record["bytes"], record["modified_ns"]) == (state.size, state.modified_ns):
                shape = tuple(map(int, record["shape"]))
                provenance = dict(record["provenance"])
                yield Made(provenance=provenance, shape=shape, dtype=str(record["dtype"]))


def find_difference(made: Mapping[str, Any], wanted: Mapping[str, Any]) -> str | None:
    """Return in which way a file was made otherwise than it would be now; None where it was not.

    Which version of stemzarr made it is no difference.
    """
    plain = _without_version(json.loads(json.dumps(wanted)))
    found = _without_version(made)
    if "labels" not in found:
        return "an earlier version of stemzarr made it, which did not note from what exactly"
    different = [name for name in plain if found.get(name) != plain[name]]
    if not different:
        return None
    of_source = "of another source, or of what it was before"
    said = [_SAID[name] for name in different if name in _SAID]
    others = [of_source] if set(different) - set(_SAID) else said
    return f"it was made otherwise: {', '.join(others)}"


def _without_version(provenance: Any) -> Any:  # noqa: ANN401 - a mapping, or none
    """Return provenance without the versions that wrote it and what it was made from."""
    if not isinstance(provenance, Mapping):
        return provenance
    kept = {name: value for name, value in provenance.items() if name != "stemzarr"}
    return {**kept, "origin": _without_version(kept.get("origin"))}
