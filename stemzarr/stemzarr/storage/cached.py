"""What this machine keeps of what is far away: files that were fetched, and work under way."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from stemzarr.errors import WriteError
from stemzarr.storage.files import remove_file
from stemzarr.storage.local import LocalFolder
from stemzarr.storage.reasons import writing

__all__ = [
    "ENVIRONMENT",
    "cache_folder",
    "drop_cached",
    "find_cached",
    "keep_cached",
    "work_folder",
]

ENVIRONMENT = "STEMZARR_CACHE"
"""Environment variable that names another folder."""
_KEPT = 16
"""Files that are kept: those that were used last."""
_KEPT_S = 90 * 86400.0
"""How long a file is kept that nobody uses."""


def cache_folder() -> Path | None:
    """Return where files are kept: ``$STEMZARR_CACHE``, or where this system keeps such files.

    None where this user has no folder of their own.
    """
    given = os.environ.get(ENVIRONMENT)
    if given:
        return Path(given)
    try:
        home = Path.home()
    except RuntimeError:
        return None
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData/Local", "stemzarr")
    if sys.platform == "darwin":
        return home / "Library/Caches/stemzarr"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache", "stemzarr")


def find_cached(name: str, size: int) -> Path | None:
    """Return a file that was kept, if it has its size; it counts as used now."""
    folder = cache_folder()
    if folder is None:
        return None
    path = folder / name
    try:
        if path.stat().st_size != size:
            return None
    except OSError:
        return None
    with contextlib.suppress(OSError):
        os.utime(path)
    return path


def keep_cached(name: str, pieces: Iterable[bytes]) -> Path | None:
    """Keep a file for this user alone, and return it; None where nothing can be written."""
    folder = cache_folder()
    if folder is None:
        return None
    try:
        with writing(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with LocalFolder(folder).writing(name) as file:
            file.writelines(pieces)
    except WriteError:
        return None
    _forget_old(folder, name.partition(".")[2])
    return folder / name


def work_folder(address: Path) -> Path:
    """Return the folder of what this user has begun at an address; it is made.

    It is called by a digest of the address: who sees the name learns nothing of the place.

    Raises
    ------
    WriteError
        This user has no folder of their own, or it cannot be made.
    """
    above = cache_folder()
    if above is None:
        msg = f"needs a folder of yours for what is under way; set {ENVIRONMENT}"
        raise WriteError(msg, path=address)
    name = hashlib.blake2b(str(address).encode(), digest_size=16).hexdigest()
    folder = above / "work" / name
    with writing(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def drop_cached(name: str) -> None:
    """Remove a file that is not what it was."""
    folder = cache_folder()
    if folder is not None:
        with contextlib.suppress(OSError):
            remove_file(folder / name)


def _forget_old(folder: Path, suffix: str) -> None:
    """Remove files that nobody used for long; one that is open on Windows stays."""
    with contextlib.suppress(OSError):
        used = {path: path.stat().st_mtime for path in folder.glob(f"*.{suffix}")}
        order = sorted(used, key=lambda path: -used[path])
        for place, path in enumerate(order):
            if place >= _KEPT or time.time() - used[path] > _KEPT_S:
                with contextlib.suppress(OSError):
                    remove_file(path)
