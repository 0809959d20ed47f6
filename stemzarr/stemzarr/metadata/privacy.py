"""What is personal: names of facts and tags, and paths in any text."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stemzarr.metadata.named_values import find_named_values, parse_json

__all__ = [
    "Redactor",
    "find_secrets",
    "is_path",
    "is_personal",
    "strip_paths",
    "user_names",
]

_PERSONS = frozenset(
    {
        *("operator", "operators", "specimen", "specimens", "user", "users", "username"),
        *("author", "authors", "owner", "owners", "customer", "creator", "creators", "email"),
        *("mail", "institution", "institute", "affiliation", "organization", "organisation"),
        *("laboratory", "login", "account", "sessionid", "microscopist", "microscopists"),
        *("experimenter", "experimenters", "experimentalist", "investigator", "investigators"),
        *("researcher", "researchers", "scientist", "scientists", "analyst", "artist"),
        *("contributor", "contributors", "submitter", "proposer", "supervisor", "student"),
        *("technician", "collaborators", "person", "persons", "people", "orcid", "phone"),
    }
)
"""Words of a tag's name whose values are removed, and removed wherever else they are."""
_PLACES = frozenset(
    {
        *("path", "paths", "filepath", "folder", "folders", "directory", "directories", "dir"),
        *("print", "printer", "printing", "computer", "hostname", "host", "comment", "comments"),
        *("remark", "remarks", "note", "notes", "copyright", "address"),
    }
)
"""Words of a tag's name whose values are removed there."""
_ALONE = frozenset({"session", "sample", "contact"})
"""Words that name a person, a specimen or a session where no other word says something else."""
_BESIDE = frozenset(
    {"name", "names", "id", "full", "first", "last", "given", "family", "text", "label", "info"}
)
"""Words that may be beside them where the value is a name, not a group of settings."""
_PARTS = re.compile(
    r"path|folder|director|print|operator|specimen|user ?name|sample ?name", re.IGNORECASE
)
"""The same as parts of words, as in ``OriginalFilePath``."""
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")

_ROOTS = (
    "home|homes|Users|user|users|mnt|media|data|Volumes|root|tmp|var|private|run|opt|srv|scratch|nfs"
    "|net|gpfs|lustre|afs|beegfs|projects?|work|global|cluster|storage|export|shared?|usr|cygdrive"
    "|Applications|Library|workspace"
)
_TEXT = r"[^'\"<>|,;\n\r\t)\]}]"
_PATHS = re.compile(
    rf"(?:file:/+{_TEXT}+|(?<![A-Za-z])[A-Za-z]:[\\/]+{_TEXT}+|\\\\+[^\s\\]+\\{_TEXT}*"
    rf"|(?<![:\w/.])//[\w.-]+/{_TEXT}*|(?<![\w.])~\w*/{_TEXT}+"
    rf"|(?<![\w/.])/(?:{_ROOTS})/{_TEXT}+)"
)
_WHOLE = re.compile(
    r"(?:file:/+|[A-Za-z]:[\\/]|\\\\|//\w|~\w*[\\/]|/(?:[^/\x00]+/)+)[^\x00]*", re.DOTALL
)
_ANY = re.compile(r"(?<![\w/.:])/(?:[^\s/'\"<>:]+/)+[^\s/'\"<>:,;)\]}]+")
_LEAST = 4
_NOBODY = frozenset({"true", "false", "none", "null", "default", "unknown"})
"""What is under the name of a person and is nobody's."""
REDACTED = "[redacted]"
"""What is in the place of a text that was removed."""


def is_path(text: str) -> bool:
    r"""Return whether a text looks like an absolute path of any system.

    Examples
    --------
    >>> [is_path(text) for text in (r"C:\data", "/home/ann/x.dm4", r"\\server\x", "1/nm", "a/b")]
    [True, True, True, False, False]
    """
    return _WHOLE.fullmatch(text.strip()) is not None


def user_names(path: str) -> list[str]:
    r"""Return the name of the person in whose home a path is, if it is in one.

    Examples
    --------
    >>> user_names("/home/somebody/x.dm4"), user_names(r"C:\Users\Ann Smith\x.dm4")
    (['somebody'], ['Ann Smith'])
    """
    return re.findall(r"[\\/](?:home|homes|Users)[\\/]+([^\\/]+)[\\/]", path)


def _words(name: str) -> set[str]:
    return {word.lower() for word in _WORD.findall(name)}


def is_personal(name: str) -> bool:
    """Return whether a tag of this name says who, of what, or where on which machine."""
    words = _words(name)
    if words & (_PERSONS | _PLACES) or _PARTS.search(name) is not None:
        return True
    return _stands_alone(words)


def _stands_alone(words: set[str]) -> bool:
    return bool(words & _ALONE) and words <= _ALONE | _BESIDE - {"info"} | {"metadata"}


def _names_person(name: str) -> bool:
    words = _words(name)
    if _stands_alone(words) or {"sample", "name"} <= words:
        return True
    return bool(words & _PERSONS) and words <= _PERSONS | _BESIDE


