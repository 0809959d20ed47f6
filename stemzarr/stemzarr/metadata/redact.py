"""Leaves out what says who made a scan, of what, and where it was kept."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from stemzarr.metadata.facts import PERSONAL_FACTS
from stemzarr.metadata.privacy import Redactor, find_secrets
from stemzarr.model import Document, Source

__all__ = ["names_person", "redact_facts", "redact_source", "redactor_of"]

_LEAST_LENGTH = 3
_NEAR = 120
_LONG_WORD = 8
_LABELS = frozenset(
    {
        *("ImageList", "ImageData", "ImageTags", "Calibrations", "Dimension", "Dimensions"),
        *("Brightness", "DataType", "PixelDepth", "UniqueID", "Thumbnails", "ImageIndex"),
        *("DocumentObjectList", "ImageSource", "ImageSourceList", "SentinelList"),
    }
)
"""Labels that a DM file cannot be read without."""
_REDACTED = "redacted: "
"""Begins the note of every redacted source."""
_LEFT_OUT = ", ".join(PERSONAL_FACTS)
NOTE = f"{_REDACTED}{_LEFT_OUT}, paths, remarks and printer records are left out"


@dataclasses.dataclass(frozen=True, slots=True)
class _Metadata:
    """The tag tree without what is redacted."""

    source: Source
    redactor: Redactor

    def __call__(self) -> dict[str, Any]:
        tree: dict[str, Any] = self.redactor.tree(self.source.load_metadata())
        return tree


@dataclasses.dataclass(frozen=True, slots=True)
class _Header:
    """The bytes outside the pixels with redacted text overwritten by spaces of equal length.

    Equal length keeps the file well-formed when it is rebuilt.
    """

    source: Source
    redactor: Redactor

    def __call__(self) -> bytes:
        content = self.source.load_header()
        named = [*self.redactor.find(self.source.load_metadata())]
        named += [("", secret) for secret in self.redactor.secrets]
        for name, text in sorted(set(named), key=_by_length):
            content = _blank(content, name, text)
        return content


def redactor_of(source: Source, *more: str) -> Redactor:
    """Return what removes the names in a source: those of its facts and of its tags.

    Parameters
    ----------
    source
        Where they are.
    more
        Further secrets, of a record for example.
    """
    facts = [
        str(document.facts[name])
        for document in source.documents
        for name in PERSONAL_FACTS
        if name in document.facts
    ]
    found = {*facts, *find_secrets(source.load_metadata()), *more}
    return Redactor(tuple(sorted(found - {""})))


def redact_source(source: Source, redactor: Redactor | None = None) -> Source:
    """Return the source without operator, specimen, session, paths and printer records.

    Parameters
    ----------
    source
        What a reader recognised, or a store.
    redactor
        What removes the names; by default those that are in the source itself.
    """
    chosen = redactor or redactor_of(source)
    note = NOTE
    if source.rebuildable:
        note += "; a rebuilt file will differ from the original there"
    slugs = _new_slugs(source, chosen)
    notes = [note for note in map(chosen.text, source.notes) if not note.startswith(_REDACTED)]
    return dataclasses.replace(
        source,
        documents=tuple(_redact_document(one, chosen, slugs) for one in source.documents),
        load_metadata=_Metadata(source, chosen),
        load_header=_Header(source, chosen),
        notes=(*notes, note),
    )


def names_person(slug: str, redactor: Redactor) -> bool:
    """Return whether the slug of a document holds a name that is removed elsewhere."""
    spoken = re.sub(r"[_-]+", " ", slug)
    plain = Redactor(tuple(re.sub(r"[\W_]+", " ", one).strip() for one in redactor.secrets))
    return plain.text(spoken) != spoken


def _new_slugs(source: Source, redactor: Redactor) -> dict[str, str]:
    """Return the slugs that hold a name, and what takes their places.

    In a store they are names of folders, which stay, but for that of the main document.
    """
    free = (source.document,) if source.format == "stemzarr" else source.documents
    named = [one for one in free if names_person(one.slug, redactor)]
    return {document.slug: f"document_{document.index}" for document in named}


def _redact_document(document: Document, redactor: Redactor, slugs: Mapping[str, str]) -> Document:
    links = {
        name: slugs.get(value, value) if isinstance(value, str) else value
        for name, value in document.attributes.items()
    }
    layout = document.layout
    evidence = () if layout is None else tuple(map(redactor.text, layout.evidence))
    return dataclasses.replace(
        document,
        title=redactor.text(document.title),
        axes=tuple(
            dataclasses.replace(axis, long_name=redactor.text(axis.long_name))
            for axis in document.axes
        ),
        layout=None if layout is None else dataclasses.replace(layout, evidence=evidence),
        channels=tuple(map(redactor.text, document.channels)),
        facts=redact_facts(document.facts, redactor),
        fact_paths={
            name: redactor.text(path)
            for name, path in document.fact_paths.items()
            if name not in PERSONAL_FACTS
        },
        slug=slugs.get(document.slug, document.slug),
        attributes=redactor.tree(links),
        notes=tuple(map(redactor.text, document.notes)),
    )


def redact_facts(facts: Mapping[str, Any], redactor: Redactor) -> dict[str, Any]:
    """Return facts by name, of any document, without those that are personal."""
    kept = {n: fact for n, fact in facts.items() if n.rpartition("/")[2] not in PERSONAL_FACTS}
    cleaned: dict[str, Any] = redactor.texts(kept)
    return cleaned


def _by_length(item: tuple[str, str]) -> tuple[int, str, str]:
    # The longest first: a text that is part of another must not spoil it.
    return -len(item[1]), item[1], item[0]


def _is_rare(text: str) -> bool:
    """Return whether a text is not a word that the labels of a DM file are made of."""
    return text not in _LABELS and (not text.isalpha() or len(text) >= _LONG_WORD)


def _blank(content: bytes, name: str, text: str) -> bytes:
    """Overwrite a text of a DM file; a very short one only near the name of its tag."""
    if not name and len(text) > _LEAST_LENGTH:  # the label of a tag, or text in single bytes
        stored = text.encode("latin-1", "replace")
        content = content.replace(stored, b" " * len(stored)) if _is_rare(text) else content
    for encoding in ("utf-16-le", "utf-16-be"):
        stored = text.encode(encoding, "ignore")
        blank = (" " * len(stored)).encode(encoding)[: len(stored)]
        if len(text) >= _LEAST_LENGTH:
            content = content.replace(stored, blank)
        elif name:
            label = re.escape(name.encode("latin-1", "ignore"))
            near = rb"(?s)(" + label + rb".{0,%d}?)" % _NEAR + re.escape(stored)
            content = re.sub(near, rb"\g<1>" + blank, content)
    return content
