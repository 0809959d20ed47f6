"""Checks JSON against type hints, and gives the JSON Schema of type hints.

A form is a hint: a TypedDict, a Literal, ``list[…]``, ``dict[str, …]``, a union, ``str``, ``bool``,
``int``, ``float`` (any finite number), `Never` for what must be absent, or one of them annotated
with `Limit` or `Others`. Names that a TypedDict does not list hold anything, unless `Others` says
what.
"""

from __future__ import annotations

import functools
import inspect
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    Never,
    NotRequired,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

__all__ = ["Limit", "Others", "json_schema", "misfits"]

Form = Any
"""A type hint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What a value must be besides its type."""

    most: int | None = None
    """The largest integer; the smallest is 0."""
    pattern: str = ""
    """Regular expression that the whole text matches."""
    meaning: str = ""
    """What the value says, for readers of the schema."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Others:
    """What the names of an object hold that its TypedDict does not list."""

    form: Form
    """Their form; `Never` where there are none."""
    optional: tuple[tuple[str, Form], ...] = ()
    """Names and forms of those among them that are known."""


@dataclass(frozen=True, slots=True)
class _Rule:
    """A form as a function and as a schema."""

    words: str
    """What a value must be, for people."""
    check: Callable[[Any, str], list[str]]
    """Returns what is wrong with a value; each message begins with the place that is given."""
    schema: Any
    """The JSON Schema."""


def misfits(value: Any, form: Form, where: str = "") -> list[str]:  # noqa: ANN401 - any JSON
    """Return where a value has not the form that it must have; empty where it has.

    Parameters
    ----------
    value
        As JSON gives it.
    form
        A type hint; see the top of this module.
    where
        Place of the value, with which each message begins.
    """
    return _rule_of(form).check(value, where)


def json_schema(form: Form) -> Any:  # noqa: ANN401 - any JSON
    """Return the JSON Schema (draft 2020-12) of a form."""
    return _rule_of(form).schema


def _not(value: object, where: str, words: str) -> str:
    return f"{where or 'it'} is {repr(value)[:40]}, not {words}"


def _leaf(words: str, test: Callable[[Any], bool], schema: Any) -> _Rule:  # noqa: ANN401 - any JSON
    def check(value: Any, where: str) -> list[str]:  # noqa: ANN401 - any JSON
        return [] if test(value) else [_not(value, where, words)]

    return _Rule(words, check, schema)


def _is_finite(value: Any) -> bool:  # noqa: ANN401 - any JSON
    try:
        return type(value) in (int, float) and math.isfinite(value)
    except OverflowError:  # an integer beyond all floats
        return False


_LEAVES: Final[dict[Form, _Rule]] = {
    Any: _leaf("anything", lambda _: True, schema=True),
    Never: _leaf("absent", lambda _: False, schema=False),
    NoneType: _leaf("null", lambda value: value is None, {"type": "null"}),
    str: _leaf("text", lambda value: isinstance(value, str), {"type": "string"}),
    bool: _leaf("true or false", lambda value: isinstance(value, bool), {"type": "boolean"}),
    int: _leaf("an integer", lambda value: type(value) is int, {"type": "integer"}),
    float: _leaf("a finite number", _is_finite, {"type": "number"}),
}


@functools.cache
def _rule_of(form: Form) -> _Rule:
    """Return the rule of a form; made once, as every opening of a store uses it."""
    if form in _LEAVES:
        return _LEAVES[form]
    return _object(form) if is_typeddict(form) else _BUILDERS[get_origin(form)](*get_args(form))


def _annotated(form: Form, limit: Limit | Others) -> _Rule:
    return _object(form, limit) if isinstance(limit, Others) else _limited(form, limit)


def _limited(form: Form, limit: Limit) -> _Rule:
    rule = _rule_of(form)
    schema = rule.schema | ({"description": limit.meaning} if limit.meaning else {})
    if limit.pattern:
        fits = re.compile(limit.pattern).fullmatch
        return _leaf(
            f"text like {limit.pattern}",
            lambda value: isinstance(value, str) and fits(value) is not None,
            schema | {"pattern": f"^{limit.pattern}$"},
        )
    most = limit.most
    if most is not None:
        return _leaf(
            f"an integer from 0 to {most}",
            lambda value: type(value) is int and 0 <= value <= most,
            schema | {"minimum": 0, "maximum": most},
        )
    return _Rule(rule.words, rule.check, schema)


def _literal(*values: str | int) -> _Rule:
    words = " or ".join(map(repr, values))
    schema = _LEAVES[type(values[0])].schema | {"enum": [*values]}
    return _leaf(words, lambda value: type(value) in (str, int) and value in values, schema)


def _list(form: Form) -> _Rule:
    each = _rule_of(form)

    def check(value: Any, where: str) -> list[str]:  # noqa: ANN401 - any JSON
        if not isinstance(value, list):
            return [_not(value, where, "a list")]
        return [w for n, item in enumerate(value) for w in each.check(item, f"{where}[{n}]")]

    return _Rule("a list", check, {"type": "array", "items": each.schema})


def _union(*forms: Form) -> _Rule:
    """Return the rule of alternatives; of an object or a list, the first says what is wrong."""
    rules = [_rule_of(form) for form in forms]
    words = " or ".join(rule.words for rule in rules)

    def check(value: Any, where: str) -> list[str]:  # noqa: ANN401 - any JSON
        if any(not rule.check(value, where) for rule in rules):
            return []
        inner = isinstance(value, dict | list) and rules[0].check(value, where)
        return inner or [_not(value, where, words)]

    return _Rule(words, check, {"anyOf": [rule.schema for rule in rules]})


def _object(form: Form, others: Others = Others(form=Any)) -> _Rule:
    """Return the rule of an object; `form` is its TypedDict, None where no name is known."""
    hints = {} if form is None else get_type_hints(form, include_extras=True)
    always = form is not None and form.__total__
    required = [name for name, hint in hints.items() if always and get_origin(hint) != NotRequired]
    named = {name: _rule_of(hint) for name, hint in [*hints.items(), *others.optional]}
    rest = _rule_of(others.form)

    def check(value: Any, where: str) -> list[str]:  # noqa: ANN401 - any JSON
        if not isinstance(value, dict):
            return [_not(value, where, "an object")]
        stem = f"{where}." if where else ""
        wrong = [f"{stem}{name} is missing" for name in required if name not in value]
        for name, item in value.items():
            wrong += named.get(name, rest).check(item, stem + name)
        return wrong

    schema: dict[str, Any] = {"type": "object"}
    if form is not None:
        schema["description"] = inspect.getdoc(form)
    if required:
        schema["required"] = required
    if named:
        schema["properties"] = {name: rule.schema for name, rule in named.items()}
    if rest.schema is not True:
        schema["additionalProperties"] = rest.schema
    return _Rule("an object", check, schema)


_BUILDERS: Final[dict[Any, Callable[..., _Rule]]] = {
    Annotated: _annotated,
    Literal: _literal,
    NotRequired: _rule_of,
    list: _list,
    dict: lambda _key, form: _object(None, Others(form=form)),
    Union: _union,
    UnionType: _union,
}
