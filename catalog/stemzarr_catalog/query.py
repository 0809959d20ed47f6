"""The language of queries: from text to a tree, without regard to any index.

::

    query      = and-group {"or" and-group}
    and-group  = not-term {["and"] not-term}
    not-term   = ["not"] ( "(" query ")" | term )
    term       = field op value | "tag:" path [op value] | "document:" field op value
               | "has:" result | word | "quoted words"
    op         = "=" "==" "!=" "<" "<=" ">" ">=" "~" "!~"
    value      = text without blanks | "quoted text" | value,value…      (any of them)

Terms that stand side by side must all be true. ``~`` means contains; ``*`` in a value of ``=``
stands for any text; ``field=""`` finds entries where the field is not known.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from stemzarr.errors import QueryError
from stemzarr.metadata.units import spell_unit
from stemzarr_catalog.fields import field_of

__all__ = ["And", "Comparison", "Not", "Operator", "Or", "Query", "Words", "parse_query"]

Operator = Literal["=", "!=", "<", "<=", ">", ">=", "~", "!~", "known"]


@dataclass(frozen=True, slots=True)
class Words:
    """A word, or quoted words, anywhere in an entry."""

    text: str
    """What was written."""
    quoted: bool
    """Whether it must match exactly; otherwise words that begin like it are found too."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A field beside a value."""

    scope: Literal["entry", "tag", "document", "result"]
    """Whether a field of the entry, a tag of its source, a field of any of its documents, or a
    result that was added to it."""
    field: str
    """Name of the field or result, or path of the tag."""
    operator: Operator
    """How they compare; ``known`` has no value."""
    values: tuple[str, ...]
    """What was written; one of several values must fit."""


@dataclass(frozen=True, slots=True)
class And:
    """All parts are true."""

    parts: tuple[Query, ...]
    """The parts; none at all is true of every entry."""


@dataclass(frozen=True, slots=True)
class Or:
    """One part or more is true."""

    parts: tuple[Query, ...]
    """The parts, two or more."""


@dataclass(frozen=True, slots=True)
class Not:
    """The part is not true; what is not known is not true either."""

    part: Query
    """What is denied."""


Query = Words | Comparison | And | Or | Not

_OPERATOR = r"==|!=|<=|>=|!~|=|<|>|~"
_SIGNS = re.compile(r"[=!<>~:&|]{1,3}")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"|\'((?:[^\'\\]|\\.)*)\'', re.DOTALL)
_BARE = re.compile(r"[^\s()\"'=<>~!,]+(?:'[^\s()\"'=<>~!,]+)*")
_PLAIN_VALUE = re.compile(r"[^\s()\"',]+(?:'[^\s()\"',]+)*")
_FIELD = re.compile(r"([^\W\d][\w.]*)\s*(?=[=!<>~])")
_TAG_PATH = re.compile(r"(?:[^=!<>~()\"']|\([^()\"']*\))*?(?=\s*[=!<>~])")
_TAG_NAME = re.compile(r"(?:[^\s()\"',]|\([^\s()\"']*\))+")
_BARE_NUMBER = re.compile(r"[-+.\deE]*\d\.?")
_WORD = re.compile(r"[^\s()]+")
_COLON = re.compile(r"([^\W\d]\w*):(.+)")
_DEEPEST = 100


def parse_query(text: str) -> Query:
    """Return the tree of a query; an empty one is true of every entry.

    Raises
    ------
    QueryError
        The text cannot be understood; the message points at the place.

    Examples
    --------
    >>> parse_query("kind=4d-stem SrTiO3").parts[1]
    Words(text='SrTiO3', quoted=False)
    """
    # SQLite ends a text at NUL, and cannot hold half of a surrogate pair.
    parser = _Parser(text.replace("\0", " ").encode(errors="replace").decode())
    parser.skip_blanks()
    if parser.at_end():
        return And(())
    query = parser.either(0)
    if not parser.at_end():
        raise parser.error("there is one ')' too many", "remove it")
    return query


