"""The files by which others cite, find and check data: one function for each."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import stemzarr
from stemzarr_catalog.citation import CITATION, LICENCES, Citation, Creator, Funding
from stemzarr_catalog.fields import FIELDS
from stemzarr_catalog.intake_yaml import dump_yaml

if TYPE_CHECKING:
    from stemzarr.storage.objects import Readable
    from stemzarr_catalog.entry import Entry

__all__ = ["CITATION_FILES", "SHA256", "citation_files", "list_digests"]

SHA256 = "manifest-sha256.txt"
"""The digests of all files, as BagIt and ``sha256sum`` write them."""
_CRATE, _DATACITE, _CFF, _README = (
    *("ro-crate-metadata.json", "datacite.json"),
    *("CITATION.cff", "README.md"),
)
CITATION_FILES = (CITATION, _CRATE, _DATACITE, _CFF, _README)
"""Names of the files that `citation_files` makes, and that of what it is made from."""

_ORCID = "https://orcid.org/"
_TO_BE_ANNOUNCED = ":tba"
"""What DataCite writes for what is to be said later (its appendix 3)."""


def citation_files(
    citation: Citation, entries: Sequence[Entry], day: dt.date, *, zipped: bool = False
) -> dict[str, str]:
    """Return the texts of the files that describe published data, by their names.

    Parameters
    ----------
    citation
        What ``lake.toml`` says.
    entries
        The entries that are published.
    day
        When they are.
    zipped
        Whether each store is one file beside them, and not a folder below ``stores``.
    """
    return {
        _CRATE: _json(_crate(citation, entries, day, zipped=zipped)),
        _DATACITE: _json(_datacite(citation, entries, day)),
        _CFF: dump_yaml(_cff(citation, day)),
        _README: _readme(citation, entries, zipped=zipped),
    }


def _json(content: object) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _described(citation: Citation, entries: Sequence[Entry]) -> str:
    """Return a description, which catalogues want where people wrote none."""
    kinds = sorted({entry.kind for entry in entries})
    return citation.description or f"Electron microscopy data ({', '.join(kinds)})"


def _crate(
    citation: Citation, entries: Sequence[Entry], day: dt.date, *, zipped: bool
) -> dict[str, Any]:
    """Return an RO-Crate 1.1 (https://www.researchobject.org/ro-crate/specification/1.1/)."""
    parts = [_part(entry, zipped=zipped) for entry in entries]
    people = [_person(creator, number) for number, creator in enumerate(citation.creators)]
    funders = [_funder(one, number) for number, one in enumerate(citation.funding)]
    works = [
        {"@id": f"https://doi.org/{one.doi}", "@type": "CreativeWork", "identifier": one.doi}
        for one in citation.related
    ]
    root: dict[str, Any] = {
        "@id": "./",
        "@type": "Dataset",
        "name": citation.title,
        "description": _described(citation, entries),
        "datePublished": day.isoformat(),
        "license": {"@id": citation.licence_url},
        "author": _ids(people),
        "hasPart": _ids(parts),
        "keywords": list(citation.keywords),
        "funder": _ids(funders),
        "citation": _ids(works),
        "identifier": f"https://doi.org/{citation.doi}" if citation.doi else None,
    }
    licence = {"@id": citation.licence_url, "@type": "CreativeWork", "name": citation.licence}
    about = {
        "@id": _CRATE,
        "@type": "CreativeWork",
        "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
        "about": {"@id": "./"},
    }
    facts = [fact for entry in entries for fact in _facts(entry)]
    said = {key: value for key, value in root.items() if value}
    graph = [about, said, licence, *people, *funders, *works, *parts, *facts]
    return {"@context": "https://w3id.org/ro/crate/1.1/context", "@graph": graph}


def _ids(items: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    return [{"@id": item["@id"]} for item in items]


def _person(creator: Creator, number: int) -> dict[str, Any]:
    if not creator.family:
        return {"@id": f"#creator-{number}", "@type": "Organization", "name": creator.name}
    person = {
        "@id": f"{_ORCID}{creator.orcid}" if creator.orcid else f"#creator-{number}",
        "@type": "Person",
        "name": f"{creator.given} {creator.family}",
        "givenName": creator.given,
        "familyName": creator.family,
    }
    return person | ({"affiliation": creator.affiliation} if creator.affiliation else {})


def _funder(funding: Funding, number: int) -> dict[str, Any]:
    award = {"identifier": funding.award} if funding.award else {}
    return {"@id": f"#funder-{number}", "@type": "Organization", "name": funding.funder, **award}


def _part(entry: Entry, *, zipped: bool) -> dict[str, Any]:
    name = quote(entry.name)
    return {
        "@id": f"{name}.zarr.zip" if zipped else f"stores/{name}.zarr/",
        "@type": "File" if zipped else "Dataset",
        "name": entry.title,
        "description": f"{entry.kind} {_shape(entry)} {entry.dtype}",
        "encodingFormat": "application/vnd+zarr",
        "contentSize": str(entry.stored_bytes),
        "variableMeasured": _ids(list(_facts(entry))),
    }


def _facts(entry: Entry) -> Iterator[dict[str, Any]]:
    for name, value in entry.facts.items():
        field = FIELDS.get(name)
        unit = {"unitText": field.unit} if field is not None and field.unit else {}
        place = f"#{quote(entry.name)}-{quote(name)}"
        yield {"@id": place, "@type": "PropertyValue", "name": name, "value": value, **unit}


def _shape(entry: Entry) -> str:
    return "×".join(map(str, entry.shape))


def _datacite(citation: Citation, entries: Sequence[Entry], day: dt.date) -> dict[str, Any]:
    """Return metadata of DataCite 4 (https://datacite-metadata-schema.readthedocs.io)."""
    rights = {"rights": citation.licence, "rightsUri": citation.licence_url}
    if citation.licence in LICENCES:
        rights |= {"rightsIdentifier": citation.licence, "rightsIdentifierScheme": "SPDX"}
    said: dict[str, Any] = {
        "schemaVersion": "http://datacite.org/schema/kernel-4",
        "doi": citation.doi,
        "types": {"resourceTypeGeneral": "Dataset", "resourceType": "Electron microscopy"},
        "titles": [{"title": citation.title}],
        "creators": [_datacite_creator(creator) for creator in citation.creators],
        "publisher": {"name": citation.publisher or _TO_BE_ANNOUNCED},
        "publicationYear": str(day.year),
        "dates": [{"date": day.isoformat(), "dateType": "Issued"}],
        "subjects": [{"subject": word} for word in citation.keywords],
        "descriptions": [
            {"description": _described(citation, entries), "descriptionType": "Abstract"}
        ],
        "rightsList": [rights],
        "sizes": [f"{sum(entry.stored_bytes for entry in entries)} bytes"],
        "formats": ["application/vnd+zarr"],
        "fundingReferences": [
            {"funderName": one.funder} | ({"awardNumber": one.award} if one.award else {})
            for one in citation.funding
        ],
        "relatedIdentifiers": [
            {
                "relatedIdentifier": one.doi,
                "relatedIdentifierType": "DOI",
                "relationType": one.relation,
            }
            for one in citation.related
        ],
    }
    return {key: value for key, value in said.items() if value}


def _datacite_creator(creator: Creator) -> dict[str, Any]:
    if not creator.family:
        return {"name": creator.name, "nameType": "Organizational"}
    said: dict[str, Any] = {
        "name": f"{creator.family}, {creator.given}",
        "nameType": "Personal",
        "givenName": creator.given,
        "familyName": creator.family,
    }
    if creator.orcid:
        said["nameIdentifiers"] = [
            {
                "nameIdentifier": f"{_ORCID}{creator.orcid}",
                "nameIdentifierScheme": "ORCID",
                "schemeUri": _ORCID.rstrip("/"),
            }
        ]
    return said | ({"affiliation": [{"name": creator.affiliation}]} if creator.affiliation else {})


def _cff(citation: Citation, day: dt.date) -> dict[str, Any]:
    """Return a citation file 1.2.0 (https://citation-file-format.github.io).

    What the data belong to is not in it: it would need authors and title of that, and a DOI among
    its identifiers is taken for the data's own.
    """
    known = citation.licence in LICENCES
    said: dict[str, Any] = {
        "cff-version": "1.2.0",
        "message": "If you use these data, please cite them as below.",
        "type": "dataset",
        "title": citation.title,
        "authors": [_cff_author(creator) for creator in citation.creators],
        "abstract": citation.description,
        "keywords": list(citation.keywords),
        "license": citation.licence if known else None,
        "license-url": None if known else citation.licence,
        "doi": citation.doi,
        "date-released": day.isoformat(),
    }
    return {key: value for key, value in said.items() if value}


def _cff_author(creator: Creator) -> dict[str, str]:
    if not creator.family:
        return {"name": creator.name}
    said = {
        "family-names": creator.family,
        "given-names": creator.given,
        "orcid": f"{_ORCID}{creator.orcid}" if creator.orcid else "",
        "affiliation": creator.affiliation,
    }
    return {key: value for key, value in said.items() if value}


def _readme(citation: Citation, entries: Sequence[Entry], *, zipped: bool) -> str:
    """Return a page for people who find the folder."""
    by = "; ".join(_credit(creator) for creator in citation.creators)
    first = entries[0].name if entries else "NAME"
    related = [f"* {one.relation} https://doi.org/{one.doi}" for one in citation.related]
    paid = [f"* {one.funder}{f', {one.award}' if one.award else ''}" for one in citation.funding]
    rows = [
        f"| {entry.name} | {_cell(entry.title)} | {entry.kind} | {_shape(entry)} | {entry.dtype} |"
        for entry in entries
    ]
    listed = f"`sha256sum -c {SHA256}` compares the files with their SHA-256"
    tools = (
        f"With stemzarr {stemzarr.__version__} or later, `stemzarr show {first}.zarr.zip` reads "
        f"them as they are, and `stemzarr verify {first}.zarr.zip` checks every part; {listed}."
        if zipped
        else f"With stemzarr {stemzarr.__version__} or later, `stemzarr ls --lake .` lists and "
        "searches them here, and `stemzarr verify --all --lake .` checks every file and chunk. "
        f"Where {SHA256} is there, {listed}."
    )
    code = (
        f'import xarray as xr\nimport zarr\n\nstore = zarr.storage.ZipStore("{first}.zarr.zip", '
        'mode="r")\nscan = xr.open_zarr(store)'
        if zipped
        else f'import xarray as xr\n\nscan = xr.open_zarr("stores/{first}.zarr")'
    )
    blocks = [
        f"# {citation.title}",
        by,
        f"Licence: [{citation.licence}]({citation.licence_url})",
        citation.description,
        "\n".join(related),
        "\n".join(["Funded by", "", *paid]) if paid else "",
        "## The data\n\nEach is one Zarr v3 store, which any Zarr library reads.",
        "\n".join(["| name | title | kind | shape | type |", "|---|---|---|---|---|", *rows]),
        f"```python\n{code}\n```",
        tools,
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _credit(creator: Creator) -> str:
    orcid = f" ([{creator.orcid}]({_ORCID}{creator.orcid}))" if creator.orcid else ""
    place = f", {creator.affiliation}" if creator.affiliation else ""
    return f"{creator.given} {creator.family}{orcid}{place}" if creator.family else creator.name


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def list_digests(place: Readable) -> str:
    """Return a line for each object of a published lake: its SHA-256 and its path.

    The form is that of a manifest of BagIt (RFC 8493), which ``sha256sum -c`` checks; the index
    of a lake is left out, since it is written again when it is opened.

    Raises
    ------
    ReadError
        An object cannot be read.
    """
    own = {SHA256, "catalog.sqlite"}
    lines = []
    for key in sorted(key for key in place.list() if key not in own and not key.startswith(".")):
        state = hashlib.sha256()
        for piece in place.stream(key):
            state.update(piece)
        lines.append(f"{state.hexdigest()}  {key}\n")
    return "".join(lines)
