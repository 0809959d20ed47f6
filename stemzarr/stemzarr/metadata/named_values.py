"""Named values within one text: JSON, XML, and lines of names and values."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["NamedValue", "find_named_values", "parse_json"]

_LONGEST: Final = 16 * 1024**2
"""Longer texts are no record of an acquisition."""
_ATTRIBUTE: Final = re.compile(r"([\w:.-]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")
_MARKUP: Final = re.compile(
    r"<(?P<end>/?)(?P<name>[A-Za-z_][\w:.-]*)(?P<rest>(?:[^<>\"']|\"[^\"]*\"|'[^']*')*)>"
    r"|<!\[CDATA\[(?P<raw>.*?)\]\]>|(?P<text>[^<]+)",
    re.DOTALL,
)
_LINE: Final = re.compile(
    r"^[ \t#;*\[\"]*([A-Za-z][^:=\n\r]{0,80})[:=][ \t]*(\S(?:.*\S)?)", re.MULTILINE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedValue:
    """One value of a text, and where it is."""

    names: tuple[str, ...]
    """Names that it is below, the outermost first."""
    value: str
    """What is said."""
    start: int
    """Place of its first letter in the text."""
    stop: int
    """Place behind its last one."""


def parse_json(text: str) -> Any:  # noqa: ANN401 - any JSON
    """Return the mapping or list that a text is; None where it is neither.

    Examples
    --------
    >>> parse_json('{"operator": "Ann"}'), parse_json("Ann")
    ({'operator': 'Ann'}, None)
    """
    if text.lstrip()[:1] not in ("{", "[") or len(text) > _LONGEST:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict | list) else None


def find_named_values(text: str) -> Iterator[NamedValue]:
    """Yield the named values of XML, or of lines such as ``Operator = Ann``.

    Examples
    --------
    >>> [(one.names, one.value) for one in find_named_values('<a b="1"><c>2</c></a>')]
    [(('a', 'b'), '1'), (('a', 'c'), '2')]
    >>> [(one.names, one.value) for one in find_named_values("Operator: Ann")]
    [(('Operator',), 'Ann')]
    """
    if len(text) > _LONGEST:
        return
    if text.lstrip("\ufeff \t\r\n")[:1] == "<":
        yield from _markup(text)
        return
    for line in _LINE.finditer(text):
        yield NamedValue(
            names=(line[1].rstrip(' \t]"'),),
            value=line[2].strip("\"'"),
            start=line.start(2),
            stop=line.end(2),
        )


def _markup(text: str) -> Iterator[NamedValue]:
    above: list[str] = []
    for found in _MARKUP.finditer(text):
        name = found["name"]
        if name is None:
            group = "raw" if found["raw"] is not None else "text"
            value = html.unescape(found[group]).strip()
            if above and value:
                start, stop = found.span(group)
                yield NamedValue(names=tuple(above), value=value, start=start, stop=stop)
        elif found["end"]:
            if name in above:
                del above[len(above) - 1 - above[::-1].index(name) :]
        else:
            yield from _attributes(found, (*above, name))
            if not found["rest"].endswith("/"):
                above.append(name)


def _attributes(element: re.Match[str], names: tuple[str, ...]) -> Iterator[NamedValue]:
    first = element.start("rest")
    for found in _ATTRIBUTE.finditer(element["rest"]):
        group = 2 if found[2] is not None else 3
        value = html.unescape(found[group]).strip()
        if value:
            start, stop = found.span(group)
            yield NamedValue(
                names=(*names, found[1]), value=value, start=first + start, stop=first + stop
            )
