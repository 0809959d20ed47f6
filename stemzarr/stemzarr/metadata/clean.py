"""Metadata of any origin as clean JSON: finite numbers, strings, lists and objects."""

from __future__ import annotations

import base64
import datetime as dt
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

__all__ = ["clean_json", "clean_text"]

_DEEPEST = 64
_MOST_VALUES = 2**20


def clean_json(tree: object) -> Any:  # noqa: ANN401 - JSON has no type of its own
    """Return `tree` as what JSON can say, with nothing that strict parsers refuse.

    Parameters
    ----------
    tree
        Mappings, sequences, numpy arrays and scalars, text, bytes, dates, numbers.

    Returns
    -------
    dict, list, str, int, float, bool or None
        NaN and infinities become the strings ``NaN``, ``Infinity`` and ``-Infinity``; bytes
        become text where they are UTF-8, else ``{"base64": …}``; complex numbers become
        ``{"real": …, "imag": …}``, dates ISO 8601, tuples and arrays lists. An array of more
        than 2**20 values is described by shape and dtype. Anything else becomes its `str`.

    Examples
    --------
    >>> clean_json({"gain": float("nan"), 1: (b"on", 2j)})
    {'gain': 'NaN', '1': ['on', {'real': 0.0, 'imag': 2.0}]}
    """
    return _clean(tree, 0)


def clean_text(text: str) -> str:
    """Return text that UTF-8 can carry: lone surrogates are written out, NUL ends are cut."""
    return text.rstrip("\x00").encode("utf-8", "backslashreplace").decode("utf-8")


def _clean(value: object, depth: int) -> Any:  # noqa: ANN401 - JSON has no type of its own
    if depth > _DEEPEST:
        return clean_text(f"… {type(value).__name__} below {_DEEPEST} levels")
    for types, convert in _CONVERTERS:
        if isinstance(value, types):
            return convert(value, depth)
    return clean_text(str(value))


def _clean_float(value: float, _depth: int) -> float | str:
    if math.isfinite(value):
        return float(value)
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _clean_complex(value: complex, depth: int) -> dict[str, Any]:
    return {"real": _clean_float(value.real, depth), "imag": _clean_float(value.imag, depth)}


def _clean_bytes(value: bytes, _depth: int) -> str | dict[str, str]:
    try:
        return value.rstrip(b"\x00").decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode("ascii")}


def _clean_mapping(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    cleaned: dict[str, Any] = {}
    for key, item in value.items():
        name = clean_text(key if isinstance(key, str) else str(key))
        while name in cleaned:
            name += "'"
        cleaned[name] = _clean(item, depth + 1)
    return cleaned


def _clean_items(value: Iterable[Any], depth: int) -> list[Any]:
    return [_clean(item, depth + 1) for item in value]


def _clean_array(value: np.ndarray[Any, Any], depth: int) -> Any:  # noqa: ANN401 - any JSON
    if value.size > _MOST_VALUES:
        return {"shape": list(value.shape), "dtype": str(value.dtype)}
    kind, long = value.dtype.kind, value.dtype.itemsize > np.dtype("f8").itemsize
    plain = kind in "iub" or (kind == "f" and not long and np.isfinite(value).all())
    return value.tolist() if plain else _clean(value.tolist(), depth + 1)


def _clean_scalar(value: np.generic, depth: int) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, (np.datetime64, np.timedelta64)):
        return str(value)
    item = value.item()
    # long doubles and unnamed voids give themselves back
    return str(value) if isinstance(item, np.generic) else _clean(item, depth + 1)


_CONVERTERS: tuple[tuple[type | tuple[type, ...], Callable[[Any, int], Any]], ...] = (
    (type(None), lambda _value, _depth: None),
    (np.generic, _clean_scalar),
    (str, lambda value, _depth: clean_text(str(value))),
    (bool, lambda value, _depth: value),
    (int, lambda value, _depth: int(value)),
    (float, _clean_float),
    (complex, _clean_complex),
    ((bytes, bytearray, memoryview), lambda value, depth: _clean_bytes(bytes(value), depth)),
    (Mapping, _clean_mapping),
    ((list, tuple, set, frozenset), _clean_items),
    (np.ndarray, _clean_array),
    (
        (dt.datetime, dt.date, dt.time),
        lambda value, _depth: value.isoformat(),
    ),
)
