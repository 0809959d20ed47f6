"""Tags from Python values."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from stemzarr.errors import UnsupportedDataError
from stemzarr.formats.dm.tags import ARRAY, BOOLEAN, SIMPLE, STRUCT, TagData

__all__ = ["ByteOrder", "describe_type", "make_data"]

ByteOrder = Literal["<", ">"]

_CODES = {kind: code for code, kind in SIMPLE.items()} | {"b1": BOOLEAN}


def make_data(value: Any, order: ByteOrder) -> TagData:  # noqa: ANN401 - any value
    """Return a tag from text, bytes, a number, a truth value, a tuple or a 1-D array.

    Raises
    ------
    UnsupportedDataError
        The value has no form in a DM file.
    """
    if isinstance(value, str):
        encoding = "utf-16-le" if order == "<" else "utf-16-be"
        value = np.frombuffer(value.encode(encoding), f"{order}u2")
    elif isinstance(value, bytes):
        value = np.frombuffer(value, "u1")
    elif isinstance(value, tuple):
        members = [np.asarray(_typed(member)) for member in value]
        dtype = np.dtype([(f"f{number}", member.dtype) for number, member in enumerate(members)])
        value = np.array(tuple(member.item() for member in members), dtype)[()]
    array = np.asarray(_typed(value))
    if array.ndim > 1:
        raise UnsupportedDataError(f"a tag cannot hold an array of shape {array.shape}")
    array = array.astype(array.dtype.newbyteorder(order))
    count = array.size if array.ndim else None
    info = describe_type(array.dtype)
    return TagData(
        info=info if count is None else (ARRAY, *info, count),
        dtype=_as_stored(array.dtype),
        count=count,
        offset=0,
        payload=array.tobytes(),
    )


def _typed(value: Any) -> Any:  # noqa: ANN401 - any value
    """Give plain Python integers the narrowest of the types that DM uses for them."""
    if isinstance(value, bool) or not isinstance(value, int):
        return value
    for kind in (np.int32, np.uint32, np.int64, np.uint64):
        if np.iinfo(kind).min <= value <= np.iinfo(kind).max:
            return kind(value)
    raise UnsupportedDataError(f"a tag cannot hold the integer {value}")


def _as_stored(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return a type with bytes for truth values, as a reader finds it."""
    if dtype.names is not None:
        members = [
            (f"f{number}", _as_stored(dtype[name])) for number, name in enumerate(dtype.names)
        ]
        return np.dtype(members)
    return np.dtype(np.uint8) if dtype.kind == "b" else dtype


def describe_type(dtype: np.dtype[Any]) -> tuple[int, ...]:
    """Return how a DM file describes a type.

    Raises
    ------
    UnsupportedDataError
        DM has no such type.
    """
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return (ARRAY, *describe_type(base), int(np.prod(shape)))
    if dtype.names is not None:
        members = [(0, *describe_type(dtype[name])) for name in dtype.names]
        return (STRUCT, 0, len(members), *(code for member in members for code in member))
    code = _CODES.get(dtype.str[1:])
    if code is None:
        raise UnsupportedDataError(f"a tag cannot hold values of type {dtype}")
    return (code,)
