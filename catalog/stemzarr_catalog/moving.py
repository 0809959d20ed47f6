"""Moves originals that their stores can give back to another folder, with a receipt.

The receipt, ``receipt.jsonl`` in that folder, has one JSON line for each file: what it was, where
it was and is, its digest, the entry that gives it back, and the commands for that.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from stemzarr.errors import OptionError, SourceChangedError, StoreExistsError, WriteError
from stemzarr.metadata.dates import utc_now
from stemzarr.storage.files import move, publish, remove_file
from stemzarr.storage.fingerprints import digest_files
from stemzarr.storage.local import LocalFolder
from stemzarr.storage.reasons import reading, writing

if TYPE_CHECKING:
    from stemzarr_catalog.entry import Entry

__all__ = ["RECEIPT", "State", "check_folder", "move_original", "state_now"]

RECEIPT: Final = "receipt.jsonl"
"""Name of the receipt in the folder that originals were moved to."""

State = tuple[int, int, int]
"""Size, modification time and number of a file."""


def state_now(path: Path) -> State:
    """Return what tells whether a file has changed.

    Raises
    ------
    ReadError
        It cannot be looked at.
    """
    with reading(path):
        status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino


def check_folder(folder: Path, lake: Path) -> None:
    """Refuse a folder that originals cannot be moved to.

    Raises
    ------
    OptionError
        It is in the lake, or a file.
    """
    if folder.resolve().is_relative_to(lake.resolve()):
        hint = "choose a folder outside the lake"
        raise OptionError("is in the lake, where only stores are kept", path=folder, hint=hint)
    if folder.exists() and not folder.is_dir():
        raise OptionError("is not a folder", path=folder, hint="choose another name")


def move_original(entry: Entry, original: Path, folder: Path, before: State) -> Path:
    """Move a file that was just compared with its store, and note that in the receipt.

    On one file system it is renamed. To another it is copied; the copy is compared and on the
    disk, and the receipt says so, before the file is removed where it was.

    Parameters
    ----------
    entry
        Its entry.
    original
        The file.
    folder
        Where to; the folders of its path are made below it.
    before
        What `state_now` said before the comparison.

    Returns
    -------
    Path
        Where it is now.

    Raises
    ------
    SourceChangedError
        It changed since it was compared.
    StoreExistsError
        Another file is where it would go.
    WriteError
        It cannot be copied, or not be removed.
    """
    target = _target(original, folder)
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    if not (target.exists() or _is_near(original, target.parent)):
        _copy(original, target)
    digest = digest_files([original])[0]
    is_copied = target.exists()
    if is_copied and digest_files([target])[0] != digest:
        hint = "move that elsewhere, or choose another folder"
        raise StoreExistsError("another file is there already", path=target, hint=hint)
    if state_now(original) != before:
        hint = "wait until nothing writes it, then try again"
        raise SourceChangedError("changed since it was compared", path=original, hint=hint)
    line = f"{json.dumps(_record(entry, original, target, digest), ensure_ascii=False)}\n"
    LocalFolder(folder).append(RECEIPT, line.encode(), sync=True)
    with writing(original):
        if is_copied:
            remove_file(original)
        else:
            move(original, target)
    return target


def _is_near(original: Path, folder: Path) -> bool:
    """Return whether a file and a folder are on one file system."""
    return original.stat().st_dev == folder.stat().st_dev


def _target(original: Path, folder: Path) -> Path:
    """Return where a file goes: its whole path below the folder, a drive as a folder."""
    drive = [part for part in original.drive.replace("\\", "/").split("/") if part]
    return folder.joinpath(*(part.rstrip(":") for part in drive), *original.parts[1:])


def _copy(original: Path, target: Path) -> None:
    try:
        with publish(target) as temporary:
            shutil.copy2(original, temporary)
    except OSError as error:
        if isinstance(error, WriteError):
            raise
        raise WriteError(f"cannot be copied: {error.strerror or error}", path=original) from error


def _record(entry: Entry, original: Path, target: Path, digest: str) -> dict[str, Any]:
    status = original.stat()
    modified = dt.datetime.fromtimestamp(status.st_mtime, dt.UTC)
    sha256 = entry.source.get("sha256")
    return {
        "original": str(original),
        "moved_to": str(target),
        "moved": utc_now(),
        "bytes": status.st_size,
        "modified": modified.isoformat(),
        "xxh3_128": digest,
        **({"sha256": sha256} if sha256 else {}),
        "entry": entry.name,
        "store": str(entry.path),
        "ingested": (entry.source.get("ingest") or {}).get("finished"),
        "to_move_back": _command("move" if os.name == "nt" else "mv", str(target), str(original)),
        "to_rebuild": _command("stemzarr", "export", str(entry.path), str(original)),
    }


def _command(*words: str) -> str:
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)
