"""Addresses of buckets and web servers, which are handed on as paths are.

An address names a place and nothing more: what opens the place is in the environment. So it can
be printed, pickled and recorded.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Self

from stemzarr.errors import OptionError
from stemzarr.options import as_path

if sys.platform == "win32":
    from pathlib import WindowsPath as _Native
else:
    from pathlib import PosixPath as _Native

__all__ = ["RemotePath", "as_source"]

_REMOTE = re.compile(r"(s3|gs|az|https?):/{1,2}([^/].*)", re.IGNORECASE | re.DOTALL)


class RemotePath(_Native):
    """An address such as ``s3://bucket/scan.zarr``: a path whose text keeps both slashes.

    Its parts are those of a path, and no file of this machine has it.

    Examples
    --------
    >>> path = RemotePath("s3://bucket/scan.zarr")
    >>> str(path / "zarr.json"), path.name, str(path.parent)
    ('s3://bucket/scan.zarr/zarr.json', 'scan.zarr', 's3://bucket')
    """

    __slots__ = ()

    def __str__(self) -> str:
        """Return the address."""
        scheme, _, rest = super().__str__().replace("\\", "/").partition(":/")
        return f"{scheme}://{rest.lstrip('/')}"

    def __fspath__(self) -> str:
        """Return the address, as xarray and others take it."""
        return str(self)

    def absolute(self) -> Self:
        """Return the address itself."""
        return self


def as_source(path: str | os.PathLike[str]) -> Path:
    """Return where a source is: a path of this machine, or a `RemotePath`.

    Raises
    ------
    OptionError
        As `stemzarr.options.as_path`; or an address holds more than a place. What it holds may
        be a password or a signature, so no more of it than its scheme is repeated.

    Examples
    --------
    >>> as_source("https://example.org/scan.zarr/").name
    'scan.zarr'
    """
    if isinstance(path, RemotePath):
        return path
    match = _REMOTE.fullmatch(os.fspath(path))
    if match is None or Path(f"{match[1]}:").exists():
        return as_path(path)
    scheme, rest = match[1].lower(), match[2].rstrip("/")
    shown = f"{scheme}://\N{HORIZONTAL ELLIPSIS}"
    if re.search(r"[?#\\]|^[^/]*@", rest):
        msg = "the address holds a password, a query or a fragment"
        hint = "give the place alone; credentials are taken from the environment, see docs/far.md"
        raise OptionError(msg, path=shown, hint=hint)
    if not {"", ".", ".."}.isdisjoint(rest.split("/")):
        msg = "the address has an empty part, or one that leads back"
        raise OptionError(msg, path=shown, hint="write it without //, . and ..")
    return RemotePath(f"{scheme}:/{rest}")
