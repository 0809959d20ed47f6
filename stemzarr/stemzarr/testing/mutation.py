"""Damaged files for tests: mutations that know where the numbers of a format are.

Bytes flipped at random rarely reach what is behind the first check. These mutations know the
fields of a DM file (counts, lengths, types, sizes, names) and the nodes of JSON, and put there
what parsers stumble over: zero, one too many, the largest number, another type.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import json
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

__all__ = ["dm_fields", "mutate_bytes", "mutate_dm", "mutate_json"]

_KNOWN = 512
_GROUP, _STRUCT, _ARRAY = 20, 15, 20
_DM4 = 4
_WIDTHS: Final = {2: 2, 3: 4, 4: 2, 5: 4, 6: 4, 7: 8, 8: 1, 9: 1, 10: 1, 11: 8, 12: 8}
_CODES: Final = (0, 1, *_WIDTHS, 13, 14, 15, 16, 18, 20, 21, 255)
_EDGES: Final = (
    0, 1, 2, 3, 4, 7, 8, 16, 23, 27, 28, 39, 63, 64, 65, 127, 128, 255, 256, 65535, 65536, 65537,
    10**6, 10**6 + 1, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**62, 2**63 - 1, 2**63,
    2**64 - 1,
)  # fmt: skip
_NAMES: Final = (
    b"", b"ImageList", b"ImageData", b"Data", b"DataType", b"Dimensions", b"Dimension",
    b"PixelDepth", b"Calibrations", b"Brightness", b"Scale", b"Origin", b"Units", b"ImageTags",
    b"Meta Data", b"Data Order Swapped", b"Format", b"Thumbnails", b"ImageIndex", b"UniqueID",
    b"SI", b"Acquisition", b"Spatial Sampling", b"4D STEM Tags", b"Scan shape X", b"Scan shape Y",
    b"Name", b"a.b", b"\xb5\xff", b"Microscope Info", b"Voltage", b"DigiScan", b"Survey Image",
    b"Last pixel", b"Height (pixels)",
)  # fmt: skip
_TEXTS: Final = (
    b"", b"\x00", b"\xff" * 8, b"\x00\xd8", b"\xb5\x00m\x00", b"1\x00/\x00n\x00m\x00",
    b"\x1b\x00[\x00", struct.pack("<d", float("nan")), struct.pack("<d", float("inf")),
    struct.pack("<f", float("nan")), struct.pack("<f", float("-inf")), struct.pack("<f", 1e-45),
    struct.pack("<d", 1e308),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Field:
    """A number, a name or a payload of a DM file."""

    kind: str
    """``count``, ``size``, ``length``, ``code``, ``flag``, ``name``, ``payload`` or ``entry``."""
    start: int
    """First byte."""
    stop: int
    """Byte after the last; for an entry, after all that is below it."""


@functools.lru_cache(maxsize=_KNOWN)
def dm_fields(data: bytes) -> tuple[Field, ...]:
    r"""Return the fields of a DM file as far as its bytes can be followed.

    Examples
    --------
    >>> [field.kind for field in dm_fields(bytes(3) + b"\x03" + bytes(8))][:3]
    ['flag', 'size', 'flag']
    """
    walker = _Walker(data)
    with contextlib.suppress(struct.error, RecursionError):
        walker.file()  # a mutation of a mutation may lead nowhere: what was seen will do
    return tuple(walker.fields)


class _Walker:
    """Follows a file without judging it."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self.width = 4
        self.fields: list[Field] = []

    def number(self, kind: str, width: int) -> int:
        letter = {1: "B", 2: "H", 4: "I", 8: "Q"}[width]
        (value,) = struct.unpack_from(f">{letter}", self.data, self.at)
        self.mark(kind, width)
        return int(value)

    def mark(self, kind: str, length: int) -> None:
        self.fields.append(Field(kind, self.at, self.at + length))
        self.at += length

    def file(self) -> None:
        version = self.number("flag", 4)
        self.width = 8 if version == _DM4 else 4
        self.number("size", self.width)
        self.number("flag", 4)
        self.group()

    def group(self) -> None:
        self.mark("flag", 2)
        for _ in range(self.number("count", self.width)):
            self.entry()

    def entry(self) -> None:
        start = self.at
        kind = self.number("flag", 1)
        self.mark("name", self.number("length", 2))
        if self.width == 8:  # noqa: PLR2004
            self.number("size", 8)
        if kind == _GROUP:
            self.group()
        else:
            self.mark("flag", 4)
            codes = range(self.number("count", self.width))
            info = [self.number("code", self.width) for _ in codes]
            self.mark("payload", min(_payload_bytes(info), len(self.data) - self.at))
        self.fields.append(Field("entry", start, self.at))


