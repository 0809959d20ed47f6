"""What systems and programs leave in any folder, and what nobody means by it."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["is_foreign", "without_foreign"]

_FOREIGN = re.compile(
    r"""
    # macOS: Finder, file systems without resource forks, Spotlight
    \.DS_Store | \._.* | Icon[\r\uf00d] | \.AppleDouble | \.localized | \.apdisk
    | \.VolumeIcon\.icns | \.Spotlight-V100 | \.Trashes | \.fseventsd | \.TemporaryItems
    | \.DocumentRevisions-V100
    # Windows: Explorer, Office
    | (?:eh)?thumbs(?:_vista)?\.db | desktop\.ini | \$RECYCLE\.BIN | System\ Volume\ Information
    | ~\$.*
    # Linux: file managers, NFS and FUSE (files that were deleted while they were open)
    | \.nfs.* | \.fuse_hidden.* | \.directory | \.Trash-\d+ | \.~lock\..*\#
    # network storage and synchronisation
    | @eaDir | @SynoResource | \.@__thumb | \#recycle | @Recycle | \.smbdelete.*
    | \.dropbox(?:\.attr|\.cache|\.device)? | \.stfolder | \.stversions | \.syncthing\..*\.tmp
    | \.sync_[0-9a-f]+\.db.*
    """,
    re.VERBOSE | re.IGNORECASE,
)


def is_foreign(name: str) -> bool:
    r"""Return whether a file or folder of this name was left by a system and not by a person.

    Parameters
    ----------
    name
        The name alone, without its folder.

    Examples
    --------
    >>> [is_foreign(name) for name in (".DS_Store", "._zarr.json", "Thumbs.db", "zarr.json")]
    [True, True, True, False]
    """
    return _FOREIGN.fullmatch(name) is not None


def without_foreign(names: Iterable[str]) -> list[str]:
    """Return the names that no system left."""
    return [name for name in names if not is_foreign(name)]
