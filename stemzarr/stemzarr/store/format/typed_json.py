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
    check: Callable[[Any], list[str]]
    """Returns what is wrong with a value, each message with its place within the value first."""
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
    found = (f"{where}{wrong}".removeprefix(".") for wrong in _rule_of(form).check(value))
    return [f"it{wrong}" if wrong[0] == " " else wrong for wrong in found]


def json_schema(form: Form) -> Any:  # noqa: ANN401 - any JSON
    """Return the JSON Schema (draft 2020-12) of a form."""
    return _rule_of(form).schema


def _not(value: object, words: str) -> list[str]:
    return [f" is {repr(value)[:40]}, not {words}"]


def _leaf(words: str, test: Callable[[Any], bool], schema: Any) -> _Rule:  # noqa: ANN401 - any JSON
    return _Rule(words, lambda value: [] if test(value) else _not(value, words), schema)


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

    def check(value: Any) -> list[str]:  # noqa: ANN401 - any JSON
        if not isinstance(value, list):
            return _not(value, "a list")
        return [f"[{n}]{wrong}" for n, item in enumerate(value) for wrong in each.check(item)]

    return _Rule("a list", check, {"type": "array", "items": each.schema})


def _union(*forms: Form) -> _Rule:
    """Return the rule of alternatives; of an object or a list, the first says what is wrong.

    Python may hand over the alternatives in the order of an equal union that it met before.
    """
    rules = sorted(map(_rule_of, forms), key=lambda rule: ("type" not in rule.schema, rule.words))
    words = " or ".join(rule.words for rule in rules)

    def check(value: Any) -> list[str]:  # noqa: ANN401 - any JSON
        for rule in rules:
            if not rule.check(value):
                return []
        return (isinstance(value, dict | list) and rules[0].check(value)) or _not(value, words)

    return _Rule(words, check, {"anyOf": [rule.schema for rule in rules]})


def _object(form: Form, others: Others = Others(form=Any)) -> _Rule:
    """Return the rule of an object; `form` is its TypedDict, None where no name is known."""
    hints = {} if form is None else get_type_hints(form, include_extras=True)
    always = form is not None and form.__total__
    required = [name for name, hint in hints.items() if always and get_origin(hint) != NotRequired]
    named = {name: _rule_of(hint) for name, hint in [*hints.items(), *others.optional]}
    rest = _rule_of(others.form)
    checks = {name: rule.check for name, rule in named.items()}

    def check_object(value: Any) -> list[str]:  # noqa: ANN401 - any JSON
        if not isinstance(value, dict):
            return _not(value, "an object")
        wrong = [f".{name} is missing" for name in required if name not in value]
        for name, item in value.items():
            check = checks.get(name, rest.check)
            if found := check(item):
                wrong += [f".{name}{each}" for each in found]
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
    return _Rule("an object", check_object, schema)


_BUILDERS: Final[dict[Any, Callable[..., _Rule]]] = {
    Annotated: _annotated,
    Literal: _literal,
    NotRequired: _rule_of,
    list: _list,
    dict: lambda _key, form: _object(None, Others(form=form)),
    Union: _union,
    UnionType: _union,
}
