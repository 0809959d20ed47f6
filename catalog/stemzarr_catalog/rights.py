"""Who may write what of a lake that several users share."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from stemzarr.storage.files import publish

__all__ = ["may_write", "replace_by_own"]


def may_write(path: Path) -> bool:
    """Return whether the system lets us write; where it cannot tell, trying will."""
    rights = os.W_OK | (os.X_OK if path.is_dir() else 0)
    return os.access(path, rights, effective_ids=os.access in os.supports_effective_ids)


def replace_by_own(path: Path) -> None:
    """Put a copy in the place of a file of another user, which then is this user's own.

    Raises
    ------
    WriteError
        It cannot be read, or its folder cannot be written.
    """
    with publish(path) as temporary:
        shutil.copyfile(path, temporary)
