"""``lake.toml``: who made the data of a lake, what they are called, and who may use them how."""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from stemzarr.errors import CorruptFileError, OptionError
from stemzarr.storage.local import open_root, put_text
from stemzarr.storage.objects import get_or_none

__all__ = [
    "CITATION",
    "LICENCES",
    "RELATIONS",
    "Citation",
    "Creator",
    "Funding",
    "Related",
    "needed_citation",
    "plain_doi",
    "read_citation",
    "render_toml",
    "table_of",
    "write_citation",
]

CITATION = "lake.toml"
"""Name of the file in a lake."""

_CC = "https://creativecommons.org/licenses"
LICENCES = {
    "CC-BY-4.0": f"{_CC}/by/4.0/",
    "CC0-1.0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "CC-BY-SA-4.0": f"{_CC}/by-sa/4.0/",
    "CC-BY-NC-4.0": f"{_CC}/by-nc/4.0/",
    "CC-BY-NC-SA-4.0": f"{_CC}/by-nc-sa/4.0/",
    "CC-BY-ND-4.0": f"{_CC}/by-nd/4.0/",
    "CC-BY-NC-ND-4.0": f"{_CC}/by-nc-nd/4.0/",
    "ODC-By-1.0": "https://opendatacommons.org/licenses/by/1-0/",
    "ODbL-1.0": "https://opendatacommons.org/licenses/odbl/1-0/",
    "PDDL-1.0": "https://opendatacommons.org/licenses/pddl/1-0/",
}
"""Licences for data by their SPDX names; any other is given by its address."""
RELATIONS = (
    *("IsSupplementTo", "IsCitedBy", "Cites", "IsDescribedBy", "IsReferencedBy", "References"),
    *("IsDerivedFrom", "IsSourceOf", "IsPartOf", "HasPart", "IsNewVersionOf", "IsVersionOf"),
    *("IsVariantFormOf", "IsIdenticalTo", "Documents", "IsDocumentedBy"),
)
"""How data are related to something with a DOI, in the words of DataCite."""

_ORCID = re.compile(r"\d{4}-\d{4}-\d{4}-\d{3}[\dX]")
_DOI = re.compile(r"10\.\d{4,9}/\S+")
_BEFORE_ORCID = re.compile(r"^https?://orcid\.org/")
_BEFORE_DOI = re.compile(r"^(https?://(dx\.)?doi\.org/|doi:)", re.IGNORECASE)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Creator:
    """Somebody to be cited: a person, or an organisation.

    Raises
    ------
    OptionError
        The name or the ORCID iD is not valid, or an organisation has one.
    """

    name: str
    """``Family, Given`` for a person; anything without a comma is an organisation's name."""
    orcid: str = ""
    """ORCID iD of a person, as 0000-0002-1825-0097."""
    affiliation: str = ""
    """Where the person works."""

    def __post_init__(self) -> None:
        """Refuse what names nobody."""
        _check_line("the name of a creator", self.name, needed=True)
        _check_line("an affiliation", self.affiliation)
        if self.orcid and not is_orcid(self.orcid):
            hint = "check its digits; the last one follows from the others"
            raise OptionError(f"{self.orcid!r} is not an ORCID iD", hint=hint)
        if (self.orcid or self.affiliation) and "," not in self.name:
            hint = "write a person as 'Family, Given'; an organisation has neither"
            raise OptionError(
                f"{self.name!r} has an ORCID or an affiliation, but is not written as a person",
                hint=hint,
            )

    @property
    def family(self) -> str:
        """Family name of a person; empty for an organisation."""
        return self.name.partition(",")[0].strip() if "," in self.name else ""

    @property
    def given(self) -> str:
        """Given names of a person."""
        return self.name.partition(",")[2].strip()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``NAME; ORCID; AFFILIATION``, of which the name alone is needed.

        Raises
        ------
        OptionError
            There is more than a name, an ORCID iD and an affiliation.

        Examples
        --------
        >>> Creator.parse("Doe, Jane; 0000-0002-1825-0097; TU").affiliation
        'TU'
        """
        name, *rest = (part.strip() for part in text.split(";"))
        orcids = [_BEFORE_ORCID.sub("", part) for part in rest]
        found = next((part for part in orcids if _ORCID.fullmatch(part)), "")
        places = [part for part, plain in zip(rest, orcids, strict=True) if plain != found and part]
        if len(places) > 1:
            hint = "NAME; ORCID; AFFILIATION"
            raise OptionError(
                f"{places[0]!r} and {places[1]!r} cannot both be the affiliation", hint=hint
            )
        return cls(name=name, orcid=found, affiliation="".join(places))


@dataclass(frozen=True, slots=True, kw_only=True)
class Funding:
    """Who paid for the data."""

    funder: str
    """The organisation."""
    award: str = ""
    """Number of the grant."""

    def __post_init__(self) -> None:
        """Refuse what names nobody."""
        _check_line("a funder", self.funder, needed=True)
        _check_line("an award", self.award)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``FUNDER; AWARD``."""
        funder, _, award = text.partition(";")
        return cls(funder=funder.strip(), award=award.strip())