def _payload_bytes(info: list[int]) -> int:
    """Return how long a payload is that has this description, as if it were a sane one."""
    is_array = info[:1] == [_ARRAY]
    codes = info[:-1] if is_array else info
    width = sum(_WIDTHS.get(code, 0) for code in (codes[4::2] if _STRUCT in codes else codes))
    return width * (info[-1] if is_array else 1)


def mutate_bytes(data: bytes, rng: random.Random) -> bytes:
    """Return `data` with a few bytes flipped, cut, repeated or moved."""
    out = bytearray(data or b"\0")
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(out))
        match rng.randrange(6):
            case 0 | 1:
                out[at] ^= 1 << rng.randrange(8)
            case 2:
                out[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
            case 3:
                del out[at : at + rng.randint(1, 64)]
            case 4:
                out[at:at] = out[at : at + rng.randint(1, 64)]
            case _:
                del out[max(1, at) :]
        out = out or bytearray(1)
    return bytes(out)


def mutate_dm(data: bytes, rng: random.Random) -> bytes:
    """Return a DM file with a few of its fields changed.

    Parameters
    ----------
    data
        A DM file, whole or damaged already.
    rng
        Decides what is changed.
    """
    fields = dm_fields(data)
    chosen = [rng.choice(fields) for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 5)) * bool(fields))]
    rest = len(data)
    for field in sorted(chosen, key=lambda each: each.stop, reverse=True):
        if field.stop <= rest:  # from the end on, so that the places of the others stay
            data = _mutate_field(data, field, fields, rng)
            rest = field.start
    return mutate_bytes(data, rng) if rng.random() < 0.05 else data  # noqa: PLR2004


def _mutate_field(
    data: bytes, field: Field, fields: tuple[Field, ...], rng: random.Random
) -> bytes:
    before, old, after = data[: field.start], data[field.start : field.stop], data[field.stop :]
    match field.kind:
        case "name":
            name = rng.choice(_NAMES)
            if rng.random() < 0.7:  # noqa: PLR2004 - mostly keep the length field right
                before = before[:-2] + struct.pack(">H", len(name))
            return before + name + after
        case "payload":
            return before + _payload(old, rng) + after
        case "entry":
            return _mutate_entry(before, old, after, fields, data, rng)
        case _:
            return before + _number(old, field.kind, len(data), rng) + after