class _Parser:
    """A place in a text, and what is read from it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.place = 0

    def at_end(self) -> bool:
        return self.place >= len(self.text)

    def error(self, message: str, hint: str) -> QueryError:
        before = self.text[: self.place]
        where = f" after {before.strip()[-40:]!r}" if before.strip() else ""
        return QueryError(f"{message}{where} in the query", hint=hint)

    def skip_blanks(self) -> None:
        while not self.at_end() and self.text[self.place].isspace():
            self.place += 1

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Read what fits `pattern` here, and the blanks behind it."""
        match = pattern.match(self.text, self.place)
        if match is not None:
            self.place = match.end()
            self.skip_blanks()
        return match

    def take_word(self, word: str) -> bool:
        return self.take(re.compile(rf"{word}(?=[\s()]|$)", re.IGNORECASE)) is not None

    def take_sign(self, sign: str) -> bool:
        return self.take(re.compile(re.escape(sign))) is not None

    def either(self, depth: int) -> Query:
        parts = [self.all_of(depth)]
        while self.take_word("or"):
            parts.append(self.all_of(depth))
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def all_of(self, depth: int) -> Query:
        parts = [self.denied(depth)]
        while not self.at_end() and self.text[self.place] != ")":
            if re.compile(r"or(?=[\s()]|$)", re.IGNORECASE).match(self.text, self.place):
                break
            self.take_word("and")
            parts.append(self.denied(depth))
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def denied(self, depth: int) -> Query:
        if depth > _DEEPEST:
            raise self.error("too many nested brackets", "simplify the query")
        if self.take_word("not"):
            return Not(self.denied(depth + 1))
        if self.take_sign("("):
            query = self.either(depth + 1)
            if not self.take_sign(")"):
                raise self.error("a ')' is missing", "close the bracket")
            return query
        return self.term()

    def term(self) -> Query:
        if self.at_end() or self.text[self.place] == ")":
            raise self.error("something is missing", "write a word or a comparison")
        if self.take(re.compile(r"tag:", re.IGNORECASE)):
            return self.tag()
        if self.take(re.compile(r"has:", re.IGNORECASE)):
            return self.result()
        scope: Literal["entry", "document"] = "entry"
        if self.take(re.compile(r"document:", re.IGNORECASE)):
            scope = "document"
        field = self.take(_FIELD)
        if field is not None:
            operator, values = self.operator(), self.values()
            return Comparison(scope, field[1], operator, self.with_unit(field[1], values))
        if scope == "document":
            raise self.error("a field is missing", "write document:kind=image")
        return self.words()

    def tag(self) -> Query:
        quoted = self.take(_QUOTED)
        path = _unquote(quoted) if quoted else None
        if path is None:
            match = self.take(_TAG_PATH) or self.take(_TAG_NAME)
            path = match[0].strip() if match else ""
        if not path:
            raise self.error("a path is missing", "write tag:Microscope Info.Voltage>2e5")
        if self.at_end() or self.text[self.place] not in "=!<>~":
            return Comparison("tag", path, "known", ())
        return Comparison("tag", path, self.operator(), self.values())

    def result(self) -> Query:
        quoted = self.take_quoted()
        match = None if quoted is not None else self.take(_TAG_NAME)
        name = quoted or (match[0] if match else "")
        if not name:
            raise self.error("the name of a result is missing", "write has:phase")
        return Comparison("result", name, "known", ())

    def operator(self) -> Operator:
        start = self.place
        match = self.take(_SIGNS)
        found = match[0] if match else self.text[start : start + 1]
        if re.fullmatch(_OPERATOR, found) is None:
            self.place = start
            nearest = {"=<": "<=", "=>": ">=", "=~": "~", "<>": "!=", "!": "!=", "~=": "~"}
            hint = f"did you mean {nearest.get(found, '=')}"
            raise self.error(f"{found!r} is not an operator", f"{hint}; known: = != < <= > >= ~ !~")
        return "=" if found == "==" else found  # type: ignore[return-value]

    def values(self) -> tuple[str, ...]:
        values = [self.value()]
        while not self.at_end() and self.take_sign(","):
            values.append(self.value())
        return tuple(values)

    def with_unit(self, name: str, values: tuple[str, ...]) -> tuple[str, ...]:
        """Add the unit that follows a blank after a number: as a word it would mean nothing."""
        field = field_of(name)
        found = _WORD.match(self.text, self.place)
        if field is None or found is None or not _BARE_NUMBER.fullmatch(values[-1]):
            return values
        if spell_unit(found[0], field.unit) is None:
            return values
        self.take(_WORD)
        return (*values[:-1], f"{values[-1]}{found[0]}")

    def value(self) -> str:
        quoted = self.take_quoted()
        if quoted is not None:
            return quoted
        match = _PLAIN_VALUE.match(self.text, self.place)
        if match is None:
            raise self.error("a value is missing", 'write one; "" means not known')
        self.place = match.end()
        if not self.text.startswith(",", self.place):
            self.skip_blanks()
        return match[0]

    def take_quoted(self) -> str | None:
        match = self.take(_QUOTED)
        if match is not None:
            return _unquote(match)
        if not self.at_end() and self.text[self.place] in "\"'":
            raise self.error("a quote is not closed", "close it")
        return None

    def words(self) -> Words:
        quoted = self.take_quoted()
        if quoted is not None:
            return Words(quoted, quoted=True)
        match = self.take(_BARE)
        if match is not None and match[0].lower() in ("and", "or"):
            hint = "write a word or a comparison, or quote the word"
            raise QueryError(f"something is missing before {match[0]!r} in the query", hint=hint)
        if match is not None and (colon := _COLON.fullmatch(match[0])) and field_of(colon[1]):
            hint = f"did you mean {colon[1]}={colon[2]}; quote the text to search for it"
            raise QueryError(f"{match[0]!r} is not a comparison", hint=hint)
        if match is not None:
            return Words(match[0], quoted=False)
        sign = self.text[self.place]
        raise self.error(f"{sign!r} stands alone", "write a field before it, or quote the text")


def _unquote(match: re.Match[str]) -> str:
    text = match[1] if match[1] is not None else match[2]
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)