@dataclass(frozen=True, slots=True, kw_only=True)
class Related:
    """Something with a DOI that the data belong to.

    Raises
    ------
    OptionError
        The DOI is not valid, or the relation is unknown.
    """

    doi: str
    """The DOI, as 10.5281/zenodo.123."""
    relation: str = "IsSupplementTo"
    """What the data are to it, one of `RELATIONS`."""

    def __post_init__(self) -> None:
        """Refuse what cannot be found or understood."""
        if not _DOI.fullmatch(self.doi):
            raise OptionError(f"{self.doi!r} is not a DOI", hint="such as 10.5281/zenodo.123")
        if self.relation not in RELATIONS:
            hint = f"known relations: {', '.join(RELATIONS)}"
            raise OptionError(f"there is no relation {self.relation!r}", hint=hint)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``DOI; RELATION``."""
        doi, _, relation = text.partition(";")
        return cls(doi=plain_doi(doi.strip()), relation=relation.strip() or "IsSupplementTo")


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation:
    """What is needed to cite the data of a lake.

    Raises
    ------
    OptionError
        There is no creator, or the licence or the DOI is not valid.
    """

    title: str
    """What they are called."""
    creators: tuple[Creator, ...]
    """Who made them, in the order of the citation."""
    licence: str
    """A name of `LICENCES`, or the address of another licence."""
    description: str = ""
    """What they are, in a few sentences."""
    publisher: str = ""
    """Who keeps them, such as Zenodo."""
    doi: str = ""
    """Their own DOI, once they have one."""
    keywords: tuple[str, ...] = ()
    """Words by which they are found."""
    funding: tuple[Funding, ...] = ()
    """Who paid for them."""
    related: tuple[Related, ...] = ()
    """What they belong to, such as the paper."""

    def __post_init__(self) -> None:
        """Refuse what nobody could cite."""
        _check_line("the title", self.title, needed=True)
        _check_line("the publisher", self.publisher)
        for keyword in self.keywords:
            _check_line("a keyword", keyword, needed=True)
        if not self.creators:
            raise OptionError("there is no creator", hint="name at least one, with --creator")
        if self.doi and not _DOI.fullmatch(self.doi):
            raise OptionError(f"{self.doi!r} is not a DOI", hint="such as 10.5281/zenodo.123")
        if self.licence not in LICENCES and not re.fullmatch(r"https?://\S+", self.licence):
            hint = f"one of {', '.join(LICENCES)}, or the address of another licence"
            raise OptionError(f"{self.licence!r} is not a known licence", hint=hint)

    @property
    def licence_url(self) -> str:
        """Address of the licence."""
        return LICENCES.get(self.licence, self.licence)

    def json(self) -> dict[str, Any]:
        """Return what the file holds, without what is empty."""
        return {name: value for name, value in table_of(self).items() if value}

    @classmethod
    def from_json(cls, read: Mapping[str, Any]) -> Self:
        """Return what a file holds.

        Raises
        ------
        OptionError
            Something is missing, unknown or cannot be understood.
        """
        _check_names(cls, read, "the file")
        texts: dict[str, Any] = {name: read[name] for name in _TEXTS if name in read}
        for name, value in texts.items():
            if not isinstance(value, str):
                raise OptionError(f"{name} is {value!r}, expected text", hint="quote it")
        lists: dict[str, Any] = {
            name: _items(kind, read.get(name, ()), name) for name, kind in _LISTS.items()
        }
        keywords = read.get("keywords", [])
        if not isinstance(keywords, list) or not all(isinstance(word, str) for word in keywords):
            raise OptionError("keywords are not a list of texts", hint='keywords = ["4D-STEM"]')
        missing = [name for name in ("title", "licence") if name not in texts]
        if missing:
            raise OptionError(f"{missing[0]} is missing", hint="'stemzarr catalog describe' asks")
        return cls(**texts, **lists, keywords=tuple(keywords))


_TEXTS = ("title", "licence", "description", "publisher", "doi")
_LISTS: dict[str, Any] = {"creators": Creator, "funding": Funding, "related": Related}


def _items(kind: type[_T], given: object, name: str) -> tuple[_T, ...]:
    """Return the tables of a list of the file as what they stand for."""
    if not isinstance(given, Sequence) or not all(isinstance(one, dict) for one in given):
        raise OptionError(f"{name} is not a list of tables", hint=f"write [[{name}]] before each")
    for one in given:
        _check_names(kind, one, f"[[{name}]]")
        if not all(isinstance(value, str) for value in one.values()):
            raise OptionError(f"[[{name}]] holds a value that is not text", hint="quote it")
    try:
        return tuple(kind(**one) for one in given)
    except TypeError as error:
        raise OptionError(
            f"[[{name}]] lacks its name: {error}", hint="see docs/publish.md"
        ) from None


def _check_names(kind: Any, given: Mapping[str, Any], where: str) -> None:  # noqa: ANN401 - a dataclass
    known = [field.name for field in dataclasses.fields(kind)]
    unknown = [name for name in given if name not in known]
    if unknown:
        raise OptionError(f"{where} has {unknown[0]!r}", hint=f"known: {', '.join(known)}")


def _check_line(what: str, text: str, *, needed: bool = False) -> None:
    if needed and not text.strip():
        raise OptionError(f"{what} is empty", hint="write it out")
    if not text.isprintable():
        raise OptionError(f"{what} is {text!r}", hint="write it on one line")


def table_of(value: Any) -> dict[str, Any]:  # noqa: ANN401 - a dataclass
    """Return one of the classes above as a table of the file."""
    plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(value)))
    return plain


def is_orcid(text: str) -> bool:
    """Return whether a text is an ORCID iD, whose last sign is a checksum (ISO 7064, 11-2).

    Examples
    --------
    >>> is_orcid("0000-0002-1825-0097"), is_orcid("0000-0002-1825-0098")
    (True, False)
    """
    if not _ORCID.fullmatch(text):
        return False
    total = 0
    for digit in text.replace("-", "")[:-1]:
        total = (total + int(digit)) * 2
    return text[-1] == "0123456789X"[(12 - total % 11) % 11]


def plain_doi(text: str) -> str:
    """Return a DOI without the address or the word before it.

    Examples
    --------
    >>> plain_doi("https://doi.org/10.5281/zenodo.123")
    '10.5281/zenodo.123'
    """
    return _BEFORE_DOI.sub("", text)


def read_citation(lake: Path) -> Citation | None:
    """Return what ``lake.toml`` says; None where there is none.

    Raises
    ------
    CorruptFileError
        It is not TOML, or says what cannot be understood.
    ReadError
        It cannot be read.
    """
    path, text = lake / CITATION, get_or_none(open_root(lake), CITATION)
    if text is None:
        return None
    try:
        return Citation.from_json(tomllib.loads(text.decode()))
    except OptionError as error:
        raise CorruptFileError(error.message, path=path, hint=error.hint) from error
    except ValueError as error:
        hint = "correct it in an editor, or remove it"
        raise CorruptFileError(f"cannot be understood: {error}", path=path, hint=hint) from error


def needed_citation(lake: Path) -> Citation:
    """Return what ``lake.toml`` says, which must be there.

    Raises
    ------
    OptionError
        There is none.
    CorruptFileError, ReadError
        As `read_citation`.
    """
    citation = read_citation(lake)
    if citation is None:
        hint = "'stemzarr catalog describe' asks for title, creators and licence"
        raise OptionError("the lake does not say who made its data", path=lake, hint=hint)
    return citation


def write_citation(lake: Path, citation: Citation) -> None:
    """Write ``lake.toml``.

    Raises
    ------
    WriteError
        It cannot be written.
    """
    put_text(lake / CITATION, render_toml(citation))


def render_toml(citation: Citation) -> str:
    """Return the text of ``lake.toml``, which `read_citation` reads back."""
    said = citation.json()
    lines = [f"{name} = {_value(value)}" for name, value in said.items() if name not in _LISTS]
    for name in _LISTS:
        for table in said.get(name, ()):
            lines += ["", f"[[{name}]]"]
            lines += [f"{key} = {_value(value)}" for key, value in table.items() if value]
    return "\n".join(lines) + "\n"


def _value(value: object) -> str:
    """Return a text or a list of texts in TOML, which takes what JSON escapes."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