def find_secrets(value: Any, *, inside: bool = False) -> Iterator[str]:  # noqa: ANN401 - any JSON
    """Yield the texts of a tag tree that name a person, a specimen or a session."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            below = _names_person(key) or (inside and _words(key) <= _BESIDE)
            yield from find_secrets(item, inside=below)
    elif isinstance(value, list):
        for item in value:
            yield from find_secrets(item, inside=inside)
    elif isinstance(value, str):
        if inside and not is_path(value):
            yield value.strip()
        yield from _secrets_within(value)


def _secrets_within(text: str) -> Iterator[str]:
    """Yield the same of what is within one text."""
    found = parse_json(text)
    if found is not None:
        yield from find_secrets(found)
        return
    for one in find_named_values(text):
        named = [_names_person(name) for name in one.names]
        below = any(named[:-1]) and _words(one.names[-1]) <= _BESIDE
        if (named[-1] or below) and not is_path(one.value):
            yield one.value


@dataclass(frozen=True, slots=True)
class Redactor:
    """Removes texts that are secret, and paths, from anything that JSON can hold."""

    secrets: tuple[str, ...]
    """Names of persons, specimens and sessions; those under four characters are found as words
    of their own in too many places, and only removed under their own names."""

    def text(self, text: str) -> str:
        """Return a text without secrets and paths."""
        cleaned = _PATHS.sub(REDACTED, text)
        pattern = self._pattern()
        return cleaned if pattern is None else pattern.sub(REDACTED, cleaned)

    def _pattern(self) -> re.Pattern[str] | None:
        stripped = {secret.strip() for secret in self.secrets}
        known = {one for one in stripped if len(one) >= _LEAST and one.lower() not in _NOBODY}
        if not known:
            return None
        longest = sorted(known, key=lambda secret: (-len(secret), secret))
        choices = "|".join(map(_in_any_form, longest))
        return re.compile(rf"(?<![^\W_])(?:{choices})(?![^\W_])", re.IGNORECASE)

    def texts(self, value: Any) -> Any:  # noqa: ANN401 - any JSON
        """Return a value whose texts hold no secret; nothing is left out."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {key: self.texts(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.texts(item) for item in value]
        return value

    def find(
        self,
        value: Any,  # noqa: ANN401 - any JSON
        name: str = "",
        *,
        inside: bool = False,
    ) -> Iterator[tuple[str, str]]:
        """Yield name and text of every text that `tree` leaves out or changes, names too."""
        if isinstance(value, Mapping):
            for key, item in value.items():
                if self.text(key) != key:
                    yield "", key
                yield from self.find(item, key, inside=inside or is_personal(key))
        elif isinstance(value, list):
            for item in value:
                yield from self.find(item, name, inside=inside)
        elif (
            isinstance(value, str)
            and value
            and (inside or is_path(value) or self._within(value) != value)
        ):
            yield name, value

    def tree(self, value: Any) -> Any:  # noqa: ANN401 - any JSON
        """Return a tag tree without what is personal, and without secrets elsewhere in it."""
        if isinstance(value, Mapping):
            return {
                self.text(key): self.tree(item)
                for key, item in value.items()
                if not (is_personal(key) and _says_something(key, item)) and not _is_secret(item)
            }
        if isinstance(value, list):
            return [self.tree(item) for item in value if not _is_secret(item)]
        return self._within(value) if isinstance(value, str) else value

    def _within(self, text: str) -> str:
        """Return a text without what is personal by the names within it, and without secrets."""
        found = parse_json(text)
        if found is not None:
            cleaned = self.tree(found)
            return text if cleaned == found else json.dumps(cleaned, ensure_ascii=False)
        places = [
            (one.start, one.stop)
            for one in find_named_values(text)
            if is_path(one.value) or any(map(is_personal, one.names))
        ]
        for start, stop in reversed(places):
            text = text[:start] + REDACTED + text[stop:]
        return self.text(text)


def _in_any_form(name: str) -> str:
    """Return a pattern of a name whose words may be joined, as in the name of a file."""
    return r"[\W_]{1,3}".join(map(re.escape, re.split(r"[\s_]+", name)))


def _says_something(name: str, value: object) -> bool:
    """Return whether a tag of a personal name is one: a number of samples is not."""
    return not (isinstance(value, int | float) and _stands_alone(_words(name)))


def _is_secret(value: object) -> bool:
    return isinstance(value, str) and is_path(value)


def strip_paths(text: str, path: Path) -> str:
    """Return a note without paths of this machine: names alone are left of them.

    Parameters
    ----------
    text
        The note, of a reader or of a library that it calls.
    path
        The source that it is about.
    """
    if "/" not in text and "\\" not in text:
        return text
    for place in _forms([path, path.absolute(), Path(os.path.realpath(path))]):
        text = text.replace(place, path.name)
    above = [*path.absolute().parents, *Path(os.path.realpath(path)).parents]
    for place in _forms(
        parent for parent in [*above, Path.cwd(), Path.home()] if len(parent.parts) > 1
    ):
        text = text.replace(f"{place}/", "").replace(f"{place}\\", "").replace(place, "")
    return _ANY.sub(_name_alone, text)


def _forms(paths: Iterable[Path]) -> list[str]:
    """Return the texts by which a library may name paths, the longest first."""
    texts = {form for path in paths for form in (str(path), repr(str(path))[1:-1], path.as_posix())}
    return sorted((text for text in texts if Path(text).is_absolute()), key=len, reverse=True)


def _name_alone(match: re.Match[str]) -> str:
    """Return the last part of what is a path on this machine, of all else everything."""
    try:
        is_here = Path(match[0]).parent.exists()
    except OSError:
        is_here = False
    return match[0].rpartition("/")[2] if is_here else match[0]