def _payload(old: bytes, rng: random.Random) -> bytes:
    if rng.random() < 0.2:  # noqa: PLR2004 - another length than the one declared
        return rng.choice(_TEXTS)
    if len(old) in (1, 2, 4, 8) and rng.random() < 0.5:  # noqa: PLR2004
        order: Literal["little", "big"] = rng.choice(("little", "big"))
        value: int = rng.choice(_EDGES) % 256 ** len(old)
        return value.to_bytes(len(old), order)
    pattern = rng.choice(_TEXTS) or b"\x00"
    return (pattern * (len(old) // len(pattern) + 1))[: len(old)]


def _number(old: bytes, kind: str, size: int, rng: random.Random) -> bytes:
    value = int.from_bytes(old, "big")
    near = (value + rng.choice((-2, -1, 1, 2)), value * 2, value // 2, -value)
    choices: tuple[int, ...] = rng.choice((near, _EDGES, (size - 1, size, size + 1)))
    if kind == "code" and rng.random() < 0.7:  # noqa: PLR2004
        choices = _CODES
    chosen: int = rng.choice(choices) % 256 ** len(old)
    return chosen.to_bytes(len(old), "big")


def _mutate_entry(
    before: bytes,
    old: bytes,
    after: bytes,
    fields: tuple[Field, ...],
    data: bytes,
    rng: random.Random,
) -> bytes:
    match rng.randrange(6):
        case 0:
            return before + after
        case 1:
            return before + old * rng.randint(2, 4) + after
        case 2:
            return before + _nest(old, rng.choice((1, 2, 63, 64, 65, 70, 300)), data) + after
        case 3:
            other = rng.choice([field for field in fields if field.kind == "entry"])
            return before + data[other.start : other.stop] + after
        case 4:
            return before + old
        case _:
            return before + old[: rng.randrange(len(old) + 1)]


def _nest(entry: bytes, depth: int, data: bytes) -> bytes:
    """Return an entry inside `depth` groups."""
    dm4 = data[3:4] == b"\x04"
    for _ in range(depth):
        body = b"\x01\x00" + struct.pack(">Q" if dm4 else ">I", 1) + entry
        size = struct.pack(">Q", len(body)) if dm4 else b""
        entry = struct.pack(">BH", _GROUP, 0) + size + body
    return entry


_JSON_VALUES: Final[tuple[Any, ...]] = (
    None, True, False, 0, 1, -1, 2**31, 2**63, 2**64, 10**30, -(2**63), 1.5, float("nan"),
    float("inf"), "", "x", "../../../etc/passwd", "/etc/passwd", "uint8", "object", "float128",
    "O", "S5", [], [0], [-1, 2], [2**40] * 4, [1, 1, 1, 1], [1.5, 2.5], ["a"], [None], {},
    {"name": "bytes"}, {"": 0}, "\ud800", "a\x00b", "\x1b[2J", "lz4", "zlib",
)  # fmt: skip


def mutate_json(value: Any, rng: random.Random) -> Any:  # noqa: ANN401 - any JSON
    """Return a copy of JSON with one to three of its nodes changed, taken away, or added.

    Parameters
    ----------
    value
        Objects, lists, text and numbers; a list or object at the root.
    rng
        Decides what is changed.
    """
    changed = copy.deepcopy(value)
    for _ in range(rng.choice((1, 1, 2, 3))):
        places = list(_places(changed))
        if not places:
            break
        holder, key = rng.choice(places)
        match rng.randrange(8):
            case 0:
                del holder[key]
            case 1:
                other, name = rng.choice(places)
                holder[key] = copy.deepcopy(other[name])
            case 2 if isinstance(holder, list):
                holder.insert(key, copy.deepcopy(rng.choice(_JSON_VALUES)))
            case 3 if isinstance(holder, dict):
                holder[rng.choice(("", "../x", "intensity", "c", "a/b"))] = holder.pop(key)
            case 4 | 5 if type(holder[key]) is int:
                holder[key] += rng.choice((-1, 1, 2**20, -holder[key], -2 * holder[key]))
            case _:
                holder[key] = copy.deepcopy(rng.choice(_JSON_VALUES))
    return changed


def _places(value: Any) -> Iterator[tuple[Any, Any]]:  # noqa: ANN401 - any JSON
    """Iterate over all nodes below the root, each as its holder and its key."""
    stack = [value]
    while stack:
        holder = stack.pop()
        keys: Any = holder if isinstance(holder, dict) else range(len(holder))
        for key in keys:
            yield holder, key
            if isinstance(holder[key], dict | list):
                stack.append(holder[key])


def dump_loosely(value: Any) -> bytes:  # noqa: ANN401 - any JSON
    """Return JSON text, NaN and lone surrogates and all, as damage or malice would write it."""
    return json.dumps(value).encode()
