"""Regions of a scan as files: an exporter writes them, the browser fetches them."""

from __future__ import annotations

import contextlib
import re
import secrets
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stemzarr.errors import EntryNotFoundError, OptionError
from stemzarr.explorer.subject import Subject
from stemzarr.model import Progress
from stemzarr.storage.files import remove_file
from stemzarr.views import View

__all__ = ["SUFFIXES", "Saver"]

SUFFIXES = ("hspy", "pt")
"""What a region can be saved as."""
_KEPT = 4
"""Files that wait to be fetched; older ones are deleted."""

Export = Callable[..., Any]
"""`stemzarr.export`, which is above the explorer."""


class Saver:
    """Writes regions into a temporary folder, which `close` removes.

    Parameters
    ----------
    export
        `stemzarr.export`, with the options of reading that the source needs.
    """

    def __init__(self, export: Export) -> None:
        self._export = export
        self._lock = threading.Lock()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._files: OrderedDict[str, Path] = OrderedDict()

    def save(
        self, subject: Subject, ends: tuple[int, int, int, int], suffix: str, progress: Progress
    ) -> list[dict[str, Any]]:
        """Write a region, as `stemzarr export --roi` does.

        Parameters
        ----------
        subject
            A 4D scan.
        ends
            Top, left, bottom and right of the region; the last two do not belong to it.
        suffix
            One of `SUFFIXES`.
        progress
            Receives how many bytes of values are done.

        Returns
        -------
        list of dict
            ``key``, ``name`` and ``bytes`` of each file: a ``.pt`` has its JSON beside it.

        Raises
        ------
        OptionError, StemzarrError
            There is no such suffix or region; what the exporter raises.
        """
        if suffix not in SUFFIXES:
            raise OptionError(
                f"{suffix!r} is not saved here", hint=f"choose {' or '.join(SUFFIXES)}"
            )
        subject.check_inside(*ends)
        top, left, bottom, right = ends
        name = f"{subject.name}-y{top}-{bottom}-x{left}-{right}.{suffix}"
        dest = self._place() / re.sub(r"[^\w.-]+", "_", name)
        view = View(roi=f"scan_y={top}:{bottom},scan_x={left}:{right}")
        self._export(
            subject.path, dest, view=view, document=subject.document.slug, progress=progress
        )
        return [self._keep(path) for path in sorted(dest.parent.iterdir())]

    def _place(self) -> Path:
        """Return a new folder below the temporary one."""
        with self._lock:
            if self._folder is None:
                self._folder = tempfile.TemporaryDirectory(prefix="stemzarr-")
            return Path(tempfile.mkdtemp(dir=self._folder.name))

    def _keep(self, path: Path) -> dict[str, Any]:
        key = secrets.token_urlsafe(12)
        with self._lock:
            self._files[key] = path
            while len(self._files) > _KEPT:
                # Where a file that is being fetched cannot be removed, `close` does.
                with contextlib.suppress(OSError):
                    remove_file(self._files.popitem(last=False)[1])
        return {"key": key, "name": path.name, "bytes": path.stat().st_size}

    def find(self, key: str) -> Path:
        """Return a file that was written.

        Raises
        ------
        EntryNotFoundError
            It is not kept, or no longer.
        """
        with self._lock:
            if key not in self._files:
                raise EntryNotFoundError("the file is no longer kept", hint="save it again")
            return self._files[key]

    def close(self) -> None:
        """Remove all files."""
        with self._lock:
            if self._folder is not None:
                self._folder.cleanup()
            self._folder = None
            self._files.clear()
