"""The log of a watcher, in which it finds again what it has done: ``watch.jsonl`` in the lake.

A file whose entry is redacted is listed there under a digest of its path, by which a watcher that
sees the file knows it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from stemzarr.metadata.privacy import strip_paths
from stemzarr.storage.local import put_text
from stemzarr_catalog.known import hidden_path

__all__ = ["WATCH_LOG", "hide_event", "hide_events", "read_events", "write_events"]

WATCH_LOG: Final = "watch.jsonl"
"""Name of the log in the folder of the lake."""


def read_events(log: Path) -> Iterator[dict[str, Any]]:
    """Give the lines of a log, nothing where there is none; one that a crash cut off is left out.

    Raises
    ------
    OSError
        It cannot be read.
    """
    try:
        lines = log.read_bytes().splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and isinstance(event.get("path"), str):
            yield event


def write_events(log: Path, events: Iterable[dict[str, Any]]) -> None:
    """Write a log again.

    Raises
    ------
    WriteError
        The lake cannot be written.
    """
    put_text(log, "".join(f"{json.dumps(event)}\n" for event in events))


def hide_event(event: dict[str, Any]) -> dict[str, Any]:
    """Return a line with a digest in place of its path, and without paths in its error."""
    path, error = event["path"], event.get("error")
    if isinstance(error, str):
        error = strip_paths(error, Path(path))
    return {**event, "path": hidden_path(path), "error": error}


def hide_events(log: Path, name: str, paths: Collection[str]) -> None:
    """Hide the lines of the files of an entry.

    Parameters
    ----------
    log
        The log.
    name
        The entry; all lines of a file that became it are hidden, failures before that too.
    paths
        Further paths of its source.

    Raises
    ------
    OSError, WriteError
        The log cannot be read or written.
    """
    events = list(read_events(log))
    secret = {*paths, *(event["path"] for event in events if event.get("name") == name)}
    hidden = [hide_event(one) if one["path"] in secret else one for one in events]
    if hidden != events:
        write_events(log, hidden)
