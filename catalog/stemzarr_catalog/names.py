"""Names of entries: safe as a folder on every system, in YAML and on the command line."""

from __future__ import annotations

import re
import unicodedata

from stemzarr.errors import EntryNotFoundError, OptionError

__all__ = [
    "LAKE_ENTRY",
    "casefold",
    "check_name",
    "is_device_name",
    "lookup_name",
    "safe_name",
    "split_path",
]

LAKE_ENTRY = "lake"
"""Name of the entry of ``catalog.yaml`` that stands for the whole lake; no store may have it."""

_LONGEST = 160
"""Bytes of UTF-8: with temporary pre- and suffixes a name stays below the usual 255."""

_DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])", re.IGNORECASE)


def is_device_name(name: str) -> bool:
    """Return whether Windows takes `name` for a device, with any suffix.

    Examples
    --------
    >>> is_device_name("aux.2026"), is_device_name("auxiliary")
    (True, False)
    """
    return _DEVICES.fullmatch(name.split(".", 1)[0].rstrip()) is not None


def casefold(name: str) -> str:
    """Return the form under which two names are the same on a file system without case."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def safe_name(text: str) -> str:
    """Return `text` as the name of an entry: ``[A-Za-z0-9._-]`` and safe Unicode letters.

    Letters are safe where they are not another spelling of something else: full-width forms,
    ligatures and every separator, control and direction mark become ``_``. Device names and the
    reserved name ``lake`` come back unchanged, since only a suffix can tell them apart.

    Examples
    --------
    >>> safe_name("../Probe 3: SrTiO₃ (ü)")
    'Probe_3_SrTiO_ü'
    """
    composed = unicodedata.normalize("NFC", text)
    kept = "".join(character if _is_safe(character) else "_" for character in composed)
    return _shorten(re.sub(r"__+", "_", kept).lstrip("._-").rstrip("._")) or "unnamed"


def _is_safe(character: str) -> bool:
    if character.isascii():
        return character.isalnum() or character in "._-"
    category = unicodedata.category(character)
    if category in ("Mn", "Mc"):
        return True
    known = category in ("Ll", "Lu", "Lt", "Lo", "Lm", "Nd")
    return known and unicodedata.normalize("NFKC", character) == character


def _shorten(name: str) -> str:
    short = name.encode()[:_LONGEST].decode(errors="ignore")
    return short.rstrip("._")


def check_name(name: str) -> str:
    """Return `name`, which a person chose for a new entry, or say what would do.

    Raises
    ------
    OptionError
        The name is not safe on every system, or is reserved.
    """
    if casefold(name) == LAKE_ENTRY or is_device_name(name):
        raise OptionError(f"the name {name!r} is reserved", hint="choose another one")
    if name != safe_name(name):
        hint = f"a name that is safe everywhere: {safe_name(name)}"
        raise OptionError(f"{name!r} cannot name an entry", hint=hint)
    return name


def lookup_name(name: str) -> str:
    """Return `name` if an entry can have it; no name leads out of the lake.

    Raises
    ------
    EntryNotFoundError
        No entry of any lake has such a name.
    """
    if "://" in name:  # it may hold a password, and is not repeated
        msg, hint = "an address names no entry", "stemzarr ls lists all names"
        raise EntryNotFoundError(msg, hint=hint)
    composed = unicodedata.normalize("NFC", name)
    if composed != safe_name(composed) or is_device_name(composed):
        raise EntryNotFoundError(f"there is no entry {name!r}", hint="stemzarr ls lists all names")
    return composed


def split_path(path: str) -> list[str]:
    r"""Return the parts of a path of any system.

    Examples
    --------
    >>> split_path(r"D:\data\scan.dm4"), split_path("/data/scan.dm4")
    (['D:', 'data', 'scan.dm4'], ['', 'data', 'scan.dm4'])
    """
    is_windows = re.match(r"[A-Za-z]:[\\/]|\\\\", path) is not None
    return re.split(r"[\\/]", path) if is_windows else path.split("/")
