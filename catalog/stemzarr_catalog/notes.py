"""What people add to an entry: tags, a remark, own fields, and which exports were made."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from stemzarr.errors import CorruptFileError, OptionError
from stemzarr.storage.files import remove_file
from stemzarr.storage.local import put_text
from stemzarr.storage.reasons import writing
from stemzarr_catalog.fields import FIELDS, RESERVED, field_of

if TYPE_CHECKING:
    from stemzarr.model import Fact

__all__ = ["Notes", "read_notes", "render_notes", "write_notes"]

_FIELD_NAME = re.compile(r"[^\W\d][\w.]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Notes:
    """What a person added to one entry; never part of the store.

    Raises
    ------
    OptionError
        A tag is not a word, or the name of a field is not valid or taken.
    """

    tags: tuple[str, ...] = ()
    """Words that mark the entry."""
    remark: str = ""
    """Free text."""
    fields: Mapping[str, Fact] = field(default_factory=dict)
    """Own fields, which queries know like the built-in ones."""
    exports: tuple[Mapping[str, Any], ...] = ()
    """Records of the exports that were made, oldest first."""
    formerly: tuple[str, ...] = ()
    """Names that the entry had before, oldest first: exports may say them."""

    def __post_init__(self) -> None:
        """Refuse what no query could name."""
        for tag in self.tags:
            if not tag.strip() or any(not character.isprintable() for character in tag):
                raise OptionError(f"{tag!r} is not a tag", hint="a tag is a word")
        for name in self.fields:
            if _FIELD_NAME.fullmatch(name) is None:
                hint = "a letter, then letters, digits, '_' and '.'"
                raise OptionError(f"{name!r} cannot name a field", hint=hint)
            if name in FIELDS:
                hint = "stemzarr calibrate revises facts; choose another name for a field"
                raise OptionError(f"{name} is a field of the store", hint=hint)

    def changed(
        self,
        tags: Iterable[str],
        remove: Iterable[str],
        remark: str | None,
        fields: Mapping[str, Fact | None],
    ) -> Self:
        """Return the notes with tags added and removed, another remark, and fields set.

        Tags are compared without case; None leaves the remark, and takes a field away.

        Raises
        ------
        OptionError
            A tag, or the name of a field, is one that no query could name; or a value is neither
            text nor a number.
        """
        gone = {tag.casefold() for tag in remove}
        kept = {tag.casefold(): tag for tag in (*self.tags, *tags)}
        for name, value in fields.items():
            if value is not None:
                _check_new_field(name)
        own = {**self.fields, **{name: _plain_value(name, v) for name, v in fields.items()}}
        return dataclasses.replace(
            self,
            tags=tuple(tag for lower, tag in kept.items() if lower not in gone),
            remark=self.remark if remark is None else remark,
            fields={key: value for key, value in own.items() if value is not None},
        )

    def json(self) -> dict[str, Any]:
        """Return what the file holds."""
        said = {
            "tags": list(self.tags),
            "remark": self.remark,
            "fields": dict(self.fields),
            "exports": [dict(record) for record in self.exports],
        }
        return said | ({"formerly": list(self.formerly)} if self.formerly else {})

    @classmethod
    def from_json(cls, read: Mapping[str, Any]) -> Self:
        """Return what a file holds; all that is missing in it is empty."""
        return cls(
            tags=tuple(map(str, read.get("tags", ()))),
            remark=str(read.get("remark", "")),
            fields=dict(read.get("fields", {})),
            exports=tuple(dict(record) for record in read.get("exports", ())),
            formerly=tuple(map(str, read.get("formerly", ()))),
        )


def _check_new_field(name: str) -> None:
    """Refuse a name by which a query or a table means something else."""
    field, hint = field_of(name), "choose another name"
    if field is not None and name not in FIELDS:
        raise OptionError(f"in queries {name} means {field.name}", hint=hint)
    if name.lower() in RESERVED:
        raise OptionError(f"{name} is a column of the table of entries", hint=hint)


def _plain_value(name: str, value: object) -> Fact | None:
    """Return a value as JSON holds it: of numpy and pandas come numbers of their own."""
    plain = value.item() if hasattr(value, "item") else value
    if plain is None or isinstance(plain, str | int):
        return plain
    if isinstance(plain, float) and math.isfinite(plain):
        return plain
    raise OptionError(f"{name} is {value!r}", hint="give a text or a finite number")


def read_notes(path: Path) -> Notes:
    """Read what people added; no file means nothing.

    Raises
    ------
    CorruptFileError
        The file is not JSON of this form.
    """
    try:
        return Notes.from_json(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return Notes()
    except (ValueError, TypeError, AttributeError) as error:
        hint = "correct it in an editor, or remove it"
        raise CorruptFileError(f"is not a file of notes: {error}", path=path, hint=hint) from error


def write_notes(path: Path, notes: Notes) -> None:
    """Replace what people added; notes that say nothing leave no file."""
    if notes == Notes():
        with writing(path):
            remove_file(path)
        return
    put_text(path, render_notes(notes))


def render_notes(notes: Notes) -> str:
    """Return the text of a file of notes."""
    return json.dumps(notes.json(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
